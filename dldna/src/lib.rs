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
//! | draw | [`plot`], [`block_diagram`], [`conv_visual`] |
//! | play in the notebook | [`web`] |
//! | check what you wrote in an exercise | [`exercises`] |

mod chapter;
pub mod data;
mod download;
pub mod exercises;
pub mod image;
mod notebook;
pub mod plot;
pub mod prelude;
pub mod web;

pub use chapter::*;
use dldna_nn::{atomic_file, interrupt, table};
pub use dldna_nn::{
    device, display, efficientnet, kernels, mobilenet, network, nn, resnet, summary, weights,
};
pub use notebook::{VERSION, VersionMismatch, check_notebook};
