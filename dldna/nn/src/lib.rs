#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

pub mod atomic_file;
pub mod data;
pub mod device;
pub mod display;
mod families;
pub mod interrupt;
pub mod kernels;
pub mod nn;
pub mod prelude;
pub mod summary;
pub mod table;
pub mod train;
pub mod weights;

pub use device::device;
pub use families::{convnext, efficientnet, inception, mobilenet, resnet, vgg};
