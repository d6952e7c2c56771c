//! Plain and residual networks of several depths side by side: section 7.2.1.
//!
//! He et al. 2015 found that a plain network of 56 layers is worse than one of 20, even on the images it has learned
//! from. The functions here repeat the comparison at a size that runs in minutes.

mod diagram;

pub use diagram::draw_blocks;

use crate::data::{Normalisation, Split};
use crate::resnet::{
    PlainNet20, PlainNet56, ResNet18, ResNet20, ResNet34, ResNet50, ResNet56, ResNet101, ResNet152,
};
use crate::summary::{Summary, SummaryError};
use crate::train::{
    Classifier, History, Images, TrainConfig, TrainError, TrainingOutput, smoothed_targets, train,
};
use crate::weights::for_each_tensor;
use dfdx::prelude::*;
use std::fmt;

/// One of the four networks of the comparison: section 4.2 of the paper, for grey images and ten classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SmallNetwork {
    /// 20 layers without shortcuts.
    Plain20,
    /// 56 layers without shortcuts.
    Plain56,
    /// 20 layers with shortcuts.
    Residual20,
    /// 56 layers with shortcuts.
    Residual56,
}

impl SmallNetwork {
    /// All four.
    pub const ALL: [SmallNetwork; 4] = [
        SmallNetwork::Plain20,
        SmallNetwork::Plain56,
        SmallNetwork::Residual20,
        SmallNetwork::Residual56,
    ];

    /// Trains the network from new weights.
    ///
    /// # Errors
    /// As those of [`train`].
    ///
    /// # Example
    /// ```
    /// use dldna::{data::mnist_sample, residual_learning::SmallNetwork, train::TrainConfig};
    ///
    /// let config = TrainConfig { epochs: 1, subset: Some(64), image_size: 8, progress: false, ..Default::default() };
    /// let history = SmallNetwork::Plain20.train(&mnist_sample()?, &config)?;
    /// assert_eq!(history.epochs.len(), 1);
    /// # Ok::<(), dldna::train::TrainError>(())
    /// ```
    pub fn train(self, split: &Split, config: &TrainConfig) -> Result<History, TrainError> {
        let dev = Cpu::seed_from_u64(config.seed);
        let history = match self {
            SmallNetwork::Plain20 => {
                train(dev.build_module::<PlainNet20<1, 10>, f32>(), split, config)?.history
            }
            SmallNetwork::Plain56 => {
                train(dev.build_module::<PlainNet56<1, 10>, f32>(), split, config)?.history
            }
            SmallNetwork::Residual20 => {
                train(dev.build_module::<ResNet20<1, 10>, f32>(), split, config)?.history
            }
            SmallNetwork::Residual56 => {
                train(dev.build_module::<ResNet56<1, 10>, f32>(), split, config)?.history
            }
        };
        Ok(history)
    }

    /// How strongly the loss of one batch depends on each layer of a network that has learned nothing: the norm of the
    /// gradient with respect to the weights of each 3x3 convolution, the first layer first.
    ///
    /// # Errors
    /// [`TrainError`] when there is no image.
    ///
    /// # Example
    /// ```
    /// use dldna::{data::fashion_mnist_sample, residual_learning::SmallNetwork};
    ///
    /// let images = fashion_mnist_sample()?;
    /// let norms = SmallNetwork::Residual20.gradient_norms(&images, 7)?;
    /// assert_eq!(norms.len(), 19); // the twentieth layer is the linear one
    /// # Ok::<(), dldna::train::TrainError>(())
    /// ```
    pub fn gradient_norms(self, split: &Split, seed: u64) -> Result<Vec<f32>, TrainError> {
        let dev = Cpu::seed_from_u64(seed);
        match self {
            SmallNetwork::Plain20 => norms(dev.build_module::<PlainNet20<1, 10>, f32>(), split),
            SmallNetwork::Plain56 => norms(dev.build_module::<PlainNet56<1, 10>, f32>(), split),
            SmallNetwork::Residual20 => norms(dev.build_module::<ResNet20<1, 10>, f32>(), split),
            SmallNetwork::Residual56 => norms(dev.build_module::<ResNet56<1, 10>, f32>(), split),
        }
    }
}

impl fmt::Display for SmallNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SmallNetwork::Plain20 => "plain-20",
            SmallNetwork::Plain56 => "plain-56",
            SmallNetwork::Residual20 => "residual-20",
            SmallNetwork::Residual56 => "residual-56",
        })
    }
}

/// Images in the batch whose gradients are measured.
const BATCH: usize = 64;

fn norms<N: Classifier<1, 10>>(mut network: N, split: &Split) -> Result<Vec<f32>, TrainError> {
    let first = split.train.batches(BATCH, Normalisation::BOOK).next();
    let batch = first.ok_or(TrainError::Empty {
        set: "training",
        needed: 1,
    })?;
    let dev = Cpu::default();
    let images: Images = batch.to_tensor(&dev);
    let output = network.try_forward_mut(images.leaky_traced())?;
    let targets = smoothed_targets(&batch.labels, 0.0)?;
    let gradients = output.try_loss(targets)?.try_backward()?;
    let mut norms = Vec::new();
    for_each_tensor(&network, |_, tensor| {
        if let [_, _, 3, 3] = tensor.sizes()[..] {
            let gradient = tensor.gradient(&gradients);
            let squares: f64 = gradient.iter().map(|&g| f64::from(g).powi(2)).sum();
            norms.push(squares.sqrt() as f32);
        }
    });
    Ok(norms)
}

/// The layers of one of the networks of the paper's table 1, for `input` = (batch, 1, height, width) and ten classes.
///
/// `depth` is 18, 34, 50, 101 or 152; `None` for any other.
///
/// # Errors
/// [`SummaryError`] when the input has another number of channels.
///
/// # Example
/// ```
/// use dldna::residual_learning::resnet_summary;
///
/// let summary = resnet_summary(18, &[1, 1, 224, 224]).unwrap()?;
/// assert_eq!(summary.parameters(), 11_180_170);
/// # Ok::<(), dldna::summary::SummaryError>(())
/// ```
pub fn resnet_summary(depth: usize, input: &[usize]) -> Option<Result<Summary, SummaryError>> {
    let dev = Cpu::seed_from_u64(0);
    Some(match depth {
        18 => Summary::of(&dev.build_module::<ResNet18<1, 10>, f32>(), input),
        34 => Summary::of(&dev.build_module::<ResNet34<1, 10>, f32>(), input),
        50 => Summary::of(&dev.build_module::<ResNet50<1, 10>, f32>(), input),
        101 => Summary::of(&dev.build_module::<ResNet101<1, 10>, f32>(), input),
        152 => Summary::of(&dev.build_module::<ResNet152<1, 10>, f32>(), input),
        _ => return None,
    })
}
