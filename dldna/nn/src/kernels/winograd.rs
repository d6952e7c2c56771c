//! 3x3 convolution of stride 1 with a quarter of the multiplications: Winograd's F(4x4, 3x3).
//!
//! A tile of 4x4 results needs a patch of 6x6 pixels, and 144 multiplications for each pair of channels. Seen as
//! polynomials that are multiplied by their values at six points, 36 are enough:
//!
//! ```text
//! result = Aᵀ [ (G g Gᵀ) ⊙ (Bᵀ d B) ] A       g: kernel 3x3, d: patch 6x6, ⊙: element by element
//! ```
//!
//! Summed over the input channels, ⊙ is one matrix product for each of the 36 points. The transforms Bᵀ d B and Aᵀ m A
//! are few additions. Each gradient is the same with the transforms transposed.
//!
//! Lavin and Gray, *Fast Algorithms for Convolutional Neural Networks*, 2015, section 4. Their points are 0, ±1, ±2, ∞;
//! ours are 0, ±√2, ±1/√2, ∞, whose powers stay closer to 1: that halves the error of rounding.

#![allow(
    clippy::needless_range_loop,
    reason = "a lane is the inner index of several arrays"
)]

use super::matmul::{Matrix, MatrixMut, Store, matmul};
use super::scratch::Scratch;
use super::vector::vectorized;
use super::window::Sliding;
use rayon::prelude::*;
use std::f32::consts::{FRAC_1_SQRT_2, SQRT_2};
use std::ops::Range;

/// Results along one side of a tile, and pixels along one side of its patch.
const TILE: usize = 4;
const PATCH: usize = 6;
/// Points at which a patch, a kernel or a tile is evaluated: elements of each when it is transformed.
const POINTS: usize = PATCH * PATCH;
/// Tiles that are transformed together, in vector instructions.
const LANES: usize = 8;
/// Elements of the transformed patches and results that are at work at a time: 8 MiB, about an outer cache.
const WORKING_SET: usize = 1 << 21;
/// With fewer channels the transforms cost more than they save.
const FEWEST_CHANNELS: usize = 16;
/// On smaller results too much of the tiles lies outside.
const SMALLEST_OUTPUT: usize = 8;
/// Transformed weights are four times as large as the weights. Unless each channel has at least this number of tiles, that
/// costs more than the products save.
const FEWEST_TILES_PER_CHANNEL: f32 = 0.25;

/// The largest magnitude in an image, or of all weights, over the mean magnitude there. The transforms mix the elements of a tile, so
/// a result is wrong by about 2^-17 of the largest product in its tile, which may be one that it does not contain. Up to
/// this ratio that is less than 2^-14 of the products that it sums. Activations reach 30, gradients 70 (ResNet-20 in training).
const LARGEST_RATIO: f32 = 256.0;
/// With larger elements the transforms could exceed the largest float where the results do not.
const LARGEST_ELEMENT: f32 = (1u64 << 40) as f32;

/// One element of each of several tiles.
type Lanes = [f32; LANES];

/// A 3x3 convolution of stride 1 on images that are large enough for it.
#[derive(Debug, Clone, Copy)]
pub struct Winograd {
    in_channels: usize,
    out_channels: usize,
    padding: (usize, usize),
    input: (usize, usize),
    output: (usize, usize),
    /// Rows and columns of tiles on one image.
    tiles: (usize, usize),
}

impl Winograd {
    /// The convolution of a window at these sizes, or `None` where another way is as good or the only one.
    pub fn new(in_channels: usize, out_channels: usize, sliding: &Sliding) -> Option<Self> {
        let window = sliding.window;
        let fits = window.kernel == (3, 3)
            && (window.stride, window.dilation) == (1, 1)
            && window.padding.0.max(window.padding.1) <= 2
            && sliding.output.0.min(sliding.output.1) >= SMALLEST_OUTPUT
            && in_channels.min(out_channels) >= FEWEST_CHANNELS;
        fits.then(|| Self {
            in_channels,
            out_channels,
            padding: window.padding,
            input: sliding.input,
            output: sliding.output,
            tiles: (
                sliding.output.0.div_ceil(TILE),
                sliding.output.1.div_ceil(TILE),
            ),
        })
    }

