//! When the compiler was called for cells, noted for the figures of `cargo nb --timings`.
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The environment variable that names the file. Without it nothing is noted.
pub const FILE: &str = "DLDNA_COMPILER_CALLS";

/// One call of the compiler.
#[derive(Debug, PartialEq)]
pub struct Call {
    pub begin: SystemTime,
    pub end: SystemTime,
}

/// Adds a line for a call that ends now: begin and end in nanoseconds since 1970.
pub fn note(file: &Path, begin: SystemTime) -> std::io::Result<()> {
    use std::io::Write;
    let [begin, end] = [begin, SystemTime::now()].map(|time| {
        time.duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_nanos()
    });
    let mut file = fs::File::options().append(true).create(true).open(file)?;
    file.write_all(format!("{begin} {end}\n").as_bytes())
}

/// The calls in such a file; none if there is no file.
pub fn read(file: &Path) -> Vec<Call> {
    let text = fs::read_to_string(file).unwrap_or_default();
    let time = |word: &str| Some(UNIX_EPOCH + Duration::from_nanos(word.parse().ok()?));
    let call = |line: &str| {
        let (begin, end) = line.split_once(' ')?;
        Some(Call {
            begin: time(begin)?,
            end: time(end)?,
        })
    };
    text.lines().filter_map(call).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_read_as_they_were_noted() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("calls.txt");
        assert_eq!(read(&file), []);
        let begin = UNIX_EPOCH + Duration::from_millis(1500);
        note(&file, begin).unwrap();
        note(&file, SystemTime::now()).unwrap();
        let calls = read(&file);
        assert_eq!(calls.len(), 2);
        assert_eq!(calls[0].begin, begin);
        assert!(calls[0].end <= calls[1].begin && calls[1].begin <= calls[1].end);
    }
}
