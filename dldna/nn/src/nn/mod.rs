//! Layers for images, as dfdx modules, on stable Rust.
//!
//! dfdx hides its own convolution behind a feature that no current compiler accepts. These layers take its place.
//! Their types hold the channels, so the compiler refuses layers that do not fit; batch, height and width are
//! run-time values, so one network takes images of any size.
//!
//! ```
//! use dldna_nn::prelude::*;
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
//! use dldna_nn::prelude::*;
//! type Network = (Conv2D<1, 8, 3>, Conv2D<16, 10, 3>); // 8 channels come, 16 are expected
//! let dev = Cpu::seed_from_u64(0);
//! let network = dev.build_module::<Network, f32>();
//! network.forward(dev.zeros_like(&(4, Const::<1>, 28, 28)));
//! ```
//!
//! A network of any form is written with [`network!`](crate::network), out of a list of layers and one forward pass.
//!
//! | question | file |
//! |---|---|
//! | how is a network written, and what does the macro make of it | `network.rs`, `forward.rs`, `functions.rs` |
//! | what does a layer compute, what are its weights | a file of its name: `conv2d.rs`, `batch_norm2d.rs`, .. |
//! | what do all layers with weights have in common | `layer.rs` |
//! | how do convolution, norm, shortcut and activation become one operation | `flow.rs` |
//! | which operations does a device have to offer | `device.rs` |
//! | how are they computed on the CPU | `cpu.rs`, and [`crate::kernels`] |
//! | how on a GPU | `cuda.rs`, and [`fallback`] |
//!
//! To add a layer: its operation in `device.rs` if there is none that it can use (with `cpu.rs` and [`fallback`]), and a
//! file with `layer!` and `image_layer!`, or with `separable_layer!` where it has no weights and maps rows and columns.
//!
//! A size that only shows at run time, such as an image smaller than the kernel, is an error of `try_forward`.
//! dfdx fixes the type of that error to the device's, which has no room for words; [`last_error`] has them.
//! A panic of `forward` says them, unless it is `forward` of a tuple: that one is dfdx's own.
//!
//! After a backward pass the gradients of parameters and inputs can be read. The gradient of a result in the
//! middle of the network cannot: its memory was given on to save half of the peak.

mod activation;
mod adaptive_avg_pool2d;
mod batch_norm2d;
mod combine;
mod conv2d;
mod conv_norm;
mod conv_transpose2d;
#[cfg(not(feature = "fallback"))]
mod cpu;
#[cfg(feature = "fallback")]
mod cpu_by_fallback;
#[cfg(feature = "cuda")]
mod cuda;
mod depthwise_conv2d;
mod device;
mod dropout2d;
mod error;
pub mod fallback;
mod flatten;
mod flow;
mod forward;
mod functions;
mod global_pool;
mod group_norm;
mod grouped_conv2d;
mod layer;
mod layer_norm2d;
mod layer_scale;
mod linear;
pub mod network;
mod pad2d;
mod pool2d;
mod rectangular_conv2d;
mod run;
mod separable;
mod stage;
mod upsample2d;
mod width;

pub use activation::{ActivationLayer, GELU, ReLU, ReLU6, SiLU};
pub use adaptive_avg_pool2d::AdaptiveAvgPool2D;
pub use batch_norm2d::BatchNorm2D;
pub use conv_norm::ConvNorm;
pub use conv_transpose2d::{BiasedConvTranspose2D, ConvTranspose2D};
pub use conv2d::{BiasedConv2D, Conv2D};
pub use depthwise_conv2d::DepthwiseConv2D;
pub use device::{
    Backward, Batch, BatchStatistics, ChannelStatistics, Channels, Convolution, Epilogue, Input,
    Later, LayerDevice, NormParameters, Operation, ReportError,
};
pub use dropout2d::Dropout2D;
#[doc(hidden)]
pub use error::or_panic;
pub use error::{LayerError, last_error};
pub use flatten::Flatten;
pub use flow::Flow;
pub use forward::{Flowing, Forward, Images, Layer, Vectors};
pub use functions::{
    Activate, Branches, cat, gelu, mean, relu, relu6, scale_channels, sigmoid, silu, squeeze,
};
pub use global_pool::AvgPoolGlobal;
pub use group_norm::GroupNorm;
pub use grouped_conv2d::{GroupedConv2D, PerGroup};
pub use layer_norm2d::LayerNorm2D;
pub use layer_scale::LayerScale;
pub use linear::Linear;
pub use network::Element;
pub use pad2d::{ReflectPad2D, ReplicatePad2D, ZeroPad2D};
pub use pool2d::{AvgPool2D, MaxPool2D};
pub use rectangular_conv2d::RectangularConv2D;
use run::run_any;
pub use run::{Entering, Leaving, run, summarize};
pub use stage::Stage;
pub use upsample2d::{UpsampleBilinear2D, UpsampleNearest2D};
pub use width::assert_width;

pub use crate::kernels::activation::Activation;

/// The layers once built on a device: the same types, and those of dfdx.
pub mod modules {
    pub use super::{
        AdaptiveAvgPool2D, AvgPool2D, AvgPoolGlobal, BatchNorm2D, BiasedConv2D,
        BiasedConvTranspose2D, Conv2D, ConvTranspose2D, DepthwiseConv2D, Dropout2D, Flatten, GELU,
        GroupNorm, GroupedConv2D, LayerNorm2D, Linear, MaxPool2D, ReLU, ReLU6, RectangularConv2D,
        ReflectPad2D, ReplicatePad2D, SiLU, UpsampleBilinear2D, UpsampleNearest2D, ZeroPad2D,
    };
    pub use dfdx::nn::modules::*;
}

/// A padding that keeps the size where the stride is 1: half the kernel, for kernels of odd size.
///
/// PyTorch: `padding="same"`.
///
/// ```
/// use dldna_nn::nn::SAME;
/// use dldna_nn::prelude::*;
/// let dev = Cpu::seed_from_u64(0);
/// let conv = dev.build_module::<Conv2D<1, 2, 7, 1, SAME>, f32>();
/// assert_eq!(*conv.forward(dev.zeros_like(&(1, Const::<1>, 9, 9))).shape(), (1, Const::<2>, 9, 9));
/// ```
pub const SAME: usize = usize::MAX;

/// A padding as a number of pixels.
const fn padding(padding: usize, kernel: usize, dilation: usize) -> usize {
    if padding == SAME {
        dilation * (kernel - 1) / 2
    } else {
        padding
    }
}
