//! CIFAR-10 in its binary format: 60,000 small photographs in ten classes (A. Krizhevsky, *Learning Multiple Layers of
//! Features from Tiny Images*, 2009, <https://www.cs.toronto.edu/~kriz/cifar.html>).
//!
//! A file is a sequence of records of 3,073 bytes: the label, then the 1,024 red values of an image of 32 x 32 pixels line
//! by line, then the green ones, then the blue ones. The archive `cifar-10-binary.tar.gz` has five such files for training
//! and one for testing, with 10,000 records each. Its page asks to cite the report and names no licence.

use super::{DataError, Dataset, DatasetError, RemoteFile, Split, Store, owned};
use crate::data::idx::{gunzip, is_gzip};
use crate::image::RgbImage;
use std::fmt;
use std::io::{self, Cursor, Read};
use std::ops::Range;
use std::path::Path;
use tar::Archive;
use thiserror::Error;

/// The ten classes of CIFAR-10, in the order of their labels.
pub const CIFAR10_CLASSES: [&str; 10] = [
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
];

/// Rows and columns of an image.
const SIDE: usize = 32;
/// Values of one colour.
const PLANE: usize = SIDE * SIDE;
/// The label and the three colours.
const RECORD: usize = 1 + 3 * PLANE;

/// The files of the archive, those for training first.
const FILES: [&str; 6] = [
    "cifar-10-batches-bin/data_batch_1.bin",
    "cifar-10-batches-bin/data_batch_2.bin",
    "cifar-10-batches-bin/data_batch_3.bin",
    "cifar-10-batches-bin/data_batch_4.bin",
    "cifar-10-batches-bin/data_batch_5.bin",
    "cifar-10-batches-bin/test_batch.bin",
];

/// An unpacked archive is refused above this size; the real one has 184 MB.
const LARGEST_ARCHIVE: u64 = 1 << 28;

/// A record of CIFAR-100 has two labels.
const RECORD_OF_100: usize = RECORD + 1;

/// What can be wrong with a file of CIFAR-10.
#[derive(Debug, Error)]
pub enum CifarError {
    /// The file ends within a record, or has none.
    #[error(
        "expected whole records of {RECORD} bytes, found {records} of them and {rest} bytes more"
    )]
    Truncated {
        /// Whole records.
        records: usize,
        /// Bytes after the last whole one.
        rest: usize,
    },
    /// Another data set of the same authors, or CIFAR-10 in another form.
    #[error("expected CIFAR-10 in its binary version (cifar-10-binary.tar.gz), found {found}")]
    Other {
        /// What it is.
        found: &'static str,
    },
    /// A label that is none of the ten.
    #[error("record {record} begins with the label {label}: expected 0 to 9")]
    Label {
        /// The record, from 0.
        record: usize,
        /// Its first byte.
        label: u8,
    },
    /// The archive lacks a file, or ends within it.
    #[error("{name} is not in the archive, or is cut short there")]
    Missing {
        /// The file.
        name: &'static str,
    },
    /// The archive is damaged, or is none.
    #[error("{name} is not in the archive as far as it can be read: {source}")]
    Unreadable {
        /// The file that was looked for.
        name: &'static str,
        /// What is wrong with the archive.
        source: io::Error,
    },
}

/// Labelled colour images of 32 x 32 pixels.
///
/// ```
/// use dldna::data::cifar::ColorDataset;
///
/// let mut record = vec![6]; // a frog
/// record.extend([vec![10; 1024], vec![200; 1024], vec![30; 1024]].concat());
/// let dataset = ColorDataset::from_bytes(&record)?;
/// assert_eq!(dataset.class_name(0)?, "frog");
/// assert_eq!(dataset.image(0)?.pixels()[..3], [10, 200, 30]);
/// assert_eq!(dataset.to_bytes(), record);
/// # Ok::<(), dldna::data::DataError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct ColorDataset {
    /// As in the file.
    records: Vec<[u8; RECORD]>,
}

/// The number of images alone: their pixels would fill the screen.
impl fmt::Debug for ColorDataset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ColorDataset {{ {} images }}", self.len())
    }
}

