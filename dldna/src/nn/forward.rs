//! What a network is written with: images and vectors whose channels are known to the compiler, and the layers that
//! take one to the other.

use super::device::{Backward, LayerDevice};
use super::error::LayerError;
use super::flow::Flow;
use super::global_pool::AvgPoolGlobal;
use crate::kernels::activation::Activation;
use crate::summary::{LayerSummary, Summarize, SummaryError, sketched_shape};
use dfdx::prelude::*;
use std::fmt;
use std::ops::{Add, Mul};

/// Images or feature maps with `C` channels on their way through a network: `(batch, C, height, width)`.
///
/// The forward pass of a [`network!`](crate::network) gets them and hands them from layer to layer. To use them twice,
/// `clone` them: no pixel is copied.
pub struct Images<const C: usize, D: LayerDevice = Cpu>(Flow<D>);

/// Feature vectors of `N` elements on their way through a network: `(batch, N)`.
pub struct Vectors<const N: usize, D: LayerDevice = Cpu>(Flow<D>);

/// A layer, or a network of them, as it stands in the forward pass of a [`network!`](crate::network).
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot take `{X}`",
    label = "this layer does not fit what comes before it"
)]
pub trait Forward<X> {
    /// What it gives.
    type Output;

    /// In evaluation: batch norms use their running statistics, dropout does nothing.
    fn eval(&self, x: X) -> Self::Output;

    /// In training: batch norms use the batch's own statistics, and remember them.
    fn train(&mut self, x: X) -> Self::Output;
}

/// The type that a layer has once it is built, for elements `E` on a device `D`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a layer of a `network!`",
    note = "layers are the types of `dldna::nn`, dfdx's dropout and `Bias2D`, tuples of up to six layers, and networks"
)]
pub trait Layer {
    /// The built layer.
    type On<E: Dtype, D: Storage<E>>;
}

/// [`Images`] and [`Vectors`]: what hands a flow on.
pub trait Flowing: Sized {
    /// Where it is computed.
    type Device: LayerDevice;
    /// Channels or elements, as the type says.
    const CHANNELS: usize;
    /// Axes of its tensor, the batch counted.
    const RANK: usize;
    #[doc(hidden)]
    fn from_flow(flow: Flow<Self::Device>) -> Self;
    #[doc(hidden)]
    fn into_flow(self) -> Flow<Self::Device>;

    /// The same images with the name that a summary gives the layer which comes next.
    fn named(self, name: &str) -> Self {
        let flow = self.into_flow();
        flow.name(name);
        Self::from_flow(flow)
    }

    /// What `layers` make of them. A summary shows the layers under the heading `kind`.
    fn group<Y: Flowing<Device = Self::Device>>(
        self,
        kind: &str,
        layers: impl FnOnce(Self) -> Y,
    ) -> Y {
        let flow = self.into_flow();
        Y::from_flow(flow.group(kind, |flow| layers(Self::from_flow(flow)).into_flow()))
    }

    #[doc(hidden)]
    fn layer<Y: Flowing<Device = Self::Device>>(
        self,
        layer: &dyn Summarize,
        compute: impl FnOnce(Flow<Self::Device>) -> Flow<Self::Device>,
    ) -> Y {
        Y::from_flow(self.into_flow().layer(layer, compute))
    }
}

/// `layer`, which is called `name` in its network, applied in evaluation.
#[doc(hidden)]
pub fn eval_layer<X: Flowing, L: Forward<X>>(layer: &L, name: &str, x: X) -> L::Output {
    layer.eval(x.named(name))
}

/// `layer`, which is called `name` in its network, applied in training.
#[doc(hidden)]
pub fn train_layer<X: Flowing, L: Forward<X>>(layer: &mut L, name: &str, x: X) -> L::Output {
    layer.train(x.named(name))
}

