//! Files that are written whole or not at all.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use tempfile::NamedTempFile;

/// Gives the file at `path` the content `bytes`, whether it exists or not.
///
/// Whoever reads it meets the old content or the new one, never a part, and so it is after a crash. Of several writers the last
/// one wins.
///
/// # Errors
/// Those of the system: then the file is as it was.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut unfinished = unfinished(path)?;
    faults::Disk(unfinished.as_file_mut()).write_all(bytes)?;
    // On the disk before it has its name: after a power cut there is a whole file.
    faults::call()?;
    unfinished.as_file().sync_all()?;
    faults::call()?;
    unfinished.persist(path)?;
    sync_folder(path);
    Ok(())
}

/// Finds out whether [`write()`] could begin. Nothing is left behind.
///
/// # Errors
/// Those of the system.
pub fn probe(path: &Path) -> io::Result<()> {
    unfinished(path)?.close()
}

/// A file with a name of its own beside `path`: a rename within a folder is one step. Dropped, it goes away.
fn unfinished(path: &Path) -> io::Result<NamedTempFile> {
    faults::call()?;
    let mut builder = tempfile::Builder::new();
    builder.prefix(".unfinished-");
    // As open to others as any new file; by default only its owner could read it.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(folder_of(path))
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

/// Puts the new name on the disk, too. Not every file system can: then a power cut may bring the old content back, whole.
fn sync_folder(path: &Path) {
    if cfg!(unix) {
        let _ = faults::call()
            .and_then(|()| File::open(folder_of(path)))
            .and_then(|folder| folder.sync_all());
    }
}

/// The layer below all that this crate and `dldna` write: tests make the disk fail there, at each call to it.
#[doc(hidden)]
pub mod faults {
    use std::cell::Cell;
    use std::io::{self, Write};

    /// What a disk does from some call on.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Fault {
        /// It is full, and stays so: a write writes half of what it should, or nothing.
        Full,
        /// One call fails.
        Failing,
        /// One write writes no more than half.
        Short,
    }

    thread_local! {
        static FAULT: Cell<Option<(Fault, usize)>> = const { Cell::new(None) };
        static CALLS: Cell<usize> = const { Cell::new(0) };
    }

    /// What `work` gives on a disk whose call number `at`, from 0, meets the fault, and how many calls there were. The calls
    /// are those of this thread.
    pub fn with<T>(fault: Fault, at: usize, work: impl FnOnce() -> T) -> (T, usize) {
        FAULT.set(Some((fault, at)));
        CALLS.set(0);
        let result = work();
        FAULT.set(None);
        (result, CALLS.get())
    }

    /// The fault of the next call.
    fn next() -> Option<Fault> {
        let call = CALLS.replace(CALLS.get() + 1);
        let (fault, at) = FAULT.get()?;
        let met = call == at || (fault == Fault::Full && call > at);
        met.then_some(fault)
    }

    /// A call that is no write.
    pub(super) fn call() -> io::Result<()> {
        match next() {
            Some(Fault::Full) => Err(io::ErrorKind::StorageFull.into()),
            Some(Fault::Failing) => Err(io::Error::other("a fault of the disk")),
            Some(Fault::Short) | None => Ok(()),
        }
    }

    /// A file on such a disk.
    pub(super) struct Disk<W>(pub(super) W);

    impl<W: Write> Write for Disk<W> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let half = &bytes[..bytes.len().div_ceil(2)];
            match next() {
                None => self.0.write(bytes),
                Some(Fault::Short) => self.0.write(half),
                Some(Fault::Full) => {
                    self.0.write_all(half)?;
                    Err(io::ErrorKind::StorageFull.into())
                }
                Some(Fault::Failing) => Err(io::Error::other("a fault of the disk")),
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            self.0.flush()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name();
        entries
            .map(|entry| name(entry).into_string().unwrap())
            .collect()
    }

    #[test]
    fn a_file_is_made_and_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        write(&path, b"a long first content").unwrap();
        write(&path, b"second").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"second");
        probe(&path).unwrap();
        assert_eq!(names(folder.path()), ["file"]);
    }

    #[test]
    fn what_fails_changes_nothing_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        // The new content is complete when it turns out that its name is taken by a folder.
        let taken = folder.path().join("taken");
        fs::create_dir(&taken).unwrap();
        fs::write(taken.join("file"), b"old").unwrap();
        assert!(write(&taken, b"new").is_err());
        assert_eq!(names(folder.path()), ["taken"]);
        assert_eq!(fs::read(taken.join("file")).unwrap(), b"old");

        let missing = folder.path().join("missing/file");
        for error in [write(&missing, b"new"), probe(&missing)] {
            assert_eq!(error.unwrap_err().kind(), io::ErrorKind::NotFound);
        }
    }

    #[test]
    fn readers_and_other_writers_never_meet_a_part() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let content = |writer: u8| vec![writer; 100_000 + usize::from(writer)];
        write(&path, &content(0)).unwrap();
        std::thread::scope(|scope| {
            for writer in 1..=3 {
                let path = &path;
                scope.spawn(move || {
                    for _ in 0..20 {
                        write(path, &content(writer)).unwrap();
                    }
                });
            }
            for _ in 0..200 {
                let read = fs::read(&path).unwrap();
                assert_eq!(read, content(read[0]));
            }
        });
        assert_eq!(names(folder.path()), ["file"]);
    }

    #[cfg(unix)]
    #[test]
    fn a_new_file_is_as_open_as_others() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let (ours, others) = (folder.path().join("ours"), folder.path().join("others"));
        write(&ours, b"").unwrap();
        fs::write(&others, b"").unwrap();
        let mode = |path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(ours), mode(others));
    }
}
