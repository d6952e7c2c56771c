//! New pictures from old ones: training images changed at random.

use super::{Logits, TrainConfig, TrainError, smoothed_targets};
use crate::data::{Batch, Normalisation, mirror, resize, shift};
use dfdx::prelude::*;
use rand::Rng;
use rand::rngs::StdRng;
use rand_distr::{Beta, Distribution};

/// One way to change training images. What comes in from outside of an image is black.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Augmentation {
    /// Left to right, every other image.
    Mirror,
    /// By up to this number of pixels in both directions. (PyTorch's `RandomCrop` with that padding is the same.)
    Shift(usize),
    /// A black square of this side, in pixels, at a random place. DeVries and Taylor, *Improved Regularization of
    /// Convolutional Neural Networks with Cutout*, 2017.
    Cutout(usize),
    /// A random part of the image, enlarged to its size: of an area between this share of it and all of it, and with sides
    /// whose ratio lies between 3/4 and 4/3. Szegedy et al., *Going Deeper with Convolutions*, 2014, section 6.
    RandomResizedCrop(f32),
    /// Each image with a share of another one, and the targets likewise; the share comes from Beta(a, a). Zhang et al.,
    /// *mixup*, 2017.
    Mixup(f32),
}

impl Augmentation {
    /// Errors: what is expected in place of the number it has.
    pub(super) fn check(self) -> Result<(), &'static str> {
        match self {
            Augmentation::RandomResizedCrop(share) if !(share > 0.0 && share <= 1.0) => {
                Err("a share above 0, at most 1")
            }
            Augmentation::Mixup(a) if !(a > 0.0 && a.is_finite()) => Err("a number above 0"),
            _ => Ok(()),
        }
    }
}

/// A batch that was changed. Image `i` is `share` of itself, and the rest of it is image `others[i]`.
pub(super) struct Augmented<const CHANNELS: usize> {
    pub batch: Batch<CHANNELS>,
    mixed: Option<Mixed>,
}

struct Mixed {
    share: f32,
    /// The labels of the other images.
    labels: Vec<usize>,
}

impl<const CHANNELS: usize> Augmented<CHANNELS> {
    /// A probability for each class: `(batch, CLASSES)`.
    pub fn targets<const CLASSES: usize>(
        &self,
        smoothing: f32,
    ) -> Result<Logits<CLASSES>, TrainError> {
        let own = smoothed_targets(&self.batch.labels, smoothing)?;
        let Some(Mixed { share, labels }) = &self.mixed else {
            return Ok(own);
        };
        let others: Logits<CLASSES> = smoothed_targets(labels, smoothing)?;
        Ok(own
            .try_mul(*share)?
            .try_add(others.try_mul(1.0 - *share)?)?)
    }
}

/// Changes a batch as the configuration says.
pub(super) fn augment<const CHANNELS: usize>(
    mut batch: Batch<CHANNELS>,
    config: &TrainConfig,
    random: &mut StdRng,
) -> Augmented<CHANNELS> {
    let size = (batch.height, batch.width);
    let black = black(config.normalisation);
    let mut mixed = None;
    for &augmentation in &config.augmentations {
        if let Augmentation::Mixup(a) = augmentation {
            mixed = Some(mix(&mut batch, a, random));
            continue;
        }
        for image in batch.images.chunks_exact_mut(CHANNELS * size.0 * size.1) {
            match augmentation {
                Augmentation::Mirror if random.gen_bool(0.5) => mirror(image, size.1),
                Augmentation::Mirror | Augmentation::Mixup(_) => {}
                Augmentation::Shift(most) => shift(image, size, most, &black, random),
                Augmentation::Cutout(side) => cut_out(image, size, side, &black, random),
                Augmentation::RandomResizedCrop(share) => crop(image, size, share, random),
            }
        }
    }
    Augmented { batch, mixed }
}

/// What a black pixel is for the network.
fn black(normalisation: Normalisation) -> [f32; 3] {
    [0, 1, 2].map(|channel| normalisation.apply_in(channel, 0.0))
}

/// Mixes each image with one of the same batch: the first with the last, and so on.
fn mix<const CHANNELS: usize>(batch: &mut Batch<CHANNELS>, a: f32, random: &mut StdRng) -> Mixed {
    let share = Beta::new(a, a).map_or(1.0, |beta| beta.sample(random));
    let size = CHANNELS * batch.height * batch.width;
    let originals = batch.images.clone();
    let others = originals.chunks_exact(size).rev();
    for (image, other) in batch.images.chunks_exact_mut(size).zip(others) {
        for (value, other) in image.iter_mut().zip(other) {
            *value = share * *value + (1.0 - share) * other;
        }
    }
    let labels = batch.labels.iter().rev().copied().collect();
    Mixed { share, labels }
}

