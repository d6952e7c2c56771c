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

use super::epilogue::Epilogue;
use super::matmul::{MatrixMut, Store};
use super::product::{COLUMNS, Lines, multiply};
use super::scratch::Scratch;
use super::transpose::transpose_part;
use super::vector::vectorized;
use super::window::Sliding;
use rayon::prelude::*;
use std::array::from_fn;
use std::ops::Range;
use tiles::{Layout, Points, Results};
use transform::{
    Lanes, kernel_of_points, points_of_gradient, points_of_input, points_of_kernel, transform,
};

/// Results along one side of a tile, and pixels along one side of its patch.
const TILE: usize = 4;
const PATCH: usize = 6;
/// Weights along one side of a kernel.
const KERNEL: usize = 3;
const TAPS: usize = KERNEL * KERNEL;
/// Points at which a patch, a kernel or a tile is evaluated: elements of each when it is transformed.
const POINTS: usize = PATCH * PATCH;
/// Elements of a block's transformed patches and results: half a megabyte, half of a core's cache. (`conv/fwd+bwd/b8/c64/56/k3`: 17.9 ms,
/// with half of it 18.1, with twice as much 19.4.)
const BLOCK: usize = 1 << 17;
/// With fewer tiles in a block, its products would wait for the weights, which all blocks read. (`conv/fwd+bwd/b8/c256/14/k3`: 15.9 ms,
/// with 16 tiles 17.5; with 64 it gains and a whole training does not.)
const FEWEST_TILES: usize = 32;
/// Elements of the blocks that the gradient with respect to the weights sums over at a time: 8 MiB, about an outer cache.
/// (`conv/fwd+bwd/b8/c64/56/k3`: 17.9 ms, with twice as much 19.9, with half 17.1; at 256 channels and 14x14 the other way round.)
const WORKING_SET: usize = 1 << 21;
/// Output channels whose weights lie together: two vectors of the widest kind.
const PANEL: usize = 2 * COLUMNS;
/// Input channels whose kernels are loaded together.
const CHANNELS: usize = 8;
/// With fewer channels the transforms cost more than they save. (`conv/fwd+bwd/b8/c16/56/k3`: 2.9 ms, directly 2.1.)
const FEWEST_CHANNELS: usize = 32;
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

    /// `output = ` the convolution of `input` with `weight`, and `epilogue` of that.
    pub fn forward(&self, input: &[f32], weight: &[f32], epilogue: &Epilogue, output: &mut [f32]) {
        let kernels = Kernels {
            weight,
            out_channels: self.out_channels,
            in_channels: self.in_channels,
            strides: (self.in_channels * TAPS, TAPS),
            turned: false,
        };
        self.convolve(input, &kernels, epilogue, output, Store::Overwrite);
    }

    /// `d_input += ` the gradient with respect to the input: the convolution of `d_output` with the kernels turned by 180 degrees.
    pub fn backward_input(&self, weight: &[f32], d_output: &[f32], d_input: &mut [f32]) {
        let kernels = Kernels {
            weight,
            out_channels: self.in_channels,
            in_channels: self.out_channels,
            strides: (TAPS, self.in_channels * TAPS),
            turned: true,
        };
        let nothing = Epilogue::default();
        self.transposed()
            .convolve(d_output, &kernels, &nothing, d_input, Store::Add);
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
        kernels: &Kernels,
        epilogue: &Epilogue,
        output: &mut [f32],
        store: Store,
    ) {
        let tiles = self.tile_rows(input) * self.tiles.1;
        let results = Results {
            layout: self.results(),
            epilogue,
            store,
        };
        let (ins, outs) = (self.in_channels, self.out_channels);
        if tiles * (ins + outs) <= ins * outs {
            self.convolve_by_panels(input, kernels, &results, output);
        } else {
            self.convolve_by_blocks(input, kernels, &results, output);
        }
    }

    /// Many tiles: all kernels are transformed, then each thread takes blocks of tiles from pixels to results.
    fn convolve_by_blocks(
        &self,
        input: &[f32],
        kernels: &Kernels,
        results: &Results,
        output: &mut [f32],
    ) {
        let patches = self.patches();
        let weights = kernels.transform();
        let mut lines = results.layout.lines(output, self.out_channels);
        let size = self.tile_rows_per_block(self.tile_rows(input));
        lines.par_chunks_mut(size).enumerate().for_each_init(
            || patches.strip(),
            |strip, (block, lines)| {
                let first = block * size;
                let rows = first..first + lines.len();
                let patches = patches.transform(input, rows, strip, points_of_input);
                let products = kernels.multiply(&weights, &patches, results.layout.lanes());
                results.untransform(&products, 0, first, lines);
            },
        );
    }

    /// Few tiles, and many kernels, which would not fit any cache when they are transformed: each thread transforms those
    /// of some output channels, and uses them at once.
    fn convolve_by_panels(
        &self,
        input: &[f32],
        kernels: &Kernels,
        results: &Results,
        output: &mut [f32],
    ) {
        let patches = self.patches();
        let tile_rows = self.tile_rows(input);
        let blocks: Vec<(Range<usize>, Points)> = self
            .blocks(tile_rows)
            .into_par_iter()
            .map_init(
                || patches.strip(),
                |strip, rows| {
                    (
                        rows.clone(),
                        patches.transform(input, rows, strip, points_of_input),
                    )
                },
            )
            .collect();
        results
            .layout
            .lines(output, PANEL)
            .par_chunks_mut(tile_rows)
            .enumerate()
            .for_each(|(panel, lines)| {
                let channels = lines[0].len();
                let lanes = channels.next_multiple_of(COLUMNS);
                let weights = kernels.transform_panel(panel);
                for (rows, patches) in &blocks {
                    let products = kernels.multiply(&weights, patches, lanes);
                    let lines = &mut lines[rows.clone()];
                    results.untransform(&products, panel * PANEL, rows.start, lines);
                }
            });
    }

    /// `d_weight += ` the gradient with respect to the weights.
    pub fn backward_weight(&self, input: &[f32], d_output: &[f32], d_weight: &mut [f32]) {
        let (patches, results) = (self.patches(), self.results());
        let blocks = self.blocks(self.tile_rows(input));
        let tiles = blocks[0].len() * self.tiles.1;
        let at_a_time = WORKING_SET / (POINTS * tiles * (patches.lanes() + results.lanes()));
        let at_a_time = at_a_time.max(rayon::current_num_threads());
        let mut groups: Vec<WeightSums> = d_weight
            .chunks_mut(COLUMNS * self.in_channels * TAPS)
            .map(|d_weight| WeightSums::new(self.in_channels, d_weight))
            .collect();
        let last = (blocks.len() - 1) / at_a_time;
        for (n, blocks) in blocks.chunks(at_a_time).enumerate() {
            let transformed: Vec<(Points, Points)> = blocks
                .par_iter()
                .cloned()
                .map_init(
                    || (results.strip(), patches.strip()),
                    |(strip, patch_strip), rows| {
                        (
                            results.transform(d_output, rows.clone(), strip, points_of_gradient),
                            patches.transform(input, rows, patch_strip, points_of_input),
                        )
                    },
                )
                .collect();
            groups.par_iter_mut().enumerate().for_each(|(group, sums)| {
                sums.add(group * COLUMNS, &transformed);
                if n == last {
                    sums.untransform();
                }
            });
        }
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

    /// Rows of tiles on all images.
    fn tile_rows(&self, input: &[f32]) -> usize {
        input.len() / (self.in_channels * self.input.0 * self.input.1) * self.tiles.0
    }

    fn blocks(&self, tile_rows: usize) -> Vec<Range<usize>> {
        let size = self.tile_rows_per_block(tile_rows);
        (0..tile_rows)
            .step_by(size)
            .map(|first| first..(first + size).min(tile_rows))
            .collect()
    }

    /// As many as the core's cache has room for, but no more than there are for each thread.
    fn tile_rows_per_block(&self, tile_rows: usize) -> usize {
        let elements = POINTS * (self.patches().lanes() + self.results().lanes());
        let tiles = (BLOCK / elements).max(FEWEST_TILES);
        let share = tile_rows.div_ceil(rayon::current_num_threads());
        tiles.div_ceil(self.tiles.1).min(share)
    }
}

