//! Labelled grey images of one size, and batches of them.

use std::fmt;
use std::path::Path;

use dfdx::prelude::{Const, Tensor, TensorFromVec};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

use super::DataError;
use super::idx::Idx;
use crate::image::GrayImage;

/// A training and a test set of the same kind.
#[derive(Clone, Debug)]
pub struct Split {
    /// The images to learn from.
    pub train: Dataset,
    /// The images to measure with, never learned from.
    pub test: Dataset,
}

/// Labelled grey images of one size.
///
/// ```
/// use dldna::data::Dataset;
///
/// let names = ["dark", "light"].map(String::from).to_vec();
/// let dataset = Dataset::new(vec![0, 10, 250, 255], vec![0, 1], 1, 2, names)?;
/// assert_eq!(dataset.len(), 2);
/// assert_eq!(dataset.image(1)?.pixels(), [250, 255]);
/// assert_eq!(dataset.class_name(1)?, "light");
/// # Ok::<(), dldna::data::DataError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Dataset {
    /// `(count, height, width)`, the width running fastest.
    images: Vec<u8>,
    labels: Vec<u8>,
    height: usize,
    width: usize,
    class_names: Vec<String>,
}

impl Dataset {
    /// A set from its pixels, shape `(count, height, width)`, and one label for each image.
    ///
    /// # Errors
    /// If the images are empty, if the number of pixels does not belong to the number of labels, or if a label has no name.
    pub fn new(
        images: Vec<u8>,
        labels: Vec<u8>,
        height: usize,
        width: usize,
        class_names: Vec<String>,
    ) -> Result<Dataset, DataError> {
        let expected = height
            .checked_mul(width)
            .and_then(|pixels| pixels.checked_mul(labels.len()));
        if height == 0 || width == 0 || expected != Some(images.len()) {
            return Err(DataError::Pixels {
                images: labels.len(),
                height,
                width,
                found: images.len(),
            });
        }
        if let Some(index) = labels
            .iter()
            .position(|&label| usize::from(label) >= class_names.len())
        {
            return Err(DataError::Label {
                index,
                label: labels[index],
                classes: class_names.len(),
            });
        }
        Ok(Dataset {
            images,
            labels,
            height,
            width,
            class_names,
        })
    }

    /// Reads a set from two IDX files, plain or gzipped: images with three dimensions, labels with one.
    ///
    /// # Errors
    /// If a file cannot be read, is no such IDX file, or if the two do not belong together; the error names the files.
    pub fn from_idx_files(
        images: impl AsRef<Path>,
        labels: impl AsRef<Path>,
        class_names: Vec<String>,
    ) -> Result<Dataset, DataError> {
        let (images, labels) = (images.as_ref(), labels.as_ref());
        let read = |path: &Path, dimensions| {
            let bytes = std::fs::read(path).map_err(|source| DataError::Read {
                path: path.into(),
                source,
            })?;
            Idx::from_bytes(&bytes, dimensions)
                .map_err(|error| DataError::from(error).at(path.display()))
        };
        let pair = (read(images, 3)?, read(labels, 1)?);
        Dataset::from_idx(pair, class_names)
            .map_err(|error| error.at(format!("{} and {}", images.display(), labels.display())))
    }

