//! Max and average pooling over the planes of a batch, as PyTorch defines them.

use super::scratch::Scratch;
use super::vector::vectorized;
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

    /// The largest value in each window; padding never wins. Returns, for each result, the pixel of its plane
    /// that it came from (the first of equals): [`Pool2d::max_backward`] needs it.
    pub fn max(&self, input: &[f32], output: &mut [f32]) -> Vec<u32> {
        let pixels = self.sliding.input_pixels();
        self.max_of_planes(|index, _| Some(&input[index * pixels..][..pixels]), output)
    }

    /// [`Pool2d::max`] of planes that `compute(index, plane)` writes.
    pub fn max_of_computed(
        &self,
        compute: impl Fn(usize, &mut [f32]) + Sync,
        output: &mut [f32],
    ) -> Vec<u32> {
        let plane = |index, room: &mut [f32]| {
            compute(index, room);
            None
        };
        self.max_of_planes(plane, output)
    }

    /// [`Pool2d::max`] where no gradient is asked for.
    pub fn max_alone(&self, input: &[f32], output: &mut [f32]) {
        let runs = self.phase_runs();
        output
            .par_chunks_mut(self.sliding.output_pixels())
            .zip(input.par_chunks(self.sliding.input_pixels()))
            .for_each_init(
                || Scratch::any(self.sliding.window.stride * self.phase_size()),
                |phases, (output, plane)| {
                    output.fill(f32::NEG_INFINITY);
                    vectorized(
                        #[inline(always)]
                        || {
                            self.split(plane, phases);
                            for run in &runs {
                                let values = &phases[run.values..run.values + run.results.len()];
                                for (best, value) in
                                    output[run.results.clone()].iter_mut().zip(values)
                                {
                                    let larger = (*value > *best) | value.is_nan();
                                    *best = if larger { *value } else { *best };
                                }
                            }
                        },
                    );
                },
            );
    }

    /// [`Pool2d::max`] of `plane(index, room)`, which may be in the room for one.
    fn max_of_planes<'a>(
        &self,
        plane: impl Fn(usize, &mut [f32]) -> Option<&'a [f32]> + Sync,
        output: &mut [f32],
    ) -> Vec<u32> {
        let mut winners = vec![NONE; output.len()];
        let pixels = self.sliding.output_pixels();
        let runs = self.phase_runs();
        output
            .par_chunks_mut(pixels)
            .zip(winners.par_chunks_mut(pixels))
            .enumerate()
            .for_each_init(
                || {
                    let phases = self.sliding.window.stride * self.phase_size();
                    let room = Scratch::any(self.sliding.input_pixels());
                    (room, Scratch::any(phases))
                },
                |(room, phases), (index, (output, winners))| {
                    let plane = plane(index, room).unwrap_or(room);
                    vectorized(
                        #[inline(always)]
                        || {
                            self.split(plane, phases);
                            for run in &runs {
                                take_larger(
                                    &mut output[run.results.clone()],
                                    &mut winners[run.results.clone()],
                                    &phases[run.values..run.values + run.results.len()],
                                    (run.pixel, self.sliding.window.stride),
                                );
                            }
                        },
                    );
                },
            );
        winners
    }

    /// Sorts the columns of a plane so that those that one kernel column meets lie side by side: every `stride`-th, from the
    /// first, the second, and so on.
    #[inline(always)]
    fn split(&self, plane: &[f32], phases: &mut [f32]) {
        let (stride, (_, width)) = (self.sliding.window.stride, self.sliding.input);
        for (phase, phases) in phases.chunks_exact_mut(self.phase_size()).enumerate() {
            let lines = phases.chunks_exact_mut(width.div_ceil(stride));
            for (to, from) in lines.zip(plane.chunks_exact(width)) {
                let pixels = from.iter().skip(phase).step_by(stride);
                to.iter_mut().zip(pixels).for_each(|(to, from)| *to = *from);
            }
        }
    }

    fn phase_size(&self) -> usize {
        let (height, width) = self.sliding.input;
        height * width.div_ceil(self.sliding.window.stride)
    }

    /// Where in [`split`](Self::split) columns the results find the pixels that they compare. The same for all planes.
    fn phase_runs(&self) -> Vec<PhaseRun> {
        let (stride, (_, width)) = (self.sliding.window.stride, self.sliding.input);
        let mut runs = Vec::new();
        self.for_each_run(|results, pixel| {
            let (row, column) = (pixel / width, pixel % width);
            let values = column % stride * self.phase_size()
                + row * width.div_ceil(stride)
                + column / stride;
            runs.push(PhaseRun {
                results,
                pixel,
                values,
            });
        });
        runs
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
        let pixels = self.sliding.output_pixels();
        let (winners, d_output) = (&winners[index * pixels..], &d_output[index * pixels..]);
        for (&winner, d_output) in winners.iter().zip(d_output).take(pixels) {
            d_plane[winner as usize] += d_output;
        }
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

/// Neighbouring results, the first pixel they compare, and where it and those for the others lie in the sorted columns.
struct PhaseRun {
    results: Range<usize>,
    pixel: usize,
    values: usize,
}

/// In place of the pixel that won, where there is none yet.
const NONE: u32 = u32::MAX;

/// Each result takes its value where that is larger than what it has, or the first. Not-a-number wins, so that it shows in
/// the result. The values are those of pixel `first`, and of every `stride`-th from there.
#[inline(always)]
fn take_larger(
    best: &mut [f32],
    winners: &mut [u32],
    values: &[f32],
    (first, stride): (usize, usize),
) {
    let mut pixel = first as u32;
    for ((best, winner), value) in best.iter_mut().zip(winners).zip(values) {
        let larger = (*value > *best) | value.is_nan() | (*winner == NONE);
        *best = if larger { *value } else { *best };
        *winner = if larger { pixel } else { *winner };
        pixel = pixel.wrapping_add(stride as u32);
    }
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
        assert_eq!(winners, [0, 1, 3, 4]);
    }

    #[test]
    fn not_a_number_and_infinities_pass_through() {
        let pool = Pool2d::new(Window::square(2, 2, 0, 1), (2, 4)).unwrap();
        let mut output = [0.0; 2];
        let low = f32::NEG_INFINITY;
        let winners = pool.max(&[1.0, f32::NAN, low, low, 2.0, 3.0, low, low], &mut output);
        assert!(output[0].is_nan());
        assert_eq!(output[1], low);
        assert_eq!(winners, [1, 2]);
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
