//! The modules of the book's chapter.

pub mod block_diagram;
pub mod cnn;
pub mod conv_visual;
pub mod convnext;
pub mod feature_levels;
pub mod filter_utils;
pub mod first_network;
pub mod frequency;
pub mod gaussian_process;
pub mod inception;
pub mod kernel_methods;
pub mod param_share;
pub mod receptive_field;
pub mod residual_learning;
pub mod signal_propagation;
pub mod simple_conv;
pub mod train;
pub mod transfer;
pub mod vgg;
pub mod visual_cortex;
