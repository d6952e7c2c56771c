//! What a network is written with: images and vectors whose channels are known to the compiler, and the layers that
//! take one to the other.

use super::device::LayerDevice;
use super::flow::Flow;
use super::functions::Activate;
use crate::kernels::activation::Activation;
use crate::summary::Summarize;
use dfdx::prelude::{Cpu, Dtype, Storage};
use std::fmt;
use std::ops::{Add, Mul};

/// Images or feature maps with `C` channels on their way through a network: `(batch, C, height, width)`.
///
/// The forward pass of a [`network!`](crate::network) gets them and hands them from layer to layer. To use them twice,
/// `clone` them: no pixel is copied.
pub struct Images<const C: usize, D: LayerDevice = Cpu>(pub(super) Flow<D>);

/// Feature vectors of `N` elements on their way through a network: `(batch, N)`.
pub struct Vectors<const N: usize, D: LayerDevice = Cpu>(pub(super) Flow<D>);

/// A layer, or a network of them, as it stands in the forward pass of a [`network!`](crate::network).
///
/// ```
/// use dldna_nn::nn::{Forward, mean, relu, run};
/// use dldna_nn::prelude::*;
///
/// let dev = Cpu::seed_from_u64(0);
/// let conv = dev.build_module::<Conv2D<1, 8, 3>, f32>();
/// let images = dev.zeros_like(&(4, Const::<1>, 28, 28));
/// let features = run(images, |x| mean(relu(conv.eval(x))))?;
/// assert_eq!(*features.shape(), (4, Const::<8>));
/// # Ok::<(), CpuError>(())
/// ```
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
///
/// ```
/// use dldna_nn::{nn::Layer, prelude::*};
///
/// type Block = (Conv2D<1, 8, 3>, ReLU);
/// let block: <Block as Layer>::On<f32, Cpu> = Cpu::default().build_module::<Block, f32>();
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a layer of a `network!`",
    note = "layers are the types of `dldna_nn::nn`, dfdx's dropout and `Bias2D`, tuples of up to six layers, and networks"
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
