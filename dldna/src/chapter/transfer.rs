//! Transfer learning: a network that has learned one task learns another.
//!
//! A trained [`ResNet18`](crate::resnet::ResNet18) is a body, which turns an image into 512 features, and a head, the
//! linear layer that makes classes of them. For a new task the head is replaced. The body may stay as it is: then
//! [`features`] runs it once, and all that is trained is a linear layer on 512 features. Or [`fine_tune`] moves it, too.
//!
//! The functions are those of [`crate::train`] for one network. So they are compiled here, and not in each notebook cell
//! that calls them, which takes seconds for a network of this size.
//!
//! ```
//! use dldna::{data::mnist_sample, prelude::*, transfer::features, train::FashionResNet18};
//!
//! let mut network: FashionResNet18 = BuildModule::build(&Cpu::seed_from_u64(0));
//! let digits = mnist_sample()?.train.take(3);
//! let features = features(&network, &digits)?;
//! assert_eq!(*features.shape(), (3, Const::<512>));
//! assert_eq!(*network.fc.forward(features).shape(), (3, Const::<10>)); // the head
//! # Ok::<(), dldna::train::TrainError>(())
//! ```

use crate::data::{Dataset, Normalisation, Split};
use crate::nn::{Forward, Linear, mean, relu, run};
use crate::train::{FashionResNet18, Images, TrainConfig, TrainError, Trained, train};
use crate::weights::{WeightsError, load_model, save_model};
use dfdx::prelude::*;
use std::path::Path;

/// What the body makes of images: `(images, 512)`.
pub type Features<T = NoneTape> = Tensor<(usize, Const<512>), f32, Cpu, T>;

/// The last layer of ResNet-18: from 512 features to a logit for each of ten classes.
pub type Head = Linear<512, 10, f32, Cpu>;

/// Images at a time.
const BATCH: usize = 128;

/// Writes a trained network to a file: [`save_model`], for this one network.
///
/// # Errors
/// [`WeightsError::Write`].
pub fn save_resnet18(network: &FashionResNet18, path: &Path) -> Result<(), WeightsError> {
    save_model(network, path)
}

/// The network whose weights [`save_resnet18`] has written to a file.
///
/// # Errors
/// [`WeightsError`] says whether the file cannot be read or holds another network.
///
/// # Example
/// ```
/// use dldna::{prelude::*, train::FashionResNet18, transfer::{load_resnet18, save_resnet18}};
///
/// let network: FashionResNet18 = BuildModule::build(&Cpu::seed_from_u64(0));
/// let path = std::env::temp_dir().join("dldna-doc-resnet18.safetensors");
/// save_resnet18(&network, &path)?;
/// assert_eq!(load_resnet18(&path)?.fc.weight.array(), network.fc.weight.array());
/// # std::fs::remove_file(path).unwrap();
/// # Ok::<(), dldna::weights::WeightsError>(())
/// ```
pub fn load_resnet18(path: &Path) -> Result<FashionResNet18, WeightsError> {
    let mut network = BuildModule::build(&Cpu::default());
    load_model(&mut network, path)?;
    Ok(network)
}

/// The features of all images of `data`, as the body of `network` computes them when it is not trained: its batch norms
/// use their running statistics.
///
/// # Errors
/// [`TrainError`] when there is no image, or when the images are too small for a layer.
///
/// # Example
/// See [the module](self).
pub fn features(network: &FashionResNet18, data: &Dataset) -> Result<Features, TrainError> {
    if data.is_empty() {
        let (set, needed) = ("feature", 1);
        return Err(TrainError::Empty { set, needed });
    }
    let dev = Cpu::default();
    let mut numbers = Vec::with_capacity(512 * data.len());
    for batch in data.batches(BATCH, Normalisation::BOOK) {
        let images: Images = batch.to_tensor(&dev);
        let features = run(images, |x| {
            let x = network
                .pool
                .eval(relu(network.bn1.eval(network.conv1.eval(x))));
            let x = network.layer2.eval(network.layer1.eval(x));
            mean(network.layer4.eval(network.layer3.eval(x)))
        });
        numbers.extend(features?.as_vec());
    }
    Ok(dev.try_tensor_from_vec(numbers, (data.len(), Const))?)
}

/// Trains the whole network on another task: [`train`], for this one network.
///
/// A network that has learned something needs a smaller learning rate than a new one, or it forgets.
///
/// # Errors
/// As those of [`train`].
///
/// # Example
/// ```
/// use dldna::{data::mnist_sample, prelude::*, transfer::fine_tune, train::{FashionResNet18, TrainConfig}};
///
/// let network: FashionResNet18 = BuildModule::build(&Cpu::seed_from_u64(0));
/// let config = TrainConfig { epochs: 1, subset: Some(32), learning_rate: 1e-4, progress: false, ..Default::default() };
/// let tuned = fine_tune(network, &mnist_sample()?, &config)?;
/// assert!(tuned.finished);
/// # Ok::<(), dldna::train::TrainError>(())
/// ```
pub fn fine_tune(
    network: FashionResNet18,
    target: &Split,
    config: &TrainConfig,
) -> Result<Trained, TrainError> {
    train(network, target, config)
}
