//! Exercises that answer: what was expected, what came, on which input, and a first hint.
//!
//! A notebook has the task and an empty function. The learner fills it in and hands it to [`check`]:
//!
//! ```
//! # std::env::set_current_dir(std::env::temp_dir())?;
//! use dldna::{exercises::check, prelude::*};
//!
//! fn correlate(image: &Array2<f32>, _kernel: &Array2<f32>) -> Array2<f32> {
//!     image.clone()
//! }
//! let answer = check::correlate(correlate);
//! assert!(!answer.passed());
//! println!("{answer}");
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! A check draws its own inputs and compares with a reference of its own. A panic, an endless loop or a result of the
//! wrong shape is answered like any other mistake. What passes is noted in a file, which [`progress`] shows.
//!
//! On Unix the learner's code runs in a copy of the process (`fork`), which is killed when its time is over: an endless
//! recursion is answered, too, and of an endless loop nothing is left. What the code changes outside of itself, such as a
//! `static`, is changed in the copy alone.
//!
//! # For authors
//!
//! An exercise is an `Exercise` in the list of its level. Most parts are a function with inputs, a reference and known
//! mistakes: `FunctionCheck` does the rest. The function is boxed first: what is generic would be compiled in the
//! learner's cell, and waited for. A part of another kind runs the learner's code in `watch` and makes its own
//! [`Answer`].

mod advanced;
mod answer;
mod applied;
mod basic;
#[cfg(unix)]
mod child;
mod function_check;
mod progress;
mod value;
mod watch;

pub use answer::{Answer, Verdict, Wrong};
pub use progress::{PROGRESS_FILE, PROGRESS_VARIABLE, Progress, progress, reset};

use crate::display::{Content, emit};
use function_check::FunctionCheck;
use std::fmt;
use std::time::Duration;
use watch::{Failure, watch_thread};

/// The checks, one for each part of an exercise.
pub mod check {
    pub use super::advanced::checks::*;
    pub use super::applied::checks::*;
    pub use super::basic::checks::*;
}

/// One of the exercises.
#[derive(Debug)]
struct Exercise {
    /// `basic-1`.
    id: &'static str,
    title: &'static str,
    parts: &'static [Part],
}

/// What has to be done for an exercise.
#[derive(Debug)]
struct Part {
    /// The name of its check.
    name: &'static str,
    /// From a first question to almost the solution, but not the solution.
    hints: &'static [&'static str],
}

/// The part that the learner writes in words and marks with [`done`].
const WRITTEN: Part = Part {
    name: "written",
    hints: &[],
};

/// All exercises, in order.
fn exercises() -> impl Iterator<Item = &'static Exercise> {
    let levels = [basic::EXERCISES, applied::EXERCISES, advanced::EXERCISES];
    levels.into_iter().flatten()
}

fn find(id: &str) -> Option<&'static Exercise> {
    exercises().find(|exercise| exercise.id == id)
}

/// A hint, or why there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hint(String);

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Hint {
    /// Shows the hint in a notebook.
    pub fn evcxr_display(&self) {
        emit(&[Content::Text("text/plain", &self.0)]);
    }
}

/// Hint number `number` (from 1) of each part of an exercise. An unknown exercise and a number that is too high are
/// answered in words.
///
/// # Example
/// ```
/// use dldna::exercises::hint;
///
/// println!("{}", hint("basic-1", 2));
/// assert!(hint("basic-0", 1).to_string().contains("no exercise \"basic-0\""));
/// ```
pub fn hint(exercise: &str, number: usize) -> Hint {
    let Some(exercise) = find(exercise) else {
        return Hint(unknown(exercise));
    };
    let hints: Vec<String> = exercise
        .parts
        .iter()
        .filter_map(|part| {
            let hint = part.hints.get(number.checked_sub(1)?)?;
            Some(format!("{}: {hint}", part.name))
        })
        .collect();
    if hints.is_empty() {
        let last = exercise.parts.iter().map(|part| part.hints.len()).max();
        return Hint(format!(
            "{} has hints 1 to {}. There is no hint {number}.",
            exercise.id,
            last.unwrap_or(0)
        ));
    }
    Hint(hints.join("\n"))
}

fn unknown(id: &str) -> String {
    let known: Vec<&str> = exercises().map(|exercise| exercise.id).collect();
    format!(
        "There is no exercise {id:?}. There are {}.",
        known.join(", ")
    )
}

