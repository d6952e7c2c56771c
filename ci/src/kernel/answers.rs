//! The compiler's answers for the cells that each kernel runs as it starts.
//!
//! They are the same in all kernels of a template: six calls of the compiler, some of which the kernel's program makes only to learn
//! from an error. So the first kernel leaves the answers in the template, and the others wait for no compiler before they are ready.
use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use crate::private;

/// The folder in a template.
pub const FOLDER: &str = "answers";

/// What the compiler made of a cell.
#[derive(Serialize, Deserialize)]
struct Answer {
    manifest: String,
    source: String,
    compiles: bool,
    said: String,
}

/// The call of the compiler for a cell of the start.
pub struct Call<'a> {
    template: &'a Path,
    manifest: &'a str,
    source: &'a str,
}

impl<'a> Call<'a> {
    /// `None` for a cell of the reader's. The kernel's program numbers the cells: `42`, then the one that loads the crate.
    pub fn of_start(template: &'a Path, manifest: &'a str, source: &'a str) -> Option<Self> {
        let is_of_start = ["run_user_code_0(", "run_user_code_1("]
            .iter()
            .any(|function| source.contains(function));
        is_of_start.then_some(Call {
            template,
            manifest,
            source,
        })
    }

    /// Whether the cell compiled, and what was said, if it is known; its library is then put in place.
    pub fn answer(&self, library: &Path) -> Option<(bool, String)> {
        let path = self.path();
        let answer: Answer = serde_json::from_slice(&fs::read(&path).ok()?).ok()?;
        if answer.manifest != self.manifest || answer.source != self.source {
            return None;
        }
        if answer.compiles {
            fs::create_dir_all(library.parent()?).ok()?;
            // No link: the linker may write to it.
            fs::copy(path.with_extension("library"), library).ok()?;
        }
        Some((answer.compiles, answer.said))
    }

    /// Keeps the answer for the next kernel.
    pub fn keep(&self, compiles: bool, said: &str, library: &Path) -> Result<()> {
        let answer = Answer {
            manifest: self.manifest.to_owned(),
            source: self.source.to_owned(),
            compiles,
            said: said.to_owned(),
        };
        let path = self.path();
        ensure!(self.template.is_dir(), "the template is gone");
        private::create_folder(path.parent().context("it is in a folder")?)?;
        if compiles {
            private::write(&path.with_extension("library"), &fs::read(library)?)?;
        }
        // The record last: with it the answer is complete.
        private::write(&path, &serde_json::to_vec(&answer)?)
    }

    fn path(&self) -> PathBuf {
        let mut hasher = DefaultHasher::new();
        (self.manifest, self.source).hash(&mut hasher);
        let name = format!("{:016x}.json", hasher.finish());
        self.template.join(FOLDER).join(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: &str = "pub extern \"C\" fn run_user_code_1(";

    #[test]
    fn what_one_kernel_keeps_the_next_one_finds() {
        let folder = tempfile::tempdir().unwrap();
        let [template, first, second] =
            ["template", "first/lib.so", "second/lib.so"].map(|name| folder.path().join(name));
        for folder in [&template, first.parent().unwrap()] {
            fs::create_dir(folder).unwrap();
        }
        fs::write(&first, "library").unwrap();
        let cell = |manifest| Call::of_start(&template, manifest, START).unwrap();
        assert!(cell("a").answer(&second).is_none());
        cell("a").keep(true, "a warning", &first).unwrap();
        cell("b").keep(false, "an error", &first).unwrap();
        assert_eq!(cell("b").answer(&second), Some((false, "an error".into())));
        assert!(!second.exists());
        assert_eq!(cell("a").answer(&second), Some((true, "a warning".into())));
        assert_eq!(fs::read_to_string(&second).unwrap(), "library");
        assert!(cell("c").answer(&second).is_none());
    }

    #[test]
    fn an_answer_to_another_source_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let other = Call::of_start(folder.path(), "", "run_user_code_0()").unwrap();
        other.keep(false, "an error", Path::new("")).unwrap();
        let cell = Call::of_start(folder.path(), "", START).unwrap();
        fs::rename(other.path(), cell.path()).unwrap(); // as if both had one name
        assert!(cell.answer(Path::new("")).is_none());
    }

    #[test]
    fn the_readers_cells_are_not_kept() {
        for number in [2, 10, 11] {
            let source = format!("pub extern \"C\" fn run_user_code_{number}(");
            assert!(Call::of_start(Path::new(""), "", &source).is_none());
        }
    }
}
