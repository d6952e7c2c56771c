//! Transposed convolution, with and without a bias.

use super::conv2d::try_fill_default;
use super::device::LayerDevice;
use super::error::LayerError;
use super::layer::{image_layer, layer};
use super::run::run_time_sizes;
use crate::kernels::window::Window;
use crate::summary::layers::{image_shape, wrong_input};
use crate::summary::{LayerSummary, Summarize, SummaryError, elements};
use dfdx::prelude::*;

layer! {
    /// Transposed convolution without a bias: each pixel puts its value times the kernel on the result, `STRIDE` pixels from
    /// where its neighbour does, and what lies upon another is added. `(batch, IN, height, width)` to
    /// `(batch, OUT, height', width')`, with `height' = (height - 1) STRIDE + K - 2 PADDING`, and the same for the width.
    ///
    /// ```text
    /// output[n, o, y STRIDE + i - PADDING, x STRIDE + j - PADDING] += input[n, c, y, x] weight[c, o, i, j]
    /// ```
    ///
    /// It is the gradient, with respect to its input, of the convolution from `OUT` to `IN` channels with the same weight, hence the name.
    ///
    /// The weight `(IN, OUT, K, K)` starts uniform in `±1 / sqrt(OUT K K)`, as in PyTorch. A `PADDING` of
    /// [`SAME`](super::SAME) is half the kernel.
    ///
    /// PyTorch: `torch.nn.ConvTranspose2d(IN, OUT, K, STRIDE, PADDING, bias=False)`. Zeiler et al., *Deconvolutional
    /// Networks*, 2010; Dumoulin and Visin, *A guide to convolution arithmetic for deep learning*, 2016, chapter 4.
    ///
    /// ```
    /// use dldna_nn::prelude::*;
    /// let dev = Cpu::seed_from_u64(0);
    /// let double = dev.build_module::<ConvTranspose2D<16, 8, 2, 2>, f32>();
    /// let y = double.forward(dev.zeros_like(&(4, Const::<16>, 7, 7)));
    /// assert_eq!(*y.shape(), (4, Const::<8>, 14, 14));
    /// ```
    pub struct ConvTranspose2D<const IN, const OUT, const K, const STRIDE = 1, const PADDING = 0> {
        /// One kernel for each pair of input and output channel.
        weight: Rank4<IN, OUT, K, K> = TensorOptions::reset_with(|weight| try_fill_default(weight, OUT * K * K)),
    }
}

layer! {
    /// [`ConvTranspose2D`] with a bias per output channel. Weight and bias start uniform in `±1 / sqrt(OUT K K)`.
    ///
    /// PyTorch: `torch.nn.ConvTranspose2d(IN, OUT, K, STRIDE, PADDING)`.
    ///
    /// ```
    /// use dldna_nn::prelude::*;
    /// let dev = Cpu::seed_from_u64(0);
    /// let conv = dev.build_module::<BiasedConvTranspose2D<16, 8, 2, 2>, f32>();
    /// assert_eq!(conv.num_trainable_params(), 16 * 8 * 2 * 2 + 8);
    /// ```
    pub struct BiasedConvTranspose2D<const IN, const OUT, const K, const STRIDE = 1, const PADDING = 0> {
        /// One kernel for each pair of input and output channel.
        weight: Rank4<IN, OUT, K, K> = TensorOptions::reset_with(|weight| try_fill_default(weight, OUT * K * K)),
        /// Added to every pixel of an output channel.
        bias: Rank1<OUT> = TensorOptions::reset_with(|bias| try_fill_default(bias, OUT * K * K)),
    }
}

/// Height and width of the image on which `window` has that number of positions, without pixels that no window meets at the
/// end: `(positions - 1) stride + kernel - 2 padding`.
pub(super) fn transposed_size(
    window: Window,
    (height, width): (usize, usize),
) -> Result<(usize, usize), LayerError> {
    let size = |positions: usize, kernel: usize, padding: usize| {
        let padded = positions.checked_sub(1)? * window.stride + kernel;
        padded.checked_sub(2 * padding).filter(|&size| size > 0)
    };
    let (kernel, padding) = (window.kernel, window.padding);
    size(height, kernel.0, padding.0)
        .zip(size(width, kernel.1, padding.1))
        .ok_or(LayerError::ImageTooSmall {
            layer: "ConvTranspose2D",
            least: least(window),
            height,
            width,
        })
}

