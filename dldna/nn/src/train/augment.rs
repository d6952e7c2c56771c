//! New pictures from old ones: mirrored and shifted.

use crate::data::{Batch, mirror, shift};
use rand::Rng;
use rand::rngs::StdRng;

/// How far an image may be shifted, in pixels.
const SHIFT: isize = 2;

/// Mirrors each image left to right or not, and shifts it by up to two pixels in both directions. What comes in from
/// outside is `background`.
pub(super) fn augment(batch: &mut Batch, background: f32, random: &mut StdRng) {
    let (height, width) = (batch.height, batch.width);
    for image in batch.images.chunks_exact_mut(height * width) {
        let mirrored = random.gen_bool(0.5);
        shift(image, width, SHIFT, background, random);
        if mirrored {
            mirror(image, width);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    /// One bright pixel in the middle ends up within two pixels of it, and nothing else changes.
    #[test]
    fn pixels_move_as_a_whole() {
        let mut batch = Batch {
            images: vec![-1.0; 50 * 49],
            labels: vec![0; 50],
            height: 7,
            width: 7,
        };
        for image in batch.images.chunks_exact_mut(49) {
            image[24] = 1.0;
        }
        augment(&mut batch, -1.0, &mut StdRng::seed_from_u64(1));
        let mut places = std::collections::BTreeSet::new();
        for image in batch.images.chunks_exact(49) {
            let bright: Vec<usize> = (0..49).filter(|&i| image[i] == 1.0).collect();
            assert_eq!(bright.len(), 1);
            let (row, column) = (bright[0] / 7, bright[0] % 7);
            assert!((1..=5).contains(&row) && (1..=5).contains(&column));
            places.insert(bright[0]);
        }
        assert!(
            places.len() > 10,
            "50 images went to {} places",
            places.len()
        );
    }
}
