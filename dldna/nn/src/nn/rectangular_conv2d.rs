//! Convolution with a kernel that is not square.

use super::conv2d::try_fill_default;
use super::device::{Convolution, LayerDevice};
use super::layer::{image_layer, layer};
use super::run::run_time_sizes;
use crate::kernels::window::Window;
use crate::summary::{LayerSummary, Summarize, SummaryError, WindowLayer};
use dfdx::prelude::*;

layer! {
    /// Convolution with a kernel of `KH` x `KW` pixels, without a bias: `(batch, IN, height, width)` to
    /// `(batch, OUT, height', width')`, with `height' = floor((height + 2 PADDING_HEIGHT - KH) / STRIDE) + 1`, and the
    /// same for the width.
    ///
    /// The weight `(OUT, IN, KH, KW)` starts uniform in `±1 / sqrt(IN KH KW)`, as in PyTorch.
    ///
    /// PyTorch: `torch.nn.Conv2d(IN, OUT, (KH, KW), STRIDE, (PADDING_HEIGHT, PADDING_WIDTH), bias=False)`.
    ///
    /// ```
    /// use dldna_nn::prelude::*;
    /// let dev = Cpu::seed_from_u64(0);
    /// let row = dev.build_module::<RectangularConv2D<8, 16, 1, 3, 1, 0, 1>, f32>(); // 1x3, keeps the size
    /// assert_eq!(row.num_trainable_params(), 8 * 16 * 3);
    /// let y = row.forward(dev.zeros_like(&(2, Const::<8>, 28, 28)));
    /// assert_eq!(*y.shape(), (2, Const::<16>, 28, 28));
    /// ```
    pub struct RectangularConv2D<
        const IN, const OUT, const KH, const KW, const STRIDE = 1, const PADDING_HEIGHT = 0, const PADDING_WIDTH = 0
    > {
        /// One kernel for each pair of output and input channel.
        weight: Rank4<OUT, IN, KH, KW> = TensorOptions::reset_with(|weight| try_fill_default(weight, IN * KH * KW)),
    }
}

impl<
    const IN: usize,
    const OUT: usize,
    const KH: usize,
    const KW: usize,
    const STRIDE: usize,
    const PADDING_HEIGHT: usize,
    const PADDING_WIDTH: usize,
    E: Dtype,
    D: Storage<E>,
> RectangularConv2D<IN, OUT, KH, KW, STRIDE, PADDING_HEIGHT, PADDING_WIDTH, E, D>
{
    const WINDOW: Window = Window {
        kernel: (KH, KW),
        stride: STRIDE,
        padding: (
            super::padding(PADDING_HEIGHT, KH, 1),
            super::padding(PADDING_WIDTH, KW, 1),
        ),
        dilation: 1,
    };
}

image_layer!(
    <const IN, const OUT, const KH, const KW, const STRIDE, const PADDING_HEIGHT, const PADDING_WIDTH>
    RectangularConv2D<IN, OUT, KH, KW, STRIDE, PADDING_HEIGHT, PADDING_WIDTH, f32, D>, IN -> OUT,
    |layer, flow| flow.conv2d(Convolution {
        weight: run_time_sizes(layer.weight.clone()),
        bias: None,
        window: Self::WINDOW,
        groups: 1,
    })
);

impl<
    const IN: usize,
    const OUT: usize,
    const KH: usize,
    const KW: usize,
    const STRIDE: usize,
    const PADDING_HEIGHT: usize,
    const PADDING_WIDTH: usize,
    E: Dtype,
    D: Storage<E>,
> Summarize for RectangularConv2D<IN, OUT, KH, KW, STRIDE, PADDING_HEIGHT, PADDING_WIDTH, E, D>
{
    fn summarize(&self, input: &[usize]) -> Result<LayerSummary, SummaryError> {
        let layer = WindowLayer {
            name: "RectangularConv2D",
            in_channels: IN,
            out_channels: OUT,
            window: Self::WINDOW,
        };
        layer.summarize(input, OUT * IN * KH * KW, IN * KH * KW)
    }
}
