//! Transfer learning: a network that has learned one task learns another.
//!
//! A trained [`ResNet18`](crate::resnet::ResNet18) is a body, which turns an image into 512 features, and a head, the
//! linear layer that makes classes of them. For a new task the head is replaced. The body may stay as it is: then
//! [`features`] runs it once, and all that is trained is a linear layer on 512 features. Or [`fine_tune`] moves it, too.
//! [`imagenet_features`] does the first with a body that has learned from a million photographs.
//!
//! The functions are those of [`crate::train`] for one network. So they are compiled here, and not in each notebook cell
//! that calls them, which takes seconds for a network of this size.
//!
//! ```
//! use dldna::transfer::{ColorResNet18, features, on_photograph};
//! use dldna::{data::{Normalisation, mnist_sample, photograph}, prelude::*};
//!
//! let mut network: ColorResNet18 = BuildModule::build(&Cpu::seed_from_u64(0));
//! let digits = on_photograph(&mnist_sample()?.train.take(3), &photograph()?, 7)?;
//! let features = features(&network, &digits, Normalisation::BOOK)?;
//! assert_eq!(*features.shape(), (3, Const::<512>));
//! assert_eq!(*network.fc.forward(features).shape(), (3, Const::<10>)); // the head
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use crate::data::{Dataset, Normalisation, Split};
use crate::image::RgbImage;
use crate::mobilenet::MobileNetV2;
use crate::nn::{Forward, Linear, mean, relu, run};
use crate::resnet::ResNet18;
use crate::train::{ImageBatch, TrainConfig, TrainError, Trained, train};
use crate::weights::{WeightsError, load_torch_weights};
use dfdx::prelude::*;
use rand::{Rng, SeedableRng, rngs::StdRng};
use std::path::Path;

/// ResNet-18 for ten kinds of pictures in colour.
pub type ColorResNet18 = <ResNet18<3, 10> as BuildOnDevice<Cpu, f32>>::Built;

/// What a body makes of images: `(images, N)`, 512 numbers for ResNet-18.
pub type Features<const N: usize = 512> = Tensor<(usize, Const<N>), f32, Cpu>;

/// The last layer of a network: from its features to a logit for each of ten classes.
pub type Head<const N: usize = 512> = Linear<N, 10, f32, Cpu>;

/// Images at a time.
const BATCH: usize = 128;
/// Images of 224x224 pixels at a time.
const LARGE_BATCH: usize = 16;
/// Height and width that networks learn ImageNet's photographs in.
const IMAGENET_SIZE: usize = 224;

/// Pictures in colour from grey ones: each is laid over a piece of `photo` from another place, which `seed` decides. A
/// value is the difference between picture and photograph, as in MNIST-M (Ganin and Lempitsky, *Unsupervised Domain
/// Adaptation by Backpropagation*, 2015).
///
/// # Errors
/// [`TrainError::Data`] when an image is larger than `photo`.
///
/// # Example
/// ```
/// use dldna::{data::Dataset, image::RgbImage, transfer::on_photograph};
///
/// let grey = Dataset::new(vec![0, 255], vec![0, 1], 1, 1, vec!["dark".into(), "light".into()])?;
/// let orange = RgbImage::new(2, 2, [255, 155, 5].repeat(4))?;
/// let color = on_photograph(&grey, &orange, 7)?;
/// assert_eq!(color.all_pixels(), [255, 155, 5, 0, 100, 250]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn on_photograph(
    data: &Dataset,
    photo: &RgbImage,
    seed: u64,
) -> Result<Dataset<3>, TrainError> {
    let mut random = StdRng::seed_from_u64(seed);
    let (height, width) = (data.height(), data.width());
    let mut place = |side: usize, part: usize| random.gen_range(0..=side.saturating_sub(part));
    let mut pixels = Vec::with_capacity(3 * data.all_pixels().len());
    for index in 0..data.len() {
        let (top, left) = (place(photo.height(), height), place(photo.width(), width));
        let piece = photo.cropped(top, left, height, width);
        let piece = piece.map_err(|error| TrainError::Data(Box::new(error)))?;
        for plane in piece.channels() {
            let pairs = data.pixels(index)?.iter().zip(plane.pixels());
            pixels.extend(pairs.map(|(&picture, &behind)| picture.abs_diff(behind)));
        }
    }
    let (labels, names) = (data.labels().to_vec(), data.class_names().to_vec());
    Ok(Dataset::color(pixels, labels, height, width, names)?)
}

/// Writes a trained network to a file, with its preprocessing: [`Trained::save`], for this one network.
///
/// # Errors
/// [`WeightsError::Write`].
pub fn save_resnet18(trained: &Trained<ColorResNet18>, path: &Path) -> Result<(), WeightsError> {
    trained.save(path)
}

/// The network that [`save_resnet18`] has written to a file: [`Trained::load`], for this one network.
///
/// # Errors
/// [`WeightsError`] says whether the file cannot be read or holds another network.
pub fn load_resnet18(path: &Path) -> Result<Trained<ColorResNet18>, WeightsError> {
    Trained::load(BuildModule::build(&Cpu::default()), path)
}

