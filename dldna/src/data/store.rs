//! Finds the files of the full data sets on this machine, or downloads them.

use std::fs;
use std::path::{Path, PathBuf};

use ring::digest::{SHA256, digest};
use serde::Deserialize;

use super::idx::{gunzip, is_gzip};
use super::{DataError, chosen_folder, shipped};
use crate::atomic_file;
use crate::download::{Received, fetch_rest};
use crate::interrupt;

/// A gzip file is longer than its content only by its header and a few bytes for each block that does not shrink.
const GZIP_OVERHEAD: u64 = 64 << 10;

/// One file of a data set, as `data/datasets.toml` describes it.
#[derive(Clone, Debug, Deserialize)]
pub struct RemoteFile {
    /// Path below a data folder, such as `mnist/t10k-labels-idx1-ubyte.gz`.
    pub path: String,
    /// Where it can be downloaded, best first.
    pub urls: Vec<String>,
    /// Length of the unpacked content in bytes.
    pub size: u64,
    /// SHA-256 of the unpacked content in hexadecimal digits. Packed files differ from mirror to mirror; their content does not.
    pub sha256: String,
    /// The licence of the content.
    pub licence: String,
    /// What to do if the file is nowhere and cannot be downloaded.
    pub way_out: String,
}

/// The folders of this machine that hold data sets.
#[derive(Clone, Debug)]
pub struct Store {
    /// Searched in this order. Each holds one folder per data set, such as `mnist`.
    pub folders: Vec<PathBuf>,
    /// Where downloads are kept.
    pub cache: PathBuf,
}

impl Store {
    /// The folder named by `DLDNA_DATA`, the repository's `data/cache`, Debian's `/usr/share/datasets`; downloads go to the first of
    /// them that is not for reading only.
    pub fn standard() -> Store {
        let (chosen, cache) = (chosen_folder(), shipped().join("cache"));
        let is_writable = |folder: &PathBuf| atomic_file::probe(&folder.join("file")).is_ok();
        Store {
            cache: chosen.clone().filter(is_writable).unwrap_or(cache.clone()),
            folders: chosen
                .into_iter()
                .chain([cache, "/usr/share/datasets".into()])
                .collect(),
        }
    }

    /// The unpacked content of a file: from the first folder that has it, packed or not, or downloaded.
    ///
    /// A file is also found under the names that other programs give it: with a dot before `idx` (7-Zip), in torchvision's folder
    /// `MNIST/raw`, in a folder of its own name (Kaggle), or in the data folder itself.
    ///
    /// Length and SHA-256 are checked in each case. A download appears in the cache whole or not at all: it is checked in memory,
    /// written to a temporary file beside its place, and renamed. What came of one that failed is kept beside it, as `*.part`, and
    /// the next call goes on from there. Two processes that download the same file do no harm to each other.
    ///
    /// # Errors
    /// If a file that was found is damaged, if the cache cannot be written, or if no address delivers the right file.
    pub fn load(&self, file: &RemoteFile) -> Result<Vec<u8>, DataError> {
        self.load_with(file, unpack_checked)
    }

    /// The same for a file whose size and SHA-256 are those of the packed bytes: they come as they are.
    pub(super) fn load_packed(&self, file: &RemoteFile) -> Result<Vec<u8>, DataError> {
        self.load_with(file, |bytes, file| checked(bytes.to_vec(), file))
    }

    fn load_with(&self, file: &RemoteFile, check: Check) -> Result<Vec<u8>, DataError> {
        if let Some(path) = self.find(file) {
            return read_checked(&path, file, check);
        }
        let loose = self.loose_places(file).into_iter();
        let mut right = loose.filter_map(|path| read_checked(&path, file, check).ok());
        right.next().map_or_else(|| self.download(file, check), Ok)
    }

    /// The first of the places where no other file can be meant.
    fn find(&self, file: &RemoteFile) -> Option<PathBuf> {
        let (set, name) = file.path.rsplit_once('/').unwrap_or(("", &file.path));
        let sets = [set, torchvision_folder(set)];
        let folders = self.folders.iter();
        let places = folders.flat_map(|folder| sets.map(|set| folder.join(set)));
        places.flat_map(|folder| files_named(&folder, name)).next()
    }

    /// Files of the right name outside of a folder of the set: MNIST and Fashion-MNIST share their names.
    fn loose_places(&self, file: &RemoteFile) -> Vec<PathBuf> {
        let name = file.path.rsplit('/').next().unwrap_or(&file.path);
        let folders = self.folders.iter();
        folders
            .flat_map(|folder| files_named(folder, name))
            .collect()
    }

