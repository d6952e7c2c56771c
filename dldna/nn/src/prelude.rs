//! All that a program with networks needs, dfdx's own prelude included.
//!
//! Where this crate and dfdx have a layer of the same name, such as [`BatchNorm2D`], the name means this crate's.

pub use dfdx::optim::{Adam, AdamConfig, Sgd, SgdConfig};
pub use dfdx::prelude::*;

pub use crate::display::DisplayShape as _;
pub use crate::network;
pub use crate::nn::{
    AdaptiveAvgPool2D, AvgPool2D, AvgPoolGlobal, BatchNorm2D, BiasedConv2D, BiasedConvTranspose2D,
    Conv2D, ConvTranspose2D, DepthwiseConv2D, Dropout2D, Flatten, GELU, GroupNorm, GroupedConv2D,
    Images, LayerDevice, LayerNorm2D, Linear, MaxPool2D, ReLU, ReLU6, RectangularConv2D,
    ReflectPad2D, ReplicatePad2D, SAME, SiLU, Stage, UpsampleBilinear2D, UpsampleNearest2D,
    Vectors, ZeroPad2D, cat, gelu, mean, modules, relu, relu6, scale_channels, sigmoid, silu,
    squeeze,
};
pub use crate::summary::{Summarize, Summary, count_parameters};
