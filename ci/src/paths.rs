//! Where things lie: the repository, and `.lab/`, the folder that `cargo lab` makes in it.
use std::path::{Path, PathBuf};

/// The repository that this program was built in. A repository that was moved is built anew, so
/// this is never stale.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the crate lies in the repository")
}

/// The crate that the notebooks use.
pub fn dldna() -> PathBuf {
    repository().join("dldna")
}

/// The notebooks.
pub fn notebooks() -> PathBuf {
    repository().join("notebooks")
}

/// Everything that is made here and not committed. Deleting it is always safe.
pub fn lab() -> PathBuf {
    repository().join(".lab")
}

/// One program, with the ending that the platform wants.
pub fn executable(directory: &Path, name: &str) -> PathBuf {
    directory.join(format!("{name}{}", std::env::consts::EXE_SUFFIX))
}
