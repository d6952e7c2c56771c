//! Residual networks: He, Zhang, Ren and Sun, *Deep Residual Learning for Image Recognition*, 2015.
//!
//! | file | what is in it |
//! |---|---|
//! | `blocks` | [`BasicBlock`] and [`Bottleneck`]: two or three convolutions and the shortcut around them |
//! | here | the networks of the paper's table 1 (ImageNet) and of its section 4.2 (small images), and the same without shortcuts |
//! | [`load_torch_weights`] | PyTorch's weights for any of them |
//!
//! As in the book, each convolution has a bias. Any number of input channels and classes, any image size:
//!
//! ```
//! use dldna_nn::{prelude::*, resnet::ResNet18};
//!
//! let dev = Cpu::seed_from_u64(0);
//! let network = dev.build_module::<ResNet18<1, 10>, f32>();
//! assert_eq!(network.num_trainable_params(), 11_180_170);
//! let logits = network.forward(dev.zeros_like(&(2, Const::<1>, 28, 28)));
//! assert_eq!(*logits.shape(), (2, Const::<10>));
//! ```

mod blocks;

pub use crate::nn::Stage;
pub use crate::weights::load_torch_weights;
pub use blocks::{BasicBlock, Bottleneck, BottleneckBlock, PlainBlock};

use crate::network;
use crate::nn::{BatchNorm2D, BiasedConv2D, ConvNorm, Linear, MaxPool2D, mean, relu};

/// The networks once built on a device: the same types, and what [`Bottleneck`] becomes.
pub mod modules {
    pub use super::{
        BasicBlock, BasicResNet, BottleneckBlock as Bottleneck, DeepResNet, SmallResNet,
        SmallResNet18, SmallWideResNet, Stage,
    };
}

/// `BLOCKS` basic blocks. The first changes channels and size, the others keep them.
type Basic<
    const IN: usize,
    const OUT: usize,
    const STRIDE: usize,
    const BLOCKS: usize,
    const SKIP: bool,
> = Stage<BasicBlock<IN, OUT, STRIDE, SKIP>, BasicBlock<OUT, OUT, 1, SKIP>, BLOCKS>;

/// `BLOCKS` bottlenecks. The first changes channels and size, the others keep them.
type Deep<
    const IN: usize,
    const MID: usize,
    const OUT: usize,
    const STRIDE: usize,
    const BLOCKS: usize,
    const SKIP: bool,
> = Stage<
    BottleneckBlock<IN, MID, OUT, STRIDE, SKIP>,
    BottleneckBlock<OUT, MID, OUT, 1, SKIP>,
    BLOCKS,
>;

network! {
    /// Table 1 of the paper, with two 3x3 convolutions a block: the number of blocks in each stage makes the network.
    /// `(batch, IN, height, width)` to `(batch, CLASSES)`.
    pub struct BasicResNet<
        const IN: usize, const CLASSES: usize,
        const N1: usize, const N2: usize, const N3: usize, const N4: usize, const SKIP: bool
    > {
        conv1: BiasedConv2D<IN, 64, 7, 2, 3>,
        bn1: BatchNorm2D<64>,
        pool: MaxPool2D<3, 2, 1>,
        layer1: Basic<64, 64, 1, N1, SKIP>,
        layer2: Basic<64, 128, 2, N2, SKIP>,
        layer3: Basic<128, 256, 2, N3, SKIP>,
        layer4: Basic<256, 512, 2, N4, SKIP>,
        fc: Linear<512, CLASSES>,
    }
    forward(x: Images<IN>) -> Vectors<CLASSES> {
        let x = pool(relu(bn1(conv1(x))));
        fc(mean(layer4(layer3(layer2(layer1(x))))))
    }
}

network! {
    /// Table 1 of the paper, with a bottleneck of 1x1, 3x3 and 1x1 convolutions a block.
    /// `(batch, IN, height, width)` to `(batch, CLASSES)`.
    pub struct DeepResNet<
        const IN: usize, const CLASSES: usize,
        const N1: usize, const N2: usize, const N3: usize, const N4: usize, const SKIP: bool
    > {
        conv1: BiasedConv2D<IN, 64, 7, 2, 3>,
        bn1: BatchNorm2D<64>,
        pool: MaxPool2D<3, 2, 1>,
        layer1: Deep<64, 64, 256, 1, N1, SKIP>,
        layer2: Deep<256, 128, 512, 2, N2, SKIP>,
        layer3: Deep<512, 256, 1024, 2, N3, SKIP>,
        layer4: Deep<1024, 512, 2048, 2, N4, SKIP>,
        fc: Linear<2048, CLASSES>,
    }
    forward(x: Images<IN>) -> Vectors<CLASSES> {
        let x = pool(relu(bn1(conv1(x))));
        fc(mean(layer4(layer3(layer2(layer1(x))))))
    }
}

