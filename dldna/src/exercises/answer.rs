//! What a check says.

use super::watch::{Failure, STACK_OVERFLOW};
use super::{find, progress};
use crate::display::{Content, emit};
use crate::table::escape;
use std::fmt;
use std::time::Duration;

/// The answer of a check. A notebook shows it; everywhere else it can be printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// What was checked, `basic-1, correlate`; nothing if there is no such exercise.
    subject: String,
    verdict: Verdict,
    /// The first hint, what is left of the exercise, or why nothing was checked.
    notes: Vec<(&'static str, String)>,
}

/// How a check ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// All is right.
    Passed,
    /// The learner's code still has a `todo!()`.
    NotWritten,
    /// The learner's code gave another result than the reference.
    Wrong(Wrong),
    /// The learner's code panicked.
    Panicked {
        /// What the check gave it.
        input: String,
        /// What the panic said.
        message: String,
    },
    /// The learner's code took too long, or does not end.
    TooSlow {
        /// What the check gave it.
        input: String,
        /// How long the check waited.
        limit: Duration,
    },
    /// The learner's code ended the program, with its stack full for one thing.
    Ended {
        /// What the check gave it.
        input: String,
        /// Why.
        cause: String,
    },
    /// There is nothing to check.
    Refused,
}

/// A wrong result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// What the check gave to the learner's code.
    pub input: String,
    /// What the reference says.
    pub expected: String,
    /// What the learner's code says.
    pub got: String,
    /// What was probably done, if it is a known mistake.
    pub mistake: Option<String>,
}

/// What a line with the probable mistake is called.
const MISTAKE: &str = "mistake";

/// Set by nbgrader while it grades.
const GRADING: &str = "NBGRADER_EXECUTION";

impl Answer {
    /// The answer for one part of an exercise. Notes a part that passed in the file of progress.
    pub(super) fn new(exercise: &'static str, part: &'static str, verdict: Verdict) -> Self {
        let mut answer = Self {
            subject: format!("{exercise}, {part}"),
            verdict,
            notes: Vec::new(),
        };
        answer.notes = if answer.passed() {
            progress::record(exercise, part)
        } else if answer.lines().iter().any(|(label, _)| *label == MISTAKE) {
            // The first hint is for those who have nothing yet: it may be about something else.
            vec![("hints", format!("exercises::hint({exercise:?}, 1)"))]
        } else {
            first_hint(exercise, part).into_iter().collect()
        };
        answer
    }

    /// The answer to code that did not come to its end on `input`.
    pub(super) fn failed(
        exercise: &'static str,
        part: &'static str,
        input: String,
        failure: Failure,
    ) -> Self {
        let verdict = match failure {
            Failure::NotWritten => Verdict::NotWritten,
            Failure::Panicked(message) => Verdict::Panicked { input, message },
            Failure::TooSlow(limit) => Verdict::TooSlow { input, limit },
            Failure::Ended(cause) => Verdict::Ended { input, cause },
        };
        Self::new(exercise, part, verdict)
    }

    /// The answer where there is nothing to check, and why.
    pub(super) fn refused(reason: String) -> Self {
        Self {
            subject: String::new(),
            verdict: Verdict::Refused,
            notes: vec![("", reason)],
        }
    }

    /// Whether all was right.
    pub fn passed(&self) -> bool {
        self.verdict == Verdict::Passed
    }

    /// How the check ended.
    pub fn verdict(&self) -> &Verdict {
        &self.verdict
    }

    fn headline(&self) -> String {
        let state = match &self.verdict {
            Verdict::Passed => "passed",
            Verdict::NotWritten => "not written yet. Replace todo!() by your code",
            Verdict::Wrong(_) => "not yet. The result is not the expected one",
            Verdict::Panicked { .. } => "not yet. Your code panicked",
            Verdict::TooSlow { .. } => "not yet. Your code does not come to an end",
            Verdict::Ended { .. } => "not yet. Your code ended the program",
            Verdict::Refused => return "Nothing to check".to_owned(),
        };
        format!("{}: {state}", self.subject)
    }

