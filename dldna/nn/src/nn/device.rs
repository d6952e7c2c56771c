//! What a device has to compute for the layers: operations on tensors whose sizes are known at run time.
//!
//! A layer keeps its channels in its type and checks them there. Below it they are numbers, so that each operation is
//! compiled once, in this crate, and not in every program and every cell of a notebook.

use super::error::LayerError;
use super::flow::Flow;
use crate::kernels::activation::Activation;
use crate::kernels::separable::SeparableMap;
use crate::kernels::window::Window;
use dfdx::prelude::*;

/// Images or feature maps: `(batch, channel, height, width)`. A feature vector is an image of 1x1 pixels.
pub type Batch<D> = Tensor<(usize, usize, usize, usize), f32, D>;
/// One element for each channel.
pub type Channels<D> = Tensor<(usize,), f32, D>;
/// Adds to the gradients of an operation's inputs what the gradient of its output says.
pub type Backward<D> = Box<dyn FnOnce(&mut Gradients<f32, D>) -> Result<(), <D as HasErr>::Err>>;

/// What an operation gives: its output, and its backward pass for the tape.
///
/// The backward pass takes the gradient of `output` with it: nothing reads it afterwards.
pub struct Operation<D: Storage<f32>> {
    /// The result.
    pub output: Batch<D>,
    /// To be recorded, or dropped where no gradients are asked for.
    pub backward: Backward<D>,
}

/// A device that can say in words what is wrong with a layer's input.
pub trait ReportError: Device<f32> {
    /// Keeps `error` for [`last_error`](super::last_error) and gives the error that dfdx has room for.
    fn error(error: LayerError) -> Self::Err;
}

/// A device that can run the layers of [`crate::nn`].
///
/// `Cpu` has the kernels of [`crate::kernels`], every other device dfdx's own operations: see [`fallback`](super::fallback).
#[diagnostic::on_unimplemented(
    message = "the layers of `dldna_nn::nn` cannot run on `{Self}`",
    note = "use `Cpu`, or `Cuda` with the feature `cuda`"
)]
pub trait LayerDevice: ReportError {
    /// Where the values of a batch wait between their statistics and their normalisation.
    type Values: 'static;

    /// Normalised images that are not kept in memory, and from what they are computed.
    type Normalised: 'static;

    /// Convolution, with its bias.
    fn conv2d(input: Input<Self>, conv: Convolution<Self>) -> Result<Operation<Self>, Self::Err>;

    /// Transposed convolution: the gradient of a convolution by its input, as a layer. `x (batch, in, height, width)` is in
    /// the place of the convolution's result, `weight (in, out, kernel height, kernel width)` is the convolution's. The result
    /// is `(batch, out, height', width')` with `height' = (height - 1) stride + kernel height - 2 padding`.
    fn conv_transpose2d(
        x: Batch<Self>,
        weight: Batch<Self>,
        window: Window,
    ) -> Result<Operation<Self>, Self::Err>;

    /// Convolution without its bias, and the statistics of its result: what a batch norm behind it starts from in
    /// training. The backward pass is that of [`batch_norm2d_train`](Self::batch_norm2d_train).
    fn conv2d_statistics(
        input: Input<Self>,
        conv: Convolution<Self>,
    ) -> Result<BatchStatistics<Self, Self::Values>, Self::Err>;

    /// Mean and biased variance of each channel over all images and pixels.
    fn statistics(x: Batch<Self>) -> Result<BatchStatistics<Self, Self::Values>, Self::Err>;

    /// Batch normalisation by the batch's own statistics, and what follows it.
    fn batch_norm2d_train(
        of: BatchStatistics<Self, Self::Values>,
        norm: NormParameters<Self>,
        epilogue: Epilogue<Self>,
    ) -> Result<Operation<Self>, Self::Err>;

    /// Batch normalisation by the batch's own statistics and an activation: at once, or by the operation that comes next.
    fn batch_norm2d_later(
        of: BatchStatistics<Self, Self::Values>,
        norm: NormParameters<Self>,
        activation: Activation,
    ) -> Result<Later<Self>, Self::Err>;

    /// The normalised images.
    fn compute(normalised: Self::Normalised) -> Result<Operation<Self>, Self::Err>;

    /// Convolution if there is one, batch normalisation by given statistics, and what follows it; without gradients.
    fn batch_norm2d_eval(
        x: Batch<Self>,
        conv: Option<Convolution<Self>>,
        norm: NormParameters<Self>,
        running: ChannelStatistics<Self>,
        epilogue: Epilogue<Self>,
    ) -> Result<Batch<Self>, Self::Err>;

    /// Batch normalisation by given statistics with gradients, and what follows it.
    fn batch_norm2d_frozen(
        x: Batch<Self>,
        norm: NormParameters<Self>,
        running: ChannelStatistics<Self>,
        epilogue: Epilogue<Self>,
    ) -> Result<Operation<Self>, Self::Err>;

