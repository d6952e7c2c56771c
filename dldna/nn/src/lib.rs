//! Convolutional networks for [dfdx], on stable Rust.
//!
//! | you want to | look in |
//! |---|---|
//! | write a network | [`network!`], [`nn`] for its layers, and [`prelude`] for everything at once |
//! | take a network of the literature | [`resnet`], [`vgg`], [`inception`], [`mobilenet`], [`efficientnet`], [`convnext`] |
//! | train it, measure it | [`train`], with images in memory from [`data`] |
//! | save weights, load them, take PyTorch's | [`weights`] |
//! | count parameters, sizes and work | [`summary`] |
//! | see how a layer computes | [`kernels`] |
//! | compute on a GPU | [`mod@device`] |
//!
//! A network, its training and its use:
//!
//! ```
//! use dldna_nn::{data::stripes, prelude::*, train::{TrainConfig, train}};
//!
//! network! {
//!     /// A convolution, the mean of each channel, and a linear layer.
//!     struct Small<const CLASSES: usize> {
//!         conv: BiasedConv2D<1, 8, 3, 1, 1>,
//!         norm: BatchNorm2D<8>,
//!         fc: Linear<8, CLASSES>,
//!     }
//!     forward(x: Images<1>) -> Vectors<CLASSES> {
//!         fc(mean(relu(norm(conv(x)))))
//!     }
//! }
//!
//! let network = Cpu::seed_from_u64(0).build_module::<Small<2>, f32>();
//! let config = TrainConfig {
//!     epochs: 8, batch_size: 32, learning_rate: 0.03, image_size: 8, progress: false, ..Default::default()
//! };
//! let trained = train(network, &stripes(256, 64, 8), &config)?;
//! assert!(trained.history.last().unwrap().test_accuracy > 0.9);
//! # Ok::<(), dldna_nn::train::TrainError>(())
//! ```
#![warn(missing_docs)]

pub mod atomic_file;
pub mod data;
pub mod device;
pub mod display;
mod families;
pub mod kernels;
pub mod nn;
pub mod prelude;
pub mod summary;
pub mod table;
pub mod train;
pub mod weights;

pub use device::device;
pub use families::{convnext, efficientnet, inception, mobilenet, resnet, vgg};

/// The README's program runs.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
