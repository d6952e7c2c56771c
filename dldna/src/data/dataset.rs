//! Files and pictures of a [`Dataset`]: the set itself knows its pixels only.

use std::path::Path;

pub use dldna_nn::data::{
    Batch, Dataset, DatasetError, Normalisation, Picture, Pixels, Split, resize, stripes,
};

use super::DataError;
use super::idx::Idx;
use crate::image::{GrayImage, RgbImage};

/// The images of a [`Dataset`] as pictures.
///
/// ```
/// use dldna::data::{Dataset, DatasetExt};
///
/// let names = ["dark", "light"].map(String::from).to_vec();
/// let dataset = Dataset::new(vec![0, 10, 250, 255], vec![0, 1], 1, 2, names)?;
/// assert_eq!(dataset.image(1)?.pixels(), [250, 255]);
/// # Ok::<(), dldna::data::DataError>(())
/// ```
pub trait DatasetExt {
    /// [`GrayImage`] or [`RgbImage`].
    type Image;

    /// The image at `index`.
    ///
    /// # Errors
    /// [`DatasetError::Index`] if there is none.
    fn image(&self, index: usize) -> Result<Self::Image, DataError>;
}

impl DatasetExt for Dataset {
    type Image = GrayImage;

    fn image(&self, index: usize) -> Result<GrayImage, DataError> {
        let pixels = self.pixels(index)?;
        let width = self.width();
        Ok(GrayImage::from_fn(self.height(), width, |row, column| {
            pixels[row * width + column]
        }))
    }
}

impl DatasetExt for Dataset<3> {
    type Image = RgbImage;

    fn image(&self, index: usize) -> Result<RgbImage, DataError> {
        let pixels = self.pixels(index)?;
        let (height, width) = (self.height(), self.width());
        let value = |at: usize, channel: usize| pixels[channel * height * width + at];
        Ok(RgbImage::from_fn(height, width, |row, column| {
            let at = row * width + column;
            [value(at, 0), value(at, 1), value(at, 2)]
        }))
    }
}

/// Grey images to and from the IDX files of MNIST.
pub trait IdxFiles: Sized {
    /// Reads a set from two IDX files, plain or gzipped: images with three dimensions, labels with one.
    ///
    /// # Errors
    /// If a file cannot be read, is no such IDX file, or if the two do not belong together; the error names the files.
    fn from_idx_files(
        images: impl AsRef<Path>,
        labels: impl AsRef<Path>,
        class_names: Vec<String>,
    ) -> Result<Self, DataError>;

    /// The two IDX files of this set: images, then labels.
    ///
    /// # Errors
    /// [`DatasetError::Label`] for a label above 255, which the format does not know.
    fn to_idx(&self) -> Result<(Idx, Idx), DataError>;
}

impl IdxFiles for Dataset {
    fn from_idx_files(
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
        from_idx(read(images, 3)?, read(labels, 1)?, class_names)
            .map_err(|error| error.at(format!("{} and {}", images.display(), labels.display())))
    }

    fn to_idx(&self) -> Result<(Idx, Idx), DataError> {
        let bytes = self.labels().iter().enumerate().map(|(index, &label)| {
            u8::try_from(label).map_err(|_| DatasetError::Label {
                index,
                label,
                classes: 256,
            })
        });
        let sizes = [self.len(), self.height(), self.width()].map(|size| size as u32);
        let labels = Idx {
            sizes: vec![sizes[0]],
            values: bytes.collect::<Result<_, _>>()?,
        };
        let images = Idx {
            sizes: sizes.to_vec(),
            values: self.all_pixels().to_vec(),
        };
        Ok((images, labels))
    }
}

/// A set from the content of an image and a label file.
pub(super) fn from_idx(
    images: Idx,
    labels: Idx,
    class_names: Vec<String>,
) -> Result<Dataset, DataError> {
    let counts = |images| DataError::Counts {
        images,
        labels: labels.values.len(),
    };
    let [count, height, width] = images.sizes[..] else {
        return Err(counts(0));
    };
    if count as usize != labels.values.len() {
        return Err(counts(count as usize));
    }
    let (height, width) = (height as usize, width as usize);
    Ok(Dataset::new(
        images.values,
        labels.values.into_iter().map(usize::from).collect(),
        height,
        width,
        class_names,
    )?)
}
