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
//! The arithmetic is a third of the work, moving elements the rest. So the images are cut into blocks of tiles, and a
//! thread takes a block from its pixels to its results while all of it lies in the core's own cache. There the channels
//! come last: what is done to one of them is done to 16 neighbours by the same vector instructions.
//!
//! Lavin and Gray, *Fast Algorithms for Convolutional Neural Networks*, 2015, section 4. Their points are 0, ±1, ±2, ∞;
//! ours are 0, ±√2, ±1/√2, ∞, whose powers stay closer to 1: that halves the error of rounding.

mod tiles;
mod transform;

use super::matmul::{Matrix, MatrixMut, Store};
use super::product::{COLUMNS, multiply};
use super::scratch::Scratch;
use super::transpose::transpose_part;
use super::vector::vectorized;
use super::window::Sliding;
use rayon::prelude::*;
use std::array::from_fn;
use std::ops::Range;
use tiles::{Layout, Points, Results};
use transform::{
    kernel_of_points, points_of_gradient, points_of_input, points_of_kernel, transform,
};

/// Results along one side of a tile, and pixels along one side of its patch.
const TILE: usize = 4;
const PATCH: usize = 6;
/// Weights along one side of a kernel.
const KERNEL: usize = 3;
/// Points at which a patch, a kernel or a tile is evaluated: elements of each when it is transformed.
const POINTS: usize = PATCH * PATCH;
/// Elements of a block's transformed patches and results: half a megabyte, half of a core's cache.
const BLOCK: usize = 1 << 17;
/// With fewer tiles in a block, its products would wait for the weights, which all blocks read.
const FEWEST_TILES: usize = 32;
/// Elements of the blocks that the gradient with respect to the weights sums over at a time: 8 MiB, about an outer cache.
const WORKING_SET: usize = 1 << 21;
/// Output channels whose weights lie together: two vectors of the widest kind.
const PANEL: usize = 2 * COLUMNS;
/// With fewer channels the transforms cost more than they save.
const FEWEST_CHANNELS: usize = 16;
/// On smaller results too much of the tiles lies outside.
const SMALLEST_OUTPUT: usize = 4;
/// Transformed weights are four times as large as the weights. Unless each channel has at least this number of tiles, that
/// costs more than the products save.
const FEWEST_TILES_PER_CHANNEL: f32 = 0.05;

