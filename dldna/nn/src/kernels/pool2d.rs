//! Max and average pooling over the planes of a batch, as PyTorch defines them.

use super::phases::{Phases, copy_every};
use super::scratch::Scratch;
use super::vector::{WIDTH, vectorized};
use super::window::{Sliding, Window};
use rayon::prelude::*;
use std::ops::Range;

/// One pooling window on images of one size.
///
/// ```
/// use dldna_nn::kernels::pool2d::Pool2d;
/// use dldna_nn::kernels::window::Window;
/// let pool = Pool2d::new(Window::square(2, 2, 0, 1), (2, 2)).unwrap();
/// let (mut max, mut mean) = ([0.0], [0.0]);
/// pool.max(&[1., 2., 3., 6.], &mut max);
/// pool.average(&[1., 2., 3., 6.], &mut mean);
/// assert_eq!((max, mean), ([6.0], [3.0]));
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Pool2d {
    sliding: Sliding,
}

impl Pool2d {
    /// Pooling of images of size `input` = (height, width). `None` where the window does not fit, or where
    /// the padding is more than half the window: some windows would then hold no pixel at all.
    pub fn new(window: Window, input: (usize, usize)) -> Option<Self> {
        if !Self::allows_padding(window) {
            return None;
        }
        Sliding::new(window, input).map(|sliding| Self { sliding })
    }

    /// Whether the padding of `window` is at most half the kernel.
    ///
    /// ```
    /// use dldna_nn::kernels::{pool2d::Pool2d, window::Window};
    /// assert!(Pool2d::allows_padding(Window::square(3, 1, 1, 1)));
    /// assert!(!Pool2d::allows_padding(Window::square(3, 1, 2, 1)));
    /// ```
    pub fn allows_padding(window: Window) -> bool {
        let Window {
            kernel, padding, ..
        } = window;
        padding.0 <= kernel.0 / 2 && padding.1 <= kernel.1 / 2
    }

    /// The window on the image.
    pub fn sliding(&self) -> Sliding {
        self.sliding
    }

    /// Height and width of the result.
    pub fn output_size(&self) -> (usize, usize) {
        self.sliding.output
    }

    /// The largest value in each window; padding never wins. Returns, for each result, the tap of the kernel
    /// (`row * kernel width + column`) whose pixel it is, the first of equals: [`Pool2d::max_backward`] needs it.
    pub fn max(&self, input: &[f32], output: &mut [f32]) -> Vec<u32> {
        let pixels = self.sliding.input_pixels();
        self.max_of_planes(output, |index, phases, elements| {
            phases.split(&input[index * pixels..][..pixels], elements);
        })
    }

    /// [`Pool2d::max`] of planes that `compute(index, plane)` writes.
    pub fn max_of_computed(
        &self,
        compute: impl Fn(usize, &mut [f32]) + Sync,
        output: &mut [f32],
    ) -> Vec<u32> {
        let pixels = self.sliding.input_pixels();
        self.max_of_planes(output, |index, phases, elements| {
            let mut plane = Scratch::any(pixels);
            compute(index, &mut plane);
            phases.split(&plane, elements);
        })
    }

    /// [`Pool2d::max`] where no gradient is asked for: first the largest of each column, then of each row of those.
    pub fn max_alone(&self, input: &[f32], output: &mut [f32]) {
        output
            .par_chunks_mut(self.sliding.output_pixels())
            .zip(input.par_chunks(self.sliding.input_pixels()))
            .for_each_init(
                || LineOfWindows::new(self.sliding),
                |windows, (output, plane)| {
                    vectorized(
                        #[inline(always)]
                        || {
                            let lines = output.chunks_exact_mut(self.sliding.output.1);
                            for (y, line) in lines.enumerate() {
                                windows.max(y, plane, line);
                            }
                        },
                    );
                },
            );
    }

    /// [`Pool2d::max`] of planes that `split(index, phases, elements)` writes into their phases.
    fn max_of_planes(
        &self,
        output: &mut [f32],
        split: impl Fn(usize, &Phases, &mut [f32]) + Sync,
    ) -> Vec<u32> {
        let mut winners = vec![0; output.len()];
        let pixels = self.sliding.output_pixels();
        let phases = Phases::new(self.sliding);
        let taps = phases.taps().iter();
        let starts: Vec<usize> = taps.map(|&tap| phases.start(tap)).collect();
        output
            .par_chunks_mut(pixels)
            .zip(winners.par_chunks_mut(pixels))
            .enumerate()
            .for_each_init(
                || {
                    let run = phases.run();
                    (phases.room(f32::NEG_INFINITY), vec![0.0; run], vec![0; run])
                },
                |(elements, largest, taps), (index, (output, winners))| {
                    split(index, &phases, elements);
                    find_winners(&starts, elements, largest, taps);
                    phases.gather(largest, output);
                    phases.gather(taps, winners);
                    if winners.contains(&NONE) {
                        self.choose_first_pixel(winners);
                    }
                },
            );
        winners
    }

