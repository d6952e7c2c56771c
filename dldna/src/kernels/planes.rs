//! One channel of every image, and sums over it.

use super::vector::vectorized;

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

/// The sum of `term(0) .. term(length - 1)` in 32 lanes: the compiler turns them into vector instructions,
/// and many short sums round less than one long one.
pub fn sum_of(length: usize, term: impl Fn(usize) -> f32) -> f32 {
    const LANES: usize = 32;
    vectorized(
        #[inline(always)]
        || {
            let mut lanes = [0.0; LANES];
            let whole = length / LANES * LANES;
            for start in (0..whole).step_by(LANES) {
                for (lane, sum) in lanes.iter_mut().enumerate() {
                    *sum += term(start + lane);
                }
            }
            lanes.iter().sum::<f32>() + (whole..length).map(term).sum::<f32>()
        },
    )
}

/// The sum of a slice.
pub fn sum(values: &[f32]) -> f32 {
    sum_of(values.len(), |i| values[i])
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