/// The largest magnitude in an image, or of all weights, over the mean magnitude there. The transforms mix the elements of a tile, so
/// a result is wrong by about 2^-17 of the largest product in its tile, which may be one that it does not contain. Up to
/// this ratio that is less than 2^-14 of the products that it sums. Activations reach 30, gradients 70 (ResNet-20 in training).
const LARGEST_RATIO: f32 = 256.0;
/// With larger elements the transforms could exceed the largest float where the results do not.
const LARGEST_ELEMENT: f32 = (1u64 << 40) as f32;

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

    /// `output = ` the convolution of `input` with `weight`, and the bias of each channel.
    pub fn forward(&self, input: &[f32], weight: &[f32], bias: Option<&[f32]>, output: &mut [f32]) {
        let kernel = KERNEL * KERNEL;
        let strides = (self.in_channels * kernel, kernel);
        let channels = (self.out_channels, self.in_channels);
        let weights = Weights::new(weight, channels, strides, |tap| tap);
        self.convolve(input, &weights, bias, output, Store::Overwrite);
    }

    /// `d_input += ` the gradient with respect to the input: the convolution of `d_output` with the kernels turned by 180 degrees.
    pub fn backward_input(&self, weight: &[f32], d_output: &[f32], d_input: &mut [f32]) {
        let kernel = KERNEL * KERNEL;
        let strides = (kernel, self.in_channels * kernel);
        let channels = (self.in_channels, self.out_channels);
        let weights = Weights::new(weight, channels, strides, |tap| kernel - 1 - tap);
        self.transposed()
            .convolve(d_output, &weights, None, d_input, Store::Add);
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

    fn convolve(
        &self,
        input: &[f32],
        weights: &Weights,
        bias: Option<&[f32]>,
        output: &mut [f32],
        store: Store,
    ) {
        let (patches, results) = (self.patches(), self.results());
        let mut lines = results.lines_of_tile_rows(output);
        let size = self.tile_rows_per_block(lines.len());
        lines.par_chunks_mut(size).enumerate().for_each_init(
            || patches.strip(),
            |strip, (block, lines)| {
                let rows = block * size..block * size + lines.len();
                let patches = patches.transform(input, rows, strip, points_of_input);
                let products = weights.multiply(&patches);
                Results::of(&results, bias, store).untransform(&products, lines);
            },
        );
    }

    /// `d_weight += ` the gradient with respect to the weights.
    pub fn backward_weight(&self, input: &[f32], d_output: &[f32], d_weight: &mut [f32]) {
        let (patches, results) = (self.patches(), self.results());
        let (rows, columns) = (results.lanes(), patches.lanes());
        let tile_rows =
            input.len() / (self.in_channels * self.input.0 * self.input.1) * self.tiles.0;
        let size = self.tile_rows_per_block(tile_rows);
        let tiles = size * self.tiles.1;
        let blocks_at_a_time = (WORKING_SET / (POINTS * tiles * (rows + columns))).max(1);
        let blocks: Vec<Range<usize>> = (0..tile_rows)
            .step_by(size)
            .map(|first| first..(first + size).min(tile_rows))
            .collect();
        let size = rows * columns + COLUMNS; // not a power of two, as in `Points`
        let mut sums = Scratch::aligned(POINTS * size);
        sums.fill(0.0);
        for blocks in blocks.chunks(blocks_at_a_time.max(rayon::current_num_threads())) {
            let transformed: Vec<(Points, Points)> = blocks
                .par_iter()
                .map_init(
                    || (results.strip(), patches.strip()),
                    |strips, rows| {
                        (
                            results.transform(
                                d_output,
                                rows.clone(),
                                &mut strips.0,
                                points_of_gradient,
                            ),
                            patches.transform(input, rows.clone(), &mut strips.1, points_of_input),
                        )
                    },
                )
                .collect();
            sums.par_chunks_mut(size)
                .enumerate()
                .for_each(|(point, sum)| {
                    for (gradients, patches) in &transformed {
                        multiply(
                            MatrixMut::new(sum, rows, columns, columns),
                            Store::Add,
                            gradients.matrix(point, rows).transposed(),
                            patches.matrix(point, columns),
                        );
                    }
                });
        }
        add_to_weights(&sums, size, columns, self.in_channels, d_weight);
    }

    /// The pixels around each tile.
    fn patches(&self) -> Layout<PATCH> {
        Layout {
            channels: self.in_channels,
            image: self.input,
            padding: self.padding,
            tiles: self.tiles,
        }
    }

    /// The results in each tile.
    fn results(&self) -> Layout<TILE> {
        Layout {
            channels: self.out_channels,
            image: self.output,
            padding: (0, 0),
            tiles: self.tiles,
        }
    }

    /// As many as the core's cache has room for, but no more than there are for each thread.
    fn tile_rows_per_block(&self, tile_rows: usize) -> usize {
        let elements = POINTS * (self.patches().lanes() + self.results().lanes());
        let tiles = (BLOCK / elements).max(FEWEST_TILES);
        let share = tile_rows.div_ceil(rayon::current_num_threads());
        tiles.div_ceil(self.tiles.1).min(share)
    }
}

/// G g Gᵀ of all kernels: `(panel of output channels, point, input channel, output channel of the panel)`.
struct Weights {
    values: Scratch,
    out_channels: usize,
    in_channels: usize,
}

