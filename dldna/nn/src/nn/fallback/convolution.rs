//! Convolutions and poolings: the pixels under the window are gathered, for every position of the window, into the
//! columns of a matrix.
//!
//! A convolution is then one product of matrices (Chellapilla et al., *High Performance Convolutional Neural Networks
//! for Document Processing*, 2006).

use super::super::conv_transpose2d::transposed_size;
use super::super::device::*;
use super::super::error::LayerError;
use super::{Fallback, Leaf, Recomputed, Recorded, Rows, leaves, part};
use crate::kernels::pool2d::Pool2d;
use crate::kernels::window::{Sliding, Window};
use dfdx::prelude::*;

impl Fallback {
    /// Convolution, as [`LayerDevice::conv2d`].
    ///
    /// # Errors
    /// Those of the device, and [`LayerError::WindowTooLarge`].
    ///
    /// # Example
    /// ```
    /// use dldna_nn::kernels::window::Window;
    /// use dldna_nn::nn::{Convolution, Input, LayerDevice, fallback::Fallback};
    /// use dldna_nn::prelude::*;
    ///
    /// let dev = Cpu::seed_from_u64(0);
    /// let images = dev.sample_normal_like(&(2, 3, 6, 6));
    /// let weight = dev.sample_normal_like(&(8, 3, 3, 3));
    /// let conv = Convolution { weight, bias: None, window: Window::square(3, 1, 1, 1), groups: 1 };
    /// let gathered = Fallback::default().conv2d(images.clone(), conv.clone())?.output;
    /// let fast = Cpu::conv2d(Input::Images(images), conv)?.output;
    /// assert!((gathered - fast).abs().as_vec().iter().all(|difference| *difference < 1e-4));
    /// # Ok::<(), CpuError>(())
    /// ```
    pub fn conv2d<D: ReportError>(
        &self,
        x: Batch<D>,
        conv: Convolution<D>,
    ) -> Result<Operation<D>, D::Err> {
        self.convolution(x, conv)?.run()
    }

    /// The convolution, not run yet.
    pub(super) fn convolution<D: ReportError>(
        &self,
        x: Batch<D>,
        conv: Convolution<D>,
    ) -> Result<Recomputed<D>, D::Err> {
        let taps = Taps::of_convolution(&x, &conv)?;
        let mut leaves = leaves([&x as &dyn Leaf<D>, &conv.weight]);
        leaves.extend(conv.bias.as_ref().map(Leaf::boxed));
        let &(batch, channels, ..) = x.shape();
        let (height, width) = taps.output;
        let columns = channels * taps.count * taps.positions();
        let depthwise = conv.groups > 1 && conv.is_depthwise();
        let copies = if depthwise { 1 } else { 2 }; // as gathered, and in order
        Ok(Recomputed {
            dev: x.device().clone(),
            leaves,
            chunks: self.chunks(batch, copies * columns),
            shape: (batch, conv.weight.shape().0, height, width),
            operation: Box::new(move |chunk| {
                let columns = taps.gather(part(&x, chunk)?, 0.0)?; // (n, channels, taps * positions)
                let y = if depthwise {
                    products_by_channel(columns, &conv, &taps)?
                } else {
                    let weight = conv.weight.retaped::<Recorded<D>>();
                    product(columns, weight, conv.groups, taps.positions())?
                };
                with_bias(y, conv.bias.as_ref())
            }),
        })
    }

