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
    unfinished.write_all(bytes)?;
    // On the disk before it has its name: after a power cut there is a whole file.
    unfinished.as_file().sync_all()?;
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
        let _ = File::open(folder_of(path)).and_then(|folder| folder.sync_all());
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