/// The kernels of a convolution.
#[derive(Debug, Clone, Copy)]
struct Kernels<'a> {
    weight: &'a [f32],
    out_channels: usize,
    in_channels: usize,
    /// Elements of `weight` from one output channel to the next, and from one input channel to the next.
    strides: (usize, usize),
    /// By 180 degrees.
    turned: bool,
}

impl Kernels<'_> {
    /// Elements from one point to the next.
    fn size(&self) -> usize {
        apart(self.in_channels * PANEL)
    }

    /// G g Gᵀ of all kernels: `(panel of output channels, point, input channel, output channel of the panel)`.
    fn transform(&self) -> Scratch {
        let mut weights =
            Scratch::aligned(self.out_channels.div_ceil(PANEL) * POINTS * self.size());
        weights
            .par_chunks_mut(POINTS * self.size())
            .enumerate()
            .for_each(|(panel, weights)| self.transform_panel_into(panel, weights));
        weights
    }

    /// [`Kernels::transform`] of one panel.
    fn transform_panel(&self, panel: usize) -> Scratch {
        let mut weights = Scratch::aligned(POINTS * self.size());
        self.transform_panel_into(panel, &mut weights);
        weights
    }

    fn transform_panel_into(&self, panel: usize, weights: &mut [f32]) {
        let size = self.size();
        let mut taps = [[0.0; COLUMNS]; CHANNELS * TAPS];
        for first in (panel * PANEL..self.out_channels.min((panel + 1) * PANEL)).step_by(COLUMNS) {
            for channel in (0..self.in_channels).step_by(self.channels_together()) {
                let channels = self.channels_together().min(self.in_channels - channel);
                self.load_taps(first, channel, &mut taps[..channels * TAPS]);
                let weights = &mut weights[channel * PANEL + first % PANEL..];
                vectorized(
                    #[inline(always)]
                    || {
                        for (n, taps) in taps[..channels * TAPS].chunks_exact(TAPS).enumerate() {
                            let points = transform(&self.square(taps), KERNEL, points_of_kernel);
                            for (point, lanes) in points.iter().enumerate() {
                                weights[point * size + n * PANEL..][..COLUMNS]
                                    .copy_from_slice(lanes);
                            }
                        }
                    },
                );
            }
        }
    }

    /// Input channels whose taps follow one another in memory.
    fn channels_together(&self) -> usize {
        if self.strides.1 == TAPS { CHANNELS } else { 1 }
    }

    /// The taps of some input channels, each for neighbouring output channels.
    fn load_taps(&self, first: usize, channel: usize, taps: &mut [Lanes]) {
        transpose_part(
            &self.weight[first * self.strides.0 + channel * self.strides.1..],
            (COLUMNS.min(self.out_channels - first), taps.len()),
            self.strides.0,
            #[inline(always)]
            |tap, lane, weights| taps[tap][lane..lane + weights.len()].copy_from_slice(weights),
        );
    }

    /// A kernel in the upper left corner of a patch.
    #[inline(always)]
    fn square(&self, taps: &[Lanes]) -> [Lanes; POINTS] {
        let mut square = [[0.0; COLUMNS]; POINTS];
        for (tap, lanes) in taps.iter().enumerate() {
            let place = if self.turned { TAPS - 1 - tap } else { tap };
            square[place / KERNEL * PATCH + place % KERNEL] = *lanes;
        }
        square
    }

    /// At each point the product of the patches with transformed weights, of one panel or of all: `(tile, output channel)`.
    fn multiply(&self, weights: &[f32], patches: &Points, lanes: usize) -> Points {
        let mut products = Points::any(patches.tiles(), lanes);
        let starts: Vec<usize> = (0..self.in_channels)
            .map(|channel| channel * PANEL)
            .collect();
        for point in 0..POINTS {
            for (panel, first) in (0..lanes).step_by(PANEL).enumerate() {
                let channels = first..lanes.min(first + PANEL);
                let weights = &weights[(panel * POINTS + point) * self.size()..];
                multiply(
                    products.matrix_mut(point, channels.clone()),
                    Store::Overwrite,
                    patches.matrix(point, 0..self.in_channels),
                    Lines::new(weights, &starts, channels.len()),
                );
            }
        }
        products
    }
}

