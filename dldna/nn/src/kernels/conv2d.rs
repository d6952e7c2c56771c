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
//! with `depth = in_channels * taps`. The gradient with respect to the weights is in `weight_gradient`. Two things make
//! it fast on small images, where a product per image would be far too thin: several images go into one product (`images_per_product`), and taps
//! that only ever meet padding are left out ([`Sliding::useful_taps`]).
//!
//! On larger images there are two other ways. 3x3 kernels of stride 1 on many channels take [`Winograd`]'s, unless an element
//! stands out so far that it would harm its neighbours. All else, but for windows of one pixel, needs no unfolding ([`Direct`]), except in
//! gradients: with respect to the input for strides, with respect to the weights for many channels.
//!
//! Chetlur et al., *cuDNN: Efficient Primitives for Deep Learning*, 2014, section 3.

mod weight_gradient;

use super::direct::Direct;
use super::epilogue::Epilogue;
use super::matmul::{Matrix, MatrixMut, Store, matmul};
use super::planes::{planes, sum};
use super::scratch::{Lent, Scratch};
use super::transpose::{transpose, transpose_into};
use super::vector::add_scaled;
use super::window::{Sliding, Window};
use super::winograd::{Winograd, is_even};
use rayon::prelude::*;
use std::ops::Range;

/// Positions in one matrix product that keep it efficient. (`resnet18/train/b128/28`: 132 ms, with 256 the same, with 1024 139.)
const POSITIONS_PER_PRODUCT: usize = 512;
/// Elements of one block of unfolded windows: 4 MiB, so that a few of them stay in the outer cache. (`resnet18/infer/b128/28`: 34.3 ms,
/// with half of it 34.1, with twice as much 39.0.)
const COLUMN_BLOCK: usize = 1 << 20;
/// The fewest pixels of a result that are wide enough for a product of their own.
const LARGE_IMAGE: usize = 128;

