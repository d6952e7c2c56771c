//! Locks between processes. The operating system drops them when their holder ends, however it ends.
use anyhow::{Context, Result};
use std::fs::{File, TryLockError};
use std::path::Path;

/// Opens a lock file, which is made if it is missing.
pub fn open(path: &Path) -> Result<File> {
    File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .read(true)
        .open(path)
        .with_context(|| format!("opening the lock {}", path.display()))
}

/// Waits until nobody else holds the lock. Says so once, if it has to wait.
pub fn hold(path: &Path, while_waiting: &str) -> Result<File> {
    let file = open(path)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            eprintln!("{while_waiting}");
            file.lock()?;
        }
        Err(TryLockError::Error(error)) => {
            return Err(error).with_context(|| format!("locking {}", path.display()));
        }
    }
    Ok(file)
}

/// Whether some process holds the lock.
pub fn is_held(path: &Path) -> Result<bool> {
    match open(path)?.try_lock() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("locking {}", path.display()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_held_until_it_is_dropped() {
        let path = std::env::temp_dir().join(format!("ci-lock-test-{}", std::process::id()));
        let lock = hold(&path, "").unwrap();
        assert!(is_held(&path).unwrap());
        drop(lock);
        assert!(!is_held(&path).unwrap());
        std::fs::remove_file(&path).unwrap();
    }
}