/// The gradient with respect to the weights of some output channels, as long as it is summed at the points.
#[derive(Debug)]
struct WeightSums<'a> {
    in_channels: usize,
    /// At each point `(output channel, input channel)`. There is no memory before the first sum.
    sums: Option<Scratch>,
    d_weight: &'a mut [f32],
}

impl<'a> WeightSums<'a> {
    fn new(in_channels: usize, d_weight: &'a mut [f32]) -> Self {
        Self {
            in_channels,
            sums: None,
            d_weight,
        }
    }

    /// Input channels in whole vectors.
    fn columns(&self) -> usize {
        self.in_channels.next_multiple_of(COLUMNS)
    }

    /// Elements from one point to the next.
    fn size(&self) -> usize {
        apart(COLUMNS * self.columns())
    }

    /// Adds the products of the gradients of the output channels from `first` on with the patches.
    fn add(&mut self, first: usize, blocks: &[(Points, Points)]) {
        let (columns, size) = (self.columns(), self.size());
        let is_new = self.sums.is_none();
        let sums = self
            .sums
            .get_or_insert_with(|| Scratch::aligned(POINTS * size));
        for (point, sums) in sums.chunks_exact_mut(size).enumerate() {
            for (n, (gradients, patches)) in blocks.iter().enumerate() {
                multiply(
                    MatrixMut::new(sums, COLUMNS, columns, columns),
                    if is_new && n == 0 {
                        Store::Overwrite
                    } else {
                        Store::Add
                    },
                    gradients.matrix(point, first..first + COLUMNS).transposed(),
                    patches.lines(point),
                );
            }
        }
    }

