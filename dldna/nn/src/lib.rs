#![doc = include_str!("../README.md")]

pub mod atomic_file;
pub mod data;
pub mod device;
pub mod display;
mod families;
pub mod interrupt;
#[allow(unsafe_code, reason = "each block says why it is sound")]
pub mod kernels;
pub mod nn;
pub mod prelude;
pub mod summary;
pub mod table;
pub mod train;
pub mod weights;

pub use device::device;
pub use families::{convnext, efficientnet, inception, mobilenet, resnet, vgg};
