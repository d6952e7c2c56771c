//! Data sets and the photograph: samples that ship with the repository, full sets found or downloaded.
//!
//! | call | images | needs |
//! |---|---|---|
//! | [`fashion_mnist_sample`] | 2,000 + 500 | nothing |
//! | [`mnist_sample`] | 1,000 + 200 | nothing |
//! | [`fashion_mnist`] | 60,000 + 10,000 | a copy on this machine, or the network once |
//! | [`mnist`] | 60,000 + 10,000 | a copy on this machine, or the network once |
//! | [`cifar10`], [`cifar100`] | 50,000 + 10,000, in colour | a copy on this machine, or the network once |
//! | [`ImageFolder`] | your own, in colour or grey | a folder for each class |
//! | [`photograph`] | one, in colour | nothing |
//!
//! Full sets are looked for in the folder that `DLDNA_DATA` names, in the repository's `data/cache` and in Debian's
//! `/usr/share/datasets`, each with one folder per set (`fashion-mnist`, `mnist`). Otherwise they are downloaded: to the folder
//! `DLDNA_DATA` if it can be written, else to `data/cache`.
//!
//! The repository is the one around the current folder: notebooks, and programs that run below it, find the data of their own copy
//! even if it was moved after it was built. Elsewhere it is the one where the crate was built.

pub mod cifar;
mod dataset;
pub mod idx;
mod image_folder;
mod store;

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use cifar::{Cifar, CifarError};
pub use dataset::{
    Batch, Dataset, DatasetError, DatasetExt, IdxFiles, Normalisation, Picture, Pixels, Split,
    resize, stripes,
};
use idx::{Idx, IdxError};
pub use image_folder::ImageFolder;
pub use store::{RemoteFile, Store};

pub use crate::download::{DownloadError, fetch};
use crate::image::{ImageError, RgbImage};

/// What can go wrong with data sets.
#[derive(Debug, Error)]
pub enum DataError {
    /// A file could not be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A downloaded file could not be kept.
    #[error("cannot write {}: {source}. The environment variable DLDNA_DATA names another folder for data", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A file is not the expected IDX file.
    #[error(transparent)]
    Idx(#[from] IdxError),
    /// A file is not the expected one of CIFAR-10.
    #[error(transparent)]
    Cifar(#[from] CifarError),
    /// A download failed.
    #[error(transparent)]
    Download(#[from] DownloadError),
    /// A file's unpacked content has the wrong length.
    #[error("wrong size: expected {expected} bytes, found {found}")]
    FileSize {
        /// Expected length in bytes.
        expected: u64,
        /// What came.
        found: String,
    },
    /// A file's unpacked content is not the expected one.
    #[error("wrong content: expected SHA-256 {expected}, found {found}")]
    Hash {
        /// Expected SHA-256.
        expected: String,
        /// SHA-256 of what came.
        found: String,
    },
    /// A file on this machine is not what it should be.
    #[error("{}: {source}. Delete or replace this file; without it the data are looked for elsewhere.", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<DataError>,
    },
    /// A file is not on this machine and could not be downloaded.
    #[error(
        "{path} is not in {}, and downloading it failed:{}{}\n{way_out}",
        list_folders(folders),
        list_attempts(attempts),
        describe_kept(*kept)
    )]
    Unavailable {
        /// The file, relative to the folders.
        path: String,
        /// The folders that were searched.
        folders: Vec<PathBuf>,
        /// What went wrong with each address.
        attempts: Vec<DataError>,
        /// Bytes that came before and are kept, so that the next call goes on from there.
        kept: u64,
        /// What can be done instead.
        way_out: String,
    },
    /// There are not as many labels as images.
    #[error("images and labels differ in number: {images} images, {labels} labels")]
    Counts {
        /// Number of images.
        images: usize,
        /// Number of labels.
        labels: usize,
    },
    /// The pixels and labels are no data set, or it has no such image.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// A folder of pictures without one that can be read.
    #[error(
        "{} has no picture: expected a sub-folder with PNG or JPEG files for each class; it has {classes} sub-folders, and {unreadable} files that cannot be read",
        folder.display()
    )]
    NoPictures {
        /// The folder.
        folder: PathBuf,
        /// Its sub-folders.
        classes: usize,
        /// Files in them that look like pictures.
        unreadable: usize,
    },
    /// Another error, with the file or URL it belongs to.
    #[error("{origin}: {source}")]
    At {
        /// File or URL.
        origin: String,
        /// What went wrong there.
        source: Box<DataError>,
    },
}

