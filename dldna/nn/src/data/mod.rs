//! Labelled images of one size in memory, batches of them, and how pixels become the inputs of a network.

mod batch;
mod normalisation;
mod picture;

pub use batch::Batch;
pub(crate) use batch::{mirror, shift};
pub use normalisation::Normalisation;
pub use picture::{Picture, Pixels, resize, resized_planes};

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use std::fmt;

/// What does not fit in a [`Dataset`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DatasetError {
    /// The pixels do not belong to the number and size of the images.
    #[error(
        "expected the pixels of {images} images of height {height}, width {width} and {channels} channel(s), at least one pixel each, found {found}"
    )]
    Pixels {
        /// Number of images, after the labels.
        images: usize,
        /// Rows of each image.
        height: usize,
        /// Columns of each image.
        width: usize,
        /// Values of each pixel.
        channels: usize,
        /// Number of values that came.
        found: usize,
    },
    /// A label has no class.
    #[error(
        "label {label} of image {index}: expected a label below {classes}, the number of classes"
    )]
    Label {
        /// The image.
        index: usize,
        /// Its label.
        label: usize,
        /// Number of classes.
        classes: usize,
    },
    /// There is no image with this index.
    #[error("there is no image {index}: the set has {count}, numbered from 0")]
    Index {
        /// The index asked for.
        index: usize,
        /// Number of images.
        count: usize,
    },
}

/// A training and a test set of the same kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split<const CHANNELS: usize = 1> {
    /// The images to learn from.
    pub train: Dataset<CHANNELS>,
    /// The images to measure with, never learned from.
    pub test: Dataset<CHANNELS>,
}

impl Split<3> {
    /// Both sets in grey, for networks with one input channel.
    pub fn to_gray(&self) -> Split {
        Split {
            train: self.train.to_gray(),
            test: self.test.to_gray(),
        }
    }
}

/// Labelled images of one size, with one channel (grey) or three (red, green, blue).
///
/// ```
/// use dldna_nn::data::Dataset;
///
/// let names = ["dark", "light"].map(String::from).to_vec();
/// let dataset = Dataset::new(vec![0, 10, 250, 255], vec![0, 1], 1, 2, names)?;
/// assert_eq!(dataset.len(), 2);
/// assert_eq!(dataset.pixels(1)?, [250, 255]);
/// assert_eq!(dataset.class_name(1)?, "light");
/// # Ok::<(), dldna_nn::data::DatasetError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Dataset<const CHANNELS: usize = 1> {
    /// `(count, CHANNELS, height, width)`, the width running fastest.
    images: Vec<u8>,
    labels: Vec<usize>,
    height: usize,
    width: usize,
    class_names: Vec<String>,
}

impl Dataset<1> {
    /// Grey images from their pixels, `(count, height, width)`, and one label for each image.
    ///
    /// # Errors
    /// If the images are empty, if the number of pixels does not belong to the number of labels, or if a label has no name.
    pub fn new(
        images: Vec<u8>,
        labels: Vec<usize>,
        height: usize,
        width: usize,
        class_names: Vec<String>,
    ) -> Result<Dataset, DatasetError> {
        Dataset::from_planes(images, labels, height, width, class_names)
    }
}

impl Dataset<3> {
    /// Images in colour from their red, green and blue planes, `(count, 3, height, width)`, and one label for each.
    ///
    /// ```
    /// use dldna_nn::data::Dataset;
    ///
    /// let red_and_green = vec![255, 255, 0, 0, 0, 0]; // one image of 1 x 2 pixels: red, green, blue planes
    /// let dataset = Dataset::color(red_and_green, vec![0], 1, 2, vec!["red".to_owned()])?;
    /// assert_eq!(dataset.to_gray().pixels(0)?, [76, 76]); // 0.299 of 255
    /// # Ok::<(), dldna_nn::data::DatasetError>(())
    /// ```
    ///
    /// # Errors
    /// As those of [`Dataset::new`].
    pub fn color(
        images: Vec<u8>,
        labels: Vec<usize>,
        height: usize,
        width: usize,
        class_names: Vec<String>,
    ) -> Result<Dataset<3>, DatasetError> {
        Dataset::from_planes(images, labels, height, width, class_names)
    }

