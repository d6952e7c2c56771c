//! The activations that dfdx lacks, as layers, and a name for each.

use super::device::LayerDevice;
use super::forward::{Flowing, Forward, Layer};
use super::run::{activate_any, activate_vectors, run_any};
use crate::kernels::activation::Activation;
use crate::summary::layers::elementwise;
use crate::summary::{LayerSummary, Summarize, SummaryError};
use dfdx::prelude::*;

/// A layer that applies an activation: a type that can stand for it among a network's parameters.
///
/// ```
/// use dldna_nn::nn::{Activation, ActivationLayer};
/// use dldna_nn::prelude::*;
/// assert_eq!(SiLU::ACTIVATION, Activation::Silu);
/// ```
pub trait ActivationLayer: ZeroSizedModule + Clone + std::fmt::Debug + Summarize + 'static {
    /// What it applies.
    const ACTIVATION: Activation;
}

macro_rules! activation_layer {
    ($Layer:ident, $activation:ident) => {
        impl ActivationLayer for $Layer {
            const ACTIVATION: Activation = Activation::$activation;
        }
    };
}

activation_layer!(Sigmoid, Sigmoid);

impl<A: ActivationLayer> Layer for A {
    type On<E: Dtype, D: Storage<E>> = A;
}

impl<A: ActivationLayer, X: Flowing> Forward<X> for A {
    type Output = X;

    fn eval(&self, x: X) -> X {
        x.layer(self, |flow| flow.activate(A::ACTIVATION))
    }

    fn train(&mut self, x: X) -> X {
        self.eval(x)
    }
}

/// `Module` for tensors of any shape. Feature maps and vectors, which networks are full of, go the short way, the others
/// by way of a vector: where layers are used, less is compiled.
macro_rules! activation_modules {
    ($Layer:ident) => {
        activation_modules!($Layer, [B C H W], |x| run_any(x, |flow| flow.activate(Self::ACTIVATION)));
        activation_modules!($Layer, [B N], |x| activate_vectors(x, Self::ACTIVATION));
        activation_modules!($Layer, [], |x| activate_any(x, Self::ACTIVATION));
        activation_modules!($Layer, [N], |x| activate_any(x, Self::ACTIVATION));
        activation_modules!($Layer, [A B C], |x| activate_any(x, Self::ACTIVATION));
        activation_modules!($Layer, [A B C H W], |x| activate_any(x, Self::ACTIVATION));
        activation_modules!($Layer, [A B C F H W], |x| activate_any(x, Self::ACTIVATION));
    };
    ($Layer:ident, [$($N:ident)*], |$x:ident| $activated:expr) => {
        impl<$($N: Dim,)* D: LayerDevice, T: Tape<f32, D>> Module<Tensor<($($N,)*), f32, D, T>> for $Layer {
            type Output = Tensor<($($N,)*), f32, D, T>;
            type Error = D::Err;

            fn try_forward(&self, $x: Tensor<($($N,)*), f32, D, T>) -> Result<Self::Output, D::Err> {
                $activated
            }
        }
    };
}

macro_rules! activation {
    ($(#[$docs:meta])* $Layer:ident, $activation:ident) => {
        $(#[$docs])*
        #[derive(Debug, Clone, Copy, Default)]
        pub struct $Layer;

        impl ZeroSizedModule for $Layer {}
        impl NonMutableModule for $Layer {}

        activation_layer!($Layer, $activation);

        activation_modules!($Layer);

        impl Summarize for $Layer {
            fn summarize(&self, input: &[usize]) -> Result<LayerSummary, SummaryError> {
                elementwise(stringify!($Layer), input)
            }
        }
    };
}

activation!(
    /// `max(x, 0)`, for tensors of any shape. What is not a number stays so: dfdx's own ReLU makes it 0, and a network whose
    /// weights have gone wrong looks healthy.
    ///
    /// PyTorch: `torch.nn.ReLU()`.
    ///
    /// ```
    /// use dldna_nn::prelude::*;
    /// let y = ReLU.forward(Cpu::default().tensor([-1.0, 3.0, f32::NAN]));
    /// assert!(y.array()[..2] == [0.0, 3.0] && y.array()[2].is_nan());
    /// ```
    ReLU,
    Relu
);

activation!(
    /// `min(max(x, 0), 6)`, for tensors of any shape. Sandler et al., *MobileNetV2*, 2018, choose it for networks whose
    /// numbers are stored in few bits.
    ///
    /// PyTorch: `torch.nn.ReLU6()`.
    ///
    /// ```
    /// use dldna_nn::prelude::*;
    /// let y = ReLU6.forward(Cpu::default().tensor([-1.0, 3.0, 7.0]));
    /// assert_eq!(y.array(), [0.0, 3.0, 6.0]);
    /// ```
    ReLU6,
    Relu6
);

activation!(
    /// `x sigmoid(x)`, for tensors of any shape; also known as swish. Smooth, and a little below 0 for negative numbers.
    /// Ramachandran et al., *Searching for Activation Functions*, 2017.
    ///
    /// PyTorch: `torch.nn.SiLU()`.
    ///
    /// ```
    /// use dldna_nn::prelude::*;
    /// let y = SiLU.forward(Cpu::default().tensor([-1.0, 0.0, 10.0]));
    /// assert!(y.array()[0] < -0.26 && y.array()[1] == 0.0 && y.array()[2] > 9.999);
    /// ```
    SiLU,
    Silu
);

activation!(
    /// `x Phi(x)`, for tensors of any shape, with `Phi(x)` the share of a normal distribution that is below `x`. Hendrycks
    /// and Gimpel, *Gaussian Error Linear Units*, 2016.
    ///
    /// PyTorch: `torch.nn.GELU()`.
    ///
    /// ```
    /// use dldna_nn::prelude::*;
    /// let y = GELU.forward(Cpu::default().tensor([-1.0, 0.0, 1.0]));
    /// let [below, zero, above] = y.array();
    /// assert!((above - 0.841345).abs() < 1e-5 && zero == 0.0 && (below + 0.158655).abs() < 1e-5);
    /// ```
    GELU,
    Gelu
);
