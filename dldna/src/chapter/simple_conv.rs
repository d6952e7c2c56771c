//! Convolution and max pooling by hand: loops that read like the formula.
//!
//! These layers are for reading, not for training: they record no gradients and are slow. [`crate::nn`] has the
//! layers for real networks; the notebook of section 7.1.3 compares the two.

use std::ops::{Index, IndexMut};

use dfdx::prelude::*;

use crate::summary::{OutputSizeError, conv_output_size};

/// Images, or the weights of a convolution: four dimensions that are known when the program runs.
///
/// As images the dimensions are (batch, channel, height, width), as weights (out channel, in channel, height, width).
pub type Tensor4 = Tensor<(usize, usize, usize, usize), f32, Cpu>;

/// What [`im2col`] gives: (batch, element of a window, position of the window).
pub type Columns = Tensor<(usize, usize, usize), f32, Cpu>;

/// Why a layer of this module cannot be applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SimpleConvError {
    /// The images have another number of channels than the layer.
    #[error(
        "the layer expects the shape [batch, {expected}, height, width], but the input has {shape:?}"
    )]
    Channels {
        /// Channels the layer was made for.
        expected: usize,
        /// Channels of the input.
        actual: usize,
        /// Shape of the input.
        shape: [usize; 4],
    },
    /// A weight was replaced by one of another shape.
    #[error(
        "the weight must have shape {expected:?} (out channel, in channel, height, width), but has {actual:?}"
    )]
    WeightShape {
        /// The shape that fits the layer.
        expected: [usize; 4],
        /// The shape it has.
        actual: [usize; 4],
    },
    /// A bias was replaced by one of another length.
    #[error(
        "the bias must have {expected} elements, one for each output channel, but has {actual}"
    )]
    BiasLength {
        /// Output channels of the layer.
        expected: usize,
        /// Length of the bias.
        actual: usize,
    },
    /// No output size exists: a zero kernel or stride, or a kernel larger than the padded image.
    #[error("no output for images of shape {shape:?}: {source}")]
    OutputSize {
        /// Shape of the input.
        shape: [usize; 4],
        /// What does not fit.
        source: OutputSizeError,
    },
    /// The weight, the padded images or the result would take more than 1 GiB.
    #[error(
        "a tensor of shape {shape:?} is too large: expected at most {MOST_ELEMENTS} elements, which take 1 GiB"
    )]
    TooLarge {
        /// Shape of that tensor.
        shape: [usize; 4],
    },
    /// dfdx could not make a tensor.
    #[error("dfdx: {0}")]
    Device(String),
}

/// Elements of the largest tensor that is made here: 1 GiB. The loops would take minutes on it.
const MOST_ELEMENTS: usize = 1 << 28;

/// The number of elements of a shape, if memory is to be spent on them.
fn checked_elements(shape: [usize; 4]) -> Result<usize, SimpleConvError> {
    shape
        .iter()
        .try_fold(1usize, |product, &size| product.checked_mul(size))
        .filter(|&elements| elements <= MOST_ELEMENTS)
        .ok_or(SimpleConvError::TooLarge { shape })
}

impl From<CpuError> for SimpleConvError {
    fn from(error: CpuError) -> Self {
        Self::Device(error.to_string())
    }
}

/// A convolution with bias, as seven nested loops.
///
/// ```text
/// Y[n, co, h, w] = sum over ci, i, j of X[n, ci, h * stride + i, w * stride + j] * W[co, ci, i, j]  +  b[co]
/// ```
///
/// where `X` is the input with `padding` zeros on every side. Like every deep learning library this adds `i` and `j`
/// where the mathematical convolution subtracts them: it is a cross-correlation.
///
/// Shapes: input `(batch, in_channels, height, width)`, output `(batch, out_channels, height', width')` with
/// `height' = (height + 2 * padding - kernel_size) / stride + 1`, rounded down, and the same for the width.
///
/// ```
/// use dldna::{prelude::*, simple_conv::SimpleConv2d};
///
/// let dev = Cpu::default();
/// let mut conv = SimpleConv2d::new(1, 1, 2, 1, 0, 7);
/// conv.weight = dev.tensor_from_vec(vec![1.0, 0.0, 0.0, -1.0], (1, 1, 2, 2));
/// conv.bias = dev.tensor_from_vec(vec![10.0], (1,));
///
/// let x = dev.tensor([[[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]]]);
/// let y = conv.forward(&x)?;
/// assert_eq!(y.as_vec(), [1.0 - 5.0 + 10.0, 2.0 - 6.0 + 10.0]);
/// # Ok::<(), dldna::simple_conv::SimpleConvError>(())
/// ```
#[derive(Debug, Clone)]
pub struct SimpleConv2d {
    /// `(out_channels, in_channels, kernel_size, kernel_size)`.
    pub weight: Tensor4,
    /// `(out_channels,)`.
    pub bias: Tensor<(usize,), f32, Cpu>,
    in_channels: usize,
    out_channels: usize,
    kernel_size: usize,
    stride: usize,
    padding: usize,
}