impl DataError {
    fn at(self, origin: impl Display) -> DataError {
        DataError::At {
            origin: origin.to_string(),
            source: Box::new(self),
        }
    }
}

fn list_folders(folders: &[PathBuf]) -> String {
    let folders: Vec<String> = folders
        .iter()
        .map(|folder| folder.display().to_string())
        .collect();
    folders.join(", ")
}

fn list_attempts(attempts: &[DataError]) -> String {
    attempts
        .iter()
        .map(|error| format!("\n  {error}"))
        .collect()
}

fn describe_kept(kept: u64) -> String {
    match kept {
        0 => String::new(),
        _ => format!("\n{kept} bytes of it are kept: the next call goes on from there."),
    }
}

/// The ten classes of Fashion-MNIST, in the order of their labels.
pub const FASHION_MNIST_CLASSES: [&str; 10] = [
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
];

/// The ten classes of MNIST.
pub const MNIST_CLASSES: [&str; 10] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];

/// Fashion-MNIST: 60,000 training and 10,000 test images of clothes, 28 x 28 (Xiao, Rasul, Vollgraf 2017, arXiv:1708.07747).
///
/// # Errors
/// If the files are not on this machine and cannot be downloaded, or are damaged.
pub fn fashion_mnist() -> Result<Split, DataError> {
    full_set("fashion-mnist", FASHION_MNIST_CLASSES)
}

/// MNIST: 60,000 training and 10,000 test images of handwritten digits, 28 x 28 (LeCun, Cortes, Burges).
///
/// # Errors
/// If the files are not on this machine and cannot be downloaded, or are damaged.
pub fn mnist() -> Result<Split, DataError> {
    full_set("mnist", MNIST_CLASSES)
}

/// CIFAR-10: 50,000 training and 10,000 test photographs, 32 x 32 in colour, ten classes (Krizhevsky 2009).
///
/// The folder `cifar-10-batches-bin` is looked for where the other sets are, then the archive `cifar-10-binary.tar.gz`,
/// which is downloaded (170 MB) if it is nowhere. Size and SHA-256 of the archive are checked.
///
/// ```no_run
/// let split = dldna::data::cifar10()?.to_gray();
/// println!("{:?}", split.train);
/// # Ok::<(), dldna::data::DataError>(())
/// ```
///
/// # Errors
/// If the files are not on this machine and cannot be downloaded, or are damaged.
pub fn cifar10() -> Result<Split<3>, DataError> {
    Cifar::Ten.load()
}

/// CIFAR-100: as [`cifar10`], in a hundred classes. With its twenty coarse classes: [`cifar100_coarse`].
///
/// # Errors
/// As those of [`cifar10`].
pub fn cifar100() -> Result<Split<3>, DataError> {
    Cifar::Hundred.load()
}

/// CIFAR-100 with its twenty coarse classes.
///
/// # Errors
/// As those of [`cifar10`].
pub fn cifar100_coarse() -> Result<Split<3>, DataError> {
    Cifar::HundredCoarse.load()
}