    /// Where all pixels of a window are minus infinity, none is larger than the padding: the first is taken.
    fn choose_first_pixel(&self, winners: &mut [u32]) {
        let width = self.sliding.output.1;
        for (result, winner) in winners.iter_mut().enumerate() {
            if *winner == NONE {
                *winner = self.first_pixel(result / width, result % width);
            }
        }
    }

    /// The first tap that meets a pixel, and not padding.
    fn first_pixel(&self, y: usize, x: usize) -> u32 {
        let Window {
            kernel,
            stride,
            padding,
            dilation,
        } = self.sliding.window;
        let first = |position: usize, padding: usize| {
            padding.saturating_sub(position * stride).div_ceil(dilation)
        };
        (first(y, padding.0) * kernel.1 + first(x, padding.1)) as u32
    }

    /// Adds each gradient to the pixel that won.
    pub fn max_backward(&self, winners: &[u32], d_output: &[f32], d_input: &mut [f32]) {
        d_input
            .par_chunks_mut(self.sliding.input_pixels())
            .enumerate()
            .for_each(|(index, d_plane)| {
                self.max_backward_plane(index, winners, d_output, d_plane)
            });
    }

    /// [`Pool2d::max_backward`] for one plane.
    pub fn max_backward_plane(
        &self,
        index: usize,
        winners: &[u32],
        d_output: &[f32],
        d_plane: &mut [f32],
    ) {
        let Sliding { output, input, .. } = self.sliding;
        let pixels = self.sliding.output_pixels();
        let (winners, d_output) = (&winners[index * pixels..], &d_output[index * pixels..]);
        let Window {
            stride, padding, ..
        } = self.sliding.window;
        let (distances, outside) = (self.distances(), padding.0 * input.1 + padding.1);
        let lines = winners
            .chunks_exact(output.1)
            .zip(d_output.chunks_exact(output.1));
        for (y, (winners, d_line)) in lines.take(output.0).enumerate() {
            for (x, (&winner, d_output)) in winners.iter().zip(d_line).enumerate() {
                let corner = (y * input.1 + x) * stride; // of the window, from the padding's corner
                d_plane[corner + distances[winner as usize] - outside] += d_output;
            }
        }
    }

    /// Pixels from the corner of a window to each of its taps.
    fn distances(&self) -> Vec<usize> {
        let Window {
            kernel, dilation, ..
        } = self.sliding.window;
        let width = self.sliding.input.1;
        (0..kernel.0)
            .flat_map(|i| (0..kernel.1).map(move |j| (i * width + j) * dilation))
            .collect()
    }

    /// The mean of each window. Padding counts as zeros (`count_include_pad`, PyTorch's default).
    pub fn average(&self, input: &[f32], output: &mut [f32]) {
        let scale = self.average_scale();
        output
            .par_chunks_mut(self.sliding.output_pixels())
            .zip(input.par_chunks(self.sliding.input_pixels()))
            .for_each(|(output, plane)| {
                output.fill(0.0);
                self.for_each_tap(|result, pixel| output[result] += plane[pixel] * scale);
            });
    }

    /// Adds an equal share of each gradient to the pixels of its window.
    pub fn average_backward(&self, d_output: &[f32], d_input: &mut [f32]) {
        let scale = self.average_scale();
        d_input
            .par_chunks_mut(self.sliding.input_pixels())
            .zip(d_output.par_chunks(self.sliding.output_pixels()))
            .for_each(|(d_input, d_output)| {
                self.for_each_tap(|result, pixel| d_input[pixel] += d_output[result] * scale);
            });
    }

    fn average_scale(&self) -> f32 {
        let (height, width) = self.sliding.window.kernel;
        1.0 / (height * width) as f32
    }

    /// Calls `visit(result, pixel)` for every pixel of every window of one plane. For one result the pixels
    /// come in reading order.
    fn for_each_tap(&self, mut visit: impl FnMut(usize, usize)) {
        self.for_each_run(|results, first| {
            let pixels = (first..).step_by(self.sliding.window.stride);
            results
                .zip(pixels)
                .for_each(|(result, pixel)| visit(result, pixel));
        });
    }

    /// The same by neighbouring results that meet pixels `stride` apart: `visit(results, first pixel)`.
    fn for_each_run(&self, mut visit: impl FnMut(Range<usize>, usize)) {
        let Sliding {
            window,
            input,
            output,
        } = self.sliding;
        for y in 0..output.0 {
            for row in (0..window.kernel.0).filter_map(|i| self.sliding.input_row(y, i)) {
                for j in 0..window.kernel.1 {
                    let (columns, start) = self.sliding.columns(j);
                    if !columns.is_empty() {
                        let line = y * output.1;
                        visit(
                            line + columns.start..line + columns.end,
                            row * input.1 + start,
                        );
                    }
                }
            }
        }
    }
}

/// In place of the tap that won, where no value was larger than the padding.
const NONE: u32 = u32::MAX;

