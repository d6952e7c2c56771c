//! Convolution without unfolding: each tap of the kernel reads the image where it is.
//!
//! Unfolding copies each pixel once for each tap. But in the [`Phases`] of an image, what a tap meets as the window moves
//! on is one contiguous run already. So the matrix of unfolded windows is there without being written: the row of a channel
//! and a tap begins at a fixed place, and the rows of neighbouring taps overlap.
//!
//! ```text
//! output   (out_channels, positions) = weight (out_channels, depth) * runs (depth, positions)
//! d weight (out_channels, depth)     = d output (out_channels, positions) * runs^T
//! ```
//!
//! with `depth = in_channels * taps`. The gradient with respect to the input is the convolution of `d output` with the
//! kernels turned by 180 degrees.
//!
//! Zhang, Franchetti and Low, *High Performance Zero-Memory Overhead Direct Convolutions*, 2018.

use super::epilogue::Epilogue;
use super::matmul::{Matrix, MatrixMut, Store};
use super::phases::Phases;
use super::product::{COLUMNS, Lines, add_dot_products, multiply};
use super::scratch::Scratch;
use super::vector::add_scaled;
use super::window::{Sliding, Window};
use rayon::prelude::*;

/// Elements that are worked on at a time: half a megabyte, half of a core's cache. (`conv/fwd+bwd/b64/c16/14/k5`: 2.8 ms, with half
/// of it 2.9, with twice as much 2.9; `conv/fwd+bwd/b8/c8/56/k3`: 0.6 ms, 0.6, 0.7.)
const BLOCK: usize = 1 << 17;

/// A convolution of images of one size.
///
/// ```
/// use dldna_nn::kernels::{direct::Direct, epilogue::Epilogue};
/// use dldna_nn::kernels::window::{Sliding, Window};
/// let sliding = Sliding::new(Window::square(2, 1, 0, 1), (2, 3)).unwrap();
/// let direct = Direct::new(1, 1, sliding);
/// let mut output = [0.0; 2];
/// let image = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
/// direct.forward(&image, &[1.0, 0.0, 0.0, 10.0], &Epilogue::default(), &mut output);
/// assert_eq!(output, [51.0, 62.0]);
/// ```
#[derive(Debug, Clone)]
pub struct Direct {
    in_channels: usize,
    out_channels: usize,
    phases: Phases,
}

impl Direct {
    /// The convolution of a window.
    pub fn new(in_channels: usize, out_channels: usize, sliding: Sliding) -> Self {
        Self {
            in_channels,
            out_channels,
            phases: Phases::new(sliding),
        }
    }

    /// `output = ` the convolution of `input` with `weight`, and `epilogue` of that.
    pub fn forward(&self, input: &[f32], weight: &[f32], epilogue: &Epilogue, output: &mut [f32]) {
        self.convolve(input, weight, epilogue, output, Store::Overwrite);
    }

    /// `d_input += ` the gradient with respect to the input. `None` where it is no convolution of results with zeros around them: for
    /// strides, more padding than the kernel reaches over, and weights that make something of a zero.
    pub fn backward_input(
        &self,
        weight: &[f32],
        d_output: &[f32],
        d_input: &mut [f32],
    ) -> Option<()> {
        let transposed = self.transposed()?;
        if !all_finite(weight) {
            return None;
        }
        let turned = self.turned(weight);
        let nothing = Epilogue::default();
        transposed.convolve(d_output, &turned, &nothing, d_input, Store::Add);
        Some(())
    }

    /// `d_weight += ` the gradient with respect to the weights. `None` where it is not finite: an infinite pixel would count also
    /// for taps that do not meet it, whose gradients are zeros there.
    ///
    /// For each tap: the sum of the products of all results' gradients and the pixels that the tap met.
    pub fn backward_weight(
        &self,
        input: &[f32],
        d_output: &[f32],
        d_weight: &mut [f32],
    ) -> Option<()> {
        let (image, results) = (self.image_size(), self.result_size());
        let images = (input.len() / image).div_ceil(rayon::current_num_threads());
        let sums: Vec<Scratch> = input
            .par_chunks(images * image)
            .zip(d_output.par_chunks(images * results))
            .map(|(input, d_output)| self.sums(input, d_output))
            .collect();
        if !sums.iter().all(|sums| all_finite(sums)) {
            return None;
        }
        for sums in sums {
            add_scaled(d_weight, 1.0, &sums);
        }
        Some(())
    }

    /// The convolution that goes back from results to pixels.
    fn transposed(&self) -> Option<Self> {
        let Sliding { window, output, .. } = *self.phases.sliding();
        let padding =
            |kernel: usize, padding: usize| (window.dilation * (kernel - 1)).checked_sub(padding);
        let window = Window {
            padding: (
                padding(window.kernel.0, window.padding.0)?,
                padding(window.kernel.1, window.padding.1)?,
            ),
            ..window
        };
        let sliding = Sliding::new(window, output).filter(|_| window.stride == 1)?;
        Some(Self::new(self.out_channels, self.in_channels, sliding))
    }

    /// The weights of [`Direct::transposed`]: channels exchanged, each kernel turned by 180 degrees.
    fn turned(&self, weight: &[f32]) -> Scratch {
        let taps = self.phases.taps().len();
        let mut turned = Scratch::any(weight.len());
        let kernels = turned.chunks_exact_mut(taps).enumerate();
        for (n, kernel) in kernels {
            let (channel, out) = (n / self.out_channels, n % self.out_channels);
            let from = &weight[(out * self.in_channels + channel) * taps..][..taps];
            let pairs = kernel.iter_mut().zip(from.iter().rev());
            pairs.for_each(|(to, from)| *to = *from);
        }
        turned
    }