/// 2,000 training and 500 test images of Fashion-MNIST, equally many of each class; they ship with the repository.
///
/// The first test image is that of the full set, an ankle boot.
///
/// ```
/// let sample = dldna::data::fashion_mnist_sample()?;
/// assert_eq!((sample.train.len(), sample.test.len()), (2000, 500));
/// assert_eq!(sample.test.class_name(0)?, "Ankle boot");
/// # Ok::<(), dldna::data::DataError>(())
/// ```
///
/// # Errors
/// If the repository's files are missing or damaged.
pub fn fashion_mnist_sample() -> Result<Split, DataError> {
    sample("fashion-mnist", FASHION_MNIST_CLASSES)
}

/// 1,000 training and 200 test images of MNIST, equally many of each class; they ship with the repository.
///
/// # Errors
/// If the repository's files are missing or damaged.
pub fn mnist_sample() -> Result<Split, DataError> {
    sample("mnist", MNIST_CLASSES)
}

/// The photograph of section 7.1.2, a building, 600 rows and 868 columns (OpenCV's `samples/data/building.jpg`).
///
/// It ships with the repository in `data/building.jpg`; a `building.jpg` in the folder `DLDNA_DATA` is taken instead.
///
/// ```
/// let photograph = dldna::data::photograph()?;
/// assert_eq!((photograph.height(), photograph.width()), (600, 868));
/// # Ok::<(), dldna::image::ImageError>(())
/// ```
///
/// # Errors
/// If the file is missing or damaged; the error names it.
pub fn photograph() -> Result<RgbImage, ImageError> {
    RgbImage::from_path(shipped_file("building.jpg"))
}

/// The files of the full data sets, by name of the set: `datasets.toml` beside this module.
///
/// The four files of a set come in the order training images, training labels, test images, test labels.
pub fn catalogue() -> BTreeMap<String, [RemoteFile; 4]> {
    basic_toml::from_str(include_str!("datasets.toml")).expect("a test reads this file")
}

fn full_set(name: &str, classes: [&str; 10]) -> Result<Split, DataError> {
    let store = Store::standard();
    let read = |file: &RemoteFile, dimensions| {
        let content = store.load(file)?;
        Idx::from_bytes(&content, dimensions).map_err(|error| DataError::from(error).at(&file.path))
    };
    let [train_images, train_labels, test_images, test_labels] = &catalogue()[name];
    let train = (read(train_images, 3)?, read(train_labels, 1)?);
    let test = (read(test_images, 3)?, read(test_labels, 1)?);
    Ok(Split {
        train: dataset::from_idx(train.0, train.1, owned(classes))?,
        test: dataset::from_idx(test.0, test.1, owned(classes))?,
    })
}

fn sample(name: &str, classes: [&str; 10]) -> Result<Split, DataError> {
    let read = |part: &str| {
        let file = |kind: &str| shipped_file(&format!("samples/{name}/{part}-{kind}-ubyte.gz"));
        Dataset::from_idx_files(file("images-idx3"), file("labels-idx1"), owned(classes))
    };
    Ok(Split {
        train: read("train")?,
        test: read("t10k")?,
    })
}

fn owned(classes: [&str; 10]) -> Vec<String> {
    classes.map(String::from).to_vec()
}

/// The repository's `data` folder: of the repository around the current folder, else where the crate was built.
fn shipped() -> PathBuf {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("data");
    let current = std::env::current_dir().unwrap_or_default();
    let around = current.ancestors().map(|folder| folder.join("data"));
    let mut around = around.filter(|data| data.join("samples").is_dir());
    around.next().unwrap_or(built)
}

/// The folder that the environment variable `DLDNA_DATA` names, if it is set.
fn chosen_folder() -> Option<PathBuf> {
    std::env::var_os("DLDNA_DATA")
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
}

/// A file that ships with the repository; one of the same name in the folder `DLDNA_DATA` is taken instead.
fn shipped_file(name: &str) -> PathBuf {
    let chosen = chosen_folder()
        .map(|folder| folder.join(name))
        .filter(|path| path.exists());
    chosen.unwrap_or_else(|| shipped().join(name))
}
