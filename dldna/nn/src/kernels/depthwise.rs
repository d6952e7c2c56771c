//! Depthwise convolution: each channel has its own kernel and never meets the others.
//!
//! There is one multiplication per weight and position, so a matrix product has nothing to offer, and moving the
//! elements costs more than multiplying them. So each plane (one channel of one image) is copied once, with its padding,
//! to where every kernel tap reads it as one contiguous run over the whole plane:
//!
//! ```text
//! padded plane, stride 1          its four phases, stride 2
//! . . . . .                       . . .   . .     phase (a, b) holds the pixels at rows a, a + 2, ..
//! . 1 2 3 .                       . 5 .   4 6     and columns b, b + 2, ..: what the tap in row a, column b
//! . 4 5 6 .                       . . .   . .     of the kernel meets as the window moves on
//! . 7 8 9 .                       . 2 .   1 3
//! . . . . .                       . 8 .   7 9
//! ```
//!
//! A result is then a sum, over the taps, of a weight times a value at a fixed distance: long runs without an end of
//! line, which the compiler turns into vector instructions. They also make a few results that lie behind the end of
//! each line and that nobody reads.

use super::epilogue::Epilogue;
use super::planes::sum_of;
use super::vector::vectorized;
use super::window::{Sliding, Window, reach};
use rayon::prelude::*;

/// Results that are summed at a time, in registers.
const LANES: usize = 32;

/// A depthwise convolution on images of one size.
///
/// ```
/// use dldna_nn::kernels::{depthwise::Depthwise, epilogue::Epilogue};
/// use dldna_nn::kernels::window::Window;
/// let conv = Depthwise::new(2, Window::square(1, 1, 0, 1), (1, 2)).unwrap();
/// let mut output = [0.0; 4];
/// conv.forward(&[1., 2., 3., 4.], &[10., 100.], &Epilogue::default(), &mut output);
/// assert_eq!(output, [10., 20., 300., 400.]);
/// ```
#[derive(Debug, Clone)]
pub struct Depthwise {
    channels: usize,
    sliding: Sliding,
    taps: Vec<Tap>,
    /// Rows of a phase, and elements from one row to the next.
    phase: (usize, usize),
    /// The largest [`Tap::distance`].
    reach: usize,
}

/// Where a weight of the kernel reads: the result at position `p` meets element `p + distance` of a phase.
#[derive(Debug, Clone, Copy)]
struct Tap {
    phase: usize,
    distance: usize,
}

/// A weight, and where the run of elements that it is multiplied with starts.
type Term = (f32, usize);

impl Depthwise {
    /// A convolution of images of size `input` = (height, width), or `None` where the window does not fit.
    pub fn new(channels: usize, window: Window, input: (usize, usize)) -> Option<Self> {
        let sliding = Sliding::new(window, input)?;
        let Window {
            kernel,
            stride,
            dilation,
            ..
        } = window;
        let phase = (
            sliding.output.0 + (kernel.0 - 1) * dilation / stride,
            sliding.output.1 + (kernel.1 - 1) * dilation / stride,
        );
        let tap = |i: usize, j: usize| Tap {
            phase: i * dilation % stride * stride + j * dilation % stride,
            distance: i * dilation / stride * phase.1 + j * dilation / stride,
        };
        let taps: Vec<Tap> = (0..kernel.0)
            .flat_map(|i| (0..kernel.1).map(move |j| tap(i, j)))
            .collect();
        Some(Self {
            channels,
            sliding,
            reach: taps.iter().map(|tap| tap.distance).max().unwrap_or(0),
            taps,
            phase,
        })
    }

    /// Height and width of the result.
    pub fn output_size(&self) -> (usize, usize) {
        self.sliding.output
    }

