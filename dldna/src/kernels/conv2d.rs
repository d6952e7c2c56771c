//! Convolution and its two gradients as matrix products over unfolded windows (im2col).
//!
//! Unfolding writes every window as one column, so that
//!
//! ```text
//! output  (out_channels, positions) = weight (out_channels, depth) * columns (depth, positions)
//! d weight                          = d output * columns^T
//! d columns                         = weight^T * d output, folded back onto the image
//! ```
//!
//! with `depth = in_channels * taps`. Two things make it fast on small images, where a product per image
//! would be far too thin: several images go into one product ([`Conv2d::images_per_product`]), and taps
//! that only ever meet padding are left out ([`Sliding::useful_taps`]). 3x3 kernels of stride 1 on larger images take
//! another way ([`Winograd`]).
//!
//! Chetlur et al., *cuDNN: Efficient Primitives for Deep Learning*, 2014, section 3.

use super::matmul::{Matrix, MatrixMut, Store, matmul};
use super::planes::{planes, sum};
use super::window::{Sliding, Window};
use super::winograd::Winograd;
use rayon::prelude::*;
use std::ops::Range;

/// Positions in one matrix product that keep it efficient.
const POSITIONS_PER_PRODUCT: usize = 512;
/// Elements of one block of unfolded windows: 4 MiB, so that a few of them stay in the outer cache.
const COLUMN_BLOCK: usize = 1 << 20;

/// One convolution: channels, window and image size, for any number of images.
///
/// ```
/// use dldna::kernels::conv2d::Conv2d;
/// use dldna::kernels::window::Window;
/// let conv = Conv2d::new(1, 1, Window::square(3, 1, 0, 1), (3, 3)).unwrap();
/// let ramp: Vec<f32> = (1..=9).map(|v| v as f32).collect();
/// let mut output = vec![0.0];
/// conv.forward(&ramp, &[1.0; 9], None, &mut output);
/// assert_eq!(output, [45.0]);
/// ```
#[derive(Debug, Clone)]
pub struct Conv2d {
    in_channels: usize,
    out_channels: usize,
    sliding: Sliding,
    taps: Vec<(usize, usize)>,
    winograd: Option<Winograd>,
}

impl Conv2d {
    /// A convolution of images of size `input` = (height, width), or `None` where the window does not fit.
    pub fn new(
        in_channels: usize,
        out_channels: usize,
        window: Window,
        input: (usize, usize),
    ) -> Option<Self> {
        let sliding = Sliding::new(window, input)?;
        Some(Self {
            in_channels,
            out_channels,
            taps: sliding.useful_taps(),
            winograd: Winograd::new(in_channels, out_channels, &sliding),
            sliding,
        })
    }

    /// Height and width of the result.
    pub fn output_size(&self) -> (usize, usize) {
        self.sliding.output
    }

    /// `output[n, o, y, x] = bias[o] + sum over (c, i, j) of
    /// input[n, c, y stride + i dilation - padding, x stride + j dilation - padding] weight[o, c, i, j]`
    ///
    /// `input (n, in_channels, height, width)`, `weight (out_channels, in_channels, kernel, kernel)`,
    /// `bias (out_channels)`, `output (n, out_channels, out_height, out_width)`.
    pub fn forward(&self, input: &[f32], weight: &[f32], bias: Option<&[f32]>, output: &mut [f32]) {
        if self.meets_only_padding() {
            output.fill(0.0);
            return add_bias(output, bias, self.sliding.output_pixels());
        }
        if let Some(winograd) = &self.winograd {
            winograd.forward(input, weight, output);
            return add_bias(output, bias, self.sliding.output_pixels());
        }
        let weight = self.useful_weight(weight);
        let group = self.images_per_product(input.len() / self.image_size());
        let all_cores = self.one_group(input, group);
        input
            .par_chunks(group * self.image_size())
            .zip(output.par_chunks_mut(group * self.result_size()))
            .for_each(|(input, output)| {
                self.forward_group(input, &weight, bias, output, all_cores)
            });
    }