    /// `d_weight += Gᵀ s G` of the sums, which are given back.
    fn untransform(&mut self) {
        let (columns, size) = (self.columns(), self.size());
        let Some(sums) = self.sums.take() else { return };
        let rows = self.d_weight.chunks_mut(self.in_channels * TAPS);
        for (row, d_weight) in rows.enumerate() {
            vectorized(
                #[inline(always)]
                || {
                    for (n, d_kernels) in d_weight.chunks_mut(COLUMNS * TAPS).enumerate() {
                        let start = row * columns + n * COLUMNS;
                        let points = from_fn(|point| lanes(&sums[point * size + start..]));
                        let kernels = transform(&points, PATCH, kernel_of_points);
                        for (lane, d_kernel) in d_kernels.chunks_exact_mut(TAPS).enumerate() {
                            for (tap, d_weight) in d_kernel.iter_mut().enumerate() {
                                *d_weight += kernels[tap / KERNEL * PATCH + tap % KERNEL][lane];
                            }
                        }
                    }
                },
            );
        }
    }
}

/// How far apart the matrices of two points begin, for this number of elements in each. Not a power of two: those would all
/// want the same lines of the cache.
fn apart(elements: usize) -> usize {
    elements + COLUMNS
}

/// The first elements of a slice that has at least that many.
#[inline(always)]
fn lanes(values: &[f32]) -> Lanes {
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
