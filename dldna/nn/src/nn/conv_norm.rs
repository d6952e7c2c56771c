//! A convolution, a batch norm and an activation: the unit of most networks since 2015.

use super::{BatchNorm2D, Conv2D, ReLU};
use crate::network;

network! {
    /// A convolution without a bias, a batch norm, and an activation:
    /// `(batch, IN, height, width)` to `(batch, OUT, height', width')`, sizes as for [`Conv2D`].
    ///
    /// torchvision: `Conv2dNormActivation`, in its Inception networks `BasicConv2d`.
    ///
    /// ```
    /// use dldna_nn::{nn::ConvNorm, prelude::*};
    /// let dev = Cpu::seed_from_u64(0);
    /// let unit = dev.build_module::<ConvNorm<3, 32, 3, 2, 1, SiLU>, f32>(); // 3x3, stride 2, padding 1
    /// let y = unit.forward(dev.zeros_like(&(1, Const::<3>, 8, 8)));
    /// assert_eq!(*y.shape(), (1, Const::<32>, 4, 4));
    /// ```
    pub struct ConvNorm<
        const IN: usize, const OUT: usize, const K: usize, const STRIDE: usize = 1, const PADDING: usize = 0,
        type A = ReLU
    > {
        conv: Conv2D<IN, OUT, K, STRIDE, PADDING>,
        norm: BatchNorm2D<OUT>,
        activation: A,
    }
    forward(Images<IN>) -> Images<OUT>;
}
