//! The compiler's second call for a cell that moves a variable, made beside the first one.
//!
//! The kernel's program has each cell put all its variables back into the store. Which of them the cell has moved it learns from the
//! compiler's errors, and then has the cell compiled again without those. Where the words of a cell tell which these will be
//! ([`moves`](super::moves)), the other core compiles what the program will ask for next, while the first call still finds the errors.
use anyhow::Result;
use serde_json::Value;
use std::collections::{BTreeSet, HashMap};
use std::fs::{self, File};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::lean::{errors, variable};
use super::moves;

/// The folder below a kernel's in which the second call works.
pub const FOLDER: &str = "ahead";
/// In it: the source that was compiled, if it was ..
const SOURCE: &str = "compiled.rs";
/// .. and what the compiler has said about it.
const SAID: &str = "said.json";

/// The source of the call that is expected to follow the one for `source`; `None` where none is.
pub fn expected(source: &str) -> Option<Expected> {
    let start = source.find("\npub extern \"C\" fn run_user_code_")? + 1;
    let function = &source[start..];
    let variables: HashMap<&str, &str> = function.lines().filter_map(put).collect();
    let readers: Vec<&str> = function
        .lines()
        .filter(|line| variable(line).is_none())
        .collect();
    let moved = moves::moved(readers.join("\n").parse().ok()?, &variables);
    if moved.is_empty() {
        return None;
    }
    let stays = |line: &&str| put(line).is_none_or(|(name, _)| !moved.contains(name));
    let without: Vec<&str> = function.split('\n').filter(stays).collect();
    Some(Expected {
        source: source[..start].to_owned() + &without.join("\n"),
        moved,
    })
}

/// What the kernel's program is expected to ask for next.
pub struct Expected {
    pub source: String,
    moved: BTreeSet<String>,
}

/// The variable that a statement of the kernel's puts back, and its type.
fn put(line: &str) -> Option<(&str, &str)> {
    let (call, _) = line.split_once(">(stringify!(")?;
    let ty = call.strip_prefix("evcxr_variable_store.put_variable::<")?;
    Some((variable(line)?, ty))
}

impl Expected {
    /// Whether the compiler has printed the errors by which the kernel's program learns of just these moves.
    /// Where one is about a value that the cell ends with, it will show that in another way, too.
    fn follows(&self, said: &str, source: &str) -> bool {
        let lines: Vec<&str> = source.lines().collect();
        let shown = shown(&lines);
        let mut found = BTreeSet::new();
        for error in errors(said) {
            if error["code"].is_null() {
                continue; // how many there are
            }
            let name = moved_by(&error).and_then(|line| Some(put(lines.get(line - 1)?)?.0));
            match name {
                Some(name) if !spans(&error).any(|span| shown.contains(&line_of(span))) => {
                    found.insert(name.to_owned());
                }
                _ => return false,
            }
        }
        found == self.moved
    }
}

/// The lines, counted from 1, of the value that a cell ends with, as the kernel's program has it shown.
fn shown(lines: &[&str]) -> Range<usize> {
    let end = lines.iter().rposition(|line| *line == ").evcxr_display();");
    let start = end.and_then(|end| lines[..end].iter().rposition(|line| *line == "("));
    match (start, end) {
        (Some(start), Some(end)) => start + 1..end + 2,
        _ => 0..0,
    }
}

/// The line of the source that uses a moved value, if that is what the error is about.
fn moved_by(error: &Value) -> Option<usize> {
    let is_moved = error["code"]["code"] == "E0382";
    let primary = spans(error).find(|span| span["is_primary"] == true)?;
    is_moved.then(|| line_of(primary)).filter(|line| *line > 0)
}

fn spans(error: &Value) -> impl Iterator<Item = &Value> {
    error["spans"].as_array().into_iter().flatten()
}

fn line_of(span: &Value) -> usize {
    let line = span["line_start"].as_u64().unwrap_or_default();
    usize::try_from(line).unwrap_or_default()
}

/// The second call, while it runs. It ends with this value.
pub struct Ahead {
    expected: Expected,
    compiler: Child,
    folder: PathBuf,
}

impl Ahead {
    /// With the compiler's call for the expected source; what it prints goes to a file in `folder`.
    pub fn start(expected: Expected, mut compiler: Command, folder: &Path) -> Result<Self> {
        let compiler = compiler
            .stdout(Stdio::null())
            .stderr(File::create(folder.join(SAID))?)
            .spawn()?;
        Ok(Ahead {
            expected,
            compiler,
            folder: folder.to_owned(),
        })
    }

    /// The id of the compiler's process.
    pub fn id(&self) -> u32 {
        self.compiler.id()
    }

