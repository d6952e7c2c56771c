//! The blocks of a residual network.

use crate::network;
use crate::nn::{BatchNorm2D, BiasedConv2D, Element, Layer, assert_width, relu};
use dfdx::prelude::{BuildOnDevice, Device, Dtype, Storage};

network! {
    /// `relu(F(x) + shortcut(x))` with `F` two 3x3 convolutions, a batch norm after each and a ReLU between them:
    /// `(batch, IN, height, width)` to `(batch, OUT, height / STRIDE, width / STRIDE)`, sizes rounded up.
    ///
    /// The shortcut is `x` itself where that fits, else a 1x1 convolution with a batch norm (the paper's option B).
    /// With `SKIP = false` there is none, and the block is a plain one. He et al. 2015, figure 5, left.
    ///
    /// ```
    /// use dldna_nn::{prelude::*, resnet::BasicBlock};
    /// let dev = Cpu::seed_from_u64(0);
    /// let block = dev.build_module::<BasicBlock<64, 128, 2>, f32>();
    /// let y = block.forward(dev.zeros_like(&(1, Const::<64>, 7, 7)));
    /// assert_eq!(*y.shape(), (1, Const::<128>, 4, 4));
    /// ```
    pub struct BasicBlock<const IN: usize, const OUT: usize, const STRIDE: usize, const SKIP: bool = true> {
        conv1: BiasedConv2D<IN, OUT, 3, STRIDE, 1>,
        bn1: BatchNorm2D<OUT>,
        conv2: BiasedConv2D<OUT, OUT, 3, 1, 1>,
        bn2: BatchNorm2D<OUT>,
        shortcut: (BiasedConv2D<IN, OUT, 1, STRIDE>, BatchNorm2D<OUT>) where SKIP && (IN != OUT || STRIDE != 1),
    }
    forward(x: Images<IN>) -> Images<OUT> {
        let y = bn2(conv2(relu(bn1(conv1(x.clone())))));
        relu(if SKIP { y + shortcut(x) } else { y })
    }
}

/// A basic block without its shortcut.
pub type PlainBlock<const IN: usize, const OUT: usize, const STRIDE: usize> =
    BasicBlock<IN, OUT, STRIDE, false>;

network! {
    /// [`Bottleneck`] of any width. `OUT` has to be four times `MID`, or it does not compile.
    pub struct BottleneckBlock<
        const IN: usize, const MID: usize, const OUT: usize, const STRIDE: usize, const SKIP: bool = true
    > {
        conv1: BiasedConv2D<IN, MID, 1>,
        bn1: BatchNorm2D<MID>,
        conv2: BiasedConv2D<MID, MID, 3, STRIDE, 1>,
        bn2: BatchNorm2D<MID>,
        conv3: BiasedConv2D<MID, OUT, 1>,
        bn3: BatchNorm2D<OUT>,
        shortcut: (BiasedConv2D<IN, OUT, 1, STRIDE>, BatchNorm2D<OUT>) where SKIP && (IN != OUT || STRIDE != 1),
    }
    forward(x: Images<IN>) -> Images<OUT> {
        const { assert_width("four times MID", 4 * MID, OUT) };
        let y = relu(bn1(conv1(x.clone())));
        let y = bn3(conv3(relu(bn2(conv2(y)))));
        relu(if SKIP { y + shortcut(x) } else { y })
    }
}

/// `relu(F(x) + shortcut(x))` with `F` a 1x1 convolution to `MID` channels, a 3x3 one, and a 1x1 one to `4 MID`:
/// `(batch, IN, height, width)` to `(batch, 4 MID, height / STRIDE, width / STRIDE)`, sizes rounded up.
///
/// The 3x3 convolution has the stride, as in PyTorch's and the book's networks (in the paper the first one has
/// it). He et al. 2015, figure 5, right.
///
/// Stable Rust cannot write `4 * MID` in a type. This name knows the product for `MID` from 1 to 32 and for the widths
/// of the paper's table 1 and their neighbours; [`BottleneckBlock`] takes any, with the product written out.
///
/// ```
/// use dldna_nn::{prelude::*, resnet::Bottleneck};
/// let dev = Cpu::seed_from_u64(0);
/// let block = dev.build_module::<Bottleneck<256, 64, 1>, f32>();
/// let y = block.forward(dev.zeros_like(&(1, Const::<256>, 7, 7)));
/// assert_eq!(*y.shape(), (1, Const::<256>, 7, 7));
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct Bottleneck<
    const IN: usize,
    const MID: usize,
    const STRIDE: usize,
    const SKIP: bool = true,
>;

macro_rules! bottlenecks {
    ($($mid:literal)+) => {$(
        impl<const IN: usize, const STRIDE: usize, const SKIP: bool> Layer
            for Bottleneck<IN, $mid, STRIDE, SKIP>
        {
            type On<E: Dtype, D: Storage<E>> = BottleneckBlock<IN, $mid, { 4 * $mid }, STRIDE, SKIP, E, D>;
        }

        impl<const IN: usize, const STRIDE: usize, const SKIP: bool, E: Element, D: Device<E>>
            BuildOnDevice<D, E> for Bottleneck<IN, $mid, STRIDE, SKIP>
        {
            type Built = BottleneckBlock<IN, $mid, { 4 * $mid }, STRIDE, SKIP, E, D>;
        }
    )+};
}

bottlenecks!(1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32);
bottlenecks!(48 64 96 128 192 256 384 512);