    /// The images in grey: `0.299 red + 0.587 green + 0.114 blue`, rounded. ITU-R BT.601, as in OpenCV.
    pub fn to_gray(&self) -> Dataset {
        let plane = self.height * self.width;
        let gray = self.images.chunks_exact(3 * plane).flat_map(|image| {
            let (red, rest) = image.split_at(plane);
            let (green, blue) = rest.split_at(plane);
            let weighted = |at: usize| {
                0.299 * f32::from(red[at])
                    + 0.587 * f32::from(green[at])
                    + 0.114 * f32::from(blue[at])
            };
            (0..plane)
                .map(move |at| weighted(at).round() as u8)
                .collect::<Vec<u8>>()
        });
        Dataset {
            images: gray.collect(),
            labels: self.labels.clone(),
            class_names: self.class_names.clone(),
            height: self.height,
            width: self.width,
        }
    }
}

impl<const CHANNELS: usize> Dataset<CHANNELS> {
    /// Images of `CHANNELS` planes each, `(count, CHANNELS, height, width)`, and one label for each: [`Dataset::new`] and
    /// [`Dataset::color`] for code that serves both.
    ///
    /// # Errors
    /// As those of [`Dataset::new`].
    pub fn from_planes(
        images: Vec<u8>,
        labels: Vec<usize>,
        height: usize,
        width: usize,
        class_names: Vec<String>,
    ) -> Result<Self, DatasetError> {
        let expected = [height, width, labels.len()]
            .iter()
            .try_fold(CHANNELS, |product, &size| product.checked_mul(size));
        if height == 0 || width == 0 || expected != Some(images.len()) {
            return Err(DatasetError::Pixels {
                images: labels.len(),
                height,
                width,
                channels: CHANNELS,
                found: images.len(),
            });
        }
        if let Some(index) = labels.iter().position(|&label| label >= class_names.len()) {
            return Err(DatasetError::Label {
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
    pub fn labels(&self) -> &[usize] {
        &self.labels
    }

    /// The values of one image.
    fn image_len(&self) -> usize {
        CHANNELS * self.height * self.width
    }

    /// The pixels of the image at `index`: `(CHANNELS, height, width)`, the width running fastest.
    ///
    /// # Errors
    /// [`DatasetError::Index`] if there is none.
    pub fn pixels(&self, index: usize) -> Result<&[u8], DatasetError> {
        self.images
            .chunks_exact(self.image_len())
            .nth(index)
            .ok_or_else(|| self.no_image(index))
    }

    /// The pixels of all images: `(count, CHANNELS, height, width)`, the width running fastest.
    pub fn all_pixels(&self) -> &[u8] {
        &self.images
    }

    /// The label of the image at `index`.
    ///
    /// # Errors
    /// [`DatasetError::Index`] if there is none.
    pub fn label(&self, index: usize) -> Result<usize, DatasetError> {
        let label = self.labels.get(index).copied();
        label.ok_or_else(|| self.no_image(index))
    }

    /// The name of the class of the image at `index`.
    ///
    /// # Errors
    /// [`DatasetError::Index`] if there is none.
    pub fn class_name(&self, index: usize) -> Result<&str, DatasetError> {
        Ok(&self.class_names[self.label(index)?])
    }

    /// The first `count` images; all of them if there are fewer.
    pub fn take(&self, count: usize) -> Self {
        let indices: Vec<usize> = (0..count.min(self.len())).collect();
        self.picked(&indices)
    }

    /// The images in an order that `seed` decides.
    ///
    /// For training, take another seed in each epoch.
    pub fn shuffled(&self, seed: u64) -> Self {
        let mut indices: Vec<usize> = (0..self.len()).collect();
        indices.shuffle(&mut StdRng::seed_from_u64(seed));
        self.picked(&indices)
    }

    /// The images in batches of `size`, one after the other; the last may be smaller. A size of 0 is taken as 1.
    ///
    /// ```
    /// use dldna_nn::data::{Dataset, Normalisation};
    ///
    /// let names = vec!["digit".to_string()];
    /// let dataset = Dataset::new(vec![0, 255, 51], vec![0, 0, 0], 1, 1, names)?;
    /// let batches: Vec<_> = dataset.batches(2, Normalisation::BOOK).collect();
    /// assert_eq!(batches[0].images, [-1.0, 1.0]);
    /// assert_eq!(batches[1].labels, [0]);
    /// # Ok::<(), dldna_nn::data::DatasetError>(())
    /// ```
    pub fn batches(
        &self,
        size: usize,
        normalisation: Normalisation,
    ) -> impl Iterator<Item = Batch<CHANNELS>> + '_ {
        let size = size.max(1);
        let pixels = self.images.chunks(size.saturating_mul(self.image_len()));
        pixels
            .zip(self.labels.chunks(size))
            .map(move |(pixels, labels)| Batch {
                images: normalisation.apply_to(pixels, CHANNELS, self.height * self.width),
                labels: labels.to_vec(),
                height: self.height,
                width: self.width,
            })
    }

    /// The images at `indices`, in that order; an index may come more than once.
    ///
    /// # Errors
    /// [`DatasetError::Index`] if an index has no image.
    pub fn select(&self, indices: &[usize]) -> Result<Self, DatasetError> {
        if let Some(&index) = indices.iter().find(|&&index| index >= self.len()) {
            return Err(self.no_image(index));
        }
        Ok(self.picked(indices))
    }

    /// A training and a test set: of each class the same share goes to the test set, at least one image where there are
    /// two; `seed` decides which.
    ///
    /// ```
    /// use dldna_nn::data::stripes;
    /// let split = stripes(20, 0, 4).train.split(0.2, 7);
    /// assert_eq!((split.train.len(), split.test.len()), (16, 4));
    /// assert_eq!(split.test.labels().iter().sum::<usize>(), 2); // two of each class
    /// ```
    pub fn split(&self, test_share: f64, seed: u64) -> Split<CHANNELS> {
        let mut random = StdRng::seed_from_u64(seed);
        let (mut train, mut test) = (Vec::new(), Vec::new());
        for class in 0..self.class_names.len() {
            let mut members: Vec<usize> = (0..self.len())
                .filter(|&index| self.labels[index] == class)
                .collect();
            members.shuffle(&mut random);
            let wanted = (members.len() as f64 * test_share.clamp(0.0, 1.0)).round() as usize;
            let least = usize::from(members.len() > 1 && test_share > 0.0);
            train.extend(members.split_off(wanted.max(least)));
            test.extend(members);
        }
        train.sort_unstable();
        test.sort_unstable();
        Split {
            train: self.picked(&train),
            test: self.picked(&test),
        }
    }

    fn no_image(&self, index: usize) -> DatasetError {
        DatasetError::Index {
            index,
            count: self.len(),
        }
    }

    /// The images at `indices`, all of which exist.
    fn picked(&self, indices: &[usize]) -> Self {
        let size = self.image_len();
        let images = indices
            .iter()
            .flat_map(|&index| &self.images[index * size..(index + 1) * size]);
        Dataset {
            images: images.copied().collect(),
            labels: indices.iter().map(|&index| self.labels[index]).collect(),
            class_names: self.class_names.clone(),
            height: self.height,
            width: self.width,
        }
    }
}

/// Says how much there is, not every pixel.
impl<const CHANNELS: usize> fmt::Debug for Dataset<CHANNELS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, classes) = (self.len(), self.class_names.len());
        let color = if CHANNELS == 3 { " in colour" } else { "" };
        write!(
            f,
            "Dataset: {count} images of {} x {}{color}, {classes} classes",
            self.height, self.width
        )
    }
}

