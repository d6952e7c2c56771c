//! Normalised images with their labels, ready for a network.

use super::resize;
use dfdx::prelude::{Const, Tensor, TensorFromVec};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Normalised images with their labels.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch<const CHANNELS: usize = 1> {
    /// Values of shape `(batch, CHANNELS, height, width)`, the width running fastest.
    pub images: Vec<f32>,
    /// One label for each image.
    pub labels: Vec<usize>,
    /// Rows of each image.
    pub height: usize,
    /// Columns of each image.
    pub width: usize,
}

impl<const CHANNELS: usize> Batch<CHANNELS> {
    /// The images at `size` x `size` pixels: see [`resize`](super::resize).
    ///
    /// ```
    /// use dldna_nn::data::Batch;
    /// let batch = Batch::<1> { images: vec![0.0, 4.0, 8.0, 12.0], labels: vec![0], height: 2, width: 2 };
    /// let large = batch.resized(4);
    /// assert_eq!(large.images[..4], [0.0, 1.0, 3.0, 4.0]);
    /// assert_eq!(large.images[12..], [8.0, 9.0, 11.0, 12.0]);
    /// ```
    pub fn resized(&self, size: usize) -> Self {
        if (self.height, self.width) == (size, size) {
            return self.clone();
        }
        Batch {
            images: resize(&self.images, (self.height, self.width), (size, size)),
            labels: self.labels.clone(),
            height: size,
            width: size,
        }
    }

    /// Each image shifted by up to `most` pixels up or down and to a side, at random; `seed` decides. What comes in from
    /// outside is `background`.
    ///
    /// A shifted 7 is still a 7: training images that move teach a network to disregard where things are.
    ///
    /// ```
    /// use dldna_nn::data::Batch;
    /// let batch = Batch::<1> { images: vec![1.0, 2.0, 3.0, 4.0], labels: vec![0], height: 2, width: 2 };
    /// assert_eq!(batch.shifted(0, 0.0, 7), batch);
    /// assert_eq!(batch.shifted(1, 0.0, 7), batch.shifted(1, 0.0, 7));
    /// ```
    pub fn shifted(&self, most: usize, background: f32, seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let mut batch = self.clone();
        for image in batch
            .images
            .chunks_exact_mut(CHANNELS * self.height * self.width)
        {
            shift(
                image,
                (self.height, self.width),
                most,
                &[background; 3],
                &mut random,
            );
        }
        batch
    }

    /// The images as a tensor of shape `(batch, CHANNELS, height, width)`.
    pub fn to_tensor<D: TensorFromVec<f32>>(
        &self,
        device: &D,
    ) -> Tensor<(usize, Const<CHANNELS>, usize, usize), f32, D> {
        self.try_to_tensor(device).expect("memory for the images")
    }

    /// The same; an error when the device has no memory for the images.
    #[allow(
        clippy::type_complexity,
        reason = "the shapes are what a reader wants to see"
    )]
    pub(crate) fn try_to_tensor<D: TensorFromVec<f32>>(
        &self,
        device: &D,
    ) -> Result<Tensor<(usize, Const<CHANNELS>, usize, usize), f32, D>, D::Err> {
        device.try_tensor_from_vec(
            self.images.clone(),
            (self.labels.len(), Const, self.height, self.width),
        )
    }
}

/// Turns left and right of one image around.
pub(crate) fn mirror(image: &mut [f32], width: usize) {
    image.chunks_exact_mut(width).for_each(<[f32]>::reverse);
}

/// Moves one image, `(channels, height, width)`, by up to `most` pixels in both directions. What comes in from outside is
/// `background`, channel by channel.
pub(crate) fn shift(
    image: &mut [f32],
    (height, width): (usize, usize),
    most: usize,
    background: &[f32; 3],
    random: &mut StdRng,
) {
    // Further than its own size an image is gone.
    let most = most.min(height.max(width)) as isize;
    let (down, right) = (
        random.gen_range(-most..=most),
        random.gen_range(-most..=most),
    );
    for (plane, &background) in image.chunks_exact_mut(height * width).zip(background) {
        let original = plane.to_vec();
        for (row, line) in plane.chunks_exact_mut(width).enumerate() {
            for (column, pixel) in line.iter_mut().enumerate() {
                let source = (row as isize - down, column as isize - right);
                *pixel = match (usize::try_from(source.0), usize::try_from(source.1)) {
                    (Ok(y), Ok(x)) if y < height && x < width => original[y * width + x],
                    _ => background,
                };
            }
        }
    }
}
