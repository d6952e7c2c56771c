//! The arithmetic of the layers: slices in, slices out.
//!
//! Nothing here but `elements` knows of tensors, tapes or devices. Images are `(batch, channel, height, width)` in one
//! contiguous slice, weights are `(out_channel, in_channel, kernel_height, kernel_width)`.
//! The sizes are checked once by the caller ([`crate::nn`]); a slice of the wrong length is a bug there and panics.
//!
//! | file | what it computes |
//! |---|---|
//! | [`window`] | where a sliding window lands: output sizes, which inputs a kernel tap meets |
//! | [`conv2d`] | convolution, forward and both gradients: the best of three ways, of which unfolded windows are one |
//! | [`direct`] | convolution without unfolding |
//! | [`winograd`] | 3x3 convolution of stride 1 with a quarter of the multiplications |
//! | [`depthwise`] | convolution of each channel with its own kernel |
//! | [`grouped`] | convolution in groups of channels |
//! | [`pool2d`] | max and average pooling |
//! | [`phases`] | a plane laid out so that each kernel tap reads it in one run |
//! | [`separable`] | padding, upsampling and adaptive pooling: linear maps of rows and columns |
//! | [`batch_norm`] | normalisation by the statistics of the batch |
//! | [`layer_norm`] | normalisation of each pixel over its channels |
//! | [`activation`] | ReLU and the like, and their slopes |
//! | [`adam`], [`sgd`] | one step of an optimizer |
//! | [`elementwise`] | sums of two slices |
//! | [`epilogue`] | bias, batch norm, shortcut and activation behind an operation |
//! | [`planes`] | sums over each channel of each image, and a factor for each |
//! | [`matmul`] | the matrix product under all of it |
//! | [`product`] | products of small blocks, for those that bring their operands in the right order |
//! | `elements` | a tensor's elements as a slice |
//! | [`scratch`] | memory that is used again |
//! | [`subnormals`] | computing without numbers that are too small to matter |
//! | [`transpose`] | the transpose of a matrix |
//! | [`vector`] | loops in the widest vector instructions of the processor |

pub mod activation;
pub mod adam;
pub mod batch_norm;
pub mod conv2d;
pub mod depthwise;
pub mod direct;
pub(crate) mod elements;
pub mod elementwise;
pub mod epilogue;
pub mod grouped;
pub mod layer_norm;
pub mod matmul;
pub mod phases;
pub mod planes;
pub mod pool2d;
pub mod product;
pub mod scratch;
pub mod separable;
pub mod sgd;
pub mod subnormals;
pub mod transpose;
pub mod vector;
pub mod window;
pub mod winograd;