impl SimpleConv2d {
    /// A layer with random weights, the same for the same `seed`.
    ///
    /// Weights and biases are uniform between `-1 / sqrt(fan_in)` and `1 / sqrt(fan_in)`, with
    /// `fan_in = in_channels * kernel_size * kernel_size`, as PyTorch does for its convolutions.
    ///
    /// Sizes that make no sense (a zero kernel or stride, weights of more than 1 GiB) are reported by
    /// [`SimpleConv2d::forward`].
    pub fn new(
        in_channels: usize,
        out_channels: usize,
        kernel_size: usize,
        stride: usize,
        padding: usize,
        seed: u64,
    ) -> Self {
        let dev = Cpu::seed_from_u64(seed);
        let fan_in = in_channels
            .saturating_mul(kernel_size)
            .saturating_mul(kernel_size);
        let bound = 1.0 / (fan_in.max(1) as f32).sqrt();
        let shape = [out_channels, in_channels, kernel_size, kernel_size];
        // `forward` refuses what is too large before it looks at these.
        let [outputs, inputs, height, width] = match checked_elements(shape) {
            Ok(_) if out_channels <= MOST_ELEMENTS => shape,
            _ => [0; 4],
        };
        let weight = dev.sample_uniform_like(&(outputs, inputs, height, width));
        let bias = dev.sample_uniform_like(&(outputs,));
        Self {
            // Samples lie in 0..1; this moves them to -bound..bound.
            weight: weight * (2.0 * bound) - bound,
            bias: bias * (2.0 * bound) - bound,
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
        }
    }

    /// Applies the layer with the seven loops of the formula.
    ///
    /// Errors: the input's channels, the weight's or the bias's shape do not fit the layer, there is no output
    /// (kernel or stride zero, kernel larger than the padded image), or a tensor would take more than 1 GiB.
    pub fn forward<N: Dim, C: Dim, H: Dim, W: Dim>(
        &self,
        x: &Tensor<(N, C, H, W), f32, Cpu>,
    ) -> Result<Tensor4, SimpleConvError> {
        self.loops(Grid::from(x))
    }

    /// [`forward`](Self::forward), compiled once for all shapes.
    fn loops(&self, x: Grid) -> Result<Tensor4, SimpleConvError> {
        let [batch, out_channels, out_height, out_width] = self.output_shape(x.shape)?;
        let x = x.padded(self.padding)?;
        let weight = Grid::from(&self.weight);
        let bias = elements(&self.bias);

        let mut y = Grid::zeros([batch, out_channels, out_height, out_width])?;
        for n in 0..batch {
            for co in 0..out_channels {
                for h in 0..out_height {
                    for w in 0..out_width {
                        let mut sum = bias[co];
                        for ci in 0..self.in_channels {
                            for i in 0..self.kernel_size {
                                for j in 0..self.kernel_size {
                                    sum += x[[n, ci, h * self.stride + i, w * self.stride + j]]
                                        * weight[[co, ci, i, j]];
                                }
                            }
                        }
                        y[[n, co, h, w]] = sum;
                    }
                }
            }
        }
        y.into_tensor()
    }

    /// Applies the layer as one matrix product for each image: weights `(out_channels, in_channels * k * k)` times
    /// the columns of [`im2col`] `(in_channels * k * k, height' * width')`.
    ///
    /// The result is that of [`SimpleConv2d::forward`] up to rounding, and so are the errors. It is faster because
    /// matrix products are what processors and libraries do best.
    ///
    /// ```
    /// use dldna::{prelude::*, simple_conv::SimpleConv2d};
    ///
    /// let conv = SimpleConv2d::new(3, 4, 3, 1, 1, 7);
    /// let x = Cpu::default().sample_normal_like(&(2, 3, 8, 8));
    /// let difference = (conv.forward(&x)? - conv.forward_im2col(&x)?).abs().max::<(), _>();
    /// assert!(difference.array() < 1e-5);
    /// # Ok::<(), dldna::simple_conv::SimpleConvError>(())
    /// ```
    pub fn forward_im2col<N: Dim, C: Dim, H: Dim, W: Dim>(
        &self,
        x: &Tensor<(N, C, H, W), f32, Cpu>,
    ) -> Result<Tensor4, SimpleConvError> {
        self.matrix_product(Grid::from(x))
    }

