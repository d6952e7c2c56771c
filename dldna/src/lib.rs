//! Convolutional networks on [dfdx], on stable Rust: the crate behind the dldna notebooks.
//!
//! | you want to | look in |
//! |---|---|
//! | write a network | [`network!`], [`nn`] for its layers, and [`prelude`] for everything at once |
//! | take a network of the literature, train it | [`resnet`], [`inception`], [`efficientnet`], [`convnext`], [`vgg`], [`train`], [`weights`] |
//! | give a trained network another task | [`transfer`] |
//! | compare networks of several depths | [`residual_learning`] |
//! | see what depth does to signals and gradients | [`signal_propagation`] |
//! | see small networks at work | [`cnn`], [`feature_levels`] |
//! | see how a layer computes | [`kernels`] for the fast way, [`simple_conv`] for the plain way |
//! | meet the other kernels: of SVMs, of densities, of matrices | [`kernel_methods`] |
//! | predict with an uncertainty | [`gaussian_process`] |
//! | filter a photograph | [`filter_utils`], [`frequency`] |
//! | see as the first cells of the visual cortex do | [`visual_cortex`] |
//! | count parameters, sizes and work | [`summary`], [`param_share`], [`receptive_field`] |
//! | load data | [`data`], [`image`] |
//! | compute on a GPU | [`mod@device`] |
//! | draw | [`plot`], [`conv_visual`] |
//! | check what you wrote in an exercise | [`exercises`] |
#![warn(missing_docs)]

mod atomic_file;
pub mod cnn;
pub mod conv_visual;
pub mod convnext;
pub mod data;
pub mod device;
pub mod display;
mod download;
pub mod efficientnet;
pub mod exercises;
pub mod feature_levels;
pub mod filter_utils;
pub mod frequency;
pub mod gaussian_process;
pub mod image;
pub mod inception;
pub mod kernel_methods;
pub mod kernels;
pub mod nn;
mod notebook;
pub mod param_share;
pub mod plot;
pub mod prelude;
pub mod receptive_field;
pub mod residual_learning;
pub mod resnet;
pub mod signal_propagation;
pub mod simple_conv;
pub mod summary;
mod table;
pub mod train;
pub mod transfer;
pub mod vgg;
pub mod visual_cortex;
pub mod weights;

pub use device::device;
pub use notebook::{VERSION, VersionMismatch, check_notebook};