    /// Whether this way is the faster one for a batch of `images`.
    pub fn pays_off(&self, images: usize) -> bool {
        let tiles = images * self.tiles.0 * self.tiles.1;
        let channels = self.in_channels.max(self.out_channels);
        tiles as f32 >= FEWEST_TILES_PER_CHANNEL * channels as f32
    }

    /// `output = ` the convolution of `input` with `weight`, without a bias.
    pub fn forward(&self, input: &[f32], weight: &[f32], output: &mut [f32]) {
        let kernel = |out: usize, channel: usize| (out * self.in_channels + channel) * 9;
        let weights =
            transform_weights(weight, (self.out_channels, self.in_channels), kernel, false);
        self.convolve(input, &weights, output, Store::Overwrite);
    }

    /// `d_input += ` the gradient with respect to the input: the convolution of `d_output` with the kernels turned by 180 degrees.
    pub fn backward_input(&self, weight: &[f32], d_output: &[f32], d_input: &mut [f32]) {
        let kernel = |channel: usize, out: usize| (out * self.in_channels + channel) * 9;
        let weights =
            transform_weights(weight, (self.in_channels, self.out_channels), kernel, true);
        self.transposed()
            .convolve(d_output, &weights, d_input, Store::Add);
    }

    /// The convolution that goes back from results to pixels.
    fn transposed(&self) -> Self {
        Self {
            in_channels: self.out_channels,
            out_channels: self.in_channels,
            padding: (2 - self.padding.0, 2 - self.padding.1),
            input: self.output,
            output: self.input,
            tiles: (self.input.0.div_ceil(TILE), self.input.1.div_ceil(TILE)),
        }
    }

    fn convolve(&self, input: &[f32], weights: &[f32], output: &mut [f32], store: Store) {
        let (rows, depth) = (self.out_channels, self.in_channels);
        let output_pixels = self.output.0 * self.output.1;
        for chunk in self.chunks(input.len() / (depth * self.input.0 * self.input.1)) {
            let width = chunk.len().next_multiple_of(LANES);
            let patches = self.transform_patches(input, &chunk);
            let mut products = Scratch::any(POINTS * rows * width);
            products
                .par_chunks_mut(rows * width)
                .enumerate()
                .for_each(|(point, product)| {
                    matmul(
                        MatrixMut::new(product, rows, width, width),
                        Store::Overwrite,
                        Matrix::new(&weights[point * depth..], rows, depth, POINTS * depth),
                        Matrix::new(&patches[point * width..], depth, width, POINTS * width),
                        false,
                    );
                });
            // The results of whole images are at hand in part only: each plane takes what the chunk has of it.
            let images = self.images(&chunk);
            let planes = output
                [images.start * rows * output_pixels..images.end * rows * output_pixels]
                .par_chunks_mut(output_pixels);
            planes.enumerate().for_each(|(plane, output)| {
                let (image, channel) = (images.start + plane / rows, plane % rows);
                let values = |point: usize| &products[(point * rows + channel) * width..][..width];
                vectorized(
                    #[inline(always)]
                    || self.untransform(values, &chunk, image, output, store),
                );
            });
        }
    }

    /// `d_weight += ` the gradient with respect to the weights.
    pub fn backward_weight(&self, input: &[f32], d_output: &[f32], d_weight: &mut [f32]) {
        let (rows, depth) = (self.out_channels, self.in_channels);
        let mut sums = Scratch::zeros(POINTS * rows * depth);
        for chunk in self.chunks(input.len() / (depth * self.input.0 * self.input.1)) {
            let width = chunk.len().next_multiple_of(LANES);
            let patches = self.transform_patches(input, &chunk);
            let gradients = self.transform_gradients(d_output, &chunk);
            sums.par_chunks_mut(rows * depth)
                .enumerate()
                .for_each(|(point, sum)| {
                    matmul(
                        MatrixMut::new(sum, rows, depth, depth),
                        Store::Add,
                        Matrix::new(&gradients[point * width..], rows, width, POINTS * width),
                        Matrix::new(&patches[point * width..], depth, width, POINTS * width)
                            .transposed(),
                        false,
                    );
                });
        }
        untransform_weights(&sums, (rows, depth), d_weight);
    }