    /// [`forward_im2col`](Self::forward_im2col), compiled once for all shapes.
    fn matrix_product(&self, x: Grid) -> Result<Tensor4, SimpleConvError> {
        let [batch, out_channels, out_height, out_width] = self.output_shape(x.shape)?;
        let columns = window_columns(x, self.kernel_size, self.stride, self.padding)?;
        let rows = columns.shape().1;
        let pixels = out_height * out_width;

        let matrix = self
            .weight
            .clone()
            .try_reshape_like(&(out_channels, rows))?;
        let matrix = matrix.try_broadcast_like::<_, Axis<0>>(&(batch, out_channels, rows))?;
        let bias = self.bias.clone().try_broadcast_like::<_, Axes2<0, 2>>(&(
            batch,
            out_channels,
            pixels,
        ))?;
        let y = matrix.try_matmul(columns)?.try_add(bias)?;
        Ok(y.try_reshape_like(&(batch, out_channels, out_height, out_width))?)
    }

    /// Checks every shape and gives the output's.
    fn output_shape(&self, input: [usize; 4]) -> Result<[usize; 4], SimpleConvError> {
        let [batch, channels, height, width] = input;
        if channels != self.in_channels {
            let (expected, actual) = (self.in_channels, channels);
            return Err(SimpleConvError::Channels {
                expected,
                actual,
                shape: input,
            });
        }
        let expected = [
            self.out_channels,
            self.in_channels,
            self.kernel_size,
            self.kernel_size,
        ];
        checked_elements(expected)?;
        checked_elements([self.out_channels, 1, 1, 1])?;
        let actual = self.weight.shape().concrete();
        if actual != expected {
            return Err(SimpleConvError::WeightShape { expected, actual });
        }
        let (expected, actual) = (self.out_channels, self.bias.shape().0);
        if actual != expected {
            return Err(SimpleConvError::BiasLength { expected, actual });
        }
        let size =
            |size| window_output_size(size, self.kernel_size, self.stride, self.padding, input);
        Ok([batch, self.out_channels, size(height)?, size(width)?])
    }
}

/// Max pooling by hand: the largest value of each window, channel by channel, without padding.
///
/// Shapes: input `(batch, channel, height, width)`, output `(batch, channel, height', width')` with
/// `height' = (height - kernel_size) / stride + 1`, rounded down, and the same for the width.
///
/// ```
/// use dldna::{prelude::*, simple_conv::SimpleMaxPool2d};
///
/// let x = Cpu::default().tensor([[[[1.0, 2.0, 3.0, 4.0], [8.0, 7.0, 6.0, 5.0]]]]);
/// assert_eq!(SimpleMaxPool2d::new(2, 2).forward(&x)?.as_vec(), [8.0, 6.0]);
/// # Ok::<(), dldna::simple_conv::SimpleConvError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SimpleMaxPool2d {
    kernel_size: usize,
    stride: usize,
}

impl SimpleMaxPool2d {
    /// Windows of `kernel_size x kernel_size`, `stride` pixels apart.
    ///
    /// A zero kernel or stride is reported by [`SimpleMaxPool2d::forward`].
    pub fn new(kernel_size: usize, stride: usize) -> Self {
        Self {
            kernel_size,
            stride,
        }
    }

    /// Applies the layer.
    ///
    /// Errors: kernel or stride are zero, or the kernel is larger than the image.
    pub fn forward<N: Dim, C: Dim, H: Dim, W: Dim>(
        &self,
        x: &Tensor<(N, C, H, W), f32, Cpu>,
    ) -> Result<Tensor4, SimpleConvError> {
        self.loops(Grid::from(x))
    }

