//! A plane is one channel of one image: sums over planes, and one factor for each.

use super::vector::{add_scaled, vectorized};
use rayon::prelude::*;
use std::ops::Range;

/// The pixels of channel `channel` in each image of `data (image, channel, pixel)`.
pub fn planes(
    data: &[f32],
    channels: usize,
    pixels: usize,
    channel: usize,
) -> impl Iterator<Item = &[f32]> {
    data.chunks_exact(channels * pixels)
        .map(move |image| &image[channel * pixels..(channel + 1) * pixels])
}

/// The sum of `term(0) .. term(length - 1)` in 32 lanes, and what is left over in 8: the compiler turns them into vector
/// instructions, and many short sums round less than one long one.
#[inline(always)]
pub fn sum_of(length: usize, term: impl Fn(usize) -> f32) -> f32 {
    vectorized(
        #[inline(always)]
        || {
            let (wide, narrow) = (length / 32 * 32, length / 8 * 8);
            lanes::<32>(0..wide, &term)
                + lanes::<8>(wide..narrow, &term)
                + (narrow..length).map(term).sum::<f32>()
        },
    )
}

/// The sum of `term` over a range whose length is a multiple of `LANES`.
#[inline(always)]
fn lanes<const LANES: usize>(range: Range<usize>, term: impl Fn(usize) -> f32) -> f32 {
    let mut lanes = [0.0; LANES];
    for start in range.step_by(LANES) {
        for (lane, sum) in lanes.iter_mut().enumerate() {
            *sum += term(start + lane);
        }
    }
    lanes.iter().sum()
}

/// The sum of a slice.
pub fn sum(values: &[f32]) -> f32 {
    sum_of(values.len(), |i| values[i])
}

/// The mean of each plane.
///
/// ```
/// assert_eq!(dldna_nn::kernels::planes::means(&[1.0, 3.0, 0.0, 8.0], 2), [2.0, 4.0]);
/// ```
pub fn means(images: &[f32], pixels: usize) -> Vec<f32> {
    images
        .par_chunks(pixels)
        .map(|plane| sum(plane) / pixels as f32)
        .collect()
}

/// The gradient of [`means`]: adds to `d_images`, for each pixel, its share of the gradient with respect to the mean.
pub fn means_backward(d_means: &[f32], pixels: usize, d_images: &mut [f32]) {
    d_images
        .par_chunks_mut(pixels)
        .zip(d_means)
        .for_each(|(plane, d_mean)| {
            let share = d_mean / pixels as f32;
            plane.iter_mut().for_each(|d| *d += share);
        });
}

/// Adds to each channel of `images (image, channel, pixel)` an offset of its own.
///
/// ```
/// let mut images = [0.0, 1.0, 2.0, 3.0]; // one image, two channels
/// dldna_nn::kernels::planes::add_to_each(&[10.0, 20.0], 2, &mut images);
/// assert_eq!(images, [10.0, 11.0, 22.0, 23.0]);
/// ```
pub fn add_to_each(offsets: &[f32], pixels: usize, images: &mut [f32]) {
    for (plane, offset) in images.chunks_exact_mut(pixels).zip(offsets.iter().cycle()) {
        plane.iter_mut().for_each(|x| *x += offset);
    }
}

/// `output = factor * image`, with a factor for each plane.
///
/// ```
/// let mut output = [0.0; 4];
/// dldna_nn::kernels::planes::scale(&[1.0, 3.0, 0.0, 8.0], 2, &[10.0, 0.5], &mut output);
/// assert_eq!(output, [10.0, 30.0, 0.0, 4.0]);
/// ```
pub fn scale(images: &[f32], pixels: usize, factors: &[f32], output: &mut [f32]) {
    output
        .par_chunks_mut(pixels)
        .zip(images.par_chunks(pixels))
        .zip(factors)
        .for_each(|((output, image), factor)| {
            for (y, x) in output.iter_mut().zip(image) {
                *y = factor * x;
            }
        });
}

/// The gradient of [`scale`] with respect to the images: `d_images += factor d_output`, plane by plane.
pub fn scale_backward_images(
    factors: &[f32],
    pixels: usize,
    d_output: &[f32],
    d_images: &mut [f32],
) {
    d_images
        .par_chunks_mut(pixels)
        .zip(d_output.par_chunks(pixels))
        .zip(factors)
        .for_each(|((d_image, d_output), &factor)| add_scaled(d_image, factor, d_output));
}

/// The gradient of [`scale`] with respect to the factors: `d_factor += sum of image d_output`, plane by plane.
pub fn scale_backward_factors(
    images: &[f32],
    pixels: usize,
    d_output: &[f32],
    d_factors: &mut [f32],
) {
    d_factors
        .par_iter_mut()
        .zip(images.par_chunks(pixels))
        .zip(d_output.par_chunks(pixels))
        .for_each(|((d_factor, image), d_output)| {
            *d_factor += sum_of(pixels, |i| image[i] * d_output[i]);
        });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn picks_one_channel() {
        let data: Vec<f32> = (0..12).map(|v| v as f32).collect(); // 2 images, 3 channels, 2 pixels
        let planes: Vec<_> = planes(&data, 3, 2, 1).collect();
        assert_eq!(planes, [[2.0, 3.0], [8.0, 9.0]]);
    }

    #[test]
    fn sums_any_length() {
        for length in 0..40 {
            let values: Vec<f32> = (1..=length).map(|v| v as f32).collect();
            assert_eq!(sum(&values), (length * (length + 1) / 2) as f32);
        }
    }
}
