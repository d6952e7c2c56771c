//! The ways from tensors of dfdx into a network and back.

use super::device::{Backward, LayerDevice};
use super::error::LayerError;
use super::flow::Flow;
use super::forward::{Flowing, Images, Vectors};
use crate::kernels::activation::Activation;
use crate::summary::{LayerSummary, SummaryError, sketched_shape};
use dfdx::prelude::*;

/// A tensor of dfdx that can enter a network: images `(batch, C, height, width)` or vectors `(batch, N)`.
pub trait Entering<D: LayerDevice, T>: Sized {
    /// The number of images.
    type Batch: Dim;
    /// What the network gets.
    type Flowing: Flowing<Device = D>;
    #[doc(hidden)]
    fn enter(self) -> (Flow<D>, T);
}

/// What can leave a network as a tensor of dfdx.
pub trait Leaving<B: Dim, D: LayerDevice, T>: Flowing<Device = D> {
    /// The tensor.
    type Tensor;
    #[doc(hidden)]
    fn leave(self, tape: T) -> Result<Self::Tensor, D::Err>;
}

impl<const C: usize, B: Dim, H: Dim, W: Dim, D: LayerDevice, T: Tape<f32, D>> Entering<D, T>
    for Tensor<(B, Const<C>, H, W), f32, D, T>
{
    type Batch = B;
    type Flowing = Images<C, D>;

    fn enter(self) -> (Flow<D>, T) {
        let (x, tape) = self.split_tape();
        (D::start(run_time_sizes(x), T::OWNS_TAPE), tape)
    }
}

impl<const N: usize, B: Dim, D: LayerDevice, T: Tape<f32, D>> Entering<D, T>
    for Tensor<(B, Const<N>), f32, D, T>
{
    type Batch = B;
    type Flowing = Vectors<N, D>;

    fn enter(self) -> (Flow<D>, T) {
        let (x, tape) = self.split_tape();
        (D::start_vectors(run_time_sizes(x), T::OWNS_TAPE), tape)
    }
}

impl<const C: usize, B: Dim, D: LayerDevice, T: Tape<f32, D>> Leaving<B, D, T> for Images<C, D> {
    type Tensor = Tensor<(B, Const<C>, usize, usize), f32, D, T>;

    fn leave(self, tape: T) -> Result<Self::Tensor, D::Err> {
        let (images, recorded) = D::end(self.0)?;
        let images = images.try_realize();
        let images = images.map_err(|images| wrong_channels::<D>(C, images.shape().1))?;
        Ok(images.put_tape(with(tape, recorded)))
    }
}

impl<const N: usize, B: Dim, D: LayerDevice, T: Tape<f32, D>> Leaving<B, D, T> for Vectors<N, D> {
    type Tensor = Tensor<(B, Const<N>), f32, D, T>;

    fn leave(self, tape: T) -> Result<Self::Tensor, D::Err> {
        let (vectors, recorded) = D::end_vectors(self.0)?;
        let vectors = vectors.try_realize();
        let vectors = vectors.map_err(|vectors| wrong_channels::<D>(N, vectors.shape().1))?;
        Ok(vectors.put_tape(with(tape, recorded)))
    }
}

/// The tape with these operations at its end.
fn with<D: LayerDevice, T: Tape<f32, D>>(mut tape: T, operations: Vec<Backward<D>>) -> T {
    for operation in operations {
        tape.add_backward_op(operation);
    }
    tape
}

/// A tensor whose sizes are numbers, not types.
pub(super) fn run_time_sizes<S: Shape + RealizeShapeTo<Sizes>, Sizes, D: LayerDevice>(
    tensor: Tensor<S, f32, D>,
) -> Tensor<Sizes, f32, D>
where
    Sizes: Shape<Concrete = S::Concrete>,
{
    let Ok(tensor) = tensor.try_realize() else {
        unreachable!("every size is a number")
    };
    tensor
}

fn wrong_channels<D: LayerDevice>(expected: usize, found: usize) -> D::Err {
    D::error(LayerError::Channels {
        layer: "network".to_owned(),
        expected,
        found,
    })
}

