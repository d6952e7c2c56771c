//! A GoogLeNet for small images.

use super::{AuxiliaryHead, BatchNormInception, ConvNorm, WithAuxiliary};
use crate::nn::{AvgPoolGlobal, Linear, MaxPool2D};

/// A convolution that halves the size, and the first module: 64 channels.
type Start<const IN: usize> = (
    ConvNorm<IN, 32, 3, 2, 1>,
    BatchNormInception<32, 16, 16, 32, 8, 8, 8, 64>,
);

/// A pooling that halves the size, two more modules, the mean over all pixels, and a linear layer.
type End<const CLASSES: usize> = (
    (
        MaxPool2D<3, 2, 1>,
        BatchNormInception<64, 32, 32, 64, 8, 16, 16, 128>,
        BatchNormInception<128, 64, 48, 96, 16, 32, 32, 224>,
    ),
    (AvgPoolGlobal, Linear<224, CLASSES>),
);

/// Three Inception modules for images of about 28x28 pixels, built as GoogLeNet is: a convolution of stride 2 first,
/// the mean over all pixels and one linear layer last. `(batch, IN, height, width)` to `(batch, CLASSES)`.
///
/// ```
/// use dldna_nn::{inception::SmallGoogLeNet, prelude::*};
/// let dev = Cpu::seed_from_u64(0);
/// let network = dev.build_module::<SmallGoogLeNet<1, 10>, f32>();
/// let logits = network.forward(dev.zeros_like(&(2, Const::<1>, 28, 28)));
/// assert_eq!(*logits.shape(), (2, Const::<10>));
/// ```
pub type SmallGoogLeNet<const IN: usize, const CLASSES: usize> = (Start<IN>, End<CLASSES>);

/// [`SmallGoogLeNet`] with an [`AuxiliaryHead`] on the first module. It ties the network to images of 27x27 or 28x28
/// pixels while it learns.
///
/// ```
/// use dldna_nn::{inception::AuxiliarySmallGoogLeNet, prelude::*};
/// let dev = Cpu::seed_from_u64(0);
/// let mut network = dev.build_module::<AuxiliarySmallGoogLeNet<1, 10>, f32>();
/// let images = dev.zeros_like(&(2, Const::<1>, 28, 28));
/// let (logits, auxiliary) = network.forward_mut(images.leaky_trace());
/// assert_eq!((*logits.shape(), *auxiliary.shape()), ((2, Const::<10>), (2, Const::<10>)));
/// ```
pub type AuxiliarySmallGoogLeNet<const IN: usize, const CLASSES: usize> = (
    Start<IN>,
    WithAuxiliary<End<CLASSES>, AuxiliaryHead<64, 2048, CLASSES>>,
);
