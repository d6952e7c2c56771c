//! Layers for images, as dfdx modules, on stable Rust.
//!
//! dfdx hides its own convolution behind a feature that no current compiler accepts. These layers take its place.
//! Their types hold the channels, so the compiler refuses layers that do not fit; batch, height and width are
//! run-time values, so one network takes images of any size.
//!
//! ```
//! use dldna::prelude::*;
//! type Network = (BiasedConv2D<1, 8, 3, 1, 1>, ReLU, MaxPool2D<2, 2>, AvgPoolGlobal, Linear<8, 10>);
//!
//! let dev = Cpu::seed_from_u64(0);
//! let network = dev.build_module::<Network, f32>();
//! let images = dev.zeros_like(&(4, Const::<1>, 28, 28)); // batch, channel, height, width
//! let logits = network.forward(images);
//! assert_eq!(*logits.shape(), (4, Const::<10>));
//! ```
//!
//! Two layers that do not fit do not compile:
//!
//! ```compile_fail
//! use dldna::prelude::*;
//! type Network = (Conv2D<1, 8, 3>, Conv2D<16, 10, 3>); // 8 channels come, 16 are expected
//! let dev = Cpu::seed_from_u64(0);
//! let network = dev.build_module::<Network, f32>();
//! network.forward(dev.zeros_like(&(4, Const::<1>, 28, 28)));
//! ```
//!
//! A size that only shows at run time, such as an image smaller than the kernel, is an error of `try_forward`.
//! dfdx fixes the type of that error to the device's, which has no room for words; [`last_error`] has them.
//!
//! After a backward pass the gradients of parameters and inputs can be read. The gradient of a result in the
//! middle of the network cannot: its memory was given on to save half of the peak.

mod activation;
mod batch_norm2d;
pub mod composed;
mod conv2d;
mod conv_norm;
mod cpu;
#[cfg(feature = "cuda")]
mod cuda;
mod depthwise_conv2d;
mod device;
mod error;
mod flatten;
mod layer_norm2d;
mod pool2d;
mod rectangular_conv2d;

pub use activation::{ActivationLayer, GELU, ReLU6, SiLU};
pub use batch_norm2d::builder::BatchNorm2D;
pub use conv_norm::Then;
pub use conv2d::builder::{BiasedConv2D, Conv2D};
pub use depthwise_conv2d::builder::DepthwiseConv2D;
pub use device::{ChannelStatistics, ConvParameters, LayerDevice, NormParameters};
pub use error::{LayerError, last_error};
pub use flatten::Flatten;
pub use layer_norm2d::builder::LayerNorm2D;
pub use pool2d::{AvgPool2D, MaxPool2D};
pub use rectangular_conv2d::builder::RectangularConv2D;

pub use crate::kernels::activation::Activation;

/// The layers once built on a device: what `dev.build_module` returns.
pub mod modules {
    pub use super::activation::{GELU, ReLU6, SiLU};
    pub use super::batch_norm2d::BatchNorm2D;
    pub use super::conv2d::{BiasedConv2D, Conv2D};
    pub use super::depthwise_conv2d::DepthwiseConv2D;
    pub use super::flatten::Flatten;
    pub use super::layer_norm2d::LayerNorm2D;
    pub use super::pool2d::{AvgPool2D, MaxPool2D};
    pub use super::rectangular_conv2d::RectangularConv2D;
}
