//! All that a notebook needs, dfdx's own prelude included.
//!
//! Where dldna and dfdx have a layer of the same name, such as [`BatchNorm2D`], the name means dldna's.

pub use dldna_nn::prelude::*;
pub use ndarray::{Array1, Array2, Array3, Array4};

pub use crate::cnn::{HierarchicalCnn, SimpleCnn};
pub use crate::data::{DatasetExt, Normalisation};
pub use crate::filter_utils::{Filter, apply_filter};
pub use crate::image::{GrayImage, RgbImage};
pub use crate::plot::{BarChart, Chart, ColorMap, Draw, Figure, HeatMap, ImageGrid, Timeline};
pub use crate::simple_conv::{SimpleConv2d, SimpleMaxPool2d};
