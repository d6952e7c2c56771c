//! Locks between processes. The operating system drops them when their holder ends, however it ends.
use anyhow::{Context, Result};
use std::fs::{File, TryLockError};
use std::io::{Read, Write};
use std::path::Path;
use std::process::Command;

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

/// Stands in the lock file of a process that could not lock it. On another machine, or in another container, a process that can
/// would take the file for one that nobody holds.
const CANNOT_LOCK: &str = "held by a process that has no locks\n";

/// Waits until nobody else holds the lock. Says so once, if it has to wait. Where the file system has no locks it goes
/// on without, as cargo does.
pub fn hold(path: &Path, while_waiting: &str) -> Result<File> {
    let mut file = open(path)?;
    let context = || format!("locking {}", path.display());
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            eprintln!("{while_waiting}");
            file.lock().with_context(context)?;
        }
        Err(TryLockError::Error(_)) => {
            file.write_all(CANNOT_LOCK.as_bytes())
                .with_context(context)?;
            return Ok(file);
        }
    }
    file.set_len(0).with_context(context)?;
    Ok(file)
}

/// Whether some process holds the lock; `None` where this process, or the one that opened it last, has no locks.
pub fn is_held(path: &Path) -> Result<Option<bool>> {
    let mut file = open(path)?;
    let mut content = String::new();
    Ok(match file.try_lock() {
        Ok(()) if file.read_to_string(&mut content).is_ok() && content == CANNOT_LOCK => None,
        Ok(()) => Some(false),
        Err(TryLockError::WouldBlock) => Some(true),
        Err(TryLockError::Error(_)) => None,
    })
}

/// Where a file system has no locks, the compiler can keep nothing for its next call, and would end with an error.
pub fn set_incremental(command: &mut Command, folder: &Path) -> Result<()> {
    match is_held(&folder.join("lock"))? {
        Some(_) => command.env_remove("CARGO_INCREMENTAL"), // as the manifest says
        None => command.env("CARGO_INCREMENTAL", "0"),
    };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_held_until_it_is_dropped() {
        let path = std::env::temp_dir().join(format!("ci-lock-test-{}", std::process::id()));
        let lock = hold(&path, "").unwrap();
        assert_eq!(is_held(&path).unwrap(), Some(true));
        drop(lock);
        assert_eq!(is_held(&path).unwrap(), Some(false));
        // One that has no locks leaves a word, and one that has takes it away.
        std::fs::write(&path, CANNOT_LOCK).unwrap();
        assert_eq!(is_held(&path).unwrap(), None);
        drop(hold(&path, "").unwrap());
        assert_eq!(is_held(&path).unwrap(), Some(false));
        std::fs::remove_file(&path).unwrap();
    }
}
