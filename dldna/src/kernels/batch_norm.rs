//! Batch normalisation of images, in training and in evaluation.
//!
//! Ioffe and Szegedy, *Batch Normalization*, 2015: algorithm 1, and the gradients of section 3. In training each
//! channel is normalised by its own mean and variance over all images and pixels of the batch; the running
//! statistics, which evaluation uses, are moved towards them.

use super::planes::{planes, sum, sum_of};
use rayon::prelude::*;

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
    /// use dldna::kernels::batch_norm::BatchNorm;
    /// let norm = BatchNorm { channels: 2, pixels: 1, epsilon: 1e-5 };
    /// let statistics = norm.statistics(&[1., 3., 5., 7.]); // two images of two channels
    /// assert_eq!(statistics.mean, [3.0, 5.0]);
    /// assert_eq!(statistics.variance, [4.0, 4.0]);
    /// ```
    pub fn statistics(&self, input: &[f32]) -> Statistics {
        let count = (input.len() / self.channels) as f64;
        let mean_over =
            |sums: &mut dyn Iterator<Item = f32>| (sums.map(f64::from).sum::<f64>() / count) as f32;
        let (mean, variance) = (0..self.channels)
            .into_par_iter()
            .map(|channel| {
                let planes = || planes(input, self.channels, self.pixels, channel);
                let mean = mean_over(&mut planes().map(sum));
                let squares = |x: &[f32]| sum_of(x.len(), |i| (x[i] - mean) * (x[i] - mean));
                (mean, mean_over(&mut planes().map(squares)))
            })
            .unzip();
        Statistics { mean, variance }
    }

    /// `output = (input - mean) / sqrt(variance + epsilon) * scale + bias`, channel by channel.
    pub fn normalize(
        &self,
        input: &[f32],
        statistics: &Statistics,
        scale: &[f32],
        bias: &[f32],
        output: &mut [f32],
    ) {
        // Per channel this is one multiplication and one addition: factor * x + offset.
        let factors: Vec<(f32, f32)> = self
            .inverse_deviation(statistics)
            .zip(&statistics.mean)
            .zip(scale.iter().zip(bias))
            .map(|((inverse, mean), (scale, bias))| {
                (inverse * scale, bias - mean * inverse * scale)
            })
            .collect();
        let image = self.channels * self.pixels;
        output
            .par_chunks_mut(image)
            .zip(input.par_chunks(image))
            .for_each(|(output, input)| {
                let planes = output
                    .chunks_exact_mut(self.pixels)
                    .zip(input.chunks_exact(self.pixels));
                for ((output, input), (factor, offset)) in planes.zip(&factors) {
                    for (y, x) in output.iter_mut().zip(input) {
                        *y = factor * x + offset;
                    }
                }
            });
    }

    /// Gradients of [`BatchNorm::normalize`] with the batch's own `statistics`: adds to all three.
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
        d_output: &[f32],
        gradients: Gradients,
    ) {
        let count = (input.len() / self.channels) as f32;
        let inverse: Vec<f32> = self.inverse_deviation(statistics).collect();
        let sums = self.gradient_sums(input, statistics, d_output);
        // d_input = slope d_output + tilt input + offset
        let mut factors = Vec::with_capacity(self.channels);
        for (c, &(d_bias, d_centred)) in sums.iter().enumerate() {
            let d_scale = d_centred * inverse[c];
            gradients.scale[c] += d_scale;
            gradients.bias[c] += d_bias;
            let slope = scale[c] * inverse[c];
            let tilt = -slope * inverse[c] * d_scale / count;
            factors.push((
                slope,
                tilt,
                -slope * d_bias / count - tilt * statistics.mean[c],
            ));
        }
        let image = self.channels * self.pixels;
        gradients
            .input
            .par_chunks_mut(image)
            .zip(input.par_chunks(image).zip(d_output.par_chunks(image)))
            .for_each(|(d_input, (input, d_output))| {
                let planes = d_input.chunks_exact_mut(self.pixels).zip(
                    input
                        .chunks_exact(self.pixels)
                        .zip(d_output.chunks_exact(self.pixels)),
                );
                for ((d_input, (input, d_output)), (slope, tilt, offset)) in planes.zip(&factors) {
                    for (d_x, (x, d_y)) in d_input.iter_mut().zip(input.iter().zip(d_output)) {
                        *d_x += slope * d_y + tilt * x + offset;
                    }
                }
            });
    }

    /// For each channel: `sum d_output` and `sum d_output (input - mean)`.
    fn gradient_sums(
        &self,
        input: &[f32],
        statistics: &Statistics,
        d_output: &[f32],
    ) -> Vec<(f32, f32)> {
        (0..self.channels)
            .into_par_iter()
            .map(|channel| {
                let mean = statistics.mean[channel];
                let planes = |data| planes(data, self.channels, self.pixels, channel);
                let mut sums = (0.0, 0.0);
                for (x, d) in planes(input).zip(planes(d_output)) {
                    sums.0 += f64::from(sum(d));
                    sums.1 += f64::from(sum_of(x.len(), |i| d[i] * (x[i] - mean)));
                }
                (sums.0 as f32, sums.1 as f32)
            })
            .collect()
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

/// Where [`BatchNorm::backward`] adds its results.
#[derive(Debug)]
pub struct Gradients<'a> {
    /// Gradient by the input, `(n, channels, pixels)`.
    pub input: &'a mut [f32],
    /// Gradient by the scale, `(channels)`.
    pub scale: &'a mut [f32],
    /// Gradient by the bias, `(channels)`.
    pub bias: &'a mut [f32],
}