macro_rules! flowing {
    ($Type:ident $N:ident $rank:literal) => {
        impl<const $N: usize, D: LayerDevice> Flowing for $Type<$N, D> {
            type Device = D;
            const CHANNELS: usize = $N;
            const RANK: usize = $rank;

            fn from_flow(flow: Flow<D>) -> Self {
                Self(flow)
            }

            fn into_flow(self) -> Flow<D> {
                self.0
            }
        }

        impl<const $N: usize, D: LayerDevice> Clone for $Type<$N, D> {
            fn clone(&self) -> Self {
                Self(self.0.clone())
            }
        }

        impl<const $N: usize, D: LayerDevice> fmt::Debug for $Type<$N, D> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($Type), "<{}>"), $N)
            }
        }

        impl<const $N: usize, D: LayerDevice> Activate for $Type<$N, D> {
            fn activate(self, name: &str, kind: &str, activation: Activation) -> Self {
                Self(
                    self.0
                        .function(name, kind, |flow| flow.activate(activation)),
                )
            }
        }

        /// The sum, element by element: a residual connection. A batch norm on either side takes it along.
        impl<const $N: usize, D: LayerDevice> Add for $Type<$N, D> {
            type Output = Self;

            fn add(self, other: Self) -> Self {
                Self(D::sum(self.0, other.0))
            }
        }

        /// Each element times a constant.
        impl<const $N: usize, D: LayerDevice> Mul<f32> for $Type<$N, D> {
            type Output = Self;

            fn mul(self, factor: f32) -> Self {
                Self(self.0.scale(factor))
            }
        }
    };
}

flowing!(Images C 4);
flowing!(Vectors N 2);

impl<const C: usize, D: LayerDevice> Images<C, D> {
    /// The same images, where `OUT` and `C` are one number under two names: a shortcut in a block that keeps its
    /// channels. In any other block it is an error of the forward pass.
    pub fn unchanged<const OUT: usize>(self) -> Images<OUT, D> {
        Images(self.0.with_channels("unchanged", OUT))
    }
}

/// Each channel of each image times a factor of its own: what squeeze-and-excitation does. Factors are images of 1x1
/// pixels.
///
/// Hu et al., *Squeeze-and-Excitation Networks*, 2018, equation 4.
pub fn scale_channels<const C: usize, D: LayerDevice>(
    images: Images<C, D>,
    factors: Images<C, D>,
) -> Images<C, D> {
    Images(images.0.scale_channels(factors.0))
}

/// What the activation functions take: [`Images`], [`Vectors`], and tensors of dfdx, which panic as dfdx's own
/// functions do where there is no memory.
pub trait Activate: Sized {
    #[doc(hidden)]
    fn activate(self, name: &str, kind: &str, activation: Activation) -> Self;
}

impl<S: Shape, D: LayerDevice, T: Tape<f32, D>> Activate for Tensor<S, f32, D, T> {
    fn activate(self, _: &str, kind: &str, activation: Activation) -> Self {
        activate_any(self, activation).unwrap_or_else(|error| panic!("{kind}: {error}"))
    }
}

