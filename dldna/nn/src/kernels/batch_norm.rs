//! Batch normalisation of images, in training and in evaluation.
//!
//! Ioffe and Szegedy, *Batch Normalization*, 2015: algorithm 1, and the gradients of section 3. In training each
//! channel is normalised by its own mean and variance over all images and pixels of the batch; the running
//! statistics, which evaluation uses, are moved towards them.

use super::activation::{Slopes, is_between};
use super::elementwise::CHUNK;
use super::epilogue::Epilogue;
use super::planes::{sum, sum_of};
use super::scratch::Scratch;
use super::vector::vectorized;
use rayon::prelude::*;
use std::ops::Range;

/// Channels of images that one core works on at a time: fewer would not be worth the way to it.
const PLANES: usize = 16;

/// Batch normalisation of `(n, channels, pixels)`.
#[derive(Debug, Clone, Copy)]
pub struct BatchNorm {
    /// Channels of each image.
    pub channels: usize,
    /// Height times width.
    pub pixels: usize,
    /// Added to the variance, so that a constant channel does not divide by zero.
    pub epsilon: f32,
}

/// Mean and variance of each channel.
#[derive(Debug, Clone, PartialEq)]
pub struct Statistics {
    /// Mean of each channel.
    pub mean: Vec<f32>,
    /// Variance of each channel; for a batch the biased one (divided by the count).
    pub variance: Vec<f32>,
}

impl BatchNorm {
    /// Mean and biased variance of each channel of a batch.
    ///
    /// The variance is summed from centred values in a second pass: the one-pass formula `E[x^2] - E[x]^2`
    /// loses its digits where the mean is large.
    ///
    /// ```
    /// use dldna_nn::kernels::batch_norm::BatchNorm;
    /// let norm = BatchNorm { channels: 2, pixels: 1, epsilon: 1e-5 };
    /// let statistics = norm.statistics(&[1., 3., 5., 7.]); // two images of two channels
    /// assert_eq!(statistics.mean, [3.0, 5.0]);
    /// assert_eq!(statistics.variance, [4.0, 4.0]);
    /// ```
    pub fn statistics(&self, input: &[f32]) -> Statistics {
        let count = (input.len() / self.channels) as f64;
        let images = input.len() / (self.channels * self.pixels);
        let means = |sums: Vec<[f64; 1]>| -> Vec<f32> {
            sums.iter().map(|[sum]| (sum / count) as f32).collect()
        };
        let statistics = self.by_channels(|channels| {
            let first = channels.start;
            let mean =
                means(self.plane_sums(images, channels.clone(), |_, plane| [sum(&input[plane])]));
            let variance = means(self.plane_sums(images, channels, |channel, plane| {
                let (x, mean) = (&input[plane], mean[channel - first]);
                [sum_of(x.len(), |i| (x[i] - mean) * (x[i] - mean))]
            }));
            mean.into_iter().zip(variance).collect()
        });
        let (mean, variance) = statistics.into_iter().unzip();
        Statistics { mean, variance }
    }

    /// The results of `work` for some channels at a time, one for each channel, in order.
    fn by_channels<T: Send>(&self, work: impl Fn(Range<usize>) -> Vec<T> + Sync) -> Vec<T> {
        // Neighbours are read together, so that the memory is read in one go.
        (0..self.channels.div_ceil(PLANES))
            .into_par_iter()
            .flat_map_iter(|block| {
                let first = block * PLANES;
                work(first..(first + PLANES).min(self.channels))
            })
            .collect()
    }

    /// Sums of `terms(channel, plane)` over all images, for each of some channels. A plane is where one channel of one
    /// image lies.
    fn plane_sums<const N: usize>(
        &self,
        images: usize,
        channels: Range<usize>,
        mut terms: impl FnMut(usize, Range<usize>) -> [f32; N],
    ) -> Vec<[f64; N]> {
        let mut sums = vec![[0.0; N]; channels.len()];
        for image in 0..images {
            for (channel, sums) in channels.clone().zip(&mut sums) {
                let start = (image * self.channels + channel) * self.pixels;
                let terms = terms(channel, start..start + self.pixels);
                for (sum, term) in sums.iter_mut().zip(terms) {
                    *sum += f64::from(term);
                }
            }
        }
        sums
    }