    /// Waits for the second call's end and keeps what came of it, if what the first one has `said` about `source` leads to it. What
    /// cannot be kept is compiled when it is asked for.
    pub fn keep_if_it_follows(mut self, said: &str, source: &str) {
        let follows = self.expected.follows(said, source);
        if follows && self.compiler.wait().is_ok_and(|status| status.success()) {
            let _ = fs::write(self.folder.join(SOURCE), &self.expected.source);
        }
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        let _ = self.compiler.kill();
        let _ = self.compiler.wait();
    }
}

/// What the compiler has said about a source that was compiled ahead; its library is then put in place. It can be taken once.
pub fn take(folder: &Path, source: &str, library: &Path) -> Option<String> {
    let record = folder.join(SOURCE);
    let kept = fs::read_to_string(&record).ok()?;
    fs::remove_file(record).ok()?;
    if kept != source {
        return None;
    }
    let said = fs::read_to_string(folder.join(SAID)).ok()?;
    fs::rename(self::library(library)?, library).ok()?;
    Some(said)
}

/// The library of the second call, if the first one's is this. It lies as deep as that one: both find the crate from where they are.
pub fn library(first: &Path) -> Option<PathBuf> {
    Some(
        first
            .parent()?
            .with_file_name(FOLDER)
            .join(first.file_name()?),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A cell's source as the kernel's program writes it, with this code of the reader's.
    fn source(reader: &str) -> String {
        format!(
            r#"#![allow(dead_code)]
pub extern "C" fn run_user_code_7(
) {{
let kept = evcxr_variable_store.take_variable::<Vec<f32>>(stringify!(kept));
{reader}
evcxr_variable_store.put_variable::<usize>(stringify!(new), new);
evcxr_variable_store.put_variable::<Vec<f32>>(stringify!(kept), kept);
evcxr_variable_store
}}
"#
        )
    }

    /// The error of a value that is used in one line after it has been moved in another.
    fn error(code: &str, used: usize, moved: usize) -> String {
        let span = |line: usize, is_primary| serde_json::json!({"line_start": line, "is_primary": is_primary});
        let spans = [span(moved, false), span(used, true)];
        serde_json::json!({"level": "error", "code": {"code": code}, "spans": spans}).to_string()
    }

    #[test]
    fn the_next_source_puts_back_what_is_left() {
        let source = source("let new = kept.into_iter().count();");
        let expected = expected(&source).unwrap();
        let without = "evcxr_variable_store.put_variable::<Vec<f32>>(stringify!(kept), kept);\n";
        assert_eq!(expected.source, source.replace(without, ""));
        let total =
            r#"{"level": "error", "code": null, "message": "aborting due to 1 previous error"}"#;
        let is_followed = |errors: &[String]| expected.follows(&errors.join("\n"), &source);
        let moved = error("E0382", 7, 5);
        assert!(is_followed(&[moved.clone(), total.to_owned()]));
        assert!(!is_followed(&[total.to_owned()])); // nothing was moved
        assert!(!is_followed(&[moved.clone(), error("E0382", 6, 5)])); // two were
        assert!(!is_followed(&[moved.clone(), error("E0382", 5, 5)])); // the reader's own mistake
        assert!(!is_followed(&[moved, error("E0308", 7, 5)]));
    }

    #[test]
    fn nothing_is_expected_where_nothing_is_moved() {
        assert!(expected(&source("let new = kept.len();")).is_none());
        assert!(expected("fn main() {}").is_none());
    }

    #[test]
    fn a_value_that_is_shown_is_shown_in_another_way_next() {
        let source = source("let new = 1;\n(\nuse_up(kept)\n).evcxr_display();");
        let expected = expected(&source).unwrap();
        assert!(!expected.follows(&error("E0382", 10, 7), &source));
        assert!(expected.follows(&error("E0382", 10, 5), &source));
    }

    #[test]
    fn what_was_compiled_is_taken_once_and_for_its_source_only() {
        let folder = tempfile::tempdir().unwrap();
        let first = folder.path().join("deps/libctx.so");
        let second = library(&first).unwrap();
        for library in [&first, &second] {
            fs::create_dir(library.parent().unwrap()).unwrap();
        }
        let prepare = || {
            fs::write(&second, "library").unwrap();
            fs::write(folder.path().join(SOURCE), "a").unwrap();
            fs::write(folder.path().join(SAID), "a warning").unwrap();
        };
        prepare();
        assert_eq!(take(folder.path(), "b", &first), None);
        assert_eq!(take(folder.path(), "a", &first), None);
        prepare();
        assert_eq!(take(folder.path(), "a", &first), Some("a warning".into()));
        assert_eq!(fs::read_to_string(&first).unwrap(), "library");
        assert_eq!(take(folder.path(), "a", &first), None);
    }
}
