//! The one trait between the layers and the devices that run them.

use super::composed;
use super::error::LayerError;
use crate::kernels::activation::Activation;
use crate::kernels::window::Window;
use dfdx::prelude::*;

/// A device that can run the layers of [`crate::nn`].
///
/// Every operation is there for every device, made of dfdx's own: see [`composed`]. That is what a GPU uses. `Cpu` has
/// the kernels of [`crate::kernels`] in their place.
#[diagnostic::on_unimplemented(
    message = "the layers of `dldna::nn` cannot run on `{Self}`",
    note = "use `Cpu`, or `Cuda` with the feature `cuda`"
)]
#[allow(
    clippy::type_complexity,
    reason = "the shapes are what a reader wants to see"
)]
pub trait LayerDevice: Device<f32> {
    /// Keeps `error` for [`last_error`](super::last_error) and gives the error that dfdx has room for.
    fn error(error: LayerError) -> Self::Err;

    /// Convolution: input `(batch, IN, height, width)`, weight `(OUT, IN, kernel, kernel)`, bias `(OUT)`.
    fn conv2d<
        const IN: usize,
        const OUT: usize,
        const KERNEL_HEIGHT: usize,
        const KERNEL_WIDTH: usize,
        B: Dim,
        H: Dim,
        W: Dim,
        T: Tape<f32, Self>,
    >(
        input: Tensor<(B, Const<IN>, H, W), f32, Self, T>,
        weight: &Tensor<Rank4<OUT, IN, KERNEL_HEIGHT, KERNEL_WIDTH>, f32, Self>,
        bias: Option<&Tensor<Rank1<OUT>, f32, Self>>,
        window: Window,
    ) -> Result<Tensor<(B, Const<OUT>, usize, usize), f32, Self, T>, Self::Err> {
        composed::conv2d(input, weight, bias, window)
    }

    /// Convolution of each channel with its own kernel: weight `(C, 1, kernel, kernel)`.
    fn depthwise_conv2d<
        const C: usize,
        const K: usize,
        B: Dim,
        H: Dim,
        W: Dim,
        T: Tape<f32, Self>,
    >(
        input: Tensor<(B, Const<C>, H, W), f32, Self, T>,
        weight: &Tensor<Rank4<C, 1, K, K>, f32, Self>,
        window: Window,
    ) -> Result<Tensor<(B, Const<C>, usize, usize), f32, Self, T>, Self::Err> {
        composed::depthwise_conv2d(input, weight, window)
    }

    /// The largest value of each window; padding never wins.
    fn max_pool2d<B: Dim, C: Dim, H: Dim, W: Dim, T: Tape<f32, Self>>(
        input: Tensor<(B, C, H, W), f32, Self, T>,
        window: Window,
    ) -> Result<Tensor<(B, C, usize, usize), f32, Self, T>, Self::Err> {
        composed::max_pool2d(input, window)
    }

    /// The mean of each window; padding counts as zeros.
    fn avg_pool2d<B: Dim, C: Dim, H: Dim, W: Dim, T: Tape<f32, Self>>(
        input: Tensor<(B, C, H, W), f32, Self, T>,
        window: Window,
    ) -> Result<Tensor<(B, C, usize, usize), f32, Self, T>, Self::Err> {
        composed::avg_pool2d(input, window)
    }

    /// Batch normalisation by the batch's own statistics: returns the result, the mean and the biased variance.
    fn batch_norm2d_train<const C: usize, B: Dim, H: Dim, W: Dim, T: Tape<f32, Self>>(
        input: Tensor<(B, Const<C>, H, W), f32, Self, T>,
        scale: &Tensor<Rank1<C>, f32, Self>,
        bias: &Tensor<Rank1<C>, f32, Self>,
        epsilon: f32,
    ) -> Result<
        (
            Tensor<(B, Const<C>, H, W), f32, Self, T>,
            ChannelStatistics<C, Self>,
        ),
        Self::Err,
    > {
        composed::batch_norm2d_train(input, scale, bias, epsilon)
    }

    /// `activation(norm(conv(input)) + shortcut)` in training, one op on the tape: with the batch's own statistics, which
    /// are returned (mean and biased variance of the convolution's result).
    fn conv_norm_train<
        const IN: usize,
        const OUT: usize,
        const K: usize,
        B: Dim,
        H: Dim,
        W: Dim,
        T: Tape<f32, Self>,
    >(
        input: Tensor<(B, Const<IN>, H, W), f32, Self, T>,
        conv: ConvParameters<IN, OUT, K, Self>,
        norm: NormParameters<OUT, Self>,
        shortcut: Option<Tensor<(B, Const<OUT>, usize, usize), f32, Self, T>>,
        activation: Activation,
    ) -> Result<
        (
            Tensor<(B, Const<OUT>, usize, usize), f32, Self, T>,
            ChannelStatistics<OUT, Self>,
        ),
        Self::Err,
    > {
        composed::conv_norm_train(input, conv, norm, shortcut, activation)
    }

    /// The same in evaluation, by the running statistics and without gradients.
    fn conv_norm_eval<const IN: usize, const OUT: usize, const K: usize, B: Dim, H: Dim, W: Dim>(
        input: Tensor<(B, Const<IN>, H, W), f32, Self>,
        conv: ConvParameters<IN, OUT, K, Self>,
        norm: NormParameters<OUT, Self>,
        running: ChannelStatistics<OUT, Self>,
        shortcut: Option<Tensor<(B, Const<OUT>, usize, usize), f32, Self>>,
        activation: Activation,
    ) -> Result<Tensor<(B, Const<OUT>, usize, usize), f32, Self>, Self::Err> {
        composed::conv_norm_eval(input, conv, norm, running, shortcut, activation)
    }