    /// All tiles of all images, in ranges that keep the working set small.
    fn chunks(&self, images: usize) -> impl Iterator<Item = Range<usize>> + use<> {
        let all = images * self.tiles.0 * self.tiles.1;
        let fitting = WORKING_SET / (POINTS * (self.in_channels + self.out_channels));
        let size = (fitting / LANES * LANES).max(4 * LANES);
        (0..all)
            .step_by(size)
            .map(move |start| start..(start + size).min(all))
    }

    /// The images that have tiles in `chunk`.
    fn images(&self, chunk: &Range<usize>) -> Range<usize> {
        let tiles = self.tiles.0 * self.tiles.1;
        chunk.start / tiles..chunk.end.div_ceil(tiles)
    }

    /// Image of a tile, and row and column of its first result.
    fn origin(&self, tile: usize) -> (usize, usize, usize) {
        let (image, rest) = (
            tile / (self.tiles.0 * self.tiles.1),
            tile % (self.tiles.0 * self.tiles.1),
        );
        let (row, column) = (rest / self.tiles.1, rest % self.tiles.1);
        (image, row * TILE, column * TILE)
    }

    /// Bᵀ d B of each patch: `(in_channels, POINTS, tiles of the chunk)`.
    fn transform_patches(&self, input: &[f32], chunk: &Range<usize>) -> Scratch {
        let width = chunk.len().next_multiple_of(LANES);
        let pixels = self.input.0 * self.input.1;
        let mut patches = Scratch::any(self.in_channels * POINTS * width);
        patches
            .par_chunks_mut(POINTS * width)
            .enumerate()
            .for_each(|(channel, patches)| {
                vectorized(
                    #[inline(always)]
                    || {
                        for first in (0..width).step_by(LANES) {
                            let mut patch = [[0.0; LANES]; POINTS];
                            for lane in 0..LANES.min(chunk.len() - first) {
                                let (image, row, column) = self.origin(chunk.start + first + lane);
                                let plane = &input[(image * self.in_channels + channel) * pixels..]
                                    [..pixels];
                                self.gather(plane, (row, column), lane, &mut patch);
                            }
                            let transformed = transform(&patch, PATCH, points_of_input);
                            for (point, values) in transformed.iter().enumerate() {
                                patches[point * width + first..][..LANES].copy_from_slice(values);
                            }
                        }
                    },
                )
            });
        patches
    }

    /// The 6x6 pixels around the results at (row, column); padding stays 0.
    #[inline(always)]
    fn gather(
        &self,
        plane: &[f32],
        (row, column): (usize, usize),
        lane: usize,
        patch: &mut [Lanes; POINTS],
    ) {
        let (height, width) = self.input;
        let (top, left) = self.padding;
        let rows = top.saturating_sub(row)..PATCH.min((height + top).saturating_sub(row));
        let columns = left.saturating_sub(column)..PATCH.min((width + left).saturating_sub(column));
        for i in rows {
            let line = &plane[(row + i - top) * width..][..width];
            for j in columns.clone() {
                patch[i * PATCH + j][lane] = line[column + j - left];
            }
        }
    }

    /// A d Aᵀ of each tile of the gradient with respect to the output: `(out_channels, POINTS, tiles of the chunk)`.
    fn transform_gradients(&self, d_output: &[f32], chunk: &Range<usize>) -> Scratch {
        let width = chunk.len().next_multiple_of(LANES);
        let pixels = self.output.0 * self.output.1;
        let mut gradients = Scratch::any(self.out_channels * POINTS * width);
        gradients
            .par_chunks_mut(POINTS * width)
            .enumerate()
            .for_each(|(channel, gradients)| {
                vectorized(
                    #[inline(always)]
                    || {
                        for first in (0..width).step_by(LANES) {
                            let mut tile = [[0.0; LANES]; POINTS];
                            for lane in 0..LANES.min(chunk.len() - first) {
                                let (image, row, column) = self.origin(chunk.start + first + lane);
                                let plane = &d_output
                                    [(image * self.out_channels + channel) * pixels..][..pixels];
                                for i in 0..TILE.min(self.output.0 - row) {
                                    let line = &plane[(row + i) * self.output.1..][..self.output.1];
                                    for j in 0..TILE.min(self.output.1 - column) {
                                        tile[i * PATCH + j][lane] = line[column + j];
                                    }
                                }
                            }
                            let transformed = transform(&tile, TILE, points_of_gradient);
                            for (point, values) in transformed.iter().enumerate() {
                                gradients[point * width + first..][..LANES].copy_from_slice(values);
                            }
                        }
                    },
                )
            });
        gradients
    }

