//! The gradient of a convolution with respect to its weights, from images with the channels last.
//!
//! A window, pixel by pixel with all its channels, is one row of a matrix:
//!
//! ```text
//! d weight (out_channels, depth) = d output (out_channels, positions) * windows (positions, depth)
//! ```
//!
//! The product sums over the positions, so it wants the elements of one position beside one another. Planes have them far
//! apart: a product that reads those has to turn them around each time it packs them. Here each image is turned once, and
//! a window is then copied in runs of whole pixels.

use super::Conv2d;
use crate::kernels::matmul::{Matrix, MatrixMut, Store, matmul};
use crate::kernels::scratch::{Lent, Scratch};
use crate::kernels::transpose::transpose_into;
use rayon::prelude::*;
use std::ops::Range;

/// An image with at least this number of results is enough for a product of its own. Those with fewer share one.
const ENOUGH_POSITIONS: usize = 32;

/// With more rows of the columns the sums of each image are too many for what there is to sum. (5x5, 14x14, batch 64, this gradient
/// alone: with 400 rows 2.6 ms, by unfolding 2.8; with 800 rows 9.0 ms, by unfolding 7.9.)
const LARGEST_DEPTH: usize = 640;

impl Conv2d {
    /// `d_weight += ` the gradient of the loss with respect to `weight`, from `input` and the one with respect to the output.
    ///
    /// `dL/dweight[o, c, i, j] = sum over (n, y, x) of dL/doutput[n, o, y, x] input[n, c, y', x']`
    pub fn backward_weight(&self, input: &[f32], d_output: &[f32], d_weight: &mut [f32]) {
        if self.meets_only_padding() {
            return;
        }
        if let Some(winograd) = self.winograd(self.images(input), self.results(d_output)) {
            return winograd.backward_weight(input, d_output, d_weight);
        }
        let direct = self.direct().filter(|_| self.depth() <= LARGEST_DEPTH);
        if direct.is_some_and(|way| way.backward_weight(input, d_output, d_weight).is_some()) {
            return;
        }
        let mut sums = Scratch::any(self.depth() * self.out_channels);
        let mut store = Store::Overwrite;
        let images = self.images_per_block();
        let inputs = input.chunks(images * self.image_size());
        let d_outputs = d_output.chunks(images * self.result_size());
        for (input, d_output) in inputs.zip(d_outputs) {
            let images = input.len() / self.image_size();
            let input = channels_last(input, self.in_channels, self.sliding.input_pixels());
            for rows in self.row_blocks(images) {
                let windows = self.windows(&input, &rows);
                self.multiply_windows(&windows, d_output, &rows, store, &mut sums);
                store = Store::Add;
            }
        }
        self.add_to_weight(&sums, d_weight);
    }

    /// As many images as one block of windows has room for, but one for each thread.
    fn images_per_block(&self) -> usize {
        let windows = self.depth() * self.sliding.output_pixels();
        (super::COLUMN_BLOCK / windows).max(rayon::current_num_threads())
    }

    /// `sums = d_output windows`, or `+=`. Each thread sees to some of the lines, and has them in a matrix of its own:
    /// `(thread, out_channel, line)`.
    fn multiply_windows(
        &self,
        windows: &[f32],
        d_output: &[f32],
        rows: &Range<usize>,
        store: Store,
        sums: &mut [f32],
    ) {
        let pixels = self.sliding.output_pixels();
        let (first, positions) = self.span(rows, 1);
        let turned;
        let products: Vec<(Matrix, &[f32])> = if positions == pixels && pixels < ENOUGH_POSITIONS {
            turned = channels_last(d_output, self.out_channels, pixels);
            let positions = turned.len() / self.out_channels;
            let d_output = Matrix::new(&turned, positions, self.out_channels, self.out_channels);
            vec![(d_output.transposed(), windows)]
        } else {
            let planes = d_output
                .chunks(self.result_size())
                .map(|image| Matrix::new(&image[first..], self.out_channels, positions, pixels));
            planes
                .zip(windows.chunks(positions * self.depth()))
                .collect()
        };
        sums.par_chunks_mut(self.lines_per_thread() * self.out_channels)
            .enumerate()
            .for_each(|(thread, sums)| {
                let first = thread * self.lines_per_thread();
                let lines = sums.len() / self.out_channels;
                let mut store = store;
                for (d_output, windows) in &products {
                    let positions = windows.len() / self.depth();
                    matmul(
                        MatrixMut::new(sums, self.out_channels, lines, lines),
                        store,
                        *d_output,
                        Matrix::new(&windows[first..], positions, lines, self.depth()),
                        false,
                    );
                    store = Store::Add;
                }
            });
    }