macro_rules! activation_functions {
    ($($(#[$docs:meta])* $name:ident $activation:ident $kind:literal),+ $(,)?) => {$(
        $(#[$docs])*
        pub fn $name<X: Activate>(x: X) -> X {
            x.activate(stringify!($name), $kind, Activation::$activation)
        }
    )+};
}

activation_functions!(
    /// `max(x, 0)`, element by element.
    relu Relu "ReLU",
    /// `min(max(x, 0), 6)`, element by element. Sandler et al., *MobileNetV2*, 2018.
    relu6 Relu6 "ReLU6",
    /// `x sigmoid(x)`, element by element. Ramachandran et al., *Searching for Activation Functions*, 2017.
    silu Silu "SiLU",
    /// `x Phi(x)`, element by element. Hendrycks and Gimpel, *Gaussian Error Linear Units*, 2016.
    gelu Gelu "GELU",
    /// `1 / (1 + e^-x)`, element by element.
    sigmoid Sigmoid "Sigmoid",
);

/// The mean of each channel: `(batch, C, height, width)` to `(batch, C)`. PyTorch: `x.mean((2, 3))`.
pub fn mean<const C: usize, D: LayerDevice>(x: Images<C, D>) -> Vectors<C, D> {
    x.named("mean")
        .layer(&AvgPoolGlobal, |flow| flow.apply(D::global_avg_pool2d))
}

/// The mean of each channel as an image of 1x1 pixels: `(batch, C, height, width)` to `(batch, C, 1, 1)`.
pub fn squeeze<const C: usize, D: LayerDevice>(x: Images<C, D>) -> Images<C, D> {
    x.named("squeeze")
        .layer(&Squeeze, |flow| flow.apply(D::global_avg_pool2d))
}

/// The mean of each channel as an image of one pixel, for a summary.
struct Squeeze;

impl Summarize for Squeeze {
    fn summarize(&self, input: &[usize]) -> Result<LayerSummary, SummaryError> {
        let means = AvgPoolGlobal.summarize(input)?;
        let pixels = [&means.output_shape[..], &[1, 1]].concat();
        Ok(LayerSummary::leaf("AvgPoolGlobal", pixels, 0, 0))
    }
}

/// Images whose channels [`cat`] puts side by side.
pub trait Branches<const OUT: usize, D: LayerDevice> {
    #[doc(hidden)]
    fn cat(self) -> Images<OUT, D>;
}

/// The channels of all branches side by side, those of the first one first: `cat((a, b, c))`.
///
/// Together the branches have to have `OUT` channels, or it does not compile. PyTorch: `torch.cat([a, b, c], 1)`.
pub fn cat<const OUT: usize, D: LayerDevice>(branches: impl Branches<OUT, D>) -> Images<OUT, D> {
    branches.cat()
}

macro_rules! branches {
    ($($C:ident $index:tt),+) => {
        impl<$(const $C: usize,)+ const OUT: usize, D: LayerDevice> Branches<OUT, D> for ($(Images<$C, D>,)+) {
            fn cat(self) -> Images<OUT, D> {
                const { assert_width("the branches", 0 $(+ $C)+, OUT) };
                Images(Flow::concat(vec![$(self.$index.0),+]))
            }
        }
    };
}

branches!(C0 0, C1 1);
branches!(C0 0, C1 1, C2 2);
branches!(C0 0, C1 1, C2 2, C3 3);
branches!(C0 0, C1 1, C2 2, C3 3, C4 4);
branches!(C0 0, C1 1, C2 2, C3 3, C4 4, C5 5);

/// Stops the compilation where a width in a type is not what it has to be, and names both numbers.
///
/// Stable Rust cannot write `4 * MID` in a type, so the product is passed, and checked here.
///
/// ```
/// struct Block<const MID: usize, const OUT: usize>;
/// impl<const MID: usize, const OUT: usize> Block<MID, OUT> {
///     const CHECKED: () = dldna::nn::assert_width("four times MID", 4 * MID, OUT);
/// }
/// let _ = Block::<16, 64>::CHECKED;
/// ```
///
/// ```compile_fail
/// # struct Block<const MID: usize, const OUT: usize>;
/// # impl<const MID: usize, const OUT: usize> Block<MID, OUT> {
/// #     const CHECKED: () = dldna::nn::assert_width("four times MID", 4 * MID, OUT);
/// # }
/// let _ = Block::<16, 32>::CHECKED; // four times MID: 64 channels, but OUT says 32
/// ```
pub const fn assert_width(what: &str, expected: usize, found: usize) {
    if expected != found {
        let mut text = [0; 160];
        let mut length = write(&mut text, 0, what.as_bytes());
        length = write(&mut text, length, b": ");
        length = write_number(&mut text, length, expected);
        length = write(&mut text, length, b" channels, but the type says ");
        length = write_number(&mut text, length, found);
        let (text, _) = text.split_at(length);
        match std::str::from_utf8(text) {
            Ok(text) => panic!("{}", text),
            Err(_) => panic!("a width is not what it has to be"),
        }
    }
}

/// Copies `bytes` behind the first `length` bytes of `text`, as far as there is room; the new length.
const fn write(text: &mut [u8], length: usize, bytes: &[u8]) -> usize {
    let mut index = 0;
    while index < bytes.len() && length + index < text.len() {
        text[length + index] = bytes[index];
        index += 1;
    }
    length + index
}

/// [`write`] for the decimal digits of a number.
const fn write_number(text: &mut [u8], length: usize, number: usize) -> usize {
    let length = if number < 10 {
        length
    } else {
        write_number(text, length, number / 10)
    };
    write(text, length, &[b'0' + (number % 10) as u8])
}

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
/// use dldna::nn::{relu, run};
/// use dldna::prelude::*;
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