    fn forward_group(
        &self,
        input: &[f32],
        weight: &[f32],
        bias: Option<&[f32]>,
        output: &mut [f32],
        all_cores: bool,
    ) {
        let weight = Matrix::new(weight, self.out_channels, self.depth(), self.depth());
        let images = input.len() / self.image_size();
        let mut columns = Vec::new();
        if images == 1 {
            let pixels = self.sliding.output_pixels();
            for rows in self.row_blocks() {
                let (first, positions) = self.span(&rows);
                matmul(
                    MatrixMut::new(&mut output[first..], self.out_channels, positions, pixels),
                    Store::Overwrite,
                    weight,
                    self.image_columns(input, rows, &mut columns),
                    all_cores,
                );
            }
        } else {
            let (_, positions) =
                self.unfold(input, 0..images * self.sliding.output.0, &mut columns);
            let mut product = vec![0.0; self.out_channels * positions];
            matmul(
                MatrixMut::new(&mut product, self.out_channels, positions, positions),
                Store::Overwrite,
                weight,
                Matrix::new(&columns, self.depth(), positions, positions),
                all_cores,
            );
            self.channels_to_images(&product, output);
        }
        add_bias(output, bias, self.sliding.output_pixels());
    }

    /// `d_weight += ` the gradient of the loss by `weight`, from `input` and the gradient by the output.
    ///
    /// `dL/dweight[o, c, i, j] = sum over (n, y, x) of dL/doutput[n, o, y, x] input[n, c, y', x']`
    pub fn backward_weight(&self, input: &[f32], d_output: &[f32], d_weight: &mut [f32]) {
        if self.meets_only_padding() {
            return;
        }
        if let Some(winograd) = &self.winograd {
            return winograd.backward_weight(input, d_output, d_weight);
        }
        let group = self.images_per_product(input.len() / self.image_size());
        let all_cores = self.one_group(input, group);
        let groups: Vec<_> = input
            .chunks(group * self.image_size())
            .zip(d_output.chunks(group * self.result_size()))
            .collect();
        let parts = if all_cores {
            1
        } else {
            rayon::current_num_threads()
        };
        let sums: Vec<Vec<f32>> = groups
            .par_chunks(groups.len().div_ceil(parts).max(1))
            .map(|groups| {
                let mut sum = vec![0.0; self.out_channels * self.depth()];
                for (input, d_output) in groups {
                    self.backward_weight_group(input, d_output, &mut sum, all_cores);
                }
                sum
            })
            .collect();
        for sum in sums {
            self.add_useful_weight(&sum, d_weight);
        }
    }

    fn backward_weight_group(
        &self,
        input: &[f32],
        d_output: &[f32],
        sum: &mut [f32],
        all_cores: bool,
    ) {
        let images = input.len() / self.image_size();
        let mut columns = Vec::new();
        let mut add_product = |d_output: Matrix, columns: Matrix| {
            matmul(
                MatrixMut::new(sum, self.out_channels, self.depth(), self.depth()),
                Store::Add,
                d_output,
                columns.transposed(),
                all_cores,
            );
        };
        if images == 1 {
            let pixels = self.sliding.output_pixels();
            for rows in self.row_blocks() {
                let (first, positions) = self.span(&rows);
                let d_output =
                    Matrix::new(&d_output[first..], self.out_channels, positions, pixels);
                add_product(d_output, self.image_columns(input, rows, &mut columns));
            }
        } else {
            let (_, positions) =
                self.unfold(input, 0..images * self.sliding.output.0, &mut columns);
            let d_output = self.images_to_channels(d_output);
            let d_output = Matrix::new(&d_output, self.out_channels, positions, positions);
            let columns = Matrix::new(&columns, self.depth(), positions, positions);
            add_product(d_output, columns);
        }
    }

    /// `d_input += ` the gradient of the loss by `input`, from `weight` and the gradient by the output.
    pub fn backward_input(&self, weight: &[f32], d_output: &[f32], d_input: &mut [f32]) {
        if self.meets_only_padding() {
            return;
        }
        if let Some(winograd) = &self.winograd {
            return winograd.backward_input(weight, d_output, d_input);
        }
        let weight = self.useful_weight(weight);
        let group = self.images_per_product(d_input.len() / self.image_size());
        let all_cores = self.one_group(d_input, group);
        d_output
            .par_chunks(group * self.result_size())
            .zip(d_input.par_chunks_mut(group * self.image_size()))
            .for_each(|(d_output, d_input)| {
                self.backward_input_group(&weight, d_output, d_input, all_cores)
            });
    }

