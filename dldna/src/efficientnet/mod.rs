//! EfficientNet: Tan and Le, *EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks*, 2019.
//!
//! | file | what is in it |
//! |---|---|
//! | [`blocks`](modules) | [`MBConv`] and its parts: expand, depthwise convolution, squeeze-and-excitation, project |
//! | here | the network of the paper's table 1, and a small one for small images |
//! | [`scaling`] | how one number makes a family of networks, B0 to B7, and what each costs |
//! | [`prediction`] | how accurate a scaled network might be |
//! | [`published`] | the paper's comparison with other networks |
//! | [`load_torch_weights`] | torchvision's weights |
//!
//! ```
//! use dldna::{efficientnet::EfficientNetB0, prelude::*};
//!
//! let dev = Cpu::seed_from_u64(0);
//! let network = dev.build_module::<EfficientNetB0<1000>, f32>();
//! assert_eq!(network.num_trainable_params(), 5_288_548);
//! let logits = network.forward(dev.zeros_like(&(1, Const::<3>, 64, 64)));
//! assert_eq!(*logits.shape(), (1, Const::<1000>));
//! ```

mod blocks;
mod network;
pub mod prediction;
pub mod published;
pub mod scaling;
mod torch_weights;

pub use blocks::builder::{ConvNorm, MBConv, SqueezeExcitation};
pub use network::builder::EfficientNet;
pub use scaling::compound_scaling;
pub use torch_weights::load_torch_weights;

use crate::resnet::Stage;

/// The networks once built on a device: what `dev.build_module` returns.
pub mod modules {
    pub use super::blocks::{ConvNorm, Expansion, MBConv, SqueezeExcitation};
    pub use super::network::EfficientNet;
}

/// `LAYERS` blocks. The first changes channels and size, the others keep them.
type MBConvs<
    const IN: usize,
    const OUT: usize,
    const K: usize,
    const STRIDE: usize,
    const EXPAND: usize,
    const LAYERS: usize,
> = Stage<MBConv<IN, OUT, K, STRIDE, EXPAND>, MBConv<OUT, OUT, K, 1, EXPAND>, LAYERS>;

/// Table 1 of the paper, line by line; a stage is `MBConvs<IN, OUT, K, STRIDE, EXPAND, LAYERS>`. For colour images:
/// `(batch, 3, height, width)` to `(batch, CLASSES)`, trained by the authors on 224x224 pixels.
///
/// The paper states the size of each stage's input. Its first layer has the stride: in stages 1, 3, 4, 5 and 7.
pub type EfficientNetB0<const CLASSES: usize> = EfficientNet<
    ConvNorm<3, 32, 3, 2, 1>, // 1: 3x3 convolution
    // Two halves: a tuple of layers has room for six.
    (
        (
            MBConvs<32, 16, 3, 1, 1, 1>, // 2: MBConv1, 3x3
            MBConvs<16, 24, 3, 2, 6, 2>, // 3: MBConv6, 3x3
            MBConvs<24, 40, 5, 2, 6, 2>, // 4: MBConv6, 5x5
            MBConvs<40, 80, 3, 2, 6, 3>, // 5: MBConv6, 3x3
        ),
        (
            MBConvs<80, 112, 5, 1, 6, 3>,  // 6: MBConv6, 5x5
            MBConvs<112, 192, 5, 2, 6, 4>, // 7: MBConv6, 5x5
            MBConvs<192, 320, 3, 1, 6, 1>, // 8: MBConv6, 3x3
        ),
    ),
    ConvNorm<320, 1280, 1, 1, 0>, // 9: 1x1 convolution, mean, linear layer
    1280,
    CLASSES,
>;

/// The same plan for images of about 28x28 pixels: a stem that keeps their size, three stages of few channels.
pub type SmallEfficientNet<const IN: usize, const CLASSES: usize> = EfficientNet<
    ConvNorm<IN, 16, 3, 1, 1>,
    (
        MBConvs<16, 16, 3, 1, 1, 1>,
        MBConvs<16, 24, 3, 2, 4, 2>,
        MBConvs<24, 40, 5, 2, 4, 2>,
    ),
    ConvNorm<40, 160, 1, 1, 0>,
    160,
    CLASSES,
>;
