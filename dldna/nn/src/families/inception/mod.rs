//! Inception: Szegedy et al., *Going Deeper with Convolutions*, 2014, and what came of it.
//!
//! A module looks at the same input through windows of several sizes at once, and puts the results side by side. A 1x1
//! convolution in front of the large windows keeps the cost down.
//!
//! ```
//! use dldna_nn::{inception::InceptionV1, prelude::*};
//!
//! let dev = Cpu::seed_from_u64(0);
//! let module = dev.build_module::<InceptionV1<192, 64, 96, 128, 16, 32, 32>, f32>();
//! let y = module.forward(dev.zeros_like(&(1, Const::<192>, 28, 28)));
//! assert_eq!(*y.shape(), (1, Const::<256>, 28, 28)); // 64 + 128 + 32 + 32 channels
//! ```
//!
//! | idea | paper | here |
//! |---|---|---|
//! | four branches | v1, 2014 | [`InceptionV1`], [`Inception`] |
//! | a second classifier in the middle | v1, 2014 | [`AuxiliaryHead`], [`WithAuxiliary`] |
//! | batch norm | v2, 2015 | [`ConvNorm`], [`BatchNormInception`] |
//! | 5x5 is two 3x3; n x n is 1 x n and n x 1 | v2 and v3, 2015 | [`FactorizedInception`], [`AsymmetricInception`] |
//! | soft targets | v3, 2015 | [`smoothed_targets`](crate::train::smoothed_targets) |
//! | the module adds to its input | v4, 2016 | [`InceptionResNetA`] |
//! | space and channels one after the other | Xception, 2016 | [`SeparableConv2D`] |
//!
//! Each module is a [`network!`](crate::network): its branches, and [`cat`](crate::nn::cat) that puts them side by side.
//! [`SmallGoogLeNet`] puts three of them together.

mod auxiliary;
mod inception_resnet;
mod later;
mod separable;
mod small_google_net;
mod v1;

pub use crate::nn::ConvNorm;
pub use crate::weights::load_torch_weights;
pub use auxiliary::{AuxiliaryHead, WithAuxiliary};
pub use inception_resnet::{InceptionResNetA, ResidualScale};
pub use later::{AsymmetricConv, AsymmetricInception, BatchNormInception, FactorizedInception};
pub use separable::SeparableConv2D;
pub use small_google_net::{AuxiliarySmallGoogLeNet, SmallGoogLeNet};
pub use v1::{Inception, InceptionModule, InceptionV1};

/// The modules once built on a device: the same types, and what [`InceptionV1`] becomes.
pub mod modules {
    pub use super::{Inception, InceptionResNetA};
}
