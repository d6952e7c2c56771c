//! Xception's convolution: first each channel by itself, then each pixel by itself.

use crate::nn::{Conv2D, DepthwiseConv2D};

/// A 3x3 convolution in two steps: a depthwise one, in which every channel is filtered by its own kernel, and a
/// pointwise one, 1x1, that mixes the channels. There is no activation between them.
///
/// `(batch, IN, height, width)` to `(batch, OUT, height / STRIDE, width / STRIDE)`, sizes rounded up. The work is
/// `1 / OUT + 1 / 3²` of that of a 3x3 convolution. Chollet, *Xception: Deep Learning with Depthwise Separable
/// Convolutions*, 2016, section 1.
///
/// ```
/// use dldna_nn::{inception::SeparableConv2D, prelude::*};
/// let dev = Cpu::seed_from_u64(0);
/// let conv = dev.build_module::<SeparableConv2D<64, 128>, f32>();
/// assert_eq!(conv.num_trainable_params(), 64 * 3 * 3 + 64 * 128);
/// let y = conv.forward(dev.zeros_like(&(1, Const::<64>, 28, 28)));
/// assert_eq!(*y.shape(), (1, Const::<128>, 28, 28));
/// ```
pub type SeparableConv2D<const IN: usize, const OUT: usize, const STRIDE: usize = 1> =
    (DepthwiseConv2D<IN, 3, STRIDE, 1>, Conv2D<IN, OUT, 1>);