    /// Transposed convolution, as [`LayerDevice::conv_transpose2d`].
    ///
    /// # Errors
    /// Those of the device, and [`LayerError::ImageTooSmall`].
    ///
    /// # Example
    /// ```
    /// use dldna_nn::{kernels::window::Window, nn::fallback::Fallback, prelude::*};
    ///
    /// let dev = Cpu::default();
    /// let pixel = dev.tensor_from_vec(vec![10.0], (1, 1, 1, 1));
    /// let weight = dev.tensor_from_vec(vec![1.0, 2.0, 3.0, 4.0], (1, 1, 2, 2));
    /// let stamped = Fallback::default().conv_transpose2d(pixel, weight, Window::square(2, 2, 0, 1))?;
    /// assert_eq!(stamped.output.as_vec(), [10.0, 20.0, 30.0, 40.0]);
    /// # Ok::<(), CpuError>(())
    /// ```
    pub fn conv_transpose2d<D: ReportError>(
        &self,
        x: Batch<D>,
        weight: Batch<D>,
        window: Window,
    ) -> Result<Operation<D>, D::Err> {
        let (&(batch, channels, height, width), &(_, outputs, ..)) = (x.shape(), weight.shape());
        let size = transposed_size(window, (height, width)).map_err(D::error)?;
        let taps = match Sliding::new(window, size) {
            Some(sliding) => Taps::of_transposed(x.device(), sliding)?,
            None => return Err(too_large::<D>("ConvTranspose2D", window, size)),
        };
        Recomputed {
            dev: x.device().clone(),
            leaves: leaves([&x as &dyn Leaf<D>, &weight]),
            chunks: self.chunks(batch, 2 * channels * taps.count * taps.positions()),
            shape: (batch, outputs, size.0, size.1),
            operation: Box::new(move |chunk| {
                let columns = taps.gather(part(&x, chunk)?, 0.0)?;
                let weight = weight.retaped::<Recorded<D>>();
                let weight = weight
                    .try_permute::<(usize, usize, usize, usize), Axes4<1, 0, 2, 3>>()?
                    .try_contiguous()?;
                product(columns, weight, 1, taps.positions())
            }),
        }
        .run()
    }

    /// The largest value of each window, as [`LayerDevice::max_pool2d`].
    ///
    /// # Errors
    /// Those of the device, and [`LayerError::WindowTooLarge`].
    ///
    /// # Example
    /// ```
    /// use dldna_nn::{kernels::window::Window, nn::fallback::Fallback, prelude::*};
    ///
    /// let images = Cpu::default().tensor_from_vec(vec![1., 2., 3., 4.], (1, 1, 2, 2));
    /// let largest = Fallback::default().max_pool2d(images, Window::square(2, 2, 0, 1))?;
    /// assert_eq!(largest.output.as_vec(), [4.0]);
    /// # Ok::<(), CpuError>(())
    /// ```
    pub fn max_pool2d<D: ReportError>(
        &self,
        x: Batch<D>,
        window: Window,
    ) -> Result<Operation<D>, D::Err> {
        // The values, and for each tap what is the largest so far and where it is from.
        self.pool(x, "MaxPool2D", window, 3, |columns, taps| {
            largest(columns, taps.count, taps.positions())
        })
    }

    /// The mean of each window, as [`LayerDevice::avg_pool2d`].
    ///
    /// # Errors
    /// Those of the device, and [`LayerError::WindowTooLarge`].
    ///
    /// # Example
    /// ```
    /// use dldna_nn::{kernels::window::Window, nn::fallback::Fallback, prelude::*};
    ///
    /// let images = Cpu::default().tensor_from_vec(vec![1., 2., 3., 4.], (1, 1, 2, 2));
    /// let mean = Fallback::default().avg_pool2d(images, Window::square(2, 2, 0, 1))?;
    /// assert_eq!(mean.output.as_vec(), [2.5]);
    /// # Ok::<(), CpuError>(())
    /// ```
    pub fn avg_pool2d<D: ReportError>(
        &self,
        x: Batch<D>,
        window: Window,
    ) -> Result<Operation<D>, D::Err> {
        self.pool(x, "AvgPool2D", window, 1, |columns, taps| {
            let &(n, channels, _) = columns.shape();
            let share = 1.0 / taps.count as f32;
            columns
                .try_reshape_like(&(n, channels, taps.count, taps.positions()))?
                .try_sum::<_, Axis<2>>()?
                .try_mul(share)
        })
    }

    /// A pooling that needs this number of `copies` of what is under the windows.
    fn pool<D: ReportError>(
        &self,
        x: Batch<D>,
        layer: &'static str,
        window: Window,
        copies: usize,
        pool: impl Fn(Rows<D, Recorded<D>>, &Taps<D>) -> Result<Rows<D, Recorded<D>>, D::Err> + 'static,
    ) -> Result<Operation<D>, D::Err> {
        let taps = Taps::of_pool(layer, &x, window)?;
        let outside = if layer == "MaxPool2D" {
            f32::NEG_INFINITY
        } else {
            0.0
        };
        let &(batch, channels, ..) = x.shape();
        let (height, width) = taps.output;
        let columns = channels * taps.count * taps.positions();
        Recomputed {
            dev: x.device().clone(),
            leaves: leaves([&x as &dyn Leaf<D>]),
            chunks: self.chunks(batch, copies * columns),
            shape: (batch, channels, height, width),
            operation: Box::new(move |chunk| pool(taps.gather(part(&x, chunk)?, outside)?, &taps)),
        }
        .run()
    }
}

