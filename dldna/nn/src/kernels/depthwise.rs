//! Depthwise convolution: each channel has its own kernel and never meets the others.
//!
//! There is one multiplication per weight and position, so a matrix product has nothing to offer, and moving the
//! elements costs more than multiplying them. So each plane (one channel of one image) is copied once, with its padding,
//! to its [`Phases`], where every kernel tap reads it as one contiguous run over the whole plane. A result is then a sum,
//! over the taps, of a weight times a value at a fixed distance.

use super::epilogue::Epilogue;
use super::phases::{LANES, Phases};
use super::planes::sum_of;
use super::vector::vectorized;
use super::window::{Sliding, Window};
use rayon::prelude::*;

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
    phases: Phases,
}

/// A weight, and where the run of elements that it is multiplied with starts.
type Term = (f32, usize);

impl Depthwise {
    /// A convolution of images of size `input` = (height, width), or `None` where the window does not fit.
    pub fn new(channels: usize, window: Window, input: (usize, usize)) -> Option<Self> {
        Some(Self {
            channels,
            phases: Phases::new(Sliding::new(window, input)?),
        })
    }

    /// Height and width of the result.
    pub fn output_size(&self) -> (usize, usize) {
        self.phases.sliding().output
    }

    /// `output[n, c, y, x] = sum over (i, j) of input[n, c, y', x'] weight[c, i, j]`, with `weight (channels, kernel, kernel)`.
    pub fn forward(&self, input: &[f32], weight: &[f32], epilogue: &Epilogue, output: &mut [f32]) {
        let phases = &self.phases;
        output
            .par_chunks_mut(phases.sliding().output_pixels())
            .zip(input.par_chunks(phases.sliding().input_pixels()))
            .enumerate()
            .for_each_init(
                || (phases.room(0.0), vec![0.0; phases.run()], Vec::new()),
                |(elements, results, terms), (index, (output, plane))| {
                    phases.split(plane, elements);
                    let taps = phases.taps().iter().zip(self.kernel(weight, index));
                    terms.clear();
                    terms.extend(taps.map(|(&tap, &weight)| (weight, phases.start(tap))));
                    sum_terms(terms, elements, results);
                    phases.gather(results, output);
                    epilogue.apply_to_planes(index, output.len(), output);
                },
            );
    }

    /// `d_input += ` the gradient of the loss by `input`.
    ///
    /// Each number of a phase gets from every tap what the result at that distance in front of it has to give.
    pub fn backward_input(&self, weight: &[f32], d_output: &[f32], d_input: &mut [f32]) {
        let phases = &self.phases;
        let (run, reach) = (phases.phase_run(), phases.reach());
        let stride = phases.sliding().window.stride;
        d_input
            .par_chunks_mut(phases.sliding().input_pixels())
            .zip(d_output.par_chunks(phases.sliding().output_pixels()))
            .enumerate()
            .for_each_init(
                || (vec![0.0; reach + run], vec![0.0; run], Vec::new()),
                |(frame, d_phase, terms), (index, (d_input, d_output))| {
                    phases.spread(d_output, &mut frame[reach..]);
                    let kernel = self.kernel(weight, index);
                    for phase in 0..stride.pow(2) {
                        let taps = phases.taps().iter().zip(kernel);
                        let taps = taps.filter(|(tap, _)| tap.phase == phase);
                        terms.clear();
                        terms.extend(taps.map(|(tap, &w)| (w, reach - tap.distance)));
                        if terms.is_empty() {
                            continue; // no tap meets these pixels
                        }
                        sum_terms(terms, frame, d_phase);
                        phases.for_each_line(phase, |position, pixel, length| {
                            let line = &d_phase[position..position + length];
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
        let phases = &self.phases;
        let (in_pixels, out_pixels) = (
            phases.sliding().input_pixels(),
            phases.sliding().output_pixels(),
        );
        d_weight
            .par_chunks_mut(phases.taps().len())
            .enumerate()
            .for_each_init(
                || (phases.room(0.0), vec![0.0; phases.run()]),
                |(elements, frame), (channel, d_kernel)| {
                    let planes = input
                        .chunks_exact(in_pixels)
                        .zip(d_output.chunks_exact(out_pixels));
                    for (plane, d_output) in planes.skip(channel).step_by(self.channels) {
                        phases.split(plane, elements);
                        phases.spread(d_output, frame);
                        for (&tap, d_weight) in phases.taps().iter().zip(d_kernel.iter_mut()) {
                            let met = &elements[phases.start(tap)..][..frame.len()];
                            let sum = sum_of(frame.len(), |i| frame[i] * met[i]);
                            *d_weight += match sum.is_finite() {
                                true => sum,
                                // Behind the ends of the lines zeros meet pixels, which may be infinite.
                                false => self.sum_of_lines(frame, met),
                            };
                        }
                    }
                },
            );
    }

    /// The sum of the products at the positions of results alone.
    fn sum_of_lines(&self, frame: &[f32], met: &[f32]) -> f32 {
        let (height, width) = self.phases.sliding().output;
        let line = self.phases.line();
        let lines = frame.chunks(line).zip(met.chunks(line)).take(height);
        let products = lines.flat_map(|(a, b)| a.iter().zip(b).take(width).map(|(a, b)| a * b));
        products.sum()
    }

    fn kernel<'a>(&self, weight: &'a [f32], plane: usize) -> &'a [f32] {
        let (channel, taps) = (plane % self.channels, self.phases.taps().len());
        &weight[channel * taps..(channel + 1) * taps]
    }
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