    fn download(&self, file: &RemoteFile, check: Check) -> Result<Vec<u8>, DataError> {
        let target = self.cache.join(&file.path);
        let unwritable = |source| DataError::Write {
            path: target.clone(),
            source,
        };
        // A cache that cannot be written is better known before the download than after it.
        fs::create_dir_all(target.parent().unwrap_or(&self.cache)).map_err(unwritable)?;
        atomic_file::probe(&target).map_err(unwritable)?;
        // Mirrors pack the same content differently: each has a part of its own.
        let parts: Vec<PathBuf> = (1..=file.urls.len()).map(|n| part_of(&target, n)).collect();
        let (mut attempts, mut kept) = (Vec::new(), 0);
        for (url, part) in file.urls.iter().zip(&parts) {
            let mut received = Received::in_file(part);
            match download_from(url, file, check, &mut received) {
                Ok(content) => {
                    let written = atomic_file::write(&target, &received.bytes);
                    received.remove_file();
                    written.map_err(unwritable)?;
                    // Those of other mirrors are of no more use.
                    parts.iter().for_each(|part| drop(fs::remove_file(part)));
                    return Ok(content);
                }
                Err(error) => attempts.push(error),
            }
            kept = kept.max(received.keep());
            if interrupt::is_requested() {
                break; // no other mirror is meant either
            }
        }
        Err(DataError::Unavailable {
            path: file.path.clone(),
            folders: self.folders.clone(),
            attempts,
            kept,
            way_out: file.way_out.clone(),
        })
    }
}

/// The content of a file from one address. If it turns out wrong after going on from an earlier part, it is asked for anew.
fn download_from(
    url: &str,
    file: &RemoteFile,
    check: Check,
    received: &mut Received,
) -> Result<Vec<u8>, DataError> {
    let limit = file.size + GZIP_OVERHEAD;
    let was_begun = received.len() > 0;
    fetch_rest(url, limit, received)?;
    let mut content = check(&received.bytes, file);
    if content.is_err() && was_begun {
        received.clear();
        fetch_rest(url, limit, received)?;
        content = check(&received.bytes, file);
    }
    if content.is_err() {
        received.clear();
    }
    content.map_err(|error| error.at(url))
}

/// Where a part of a download from the `n`-th address is kept.
fn part_of(target: &Path, n: usize) -> PathBuf {
    let mut name = target.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{n}.part"));
    target.with_file_name(name)
}

/// What torchvision calls the folder of a set.
fn torchvision_folder(set: &str) -> &str {
    match set {
        "mnist" => "MNIST/raw",
        "fashion-mnist" => "FashionMNIST/raw",
        other => other,
    }
}

/// The files in `folder` that can be the one called `name`: packed or not, with 7-Zip's dot, in a folder of the same name.
fn files_named(folder: &Path, name: &str) -> Vec<PathBuf> {
    let plain = name.strip_suffix(".gz").unwrap_or(name);
    let mut names = vec![name.to_owned(), plain.to_owned()];
    if plain.contains("-idx") {
        names.extend([name.replace("-idx", ".idx"), plain.replace("-idx", ".idx")]);
    }
    let places = names.iter().flat_map(|name| {
        let itself = folder.join(name);
        let inside = names.iter().map(|name| itself.join(name));
        let inside: Vec<PathBuf> = inside.collect();
        std::iter::once(itself).chain(inside)
    });
    places.filter(|path| path.is_file()).collect()
}

/// Turns the bytes of a file into its content, and checks that it is the right one.
type Check = fn(&[u8], &RemoteFile) -> Result<Vec<u8>, DataError>;

fn read_checked(path: &Path, file: &RemoteFile, check: Check) -> Result<Vec<u8>, DataError> {
    let unreadable = |source| DataError::Read {
        path: path.into(),
        source,
    };
    let length = fs::metadata(path).map_err(unreadable)?.len();
    let content = if length > file.size + GZIP_OVERHEAD {
        Err(DataError::FileSize {
            expected: file.size,
            found: format!("a file of {length}"),
        })
    } else {
        check(&fs::read(path).map_err(unreadable)?, file)
    };
    content.map_err(|error| DataError::Damaged {
        path: path.into(),
        source: Box::new(error),
    })
}

fn unpack_checked(bytes: &[u8], file: &RemoteFile) -> Result<Vec<u8>, DataError> {
    let content = if is_gzip(bytes) {
        gunzip(bytes, file.size + 1)?
    } else {
        bytes.to_vec()
    };
    checked(content, file)
}

/// The content, if it has the right length and SHA-256.
fn checked(content: Vec<u8>, file: &RemoteFile) -> Result<Vec<u8>, DataError> {
    let found = content.len() as u64;
    if found != file.size {
        let found = if found > file.size {
            "more".to_string()
        } else {
            found.to_string()
        };
        return Err(DataError::FileSize {
            expected: file.size,
            found,
        });
    }
    let found: String = digest(&SHA256, &content)
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    if !found.eq_ignore_ascii_case(&file.sha256) {
        return Err(DataError::Hash {
            expected: file.sha256.clone(),
            found,
        });
    }
    Ok(content)
}
