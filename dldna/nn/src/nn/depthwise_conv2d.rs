//! Depthwise convolution.

use super::conv2d::try_fill_default;
use super::device::{Convolution, LayerDevice};
use super::layer::{image_layer, layer};
use super::run::run_time_sizes;
use crate::kernels::window::Window;
use crate::summary::{LayerSummary, Summarize, SummaryError, WindowLayer};
use dfdx::prelude::*;

layer! {
    /// Convolution of each channel with its own kernel, without a bias:
    /// `(batch, C, height, width)` to `(batch, C, height', width')`.
    ///
    /// The weight `(C, 1, K, K)` starts uniform in `±1 / K`, as in PyTorch. A `PADDING` of [`SAME`](super::SAME) is half
    /// the kernel.
    ///
    /// PyTorch: `torch.nn.Conv2d(C, C, K, STRIDE, PADDING, groups=C, bias=False)`.
    ///
    /// ```
    /// use dldna_nn::prelude::*;
    /// let dev = Cpu::seed_from_u64(0);
    /// let conv = dev.build_module::<DepthwiseConv2D<16, 3, 1, 1>, f32>();
    /// assert_eq!(conv.num_trainable_params(), 16 * 3 * 3);
    /// let y = conv.forward(dev.zeros_like(&(2, Const::<16>, 7, 7)));
    /// assert_eq!(*y.shape(), (2, Const::<16>, 7, 7));
    /// ```
    pub struct DepthwiseConv2D<const C, const K, const STRIDE = 1, const PADDING = 0> {
        /// One kernel for each channel.
        weight: Rank4<C, 1, K, K> = TensorOptions::reset_with(|weight| try_fill_default(weight, K * K)),
    }
}

impl<
    const C: usize,
    const K: usize,
    const STRIDE: usize,
    const PADDING: usize,
    E: Dtype,
    D: Storage<E>,
> DepthwiseConv2D<C, K, STRIDE, PADDING, E, D>
{
    const WINDOW: Window = Window::square(K, STRIDE, super::padding(PADDING, K, 1), 1);
}

image_layer!(
    <const C, const K, const STRIDE, const PADDING> DepthwiseConv2D<C, K, STRIDE, PADDING, f32, D>, C -> C,
    |layer, flow| flow.conv2d(Convolution {
        weight: run_time_sizes(layer.weight.clone()),
        bias: None,
        window: Self::WINDOW,
        groups: C,
    })
);

impl<
    const C: usize,
    const K: usize,
    const STRIDE: usize,
    const PADDING: usize,
    E: Dtype,
    D: Storage<E>,
> Summarize for DepthwiseConv2D<C, K, STRIDE, PADDING, E, D>
{
    fn summarize(&self, input: &[usize]) -> Result<LayerSummary, SummaryError> {
        let layer = WindowLayer {
            name: "DepthwiseConv2D",
            in_channels: C,
            out_channels: C,
            window: Self::WINDOW,
        };
        layer.summarize(input, C * K * K, K * K)
    }
}