    /// `output[n, c, y, x] = sum over (i, j) of input[n, c, y', x'] weight[c, i, j]`, with `weight (channels, kernel, kernel)`.
    pub fn forward(&self, input: &[f32], weight: &[f32], epilogue: &Epilogue, output: &mut [f32]) {
        output
            .par_chunks_mut(self.sliding.output_pixels())
            .zip(input.par_chunks(self.sliding.input_pixels()))
            .enumerate()
            .for_each_init(
                || (self.phases(), vec![0.0; self.run()], Vec::new()),
                |(phases, results, terms), (index, (output, plane))| {
                    self.split(plane, phases);
                    let taps = self.taps.iter().zip(self.kernel(weight, index));
                    terms.clear();
                    terms.extend(taps.map(|(tap, &weight)| (weight, self.start(tap))));
                    sum_terms(terms, phases, results);
                    let lines = output.chunks_exact_mut(self.sliding.output.1);
                    for (to, from) in lines.zip(results.chunks_exact(self.phase.1)) {
                        to.copy_from_slice(&from[..to.len()]);
                    }
                    epilogue.apply_to_planes(index, output.len(), output);
                },
            );
    }

    /// `d_input += ` the gradient of the loss by `input`.
    ///
    /// Each number of a phase gets from every tap what the result at that distance in front of it has to give.
    pub fn backward_input(&self, weight: &[f32], d_output: &[f32], d_input: &mut [f32]) {
        let run = self.round_up(self.phase.0 * self.phase.1);
        d_input
            .par_chunks_mut(self.sliding.input_pixels())
            .zip(d_output.par_chunks(self.sliding.output_pixels()))
            .enumerate()
            .for_each_init(
                || (vec![0.0; self.reach + run], vec![0.0; run], Vec::new()),
                |(frame, d_phase, terms), (index, (d_input, d_output))| {
                    self.spread(d_output, &mut frame[self.reach..]);
                    let kernel = self.kernel(weight, index);
                    for phase in 0..self.sliding.window.stride.pow(2) {
                        let taps = self.taps.iter().zip(kernel);
                        let taps = taps.filter(|(tap, _)| tap.phase == phase);
                        terms.clear();
                        terms.extend(taps.map(|(tap, &w)| (w, self.reach - tap.distance)));
                        if terms.is_empty() {
                            continue; // no tap meets these pixels
                        }
                        sum_terms(terms, frame, d_phase);
                        self.for_each_line(phase, |position, pixel, length| {
                            let line = &d_phase[position..position + length];
                            let stride = self.sliding.window.stride;
                            let pixels = d_input[pixel..].iter_mut().step_by(stride);
                            pixels.zip(line).for_each(|(to, from)| *to += from);
                        });
                    }
                },
            );
    }

    /// `d_weight += ` the gradient of the loss by `weight`.
    ///
    /// For each tap: the sum of the products of all results' gradients and the elements that the tap met.
    pub fn backward_weight(&self, input: &[f32], d_output: &[f32], d_weight: &mut [f32]) {
        let (in_pixels, out_pixels) = (self.sliding.input_pixels(), self.sliding.output_pixels());
        d_weight
            .par_chunks_mut(self.taps.len())
            .enumerate()
            .for_each_init(
                || (self.phases(), vec![0.0; self.run()]),
                |(phases, frame), (channel, d_kernel)| {
                    let planes = input
                        .chunks_exact(in_pixels)
                        .zip(d_output.chunks_exact(out_pixels));
                    for (plane, d_output) in planes.skip(channel).step_by(self.channels) {
                        self.split(plane, phases);
                        self.spread(d_output, frame);
                        for (tap, d_weight) in self.taps.iter().zip(d_kernel.iter_mut()) {
                            let met = &phases[self.start(tap)..][..frame.len()];
                            *d_weight += sum_of(frame.len(), |i| frame[i] * met[i]);
                        }
                    }
                },
            );
    }