    /// `output = activation(line(input) + shortcut)`, see [`BatchNorm::lines`]. Returns the slopes of the activation, for its gradient.
    pub fn normalize(&self, input: &[f32], epilogue: &Epilogue, output: &mut [f32]) -> Slopes {
        let Some(slopes) = epilogue.activation.slopes_of_results() else {
            let normalize = |index: usize, plane: &mut [f32]| {
                let input = &input[index * self.pixels..][..self.pixels];
                epilogue.write_shifted(index, input, plane);
            };
            let activation = epilogue.activation;
            return activation.apply_to_pieces(output, self.pixels, normalize);
        };
        let planes = CHUNK.div_ceil(self.pixels);
        output
            .par_chunks_mut(planes * self.pixels)
            .zip(input.par_chunks(planes * self.pixels))
            .enumerate()
            .for_each(|(n, (output, input))| {
                epilogue.write_planes(n * planes, self.pixels, input, output);
            });
        slopes
    }

    /// Normalisation as one multiplication and one addition: `(factor, offset)` of each channel, with
    /// `factor input + offset = (input - mean) / sqrt(variance + epsilon) * scale + bias`.
    ///
    /// ```
    /// use dldna_nn::kernels::batch_norm::{BatchNorm, Statistics};
    /// let norm = BatchNorm { channels: 1, pixels: 2, epsilon: 0.0 };
    /// let statistics = Statistics { mean: vec![1.0], variance: vec![4.0] };
    /// assert_eq!(norm.lines(&statistics, &[1.0], &[0.0]), [(0.5, -0.5)]);
    /// ```
    pub fn lines(&self, statistics: &Statistics, scale: &[f32], bias: &[f32]) -> Vec<(f32, f32)> {
        self.inverse_deviation(statistics)
            .zip(&statistics.mean)
            .zip(scale.iter().zip(bias))
            .map(|((inverse, mean), (scale, bias))| {
                (inverse * scale, bias - mean * inverse * scale)
            })
            .collect()
    }

    /// Turns the gradient with respect to the result of [`BatchNorm::normalize`], without a shortcut, into the one with respect to what its
    /// activation was given. Nobody need have kept the result.
    pub(crate) fn backward_activation(
        &self,
        slopes: &Slopes,
        lines: &[(f32, f32)],
        input: &[f32],
        gradient: &mut [f32],
    ) {
        gradient
            .par_chunks_mut(self.pixels)
            .zip(input.par_chunks(self.pixels))
            .enumerate()
            .with_min_len(PLANES)
            .for_each(|(index, (gradient, input))| {
                self.backward_activation_plane(slopes, lines, index, input, gradient);
            });
    }

    /// [`backward_activation`](Self::backward_activation) for one channel of one image.
    pub(crate) fn backward_activation_plane(
        &self,
        slopes: &Slopes,
        lines: &[(f32, f32)],
        index: usize,
        input: &[f32],
        gradient: &mut [f32],
    ) {
        let &Slopes::Between0And(ceiling) = slopes else {
            return;
        };
        let (factor, offset) = lines[index % self.channels];
        vectorized(
            #[inline(always)]
            || {
                for (d, x) in gradient.iter_mut().zip(input) {
                    let active = is_between(factor * x + offset, ceiling);
                    *d = if active { *d } else { 0.0 };
                }
            },
        );
    }

    /// [`BatchNorm::backward`] where the gradient is computed plane by plane, twice, rather than kept in memory: `gradient(index, input,
    /// plane)` writes it to `plane`. The gradient with respect to the input takes the input's memory.
    pub(crate) fn backward_of_planes(
        &self,
        input: &mut [f32],
        statistics: &Statistics,
        scale: &[f32],
        gradient: impl Fn(usize, &[f32], &mut [f32]) + Sync,
        d_scale: &mut [f32],
        d_bias: &mut [f32],
    ) {
        let images = input.len() / (self.channels * self.pixels);
        let sums = self.by_channels(|channels| {
            let mut room = Scratch::any(self.pixels);
            self.plane_sums(images, channels, |channel, plane| {
                let (mean, index) = (statistics.mean[channel], plane.start / self.pixels);
                let x = &input[plane];
                gradient(index, x, &mut room);
                gradient_terms(x, mean, &room)
            })
        });
        let count = (input.len() / self.channels) as f32;
        let lines = self.gradient_lines(&sums, count, statistics, scale, d_scale, d_bias);
        input
            .par_chunks_mut(self.pixels)
            .enumerate()
            .with_min_len(PLANES)
            .for_each_init(
                || Scratch::any(self.pixels),
                |room, (index, input)| {
                    gradient(index, input, room);
                    let line = &lines[index % self.channels];
                    vectorized(
                        #[inline(always)]
                        || {
                            for (x, d) in input.iter_mut().zip(room.iter()) {
                                *x = line.at(*x, *d);
                            }
                        },
                    );
                },
            );
    }

