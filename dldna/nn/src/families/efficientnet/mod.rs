//! EfficientNet: Tan and Le, *EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks*, 2019.
//!
//! | file | what is in it |
//! |---|---|
//! | `blocks` | [`MBConv`] and its parts: expand, depthwise convolution, squeeze-and-excitation, project |
//! | here | the network of the paper's table 1, and a small one for small images |
//! | `lite` | [`EfficientNetLite0`], for small devices |
//! | [`scaling`] | how one number makes a family of networks, B0 to B7, and what each costs |
//! | [`prediction`] | how accurate a scaled network might be |
//! | [`published`] | the paper's comparison with other networks |
//! | [`load_torch_weights`] | the weights of torchvision and timm |
//!
//! ```
//! use dldna_nn::{efficientnet::EfficientNetB0, prelude::*};
//!
//! let dev = Cpu::seed_from_u64(0);
//! let network = dev.build_module::<EfficientNetB0<1000>, f32>();
//! assert_eq!(network.num_trainable_params(), 5_288_548);
//! let logits = network.forward(dev.zeros_like(&(1, Const::<3>, 64, 64)));
//! assert_eq!(*logits.shape(), (1, Const::<1000>));
//! ```

mod blocks;
mod lite;
pub mod prediction;
pub mod published;
pub mod scaling;

pub use crate::nn::ConvNorm;
pub use crate::weights::load_torch_weights;
pub use blocks::{Gate, MBConv, SqueezeExcitation};
pub use lite::EfficientNetLite0;
pub use scaling::compound_scaling;

use crate::network;
use crate::nn::{Linear, SiLU, Stage, mean};
use dfdx::prelude::DropoutOneIn;

/// The networks once built on a device: the same types.
pub mod modules {
    pub use super::{
        ConvNorm, EfficientNetB0, EfficientNetLite0, Gate, MBConv, SmallEfficientNet,
        SqueezeExcitation,
    };
}

/// `LAYERS` blocks. The first changes channels and size, the others keep them. Stable Rust cannot multiply the numbers of
/// a type: what is expanded and squeezed stands in front of the layers, `[hidden, squeeze]` of the first block and of
/// the others.
type MBConvs<
    const IN: usize,
    const OUT: usize,
    const K: usize,
    const STRIDE: usize,
    const HIDDEN: usize,
    const SQUEEZE: usize,
    const NEXT_HIDDEN: usize,
    const NEXT_SQUEEZE: usize,
    const LAYERS: usize,
> = Stage<
    MBConv<IN, HIDDEN, SQUEEZE, OUT, K, STRIDE>,
    MBConv<OUT, NEXT_HIDDEN, NEXT_SQUEEZE, OUT, K, 1>,
    LAYERS,
>;

network! {
    /// Table 1 of the paper, line by line; a stage is `MBConvs<IN, OUT, K, STRIDE, ..>`, its last number that of its
    /// layers. For colour images: `(batch, 3, height, width)` to `(batch, CLASSES)`, trained by the authors on 224x224
    /// pixels.
    ///
    /// The paper states the size of each stage's input. Its first layer has the stride: in stages 1, 3, 4, 5 and 7. The
    /// paper's networks also leave out whole blocks at random while they train (stochastic depth); this one does not.
    pub struct EfficientNetB0<const CLASSES: usize> {
        stem: ConvNorm<3, 32, 3, 2, 1, SiLU>,                       // 1: 3x3 convolution
        stage1: MBConvs<32, 16, 3, 1, 32, 8, 96, 4, 1>,             // 2: MBConv1, 3x3
        stage2: MBConvs<16, 24, 3, 2, 96, 4, 144, 6, 2>,            // 3: MBConv6, 3x3
        stage3: MBConvs<24, 40, 5, 2, 144, 6, 240, 10, 2>,          // 4: MBConv6, 5x5
        stage4: MBConvs<40, 80, 3, 2, 240, 10, 480, 20, 3>,         // 5: MBConv6, 3x3
        stage5: MBConvs<80, 112, 5, 1, 480, 20, 672, 28, 3>,        // 6: MBConv6, 5x5
        stage6: MBConvs<112, 192, 5, 2, 672, 28, 1152, 48, 4>,      // 7: MBConv6, 5x5
        stage7: MBConvs<192, 320, 3, 1, 1152, 48, 1920, 80, 1>,     // 8: MBConv6, 3x3
        head: ConvNorm<320, 1280, 1, 1, 0, SiLU>,                   // 9: 1x1 convolution, mean, linear layer
        dropout: DropoutOneIn<5>,
        classifier: Linear<1280, CLASSES>,
    }
    forward(x: Images<3>) -> Vectors<CLASSES> {
        let x = stage4(stage3(stage2(stage1(stem(x)))));
        classifier(dropout(mean(head(stage7(stage6(stage5(x)))))))
    }
}

network! {
    /// The same plan for images of about 28x28 pixels: a stem that keeps their size, three stages of few channels.
    pub struct SmallEfficientNet<const IN: usize, const CLASSES: usize> {
        stem: ConvNorm<IN, 16, 3, 1, 1, SiLU>,
        stage1: MBConvs<16, 16, 3, 1, 16, 4, 16, 4, 1>,
        stage2: MBConvs<16, 24, 3, 2, 64, 4, 96, 6, 2>,
        stage3: MBConvs<24, 40, 5, 2, 96, 6, 160, 10, 2>,
        head: ConvNorm<40, 160, 1, 1, 0, SiLU>,
        dropout: DropoutOneIn<5>,
        classifier: Linear<160, CLASSES>,
    }
    forward(x: Images<IN>) -> Vectors<CLASSES> {
        classifier(dropout(mean(head(stage3(stage2(stage1(stem(x))))))))
    }
}