/// The windows of one line of results, and room for what they hold. Padding is minus infinity, which never wins.
struct LineOfWindows {
    sliding: Sliding,
    /// The largest of each column, from the padding's first column on.
    columns: Vec<f32>,
    /// The columns that lie `stride` apart, beside one another, for each of the first ones.
    phases: Vec<Vec<f32>>,
    /// The results, in whole vectors.
    largest: Vec<f32>,
}

impl LineOfWindows {
    fn new(sliding: Sliding) -> Self {
        let Window {
            stride,
            kernel,
            dilation,
            ..
        } = sliding.window;
        let results = sliding.output.1.next_multiple_of(WIDTH);
        let length = results + (kernel.1 - 1) * dilation / stride;
        let room = |length: usize| vec![f32::NEG_INFINITY; length];
        Self {
            columns: room((length + 1) * stride),
            phases: vec![room(length); stride],
            largest: room(results),
            sliding,
        }
    }

    /// The results of line `y` of a plane.
    #[inline(always)]
    fn max(&mut self, y: usize, plane: &[f32], results: &mut [f32]) {
        let Sliding { window, input, .. } = self.sliding;
        let columns = &mut self.columns[window.padding.1..][..input.1];
        let rows = (0..window.kernel.0).filter_map(|i| self.sliding.input_row(y, i));
        let mut rows = rows.map(|row| &plane[row * input.1..][..input.1]);
        match rows.next() {
            Some(first) => columns.copy_from_slice(first),
            None => columns.fill(f32::NEG_INFINITY),
        }
        rows.for_each(|row| take_larger(columns, row));
        for (first, phase) in self.phases.iter_mut().enumerate() {
            copy_every(window.stride, &self.columns[first..], phase);
        }
        let largest = &mut self.largest[..];
        largest.copy_from_slice(&self.phases[0][..largest.len()]);
        for column in (1..window.kernel.1).map(|j| j * window.dilation) {
            let phase = &self.phases[column % window.stride];
            take_larger(largest, &phase[column / window.stride..]);
        }
        results.copy_from_slice(&largest[..results.len()]);
    }
}

/// Each result takes its element where that is larger than what it has. Not-a-number is larger than any other, so that it
/// shows in the result.
#[inline(always)]
fn take_larger(largest: &mut [f32], elements: &[f32]) {
    for (largest, element) in largest.iter_mut().zip(elements) {
        let larger = (*element > *largest) | element.is_nan();
        *largest = if larger { *element } else { *largest };
    }
}

/// `largest[p] = ` the largest of `elements[start + p]` over the starts, one for each tap, and `winners[p] = ` the tap whose it is.
fn find_winners(starts: &[usize], elements: &[f32], largest: &mut [f32], winners: &mut [u32]) {
    let (blocks, _) = largest.as_chunks_mut::<WIDTH>();
    let (winners, _) = winners.as_chunks_mut::<WIDTH>();
    vectorized(
        #[inline(always)]
        || {
            for (block, (largest, winners)) in blocks.iter_mut().zip(winners).enumerate() {
                let (mut best, mut taps) = ([f32::NEG_INFINITY; WIDTH], [NONE; WIDTH]);
                for (tap, start) in (0..).zip(starts) {
                    let elements = &elements[start + block * WIDTH..][..WIDTH];
                    for (lane, &element) in elements.iter().enumerate() {
                        let larger = (element > best[lane]) | element.is_nan();
                        best[lane] = if larger { element } else { best[lane] };
                        taps[lane] = if larger { tap } else { taps[lane] };
                    }
                }
                (*largest, *winners) = (best, taps);
            }
        },
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_never_wins_and_the_first_of_equals_does() {
        let pool = Pool2d::new(Window::square(3, 2, 1, 1), (3, 3)).unwrap();
        let mut output = [0.0; 4];
        let winners = pool.max(&[-1.0; 9], &mut output);
        assert_eq!(output, [-1.0; 4]);
        assert_eq!(winners, [4, 3, 1, 0]); // the first tap that meets a pixel
    }

    #[test]
    fn not_a_number_and_infinities_pass_through() {
        let pool = Pool2d::new(Window::square(2, 2, 0, 1), (2, 4)).unwrap();
        let mut output = [0.0; 2];
        let low = f32::NEG_INFINITY;
        let winners = pool.max(&[1.0, f32::NAN, low, low, 2.0, 3.0, low, low], &mut output);
        assert!(output[0].is_nan());
        assert_eq!(output[1], low);
        assert_eq!(winners, [1, 0]);
        pool.max_alone(&[f32::NAN, 1.0, low, low, 2.0, 3.0, low, low], &mut output);
        assert!(output[0].is_nan());
        assert_eq!(output[1], low);
    }

    #[test]
    fn windows_without_a_pixel_are_refused() {
        assert!(Pool2d::new(Window::square(2, 2, 2, 1), (4, 4)).is_none());
        assert!(Pool2d::new(Window::square(3, 1, 0, 1), (2, 4)).is_none());
    }
}