    /// Gradients of [`BatchNorm::normalize`] with the batch's own `statistics`: turns `gradient`, with respect to the
    /// output, into the one with respect to the input in the same memory, and adds those with respect to scale and bias.
    ///
    /// With `h = (input - mean) / deviation` and `deviation = sqrt(variance + epsilon)`:
    ///
    /// ```text
    /// d_bias  = sum d_output
    /// d_scale = sum d_output h
    /// d_input = scale / deviation (d_output - d_bias / count - h d_scale / count)
    /// ```
    pub fn backward(
        &self,
        input: &[f32],
        statistics: &Statistics,
        scale: &[f32],
        gradient: &mut [f32],
        d_scale: &mut [f32],
        d_bias: &mut [f32],
    ) {
        let sums = self.gradient_sums(input, statistics, gradient);
        let count = (input.len() / self.channels) as f32;
        let lines = self.gradient_lines(&sums, count, statistics, scale, d_scale, d_bias);
        gradient
            .par_chunks_mut(self.pixels)
            .zip(input.par_chunks(self.pixels))
            .enumerate()
            .with_min_len(PLANES)
            .for_each(|(index, (gradient, input))| {
                let line = &lines[index % self.channels];
                vectorized(
                    #[inline(always)]
                    || {
                        for (d, x) in gradient.iter_mut().zip(input) {
                            *d = line.at(*x, *d);
                        }
                    },
                );
            });
    }

    /// Adds the gradients with respect to scale and bias, and returns how the one with respect to the input follows, channel by
    /// channel.
    fn gradient_lines(
        &self,
        sums: &[[f64; 2]],
        count: f32,
        statistics: &Statistics,
        scale: &[f32],
        d_scale: &mut [f32],
        d_bias: &mut [f32],
    ) -> Vec<GradientLine> {
        let inverse: Vec<f32> = self.inverse_deviation(statistics).collect();
        let mut lines = Vec::with_capacity(self.channels);
        for (c, sums) in sums.iter().enumerate() {
            let [sum, centred] = sums.map(|sum| sum as f32);
            let scale_sum = centred * inverse[c];
            d_scale[c] += scale_sum;
            d_bias[c] += sum;
            let slope = scale[c] * inverse[c];
            let tilt = -slope * inverse[c] * scale_sum / count;
            let offset = -slope * sum / count - tilt * statistics.mean[c];
            lines.push(GradientLine {
                slope,
                tilt,
                offset,
            });
        }
        lines
    }

    /// For each channel: `sum d_output` and `sum d_output (input - mean)`.
    fn gradient_sums(
        &self,
        input: &[f32],
        statistics: &Statistics,
        d_output: &[f32],
    ) -> Vec<[f64; 2]> {
        let images = input.len() / (self.channels * self.pixels);
        self.by_channels(|channels| {
            self.plane_sums(images, channels, |channel, plane| {
                let mean = statistics.mean[channel];
                gradient_terms(&input[plane.clone()], mean, &d_output[plane])
            })
        })
    }

    fn inverse_deviation<'a>(
        &self,
        statistics: &'a Statistics,
    ) -> impl Iterator<Item = f32> + use<'a> {
        let epsilon = self.epsilon;
        statistics
            .variance
            .iter()
            .map(move |variance| 1.0 / (variance + epsilon).sqrt())
    }
}

/// `sum d_output` and `sum d_output (input - mean)`, for one plane.
fn gradient_terms(input: &[f32], mean: f32, d_output: &[f32]) -> [f32; 2] {
    let centred = sum_of(input.len(), |i| d_output[i] * (input[i] - mean));
    [sum(d_output), centred]
}

/// `d_input = slope d_output + tilt input + offset`, for one channel.
struct GradientLine {
    slope: f32,
    tilt: f32,
    offset: f32,
}

impl GradientLine {
    #[inline(always)]
    fn at(&self, input: f32, d_output: f32) -> f32 {
        self.slope * d_output + self.tilt * input + self.offset
    }
}
