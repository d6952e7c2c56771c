//! Depthwise convolution: each channel has its own kernel and never meets the others.
//!
//! There is one multiplication per weight and position, so a matrix product has nothing to offer. Each kernel
//! tap adds a scaled, shifted row of the image to a row of the result instead: a long run over memory that
//! the compiler turns into vector instructions.

use super::planes::sum_of;
use super::window::{Sliding, Window};
use rayon::prelude::*;

/// A depthwise convolution on images of one size.
///
/// ```
/// use dldna::kernels::depthwise::Depthwise;
/// use dldna::kernels::window::Window;
/// let conv = Depthwise::new(2, Window::square(1, 1, 0, 1), (1, 2)).unwrap();
/// let mut output = [0.0; 4];
/// conv.forward(&[1., 2., 3., 4.], &[10., 100.], &mut output);
/// assert_eq!(output, [10., 20., 300., 400.]);
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Depthwise {
    channels: usize,
    sliding: Sliding,
}

impl Depthwise {
    /// A convolution of images of size `input` = (height, width), or `None` where the window does not fit.
    pub fn new(channels: usize, window: Window, input: (usize, usize)) -> Option<Self> {
        Sliding::new(window, input).map(|sliding| Self { channels, sliding })
    }

    /// Height and width of the result.
    pub fn output_size(&self) -> (usize, usize) {
        self.sliding.output
    }

    /// `output[n, c, y, x] = sum over (i, j) of input[n, c, y', x'] weight[c, i, j]`, with `weight (channels, kernel, kernel)`.
    pub fn forward(&self, input: &[f32], weight: &[f32], output: &mut [f32]) {
        output
            .par_chunks_mut(self.sliding.output_pixels())
            .zip(input.par_chunks(self.sliding.input_pixels()))
            .enumerate()
            .for_each(|(index, (output, plane))| {
                output.fill(0.0);
                let kernel = self.kernel(weight, index);
                self.for_each_run(|tap, result, pixel, length| {
                    let output = &mut output[result..result + length];
                    let pixels = plane[pixel..].iter().step_by(self.sliding.window.stride);
                    add_scaled(output.iter_mut(), pixels, kernel[tap]);
                });
            });
    }

    /// `d_input += ` the gradient of the loss by `input`.
    pub fn backward_input(&self, weight: &[f32], d_output: &[f32], d_input: &mut [f32]) {
        d_input
            .par_chunks_mut(self.sliding.input_pixels())
            .zip(d_output.par_chunks(self.sliding.output_pixels()))
            .enumerate()
            .for_each(|(index, (d_input, d_output))| {
                let kernel = self.kernel(weight, index);
                self.for_each_run(|tap, result, pixel, length| {
                    let d_output = &d_output[result..result + length];
                    let pixels = d_input[pixel..]
                        .iter_mut()
                        .step_by(self.sliding.window.stride);
                    add_scaled(pixels, d_output.iter(), kernel[tap]);
                });
            });
    }

    /// `d_weight += ` the gradient of the loss by `weight`.
    pub fn backward_weight(&self, input: &[f32], d_output: &[f32], d_weight: &mut [f32]) {
        let taps = self.taps();
        let stride = self.sliding.window.stride;
        let (in_pixels, out_pixels) = (self.sliding.input_pixels(), self.sliding.output_pixels());
        d_weight
            .par_chunks_mut(taps)
            .enumerate()
            .for_each(|(channel, d_kernel)| {
                let planes = input
                    .chunks_exact(in_pixels)
                    .zip(d_output.chunks_exact(out_pixels));
                for (plane, d_output) in planes.skip(channel).step_by(self.channels) {
                    self.for_each_run(|tap, result, pixel, length| {
                        d_kernel[tap] +=
                            sum_of(length, |i| d_output[result + i] * plane[pixel + i * stride]);
                    });
                }
            });
    }

    fn taps(&self) -> usize {
        self.sliding.window.kernel.0 * self.sliding.window.kernel.1
    }

    fn kernel<'a>(&self, weight: &'a [f32], plane: usize) -> &'a [f32] {
        let channel = plane % self.channels;
        &weight[channel * self.taps()..(channel + 1) * self.taps()]
    }

    /// Calls `visit(tap, result, pixel, length)` for every run of results in one row that one tap takes part in:
    /// result `result + i` meets pixel `pixel + i * stride`.
    fn for_each_run(&self, mut visit: impl FnMut(usize, usize, usize, usize)) {
        let Sliding {
            window,
            input,
            output,
        } = self.sliding;
        for i in 0..window.kernel.0 {
            for j in 0..window.kernel.1 {
                let (columns, start) = self.sliding.columns(j);
                if columns.is_empty() {
                    continue;
                }
                for y in 0..output.0 {
                    if let Some(row) = self.sliding.input_row(y, i) {
                        visit(
                            i * window.kernel.1 + j,
                            y * output.1 + columns.start,
                            row * input.1 + start,
                            columns.len(),
                        );
                    }
                }
            }
        }
    }
}

fn add_scaled<'a>(
    to: impl Iterator<Item = &'a mut f32>,
    from: impl Iterator<Item = &'a f32>,
    scale: f32,
) {
    to.zip(from).for_each(|(to, from)| *to += scale * from);
}