/// `(n, in, taps * positions)` to `(n, out, positions)`: for each group one product for all images. For the weights'
/// gradient dfdx would else make one for each on a GPU.
fn product<D: ReportError>(
    columns: Rows<D, Recorded<D>>,
    weight: Tensor<(usize, usize, usize, usize), f32, D, Recorded<D>>,
    groups: usize,
    positions: usize,
) -> Result<Rows<D, Recorded<D>>, D::Err> {
    let &(outputs, channels, height, width) = weight.shape();
    let (n, terms) = (columns.shape().0, channels * height * width);
    let columns = columns
        .try_reshape_like(&(n, groups, terms, positions))?
        .try_permute::<(usize, usize, usize, usize), Axes4<1, 2, 0, 3>>()?
        .try_reshape_like(&(groups, terms, n * positions))?;
    let y = weight
        .try_reshape_like(&(groups, outputs / groups, terms))?
        .try_matmul(columns)?;
    y.try_reshape_like(&(outputs, n, positions))?
        .try_permute::<(usize, usize, usize), Axes3<1, 0, 2>>()?
        .try_contiguous()
}

/// Each channel with its own kernel.
fn products_by_channel<D: ReportError>(
    columns: Rows<D, Recorded<D>>,
    conv: &Convolution<D>,
    taps: &Taps<D>,
) -> Result<Rows<D, Recorded<D>>, D::Err> {
    let &(n, channels, _) = columns.shape();
    let shape = (n, channels, taps.count, taps.positions());
    let weight = conv.weight.retaped::<Recorded<D>>();
    let weight = weight.try_reshape_like(&(channels, taps.count))?;
    columns
        .try_reshape_like(&shape)?
        .try_mul(weight.try_broadcast_like::<_, Axes2<0, 3>>(&shape)?)?
        .try_sum::<_, Axis<2>>()
}

fn with_bias<D: ReportError>(
    y: Rows<D, Recorded<D>>,
    bias: Option<&Channels<D>>,
) -> Result<Rows<D, Recorded<D>>, D::Err> {
    match bias {
        Some(bias) => {
            let bias = bias.retaped::<Recorded<D>>();
            let bias = bias.try_broadcast_like::<_, Axes2<0, 2>>(y.shape())?;
            y.try_add(bias)
        }
        None => Ok(y),
    }
}

/// The largest of all taps. Of equal values the first one wins, and gets all of the gradient.
fn largest<D: ReportError>(
    columns: Rows<D, Recorded<D>>,
    taps: usize,
    positions: usize,
) -> Result<Rows<D, Recorded<D>>, D::Err> {
    if taps == 1 {
        return columns.try_mul(1.0); // a tensor of its own
    }
    let (columns, tape) = columns.split_tape();
    let tap = |tap: usize| (.., .., tap * positions..(tap + 1) * positions);
    let mut largest = columns.clone().put_tape(tape).try_slice(tap(0))?;
    for later in 1..taps {
        let value = columns.retaped::<Recorded<D>>().try_slice(tap(later))?;
        let larger = value.try_gt(&largest)?;
        largest = larger.try_choose(value, largest)?;
    }
    Ok(largest)
}

/// Which pixel each tap of a window meets at each of its positions.
struct Taps<D: ReportError> {
    /// For each tap and then each position, the pixel. Padding is one pixel behind the last.
    index: Tensor<(usize,), usize, D>,
    /// Whether every tap meets the pixel at its own position: a 1x1 window of stride 1.
    identity: bool,
    padded: bool,
    /// Taps of a window.
    count: usize,
    /// Height and width of the result.
    output: (usize, usize),
}

