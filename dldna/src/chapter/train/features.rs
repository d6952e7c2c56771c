//! What a trained ResNet-18 sees: the first test image, and the feature maps of its stages.

use super::{FashionResNet18, Images, TrainConfig, TrainError, Trained, train_resnet18};
use crate::cnn::FeatureMaps;
use crate::data::{self, DatasetExt, Normalisation};
use crate::image::GrayImage;
use dfdx::prelude::*;

/// An image that the network has not learned from, and what the network takes it for.
#[derive(Debug, Clone)]
pub struct TestImage {
    /// As it is in the data.
    pub image: GrayImage,
    /// As the network sees it: `(1, 1, height, width)`, resized and normalised.
    pub input: Images,
    /// Its class, from 0.
    pub label: usize,
    /// The class that the network gives it.
    pub prediction: usize,
    /// Names of the classes.
    pub class_names: Vec<String>,
}

/// Trains ResNet-18 as [`train_resnet18`] does, or takes it as it is in a complete checkpoint, and applies it to the
/// first test image of Fashion-MNIST.
///
/// # Errors
/// As those of [`train_resnet18`].
///
/// # Example
/// ```
/// use dldna::train::{TrainConfig, get_trained_model_and_test_image};
///
/// let config = TrainConfig { epochs: 1, subset: Some(64), batch_size: 32, progress: false, ..Default::default() };
/// let (_trained, test) = get_trained_model_and_test_image(&config)?;
/// assert_eq!(test.class_names[test.label], "Ankle boot");
/// assert_eq!(test.label, 9);
/// # Ok::<(), dldna::train::TrainError>(())
/// ```
pub fn get_trained_model_and_test_image(
    config: &TrainConfig,
) -> Result<(Trained, TestImage), TrainError> {
    let trained = train_resnet18(config)?;
    let test = data::fashion_mnist_sample()?.test.take(1);
    let batch = test.batches(1, Normalisation::BOOK).next();
    let batch = batch.ok_or(TrainError::Empty {
        set: "test",
        needed: 1,
    })?;
    let input: Images = batch.resized(config.image_size).to_tensor(&Cpu::default());
    let logits = trained.model.try_forward(input.clone())?;
    let logits = logits.as_vec();
    let prediction = (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b]));
    let image = TestImage {
        image: test.image(0)?,
        input,
        label: batch.labels[0],
        prediction: prediction.unwrap_or_default(),
        class_names: test.class_names().to_vec(),
    };
    Ok((trained, image))
}

/// What the first convolution (with its batch norm and ReLU) and the eight blocks of a ResNet-18 give for `images`:
/// `conv1`, `layer1_0`, `layer1_1` and so on to `layer4_1`, after the input itself.
///
/// # Errors
/// [`TrainError::Layer`] when the images are too small.
///
/// # Example
/// ```
/// use dldna::{prelude::*, resnet::ResNet18, train::feature_maps};
///
/// let dev = Cpu::seed_from_u64(0);
/// let network = dev.build_module::<ResNet18<1, 10>, f32>();
/// let maps = feature_maps(&network, &dev.zeros_like(&(1, Const::<1>, 224, 224)))?;
/// assert_eq!(maps.get("conv1").unwrap().shape(), [1, 64, 112, 112]);
/// assert_eq!(maps.get("layer4_1").unwrap().shape(), [1, 512, 7, 7]);
/// # Ok::<(), dldna::train::TrainError>(())
/// ```
pub fn feature_maps(network: &FashionResNet18, images: &Images) -> Result<FeatureMaps, TrainError> {
    let mut maps = FeatureMaps::starting_with(images);
    let x = network.conv1.try_forward(images.clone())?;
    let x = maps.keep("conv1", network.bn1.try_forward(x)?.try_relu()?);
    let x = network.pool.try_forward(x)?;
    let x = maps.keep("layer1_0", network.layer1.first.try_forward(x)?);
    let x = maps.keep("layer1_1", network.layer1.rest[0].try_forward(x)?);
    let x = maps.keep("layer2_0", network.layer2.first.try_forward(x)?);
    let x = maps.keep("layer2_1", network.layer2.rest[0].try_forward(x)?);
    let x = maps.keep("layer3_0", network.layer3.first.try_forward(x)?);
    let x = maps.keep("layer3_1", network.layer3.rest[0].try_forward(x)?);
    let x = maps.keep("layer4_0", network.layer4.first.try_forward(x)?);
    maps.keep("layer4_1", network.layer4.rest[0].try_forward(x)?);
    Ok(maps)
}
