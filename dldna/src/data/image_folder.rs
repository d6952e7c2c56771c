//! Pictures in folders, one folder for each class.

use super::{DataError, Dataset};
use crate::image::{ImageError, RgbImage};
use dldna_nn::data::resized_planes;
use std::path::{Path, PathBuf};

/// Endings of files that are pictures, in small letters.
const ENDINGS: [&str; 3] = ["png", "jpg", "jpeg"];

/// A folder with a sub-folder of PNG and JPEG files for each class, as torchvision's `ImageFolder` reads it: the names of
/// the sub-folders in their order are the classes, and pictures may lie deeper in them.
///
/// ```no_run
/// use dldna::{data::ImageFolder, prelude::*, resnet::ResNet20, train::{TrainConfig, train}};
///
/// // flowers/daisy/1.jpg, flowers/daisy/2.png, flowers/tulip/1.jpg, ..
/// let folder = ImageFolder::<3>::read("flowers", 32)?;
/// println!("{:?}, {} files cannot be read", folder.images, folder.unreadable.len());
/// let network = Cpu::seed_from_u64(0).build_module::<ResNet20<3, 2>, f32>();
/// let trained = train(network, &folder.images.split(0.2, 0), &TrainConfig { image_size: 32, ..Default::default() })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct ImageFolder<const CHANNELS: usize = 3> {
    /// The pictures, in the order of their paths, all of one size.
    pub images: Dataset<CHANNELS>,
    /// Files that look like pictures and cannot be read, with the reason.
    pub unreadable: Vec<(PathBuf, ImageError)>,
}

impl<const CHANNELS: usize> ImageFolder<CHANNELS> {
    /// Reads all pictures in grey (`CHANNELS` 1) or in colour (3), and brings each to `size` x `size` pixels
    /// ([`resize`](super::resize); proportions are not kept).
    ///
    /// # Errors
    /// [`DataError::Read`] where the folder or a sub-folder cannot be read; [`DataError::NoPictures`] where it has no
    /// sub-folder, or none of them a picture that can be read.
    pub fn read(folder: impl AsRef<Path>, size: usize) -> Result<Self, DataError> {
        let folder = folder.as_ref();
        let classes = classes(folder)?;
        let (mut pixels, mut labels, mut unreadable) = (Vec::new(), Vec::new(), Vec::new());
        for (label, class) in classes.iter().enumerate() {
            for path in pictures(&folder.join(class))? {
                match RgbImage::from_path(&path) {
                    Ok(picture) => {
                        let planes = resized_planes(&picture, CHANNELS, (size, size));
                        pixels.extend(planes.iter().map(|value| value.round() as u8));
                        labels.push(label);
                    }
                    Err(error) => unreadable.push((path, error)),
                }
            }
        }
        if labels.is_empty() {
            return Err(DataError::NoPictures {
                folder: folder.to_owned(),
                classes: classes.len(),
                unreadable: unreadable.len(),
            });
        }
        Ok(Self {
            images: Dataset::from_planes(pixels, labels, size, size, classes)?,
            unreadable,
        })
    }
}

/// The names of the sub-folders, sorted; hidden ones are none.
fn classes(folder: &Path) -> Result<Vec<String>, DataError> {
    let failed = |source| DataError::Read {
        path: folder.to_owned(),
        source,
    };
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.path().is_dir() && !name.starts_with('.') {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// All pictures below a folder, in the order of their paths.
fn pictures(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let mut found = Vec::new();
    for entry in walkdir::WalkDir::new(folder).sort_by_file_name() {
        let entry = entry.map_err(|error| DataError::Read {
            path: folder.to_owned(),
            source: error.into(),
        })?;
        let ending = entry.path().extension().map(|e| e.to_ascii_lowercase());
        let is_picture = ending.is_some_and(|ending| ENDINGS.iter().any(|&known| ending == known));
        if is_picture && entry.file_type().is_file() {
            found.push(entry.into_path());
        }
    }
    Ok(found)
}