    fn backward_input_group(
        &self,
        weight: &[f32],
        d_output: &[f32],
        d_input: &mut [f32],
        all_cores: bool,
    ) {
        let weight =
            Matrix::new(weight, self.out_channels, self.depth(), self.depth()).transposed();
        let images = d_input.len() / self.image_size();
        let pixels = self.sliding.output_pixels();
        if images == 1 && self.windows_are_pixels() {
            return matmul(
                MatrixMut::new(d_input, self.in_channels, pixels, pixels),
                Store::Add,
                weight,
                Matrix::new(d_output, self.out_channels, pixels, pixels),
                all_cores,
            );
        }
        let mut d_columns = Vec::new();
        let mut fold_product = |d_output: Matrix, rows: Range<usize>| {
            let positions = rows.len() * self.sliding.output.1;
            d_columns.resize(self.depth() * positions, 0.0);
            matmul(
                MatrixMut::new(&mut d_columns, self.depth(), positions, positions),
                Store::Overwrite,
                weight,
                d_output,
                all_cores,
            );
            self.fold(&d_columns, rows, d_input);
        };
        if images == 1 {
            for rows in self.row_blocks() {
                let first = rows.start * self.sliding.output.1;
                let positions = rows.len() * self.sliding.output.1;
                let d_output =
                    Matrix::new(&d_output[first..], self.out_channels, positions, pixels);
                fold_product(d_output, rows);
            }
        } else {
            let positions = images * pixels;
            let d_output = self.images_to_channels(d_output);
            let d_output = Matrix::new(&d_output, self.out_channels, positions, positions);
            fold_product(d_output, 0..images * self.sliding.output.0);
        }
    }

    /// A small kernel with a large stride can miss the image altogether.
    fn meets_only_padding(&self) -> bool {
        self.taps.is_empty()
    }

    /// A 1x1 kernel that goes from pixel to pixel: the image is its own matrix of columns.
    fn windows_are_pixels(&self) -> bool {
        let Window {
            kernel,
            stride,
            padding,
            ..
        } = self.sliding.window;
        (kernel, stride, padding) == ((1, 1), 1, (0, 0))
    }

    fn depth(&self) -> usize {
        self.in_channels * self.taps.len()
    }

    fn image_size(&self) -> usize {
        self.in_channels * self.sliding.input_pixels()
    }

    fn result_size(&self) -> usize {
        self.out_channels * self.sliding.output_pixels()
    }

    /// Large images get a product of their own; small ones share one, so that it is wide enough.
    fn images_per_product(&self, images: usize) -> usize {
        let wanted = POSITIONS_PER_PRODUCT.div_ceil(self.sliding.output_pixels());
        let per_thread = images.div_ceil(rayon::current_num_threads());
        wanted.min(per_thread).max(1)
    }

    /// A single group cannot be shared out between threads; then the product itself is.
    fn one_group(&self, images: &[f32], group: usize) -> bool {
        images.len() <= group * self.image_size()
    }

    /// Rows of one large image that are unfolded at a time.
    fn row_blocks(&self) -> impl Iterator<Item = Range<usize>> {
        let (height, width) = self.sliding.output;
        let rows = (COLUMN_BLOCK / (self.depth() * width).max(1)).clamp(1, height);
        (0..height)
            .step_by(rows)
            .map(move |start| start..(start + rows).min(height))
    }

