//! The functions of a forward pass: what has no weights and needs no name in a network.

use super::device::LayerDevice;
use super::flow::Flow;
use super::forward::{Flowing, Images, Vectors};
use super::global_pool::AvgPoolGlobal;
use super::run::activate_any;
use super::width::assert_width;
use crate::kernels::activation::Activation;
use crate::summary::{LayerSummary, Summarize, SummaryError};
use dfdx::prelude::{Shape, Tape, Tensor};

/// Each channel of each image times a factor of its own: what squeeze-and-excitation does. Factors are images of 1x1
/// pixels.
///
/// Hu et al., *Squeeze-and-Excitation Networks*, 2018, equation 4.
///
/// ```
/// use dldna_nn::nn::{run, scale_channels, squeeze};
/// use dldna_nn::prelude::*;
/// let x = Cpu::default().tensor([[[[1.0, 3.0]]]]); // the mean of its one channel is 2
/// assert_eq!(run(x, |x| scale_channels(x.clone(), squeeze(x)))?.as_vec(), [2.0, 6.0]);
/// # Ok::<(), CpuError>(())
/// ```
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
    ///
    /// ```
    /// use dldna_nn::nn::relu;
    /// use dldna_nn::prelude::*;
    /// let y = relu(Cpu::default().tensor([-1.0, 2.0]));
    /// assert!(y.array() == [0.0, 2.0]);
    /// ```
    relu Relu "ReLU",
    /// `min(max(x, 0), 6)`, element by element. Sandler et al., *MobileNetV2*, 2018.
    ///
    /// ```
    /// use dldna_nn::nn::relu6;
    /// use dldna_nn::prelude::*;
    /// let y = relu6(Cpu::default().tensor([-1.0, 7.0]));
    /// assert!(y.array() == [0.0, 6.0]);
    /// ```
    relu6 Relu6 "ReLU6",
    /// `x sigmoid(x)`, element by element. Ramachandran et al., *Searching for Activation Functions*, 2017.
    ///
    /// ```
    /// use dldna_nn::nn::silu;
    /// use dldna_nn::prelude::*;
    /// let y = silu(Cpu::default().tensor([0.0, 10.0]));
    /// assert!(y.array()[0] == 0.0 && y.array()[1] > 9.999);
    /// ```
    silu Silu "SiLU",
    /// `x Phi(x)`, element by element. Hendrycks and Gimpel, *Gaussian Error Linear Units*, 2016.
    ///
    /// ```
    /// use dldna_nn::nn::gelu;
    /// use dldna_nn::prelude::*;
    /// let y = gelu(Cpu::default().tensor([0.0, 1.0]));
    /// assert!(y.array()[0] == 0.0 && (y.array()[1] - 0.841345).abs() < 1e-5);
    /// ```
    gelu Gelu "GELU",
    /// `1 / (1 + e^-x)`, element by element.
    ///
    /// ```
    /// use dldna_nn::nn::sigmoid;
    /// use dldna_nn::prelude::*;
    /// let y = sigmoid(Cpu::default().tensor([0.0, 20.0]));
    /// assert!(y.array()[0] == 0.5 && y.array()[1] > 0.999);
    /// ```
    sigmoid Sigmoid "Sigmoid",
);

/// The mean of each channel: `(batch, C, height, width)` to `(batch, C)`. PyTorch: `x.mean((2, 3))`.
///
/// ```
/// use dldna_nn::nn::{mean, run};
/// use dldna_nn::prelude::*;
/// let x = Cpu::default().tensor([[[[1.0, 3.0]]]]);
/// assert_eq!(run(x, mean)?.as_vec(), [2.0]);
/// # Ok::<(), CpuError>(())
/// ```
pub fn mean<const C: usize, D: LayerDevice>(x: Images<C, D>) -> Vectors<C, D> {
    x.named("mean")
        .layer(&AvgPoolGlobal, |flow| flow.apply(D::global_avg_pool2d))
}

/// The mean of each channel as an image of 1x1 pixels: `(batch, C, height, width)` to `(batch, C, 1, 1)`.
///
/// ```
/// use dldna_nn::nn::{run, squeeze};
/// use dldna_nn::prelude::*;
/// let x = Cpu::default().tensor([[[[1.0, 3.0]]]]);
/// assert_eq!(*run(x, squeeze)?.shape(), (Const::<1>, Const::<1>, 1, 1));
/// # Ok::<(), CpuError>(())
/// ```
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
///
/// ```
/// use dldna_nn::nn::{cat, relu, run};
/// use dldna_nn::prelude::*;
/// let x = Cpu::default().tensor([[[[-1.0, 2.0]]]]);
/// let both = run(x, |x| cat::<2, _>((x.clone(), relu(x))))?;
/// assert_eq!(both.as_vec(), [-1.0, 2.0, 0.0, 2.0]);
/// # Ok::<(), CpuError>(())
/// ```
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