/// One convolution: channels, window and image size, for any number of images.
///
/// ```
/// use dldna_nn::kernels::{conv2d::Conv2d, epilogue::Epilogue};
/// use dldna_nn::kernels::window::Window;
/// let conv = Conv2d::new(1, 1, Window::square(3, 1, 0, 1), (3, 3)).unwrap();
/// let ramp: Vec<f32> = (1..=9).map(|v| v as f32).collect();
/// let mut output = vec![0.0];
/// conv.forward(&ramp, &[1.0; 9], &Epilogue::default(), &mut output);
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

    /// `output[n, o, y, x] = sum over (c, i, j) of
    /// input[n, c, y stride + i dilation - padding, x stride + j dilation - padding] weight[o, c, i, j]`
    ///
    /// `input (n, in_channels, height, width)`, `weight (out_channels, in_channels, kernel, kernel)`,
    /// `output (n, out_channels, out_height, out_width)`; and `epilogue` of that.
    pub fn forward(&self, input: &[f32], weight: &[f32], epilogue: &Epilogue, output: &mut [f32]) {
        let pixels = self.sliding.output_pixels();
        if self.meets_only_padding() {
            output.fill(0.0);
            epilogue.apply_to_all(pixels, output);
        } else if let Some(winograd) = self.winograd(self.images(input), Operand::whole(weight)) {
            winograd.forward(input, weight, epilogue, output);
        } else if let Some(direct) = self.direct() {
            direct.forward(input, weight, epilogue, output);
        } else {
            let weight = self.useful_weight(weight);
            let group = self.images_per_product(input.len() / self.image_size());
            let all_cores = self.one_group(input, group);
            input
                .par_chunks(group * self.image_size())
                .zip(output.par_chunks_mut(group * self.result_size()))
                .enumerate()
                .for_each(|(index, (input, output))| {
                    self.forward_group(input, &weight, output, all_cores);
                    if !all_cores {
                        epilogue.apply_to_planes(index * group * self.out_channels, pixels, output);
                    }
                });
            if all_cores {
                epilogue.apply_to_all(pixels, output);
            }
        }
    }

    fn forward_group(&self, input: &[f32], weight: &[f32], output: &mut [f32], all_cores: bool) {
        let images = input.len() / self.image_size();
        if images == 1 {
            return self.multiply(input, 1, weight, output, all_cores);
        }
        let mut product = Scratch::any(output.len());
        self.multiply(
            &transposed(input, images),
            images,
            weight,
            &mut product,
            all_cores,
        );
        transpose_into(&product, self.result_size(), output);
    }

    /// `output = weight columns` for images that lie pixel by pixel beside one another.
    fn multiply(
        &self,
        input: &[f32],
        images: usize,
        weight: &[f32],
        output: &mut [f32],
        all_cores: bool,
    ) {
        let pixels = self.sliding.output_pixels() * images;
        for rows in self.row_blocks(images) {
            let (first, positions) = self.span(&rows, images);
            let columns = self.columns(input, images, rows);
            matmul(
                MatrixMut::new(&mut output[first..], self.out_channels, positions, pixels),
                Store::Overwrite,
                Matrix::new(weight, self.out_channels, self.depth(), self.depth()),
                columns.matrix(),
                all_cores,
            );
        }
    }

    /// `d_input += ` the gradient of the loss with respect to `input`, from `weight` and the one with respect to the output.
    pub fn backward_input(&self, weight: &[f32], d_output: &[f32], d_input: &mut [f32]) {
        if self.meets_only_padding() {
            return;
        }
        if let Some(winograd) = self.winograd(self.results(d_output), Operand::whole(weight)) {
            return winograd.backward_input(weight, d_output, d_input);
        }
        let direct = self.direct();
        if direct.is_some_and(|way| way.backward_input(weight, d_output, d_input).is_some()) {
            return;
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
        let images = d_input.len() / self.image_size();
        if images == 1 {
            return self.multiply_back(d_output, 1, weight, d_input, all_cores);
        }
        let mut sum = Scratch::zeros(d_input.len());
        self.multiply_back(
            &transposed(d_output, images),
            images,
            weight,
            &mut sum,
            all_cores,
        );
        transpose(
            &sum,
            self.image_size(),
            #[inline(always)]
            |index, values| {
                let d_input = d_input[index..].iter_mut().zip(values);
                d_input.for_each(|(d_input, value)| *d_input += value);
            },
        );
    }

    /// Folds `weight^T d_output` onto `d_input`, for images that lie pixel by pixel beside one another.
    fn multiply_back(
        &self,
        d_output: &[f32],
        images: usize,
        weight: &[f32],
        d_input: &mut [f32],
        all_cores: bool,
    ) {
        let pixels = self.sliding.output_pixels() * images;
        for rows in self.row_blocks(images) {
            let (first, positions) = self.span(&rows, images);
            let multiply = |result: MatrixMut, store| {
                let weight = Matrix::new(weight, self.out_channels, self.depth(), self.depth());
                let d_output =
                    Matrix::new(&d_output[first..], self.out_channels, positions, pixels);
                matmul(result, store, weight.transposed(), d_output, all_cores);
            };
            if self.is_pointwise() {
                let d_input = &mut d_input[first..];
                multiply(
                    MatrixMut::new(d_input, self.depth(), positions, pixels),
                    Store::Add,
                );
            } else {
                let mut d_columns = Scratch::any(self.depth() * positions);
                let result = MatrixMut::new(&mut d_columns, self.depth(), positions, positions);
                multiply(result, Store::Overwrite);
                self.fold(&d_columns, images, rows, d_input);
            }
        }
    }

    /// The way without unfolding, for images that need not share a product.
    fn direct(&self) -> Option<Direct> {
        let fits = !self.is_pointwise() && self.sliding.output_pixels() >= LARGE_IMAGE;
        fits.then(|| Direct::new(self.in_channels, self.out_channels, self.sliding))
    }

    /// The other way to compute it from these operands, where that is faster and as accurate.
    fn winograd(&self, batch: Operand, other: Operand) -> Option<&Winograd> {
        let images = batch.values.len() / batch.piece;
        self.winograd
            .as_ref()
            .filter(|way| way.pays_off(images) && batch.is_even() && other.is_even())
    }

    fn images<'a>(&self, values: &'a [f32]) -> Operand<'a> {
        let piece = self.image_size();
        Operand { values, piece }
    }

    fn results<'a>(&self, values: &'a [f32]) -> Operand<'a> {
        let piece = self.result_size();
        Operand { values, piece }
    }

    /// A small kernel with a large stride can miss the image altogether.
    fn meets_only_padding(&self) -> bool {
        self.taps.is_empty()
    }

    /// Rows of the columns: one for each input channel and useful tap.
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
        let per_thread = images.div_ceil(rayon::current_num_threads());
        self.images_for(POSITIONS_PER_PRODUCT)
            .min(per_thread)
            .max(1)
    }

    /// Images that have about this number of positions together; of large images one.
    fn images_for(&self, positions: usize) -> usize {
        let pixels = self.sliding.output_pixels();
        if pixels >= LARGE_IMAGE {
            return 1;
        }
        // Full vectors of images, side by side.
        const LANES: usize = 16;
        (positions / pixels).next_multiple_of(LANES)
    }

    /// A single group cannot be shared out between threads; then the product itself is.
    fn one_group(&self, images: &[f32], group: usize) -> bool {
        images.len() <= group * self.image_size()
    }

    /// Rows of the results that are computed at a time, for a group of images beside one another.
    fn row_blocks(&self, images: usize) -> impl Iterator<Item = Range<usize>> + use<> {
        let (height, width) = self.sliding.output;
        let rows = (COLUMN_BLOCK / (self.depth() * width * images)).clamp(1, height);
        (0..height)
            .step_by(rows)
            .map(move |start| start..(start + rows).min(height))
    }

    /// The weights of the useful taps, `(out_channels, in_channels * taps)`.
    fn useful_weight<'a>(&self, weight: &'a [f32]) -> Lent<'a> {
        let (height, width) = self.sliding.window.kernel;
        if self.taps.len() == height * width {
            return Lent::Slice(weight);
        }
        let offsets = self.tap_offsets();
        let mut useful = Scratch::any(self.out_channels * self.depth());
        useful
            .par_chunks_mut(self.depth())
            .zip(weight.par_chunks(self.in_channels * height * width))
            .for_each(|(useful, weight)| {
                let kernels = weight.chunks_exact(height * width);
                for (useful, kernel) in useful.chunks_exact_mut(offsets.len()).zip(kernels) {
                    for (useful, &offset) in useful.iter_mut().zip(&offsets) {
                        *useful = kernel[offset];
                    }
                }
            });
        Lent::Scratch(useful)
    }

    /// The offsets of the useful taps among the elements of a kernel.
    fn tap_offsets(&self) -> Vec<usize> {
        let (_, width) = self.sliding.window.kernel;
        self.taps.iter().map(|&(i, j)| i * width + j).collect()
    }

    /// First position and number of positions of some rows of the results.
    fn span(&self, rows: &Range<usize>, images: usize) -> (usize, usize) {
        let width = self.sliding.output.1 * images;
        (rows.start * width, rows.len() * width)
    }

    /// Whether each result sees the one pixel at its own position: the image itself is then the matrix of columns.
    fn is_pointwise(&self) -> bool {
        let Window {
            kernel,
            stride,
            padding,
            ..
        } = self.sliding.window;
        (kernel, stride, padding) == ((1, 1), 1, (0, 0))
    }

    /// The windows of some rows of the results as columns of a matrix. `input` is `(channel, pixel, image)`.
    fn columns<'a>(&self, input: &'a [f32], images: usize, rows: Range<usize>) -> Columns<'a> {
        let (first, positions) = self.span(&rows, images);
        let (data, stride) = if self.is_pointwise() {
            let stride = self.sliding.input_pixels() * images;
            (Lent::Slice(&input[first..]), stride)
        } else {
            (Lent::Scratch(self.unfold(input, images, rows)), positions)
        };
        Columns {
            data,
            depth: self.depth(),
            positions,
            stride,
        }
    }

    /// Writes the windows of some rows of the results as columns of a matrix. `input` is `(channel, pixel, image)`.
    fn unfold(&self, input: &[f32], images: usize, rows: Range<usize>) -> Scratch {
        let (_, positions) = self.span(&rows, images);
        let stride = self.sliding.window.stride;
        let mut columns = Scratch::any(self.depth() * positions);
        for (line, columns) in columns.chunks_exact_mut(positions).enumerate() {
            if self.touches_padding(line) {
                columns.fill(0.0);
            }
            self.for_each_run(line, rows.clone(), |position, pixel, length| {
                let run = &mut columns[position * images..(position + length) * images];
                let source = &input[pixel * images..];
                if stride == 1 {
                    run.copy_from_slice(&source[..length * images]);
                } else if images == 1 {
                    let pixels = source.iter().step_by(stride);
                    run.iter_mut()
                        .zip(pixels)
                        .for_each(|(to, from)| *to = *from);
                } else {
                    let pixels = source.chunks_exact(images).step_by(stride);
                    for (to, from) in run.chunks_exact_mut(images).zip(pixels) {
                        to.copy_from_slice(from);
                    }
                }
            });
        }
        columns
    }

    /// The transpose of [`Conv2d::unfold`]: adds every column back to the pixels that it was read from.
    fn fold(&self, columns: &[f32], images: usize, rows: Range<usize>, input: &mut [f32]) {
        let (_, positions) = self.span(&rows, images);
        let stride = self.sliding.window.stride;
        for (line, columns) in columns.chunks_exact(positions).enumerate() {
            self.for_each_run(line, rows.clone(), |position, pixel, length| {
                let run = &columns[position * images..(position + length) * images];
                let target = &mut input[pixel * images..];
                if stride == 1 {
                    add_scaled(&mut target[..run.len()], 1.0, run);
                } else if images == 1 {
                    let pixels = target.iter_mut().step_by(stride);
                    pixels.zip(run).for_each(|(to, from)| *to += *from);
                } else {
                    let pixels = target.chunks_exact_mut(images).step_by(stride);
                    for (to, from) in pixels.zip(run.chunks_exact(images)) {
                        add_scaled(to, 1.0, from);
                    }
                }
            });
        }
    }

    /// Whether a row of the columns has elements that belong to no pixel.
    fn touches_padding(&self, line: usize) -> bool {
        let (i, j) = self.taps[line % self.taps.len()];
        let (height, width) = self.sliding.output;
        let rows = (0..height).all(|y| self.sliding.input_row(y, i).is_some());
        !rows || self.sliding.columns(j).0 != (0..width)
    }

    /// Calls `visit(position, pixel, length)` for every run of pixels that one row of the columns takes from one row of
    /// the image: position `position + k` takes pixel `pixel + k * stride`. Positions are counted from the first of `rows`.
    fn for_each_run(
        &self,
        line: usize,
        rows: Range<usize>,
        mut visit: impl FnMut(usize, usize, usize),
    ) {
        let Sliding { input, output, .. } = self.sliding;
        let (channel, tap) = (line / self.taps.len(), line % self.taps.len());
        let (i, j) = self.taps[tap];
        let (columns, start) = self.sliding.columns(j);
        for (row, y) in rows.enumerate() {
            if let Some(input_row) = self.sliding.input_row(y, i) {
                visit(
                    row * output.1 + columns.start,
                    (channel * input.0 + input_row) * input.1 + start,
                    columns.len(),
                );
            }
        }
    }
}

/// Images or results of `piece` elements each, or the weights.
struct Operand<'a> {
    values: &'a [f32],
    piece: usize,
}

impl<'a> Operand<'a> {
    fn whole(values: &'a [f32]) -> Self {
        let piece = values.len();
        Self { values, piece }
    }

    fn is_even(&self) -> bool {
        is_even(self.values, self.piece)
    }
}

/// Windows as columns of a matrix, whose rows lie `stride` elements apart.
struct Columns<'a> {
    data: Lent<'a>,
    depth: usize,
    positions: usize,
    stride: usize,
}

impl Columns<'_> {
    fn matrix(&self) -> Matrix<'_> {
        Matrix::new(&self.data, self.depth, self.positions, self.stride)
    }
}

/// The transpose of a matrix with `rows` rows.
fn transposed(matrix: &[f32], rows: usize) -> Scratch {
    let mut result = Scratch::any(matrix.len());
    transpose_into(matrix, rows, &mut result);
    result
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