impl ColorDataset {
    /// Reads the content of one of the files.
    ///
    /// # Errors
    /// [`CifarError`] if there is no record, if the last one is cut short, or if a label is above 9.
    pub fn from_bytes(bytes: &[u8]) -> Result<ColorDataset, CifarError> {
        let (records, rest) = bytes.as_chunks::<RECORD>();
        if let Some(found) = other_file(bytes) {
            return Err(CifarError::Other { found });
        }
        if records.is_empty() || !rest.is_empty() {
            return Err(CifarError::Truncated {
                records: records.len(),
                rest: rest.len(),
            });
        }
        let wrong = records.iter().position(|record| record[0] > 9);
        if let Some(record) = wrong {
            let label = records[record][0];
            return Err(CifarError::Label { record, label });
        }
        Ok(ColorDataset {
            records: records.to_vec(),
        })
    }

    /// The content as a file has it.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.records.as_flattened().to_vec()
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The image at `index`.
    ///
    /// # Errors
    /// [`DatasetError::Index`] if there is none.
    pub fn image(&self, index: usize) -> Result<RgbImage, DataError> {
        Ok(image(self.record(index)?))
    }

    /// The label of the image at `index`.
    ///
    /// # Errors
    /// [`DatasetError::Index`] if there is none.
    pub fn label(&self, index: usize) -> Result<usize, DataError> {
        Ok(self.record(index)?[0].into())
    }

    /// The name of the class of the image at `index`.
    ///
    /// # Errors
    /// [`DatasetError::Index`] if there is none.
    pub fn class_name(&self, index: usize) -> Result<&'static str, DataError> {
        Ok(CIFAR10_CLASSES[self.label(index)?])
    }

    /// The images in grey, for networks with one input channel.
    pub fn to_gray(&self) -> Dataset {
        let gray = self
            .records
            .iter()
            .flat_map(|record| image(record).to_gray().into_pixels());
        let labels = self.records.iter().map(|record| record[0].into()).collect();
        Dataset::new(gray.collect(), labels, SIDE, SIDE, owned(CIFAR10_CLASSES))
            .expect("labels are checked where records are read")
    }

    fn record(&self, index: usize) -> Result<&[u8; RECORD], DataError> {
        let count = self.len();
        let record = self.records.get(index);
        Ok(record.ok_or(DatasetError::Index { index, count })?)
    }
}

/// What a file is that people take for one of CIFAR-10.
fn other_file(bytes: &[u8]) -> Option<&'static str> {
    let whole = |record: usize| !bytes.is_empty() && bytes.len().is_multiple_of(record);
    if bytes.starts_with(&[0x80, 0x02]) && !whole(RECORD) {
        Some("a file of the Python version")
    } else if bytes.starts_with(b"MATLAB") {
        Some("a file of the Matlab version")
    } else if whole(RECORD_OF_100) && !whole(RECORD) {
        Some("a file of CIFAR-100")
    } else {
        None
    }
}

/// What an archive is that people take for that of CIFAR-10, by the name of a file in it.
fn other_archive(name: &[u8]) -> Option<&'static str> {
    const FOLDERS: [(&[u8], &str); 5] = [
        (b"cifar-10-batches-py", "its Python version"),
        (b"cifar-10-batches-mat", "its Matlab version"),
        (b"cifar-100-binary", "CIFAR-100"),
        (b"cifar-100-python", "CIFAR-100"),
        (b"cifar-100-matlab", "CIFAR-100"),
    ];
    let parts = || name.split(|&byte| byte == b'/');
    let known = FOLDERS
        .iter()
        .find(|(folder, _)| parts().any(|part| part == *folder));
    known.map(|&(_, found)| found)
}

/// The colours of a record, pixel by pixel.
fn image(record: &[u8; RECORD]) -> RgbImage {
    let colors = &record[1..];
    RgbImage::from_fn(SIDE, SIDE, |row, column| {
        let at = SIDE * row + column;
        [colors[at], colors[PLANE + at], colors[2 * PLANE + at]]
    })
}

/// A training and a test set in colour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColorSplit {
    /// The images to learn from.
    pub train: ColorDataset,
    /// The images to measure with, never learned from.
    pub test: ColorDataset,
}

impl ColorSplit {
    /// Reads the six files from the folder that holds `cifar-10-batches-bin`, or from that folder itself.
    ///
    /// # Errors
    /// If a file cannot be read or is none of CIFAR-10; the error names it.
    pub fn from_folder(folder: impl AsRef<Path>) -> Result<ColorSplit, DataError> {
        let folder = folder.as_ref();
        let own_name = |name: &'static str| name.rsplit('/').next().unwrap_or(name);
        let inside = !folder.join(FILES[5]).exists() && folder.join(own_name(FILES[5])).exists();
        read(|name| {
            let path = folder.join(if inside { own_name(name) } else { name });
            let bytes = std::fs::read(&path).map_err(|source| DataError::Read {
                path: path.clone(),
                source,
            })?;
            ColorDataset::from_bytes(&bytes)
                .map_err(|error| DataError::from(error).at(path.display()))
        })
    }

