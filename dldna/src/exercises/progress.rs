//! What the learner has done, kept from day to day.

use super::{exercises, find};
use crate::atomic_file;
use crate::table::Table;
use std::collections::BTreeSet;
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// The name of the file, in the notebook's folder.
pub const PROGRESS_FILE: &str = "exercise_progress.txt";

/// The environment variable that names another file.
pub const PROGRESS_VARIABLE: &str = "DLDNA_PROGRESS";

const HEADER: &str =
    "# What has passed: an exercise and its part on each line. Written by dldna.\n";

/// Exercise and part.
type Passed = BTreeSet<(String, String)>;

/// Why progress could not be kept.
#[derive(Debug, thiserror::Error)]
enum ProgressError {
    #[error("could not read {path}: {source}", path = path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("could not write {path}: {source}", path = path.display())]
    Write { path: PathBuf, source: io::Error },
}

/// The table of all exercises.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    passed: Passed,
    /// Why it may not be complete.
    trouble: Option<String>,
}

/// What has been done of the exercises. Where the file cannot be read, the table says so.
///
/// # Example
/// ```
/// # std::env::set_current_dir(std::env::temp_dir())?;
/// let table = dldna::exercises::progress().to_string();
/// assert!(table.contains("basic-1"));
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn progress() -> Progress {
    at(&path(), |_| {})
}

/// Forgets what has been done.
///
/// # Example
/// ```
/// # std::env::set_current_dir(tempfile::tempdir()?.keep())?;
/// use dldna::exercises;
///
/// exercises::done("basic-1");
/// assert_eq!(exercises::reset(), exercises::progress());
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn reset() -> Progress {
    at(&path(), Passed::clear)
}

/// Notes a part that passed. Returns what to tell the learner about it.
pub(super) fn record(exercise: &'static str, part: &'static str) -> Vec<(&'static str, String)> {
    let progress = at(&path(), |passed| {
        passed.insert((exercise.to_owned(), part.to_owned()));
    });
    let left = progress.left(exercise);
    let state = if left.is_empty() {
        format!("{exercise} is done.")
    } else {
        format!("In {exercise} there is left: {}", left.join(", "))
    };
    let trouble = progress.trouble.map(|trouble| ("progress", trouble));
    std::iter::once(("", state)).chain(trouble).collect()
}

fn path() -> PathBuf {
    std::env::var_os(PROGRESS_VARIABLE).map_or_else(|| PathBuf::from(PROGRESS_FILE), PathBuf::from)
}

/// Changes what the file at `path` holds. Where that fails, what holds for now is returned with the reason.
fn at(path: &Path, change: impl FnOnce(&mut Passed)) -> Progress {
    let mut passed = Passed::new();
    let trouble = match update(path, change, &mut passed) {
        Ok(damage) => damage,
        Err(error) => Some(format!("Progress is not kept: {error}")),
    };
    Progress { passed, trouble }
}

/// Reads, changes and writes the file while no other notebook does. Returns what was wrong with it.
fn update(
    path: &Path,
    change: impl FnOnce(&mut Passed),
    passed: &mut Passed,
) -> Result<Option<String>, ProgressError> {
    let lock = path.with_extension("lock");
    let _lock = lock_file(&lock).map_err(|source| ProgressError::Write { path: lock, source })?;
    let bytes = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        bytes => bytes.map_err(|source| ProgressError::Read {
            path: path.to_owned(),
            source,
        })?,
    };
    let text = String::from_utf8_lossy(&bytes);
    let (read, damaged) = parse(&text);
    *passed = read.clone();
    change(passed);

    let write_error = |source| ProgressError::Write {
        path: path.to_owned(),
        source,
    };
    let mut damage = None;
    if let Some(line) = damaged {
        let aside = keep_aside(path, &bytes).map_err(write_error)?;
        damage = Some(format!(
            "Line {line} of {} cannot be read. The file is kept as {}; what could be read of it still counts.",
            path.display(),
            aside.display()
        ));
    }
    if *passed != read || damage.is_some() {
        atomic_file::write(path, to_text(passed).as_bytes()).map_err(write_error)?;
    }
    Ok(damage)
}

fn lock_file(path: &Path) -> io::Result<File> {
    // Windows locks no file that is only to be appended to.
    let file = File::options()
        .create(true)
        .read(true)
        .append(true)
        .open(path)?;
    file.lock()?;
    Ok(file)
}

/// What the text says, and the number of the first line that says nothing.
fn parse(text: &str) -> (Passed, Option<usize>) {
    let mut passed = Passed::new();
    let mut damaged = None;
    for (index, line) in text.lines().enumerate() {
        if line.starts_with('#') || line.trim().is_empty() {
            continue;
        }
        let is_name = |word: &str| {
            let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            !word.is_empty() && word.chars().all(allowed)
        };
        match line.split_once(' ') {
            Some((exercise, part)) if is_name(exercise) && is_name(part) => {
                passed.insert((exercise.to_owned(), part.to_owned()));
            }
            _ => damaged = damaged.or(Some(index + 1)),
        }
    }
    (passed, damaged)
}

