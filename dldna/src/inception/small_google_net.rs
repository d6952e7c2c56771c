//! A GoogLeNet for small images.

use super::{AuxiliaryHead, BatchNormInception, ConvNorm, WithAuxiliary};
use crate::nn::MaxPool2D;
use dfdx::prelude::{AvgPoolGlobal, Linear};

/// One convolution, a pooling, and the first module, at half the image's size: 64 channels.
type Start<const IN: usize> = (
    (ConvNorm<IN, 32, 3, 1, 1>, MaxPool2D<3, 2, 1>),
    BatchNormInception<32, 16, 16, 32, 8, 8, 8, 64>,
);

/// Two more modules with a pooling between them, the mean over all pixels, and a linear layer.
type End<const CLASSES: usize> = (
    (
        BatchNormInception<64, 32, 32, 64, 8, 16, 16, 128>,
        MaxPool2D<3, 2, 1>,
        BatchNormInception<128, 64, 48, 96, 16, 32, 32, 224>,
    ),
    (AvgPoolGlobal, Linear<224, CLASSES>),
);

/// Three Inception modules for images of about 28x28 pixels, built as GoogLeNet is: convolutions and poolings first,
/// the mean over all pixels and one linear layer last. `(batch, IN, height, width)` to `(batch, CLASSES)`.
///
/// ```
/// use dldna::{inception::SmallGoogLeNet, prelude::*};
/// let dev = Cpu::seed_from_u64(0);
/// let network = dev.build_module::<SmallGoogLeNet<1, 10>, f32>();
/// let logits = network.forward(dev.zeros_like(&(2, Const::<1>, 28, 28)));
/// assert_eq!(*logits.shape(), (2, Const::<10>));
/// ```
pub type SmallGoogLeNet<const IN: usize, const CLASSES: usize> = (Start<IN>, End<CLASSES>);

/// [`SmallGoogLeNet`] with an [`AuxiliaryHead`] on the first module, for images of 28x28 pixels (27 will do).
///
/// ```
/// use dldna::{data::mnist_sample, inception::AuxiliarySmallGoogLeNet, prelude::*, train::{TrainConfig, train}};
/// let network = Cpu::seed_from_u64(0).build_module::<AuxiliarySmallGoogLeNet<1, 10>, f32>();
/// let config = TrainConfig { epochs: 1, subset: Some(32), batch_size: 16, progress: false, ..Default::default() };
/// let trained = train(network, &mnist_sample()?, &config)?;
/// assert!(trained.finished);
/// # Ok::<(), dldna::train::TrainError>(())
/// ```
pub type AuxiliarySmallGoogLeNet<const IN: usize, const CLASSES: usize> = (
    Start<IN>,
    WithAuxiliary<End<CLASSES>, AuxiliaryHead<64, 2048, CLASSES>>,
);
