//! A convolution and the batch norm behind it as one operation: what residual networks are made of.
//!
//! One after the other, each of them reads and writes all images once, and a batch norm by itself reads its input three
//! times. Done together, the values are still in the cache.

use super::device::{ChannelStatistics, ConvParameters, LayerDevice, NormParameters};
use super::modules::{BatchNorm2D, BiasedConv2D, Conv2D, DepthwiseConv2D};
use crate::kernels::activation::Activation;
use crate::kernels::window::Window;
use dfdx::prelude::*;

type Images<B, const C: usize, D, T> = Tensor<(B, Const<C>, usize, usize), f32, D, T>;

/// `activation(norm(conv(x)) + shortcut)`: what is left out of it, and what is put in.
#[derive(Debug, Clone)]
pub struct Then<S> {
    /// Added to the normalised values.
    pub shortcut: Option<S>,
    /// What comes last.
    pub activation: Activation,
}

impl<S> Then<S> {
    /// Neither shortcut nor activation.
    pub const fn nothing() -> Self {
        Self::add(None)
    }

    /// A ReLU.
    pub const fn relu() -> Self {
        Self::activate(Activation::Relu)
    }

    /// An activation.
    pub const fn activate(activation: Activation) -> Self {
        Self {
            shortcut: None,
            activation,
        }
    }

    /// The shortcut, if there is one.
    pub const fn add(shortcut: Option<S>) -> Self {
        Self {
            shortcut,
            activation: Activation::Identity,
        }
    }

    /// The shortcut, if there is one, and a ReLU.
    pub const fn add_relu(shortcut: Option<S>) -> Self {
        Self {
            shortcut,
            activation: Activation::Relu,
        }
    }
}

/// The two ways through a convolution and the batch norm behind it. `$Example` is a layer from `$channels` to 8 channels.
macro_rules! impl_forward_norm {
    (
        <$($N:ident),+> $Conv:ty, $IN:ident to $OUT:ident, ConvParameters<$GROUP:tt>, |$layer:ident| $bias:expr,
        $train:ident, $eval:ident, $Example:ty, $channels:literal
    ) => {
        impl<$(const $N: usize,)+ D: LayerDevice> $Conv {
            /// `then(norm(self(x)))` in training: by the statistics of the batch, which also move the running ones.
            ///
            /// The same as the layers one after the other, in one operation on the tape. A bias of the convolution has no
            /// effect in front of a batch norm but on the running mean, and gets no gradient.
            ///
            /// # Errors
            /// As those of the layers: see [`last_error`](super::last_error).
            ///
            /// # Example
            /// ```
            /// use dldna::nn::{Then, modules};
            /// use dldna::prelude::*;
            ///
            /// let dev = Cpu::seed_from_u64(0);
            #[doc = concat!("let conv = dev.build_module::<", stringify!($Example), ", f32>();")]
            /// let mut norm = dev.build_module::<BatchNorm2D<8>, f32>();
            #[doc = concat!("let images = dev.sample_normal_like(&(4, Const::<", $channels, ">, 6, 6));")]
            /// let one = conv.try_forward_norm_mut(&mut norm.clone(), images.leaky_trace(), Then::relu())?;
            /// let two = norm.try_forward_mut(conv.try_forward(images.leaky_trace())?)?.try_relu()?;
            /// let difference = (one - two.realize()).abs().as_vec().into_iter().fold(0.0, f32::max);
            /// assert!(difference < 1e-5);
            /// # Ok::<(), CpuError>(())
            /// ```
            #[allow(
                clippy::type_complexity,
                reason = "the shapes are what a reader wants to see"
            )]
            pub fn try_forward_norm_mut<B: Dim, H: Dim, W: Dim>(
                &self,
                norm: &mut BatchNorm2D<$OUT, f32, D>,
                x: Tensor<(B, Const<$IN>, H, W), f32, D, OwnedTape<f32, D>>,
                then: Then<Images<B, $OUT, D, OwnedTape<f32, D>>>,
            ) -> Result<Images<B, $OUT, D, OwnedTape<f32, D>>, D::Err> {
                let (y, statistics) = D::$train(
                    x,
                    self.parameters(),
                    norm.parameters(),
                    then.shortcut,
                    then.activation,
                )?;
                let &(batch, _, height, width) = y.shape();
                norm.try_update(&statistics, batch.size() * height * width)?;
                Ok(y)
            }

            /// `then(norm(self(x)))` in evaluation, by the running statistics and without gradients.
            ///
            /// # Errors
            /// As those of the layers: see [`last_error`](super::last_error).
            ///
            /// # Example
            /// ```
            /// use dldna::nn::Then;
            /// use dldna::prelude::*;
            ///
            /// let dev = Cpu::seed_from_u64(0);
            #[doc = concat!("let conv = dev.build_module::<", stringify!($Example), ", f32>();")]
            /// let norm = dev.build_module::<BatchNorm2D<8>, f32>();
            #[doc = concat!("let images = dev.zeros_like(&(4, Const::<", $channels, ">, 6, 6));")]
            /// let y = conv.try_forward_norm(&norm, images, Then::relu())?;
            /// assert_eq!(*y.shape(), (4, Const::<8>, 6, 6));
            /// # Ok::<(), CpuError>(())
            /// ```
            pub fn try_forward_norm<B: Dim, H: Dim, W: Dim>(
                &self,
                norm: &BatchNorm2D<$OUT, f32, D>,
                x: Tensor<(B, Const<$IN>, H, W), f32, D>,
                then: Then<Images<B, $OUT, D, NoneTape>>,
            ) -> Result<Images<B, $OUT, D, NoneTape>, D::Err> {
                let running = ChannelStatistics {
                    mean: norm.running_mean.clone(),
                    variance: norm.running_var.clone(),
                };
                D::$eval(
                    x,
                    self.parameters(),
                    norm.parameters(),
                    running,
                    then.shortcut,
                    then.activation,
                )
            }

            fn parameters(&self) -> ConvParameters<'_, $GROUP, $OUT, K, D> {
                let $layer = self;
                ConvParameters {
                    weight: &self.weight,
                    bias: $bias,
                    window: Window::square(K, STRIDE, PADDING, 1),
                }
            }
        }
    };
}

impl_forward_norm!(
    <IN, OUT, K, STRIDE, PADDING> BiasedConv2D<IN, OUT, K, STRIDE, PADDING, 1, f32, D>,
    IN to OUT, ConvParameters<IN>, |conv| Some(&conv.bias),
    conv_norm_train, conv_norm_eval, BiasedConv2D<3, 8, 3, 1, 1>, 3
);
impl_forward_norm!(
    <IN, OUT, K, STRIDE, PADDING> Conv2D<IN, OUT, K, STRIDE, PADDING, 1, f32, D>,
    IN to OUT, ConvParameters<IN>, |_conv| None,
    conv_norm_train, conv_norm_eval, Conv2D<3, 8, 3, 1, 1>, 3
);
impl_forward_norm!(
    <C, K, STRIDE, PADDING> DepthwiseConv2D<C, K, STRIDE, PADDING, f32, D>,
    C to C, ConvParameters<1>, |_conv| None,
    depthwise_norm_train, depthwise_norm_eval, DepthwiseConv2D<8, 3, 1, 1>, 8
);

impl<const C: usize, D: LayerDevice> BatchNorm2D<C, f32, D> {
    fn parameters(&self) -> NormParameters<'_, C, D> {
        NormParameters {
            scale: &self.scale,
            bias: &self.bias,
            epsilon: self.epsilon as f32,
        }
    }
}