    /// [`conv_norm_train`](Self::conv_norm_train) with a kernel for each channel: weight `(C, 1, K, K)`.
    fn depthwise_norm_train<
        const C: usize,
        const K: usize,
        B: Dim,
        H: Dim,
        W: Dim,
        T: Tape<f32, Self>,
    >(
        input: Tensor<(B, Const<C>, H, W), f32, Self, T>,
        conv: ConvParameters<1, C, K, Self>,
        norm: NormParameters<C, Self>,
        shortcut: Option<Tensor<(B, Const<C>, usize, usize), f32, Self, T>>,
        activation: Activation,
    ) -> Result<
        (
            Tensor<(B, Const<C>, usize, usize), f32, Self, T>,
            ChannelStatistics<C, Self>,
        ),
        Self::Err,
    > {
        composed::depthwise_norm_train(input, conv, norm, shortcut, activation)
    }

    /// [`conv_norm_eval`](Self::conv_norm_eval) with a kernel for each channel: weight `(C, 1, K, K)`.
    fn depthwise_norm_eval<const C: usize, const K: usize, B: Dim, H: Dim, W: Dim>(
        input: Tensor<(B, Const<C>, H, W), f32, Self>,
        conv: ConvParameters<1, C, K, Self>,
        norm: NormParameters<C, Self>,
        running: ChannelStatistics<C, Self>,
        shortcut: Option<Tensor<(B, Const<C>, usize, usize), f32, Self>>,
        activation: Activation,
    ) -> Result<Tensor<(B, Const<C>, usize, usize), f32, Self>, Self::Err> {
        composed::depthwise_norm_eval(input, conv, norm, running, shortcut, activation)
    }

    /// Normalises each pixel of each image over its channels, then scales and shifts each channel. The variance is the
    /// biased one.
    fn layer_norm2d<const C: usize, B: Dim, H: Dim, W: Dim, T: Tape<f32, Self>>(
        input: Tensor<(B, Const<C>, H, W), f32, Self, T>,
        scale: &Tensor<Rank1<C>, f32, Self>,
        bias: &Tensor<Rank1<C>, f32, Self>,
        epsilon: f32,
    ) -> Result<Tensor<(B, Const<C>, H, W), f32, Self, T>, Self::Err> {
        composed::layer_norm2d(input, scale, bias, epsilon)
    }

    /// The activation of each value, one op on the tape.
    fn activate<S: Shape, T: Tape<f32, Self>>(
        input: Tensor<S, f32, Self, T>,
        activation: Activation,
    ) -> Result<Tensor<S, f32, Self, T>, Self::Err> {
        composed::activate(input, activation)
    }

    /// The mean of each channel of each image, as an image of 1x1 pixels: `(batch, channel, 1, 1)`.
    fn global_avg_pool2d<B: Dim, C: Dim, H: Dim, W: Dim, T: Tape<f32, Self>>(
        input: Tensor<(B, C, H, W), f32, Self, T>,
    ) -> Result<Tensor<(B, C, usize, usize), f32, Self, T>, Self::Err> {
        composed::global_avg_pool2d(input)
    }

    /// Multiplies each channel of each image by a factor of its own: `factors (batch, channel, 1, 1)`.
    fn scale_channels<B: Dim, C: Dim, H: Dim, W: Dim, T: Tape<f32, Self>>(
        images: Tensor<(B, C, H, W), f32, Self, T>,
        factors: Tensor<(B, C, usize, usize), f32, Self, T>,
    ) -> Result<Tensor<(B, C, H, W), f32, Self, T>, Self::Err> {
        composed::scale_channels(images, factors)
    }

    /// Normalisation by given statistics, without gradients.
    fn batch_norm2d_eval<const C: usize, B: Dim, H: Dim, W: Dim>(
        input: Tensor<(B, Const<C>, H, W), f32, Self>,
        running: ChannelStatistics<C, Self>,
        scale: &Tensor<Rank1<C>, f32, Self>,
        bias: &Tensor<Rank1<C>, f32, Self>,
        epsilon: f32,
    ) -> Result<Tensor<(B, Const<C>, H, W), f32, Self>, Self::Err> {
        composed::batch_norm2d_eval(input, running, scale, bias, epsilon)
    }
}

/// Mean and variance of each channel, on a device.
#[derive(Debug, Clone)]
pub struct ChannelStatistics<const C: usize, D: Storage<f32>> {
    /// Mean of each channel.
    pub mean: Tensor<Rank1<C>, f32, D>,
    /// Variance of each channel.
    pub variance: Tensor<Rank1<C>, f32, D>,
}

/// A convolution, as an operand.
#[derive(Debug, Clone, Copy)]
pub struct ConvParameters<'a, const IN: usize, const OUT: usize, const K: usize, D: Storage<f32>> {
    /// `(OUT, IN, K, K)`.
    pub weight: &'a Tensor<Rank4<OUT, IN, K, K>, f32, D>,
    /// `(OUT)`.
    pub bias: Option<&'a Tensor<Rank1<OUT>, f32, D>>,
    /// Kernel size, stride and padding.
    pub window: Window,
}

/// A batch norm, as an operand.
#[derive(Debug, Clone, Copy)]
pub struct NormParameters<'a, const C: usize, D: Storage<f32>> {
    /// `(C)`.
    pub scale: &'a Tensor<Rank1<C>, f32, D>,
    /// `(C)`.
    pub bias: &'a Tensor<Rank1<C>, f32, D>,
    /// Added to the variance.
    pub epsilon: f32,
}
