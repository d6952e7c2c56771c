//! MobileNetV2: Sandler et al., *MobileNetV2: Inverted Residuals and Linear Bottlenecks*, 2018.
//!
//! A block widens its few channels, filters each by itself and narrows them again; the shortcut is between the narrow
//! ends. EfficientNet's [`MBConv`](crate::efficientnet::MBConv) is this block with squeeze-and-excitation.
//!
//! ```
//! use dldna_nn::{mobilenet::MobileNetV2, prelude::*};
//!
//! let dev = Cpu::seed_from_u64(0);
//! let network = dev.build_module::<MobileNetV2<3, 1000>, f32>();
//! assert_eq!(network.num_trainable_params(), 3_504_872); // torchvision's
//! let logits = network.forward(dev.zeros_like(&(1, Const::<3>, 64, 64)));
//! assert_eq!(*logits.shape(), (1, Const::<1000>));
//! ```
//!
//! [`load_torch_weights`](crate::weights::load_torch_weights) takes the weights of torchvision and timm. They expect
//! images whose channels are normalised by the means 0.485, 0.456, 0.406 and the deviations 0.229, 0.224, 0.225.

use crate::network;
use crate::nn::{BatchNorm2D, Conv2D, ConvNorm, DepthwiseConv2D, Linear, ReLU6, SAME, Stage, mean};
use dfdx::prelude::DropoutOneIn;

/// The networks once built on a device: the same types.
pub mod modules {
    pub use super::{InvertedResidual, MobileNetV2};
}

network! {
    /// `(batch, IN, height, width)` to `(batch, OUT, height / STRIDE, width / STRIDE)`, sizes rounded up. Figure 4d of the
    /// paper.
    ///
    /// | step | what | channels |
    /// |---|---|---|
    /// | expand | 1x1 convolution, batch norm, ReLU6; left out where `HIDDEN` is `IN` | `IN` to `HIDDEN` |
    /// | depthwise | `K`x`K` convolution of each channel by itself, batch norm, ReLU6 | same |
    /// | project | 1x1 convolution, batch norm | to `OUT` |
    /// | shortcut | adds the input, where channels and size are the same | |
    ///
    /// ```
    /// use dldna_nn::{mobilenet::InvertedResidual, prelude::*};
    /// let dev = Cpu::seed_from_u64(0);
    /// let block = dev.build_module::<InvertedResidual<24, 144, 32, 3, 2>, f32>();
    /// let y = block.forward(dev.zeros_like(&(1, Const::<24>, 56, 56)));
    /// assert_eq!(*y.shape(), (1, Const::<32>, 28, 28));
    /// ```
    pub struct InvertedResidual<
        const IN: usize, const HIDDEN: usize, const OUT: usize, const K: usize, const STRIDE: usize
    > {
        expand: (Conv2D<IN, HIDDEN, 1>, BatchNorm2D<HIDDEN>, ReLU6) where IN != HIDDEN,
        depthwise: (DepthwiseConv2D<HIDDEN, K, STRIDE, SAME>, BatchNorm2D<HIDDEN>, ReLU6),
        project: (Conv2D<HIDDEN, OUT, 1>, BatchNorm2D<OUT>),
    }
    forward(x: Images<IN>) -> Images<OUT> {
        let y = project(depthwise(expand(x.clone())));
        if IN == OUT && STRIDE == 1 { y + x.unchanged() } else { y }
    }
}

/// `LAYERS` blocks. The first changes channels and size, the others keep them. Stable Rust cannot multiply the numbers of
/// a type: the hidden channels of the first block and of the others stand in front of the layers.
pub(super) type InvertedResiduals<
    const IN: usize,
    const OUT: usize,
    const K: usize,
    const STRIDE: usize,
    const HIDDEN: usize,
    const NEXT_HIDDEN: usize,
    const LAYERS: usize,
> = Stage<
    InvertedResidual<IN, HIDDEN, OUT, K, STRIDE>,
    InvertedResidual<OUT, NEXT_HIDDEN, OUT, K, 1>,
    LAYERS,
>;

network! {
    /// Table 2 of the paper, line by line, at width 1.0: `(batch, IN, height, width)` to `(batch, CLASSES)`, trained by
    /// the authors on 224x224 pixels.
    pub struct MobileNetV2<const IN: usize, const CLASSES: usize> {
        stem: ConvNorm<IN, 32, 3, 2, 1, ReLU6>,
        stage1: InvertedResiduals<32, 16, 3, 1, 32, 96, 1>,
        stage2: InvertedResiduals<16, 24, 3, 2, 96, 144, 2>,
        stage3: InvertedResiduals<24, 32, 3, 2, 144, 192, 3>,
        stage4: InvertedResiduals<32, 64, 3, 2, 192, 384, 4>,
        stage5: InvertedResiduals<64, 96, 3, 1, 384, 576, 3>,
        stage6: InvertedResiduals<96, 160, 3, 2, 576, 960, 3>,
        stage7: InvertedResiduals<160, 320, 3, 1, 960, 1920, 1>,
        head: ConvNorm<320, 1280, 1, 1, 0, ReLU6>,
        dropout: DropoutOneIn<5>,
        classifier: Linear<1280, CLASSES>,
    }
    forward(x: Images<IN>) -> Vectors<CLASSES> {
        let x = stage4(stage3(stage2(stage1(stem(x)))));
        classifier(dropout(mean(head(stage7(stage6(stage5(x)))))))
    }
}