    /// The lines below the headline: a label and a text.
    fn lines(&self) -> Vec<(&'static str, String)> {
        let mut lines = match &self.verdict {
            Verdict::Passed | Verdict::NotWritten | Verdict::Refused => Vec::new(),
            Verdict::Wrong(wrong) => {
                let mut lines = vec![
                    ("input", wrong.input.clone()),
                    ("expected", wrong.expected.clone()),
                    ("got", wrong.got.clone()),
                ];
                lines.extend(wrong.mistake.clone().map(|mistake| (MISTAKE, mistake)));
                lines
            }
            Verdict::Panicked { input, message } => {
                let mut lines = vec![("input", input.clone()), ("panic", message.clone())];
                lines.extend(panic_meaning(message).map(|meaning| (MISTAKE, meaning.to_owned())));
                lines
            }
            Verdict::TooSlow { input, limit } => vec![
                ("input", input.clone()),
                ("waited", format!("{} s", limit.as_secs_f64())),
                (
                    MISTAKE,
                    "Is there a loop whose condition never becomes false?".to_owned(),
                ),
            ],
            Verdict::Ended { input, cause } => {
                let mut lines = vec![("input", input.clone()), ("cause", cause.clone())];
                if cause == STACK_OVERFLOW {
                    lines.push((
                        MISTAKE,
                        "A function that calls itself: does it always come to a call that does not?".to_owned(),
                    ));
                }
                lines
            }
        };
        lines.extend(self.notes.clone());
        lines
    }

    fn html(&self) -> String {
        let colour = match self.verdict {
            Verdict::Passed => "#2a9d4a",
            _ => "#d9822b",
        };
        let lines: String = self
            .lines()
            .iter()
            .map(|(label, text)| {
                format!(
                    "<div><i>{label}</i> {}</div>",
                    escape(text).replace('\n', "<br>")
                )
            })
            .collect();
        format!(
            "<div style=\"border-left:4px solid {colour};padding-left:10px\"><b>{}</b>{lines}</div>",
            escape(&self.headline())
        )
    }

    /// Shows the answer in a notebook.
    ///
    /// nbgrader takes a cell whose text is a number as a cell with so many points, and everything else without an error
    /// as full points. So while it grades, the text of an answer that did not pass is `0`.
    pub fn evcxr_display(&self) {
        let text = if !self.passed() && std::env::var_os(GRADING).is_some() {
            "0".to_owned()
        } else {
            self.to_string()
        };
        emit(&[
            Content::Text("text/plain", &text),
            Content::Text("text/html", &self.html()),
        ]);
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.headline())?;
        for (label, text) in self.lines() {
            write!(f, "\n  {label:<9} {}", text.replace('\n', "\n            "))?;
        }
        Ok(())
    }
}

fn first_hint(exercise: &'static str, part: &str) -> Option<(&'static str, String)> {
    let part = find(exercise)?.parts.iter().find(|it| it.name == part)?;
    let hint = part.hints.first()?;
    Some((
        "hint",
        format!("{hint}\nFor the next one: exercises::hint({exercise:?}, 2)"),
    ))
}

/// What the panics that learners meet most often mean.
fn panic_meaning(message: &str) -> Option<&'static str> {
    let meanings = [
        (
            "out of bounds",
            "An index is behind the last element. Off by one? How far may the window go?",
        ),
        (
            "subtract with overflow",
            "A usize went below zero. Subtract last, or compare before.",
        ),
        (
            "add with overflow",
            "The sum does not fit its type. Is one of the numbers as it should be?",
        ),
        (
            "multiply with overflow",
            "The product does not fit its type. Is one of the factors as it should be?",
        ),
        ("divide by zero", "A divisor is zero."),
        (
            "not compatible for matrix multiplication",
            "The columns of the left matrix have to be as many as the rows of the right one. Are the two in the wrong order, \
             or should one be transposed?",
        ),
        (
            "could not broadcast",
            "Two arrays of different sizes are combined element by element.",
        ),
        (
            "called `Option::unwrap()` on a `None` value",
            "There was nothing to unwrap: an empty list?",
        ),
    ];
    let (_, meaning) = meanings.iter().find(|(words, _)| message.contains(words))?;
    Some(meaning)
}