/// Notes that the written part of an exercise is done, which only the learner can judge.
///
/// # Example
/// ```
/// # std::env::set_current_dir(std::env::temp_dir())?;
/// assert!(dldna::exercises::done("basic-1").passed());
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn done(exercise: &str) -> Answer {
    match find(exercise) {
        None => Answer::refused(unknown(exercise)),
        Some(exercise) if exercise.parts.iter().all(|part| part.name != WRITTEN.name) => {
            Answer::refused(format!(
                "{} has no written part: its checks note what is done.",
                exercise.id
            ))
        }
        Some(exercise) => Answer::new(exercise.id, WRITTEN.name, Verdict::Passed),
    }
}

/// How long [`attempt`] waits: some cells train.
const ATTEMPT_LIMIT: Duration = Duration::from_secs(120);

/// How long [`attempt`] tries whether code ends the program.
#[cfg(unix)]
const TRIAL: Duration = Duration::from_secs(1);

/// The value of code that uses what the learner wrote. Where that panics or takes longer than two minutes, says so
/// and has none, and the notebook goes on.
///
/// On Unix the code first runs for a second in a copy of the process, which prints nothing: so an endless recursion is
/// said as well, unless it comes later than that.
///
/// # Example
/// ```
/// use dldna::exercises::attempt;
///
/// fn double(_x: i32) -> i32 {
///     todo!()
/// }
/// assert_eq!(attempt(|| double(3)), None); // prints that it is not written yet
/// assert_eq!(attempt(|| 3 + 3), Some(6));
/// ```
pub fn attempt<T: Send + 'static>(code: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    #[cfg(unix)]
    let code = match child::run_in_child(TRIAL, child::Output::Hidden, code, |code, _| drop(code()))
    {
        Ok((
            _,
            child::Outcome {
                failure: Some(Failure::Ended(cause)),
                ..
            },
        )) => {
            println!("Your code ended the program: {cause}");
            return None;
        }
        Ok((code, _)) => code,
        Err(error) => {
            println!("Your code could not be run: {error}");
            return None;
        }
    };
    let (mut values, failure) = watch_thread(ATTEMPT_LIMIT, |report| report(code()));
    match failure {
        None => {}
        Some(Failure::Ended(cause)) => println!("Your code ended the program: {cause}"),
        Some(Failure::NotWritten) => {
            println!("There is nothing to see yet: this cell uses what you write above.")
        }
        Some(Failure::Panicked(message)) => println!("Your code panicked: {message}"),
        Some(Failure::TooSlow(limit)) => {
            println!("Your code is not ready after {} s.", limit.as_secs());
        }
    }
    values.pop()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, path::Path};

    const LEVELS: [(&str, &[Exercise]); 3] = [
        ("basic", basic::EXERCISES),
        ("applied", applied::EXERCISES),
        ("advanced", advanced::EXERCISES),
    ];

    #[test]
    fn the_exercises_of_a_level_are_numbered_from_one() {
        for (level, exercises) in LEVELS {
            let ids: Vec<&str> = exercises.iter().map(|exercise| exercise.id).collect();
            let expected = (1..=exercises.len()).map(|number| format!("{level}-{number}"));
            assert_eq!(ids, expected.collect::<Vec<_>>());
        }
    }

    #[test]
    fn each_file_of_a_level_is_in_its_list() {
        for (level, _) in LEVELS {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/exercises");
            let list = fs::read_to_string(folder.join(level).join("mod.rs")).unwrap();
            for file in fs::read_dir(folder.join(level)).unwrap() {
                let path = file.unwrap().path();
                let name = path.file_stem().unwrap().to_str().unwrap();
                let line = format!("{name}::EXERCISE,");
                assert!(
                    name == "mod" || list.contains(&line),
                    "{level}/mod.rs has no line `{line}`"
                );
            }
        }
    }

    #[test]
    fn each_part_is_in_its_notebook() {
        for (level, exercises) in LEVELS {
            let notebook = format!("notebooks/solutions/07_{level}.ipynb");
            let repository = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
            let text = fs::read_to_string(repository.join(&notebook)).unwrap();
            for exercise in exercises {
                for part in exercise.parts {
                    let cell = match part.name {
                        "written" => format!(r#"exercises::done(\"{}\")"#, exercise.id),
                        name => format!("check::{name}("),
                    };
                    assert!(text.contains(&cell), "{notebook} has no cell `{cell}`");
                }
            }
        }
    }

    #[test]
    fn each_checked_part_has_hints() {
        for exercise in exercises() {
            for part in exercise.parts {
                assert_eq!(
                    part.hints.len() >= 2,
                    part.name != WRITTEN.name,
                    "{} {}",
                    exercise.id,
                    part.name
                );
            }
        }
    }

    #[test]
    fn a_hint_that_does_not_exist_is_answered() {
        assert!(hint("basic-1", 0).to_string().contains("hints 1 to"));
        assert!(hint("basic-1", 9).to_string().contains("no hint 9"));
    }
}