    /// A set from the content of an image and a label file.
    pub(super) fn from_idx(
        (images, labels): (Idx, Idx),
        class_names: Vec<String>,
    ) -> Result<Dataset, DataError> {
        let [count, height, width] = images.sizes[..] else {
            return Err(DataError::Counts {
                images: 0,
                labels: labels.values.len(),
            });
        };
        if count as usize != labels.values.len() {
            return Err(DataError::Counts {
                images: count as usize,
                labels: labels.values.len(),
            });
        }
        Dataset::new(
            images.values,
            labels.values,
            height as usize,
            width as usize,
            class_names,
        )
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Rows of each image.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Columns of each image.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The names of the classes; label 0 has the first.
    pub fn class_names(&self) -> &[String] {
        &self.class_names
    }

    /// The labels of all images.
    pub fn labels(&self) -> &[u8] {
        &self.labels
    }

    /// The image at `index`.
    ///
    /// # Errors
    /// [`DataError::Index`] if there is none.
    pub fn image(&self, index: usize) -> Result<GrayImage, DataError> {
        let pixels = self.pixels(index)?;
        Ok(GrayImage::from_fn(
            self.height,
            self.width,
            |row, column| pixels[row * self.width + column],
        ))
    }

    /// The label of the image at `index`.
    ///
    /// # Errors
    /// [`DataError::Index`] if there is none.
    pub fn label(&self, index: usize) -> Result<usize, DataError> {
        self.labels
            .get(index)
            .map(|&label| usize::from(label))
            .ok_or_else(|| self.no_image(index))
    }

    /// The name of the class of the image at `index`.
    ///
    /// # Errors
    /// [`DataError::Index`] if there is none.
    pub fn class_name(&self, index: usize) -> Result<&str, DataError> {
        Ok(&self.class_names[self.label(index)?])
    }

    /// The first `count` images; all of them if there are fewer.
    pub fn take(&self, count: usize) -> Dataset {
        let indices: Vec<usize> = (0..count.min(self.len())).collect();
        self.picked(&indices)
    }

    /// The images in an order that `seed` decides.
    ///
    /// For training, take another seed in each epoch.
    pub fn shuffled(&self, seed: u64) -> Dataset {
        let mut indices: Vec<usize> = (0..self.len()).collect();
        indices.shuffle(&mut StdRng::seed_from_u64(seed));
        self.picked(&indices)
    }

    /// The images in batches of `size`, one after the other; the last may be smaller. A size of 0 is taken as 1.
    ///
    /// ```
    /// use dldna::data::{Dataset, Normalisation};
    ///
    /// let names = vec!["digit".to_string()];
    /// let dataset = Dataset::new(vec![0, 255, 51], vec![0, 0, 0], 1, 1, names)?;
    /// let batches: Vec<_> = dataset.batches(2, Normalisation { mean: 0.5, std: 0.5 }).collect();
    /// assert_eq!(batches[0].images, [-1.0, 1.0]);
    /// assert_eq!(batches[1].labels, [0]);
    /// # Ok::<(), dldna::data::DataError>(())
    /// ```
    pub fn batches(
        &self,
        size: usize,
        normalisation: Normalisation,
    ) -> impl Iterator<Item = Batch> + '_ {
        let size = size.max(1);
        let pixels = self
            .images
            .chunks(size.saturating_mul(self.height * self.width));
        pixels
            .zip(self.labels.chunks(size))
            .map(move |(pixels, labels)| Batch {
                images: pixels
                    .iter()
                    .map(|&pixel| normalisation.apply(pixel))
                    .collect(),
                labels: labels.iter().map(|&label| usize::from(label)).collect(),
                height: self.height,
                width: self.width,
            })
    }

    /// The images at `indices`, in that order; an index may come more than once.
    ///
    /// # Errors
    /// [`DataError::Index`] if an index has no image.
    pub fn select(&self, indices: &[usize]) -> Result<Dataset, DataError> {
        if let Some(&index) = indices.iter().find(|&&index| index >= self.len()) {
            return Err(self.no_image(index));
        }
        Ok(self.picked(indices))
    }

    /// The two IDX files of this set: images, then labels.
    pub fn to_idx(&self) -> (Idx, Idx) {
        let sizes = [self.len(), self.height, self.width]
            .map(|size| size as u32)
            .to_vec();
        let labels = Idx {
            sizes: vec![sizes[0]],
            values: self.labels.clone(),
        };
        (
            Idx {
                sizes,
                values: self.images.clone(),
            },
            labels,
        )
    }

    fn pixels(&self, index: usize) -> Result<&[u8], DataError> {
        let size = self.height * self.width;
        self.images
            .chunks_exact(size)
            .nth(index)
            .ok_or_else(|| self.no_image(index))
    }

    fn no_image(&self, index: usize) -> DataError {
        DataError::Index {
            index,
            count: self.len(),
        }
    }

    /// The images at `indices`, all of which exist.
    fn picked(&self, indices: &[usize]) -> Dataset {
        let size = self.height * self.width;
        Dataset {
            images: indices
                .iter()
                .flat_map(|&index| &self.images[index * size..(index + 1) * size])
                .copied()
                .collect(),
            labels: indices.iter().map(|&index| self.labels[index]).collect(),
            class_names: self.class_names.clone(),
            ..*self
        }
    }
}

/// Says how much there is, not every pixel.
impl fmt::Debug for Dataset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, classes) = (self.len(), self.class_names.len());
        write!(
            f,
            "Dataset: {count} images of {} x {}, {classes} classes",
            self.height, self.width
        )
    }
}

/// How pixels become network inputs: `(pixel / 255 - mean) / std`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Normalisation {
    /// Subtracted from values in 0..=1.
    pub mean: f32,
    /// What the difference is divided by.
    pub std: f32,
}

