//! Convolution, with and without a bias.

use super::device::{Channels, Convolution, LayerDevice};
use super::layer::{image_layer, layer};
use super::network::Element;
use super::run::run_time_sizes;
use crate::kernels::window::Window;
use crate::summary::{LayerSummary, Summarize, SummaryError, WindowLayer};
use dfdx::prelude::*;
use rand_distr::Uniform;

layer! {
    /// Convolution without a bias: `(batch, IN, height, width)` to `(batch, OUT, height', width')`, with
    /// `height' = floor((height + 2 PADDING - DILATION (K - 1) - 1) / STRIDE) + 1`, and the same for the width.
    ///
    /// The weight `(OUT, IN, K, K)` starts uniform in `±1 / sqrt(IN K K)`, as in PyTorch. A `PADDING` of
    /// [`SAME`](super::SAME) is half the kernel.
    ///
    /// PyTorch: `torch.nn.Conv2d(IN, OUT, K, STRIDE, PADDING, DILATION, bias=False)`.
    ///
    /// ```
    /// use dldna_nn::prelude::*;
    /// let dev = Cpu::seed_from_u64(0);
    /// let conv = dev.build_module::<Conv2D<3, 16, 3, 2, 1>, f32>(); // 3x3, stride 2, padding 1
    /// let y = conv.forward(dev.zeros_like(&(8, Const::<3>, 32, 32)));
    /// assert_eq!(*y.shape(), (8, Const::<16>, 16, 16));
    /// ```
    pub struct Conv2D<const IN, const OUT, const K, const STRIDE = 1, const PADDING = 0, const DILATION = 1> {
        /// One kernel for each pair of output and input channel.
        weight: Rank4<OUT, IN, K, K> = TensorOptions::reset_with(|weight| try_fill_default(weight, IN * K * K)),
    }
}

layer! {
    /// [`Conv2D`] with a bias per output channel. Weight and bias start uniform in `±1 / sqrt(IN K K)`.
    ///
    /// PyTorch: `torch.nn.Conv2d(IN, OUT, K, STRIDE, PADDING, DILATION)`.
    ///
    /// ```
    /// use dldna_nn::prelude::*;
    /// let dev = Cpu::seed_from_u64(0);
    /// let conv = dev.build_module::<BiasedConv2D<1, 32, 3>, f32>();
    /// assert_eq!(conv.num_trainable_params(), 3 * 3 * 32 + 32);
    /// ```
    pub struct BiasedConv2D<const IN, const OUT, const K, const STRIDE = 1, const PADDING = 0, const DILATION = 1> {
        /// One kernel for each pair of output and input channel.
        weight: Rank4<OUT, IN, K, K> = TensorOptions::reset_with(|weight| try_fill_default(weight, IN * K * K)),
        /// Added to every pixel of an output channel.
        bias: Rank1<OUT> = TensorOptions::reset_with(|bias| try_fill_default(bias, IN * K * K)),
    }
}

/// Fills with PyTorch's default for a layer in which each result sums `fan_in` products.
pub(super) fn try_fill_default<S: Shape, E: Element, D: Device<E>>(
    tensor: &mut Tensor<S, E, D>,
    fan_in: usize,
) -> Result<(), D::Err> {
    let bound = E::from_f64((fan_in as f64).recip().sqrt()).expect("a small float fits any dtype");
    tensor.try_fill_with_distr(Uniform::new(-bound, bound))
}

/// A dense convolution as an operand.
fn convolution<const IN: usize, const OUT: usize, const K: usize, D: LayerDevice>(
    weight: &Tensor<Rank4<OUT, IN, K, K>, f32, D>,
    bias: Option<Channels<D>>,
    window: Window,
) -> Convolution<D> {
    Convolution {
        weight: run_time_sizes(weight.clone()),
        bias,
        window,
        groups: 1,
    }
}

macro_rules! conv {
    ($Conv:ident, |$layer:ident| $bias:expr, $biases:literal) => {
        impl<
            const IN: usize,
            const OUT: usize,
            const K: usize,
            const STRIDE: usize,
            const PADDING: usize,
            const DILATION: usize,
            E: Dtype,
            D: Storage<E>,
        > $Conv<IN, OUT, K, STRIDE, PADDING, DILATION, E, D>
        {
            const WINDOW: Window = Window::square(K, STRIDE, super::padding(PADDING, K, DILATION), DILATION);
        }

        image_layer!(
            <const IN, const OUT, const K, const STRIDE, const PADDING, const DILATION>
            $Conv<IN, OUT, K, STRIDE, PADDING, DILATION, f32, D>, IN -> OUT,
            |$layer, flow| flow.conv2d(convolution(&$layer.weight, $bias, Self::WINDOW))
        );

        impl<
            const IN: usize,
            const OUT: usize,
            const K: usize,
            const STRIDE: usize,
            const PADDING: usize,
            const DILATION: usize,
            E: Dtype,
            D: Storage<E>,
        > Summarize for $Conv<IN, OUT, K, STRIDE, PADDING, DILATION, E, D>
        {
            fn summarize(&self, input: &[usize]) -> Result<LayerSummary, SummaryError> {
                let layer = WindowLayer {
                    name: stringify!($Conv),
                    in_channels: IN,
                    out_channels: OUT,
                    window: Self::WINDOW,
                };
                layer.summarize(input, OUT * (IN * K * K + $biases), IN * K * K)
            }
        }
    };
}

conv!(Conv2D, |layer| None, 0);
conv!(
    BiasedConv2D,
    |layer| Some(run_time_sizes(layer.bias.clone())),
    1
);
