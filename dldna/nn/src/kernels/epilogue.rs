//! What follows an operation, done to its results while they are in the cache.

use super::activation::{Activation, limited};
use super::elementwise::CHUNK;
use super::vector::vectorized;
use rayon::prelude::*;

/// `activation(factor * result + offset + shortcut)`, with a factor and an offset for each channel: a bias, or a batch norm whose
/// statistics are known, and what stands behind it.
///
/// ```
/// use dldna_nn::kernels::{activation::Activation, epilogue::Epilogue};
/// let epilogue = Epilogue { activation: Activation::Relu, ..Epilogue::bias(&[1.0, -1.0]) };
/// let mut images = [-3.0, 0.0, 0.0, 3.0]; // one image of two channels of two pixels
/// epilogue.apply_to_all(2, &mut images);
/// assert_eq!(images, [0.0, 1.0, 0.0, 2.0]);
/// ```
#[derive(Debug, Clone, Default)]
pub struct Epilogue<'a> {
    /// `(factor, offset)` of each channel; with none they are 1 and 0.
    pub lines: Vec<(f32, f32)>,
    /// Added to the results: an image for each image, of the same size.
    pub shortcut: Option<&'a [f32]>,
    /// Comes last.
    pub activation: Activation,
}

impl Epilogue<'_> {
    /// An offset for each channel.
    pub fn bias(bias: &[f32]) -> Self {
        Self {
            lines: bias.iter().map(|bias| (1.0, *bias)).collect(),
            ..Self::default()
        }
    }

    /// Whether it leaves the results as they are.
    pub(super) fn is_nothing(&self) -> bool {
        self.lines.is_empty() && self.shortcut.is_none() && self.activation == Activation::Identity
    }

    /// Applies it to images `(n, channel, pixel)`, on all cores.
    pub fn apply_to_all(&self, pixels: usize, images: &mut [f32]) {
        if self.is_nothing() {
            return;
        }
        let planes = CHUNK.div_ceil(pixels);
        images
            .par_chunks_mut(planes * pixels)
            .enumerate()
            .for_each(|(n, images)| self.apply_to_planes(n * planes, pixels, images));
    }

    /// Applies it to neighbouring planes, of which `first` is the first.
    pub(super) fn apply_to_planes(&self, first: usize, pixels: usize, planes: &mut [f32]) {
        if self.is_nothing() {
            return;
        }
        vectorized(
            #[inline(always)]
            || {
                for (n, plane) in planes.chunks_exact_mut(pixels).enumerate() {
                    self.limit(self.channel(first + n), (first + n) * pixels, plane);
                }
            },
        );
        self.apply_other_activation(planes);
    }

    /// Applies it to some results of one channel, which begin at `start` among all of them.
    pub(super) fn apply(&self, channel: usize, start: usize, results: &mut [f32]) {
        vectorized(
            #[inline(always)]
            || self.limit(channel, start, results),
        );
        self.apply_other_activation(results);
    }

    /// Writes to `planes` what it makes of the neighbouring planes of `results`, of which `first` is the first.
    pub(crate) fn write_planes(
        &self,
        first: usize,
        pixels: usize,
        results: &[f32],
        planes: &mut [f32],
    ) {
        let limits = self.activation.limits();
        let pairs = planes
            .chunks_exact_mut(pixels)
            .zip(results.chunks_exact(pixels));
        vectorized(
            #[inline(always)]
            || {
                for (n, (plane, results)) in (first..).zip(pairs) {
                    self.write_each(
                        n,
                        results,
                        plane,
                        #[inline(always)]
                        |y| limited(y, limits),
                    );
                }
            },
        );
        self.apply_other_activation(planes);
    }

    /// [`write_planes`](Self::write_planes) for one plane, but for the activation.
    pub(super) fn write_shifted(&self, index: usize, results: &[f32], plane: &mut [f32]) {
        vectorized(
            #[inline(always)]
            || self.write_each(index, results, plane, |y| y),
        );
    }

    #[inline(always)]
    fn write_each(
        &self,
        index: usize,
        results: &[f32],
        plane: &mut [f32],
        finish: impl Fn(f32) -> f32,
    ) {
        let (factor, offset) = self.line(self.channel(index));
        let pairs = plane.iter_mut().zip(results);
        match self.shortcut {
            Some(shortcut) => {
                for ((y, x), s) in pairs.zip(&shortcut[index * results.len()..]) {
                    *y = finish(factor * x + offset + s);
                }
            }
            None => {
                for (y, x) in pairs {
                    *y = finish(factor * x + offset);
                }
            }
        }
    }

    /// All of it, if the activation does no more than limit the values.
    #[inline(always)]
    fn limit(&self, channel: usize, start: usize, results: &mut [f32]) {
        let limits = self.activation.limits();
        let (factor, offset) = self.line(channel);
        match self.shortcut {
            Some(shortcut) => {
                for (y, s) in results.iter_mut().zip(&shortcut[start..]) {
                    *y = limited(factor * *y + offset + s, limits);
                }
            }
            None => {
                for y in results {
                    *y = limited(factor * *y + offset, limits);
                }
            }
        }
    }

    fn line(&self, channel: usize) -> (f32, f32) {
        self.lines.get(channel).copied().unwrap_or((1.0, 0.0))
    }

    fn apply_other_activation(&self, results: &mut [f32]) {
        if self.activation.slopes_of_results().is_none() {
            self.activation.apply(results);
        }
    }

    /// The channel of a plane.
    pub(super) fn channel(&self, plane: usize) -> usize {
        plane.checked_rem(self.lines.len()).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ALL: [Activation; 6] = [
        Activation::Identity,
        Activation::Relu,
        Activation::Relu6,
        Activation::Silu,
        Activation::Gelu,
        Activation::Sigmoid,
    ];

    proptest! {
        /// The formula, step by step, element by element.
        #[test]
        fn is_the_formula(
            lines in prop::collection::vec((-2.0f32..2.0, -2.0f32..2.0), 0..4),
            (images, pixels) in (1..4usize, 1..20usize),
            with_shortcut: bool,
            seed: u64,
        ) {
            let count = images * lines.len().max(1) * pixels;
            let noise = |n: usize| ((n as u64 ^ seed).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as f32 / (1 << 20) as f32 - 8.0;
            let results: Vec<f32> = (0..count).map(noise).collect();
            let other: Vec<f32> = (count..2 * count).map(noise).collect();
            for activation in ALL {
                let shortcut = with_shortcut.then_some(&other[..]);
                let mut got = results.clone();
                let epilogue = Epilogue { lines: lines.clone(), shortcut, activation };
                epilogue.apply_to_all(pixels, &mut got);
                let mut written = vec![0.0; count];
                epilogue.write_planes(0, pixels, &results, &mut written);
                prop_assert_eq!(&written, &got);
                let mut want: Vec<f32> = (0..count)
                    .map(|i| {
                        let channel = (i / pixels).checked_rem(lines.len());
                        let (factor, offset) = channel.map_or((1.0, 0.0), |channel| lines[channel]);
                        factor * results[i] + offset + shortcut.map_or(0.0, |s| s[i])
                    })
                    .collect();
                activation.apply(&mut want);
                prop_assert_eq!(got, want);
            }
        }
    }

    #[test]
    fn what_is_not_a_number_stays_so() {
        for activation in ALL {
            let mut values = [f32::NAN];
            Epilogue {
                activation,
                ..Epilogue::bias(&[0.0])
            }
            .apply_to_all(1, &mut values);
            assert!(values[0].is_nan(), "{activation:?}");
        }
    }
}