/// The features of all images of `data`, as the body of `network` computes them when it is not trained: its batch norms
/// use their running statistics.
///
/// # Errors
/// [`TrainError`] when there is no image, or when the images are too small for a layer.
///
/// # Example
/// See [the module](self).
pub fn features(
    network: &ColorResNet18,
    data: &Dataset<3>,
    normalisation: Normalisation,
) -> Result<Features, TrainError> {
    features_of(data, None, BATCH, normalisation, |images| {
        run(images, |x| {
            let x = network
                .pool
                .eval(relu(network.bn1.eval(network.conv1.eval(x))));
            let x = network.layer2.eval(network.layer1.eval(x));
            mean(network.layer4.eval(network.layer3.eval(x)))
        })
    })
}

/// The features of all images of `data`, as the body of a MobileNetV2 computes them that has learned ImageNet's thousand
/// classes. The images are resized to 224x224 pixels and normalised by [`Normalisation::IMAGENET`].
///
/// `weights` is a safetensors file with PyTorch's weights: see [`load_torch_weights`].
///
/// # Errors
/// [`TrainError`] when the weights cannot be read, or when there is no image.
///
/// # Example
/// ```
/// use dldna::{data::Dataset, transfer::imagenet_features};
/// use std::path::Path;
///
/// let none = Dataset::color(vec![], vec![], 8, 8, vec![])?;
/// let error = imagenet_features(Path::new("mobilenet_v2.safetensors"), &none).unwrap_err();
/// assert!(error.to_string().contains("mobilenet_v2.safetensors"));
/// # Ok::<(), dldna::data::DataError>(())
/// ```
pub fn imagenet_features(weights: &Path, data: &Dataset<3>) -> Result<Features<1280>, TrainError> {
    type Network = <MobileNetV2<3, 1000> as BuildOnDevice<Cpu, f32>>::Built;
    let mut network: Network = BuildModule::build(&Cpu::default());
    load_torch_weights(&mut network, weights)?;
    let (size, normalisation) = (Some(IMAGENET_SIZE), Normalisation::IMAGENET);
    features_of(data, size, LARGE_BATCH, normalisation, |images| {
        run(images, |x| {
            let x = network
                .stage2
                .eval(network.stage1.eval(network.stem.eval(x)));
            let x = network.stage4.eval(network.stage3.eval(x));
            let x = network.stage6.eval(network.stage5.eval(x));
            mean(network.head.eval(network.stage7.eval(x)))
        })
    })
}

/// What `body` makes of the images of `data`, `at_once` of them at a time, resized if there is a `size`.
fn features_of<const N: usize>(
    data: &Dataset<3>,
    size: Option<usize>,
    at_once: usize,
    normalisation: Normalisation,
    body: impl Fn(ImageBatch<3>) -> Result<Features<N>, <Cpu as HasErr>::Err>,
) -> Result<Features<N>, TrainError> {
    if data.is_empty() {
        let (set, needed) = ("feature", 1);
        return Err(TrainError::Empty { set, needed });
    }
    let dev = Cpu::default();
    let mut numbers = Vec::with_capacity(N * data.len());
    for batch in data.batches(at_once, normalisation) {
        let batch = size.map_or(batch.clone(), |size| batch.resized(size));
        numbers.extend(body(batch.to_tensor(&dev))?.as_vec());
    }
    Ok(dev.try_tensor_from_vec(numbers, (data.len(), Const))?)
}

/// Trains the whole network on another task: [`train`], for this one network.
///
/// # Errors
/// As those of [`train`].
///
/// # Example
/// ```
/// use dldna::{data::{mnist_sample, photograph}, prelude::*, train::TrainConfig};
/// use dldna::transfer::{ColorResNet18, fine_tune, load_resnet18, on_photograph, save_resnet18};
///
/// let network: ColorResNet18 = BuildModule::build(&Cpu::seed_from_u64(0));
/// let digits = mnist_sample()?;
/// let digits = dldna::data::Split {
///     train: on_photograph(&digits.train.take(32), &photograph()?, 1)?,
///     test: on_photograph(&digits.test.take(10), &photograph()?, 2)?,
/// };
/// let config = TrainConfig { epochs: 1, learning_rate: 1e-4, progress: false, ..Default::default() };
/// let tuned = fine_tune(network, &digits, &config)?;
///
/// let path = std::env::temp_dir().join("dldna-doc-resnet18.safetensors");
/// save_resnet18(&tuned, &path)?;
/// assert_eq!(load_resnet18(&path)?.preprocessing, tuned.preprocessing);
/// # std::fs::remove_file(path).unwrap();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn fine_tune(
    network: ColorResNet18,
    target: &Split<3>,
    config: &TrainConfig,
) -> Result<Trained<ColorResNet18>, TrainError> {
    train(network, target, config)
}