    /// Aᵀ m A of the chunk's tiles that lie in `image`, into a plane of the output.
    #[inline(always)]
    fn untransform<'a>(
        &self,
        values: impl Fn(usize) -> &'a [f32],
        chunk: &Range<usize>,
        image: usize,
        output: &mut [f32],
        store: Store,
    ) {
        let tiles = self.tiles.0 * self.tiles.1;
        let own = chunk.start.max(image * tiles)..chunk.end.min((image + 1) * tiles);
        // In the groups of lanes that hold them, which may begin in the image before.
        let first_group = (own.start - chunk.start) / LANES * LANES;
        for first in (first_group..own.end - chunk.start).step_by(LANES) {
            let mut products = [[0.0; LANES]; POINTS];
            for (point, product) in products.iter_mut().enumerate() {
                product.copy_from_slice(&values(point)[first..first + LANES]);
            }
            let results = transform(&products, PATCH, results_of_points);
            for lane in 0..LANES {
                let tile = chunk.start + first + lane;
                if !own.contains(&tile) {
                    continue;
                }
                let (_, row, column) = self.origin(tile);
                for i in 0..TILE.min(self.output.0 - row) {
                    let line = &mut output[(row + i) * self.output.1..][..self.output.1];
                    for j in 0..TILE.min(self.output.1 - column) {
                        let value = results[i * PATCH + j][lane];
                        match store {
                            Store::Overwrite => line[column + j] = value,
                            Store::Add => line[column + j] += value,
                        }
                    }
                }
            }
        }
    }
}

/// Whether nothing stands out in the pieces of `length` elements, such as the images of a batch: a tile would spread an
/// infinite or a huge element over results that do not see it.
pub fn is_even(values: &[f32], length: usize) -> bool {
    /// Elements that one thread looks at in one go.
    const SHARE: usize = 1 << 16;
    values.par_chunks(length).all(|piece| {
        let parts: Vec<_> = piece.par_chunks(SHARE).map(peak_and_sum).collect();
        let (peak, sum) = parts.iter().fold((0.0, 0.0), |(peak, sum), part| {
            (f32::max(peak, part.0), sum + part.1)
        });
        // Of something that is not a number the sum is none either, and no comparison holds.
        peak <= LARGEST_ELEMENT && peak * piece.len() as f32 <= LARGEST_RATIO * sum
    })
}

/// The largest and the sum of all magnitudes.
fn peak_and_sum(values: &[f32]) -> (f32, f32) {
    /// Two vectors of each, so that one addition need not wait for the other.
    const WIDTH: usize = 32;
    vectorized(
        #[inline(always)]
        || {
            let (mut peaks, mut sums) = ([0.0f32; WIDTH], [0.0f32; WIDTH]);
            let chunks = values.chunks_exact(WIDTH);
            let rest = chunks.remainder();
            for chunk in chunks {
                for lane in 0..WIDTH {
                    let size = chunk[lane].abs();
                    peaks[lane] = if size > peaks[lane] {
                        size
                    } else {
                        peaks[lane]
                    };
                    sums[lane] += size;
                }
            }
            let rest = rest.iter().map(|value| value.abs());
            let peak = rest.clone().chain(peaks).fold(0.0, f32::max);
            (peak, rest.chain(sums).sum())
        },
    )
}