/// `network` applied to a tensor of dfdx: what its `Module` and `ModuleMut` do.
///
/// # Errors
/// Those of the layers: see [`last_error`](super::last_error).
///
/// # Example
/// ```
/// use dldna_nn::nn::{relu, run};
/// use dldna_nn::prelude::*;
///
/// let dev = Cpu::default();
/// let x = dev.tensor([[[[-1.0, 2.0]]]]);
/// assert_eq!(run(x, relu)?.as_vec(), [0.0, 2.0]);
/// # Ok::<(), CpuError>(())
/// ```
pub fn run<X: Entering<D, T>, Y: Leaving<X::Batch, D, T>, D: LayerDevice, T: Tape<f32, D>>(
    x: X,
    network: impl FnOnce(X::Flowing) -> Y,
) -> Result<Y::Tensor, D::Err> {
    let (x, tape) = x.enter();
    network(X::Flowing::from_flow(x)).leave(tape)
}

/// A layer of images whose sizes are of any type; `S` is the type of those that it gives.
pub(super) fn run_any<B: Dim, C: Dim, H: Dim, W: Dim, S, D: LayerDevice, T: Tape<f32, D>>(
    x: Tensor<(B, C, H, W), f32, D, T>,
    layer: impl FnOnce(Flow<D>) -> Flow<D>,
) -> Result<Tensor<S, f32, D, T>, D::Err>
where
    S: Shape<Concrete = [usize; 4]>,
    (usize, usize, usize, usize): RealizeShapeTo<S>,
{
    let (x, tape) = x.split_tape();
    let (y, recorded) = D::end(layer(D::start(run_time_sizes(x), T::OWNS_TAPE)))?;
    let Ok(y) = y.try_realize() else {
        unreachable!("the layer keeps what `S` names")
    };
    Ok(y.put_tape(with(tape, recorded)))
}

/// The same for a layer that gives a vector for each image, of as many elements as there were channels.
#[allow(
    clippy::type_complexity,
    reason = "the shapes are what a reader wants to see"
)]
pub(super) fn run_to_vectors<B: Dim, C: Dim, H: Dim, W: Dim, D: LayerDevice, T: Tape<f32, D>>(
    x: Tensor<(B, C, H, W), f32, D, T>,
    layer: impl FnOnce(Flow<D>) -> Flow<D>,
) -> Result<Tensor<(B, C), f32, D, T>, D::Err> {
    let (x, tape) = x.split_tape();
    let (y, recorded) = D::end_vectors(layer(D::start(run_time_sizes(x), T::OWNS_TAPE)))?;
    let Ok(y) = y.try_realize() else {
        unreachable!("one element for each channel")
    };
    Ok(y.put_tape(with(tape, recorded)))
}

/// An activation of a tensor of any shape.
pub(super) fn activate_any<S: Shape, D: LayerDevice, T: Tape<f32, D>>(
    x: Tensor<S, f32, D, T>,
    activation: Activation,
) -> Result<Tensor<S, f32, D, T>, D::Err> {
    let shape = *x.shape();
    let row = x.try_reshape_like(&(1, shape.num_elements()))?;
    activate_vectors(row, activation)?.try_reshape_like(&shape)
}

/// An activation of vectors.
#[allow(
    clippy::type_complexity,
    reason = "the shapes are what a reader wants to see"
)]
pub(super) fn activate_vectors<B: Dim, N: Dim, D: LayerDevice, T: Tape<f32, D>>(
    x: Tensor<(B, N), f32, D, T>,
    activation: Activation,
) -> Result<Tensor<(B, N), f32, D, T>, D::Err> {
    let (x, tape) = x.split_tape();
    let flow = D::start_vectors(run_time_sizes(x), T::OWNS_TAPE).activate(activation);
    let (y, recorded) = D::end_vectors(flow)?;
    let Ok(y) = y.try_realize() else {
        unreachable!("an activation keeps the shape")
    };
    Ok(y.put_tape(with(tape, recorded)))
}

/// The summary of a network for an input of the shape `input`.
///
/// # Errors
/// Where a layer cannot take the shape that it gets.
pub fn summarize<X: Flowing, Y: Flowing>(
    kind: &str,
    input: &[usize],
    network: impl FnOnce(X) -> Y,
) -> Result<LayerSummary, SummaryError> {
    let shape = sketched_shape(kind, input, X::CHANNELS, X::RANK)?;
    let y = network(X::from_flow(Flow::start_sketch(shape)));
    y.into_flow().end_sketch()
}