/// The least height and width of an image that leaves a pixel once the padding is taken off.
fn least(window: Window) -> usize {
    let of = |kernel: usize, padding: usize| {
        let missing = (2 * padding + 1).saturating_sub(kernel);
        missing.div_ceil(window.stride) + 1
    };
    of(window.kernel.0, window.padding.0).max(of(window.kernel.1, window.padding.1))
}

/// What a summary says of `parameters` in all.
fn summarize(
    name: &str,
    [inputs, outputs, parameters]: [usize; 3],
    window: Window,
    input: &[usize],
) -> Result<LayerSummary, SummaryError> {
    let Window {
        kernel,
        stride,
        padding,
        ..
    } = window;
    let mut kind = format!("{name} {inputs} -> {outputs}, {}x{}", kernel.0, kernel.1);
    if stride != 1 {
        kind += &format!(", stride {stride}");
    }
    if padding != (0, 0) {
        kind += &format!(", padding {}", padding.0);
    }
    let [batch, _, height, width] = image_shape(&kind, input, inputs)?;
    let Ok(size) = transposed_size(window, (height, width)) else {
        let least = least(window);
        let expected =
            format!("[batch, {inputs}, height, width] of at least {least}x{least} pixels");
        return Err(wrong_input(&kind, expected, input));
    };
    // Each number of the input meets the kernels of all outputs.
    let products = (outputs * kernel.0 * kernel.1) as u128;
    let multiply_adds = elements(input).saturating_mul(products);
    let shape = [batch, outputs, size.0, size.1];
    Ok(LayerSummary::leaf(kind, shape, parameters, multiply_adds))
}

macro_rules! conv_transpose {
    ($Conv:ident, |$layer:ident, $flow:ident| $with_bias:expr, $biases:literal) => {
        impl<
            const IN: usize,
            const OUT: usize,
            const K: usize,
            const STRIDE: usize,
            const PADDING: usize,
            E: Dtype,
            D: Storage<E>,
        > $Conv<IN, OUT, K, STRIDE, PADDING, E, D>
        {
            const WINDOW: Window = {
                assert!(K > 0 && STRIDE > 0, "ConvTranspose2D: K and STRIDE are at least 1");
                Window::square(K, STRIDE, super::padding(PADDING, K, 1), 1)
            };
        }

        image_layer!(
            <const IN, const OUT, const K, const STRIDE, const PADDING>
            $Conv<IN, OUT, K, STRIDE, PADDING, f32, D>, IN -> OUT,
            |$layer, flow| {
                let weight = run_time_sizes($layer.weight.clone());
                let $flow = flow.apply(|x| D::conv_transpose2d(x, weight, Self::WINDOW));
                $with_bias
            }
        );

        impl<
            const IN: usize,
            const OUT: usize,
            const K: usize,
            const STRIDE: usize,
            const PADDING: usize,
            E: Dtype,
            D: Storage<E>,
        > Summarize for $Conv<IN, OUT, K, STRIDE, PADDING, E, D>
        {
            fn summarize(&self, input: &[usize]) -> Result<LayerSummary, SummaryError> {
                let sizes = [IN, OUT, OUT * (IN * K * K + $biases)];
                summarize(stringify!($Conv), sizes, Self::WINDOW, input)
            }
        }
    };
}

conv_transpose!(ConvTranspose2D, |layer, flow| flow, 0);
conv_transpose!(
    BiasedConvTranspose2D,
    |layer, flow| {
        let bias = run_time_sizes(layer.bias.clone());
        flow.apply(|x| D::affine(x, None, Some(bias)))
    },
    1
);