/// G g Gᵀ of each kernel: `(rows, POINTS, depth)`. `kernel(row, column)` is where its nine weights begin.
fn transform_weights(
    weight: &[f32],
    (rows, depth): (usize, usize),
    kernel: impl Fn(usize, usize) -> usize + Sync,
    turned: bool,
) -> Scratch {
    let mut transformed = Scratch::any(rows * POINTS * depth);
    transformed
        .par_chunks_mut(POINTS * depth)
        .enumerate()
        .for_each(|(row, transformed)| {
            vectorized(
                #[inline(always)]
                || {
                    for first in (0..depth).step_by(LANES) {
                        let lanes = LANES.min(depth - first);
                        let mut kernels = [[0.0; LANES]; POINTS];
                        for lane in 0..lanes {
                            let start = kernel(row, first + lane);
                            let weights = &weight[start..start + 9];
                            for tap in 0..9 {
                                let value = weights[if turned { 8 - tap } else { tap }];
                                kernels[tap / 3 * PATCH + tap % 3][lane] = value;
                            }
                        }
                        let points = transform(&kernels, 3, points_of_kernel);
                        for (point, values) in points.iter().enumerate() {
                            transformed[point * depth + first..][..lanes]
                                .copy_from_slice(&values[..lanes]);
                        }
                    }
                },
            )
        });
    transformed
}

/// `d_weight += Gᵀ s G` of the sums `(POINTS, rows, depth)`.
fn untransform_weights(sums: &[f32], (rows, depth): (usize, usize), d_weight: &mut [f32]) {
    d_weight
        .par_chunks_mut(depth * 9)
        .enumerate()
        .for_each(|(row, d_weight)| {
            vectorized(
                #[inline(always)]
                || {
                    for first in (0..depth).step_by(LANES) {
                        let lanes = LANES.min(depth - first);
                        let mut points = [[0.0; LANES]; POINTS];
                        for (point, values) in points.iter_mut().enumerate() {
                            let start = (point * rows + row) * depth + first;
                            values[..lanes].copy_from_slice(&sums[start..start + lanes]);
                        }
                        let kernels = transform(&points, PATCH, kernel_of_points);
                        for lane in 0..lanes {
                            let d_kernel = &mut d_weight[(first + lane) * 9..][..9];
                            for (tap, d_weight) in d_kernel.iter_mut().enumerate() {
                                *d_weight += kernels[tap / 3 * PATCH + tap % 3][lane];
                            }
                        }
                    }
                },
            )
        });
}

/// Applies a transform of one dimension to the first `columns` columns and then to all rows. Every array has room for
/// 6x6 elements; those that a transform does not have are 0.
#[inline(always)]
fn transform(
    values: &[Lanes; POINTS],
    columns: usize,
    one_dimension: impl Fn([f32; PATCH]) -> [f32; PATCH],
) -> [Lanes; POINTS] {
    let mut half = [[0.0; LANES]; POINTS];
    for column in 0..columns {
        for lane in 0..LANES {
            let line = one_dimension(std::array::from_fn(|i| values[i * PATCH + column][lane]));
            for i in 0..PATCH {
                half[i * PATCH + column][lane] = line[i];
            }
        }
    }
    let mut whole = [[0.0; LANES]; POINTS];
    for row in 0..PATCH {
        for lane in 0..LANES {
            let line = one_dimension(std::array::from_fn(|j| half[row * PATCH + j][lane]));
            for j in 0..PATCH {
                whole[row * PATCH + j][lane] = line[j];
            }
        }
    }
    whole
}

/// Bᵀ d.
#[inline(always)]
fn points_of_input(d: [f32; PATCH]) -> [f32; PATCH] {
    let (even1, odd1) = (d[4] - d[2] / 2.0, SQRT_2 * d[3] - FRAC_1_SQRT_2 * d[1]);
    let (even2, odd2) = (d[4] - 2.0 * d[2], FRAC_1_SQRT_2 * d[3] - SQRT_2 * d[1]);
    [
        d[0] - 2.5 * d[2] + d[4],
        even1 + odd1,
        even1 - odd1,
        even2 + odd2,
        even2 - odd2,
        d[1] - 2.5 * d[3] + d[5],
    ]
}

/// G g, for the three weights in front.
#[inline(always)]
fn points_of_kernel(g: [f32; PATCH]) -> [f32; PATCH] {
    let (even1, odd1) = (g[0] + 2.0 * g[2], SQRT_2 * g[1]);
    let (even2, odd2) = (g[0] + g[2] / 2.0, FRAC_1_SQRT_2 * g[1]);
    [
        g[0],
        (even1 + odd1) / 6.0,
        (even1 - odd1) / 6.0,
        (even2 + odd2) / -1.5,
        (even2 - odd2) / -1.5,
        g[2],
    ]
}

