//! Normalisation of each pixel over its channels.
//!
//! Ba, Kiros and Hinton, *Layer Normalization*, 2016, applied to the channels of a pixel as ConvNeXt does it. The sums go
//! over channels, but the loops over pixels, which lie side by side in memory.

use super::planes::{planes, sum_of};
use super::vector::{add_scaled, vectorized};
use rayon::prelude::*;

/// Normalisation of `(n, channels, pixels)`.
#[derive(Debug, Clone, Copy)]
pub struct LayerNorm {
    /// Channels of each image.
    pub channels: usize,
    /// Height times width, at least 1.
    pub pixels: usize,
    /// Added to the variance, so that a pixel with equal channels does not divide by zero.
    pub epsilon: f32,
}

impl LayerNorm {
    /// `images = (images - mean) / sqrt(variance + epsilon)`, pixel by pixel, with the biased variance. Returns
    /// `1 / sqrt(variance + epsilon)`, which the gradient needs: `(n, pixels)`.
    ///
    /// ```
    /// use dldna_nn::kernels::layer_norm::LayerNorm;
    /// let norm = LayerNorm { channels: 2, pixels: 1, epsilon: 0.0 };
    /// let mut image = [1.0, 5.0];
    /// assert_eq!(norm.normalize(&mut image), [0.5]);
    /// assert_eq!(image, [-1.0, 1.0]);
    /// ```
    pub fn normalize(&self, images: &mut [f32]) -> Vec<f32> {
        let mut factors = vec![0.0; images.len() / self.channels];
        let share = 1.0 / self.channels as f32;
        images
            .par_chunks_mut(self.channels * self.pixels)
            .zip(factors.par_chunks_mut(self.pixels))
            .for_each(|(image, factors)| {
                let mut means = vec![0.0; self.pixels];
                for plane in image.chunks_exact(self.pixels) {
                    add_scaled(&mut means, share, plane);
                }
                for plane in image.chunks_exact_mut(self.pixels) {
                    add_scaled(plane, -1.0, &means);
                    add_product(factors, share, plane, plane);
                }
                for factor in factors.iter_mut() {
                    *factor = 1.0 / (*factor + self.epsilon).sqrt();
                }
                for plane in image.chunks_exact_mut(self.pixels) {
                    multiply(plane, factors);
                }
            });
        factors
    }

    /// `scale * normalised + bias`, channel by channel.
    pub fn scale_and_shift(&self, normalised: &[f32], scale: &[f32], bias: &[f32]) -> Vec<f32> {
        let mut output = vec![0.0; normalised.len()];
        output
            .par_chunks_mut(self.pixels)
            .zip(normalised.par_chunks(self.pixels))
            .enumerate()
            .for_each(|(index, (output, plane))| {
                let channel = index % self.channels;
                output.fill(bias[channel]);
                add_scaled(output, scale[channel], plane);
            });
        output
    }

    /// `d_scale[c] += ` the sum of `normalised[n, c, :] d_output[n, c, :]` over all images and pixels.
    pub fn backward_scale(&self, normalised: &[f32], d_output: &[f32], d_scale: &mut [f32]) {
        d_scale
            .par_iter_mut()
            .enumerate()
            .for_each(|(channel, d_scale)| {
                let of = |data| planes(data, self.channels, self.pixels, channel);
                *d_scale += of(normalised)
                    .zip(of(d_output))
                    .map(|(x, d)| sum_of(x.len(), |i| x[i] * d[i]))
                    .sum::<f32>();
            });
    }

    /// Turns the gradient with respect to the output into the one with respect to the input. With `g = scale d_output`, and means over channels:
    ///
    /// ```text
    /// d_input = factor (g - mean(g) - normalised mean(g normalised))
    /// ```
    pub fn backward_input(
        &self,
        normalised: &[f32],
        factors: &[f32],
        scale: &[f32],
        gradient: &mut [f32],
    ) {
        let share = 1.0 / self.channels as f32;
        let size = self.channels * self.pixels;
        gradient
            .par_chunks_mut(size)
            .zip(normalised.par_chunks(size))
            .zip(factors.par_chunks(self.pixels))
            .for_each(|((gradient, normalised), factors)| {
                let mut means = vec![0.0; self.pixels];
                let mut slopes = vec![0.0; self.pixels];
                let planes = normalised.chunks_exact(self.pixels);
                let d_planes = gradient.chunks_exact_mut(self.pixels);
                for ((d, x), scale) in d_planes.zip(planes.clone()).zip(scale) {
                    d.iter_mut().for_each(|d| *d *= scale);
                    add_scaled(&mut means, share, d);
                    add_product(&mut slopes, share, d, x);
                }
                for (d, x) in gradient.chunks_exact_mut(self.pixels).zip(planes) {
                    add_scaled(d, -1.0, &means);
                    add_product(d, -1.0, x, &slopes);
                    multiply(d, factors);
                }
            });
    }
}

/// `values *= factors`, one by one.
fn multiply(values: &mut [f32], factors: &[f32]) {
    vectorized(
        #[inline(always)]
        || {
            for (value, factor) in values.iter_mut().zip(factors) {
                *value *= factor;
            }
        },
    );
}

/// `sum += weight * a * b`, one by one.
fn add_product(sum: &mut [f32], weight: f32, a: &[f32], b: &[f32]) {
    vectorized(
        #[inline(always)]
        || {
            for ((sum, a), b) in sum.iter_mut().zip(a).zip(b) {
                *sum += weight * a * b;
            }
        },
    );
}
