//! The block of EfficientNet and its parts.

use crate::network;
use crate::nn::{
    BatchNorm2D, BiasedConv2D, Conv2D, DepthwiseConv2D, SAME, SiLU, scale_channels, sigmoid,
    squeeze,
};

network! {
    /// The factor of each channel of each image that [`SqueezeExcitation`] multiplies it with: `(batch, C, height, width)`
    /// to `(batch, C, 1, 1)`, between 0 and 1.
    pub struct Gate<const C: usize, const SQUEEZE: usize, type A = SiLU> {
        reduce: BiasedConv2D<C, SQUEEZE, 1>,
        activation: A,
        expand: BiasedConv2D<SQUEEZE, C, 1>,
    }
    forward(x: Images<C>) -> Images<C> {
        sigmoid(expand(activation(reduce(squeeze(x)))))
    }
}

network! {
    /// Multiplies each channel by a factor between 0 and 1 that depends on the mean of all channels:
    /// `x sigmoid(expand(A(reduce(mean(x)))))`, with `reduce` to `SQUEEZE` features and `expand` back to `C`.
    /// `(batch, C, height, width)` to the same shape. Hu et al., *Squeeze-and-Excitation Networks*, 2018, figure 3.
    ///
    /// ```
    /// use dldna_nn::{efficientnet::SqueezeExcitation, prelude::*};
    /// let dev = Cpu::seed_from_u64(0);
    /// let layer = dev.build_module::<SqueezeExcitation<16, 4>, f32>();
    /// let y = layer.forward(dev.ones_like(&(2, Const::<16>, 7, 7)));
    /// assert!(y.as_vec().iter().all(|y| 0.0 < *y && *y < 1.0));
    /// ```
    pub struct SqueezeExcitation<const C: usize, const SQUEEZE: usize, type A = SiLU> {
        gate: Gate<C, SQUEEZE, A>,
    }
    forward(x: Images<C>) -> Images<C> {
        scale_channels(x.clone(), gate(x))
    }
}

network! {
    /// The mobile inverted bottleneck: `(batch, IN, height, width)` to `(batch, OUT, height / STRIDE, width / STRIDE)`,
    /// sizes rounded up.
    ///
    /// | step | what | channels |
    /// |---|---|---|
    /// | expand | 1x1 convolution, batch norm, `A`; left out where `HIDDEN` is `IN` | `IN` to `HIDDEN` |
    /// | depthwise | `K`x`K` convolution of each channel by itself, batch norm, `A` | same |
    /// | squeeze-and-excitation | [`SqueezeExcitation`] with `SQUEEZE` features | same |
    /// | project | 1x1 convolution, batch norm | to `OUT` |
    /// | shortcut | adds the input, where channels and size are the same | |
    ///
    /// EfficientNet has `HIDDEN = 6 IN`, `SQUEEZE = IN / 4` and SiLU for `A`, the book's listing
    /// [`ReLU6`](crate::nn::ReLU6). Sandler et al., *MobileNetV2*, 2018, figure 3b, and Tan et al., *MnasNet*, 2019,
    /// figure 7.
    ///
    /// ```
    /// use dldna_nn::{efficientnet::MBConv, prelude::*};
    /// let dev = Cpu::seed_from_u64(0);
    /// let block = dev.build_module::<MBConv<24, 144, 6, 40, 5, 2>, f32>();
    /// let y = block.forward(dev.zeros_like(&(1, Const::<24>, 56, 56)));
    /// assert_eq!(*y.shape(), (1, Const::<40>, 28, 28));
    /// ```
    pub struct MBConv<
        const IN: usize, const HIDDEN: usize, const SQUEEZE: usize, const OUT: usize, const K: usize, const STRIDE: usize,
        type A = SiLU
    > {
        expand: (Conv2D<IN, HIDDEN, 1>, BatchNorm2D<HIDDEN>, A) where IN != HIDDEN,
        depthwise: (DepthwiseConv2D<HIDDEN, K, STRIDE, SAME>, BatchNorm2D<HIDDEN>, A),
        squeeze_excitation: SqueezeExcitation<HIDDEN, SQUEEZE, A>,
        project: (Conv2D<HIDDEN, OUT, 1>, BatchNorm2D<OUT>),
    }
    forward(x: Images<IN>) -> Images<OUT> {
        let y = project(squeeze_excitation(depthwise(expand(x.clone()))));
        if IN == OUT && STRIDE == 1 { y + x.unchanged() } else { y }
    }
}

/// Numbers that the channels of a block are squeezed to: a quarter.
pub(super) const fn quarter(channels: usize) -> usize {
    if channels < 4 { 1 } else { channels / 4 }
}