    /// The weights of the useful taps, `(out_channels, in_channels * taps)`.
    fn useful_weight<'a>(&self, weight: &'a [f32]) -> std::borrow::Cow<'a, [f32]> {
        let (height, width) = self.sliding.window.kernel;
        if self.taps.len() == height * width {
            return weight.into();
        }
        let kernels = weight.chunks_exact(height * width);
        kernels
            .flat_map(|kernel| self.taps.iter().map(move |&(i, j)| kernel[i * width + j]))
            .collect()
    }

    fn add_useful_weight(&self, sum: &[f32], weight: &mut [f32]) {
        let (height, width) = self.sliding.window.kernel;
        let kernels = weight.chunks_exact_mut(height * width);
        for (kernel, sum) in kernels.zip(sum.chunks_exact(self.taps.len())) {
            for (&(i, j), value) in self.taps.iter().zip(sum) {
                kernel[i * width + j] += value;
            }
        }
    }

    /// Writes the windows of the output rows `rows` (counted through all images) as columns of a
    /// `(depth, positions)` matrix; returns the first position and their number.
    fn unfold(&self, input: &[f32], rows: Range<usize>, columns: &mut Vec<f32>) -> (usize, usize) {
        let positions = rows.len() * self.sliding.output.1;
        columns.clear();
        columns.resize(self.depth() * positions, 0.0);
        let stride = self.sliding.window.stride;
        self.for_each_run(rows.clone(), |column, pixel, length| {
            let run = &mut columns[column..column + length];
            if stride == 1 {
                run.copy_from_slice(&input[pixel..pixel + length]);
            } else {
                let pixels = input[pixel..].iter().step_by(stride);
                run.iter_mut()
                    .zip(pixels)
                    .for_each(|(to, from)| *to = *from);
            }
        });
        (rows.start * self.sliding.output.1, positions)
    }

    /// The first position of some output rows of an image, and their number.
    fn span(&self, rows: &Range<usize>) -> (usize, usize) {
        let width = self.sliding.output.1;
        (rows.start * width, rows.len() * width)
    }

    /// The windows of some output rows of one image, as columns: unfolded into `room` where that is needed.
    fn image_columns<'a>(
        &self,
        image: &'a [f32],
        rows: Range<usize>,
        room: &'a mut Vec<f32>,
    ) -> Matrix<'a> {
        let (first, positions) = self.span(&rows);
        if self.windows_are_pixels() {
            let pixels = self.sliding.output_pixels();
            return Matrix::new(&image[first..], self.in_channels, positions, pixels);
        }
        self.unfold(image, rows, room);
        Matrix::new(room, self.depth(), positions, positions)
    }

    /// The transpose of [`Conv2d::unfold`]: adds every column back to the pixels that it was read from.
    fn fold(&self, columns: &[f32], rows: Range<usize>, input: &mut [f32]) {
        let stride = self.sliding.window.stride;
        self.for_each_run(rows, |column, pixel, length| {
            let run = &columns[column..column + length];
            let pixels = input[pixel..].iter_mut().step_by(stride);
            pixels.zip(run).for_each(|(to, from)| *to += *from);
        });
    }

    /// Calls `visit(column, pixel, length)` for every run of pixels that lies in one input row and one row of
    /// the column matrix: element `column + i` belongs to pixel `pixel + i * stride`. The rest is padding.
    fn for_each_run(&self, rows: Range<usize>, mut visit: impl FnMut(usize, usize, usize)) {
        let Sliding { input, output, .. } = self.sliding;
        let positions = rows.len() * output.1;
        let runs: Vec<_> = self
            .taps
            .iter()
            .map(|&(i, j)| (i, self.sliding.columns(j)))
            .collect();
        for channel in 0..self.in_channels {
            for (tap, (i, (range, start))) in runs.iter().enumerate() {
                let line = (channel * runs.len() + tap) * positions;
                for (block, row) in rows.clone().enumerate() {
                    let (image, y) = (row / output.0, row % output.0);
                    if let Some(input_row) = self.sliding.input_row(y, *i) {
                        let plane = (image * self.in_channels + channel) * input.0;
                        visit(
                            line + block * output.1 + range.start,
                            (plane + input_row) * input.1 + start,
                            range.len(),
                        );
                    }
                }
            }
        }
    }

    /// `(channel, image, pixel)` to `(image, channel, pixel)`.
    fn channels_to_images(&self, product: &[f32], output: &mut [f32]) {
        let pixels = self.sliding.output_pixels();
        let positions = product.len() / self.out_channels;
        for (image, output) in output.chunks_exact_mut(self.result_size()).enumerate() {
            for (channel, plane) in output.chunks_exact_mut(pixels).enumerate() {
                let start = channel * positions + image * pixels;
                plane.copy_from_slice(&product[start..start + pixels]);
            }
        }
    }

    /// `(image, channel, pixel)` to `(channel, image, pixel)`.
    fn images_to_channels(&self, images: &[f32]) -> Vec<f32> {
        let pixels = self.sliding.output_pixels();
        let mut channels = Vec::with_capacity(images.len());
        for channel in 0..self.out_channels {
            for image in images.chunks_exact(self.result_size()) {
                channels.extend_from_slice(&image[channel * pixels..(channel + 1) * pixels]);
            }
        }
        channels
    }
}

/// `output[n, c, :] += bias[c]`
fn add_bias(output: &mut [f32], bias: Option<&[f32]>, pixels: usize) {
    let Some(bias) = bias else { return };
    for (plane, bias) in output.chunks_exact_mut(pixels).zip(bias.iter().cycle()) {
        plane.iter_mut().for_each(|value| *value += bias);
    }
}

/// `d_bias[c] += ` the sum of `d_output[n, c, :]` over all images and pixels.
pub fn backward_bias(d_output: &[f32], pixels: usize, d_bias: &mut [f32]) {
    let channels = d_bias.len();
    d_bias
        .par_iter_mut()
        .enumerate()
        .for_each(|(channel, d_bias)| {
            *d_bias += planes(d_output, channels, pixels, channel)
                .map(sum)
                .sum::<f32>();
        });
}
