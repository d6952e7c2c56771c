//! CIFAR-10 and CIFAR-100 in their binary format: 60,000 small photographs in ten or a hundred classes (A. Krizhevsky,
//! *Learning Multiple Layers of Features from Tiny Images*, 2009, <https://www.cs.toronto.edu/~kriz/cifar.html>).
//!
//! A file is a sequence of records: the label, or with CIFAR-100 the coarse and then the fine label, of one byte each; then
//! the 1,024 red values of an image of 32 x 32 pixels line by line, then the green ones, then the blue ones. The page asks
//! to cite the report and names no licence.

use super::{DataError, Dataset, RemoteFile, Split, Store};
use crate::data::idx::{gunzip, is_gzip};
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

/// The twenty coarse classes of CIFAR-100.
#[rustfmt::skip]
pub const CIFAR100_COARSE_CLASSES: [&str; 20] = [
    "aquatic mammals", "fish", "flowers", "food containers", "fruit and vegetables", "household electrical devices",
    "household furniture", "insects", "large carnivores", "large man-made outdoor things",
    "large natural outdoor scenes", "large omnivores and herbivores", "medium-sized mammals",
    "non-insect invertebrates", "people", "reptiles", "small mammals", "trees", "vehicles 1", "vehicles 2",
];

/// The hundred fine classes of CIFAR-100.
#[rustfmt::skip]
pub const CIFAR100_CLASSES: [&str; 100] = [
    "apple", "aquarium fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle", "bottle",
    "bowl", "boy", "bridge", "bus", "butterfly", "camel", "can", "castle", "caterpillar", "cattle",
    "chair", "chimpanzee", "clock", "cloud", "cockroach", "couch", "crab", "crocodile", "cup", "dinosaur",
    "dolphin", "elephant", "flatfish", "forest", "fox", "girl", "hamster", "house", "kangaroo", "keyboard",
    "lamp", "lawn mower", "leopard", "lion", "lizard", "lobster", "man", "maple tree", "motorcycle", "mountain",
    "mouse", "mushroom", "oak tree", "orange", "orchid", "otter", "palm tree", "pear", "pickup truck", "pine tree",
    "plain", "plate", "poppy", "porcupine", "possum", "rabbit", "raccoon", "ray", "road", "rocket",
    "rose", "sea", "seal", "shark", "shrew", "skunk", "skyscraper", "snail", "snake", "spider",
    "squirrel", "streetcar", "sunflower", "sweet pepper", "table", "tank", "telephone", "television", "tiger", "tractor",
    "train", "trout", "tulip", "turtle", "wardrobe", "whale", "willow tree", "wolf", "woman", "worm",
];

/// Rows and columns of an image.
const SIDE: usize = 32;
/// Values of one image.
const IMAGE: usize = 3 * SIDE * SIDE;
/// Bytes of a record of CIFAR-10, and of CIFAR-100, which has two labels.
const RECORD_OF_10: usize = 1 + IMAGE;
const RECORD_OF_100: usize = 2 + IMAGE;

/// An unpacked archive is refused above this size; the real ones have 184 MB.
const LARGEST_ARCHIVE: u64 = 1 << 28;

/// One of the two sets, and for CIFAR-100 which of the two labels counts.
///
/// ```
/// use dldna::{data::cifar::Cifar, prelude::*};
///
/// let mut record = vec![6]; // a frog
/// record.extend([vec![10; 1024], vec![200; 1024], vec![30; 1024]].concat());
/// let dataset = Cifar::Ten.read(&record)?;
/// assert_eq!(dataset.class_name(0)?, "frog");
/// assert_eq!(dataset.image(0)?.pixels()[..3], [10, 200, 30]);
/// # Ok::<(), dldna::data::DataError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cifar {
    /// CIFAR-10.
    Ten,
    /// CIFAR-100 with its hundred classes.
    Hundred,
    /// CIFAR-100 with its twenty coarse classes.
    HundredCoarse,
}

