//! Convolutional networks on [dfdx], on stable Rust.
#![warn(missing_docs)]

pub mod cnn;
pub mod conv_visual;
pub mod data;
pub mod display;
pub mod filter_utils;
pub mod frequency;
pub mod image;
pub mod kernels;
pub mod nn;
pub mod param_share;
pub mod plot;
pub mod prelude;
pub mod receptive_field;
pub mod simple_conv;
pub mod summary;
mod table;