    fn lines_per_thread(&self) -> usize {
        self.depth().div_ceil(rayon::current_num_threads())
    }

    /// The windows of some rows of the results, `(image, position, tap, channel)`, of images with the channels last.
    fn windows<'a>(&self, images: &'a [f32], rows: &Range<usize>) -> Lent<'a> {
        if self.is_pointwise() && rows.len() == self.sliding.output.0 {
            return Lent::Slice(images);
        }
        let (_, positions) = self.span(rows, 1);
        let image = self.image_size();
        let mut windows = Scratch::any(images.len() / image * positions * self.depth());
        windows
            .par_chunks_mut(positions * self.depth())
            .zip(images.par_chunks(image))
            .for_each(|(windows, image)| self.copy_windows(image, rows, windows));
        Lent::Scratch(windows)
    }

    fn copy_windows(&self, image: &[f32], rows: &Range<usize>, windows: &mut [f32]) {
        let (_, width) = self.sliding.input;
        let channels = self.in_channels;
        let kernel_rows: Vec<_> = self.taps.chunk_by(|a, b| a.0 == b.0).collect();
        let line = kernel_rows[0].len() * channels;
        let runs = self.runs(kernel_rows[0]);
        let positions = rows
            .clone()
            .flat_map(|y| runs.iter().map(move |runs| (y, runs)));
        for ((y, runs), window) in positions.zip(windows.chunks_exact_mut(self.depth())) {
            for (taps, window) in kernel_rows.iter().zip(window.chunks_exact_mut(line)) {
                let row = self.sliding.input_row(y, taps[0].0);
                let runs = row.map_or(&[][..], |_| runs);
                if runs.iter().map(|run| run.length).sum::<usize>() < taps.len() {
                    window.fill(0.0);
                }
                for run in runs {
                    let pixel = row.unwrap_or_default() * width + run.column;
                    window[run.tap * channels..][..run.length * channels]
                        .copy_from_slice(&image[pixel * channels..][..run.length * channels]);
                }
            }
        }
    }

    /// What the taps of one row of the kernel meet at each column of the results.
    fn runs(&self, taps: &[(usize, usize)]) -> Vec<Vec<Run>> {
        let mut runs: Vec<Vec<Run>> = vec![Vec::new(); self.sliding.output.1];
        for (tap, &(_, j)) in taps.iter().enumerate() {
            let (columns, start) = self.sliding.columns(j);
            let pixels = (start..).step_by(self.sliding.window.stride);
            for (runs, column) in runs[columns].iter_mut().zip(pixels) {
                match runs.last_mut() {
                    Some(run)
                        if (run.tap + run.length, run.column + run.length) == (tap, column) =>
                    {
                        run.length += 1;
                    }
                    _ => runs.push(Run {
                        tap,
                        column,
                        length: 1,
                    }),
                }
            }
        }
        runs
    }

    /// Adds the gradients with respect to the useful weights to where they belong.
    fn add_to_weight(&self, sums: &[f32], d_weight: &mut [f32]) {
        let offsets = self.tap_offsets();
        let (height, width) = self.sliding.window.kernel;
        let (channels, share) = (self.in_channels, self.lines_per_thread());
        d_weight
            .par_chunks_mut(channels * height * width)
            .enumerate()
            .for_each(|(filter, d_weight)| {
                for (thread, sums) in sums.chunks(share * self.out_channels).enumerate() {
                    let lines = sums.len() / self.out_channels;
                    let sums = &sums[filter * lines..(filter + 1) * lines];
                    let start = thread * share;
                    for (tap, offset) in offsets.iter().enumerate() {
                        // The channels of this tap that this thread has seen to.
                        let from = start.clamp(tap * channels, (tap + 1) * channels);
                        let to = (start + lines).clamp(from, (tap + 1) * channels);
                        if from < to {
                            let first = (from - tap * channels) * height * width + offset;
                            let d_weight = d_weight[first..].iter_mut().step_by(height * width);
                            let sums = &sums[from - start..to - start];
                            d_weight
                                .zip(sums)
                                .for_each(|(d_weight, sum)| *d_weight += sum);
                        }
                    }
                }
            });
    }
}

