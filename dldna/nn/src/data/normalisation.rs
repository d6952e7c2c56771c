//! How pixels become network inputs.

use super::Dataset;
use std::fmt;

/// `(pixel / 255 - mean) / std`, with a mean and a standard deviation for each channel.
///
/// A network has to be used with the normalisation that it was trained with: [`Trained`](crate::train::Trained) keeps it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Normalisation {
    /// Subtracted from values in 0..=1: red, green, blue. Grey images take the first.
    pub mean: [f32; 3],
    /// What the difference is divided by.
    pub std: [f32; 3],
}

impl Normalisation {
    /// Values in 0..=1, as they are.
    pub const UNIT: Self = Self::uniform(0.0, 1.0);
    /// Values in -1..=1: the book's.
    pub const BOOK: Self = Self::uniform(0.5, 0.5);
    /// Mean and standard deviation of Fashion-MNIST's training pixels.
    pub const FASHION_MNIST: Self = Self::uniform(0.2860, 0.3530);
    /// Mean and standard deviation of MNIST's training pixels.
    pub const MNIST: Self = Self::uniform(0.1307, 0.3081);
    /// What networks with torchvision's weights are used with.
    pub const IMAGENET: Self = Self {
        mean: [0.485, 0.456, 0.406],
        std: [0.229, 0.224, 0.225],
    };

    /// The same for each channel.
    pub const fn uniform(mean: f32, std: f32) -> Self {
        Self {
            mean: [mean; 3],
            std: [std; 3],
        }
    }

    /// Mean and standard deviation of all pixels of `data`, channel by channel: the inputs then have mean 0 and standard
    /// deviation 1. A channel that is the same everywhere is only shifted.
    ///
    /// ```
    /// use dldna_nn::data::{Dataset, Normalisation};
    ///
    /// let data = Dataset::new(vec![0, 255], vec![0, 0], 1, 1, vec!["any".to_owned()])?;
    /// assert_eq!(Normalisation::of(&data), Normalisation::uniform(0.5, 0.5));
    /// # Ok::<(), dldna_nn::data::DatasetError>(())
    /// ```
    pub fn of<const CHANNELS: usize>(data: &Dataset<CHANNELS>) -> Self {
        let mut normalisation = Self::UNIT;
        let plane = data.height() * data.width();
        for channel in 0..CHANNELS.min(3) {
            let planes = data.all_pixels().chunks_exact(plane);
            let pixels = || planes.clone().skip(channel).step_by(CHANNELS).flatten();
            let count = pixels().count().max(1) as f64;
            let sum: f64 = pixels().map(|&p| f64::from(p) / 255.0).sum();
            let mean = sum / count;
            let squares: f64 = pixels()
                .map(|&p| (f64::from(p) / 255.0 - mean).powi(2))
                .sum();
            normalisation.mean[channel] = mean as f32;
            if squares > 0.0 {
                normalisation.std[channel] = (squares / count).sqrt() as f32;
            }
        }
        if CHANNELS == 1 {
            return Self::uniform(normalisation.mean[0], normalisation.std[0]);
        }
        normalisation
    }

    /// The network input for one grey pixel.
    pub fn apply(self, pixel: u8) -> f32 {
        self.apply_in(0, f32::from(pixel))
    }

    /// The network input for a value in 0..=255 of a channel.
    pub fn apply_in(self, channel: usize, value: f32) -> f32 {
        (value / 255.0 - self.mean[channel]) / self.std[channel]
    }

    /// The network inputs for images `(count, channels, pixels)`.
    pub(super) fn apply_to(self, images: &[u8], channels: usize, plane: usize) -> Vec<f32> {
        // Of 256 values in each channel each is computed once, not once for each pixel.
        let table = |channel| -> [f32; 256] {
            std::array::from_fn(|value| self.apply_in(channel, value as f32))
        };
        let tables: Vec<[f32; 256]> = (0..channels).map(table).collect();
        let planes = images.chunks(plane).zip(tables.iter().cycle());
        let mut inputs = Vec::with_capacity(images.len());
        for (pixels, table) in planes {
            inputs.extend(pixels.iter().map(|&pixel| table[usize::from(pixel)]));
        }
        inputs
    }
}

/// As it stands in a file of weights.
impl fmt::Display for Normalisation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |values: [f32; 3]| values.map(|v| v.to_string()).join(" ");
        write!(f, "mean {} std {}", list(self.mean), list(self.std))
    }
}

impl std::str::FromStr for Normalisation {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let failed = || format!("expected `mean m m m std s s s`, found `{text}`");
        let words: Vec<&str> = text.split(' ').collect();
        let (["mean", mean @ ..], ["std", std @ ..]) =
            words.split_at_checked(4).ok_or_else(failed)?
        else {
            return Err(failed());
        };
        let numbers = |words: &[&str]| -> Option<[f32; 3]> {
            let numbers: Vec<f32> = words.iter().map_while(|word| word.parse().ok()).collect();
            numbers.try_into().ok()
        };
        let (mean, std) = numbers(mean).zip(numbers(std)).ok_or_else(failed)?;
        let usable = mean.iter().chain(&std).all(|v| v.is_finite()) && std.iter().all(|&s| s > 0.0);
        usable.then_some(Self { mean, std }).ok_or_else(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_read_as_it_is_written() {
        for normalisation in [Normalisation::IMAGENET, Normalisation::MNIST] {
            assert_eq!(normalisation.to_string().parse(), Ok(normalisation));
        }
        for wrong in [
            "",
            "mean 0 0 0",
            "mean 0 0 0 std 1 1",
            "mean 0 0 0 std 1 1 0",
            "mean a b c std 1 1 1",
        ] {
            assert!(wrong.parse::<Normalisation>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn each_channel_has_its_own() {
        let planes = [[0, 255], [51, 51], [102, 204]].concat();
        let data = Dataset::color(planes, vec![0], 1, 2, vec!["any".to_owned()]).unwrap();
        let normalisation = Normalisation::of(&data);
        assert_eq!(normalisation.mean, [0.5, 0.2, 0.6]);
        assert_eq!(normalisation.std[..2], [0.5, 1.0]);
        let batch = data.batches(1, normalisation).next().unwrap();
        for (got, want) in batch.images.iter().zip([-1.0, 1.0, 0.0, 0.0, -1.0, 1.0]) {
            assert!((got - want).abs() < 1e-6, "{:?}", batch.images);
        }
    }
}