/// Copies a damaged file to a name that is free.
fn keep_aside(path: &Path, bytes: &[u8]) -> io::Result<PathBuf> {
    let free = (1..)
        .map(|number| path.with_extension(format!("damaged-{number}.txt")))
        .find(|path| !path.exists());
    let aside = free.expect("an endless range");
    atomic_file::write(&aside, bytes)?;
    Ok(aside)
}

/// What the file says of what passed.
fn to_text(passed: &Passed) -> String {
    let lines = passed
        .iter()
        .map(|(exercise, part)| format!("{exercise} {part}\n"));
    std::iter::once(HEADER.to_owned()).chain(lines).collect()
}

impl Progress {
    /// The parts of an exercise that have not passed.
    fn left(&self, exercise: &str) -> Vec<&'static str> {
        let parts = find(exercise).into_iter().flat_map(|it| it.parts);
        parts
            .map(|part| part.name)
            .filter(|part| !self.has_passed(exercise, part))
            .collect()
    }

    fn has_passed(&self, exercise: &str, part: &str) -> bool {
        self.passed
            .contains(&(exercise.to_owned(), part.to_owned()))
    }

    fn table(&self) -> Table {
        let mut table = Table::new(&["Exercise", "Passed", "Title", "Left"], 4);
        for exercise in exercises() {
            let left = self.left(exercise.id);
            let all = exercise.parts.len();
            table.push(vec![
                exercise.id.to_owned(),
                format!("{} of {all}", all - left.len()),
                exercise.title.to_owned(),
                left.join(", "),
            ]);
        }
        table
    }

    fn caption(&self) -> String {
        let done = exercises()
            .filter(|exercise| !exercise.parts.is_empty() && self.left(exercise.id).is_empty());
        let done = format!(
            "{} of {} exercises are done.",
            done.count(),
            exercises().count()
        );
        match &self.trouble {
            Some(trouble) => format!("{done}\n{trouble}"),
            None => done,
        }
    }

    /// Shows the table in a notebook.
    pub fn evcxr_display(&self) {
        self.table().show(&self.caption());
    }
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.table(), self.caption())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record_at(path: &Path, part: &str) -> Progress {
        at(path, |passed| {
            passed.insert(("basic-1".to_owned(), part.to_owned()));
        })
    }

    fn file() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(PROGRESS_FILE);
        (folder, path)
    }

    #[test]
    fn what_passed_is_there_the_next_day() {
        let (_folder, path) = file();
        record_at(&path, "correlate");
        record_at(&path, "sobel");
        let next_day = at(&path, |_| {});
        assert_eq!(next_day.left("basic-1"), ["written"]);
        assert_eq!(next_day.trouble, None);
        assert!(next_day.to_string().contains("2 of 3"), "{next_day}");

        record_at(&path, "written");
        let done = |number| format!("{number} of {}", exercises().count());
        assert!(at(&path, |_| {}).caption().starts_with(&done(1)));
        assert!(at(&path, Passed::clear).caption().starts_with(&done(0)));
        assert!(at(&path, |_| {}).passed.is_empty());
    }

    #[test]
    fn parts_of_another_version_are_kept() {
        let (_folder, path) = file();
        fs::write(&path, "basic-1 renamed_since\n").unwrap();
        assert_eq!(record_at(&path, "sobel").trouble, None);
        let text = fs::read_to_string(&path).unwrap();
        assert!(
            text.contains("basic-1 renamed_since\nbasic-1 sobel\n"),
            "{text}"
        );
    }

    #[test]
    fn a_damaged_file_is_kept_aside_and_named() {
        let (folder, path) = file();
        let damaged = b"basic-1 correlate\n\0\0\xff\xff\0\nbasic-1 written\n";
        for number in 1..=2 {
            fs::write(&path, damaged).unwrap();
            let trouble = record_at(&path, "sobel").trouble.unwrap();
            let aside = format!("exercise_progress.damaged-{number}.txt");
            assert!(
                trouble.contains("Line 2") && trouble.contains(&aside),
                "{trouble}"
            );
            assert_eq!(fs::read(folder.path().join(aside)).unwrap(), damaged);

            let mended = at(&path, |_| {});
            assert_eq!(mended.trouble, None);
            assert!(
                mended.left("basic-1").is_empty(),
                "what could be read is lost"
            );
        }
    }

    #[test]
    fn a_file_that_cannot_be_written_is_told() {
        let (folder, _) = file();
        let progress = record_at(&folder.path().join("no/such/folder.txt"), "sobel");
        assert!(progress.trouble.unwrap().contains("no/such/folder"));
    }

    #[test]
    fn two_notebooks_lose_nothing_of_each_other() {
        let (_folder, path) = file();
        std::thread::scope(|scope| {
            for notebook in 0..4 {
                let path = &path;
                scope.spawn(move || {
                    for part in 0..25 {
                        let progress = record_at(path, &format!("part-{notebook}-{part}"));
                        assert_eq!(progress.trouble, None);
                    }
                });
            }
        });
        assert_eq!(at(&path, |_| {}).passed.len(), 100);
    }
}
