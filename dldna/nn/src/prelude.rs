//! All that a program with networks needs, dfdx's own prelude included.
//!
//! Where this crate and dfdx have a layer of the same name, such as [`BatchNorm2D`], the name means this crate's.

pub use dfdx::optim::{Adam, AdamConfig, Sgd, SgdConfig};
pub use dfdx::prelude::*;

pub use crate::network;
pub use crate::nn::{
    AvgPool2D, AvgPoolGlobal, BatchNorm2D, BiasedConv2D, Conv2D, DepthwiseConv2D, Flatten, GELU,
    Images, LayerDevice, LayerNorm2D, Linear, MaxPool2D, ReLU, ReLU6, RectangularConv2D, SAME,
    SiLU, Stage, Vectors, cat, gelu, mean, modules, relu, relu6, scale_channels, sigmoid, silu,
    squeeze,
};
pub use crate::summary::{Summarize, Summary, count_parameters};