    /// Normalises each pixel of each image over its channels, then scales and shifts each channel. The variance is the
    /// biased one.
    fn layer_norm2d(
        x: Batch<Self>,
        norm: NormParameters<Self>,
    ) -> Result<Operation<Self>, Self::Err>;

    /// The largest value of each window; padding never wins.
    fn max_pool2d(input: Input<Self>, window: Window) -> Result<Operation<Self>, Self::Err>;

    /// The same without gradients.
    fn max_pool2d_eval(x: Batch<Self>, window: Window) -> Result<Batch<Self>, Self::Err>;

    /// The mean of each window; padding counts as zeros.
    fn avg_pool2d(x: Batch<Self>, window: Window) -> Result<Operation<Self>, Self::Err>;

    /// The mean of each channel of each image: `(batch, channel, 1, 1)`.
    fn global_avg_pool2d(x: Batch<Self>) -> Result<Operation<Self>, Self::Err>;

    /// A linear map of each plane of `x`, which have the size that it takes.
    fn separable_map(x: Batch<Self>, map: SeparableMap) -> Result<Operation<Self>, Self::Err>;

    /// `weight x + bias` for feature vectors `x (batch, features, 1, 1)` and `weight (outputs, features)`.
    fn linear(
        x: Batch<Self>,
        weight: Tensor<(usize, usize), f32, Self>,
        bias: Option<Channels<Self>>,
    ) -> Result<Operation<Self>, Self::Err>;

    /// The activation of each value.
    fn activate(x: Batch<Self>, activation: Activation) -> Result<Operation<Self>, Self::Err>;

    /// The sum of two batches of one shape.
    fn add(x: Batch<Self>, y: Batch<Self>) -> Result<Operation<Self>, Self::Err>;

    /// Each channel times a factor, plus an offset, of its own.
    fn affine(
        x: Batch<Self>,
        factors: Option<Channels<Self>>,
        offsets: Option<Channels<Self>>,
    ) -> Result<Operation<Self>, Self::Err>;

    /// Element by element, by constants.
    fn multiply(x: Batch<Self>, constants: Batch<Self>) -> Result<Operation<Self>, Self::Err>;

    /// The channels of all parts side by side. All have the same batch, height and width.
    fn concat(parts: Vec<Batch<Self>>) -> Result<Operation<Self>, Self::Err>;

    /// Each channel of each image times a factor of its own, `factors (batch, channel, 1, 1)`.
    fn scale_channels(
        images: Batch<Self>,
        factors: Batch<Self>,
    ) -> Result<Operation<Self>, Self::Err>;

    /// Images that enter a network, as a flow. `recorded`: whether gradients are asked for.
    #[doc(hidden)]
    fn start(x: Batch<Self>, recorded: bool) -> Flow<Self>;

    /// The same for feature vectors.
    #[doc(hidden)]
    fn start_vectors(x: Tensor<(usize, usize), f32, Self>, recorded: bool) -> Flow<Self>;

    /// The flow with what was noted down computed, and an activation behind it.
    #[doc(hidden)]
    fn settle(flow: Flow<Self>, activation: Activation) -> Flow<Self>;

    /// The flow with what was noted down computed.
    #[doc(hidden)]
    fn finish(flow: Flow<Self>) -> Flow<Self>;

    /// The sum of two flows.
    #[doc(hidden)]
    fn sum(left: Flow<Self>, right: Flow<Self>) -> Flow<Self>;

    /// What leaves a network, and the backward passes of all operations in order.
    #[doc(hidden)]
    #[allow(clippy::type_complexity, reason = "a batch and its backward passes")]
    fn end(flow: Flow<Self>) -> Result<(Batch<Self>, Vec<Backward<Self>>), Self::Err>;

    /// [`end`](Self::end) as feature vectors.
    #[doc(hidden)]
    #[allow(clippy::type_complexity, reason = "vectors and their backward passes")]
    fn end_vectors(
        flow: Flow<Self>,
    ) -> Result<(Tensor<(usize, usize), f32, Self>, Vec<Backward<Self>>), Self::Err>;
}

/// The ways into a network and out of it, for a device. They are written out for each device, and so compiled once for
/// it, here: what a trait provides is compiled by everybody who uses it.
macro_rules! flows {
    ($Device:ty) => {
        fn start(x: Batch<$Device>, recorded: bool) -> Flow<$Device> {
            Flow::start(x, recorded)
        }

        fn start_vectors(x: Tensor<(usize, usize), f32, $Device>, recorded: bool) -> Flow<$Device> {
            Flow::start_vectors(x, recorded)
        }

        fn settle(flow: Flow<$Device>, activation: Activation) -> Flow<$Device> {
            flow.settle(activation)
        }

        fn finish(flow: Flow<$Device>) -> Flow<$Device> {
            flow.finish()
        }

        fn sum(left: Flow<$Device>, right: Flow<$Device>) -> Flow<$Device> {
            left.plus(right)
        }

        fn end(flow: Flow<$Device>) -> Result<(Batch<$Device>, Vec<Backward<$Device>>)> {
            flow.end()
        }

        fn end_vectors(
            flow: Flow<$Device>,
        ) -> Result<(Tensor<(usize, usize), f32, $Device>, Vec<Backward<$Device>>)> {
            flow.end_vectors()
        }
    };
}
pub(super) use flows;