/// Neighbouring taps that meet neighbouring pixels.
#[derive(Debug, Clone)]
struct Run {
    tap: usize,
    column: usize,
    length: usize,
}

/// `(image, channel, pixel)` to `(image, pixel, channel)`.
fn channels_last(images: &[f32], channels: usize, pixels: usize) -> Lent<'_> {
    if channels == 1 || pixels == 1 {
        return Lent::Slice(images);
    }
    let mut result = Scratch::any(images.len());
    result
        .par_chunks_mut(channels * pixels)
        .zip(images.par_chunks(channels * pixels))
        .for_each(|(result, image)| transpose_into(image, channels, result));
    Lent::Scratch(result)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::epilogue::Epilogue;
    use crate::kernels::window::Window;
    use rand::{Rng, SeedableRng, rngs::StdRng};

    /// A convolution is linear in its weights, so `sum (d_output conv(x, w)) = sum (d_weight w)` for any `w`. The cases are
    /// those in which the work is divided in another way.
    #[test]
    fn gradient_is_the_adjoint() {
        for (images, channels, out_channels, kernel, size) in [
            (3, 4096, 2, 5, 5), // a block has room for some rows of an image, and there are few positions
            (5, 2048, 3, 3, 20), // .. and many
            (70, 3, 2, 7, 40),  // a block has room for some of the images
            (2, 5, 3, 1, 4),    // the windows are the image
            (3, 1, 1, 3, 1),    // one useful tap
            (19, 16, 16, 3, 40), // Winograd's way, with more tiles than are transformed at a time
            (1, 40, 70, 3, 5),  // .. and with more kernels than tiles
        ] {
            let window = Window::square(kernel, 1, kernel / 2, 1);
            let conv = Conv2d::new(channels, out_channels, window, (size, size)).unwrap();
            let mut random = StdRng::seed_from_u64(7);
            let mut draw = |count: usize| -> Vec<f32> {
                (0..count).map(|_| random.gen_range(-1.0..1.0)).collect()
            };
            let input = draw(images * channels * size * size);
            let weight = draw(out_channels * channels * kernel * kernel);
            let d_output = draw(images * out_channels * size * size);
            let mut output = vec![0.0; d_output.len()];
            conv.forward(&input, &weight, &Epilogue::default(), &mut output);
            let mut d_weight = vec![0.0; weight.len()];
            conv.backward_weight(&input, &d_output, &mut d_weight);
            let dot = |a: &[f32], b: &[f32]| -> f64 {
                a.iter()
                    .zip(b)
                    .map(|(a, b)| f64::from(*a) * f64::from(*b))
                    .sum()
            };
            let norm = (dot(&output, &output) * dot(&d_output, &d_output)).sqrt();
            let difference = dot(&d_output, &output) - dot(&d_weight, &weight);
            assert!(
                difference.abs() < 1e-5 * norm,
                "{channels} channels: {difference} of {norm}"
            );
        }
    }
}