network! {
    /// Section 4.2 of the paper, for images of about 32x32 pixels: three stages of `N` blocks, `6 N + 2` layers deep.
    /// `(batch, IN, height, width)` to `(batch, CLASSES)`.
    pub struct SmallResNet<const IN: usize, const CLASSES: usize, const N: usize, const SKIP: bool> {
        conv1: BiasedConv2D<IN, 16, 3, 1, 1>,
        bn1: BatchNorm2D<16>,
        layer1: Basic<16, 16, 1, N, SKIP>,
        layer2: Basic<16, 32, 2, N, SKIP>,
        layer3: Basic<32, 64, 2, N, SKIP>,
        fc: Linear<64, CLASSES>,
    }
    forward(x: Images<IN>) -> Vectors<CLASSES> {
        fc(mean(layer3(layer2(layer1(relu(bn1(conv1(x))))))))
    }
}

network! {
    /// [`ResNet18`] for images of about 28x28 pixels: its first layer, a 3x3 convolution, keeps their size.
    pub struct SmallResNet18<const IN: usize, const CLASSES: usize> {
        conv1: BiasedConv2D<IN, 64, 3, 1, 1>,
        bn1: BatchNorm2D<64>,
        layer1: Basic<64, 64, 1, 2, true>,
        layer2: Basic<64, 128, 2, 2, true>,
        layer3: Basic<128, 256, 2, 2, true>,
        layer4: Basic<256, 512, 2, 2, true>,
        fc: Linear<512, CLASSES>,
    }
    forward(x: Images<IN>) -> Vectors<CLASSES> {
        fc(mean(layer4(layer3(layer2(layer1(relu(bn1(conv1(x)))))))))
    }
}

network! {
    /// Three blocks of 64 and 128 channels, for small images: fewer layers than [`ResNet20`], and wider ones, as in Zagoruyko
    /// and Komodakis, *Wide Residual Networks*, 2016. A processor does more multiply-adds a second in them.
    /// `(batch, IN, height, width)` to `(batch, CLASSES)`.
    pub struct SmallWideResNet<const IN: usize, const CLASSES: usize> {
        stem: (ConvNorm<IN, 32, 3, 1, 1>, ConvNorm<32, 64, 3, 2, 1>),
        block1: BasicBlock<64, 64, 1>,
        block2: BasicBlock<64, 128, 2>,
        block3: BasicBlock<128, 128, 1>,
        fc: Linear<128, CLASSES>,
    }
    forward(x: Images<IN>) -> Vectors<CLASSES> {
        fc(mean(block3(block2(block1(stem(x))))))
    }
}

/// 18 layers with weights: 1 + 2 (2 + 2 + 2 + 2) + 1.
pub type ResNet18<const IN: usize, const CLASSES: usize> =
    BasicResNet<IN, CLASSES, 2, 2, 2, 2, true>;
/// 34 layers with weights: 1 + 2 (3 + 4 + 6 + 3) + 1.
pub type ResNet34<const IN: usize, const CLASSES: usize> =
    BasicResNet<IN, CLASSES, 3, 4, 6, 3, true>;
/// 50 layers with weights: 1 + 3 (3 + 4 + 6 + 3) + 1.
pub type ResNet50<const IN: usize, const CLASSES: usize> =
    DeepResNet<IN, CLASSES, 3, 4, 6, 3, true>;
/// 101 layers with weights: 1 + 3 (3 + 4 + 23 + 3) + 1.
pub type ResNet101<const IN: usize, const CLASSES: usize> =
    DeepResNet<IN, CLASSES, 3, 4, 23, 3, true>;
/// 152 layers with weights: 1 + 3 (3 + 8 + 36 + 3) + 1.
pub type ResNet152<const IN: usize, const CLASSES: usize> =
    DeepResNet<IN, CLASSES, 3, 8, 36, 3, true>;

/// [`ResNet18`] without shortcuts.
pub type PlainNet18<const IN: usize, const CLASSES: usize> =
    BasicResNet<IN, CLASSES, 2, 2, 2, 2, false>;
/// [`ResNet34`] without shortcuts.
pub type PlainNet34<const IN: usize, const CLASSES: usize> =
    BasicResNet<IN, CLASSES, 3, 4, 6, 3, false>;
/// [`ResNet50`] without shortcuts.
pub type PlainNet50<const IN: usize, const CLASSES: usize> =
    DeepResNet<IN, CLASSES, 3, 4, 6, 3, false>;

/// 20 layers with weights, for small images.
pub type ResNet20<const IN: usize, const CLASSES: usize> = SmallResNet<IN, CLASSES, 3, true>;
/// 56 layers with weights, for small images.
pub type ResNet56<const IN: usize, const CLASSES: usize> = SmallResNet<IN, CLASSES, 9, true>;
/// [`ResNet20`] without shortcuts.
pub type PlainNet20<const IN: usize, const CLASSES: usize> = SmallResNet<IN, CLASSES, 3, false>;
/// [`ResNet56`] without shortcuts: deeper than [`PlainNet20`], and worse even on what it was trained on.
pub type PlainNet56<const IN: usize, const CLASSES: usize> = SmallResNet<IN, CLASSES, 9, false>;