    fn convolve(
        &self,
        input: &[f32],
        weight: &[f32],
        epilogue: &Epilogue,
        output: &mut [f32],
        store: Store,
    ) {
        let starts = self.starts();
        let pixels = self.phases.sliding().output_pixels();
        let group = self.channels_together(output.len() / self.result_size());
        output
            .par_chunks_mut(self.result_size())
            .zip(input.par_chunks(self.image_size()))
            .enumerate()
            .for_each(|(image, (output, input))| {
                let elements = self.split(input);
                output
                    .par_chunks_mut(group * pixels)
                    .zip(weight.par_chunks(group * starts.len()))
                    .enumerate()
                    .for_each(|(n, (output, weight))| {
                        let first = image * self.out_channels + n * group;
                        let results = self.multiply(&elements, &starts, weight);
                        let runs = results.chunks_exact(self.run());
                        for (plane, run) in output.chunks_exact_mut(pixels).zip(runs) {
                            self.store(run, plane, store);
                        }
                        epilogue.apply_to_planes(first, pixels, output);
                    });
            });
    }

    /// Output channels that are computed at a time: a block of them, and something for each thread.
    fn channels_together(&self, images: usize) -> usize {
        let blocks = (self.out_channels * self.run()).div_ceil(BLOCK);
        let threads = rayon::current_num_threads().div_ceil(images);
        self.out_channels.div_ceil(blocks.max(threads))
    }

    /// The runs of the results of some output channels.
    fn multiply(&self, elements: &[f32], starts: &[usize], weight: &[f32]) -> Scratch {
        let (depth, run) = (starts.len(), self.run());
        let channels = weight.len() / depth;
        let mut results = Scratch::any(channels * run);
        multiply(
            MatrixMut::new(&mut results, channels, run, run),
            Store::Overwrite,
            Matrix::new(weight, channels, depth, depth),
            Lines::new(elements, starts, run),
        );
        results
    }

    /// A run's results into their plane, without those behind the ends of the lines.
    fn store(&self, run: &[f32], plane: &mut [f32], store: Store) {
        let lines = plane.chunks_exact_mut(self.phases.sliding().output.1);
        for (to, from) in lines.zip(run.chunks(self.phases.line())) {
            match store {
                Store::Overwrite => to.copy_from_slice(&from[..to.len()]),
                Store::Add => add_scaled(to, 1.0, from),
            }
        }
    }

    /// The gradient with respect to the weights from some images, on the calling thread.
    fn sums(&self, input: &[f32], d_output: &[f32]) -> Scratch {
        let starts = self.starts();
        let depth = starts.len();
        let mut sums = Scratch::zeros(self.out_channels * depth);
        let images = self.images_together();
        let inputs = input.chunks(images * self.image_size());
        for (input, d_output) in inputs.zip(d_output.chunks(images * self.result_size())) {
            let result = MatrixMut::new(&mut sums, self.out_channels, depth, depth);
            self.add_images(input, d_output, &starts, result);
        }
        sums
    }

    /// Images whose elements and results have room in a block.
    fn images_together(&self) -> usize {
        let elements = self.in_channels * self.phases.room_size() + self.out_channels * self.run();
        (BLOCK / elements).max(1)
    }

    fn add_images(&self, input: &[f32], d_output: &[f32], starts: &[usize], sums: MatrixMut) {
        let run = self.run();
        let channels: Vec<usize> = (0..self.out_channels)
            .map(|channel| channel * run)
            .collect();
        let images: Vec<(Scratch, Scratch)> = input
            .chunks_exact(self.image_size())
            .zip(d_output.chunks_exact(self.result_size()))
            .map(|(input, d_output)| (self.spread(d_output), self.split(input)))
            .collect();
        let pairs: Vec<(Lines, Lines)> = images
            .iter()
            .map(|(d_output, input)| {
                let d_output = Lines::new(d_output, &channels, run);
                (d_output, Lines::new(input, starts, run))
            })
            .collect();
        add_dot_products(sums, &pairs);
    }

    /// Planes of results as runs, with zeros behind the ends of the lines.
    fn spread(&self, d_output: &[f32]) -> Scratch {
        let mut runs = Scratch::zeros(self.out_channels * self.run());
        let planes = d_output.chunks_exact(self.phases.sliding().output_pixels());
        for (run, plane) in runs.chunks_exact_mut(self.run()).zip(planes) {
            self.phases.spread(plane, run);
        }
        runs
    }

    /// The phases of all channels of an image.
    fn split(&self, image: &[f32]) -> Scratch {
        let room = self.phases.room_size();
        let mut elements = Scratch::zeros(self.in_channels * room);
        elements
            .par_chunks_mut(room)
            .zip(image.par_chunks(self.phases.sliding().input_pixels()))
            .for_each(|(elements, plane)| self.phases.split(plane, elements));
        elements
    }

    /// Where the run of each input channel and tap begins.
    fn starts(&self) -> Vec<usize> {
        let room = self.phases.room_size();
        let of_channel = |channel| {
            let taps = self.phases.taps().iter();
            taps.map(move |&tap| channel * room + self.phases.start(tap))
        };
        (0..self.in_channels).flat_map(of_channel).collect()
    }

    /// Elements of a run: in whole vectors.
    fn run(&self) -> usize {
        self.phases.positions().next_multiple_of(COLUMNS)
    }

    fn image_size(&self) -> usize {
        self.in_channels * self.phases.sliding().input_pixels()
    }

    fn result_size(&self) -> usize {
        self.out_channels * self.phases.sliding().output_pixels()
    }
}

/// Whether a product with zero is zero for each of them.
fn all_finite(values: &[f32]) -> bool {
    values.iter().all(|value| value.is_finite())
}