impl Normalisation {
    /// Values in 0..=1, as they are.
    pub const UNIT: Normalisation = Normalisation {
        mean: 0.0,
        std: 1.0,
    };
    /// Mean and standard deviation of Fashion-MNIST's training pixels.
    pub const FASHION_MNIST: Normalisation = Normalisation {
        mean: 0.2860,
        std: 0.3530,
    };
    /// Mean and standard deviation of MNIST's training pixels.
    pub const MNIST: Normalisation = Normalisation {
        mean: 0.1307,
        std: 0.3081,
    };

    /// The network input for one pixel.
    pub fn apply(self, pixel: u8) -> f32 {
        (f32::from(pixel) / 255.0 - self.mean) / self.std
    }
}

/// Normalised images with their labels.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// Values of shape `(batch, 1, height, width)`, the width running fastest.
    pub images: Vec<f32>,
    /// One label for each image.
    pub labels: Vec<usize>,
    /// Rows of each image.
    pub height: usize,
    /// Columns of each image.
    pub width: usize,
}

impl Batch {
    /// The images at `size` x `size` pixels, by linear interpolation between pixel centres.
    ///
    /// The same as PyTorch's `interpolate(mode="bilinear", align_corners=False)`: meant to enlarge; a much smaller
    /// image would leave out pixels.
    ///
    /// ```
    /// use dldna::data::Batch;
    /// let batch = Batch { images: vec![0.0, 4.0, 8.0, 12.0], labels: vec![0], height: 2, width: 2 };
    /// let large = batch.resized(4);
    /// assert_eq!(large.images[..4], [0.0, 1.0, 3.0, 4.0]);
    /// assert_eq!(large.images[12..], [8.0, 9.0, 11.0, 12.0]);
    /// ```
    pub fn resized(&self, size: usize) -> Batch {
        let rows = interpolation(self.height, size);
        let columns = interpolation(self.width, size);
        let mut images = Vec::with_capacity(self.labels.len() * size * size);
        for image in self.images.chunks_exact(self.height * self.width) {
            for &(top, bottom, down) in &rows {
                let line = |row: usize| &image[row * self.width..(row + 1) * self.width];
                let (top, bottom) = (line(top), line(bottom));
                for &(left, right, across) in &columns {
                    let blend = |a: f32, b: f32, share: f32| a + (b - a) * share;
                    let upper = blend(top[left], top[right], across);
                    let lower = blend(bottom[left], bottom[right], across);
                    images.push(blend(upper, lower, down));
                }
            }
        }
        Batch {
            images,
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
    /// use dldna::data::Batch;
    /// let batch = Batch { images: vec![1.0, 2.0, 3.0, 4.0], labels: vec![0], height: 2, width: 2 };
    /// assert_eq!(batch.shifted(0, 0.0, 7), batch);
    /// assert_eq!(batch.shifted(1, 0.0, 7), batch.shifted(1, 0.0, 7));
    /// ```
    pub fn shifted(&self, most: usize, background: f32, seed: u64) -> Batch {
        let mut random = StdRng::seed_from_u64(seed);
        let mut batch = self.clone();
        for image in batch.images.chunks_exact_mut(self.height * self.width) {
            shift(image, self.width, most as isize, background, &mut random);
        }
        batch
    }

    /// The images as a tensor of shape `(batch, 1, height, width)`.
    pub fn to_tensor<D: TensorFromVec<f32>>(
        &self,
        device: &D,
    ) -> Tensor<(usize, Const<1>, usize, usize), f32, D> {
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
    ) -> Result<Tensor<(usize, Const<1>, usize, usize), f32, D>, D::Err> {
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

/// Moves one image by up to `most` pixels in both directions.
pub(crate) fn shift(
    image: &mut [f32],
    width: usize,
    most: isize,
    background: f32,
    random: &mut StdRng,
) {
    let (down, right) = (
        random.gen_range(-most..=most),
        random.gen_range(-most..=most),
    );
    let original = image.to_vec();
    let height = original.len() / width;
    for (row, line) in image.chunks_exact_mut(width).enumerate() {
        for (column, pixel) in line.iter_mut().enumerate() {
            let source = (row as isize - down, column as isize - right);
            *pixel = match (usize::try_from(source.0), usize::try_from(source.1)) {
                (Ok(y), Ok(x)) if y < height && x < width => original[y * width + x],
                _ => background,
            };
        }
    }
}

/// For each of `to` pixels: the two of `from` pixels around its centre, and how far it is from the first to the second.
fn interpolation(from: usize, to: usize) -> Vec<(usize, usize, f32)> {
    (0..to)
        .map(|pixel| {
            let place = (pixel as f32 + 0.5) * from as f32 / to as f32 - 0.5;
            let place = place.clamp(0.0, (from - 1) as f32);
            let first = place as usize;
            (first, (first + 1).min(from - 1), place - first as f32)
        })
        .collect()
}
