//! All that a notebook needs, dfdx's own prelude included.
//!
//! Where dldna and dfdx have a layer of the same name, such as [`BatchNorm2D`], the name means dldna's.

pub use dfdx::optim::{Adam, AdamConfig, Sgd, SgdConfig};
pub use dfdx::prelude::*;
pub use ndarray::{Array1, Array2, Array3, Array4};

pub use crate::cnn::{HierarchicalCnn, SimpleCnn};
pub use crate::filter_utils::{Filter, apply_filter};
pub use crate::image::{GrayImage, RgbImage};
pub use crate::network;
pub use crate::nn::{
    AvgPool2D, AvgPoolGlobal, BatchNorm2D, BiasedConv2D, Conv2D, DepthwiseConv2D, Flatten, GELU,
    Images, LayerDevice, LayerNorm2D, Linear, MaxPool2D, ReLU, ReLU6, RectangularConv2D, SAME,
    SiLU, Stage, Vectors, cat, gelu, mean, modules, relu, relu6, scale_channels, sigmoid, silu,
    squeeze,
};
pub use crate::plot::{BarChart, Chart, ColorMap, Figure, HeatMap, ImageGrid, Timeline};
pub use crate::simple_conv::{SimpleConv2d, SimpleMaxPool2d};
pub use crate::summary::{Summarize, Summary, count_parameters};