/// Horizontal (0) and vertical (1) stripes at random places, `size` x `size` pixels: images to try a network on, for
/// which no file is needed.
///
/// ```
/// let split = dldna_nn::data::stripes(6, 2, 8);
/// assert_eq!((split.train.len(), split.test.len()), (6, 2));
/// assert_eq!(split.train.class_name(1)?, "vertical");
/// assert_eq!(split.train.pixels(1)?[..8], split.train.pixels(1)?[8..16]); // each row is like the first
/// # Ok::<(), dldna_nn::data::DatasetError>(())
/// ```
pub fn stripes(training_images: usize, test_images: usize, size: usize) -> Split {
    let size = size.max(1);
    let set = |count: usize, seed| {
        let mut random = StdRng::seed_from_u64(seed);
        let labels: Vec<usize> = (0..count).map(|index| index % 2).collect();
        let images = labels.iter().flat_map(|&label| {
            let bright: Vec<u8> = (0..size).map(|_| random.gen_range(0..=255)).collect();
            let pixels = (0..size * size).map(move |at| bright[[at / size, at % size][label]]);
            pixels.collect::<Vec<u8>>()
        });
        let names = ["horizontal", "vertical"].map(String::from).to_vec();
        Dataset::new(images.collect(), labels, size, size, names).expect("two classes, both named")
    };
    Split {
        train: set(training_images, 0),
        test: set(test_images, 1),
    }
}
