//! What the tests of the exercises expect of an answer.

use dldna::exercises::Answer;
use std::sync::OnceLock;

/// Answers note what passed in the current folder: for these tests, in one of their own.
pub fn set_up() {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        std::env::set_current_dir(folder.path()).unwrap();
        folder
    });
}

#[track_caller]
pub fn accepted(check: impl FnOnce() -> Answer) {
    set_up();
    let answer = check();
    assert!(answer.passed(), "{answer}");
}

/// The answer says no, and `words`.
#[track_caller]
pub fn rejected(words: &str, check: impl FnOnce() -> Answer) {
    set_up();
    let answer = check();
    assert!(!answer.passed(), "{words}");
    let text = answer.to_string();
    assert!(text.contains(words), "{words:?} is not in:\n{text}");
    assert!(text.contains("hint"), "{text}");
}