    fn kernel<'a>(&self, weight: &'a [f32], plane: usize) -> &'a [f32] {
        let channel = plane % self.channels;
        &weight[channel * self.taps.len()..(channel + 1) * self.taps.len()]
    }

    /// Positions of the results of a plane, those behind the ends of the lines included.
    fn run(&self) -> usize {
        self.round_up(self.sliding.output.0 * self.phase.1)
    }

    fn round_up(&self, length: usize) -> usize {
        length.next_multiple_of(LANES)
    }

    /// Room for all phases of a plane, each followed by what a run may read behind it.
    fn phases(&self) -> Vec<f32> {
        vec![0.0; self.sliding.window.stride.pow(2) * (self.run() + self.reach)]
    }

    /// Where in the phases the run of a tap starts.
    fn start(&self, tap: &Tap) -> usize {
        tap.phase * (self.run() + self.reach) + tap.distance
    }

    /// Copies a plane into its phases, whose padding is 0 already.
    fn split(&self, plane: &[f32], phases: &mut [f32]) {
        let stride = self.sliding.window.stride;
        for (phase, elements) in phases.chunks_exact_mut(self.run() + self.reach).enumerate() {
            self.for_each_line(phase, |position, pixel, length| {
                let line = &mut elements[position..position + length];
                if stride == 1 {
                    line.copy_from_slice(&plane[pixel..pixel + length]);
                } else {
                    let pixels = plane[pixel..].iter().step_by(stride);
                    line.iter_mut()
                        .zip(pixels)
                        .for_each(|(to, from)| *to = *from);
                }
            });
        }
    }

    /// Copies a plane of results to the positions of a run; what is behind the ends of the lines is 0 already.
    fn spread(&self, results: &[f32], run: &mut [f32]) {
        let lines = results.chunks_exact(self.sliding.output.1);
        for (from, to) in lines.zip(run.chunks_mut(self.phase.1)) {
            to[..from.len()].copy_from_slice(from);
        }
    }

    /// Calls `visit(position, pixel, length)` for each line of a phase, without its padding: position `position + i`
    /// holds pixel `pixel + i * stride`.
    fn for_each_line(&self, phase: usize, mut visit: impl FnMut(usize, usize, usize)) {
        let Sliding { window, input, .. } = self.sliding;
        let (a, b) = (phase / window.stride, phase % window.stride);
        let (top, first_row, height) =
            overlap(a, window.padding.0, window.stride, self.phase.0, input.0);
        let (left, first_column, width) =
            overlap(b, window.padding.1, window.stride, self.phase.1, input.1);
        if width == 0 {
            return;
        }
        for row in 0..height {
            visit(
                (top + row) * self.phase.1 + left,
                (first_row + row * window.stride) * input.1 + first_column,
                width,
            );
        }
    }
}

/// The lines of a phase that lie on the image: the first of them, the image's line there, and how many there are.
/// Line `i` of phase `offset` is line `i * stride + offset - padding` of the image.
fn overlap(
    offset: usize,
    padding: usize,
    stride: usize,
    lines: usize,
    size: usize,
) -> (usize, usize, usize) {
    let (first, start) = reach(offset, padding, stride);
    let count = size.saturating_sub(start).div_ceil(stride);
    (first, start, count.min(lines.saturating_sub(first)))
}

/// `sums[p] = sum over the terms of weight * elements[start + p]`
fn sum_terms(terms: &[Term], elements: &[f32], sums: &mut [f32]) {
    let (blocks, _) = sums.as_chunks_mut::<LANES>();
    vectorized(
        #[inline(always)]
        || {
            for (block, sums) in blocks.iter_mut().enumerate() {
                let mut lanes = [0.0; LANES];
                for &(weight, start) in terms {
                    let elements = &elements[start + block * LANES..][..LANES];
                    for (sum, element) in lanes.iter_mut().zip(elements) {
                        *sum = weight.mul_add(*element, *sum);
                    }
                }
                *sums = lanes;
            }
        },
    );
}
