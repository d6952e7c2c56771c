//! Finds the files of the full data sets on this machine, or downloads them.

use std::fs;
use std::path::{Path, PathBuf};

use ring::digest::{SHA256, digest};
use serde::Deserialize;

use super::idx::{gunzip, is_gzip};
use super::{DataError, chosen_folder, shipped};
use crate::atomic_file;
use crate::download::fetch;

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
    /// The folder named by `DLDNA_DATA`, the repository's `data/cache`, Debian's `/usr/share/datasets`; downloads go to `data/cache`.
    pub fn standard() -> Store {
        let cache = shipped().join("cache");
        let folders = chosen_folder()
            .into_iter()
            .chain([cache.clone(), "/usr/share/datasets".into()])
            .collect();
        Store { folders, cache }
    }

    /// The unpacked content of a file: from the first folder that has it, packed or not, or downloaded.
    ///
    /// Length and SHA-256 are checked in each case. A download appears in the cache whole or not at all: it is checked in memory,
    /// written to a temporary file beside its place, and renamed. Two processes that download the same file do no harm to each other.
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
        match self.find(file) {
            Some(path) => read_checked(&path, file, check),
            None => self.download(file, check),
        }
    }

    fn find(&self, file: &RemoteFile) -> Option<PathBuf> {
        let plain = file.path.strip_suffix(".gz").unwrap_or(&file.path);
        let places = self
            .folders
            .iter()
            .flat_map(|folder| [folder.join(&file.path), folder.join(plain)]);
        places.into_iter().find(|path| path.exists())
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
        let mut attempts = Vec::new();
        for url in &file.urls {
            let packed = match fetch(url, file.size + GZIP_OVERHEAD) {
                Ok(packed) => packed,
                Err(error) => {
                    attempts.push(DataError::from(error));
                    continue;
                }
            };
            match check(&packed, file) {
                Ok(content) => {
                    atomic_file::write(&target, &packed).map_err(unwritable)?;
                    return Ok(content);
                }
                Err(error) => attempts.push(error.at(url)),
            }
        }
        Err(DataError::Unavailable {
            path: file.path.clone(),
            folders: self.folders.clone(),
            attempts,
            way_out: file.way_out.clone(),
        })
    }
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