impl<D: ReportError> Taps<D> {
    fn of_convolution(images: &Batch<D>, conv: &Convolution<D>) -> Result<Self, D::Err> {
        let &(_, _, height, width) = images.shape();
        match Sliding::new(conv.window, (height, width)) {
            Some(sliding) => Self::of(images.device(), sliding),
            None => Err(too_large::<D>(conv.layer(), conv.window, (height, width))),
        }
    }

    /// Of a pooling, which has to meet a pixel at every position.
    fn of_pool(layer: &'static str, images: &Batch<D>, window: Window) -> Result<Self, D::Err> {
        let &(_, _, height, width) = images.shape();
        match Pool2d::new(window, (height, width)) {
            Some(pool) => Self::of(images.device(), pool.sliding()),
            None => Err(D::error(LayerError::of_pool(
                layer,
                window,
                (height, width),
            ))),
        }
    }

    fn of(dev: &D, sliding: Sliding) -> Result<Self, D::Err> {
        let (window, width) = (sliding.window, sliding.input.1);
        let outside = sliding.input_pixels();
        let (count, positions) = (window.kernel.0 * window.kernel.1, sliding.output_pixels());
        let mut index = Vec::with_capacity(count * positions);
        for tap in 0..count {
            let (tap_row, tap_column) = (tap / window.kernel.1, tap % window.kernel.1);
            let (columns, start) = sliding.columns(tap_column);
            for row in 0..sliding.output.0 {
                let row = sliding.input_row(row, tap_row);
                index.extend((0..sliding.output.1).map(|column| match row {
                    Some(row) if columns.contains(&column) => {
                        row * width + start + (column - columns.start) * window.stride
                    }
                    _ => outside,
                }));
            }
        }
        Self::with_index(dev, index, outside, sliding.output)
    }

    /// The other way round: which result each tap of a window meets at each pixel.
    fn of_transposed(dev: &D, sliding: Sliding) -> Result<Self, D::Err> {
        let (window, (_, width)) = (sliding.window, sliding.input);
        let outside = sliding.output_pixels();
        let (count, pixels) = (window.kernel.0 * window.kernel.1, sliding.input_pixels());
        let mut index = vec![outside; count * pixels];
        for (tap, index) in index.chunks_exact_mut(pixels).enumerate() {
            let (tap_row, tap_column) = (tap / window.kernel.1, tap % window.kernel.1);
            let (columns, start) = sliding.columns(tap_column);
            for row in 0..sliding.output.0 {
                let Some(pixel_row) = sliding.input_row(row, tap_row) else {
                    continue;
                };
                let first = pixel_row * width + start;
                for (step, column) in columns.clone().enumerate() {
                    index[first + step * window.stride] = row * sliding.output.1 + column;
                }
            }
        }
        Self::with_index(dev, index, outside, sliding.input)
    }

    fn with_index(
        dev: &D,
        index: Vec<usize>,
        outside: usize,
        output: (usize, usize),
    ) -> Result<Self, D::Err> {
        let all = index.len();
        Ok(Self {
            identity: index.iter().copied().eq(0..outside),
            padded: index.contains(&outside),
            index: dev.try_tensor_from_vec(index, (all,))?,
            count: all / (output.0 * output.1),
            output,
        })
    }

    fn positions(&self) -> usize {
        self.output.0 * self.output.1
    }

    /// `(n, channels, pixels)` to `(n, channels, taps * positions)`; taps on the padding give `outside`.
    fn gather(
        &self,
        images: Rows<D, Recorded<D>>,
        outside: f32,
    ) -> Result<Rows<D, Recorded<D>>, D::Err> {
        if self.identity {
            return Ok(images);
        }
        let &(n, channels, _) = images.shape();
        let images = if self.padded {
            let column: Rows<D> = images.device().try_zeros_like(&(n, channels, 1))?;
            let column = column.try_add(outside)?;
            (images, column).try_concat_along(Axis::<2>)?
        } else {
            images
        };
        let &(all,) = self.index.shape();
        let index = self
            .index
            .clone()
            .try_broadcast_like::<_, Axes2<0, 1>>(&(n, channels, all))?;
        images.try_gather(index)
    }
}

fn too_large<D: ReportError>(
    layer: &'static str,
    window: Window,
    (height, width): (usize, usize),
) -> D::Err {
    D::error(LayerError::WindowTooLarge {
        layer,
        window,
        height,
        width,
    })
}