    /// Reads the six files from the content of `cifar-10-binary.tar.gz`, or of the unpacked `.tar`.
    ///
    /// # Errors
    /// If the archive lacks a file or is damaged.
    pub fn from_archive(bytes: &[u8]) -> Result<ColorSplit, DataError> {
        let unpacked;
        let tar = if is_gzip(bytes) {
            unpacked = gunzip(bytes, LARGEST_ARCHIVE)?;
            &unpacked
        } else {
            bytes
        };
        read(|name| {
            let content = file_in_tar(tar, name)?;
            ColorDataset::from_bytes(content).map_err(|error| DataError::from(error).at(name))
        })
    }

    /// Both sets in grey, for networks with one input channel.
    pub fn to_gray(&self) -> Split {
        Split {
            train: self.train.to_gray(),
            test: self.test.to_gray(),
        }
    }
}

/// The split whose files `read` reads by their names.
fn read(
    read: impl Fn(&'static str) -> Result<ColorDataset, DataError>,
) -> Result<ColorSplit, DataError> {
    let [training @ .., test] = FILES;
    let mut records = Vec::new();
    for name in training {
        records.extend(read(name)?.records);
    }
    Ok(ColorSplit {
        train: ColorDataset { records },
        test: read(test)?,
    })
}

/// The content of a file in a tar archive.
fn file_in_tar<'a>(tar: &'a [u8], name: &'static str) -> Result<&'a [u8], CifarError> {
    let unreadable = |source| CifarError::Unreadable { name, source };
    let mut archive = Archive::new(Cursor::new(tar));
    for entry in archive.entries_with_seek().map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        if let Some(found) = other_archive(&entry.path_bytes()) {
            return Err(CifarError::Other { found });
        }
        if is_named(&entry.path_bytes(), name.as_bytes()) {
            let content = content_place(&entry).and_then(|place| tar.get(place));
            return content.ok_or(CifarError::Missing { name });
        }
    }
    Err(CifarError::Missing { name })
}

/// Whether a path ends in `name`: archives are also made with `./` or a folder before it.
fn is_named(path: &[u8], name: &[u8]) -> bool {
    let before = path.strip_suffix(name);
    before.is_some_and(|before| before.is_empty() || before.ends_with(b"/"))
}

/// Where in the archive the content of an entry is.
fn content_place<R: Read>(entry: &tar::Entry<R>) -> Option<Range<usize>> {
    let start = usize::try_from(entry.raw_file_position()).ok()?;
    let size = usize::try_from(entry.size()).ok()?;
    Some(start..start.checked_add(size)?)
}

/// The whole of CIFAR-10: from the folder `cifar-10-batches-bin` or the archive on this machine, or downloaded.
pub(super) fn load() -> Result<ColorSplit, DataError> {
    let store = Store::standard();
    let unpacked = store
        .folders
        .iter()
        .find(|folder| folder.join(FILES[5]).exists());
    match unpacked {
        Some(folder) => ColorSplit::from_folder(folder),
        None => ColorSplit::from_archive(&store.load_packed(&archive())?),
    }
}

/// The authors' page, the tutorials of Swift for TensorFlow, and those of MindSpore.
const ADDRESSES: [&str; 3] = [
    "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
    "https://storage.googleapis.com/s4tf-hosted-binaries/datasets/CIFAR10/cifar-10-binary.tar.gz",
    "https://mindspore-website.obs.cn-north-4.myhuaweicloud.com/notebook/datasets/cifar-10-binary.tar.gz",
];

/// The archive as the authors' page has it.
fn archive() -> RemoteFile {
    RemoteFile {
        path: "cifar-10-binary.tar.gz".to_owned(),
        urls: ADDRESSES.map(str::to_owned).to_vec(),
        size: 170_052_171,
        sha256: "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd".to_owned(),
        licence: "none named; the authors ask to cite Krizhevsky 2009".to_owned(),
        way_out: "With a copy elsewhere: set DLDNA_DATA to the folder that holds `cifar-10-batches-bin` or \
                  `cifar-10-binary.tar.gz`. Without any, `data::mnist_sample()` needs no download."
            .to_owned(),
    }
}
