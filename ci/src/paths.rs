//! Where things lie: the repository, and `.lab/`, the folder that `cargo lab` makes in it.
use anyhow::{Context, Result};
use std::fs;
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

/// The package below it: layers, networks, training.
pub fn engine() -> PathBuf {
    dldna().join("nn")
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

/// Puts a copy of a program in place at once, also while the old one runs.
pub fn put_in_place(from: &Path, to: &Path) -> Result<()> {
    let same = |a: &Path, b: &Path| -> Option<bool> {
        let (a, b) = (fs::metadata(a).ok()?, fs::metadata(b).ok()?);
        Some(a.len() == b.len() && a.modified().ok()? <= b.modified().ok()?)
    };
    if same(from, to) != Some(true) {
        let new = to.with_extension(format!("new{}", std::process::id()));
        fs::copy(from, &new)
            .with_context(|| format!("copying {} to {}", from.display(), new.display()))?;
        fs::rename(&new, to)?;
    }
    Ok(())
}