    /// [`forward`](Self::forward), compiled once for all shapes.
    fn loops(&self, x: Grid) -> Result<Tensor4, SimpleConvError> {
        let [batch, channels, height, width] = x.shape;
        let size = |size| window_output_size(size, self.kernel_size, self.stride, 0, x.shape);
        let (out_height, out_width) = (size(height)?, size(width)?);

        let mut y = Grid::zeros([batch, channels, out_height, out_width])?;
        for n in 0..batch {
            for c in 0..channels {
                for h in 0..out_height {
                    for w in 0..out_width {
                        let mut largest = f32::NEG_INFINITY;
                        for i in 0..self.kernel_size {
                            for j in 0..self.kernel_size {
                                let value = x[[n, c, h * self.stride + i, w * self.stride + j]];
                                // A NaN must not vanish: it is the sign that something went wrong before.
                                if value > largest || value.is_nan() {
                                    largest = value;
                                }
                            }
                        }
                        y[[n, c, h, w]] = largest;
                    }
                }
            }
        }
        y.into_tensor()
    }
}

/// Lays every window of the image out as one column, so that a convolution becomes a matrix product.
///
/// Input `(batch, channel, height, width)`, output `(batch, channel * k * k, height' * width')`: column
/// `h * width' + w` holds the window at `(h, w)`, and row `(c * k + i) * k + j` its pixel `(i, j)` of channel `c`.
/// A pixel is copied once for each window it lies in, up to `k * k` times: the price is memory.
///
/// Errors: kernel or stride are zero, or the kernel is larger than the padded image.
///
/// ```
/// use dldna::{prelude::*, simple_conv::im2col};
///
/// let x = Cpu::default().tensor([[[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]]]);
/// let columns = im2col(&x, 2, 1, 0)?;
/// // Two windows, so two columns: 1 2 4 5 and 2 3 5 6, top to bottom.
/// assert_eq!(*columns.shape(), (1, 4, 2));
/// assert_eq!(columns.as_vec(), [1.0, 2.0, 2.0, 3.0, 4.0, 5.0, 5.0, 6.0]);
/// # Ok::<(), dldna::simple_conv::SimpleConvError>(())
/// ```
pub fn im2col<N: Dim, C: Dim, H: Dim, W: Dim>(
    x: &Tensor<(N, C, H, W), f32, Cpu>,
    kernel_size: usize,
    stride: usize,
    padding: usize,
) -> Result<Columns, SimpleConvError> {
    window_columns(Grid::from(x), kernel_size, stride, padding)
}

/// [`im2col`], compiled once for all shapes.
fn window_columns(
    x: Grid,
    kernel_size: usize,
    stride: usize,
    padding: usize,
) -> Result<Columns, SimpleConvError> {
    let [batch, channels, height, width] = x.shape;
    let size = |size| window_output_size(size, kernel_size, stride, padding, x.shape);
    let (out_height, out_width) = (size(height)?, size(width)?);
    let x = x.padded(padding)?;

    let rows = channels
        .saturating_mul(kernel_size)
        .saturating_mul(kernel_size);
    let mut columns = Grid::zeros([batch, rows, out_height, out_width])?;
    for n in 0..batch {
        for c in 0..channels {
            for i in 0..kernel_size {
                for j in 0..kernel_size {
                    let row = (c * kernel_size + i) * kernel_size + j;
                    for h in 0..out_height {
                        for w in 0..out_width {
                            columns[[n, row, h, w]] = x[[n, c, h * stride + i, w * stride + j]];
                        }
                    }
                }
            }
        }
    }
    let shape = (batch, rows, out_height * out_width);
    Ok(Cpu::default().try_tensor_from_vec(columns.values, shape)?)
}

/// Output size of one side of images of shape `shape`.
fn window_output_size(
    size: usize,
    kernel_size: usize,
    stride: usize,
    padding: usize,
    shape: [usize; 4],
) -> Result<usize, SimpleConvError> {
    conv_output_size(size, kernel_size, stride, padding, 1)
        .map_err(|source| SimpleConvError::OutputSize { shape, source })
}

/// The elements of four dimensions in one row-major vector.
///
/// The checked index of ndarray's `Array4` takes three times as long. That would make the loops look slower than
/// loops are.
struct Grid {
    values: Vec<f32>,
    shape: [usize; 4],
}

impl Grid {
    fn zeros(shape: [usize; 4]) -> Result<Self, SimpleConvError> {
        let values = vec![0.0; checked_elements(shape)?];
        Ok(Self { values, shape })
    }

