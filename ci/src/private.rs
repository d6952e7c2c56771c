//! Files and folders that only their owner can read: those that hold a key or a part of an environment.
//!
//! On Unix they have the modes 0600 and 0700 from the moment they exist. On Windows they inherit the access list of
//! the user's folders.
#[cfg(unix)]
use anyhow::ensure;
use anyhow::{Context, Result};
use std::fs::DirBuilder;
#[cfg(unix)]
use std::io::ErrorKind;
use std::io::Write;
use std::path::Path;
#[cfg(unix)]
use std::path::PathBuf;
use tempfile::{NamedTempFile, TempDir};

/// Writes a file, replacing one that may be there as a whole.
pub fn write(path: &Path, content: &[u8]) -> Result<()> {
    let context = || format!("writing {}", path.display());
    let folder = path.parent().with_context(context)?;
    let mut file = NamedTempFile::new_in(folder).with_context(context)?;
    file.write_all(content).with_context(context)?;
    file.persist(path).with_context(context)?;
    Ok(())
}

/// Makes a folder and those above it; one that is there is closed to others.
pub fn create_folder(path: &Path) -> Result<()> {
    let context = || format!("making the folder {}", path.display());
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).with_context(context)?;
    #[cfg(unix)]
    if let Err(error) = std::fs::set_permissions(path, owner_only()) {
        let has_no_modes = [ErrorKind::PermissionDenied, ErrorKind::Unsupported];
        // A file system without modes, such as exFAT, refuses; who may read there is settled where it is mounted.
        if !has_no_modes.contains(&error.kind()) {
            return Err(error).with_context(context);
        }
    }
    Ok(())
}

/// Makes a folder for temporary files, which goes when it is dropped.
pub fn temporary_folder(prefix: &str) -> Result<TempDir> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(prefix);
    #[cfg(unix)]
    builder.permissions(owner_only());
    builder.tempdir().context("making a temporary folder")
}

/// A lasting folder of this user's among the temporary files, where others could make one of the same name first.
#[cfg(unix)]
pub fn own_folder(name: &str) -> Result<PathBuf> {
    use std::os::unix::fs::MetadataExt;
    let user = rustix::process::geteuid();
    let path = std::env::temp_dir().join(format!("{name}-{}", user.as_raw()));
    create_folder(&path)?;
    let found = std::fs::symlink_metadata(&path)?;
    ensure!(
        found.is_dir() && found.uid() == user.as_raw(),
        "{} belongs to somebody else; set TMPDIR to a folder of your own",
        path.display()
    );
    Ok(path)
}

#[cfg(unix)]
fn owner_only() -> std::fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(0o700)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn only_the_owner_can_read() {
        let folder = temporary_folder("ci-private-test-").unwrap();
        assert_eq!(mode(folder.path()), 0o700);
        let inner = folder.path().join("a/b");
        create_folder(&inner).unwrap();
        assert_eq!(mode(&inner), 0o700);
        let file = inner.join("file");
        write(&file, b"key").unwrap();
        assert_eq!(mode(&file), 0o600);
    }

    #[test]
    fn what_was_open_is_closed() {
        let folder = temporary_folder("ci-private-test-").unwrap();
        let open = folder.path().join("open");
        fs::create_dir(&open).unwrap();
        let file = open.join("file");
        fs::write(&file, "old").unwrap();
        for path in [&open, &file] {
            fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
        }
        create_folder(&open).unwrap();
        write(&file, b"new").unwrap();
        assert_eq!((mode(&open), mode(&file)), (0o700, 0o600));
        assert_eq!(fs::read_to_string(&file).unwrap(), "new");
    }
}