/// What can be wrong with a file of CIFAR.
#[derive(Debug, Error)]
pub enum CifarError {
    /// The file ends within a record, or has none.
    #[error(
        "expected whole records of {record} bytes, found {records} of them and {rest} bytes more"
    )]
    Truncated {
        /// Bytes of a record.
        record: usize,
        /// Whole records.
        records: usize,
        /// Bytes after the last whole one.
        rest: usize,
    },
    /// The other data set of the same authors, or the set in another form.
    #[error("expected {expected} in its binary version ({expected}-binary.tar.gz), found {found}")]
    Other {
        /// The set that was asked for.
        expected: &'static str,
        /// What it is.
        found: &'static str,
    },
    /// A label of no class.
    #[error("record {record} has the label {label}: expected a label below {classes}")]
    Label {
        /// The record, from 0.
        record: usize,
        /// Its label.
        label: u8,
        /// Number of classes.
        classes: usize,
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

impl Cifar {
    /// The name of the set, as in its file names.
    fn name(self) -> &'static str {
        match self {
            Cifar::Ten => "cifar-10",
            Cifar::Hundred | Cifar::HundredCoarse => "cifar-100",
        }
    }

    /// The files of the archive, those for training first and the one for testing last.
    fn files(self) -> &'static [&'static str] {
        match self {
            Cifar::Ten => &[
                "cifar-10-batches-bin/data_batch_1.bin",
                "cifar-10-batches-bin/data_batch_2.bin",
                "cifar-10-batches-bin/data_batch_3.bin",
                "cifar-10-batches-bin/data_batch_4.bin",
                "cifar-10-batches-bin/data_batch_5.bin",
                "cifar-10-batches-bin/test_batch.bin",
            ],
            Cifar::Hundred | Cifar::HundredCoarse => {
                &["cifar-100-binary/train.bin", "cifar-100-binary/test.bin"]
            }
        }
    }

    fn test_file(self) -> &'static str {
        self.files()[self.files().len() - 1]
    }

    /// The names of the classes, in the order of their labels.
    pub fn class_names(self) -> &'static [&'static str] {
        match self {
            Cifar::Ten => &CIFAR10_CLASSES,
            Cifar::Hundred => &CIFAR100_CLASSES,
            Cifar::HundredCoarse => &CIFAR100_COARSE_CLASSES,
        }
    }

    /// Bytes of a record, and which of them is the label.
    fn layout(self) -> (usize, usize) {
        match self {
            Cifar::Ten => (RECORD_OF_10, 0),
            Cifar::HundredCoarse => (RECORD_OF_100, 0),
            Cifar::Hundred => (RECORD_OF_100, 1),
        }
    }

    /// Reads the content of one of the files.
    ///
    /// # Errors
    /// [`CifarError`] if there is no record, if the last one is cut short, if a label is of no class, or if the file is of
    /// the other set.
    pub fn read(self, bytes: &[u8]) -> Result<Dataset<3>, CifarError> {
        if let Some(found) = self.other_file(bytes) {
            let expected = self.name();
            return Err(CifarError::Other { expected, found });
        }
        let (record, label_at) = self.layout();
        let records = bytes.chunks_exact(record);
        if records.len() == 0 || !records.remainder().is_empty() {
            return Err(CifarError::Truncated {
                record,
                records: records.len(),
                rest: records.remainder().len(),
            });
        }
        let (mut pixels, mut labels) = (Vec::new(), Vec::new());
        for (index, bytes) in records.enumerate() {
            let (head, image) = bytes.split_at(record - IMAGE);
            let label = head[label_at];
            let classes = self.class_names().len();
            if usize::from(label) >= classes {
                return Err(CifarError::Label {
                    record: index,
                    label,
                    classes,
                });
            }
            labels.push(label.into());
            pixels.extend(image);
        }
        Ok(self.dataset(pixels, labels))
    }

    /// Images whose number and labels have been checked.
    fn dataset(self, pixels: Vec<u8>, labels: Vec<usize>) -> Dataset<3> {
        let names = self.class_names().iter().map(|&name| name.to_owned());
        Dataset::color(pixels, labels, SIDE, SIDE, names.collect())
            .expect("labels are checked where records are read")
    }

    /// Reads the files from the folder that holds that of the archive, or from that folder itself.
    ///
    /// # Errors
    /// If a file cannot be read or is none of the set; the error names it.
    pub fn from_folder(self, folder: impl AsRef<Path>) -> Result<Split<3>, DataError> {
        let folder = folder.as_ref();
        let own_name = |name: &'static str| name.rsplit('/').next().unwrap_or(name);
        let test = self.test_file();
        let inside = !folder.join(test).exists() && folder.join(own_name(test)).exists();
        self.split(|name| {
            let path = folder.join(if inside { own_name(name) } else { name });
            let bytes = std::fs::read(&path).map_err(|source| DataError::Read {
                path: path.clone(),
                source,
            })?;
            let read = self.read(&bytes);
            read.map_err(|error| DataError::from(error).at(path.display()))
        })
    }

    /// Reads the files from the content of the archive, packed or not.
    ///
    /// # Errors
    /// If the archive lacks a file or is damaged.
    pub fn from_archive(self, bytes: &[u8]) -> Result<Split<3>, DataError> {
        let unpacked;
        let tar = if is_gzip(bytes) {
            unpacked = gunzip(bytes, LARGEST_ARCHIVE)?;
            &unpacked
        } else {
            bytes
        };
        self.split(|name| {
            let content = self.file_in_tar(tar, name)?;
            let read = self.read(content);
            read.map_err(|error| DataError::from(error).at(name))
        })
    }

    /// The split whose files `read` reads by their names.
    fn split(
        self,
        read: impl Fn(&'static str) -> Result<Dataset<3>, DataError>,
    ) -> Result<Split<3>, DataError> {
        let (mut pixels, mut labels) = (Vec::new(), Vec::new());
        let training = self.files().len() - 1;
        for name in &self.files()[..training] {
            let part = read(name)?;
            pixels.extend(part.all_pixels());
            labels.extend(part.labels());
        }
        Ok(Split {
            train: self.dataset(pixels, labels),
            test: read(self.test_file())?,
        })
    }

    /// What a file is that people take for one of this set.
    fn other_file(self, bytes: &[u8]) -> Option<&'static str> {
        let (record, _) = self.layout();
        let whole = |record: usize| !bytes.is_empty() && bytes.len().is_multiple_of(record);
        if whole(record) {
            None
        } else if bytes.starts_with(&[0x80, 0x02]) {
            Some("a file of the Python version")
        } else if bytes.starts_with(b"MATLAB") {
            Some("a file of the Matlab version")
        } else if whole(RECORD_OF_100) {
            Some("a file of CIFAR-100")
        } else if whole(RECORD_OF_10) {
            Some("a file of CIFAR-10")
        } else {
            None
        }
    }

    /// What an archive is that people take for that of this set, by the name of a file in it.
    fn other_archive(self, name: &[u8]) -> Option<&'static str> {
        const FOLDERS: [(&[u8], &str, &str); 6] = [
            (b"cifar-10-batches-bin", "cifar-10", ""),
            (b"cifar-10-batches-py", "cifar-10", "its Python version"),
            (b"cifar-10-batches-mat", "cifar-10", "its Matlab version"),
            (b"cifar-100-binary", "cifar-100", ""),
            (b"cifar-100-python", "cifar-100", "its Python version"),
            (b"cifar-100-matlab", "cifar-100", "its Matlab version"),
        ];
        let mut parts = name.split(|&byte| byte == b'/');
        let (_, set, version) =
            parts.find_map(|part| FOLDERS.iter().find(|known| known.0 == part))?;
        match (*set == self.name(), *set, *version) {
            (true, _, "") => None,
            (true, _, version) => Some(version),
            (false, "cifar-10", _) => Some("CIFAR-10"),
            (false, ..) => Some("CIFAR-100"),
        }
    }

    /// The content of a file in a tar archive.
    fn file_in_tar<'a>(self, tar: &'a [u8], name: &'static str) -> Result<&'a [u8], CifarError> {
        let unreadable = |source| CifarError::Unreadable { name, source };
        let mut archive = Archive::new(Cursor::new(tar));
        for entry in archive.entries_with_seek().map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            if let Some(found) = self.other_archive(&entry.path_bytes()) {
                let expected = self.name();
                return Err(CifarError::Other { expected, found });
            }
            if is_named(&entry.path_bytes(), name.as_bytes()) {
                let content = content_place(&entry).and_then(|place| tar.get(place));
                return content.ok_or(CifarError::Missing { name });
            }
        }
        Err(CifarError::Missing { name })
    }

    /// The whole set: from its folder or its archive on this machine, or downloaded.
    pub(super) fn load(self) -> Result<Split<3>, DataError> {
        let store = Store::standard();
        let folders = &store.folders;
        let unpacked = folders
            .iter()
            .find(|folder| folder.join(self.test_file()).exists());
        match unpacked {
            Some(folder) => self.from_folder(folder),
            None => self.from_archive(&store.load_packed(&self.archive())?),
        }
    }

    /// The archive as the authors' page has it.
    fn archive(self) -> RemoteFile {
        let (urls, size, sha256): (&[&str], _, _) = match self {
            Cifar::Ten => (
                &ADDRESSES_OF_10,
                170_052_171,
                "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
            ),
            Cifar::Hundred | Cifar::HundredCoarse => (
                &["https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz"],
                168_513_733,
                "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
            ),
        };
        let name = self.name();
        let folder = self.test_file().split('/').next().unwrap_or_default();
        RemoteFile {
            path: format!("{name}-binary.tar.gz"),
            urls: urls.iter().map(|&url| url.to_owned()).collect(),
            size,
            sha256: sha256.to_owned(),
            licence: "none named; the authors ask to cite Krizhevsky 2009".to_owned(),
            way_out: format!(
                "With a copy elsewhere: set DLDNA_DATA to the folder that holds `{folder}` or \
                 `{name}-binary.tar.gz`. Without any, `data::mnist_sample()` needs no download."
            ),
        }
    }
}

/// The authors' page, the tutorials of Swift for TensorFlow, and those of MindSpore.
const ADDRESSES_OF_10: [&str; 3] = [
    "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
    "https://storage.googleapis.com/s4tf-hosted-binaries/datasets/CIFAR10/cifar-10-binary.tar.gz",
    "https://mindspore-website.obs.cn-north-4.myhuaweicloud.com/notebook/datasets/cifar-10-binary.tar.gz",
];

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