/// Aᵀ m: four results.
#[inline(always)]
fn results_of_points(m: [f32; PATCH]) -> [f32; PATCH] {
    let (sum1, difference1) = (m[1] + m[2], SQRT_2 * (m[1] - m[2]));
    let (sum2, difference2) = (m[3] + m[4], FRAC_1_SQRT_2 * (m[3] - m[4]));
    [
        m[0] + sum1 + sum2,
        difference1 + difference2,
        2.0 * sum1 + sum2 / 2.0,
        2.0 * difference1 + difference2 / 2.0 + m[5],
        0.0,
        0.0,
    ]
}

/// A d, for the four gradients in front.
#[inline(always)]
fn points_of_gradient(d: [f32; PATCH]) -> [f32; PATCH] {
    let (even1, odd1) = (d[0] + 2.0 * d[2], SQRT_2 * (d[1] + 2.0 * d[3]));
    let (even2, odd2) = (d[0] + d[2] / 2.0, FRAC_1_SQRT_2 * (d[1] + d[3] / 2.0));
    [
        d[0],
        even1 + odd1,
        even1 - odd1,
        even2 + odd2,
        even2 - odd2,
        d[3],
    ]
}

/// Gᵀ s: three weights.
#[inline(always)]
fn kernel_of_points(s: [f32; PATCH]) -> [f32; PATCH] {
    let (sum1, difference1) = ((s[1] + s[2]) / 6.0, (s[1] - s[2]) / 6.0);
    let (sum2, difference2) = ((s[3] + s[4]) / -1.5, (s[3] - s[4]) / -1.5);
    [
        s[0] + sum1 + sum2,
        SQRT_2 * difference1 + FRAC_1_SQRT_2 * difference2,
        2.0 * sum1 + sum2 / 2.0 + s[5],
        0.0,
        0.0,
        0.0,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_out_is_seen_wherever_it_is() {
        let mut values = vec![1.0; 1100];
        assert!(is_even(&values, 550) && is_even(&[0.0; 1100], 550));
        for (extreme, even) in [
            (200.0, true),
            (-1000.0, false),
            (f32::NAN, false),
            (f32::INFINITY, false),
            (f32::NEG_INFINITY, false),
        ] {
            for index in [0, 31, 543, 549, 550, 1099] {
                values[index] = extreme;
                assert_eq!(is_even(&values, 550), even, "{extreme} at {index}");
                values[index] = 1.0;
            }
        }
        assert!(!is_even(&[1e20; 1100], 550)); // the transforms would overflow
    }

    /// In one dimension, with elements of few digits, the identity of the module's text holds exactly enough.
    #[test]
    fn four_results_of_three_weights() {
        let d = [1.0, -2.0, 3.0, 0.5, 4.0, -1.5];
        let g = [2.0, -1.0, 0.5, 0.0, 0.0, 0.0];
        let (points, kernel) = (points_of_input(d), points_of_kernel(g));
        let results = results_of_points(std::array::from_fn(|i| points[i] * kernel[i]));
        for (i, result) in results[..TILE].iter().enumerate() {
            let direct: f32 = (0..3).map(|k| d[i + k] * g[k]).sum();
            assert!((result - direct).abs() < 1e-5, "{i}: {result} {direct}");
        }
    }

    /// Each transform of the backward pass is the transpose of one of the forward pass: ⟨T x, y⟩ = ⟨x, Tᵀ y⟩.
    #[test]
    fn backward_transforms_are_transposes() {
        let dot =
            |a: [f32; PATCH], b: [f32; PATCH]| -> f32 { a.iter().zip(b).map(|(a, b)| a * b).sum() };
        let m = [0.5, -1.0, 2.0, 3.0, -0.25, 1.5];
        let d = [1.0, -2.0, 0.75, 4.0, 0.0, 0.0];
        assert!((dot(results_of_points(m), d) - dot(m, points_of_gradient(d))).abs() < 1e-4);
        let g = [1.0, -2.0, 0.75, 0.0, 0.0, 0.0];
        assert!((dot(points_of_kernel(g), m) - dot(g, kernel_of_points(m))).abs() < 1e-4);
    }
}