    /// The images with `padding` rows and columns of zeros on every side.
    fn padded(self, padding: usize) -> Result<Self, SimpleConvError> {
        let [batch, channels, height, width] = self.shape;
        // There is an output size, so these fit.
        let shape = [batch, channels, height + 2 * padding, width + 2 * padding];
        let mut padded = Self::zeros(shape)?;
        for n in 0..batch {
            for c in 0..channels {
                for h in 0..height {
                    for w in 0..width {
                        padded[[n, c, h + padding, w + padding]] = self[[n, c, h, w]];
                    }
                }
            }
        }
        Ok(padded)
    }

    fn into_tensor(self) -> Result<Tensor4, SimpleConvError> {
        let [batch, channels, height, width] = self.shape;
        let shape = (batch, channels, height, width);
        Ok(Cpu::default().try_tensor_from_vec(self.values, shape)?)
    }

    #[inline]
    fn position(&self, [n, c, h, w]: [usize; 4]) -> usize {
        let [_, channels, height, width] = self.shape;
        ((n * channels + c) * height + h) * width + w
    }
}

impl<S: Shape<Concrete = [usize; 4]>> From<&Tensor<S, f32, Cpu>> for Grid {
    fn from(x: &Tensor<S, f32, Cpu>) -> Self {
        Self {
            values: elements(x),
            shape: x.shape().concrete(),
        }
    }
}

impl Index<[usize; 4]> for Grid {
    type Output = f32;

    #[inline]
    fn index(&self, at: [usize; 4]) -> &f32 {
        &self.values[self.position(at)]
    }
}

impl IndexMut<[usize; 4]> for Grid {
    #[inline]
    fn index_mut(&mut self, at: [usize; 4]) -> &mut f32 {
        let position = self.position(at);
        &mut self.values[position]
    }
}

/// The elements of a tensor in row-major order.
///
/// `as_vec` indexes an empty tensor's storage and panics.
pub(crate) fn elements<S: Shape>(x: &Tensor<S, f32, Cpu>) -> Vec<f32> {
    if x.shape().num_elements() == 0 {
        return Vec::new();
    }
    x.as_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sizes that somebody may type: each is a result or an error, and takes neither time nor memory.
    #[test]
    fn any_size_is_a_result_or_an_error() {
        let image = Cpu::default().sample_normal_like(&(1, 1, 8, 8));
        let sizes = [
            0,
            1,
            2,
            8,
            9,
            1 << 14,
            1 << 17,
            1 << 31,
            1 << 32,
            1 << 63,
            usize::MAX,
        ];
        for a in sizes {
            for (channels, outputs, kernel, stride, padding) in [
                (a, 1, 3, 1, 1),
                (1, a.min(1 << 14), 3, 1, 1),
                (1, a, 1 << 15, 1, 0),
                (1, 1, a, 1, 1),
                (1, 1, 3, a, 1),
                (1, 1, 3, 1, a),
                (1, 1, 3, a, a),
                (a, a, a, a, a),
            ] {
                let (channels, outputs) = match channels > 1 << 20 && kernel < 9 {
                    true => (1 << 20, outputs), // more weights than a test wants to draw
                    false => (channels, outputs),
                };
                let conv = SimpleConv2d::new(channels, outputs, kernel, stride, padding, 0);
                for y in [conv.forward(&image), conv.forward_im2col(&image)] {
                    assert!(y.is_err() || y.unwrap().shape().num_elements() > 0 || outputs == 0);
                }
                let columns = im2col(&image, kernel, stride, padding);
                assert!(columns.is_err() || columns.unwrap().shape().num_elements() > 0);
                let pooled = SimpleMaxPool2d::new(kernel, stride).forward(&image);
                assert!(pooled.is_err() || pooled.unwrap().shape().num_elements() > 0);
            }
        }
        let wide = SimpleConv2d::new(1, 1, 3, 1, 1 << 17, 0).forward(&image);
        assert!(
            matches!(wide, Err(SimpleConvError::TooLarge { .. })),
            "{wide:?}"
        );
        let heavy = SimpleConv2d::new(1 << 20, 1 << 20, 3, 1, 1, 0);
        let image = Cpu::default().zeros_like(&(0, 1 << 20, 8, 8));
        let heavy = heavy.forward(&image);
        assert!(
            matches!(heavy, Err(SimpleConvError::TooLarge { .. })),
            "{heavy:?}"
        );
    }
}