/// A batch norm's result, or what it is computed from.
pub enum Later<D: LayerDevice> {
    /// It is there.
    Computed(Operation<D>),
    /// It is computed forward and once more backward, rather than kept in memory in between.
    Normalised(D::Normalised),
}

/// The input of an operation that can compute it itself.
pub enum Input<D: LayerDevice> {
    /// It is there.
    Images(Batch<D>),
    /// It is computed when it is needed.
    Normalised(D::Normalised),
}

/// A convolution, as an operand.
#[derive(Debug, Clone)]
pub struct Convolution<D: Storage<f32>> {
    /// `(out channels, in channels / groups, kernel height, kernel width)`.
    pub weight: Batch<D>,
    /// Added to each channel of the result.
    pub bias: Option<Channels<D>>,
    /// Kernel size, stride, padding and dilation.
    pub window: Window,
    /// The number of groups into which the channels are divided; a group sees no other: 1, or the number of channels for a depthwise
    /// convolution, or between.
    pub groups: usize,
}

impl<D: Storage<f32>> Convolution<D> {
    /// Whether each channel has a kernel of its own, and gives one.
    pub(super) fn is_depthwise(&self) -> bool {
        let &(outputs, inputs, ..) = self.weight.shape();
        inputs == 1 && outputs == self.groups
    }

    /// The name of the layer, for errors.
    pub(super) fn layer(&self) -> &'static str {
        match self.groups {
            1 => "Conv2D",
            _ if self.is_depthwise() => "DepthwiseConv2D",
            _ => "GroupedConv2D",
        }
    }
}

/// Mean and variance of each channel.
#[derive(Debug, Clone)]
pub struct ChannelStatistics<D: Storage<f32>> {
    /// Mean of each channel.
    pub mean: Channels<D>,
    /// Variance of each channel.
    pub variance: Channels<D>,
}

/// A normalisation, as an operand.
#[derive(Debug, Clone)]
pub struct NormParameters<D: Storage<f32>> {
    /// Multiplied with each normalised channel.
    pub scale: Channels<D>,
    /// Added to each channel afterwards.
    pub bias: Channels<D>,
    /// Added to the variance.
    pub epsilon: f32,
}

/// A batch whose statistics are known.
#[derive(Debug, Clone)]
pub struct BatchStatistics<D: Storage<f32>, V = Batch<D>> {
    /// What is normalised.
    pub values: V,
    /// Of `values`.
    pub shape: (usize, usize, usize, usize),
    /// Of `values`.
    pub statistics: ChannelStatistics<D>,
    /// The convolution that `values` come from, without its bias.
    pub convolution: Option<Convolution<D>>,
    /// Its input, if the gradients are to be computed from it; a device may keep it in `values`.
    pub input: Option<Batch<D>>,
}

/// What follows a normalisation: `activation(normalised + shortcut)`.
#[derive(Debug, Clone)]
pub struct Epilogue<D: Storage<f32>> {
    /// Added to the normalised values.
    pub shortcut: Option<Batch<D>>,
    /// Comes last.
    pub activation: Activation,
}

impl<D: Storage<f32>> Epilogue<D> {
    /// Neither shortcut nor activation.
    pub fn none() -> Self {
        Self {
            shortcut: None,
            activation: Activation::Identity,
        }
    }
}

impl<D: ReportError> Epilogue<D> {
    /// The shortcut has to have the shape of what it is added to.
    pub(super) fn check(&self, shape: &(usize, usize, usize, usize)) -> Result<(), D::Err> {
        match &self.shortcut {
            Some(shortcut) if shortcut.shape() != shape => Err(D::error(LayerError::Sum {
                left: shape.concrete(),
                right: shortcut.shape().concrete(),
            })),
            _ => Ok(()),
        }
    }
}

/// The shape of the channels of some batches side by side.
pub(super) fn concat_shape<D: ReportError>(
    parts: &[Batch<D>],
) -> Result<(usize, usize, usize, usize), LayerError> {
    let shapes: Vec<[usize; 4]> = parts.iter().map(|part| part.shape().concrete()).collect();
    let channels = shapes.iter().map(|shape| shape[1]).sum();
    match shapes[..] {
        [[batch, _, height, width], ref rest @ ..]
            if rest
                .iter()
                .all(|&[n, _, h, w]| (n, h, w) == (batch, height, width)) =>
        {
            Ok((batch, channels, height, width))
        }
        _ => Err(LayerError::Concat { shapes }),
    }
}