/// Blackens a square whose centre lies anywhere in the image.
fn cut_out(
    image: &mut [f32],
    (height, width): (usize, usize),
    side: usize,
    black: &[f32; 3],
    random: &mut StdRng,
) {
    let (row, column) = (random.gen_range(0..height), random.gen_range(0..width));
    let span = |center: usize, size: usize| {
        let first = center.saturating_sub(side / 2);
        first..center.saturating_add(side.div_ceil(2)).min(size)
    };
    for (plane, &black) in image.chunks_exact_mut(height * width).zip(black) {
        for line in plane
            .chunks_exact_mut(width)
            .take(span(row, height).end)
            .skip(span(row, height).start)
        {
            line[span(column, width)].fill(black);
        }
    }
}

/// Takes a part of the image in place of all of it.
fn crop(image: &mut [f32], (height, width): (usize, usize), smallest: f32, random: &mut StdRng) {
    let area = random.gen_range(smallest..=1.0) * (height * width) as f32;
    let ratio = random.gen_range(0.75f32.ln()..=(4.0f32 / 3.0).ln()).exp();
    let side = |length: f32, most: usize| (length.round() as usize).clamp(1, most);
    let (rows, columns) = (
        side((area / ratio).sqrt(), height),
        side((area * ratio).sqrt(), width),
    );
    let (top, left) = (
        random.gen_range(0..=height - rows),
        random.gen_range(0..=width - columns),
    );
    for plane in image.chunks_exact_mut(height * width) {
        let lines = plane.chunks_exact(width).skip(top).take(rows);
        let part: Vec<f32> = lines
            .flat_map(|line| &line[left..left + columns])
            .copied()
            .collect();
        plane.copy_from_slice(&resize(&part, (rows, columns), (height, width)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    /// `count` images of 7x7 pixels with one bright pixel in the middle.
    fn points(count: usize) -> Batch {
        let mut batch = Batch {
            images: vec![-1.0; count * 49],
            labels: (0..count).map(|index| index % 2).collect(),
            height: 7,
            width: 7,
        };
        for image in batch.images.chunks_exact_mut(49) {
            image[24] = 1.0;
        }
        batch
    }

    fn augmented(batch: Batch, augmentations: &[Augmentation]) -> Augmented<1> {
        let config = TrainConfig {
            augmentations: augmentations.to_vec(),
            ..Default::default()
        };
        augment(batch, &config, &mut StdRng::seed_from_u64(1))
    }

    /// One bright pixel in the middle ends up within two pixels of it, and nothing else changes.
    #[test]
    fn pixels_move_as_a_whole() {
        let changes = [Augmentation::Shift(2), Augmentation::Mirror];
        let batch = augmented(points(50), &changes).batch;
        let mut positions = std::collections::BTreeSet::new();
        for image in batch.images.chunks_exact(49) {
            let bright: Vec<usize> = (0..49).filter(|&i| image[i] == 1.0).collect();
            assert_eq!(bright.len(), 1);
            let (row, column) = (bright[0] / 7, bright[0] % 7);
            assert!((1..=5).contains(&row) && (1..=5).contains(&column));
            positions.insert(bright[0]);
        }
        assert!(positions.len() > 10, "{positions:?}");
    }

    #[test]
    fn a_square_becomes_black() {
        let mut batch = points(40);
        batch.images.fill(1.0);
        let batch = augmented(batch, &[Augmentation::Cutout(3)]).batch;
        let dark: Vec<usize> = batch
            .images
            .chunks_exact(49)
            .map(|image| image.iter().filter(|&&v| v == -1.0).count())
            .collect();
        assert!(
            dark.iter().all(|&count| [4, 6, 9].contains(&count)),
            "{dark:?}"
        );
        assert!(dark.contains(&9));
    }

    #[test]
    fn the_whole_is_a_crop_and_parts_are_enlarged() {
        let whole = augmented(points(1), &[Augmentation::RandomResizedCrop(1.0)]).batch;
        assert_eq!(whole.images.len(), 49);
        let parts = augmented(points(50), &[Augmentation::RandomResizedCrop(0.1)]).batch;
        let bright = |image: &[f32]| image.iter().filter(|&&v| v > -0.9).count();
        let counts: Vec<usize> = parts.images.chunks_exact(49).map(bright).collect();
        assert!(counts.iter().any(|&count| count > 4), "{counts:?}");
        assert!(parts.images.iter().all(|v| (-1.0..=1.0).contains(v)));
    }

    #[test]
    fn mixed_images_have_mixed_targets() {
        let mixed = augmented(points(4), &[Augmentation::Mixup(0.4)]);
        let share = mixed.mixed.as_ref().unwrap().share;
        let targets = mixed.targets::<2>(0.0).unwrap().as_vec();
        let want = [share, 1.0 - share, 1.0 - share, share];
        for (got, want) in targets.iter().zip(want) {
            assert!((got - want).abs() < 1e-6, "{targets:?}, share {share}");
        }
    }
}
