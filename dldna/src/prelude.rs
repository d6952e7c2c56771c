//! All that a notebook needs, dfdx's own prelude included.
//!
//! Where dldna and dfdx have a layer of the same name, such as [`BatchNorm2D`], the name means dldna's.

pub use dfdx::optim::{Adam, AdamConfig, Sgd, SgdConfig};
pub use dfdx::prelude::*;

pub use crate::nn::{
    AvgPool2D, BatchNorm2D, BiasedConv2D, Conv2D, DepthwiseConv2D, LayerDevice, MaxPool2D,
};