impl Weights {
    /// `strides` are the elements of `weight` from one output channel to the next and from one input channel to the next;
    /// `place(tap)` is where a weight stands in the kernel.
    fn new(
        weight: &[f32],
        (out_channels, in_channels): (usize, usize),
        strides: (usize, usize),
        place: impl Fn(usize) -> usize + Sync,
    ) -> Self {
        let panels = out_channels.div_ceil(PANEL);
        let size = Self::size(in_channels);
        let mut values = Scratch::aligned(panels * POINTS * size);
        values
            .par_chunks_mut(POINTS * size)
            .enumerate()
            .for_each(|(panel, values)| {
                let mut taps = [[0.0; COLUMNS]; POINTS];
                for first in (panel * PANEL..out_channels.min((panel + 1) * PANEL)).step_by(COLUMNS)
                {
                    let lanes = COLUMNS.min(out_channels - first);
                    for channel in 0..in_channels {
                        let kernels = &weight[first * strides.0 + channel * strides.1..];
                        transpose_part(
                            kernels,
                            (lanes, KERNEL * KERNEL),
                            strides.0,
                            #[inline(always)]
                            |tap, lane, weights| {
                                let (i, j) = (place(tap) / KERNEL, place(tap) % KERNEL);
                                taps[i * PATCH + j][lane..lane + weights.len()]
                                    .copy_from_slice(weights);
                            },
                        );
                        let values = &mut values[channel * PANEL + first % PANEL..];
                        vectorized(
                            #[inline(always)]
                            || {
                                let points = transform(&taps, KERNEL, points_of_kernel);
                                for (point, lanes) in points.iter().enumerate() {
                                    values[point * size..][..COLUMNS].copy_from_slice(lanes);
                                }
                            },
                        );
                    }
                }
            });
        Self {
            values,
            out_channels,
            in_channels,
        }
    }

    /// Elements from one point to the next. Not a power of two: those would all want the same lines of the cache.
    fn size(in_channels: usize) -> usize {
        in_channels * PANEL + COLUMNS
    }

    /// For each point the product of the patches `(tiles, in_channels)` with the weights `(in_channels, out_channels)`.
    fn multiply(&self, patches: &Points) -> Points {
        let lanes = self.out_channels.next_multiple_of(COLUMNS);
        let mut products = Points::any(patches.tiles(), lanes);
        let size = Self::size(self.in_channels);
        for point in 0..POINTS {
            for first in (0..lanes).step_by(PANEL) {
                let columns = first..lanes.min(first + PANEL);
                let weights = &self.values[(first / PANEL * POINTS + point) * size..][..size];
                multiply(
                    products.matrix_mut(point, columns.clone()),
                    Store::Overwrite,
                    patches.matrix(point, self.in_channels),
                    Matrix::new(weights, self.in_channels, columns.len(), PANEL),
                );
            }
        }
        products
    }
}

/// `d_weight += Gᵀ s G` of the sums `(out_channels, columns)` at each point, which lie `size` elements apart.
fn add_to_weights(
    sums: &[f32],
    size: usize,
    columns: usize,
    in_channels: usize,
    d_weight: &mut [f32],
) {
    d_weight
        .par_chunks_mut(in_channels * KERNEL * KERNEL)
        .enumerate()
        .for_each(|(row, d_weight)| {
            vectorized(
                #[inline(always)]
                || {
                    for (n, d_kernels) in d_weight.chunks_mut(COLUMNS * KERNEL * KERNEL).enumerate()
                    {
                        let start = row * columns + n * COLUMNS;
                        let points = from_fn(|point| lanes(&sums[point * size + start..]));
                        let kernels = transform(&points, PATCH, kernel_of_points);
                        for (lane, d_kernel) in
                            d_kernels.chunks_exact_mut(KERNEL * KERNEL).enumerate()
                        {
                            for (tap, d_weight) in d_kernel.iter_mut().enumerate() {
                                *d_weight += kernels[tap / KERNEL * PATCH + tap % KERNEL][lane];
                            }
                        }
                    }
                },
            )
        });
}

/// The first elements of a slice that has at least that many.
#[inline(always)]
fn lanes(values: &[f32]) -> transform::Lanes {
    *values.first_chunk().expect("as many elements as lanes")
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
}
