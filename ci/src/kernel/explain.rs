//! The compiler's answer to a network whose layers do not fit, in words.
//!
//! What is wrong stands in the compiler's notes, if anywhere, between types that fill the screen; and
//! the kernel shows no notes. So each such error gets a message that names the layer, and those that
//! follow from it are left out. All other errors stay as they are.
mod error;
mod network;
mod types;

use serde_json::{Value, json};

use error::Error;

/// Lets the compiler write types in full.
pub const WHOLE_TYPES: &str = "--diagnostic-width=1000000";

/// Whether the compiler has left out parts of types. It says where they are written in full.
pub fn is_shortened(output: &str) -> bool {
    output.contains(" has been written to '")
}

/// Explains what the compiler has printed, line by line, about `source`. `whole` is the same with
/// types written in full; it is only read.
pub fn explain_output(output: &str, whole: &str, source: &str) -> String {
    let json = |line: &str| serde_json::from_str::<Value>(line).ok();
    let (diagnostics, others): (Vec<_>, Vec<_>) =
        output.lines().partition(|line| json(line).is_some());
    let parse = |lines: Vec<&str>| lines.into_iter().filter_map(json).collect::<Vec<Value>>();
    let explained = explain(parse(diagnostics), &parse(whole.lines().collect()), source);
    let explained = explained.iter().map(Value::to_string);
    let lines = others.into_iter().map(str::to_owned).chain(explained);
    lines.map(|line| line + "\n").collect()
}

/// Explains the errors of one compilation: see [`explain_output`].
fn explain(diagnostics: Vec<Value>, whole: &[Value], source: &str) -> Vec<Value> {
    if diagnostics.iter().any(is_wrong_width) {
        return wrong_width_alone(diagnostics);
    }
    if diagnostics.len() != whole.len() {
        return diagnostics;
    }
    let answers: Vec<Option<Answer>> = whole
        .iter()
        .map(|diagnostic| answer(diagnostic, source))
        .collect();
    let mut told: Vec<&Answer> = Vec::new();
    let mut explained = Vec::new();
    for (diagnostic, answer) in diagnostics.into_iter().zip(&answers) {
        let Some(answer) = answer else {
            explained.push(diagnostic);
            continue;
        };
        let better = answers.iter().flatten().any(|other| other.replaces(answer));
        if !better && !told.iter().any(|other| other.says_the_same(answer)) {
            explained.push(rewrite(diagnostic, answer));
            told.push(answer);
        }
    }
    explained
}

/// What comes in front of the words of `dldna::nn::assert_width`, which names the numbers itself.
const PANICKED: &str = "evaluation panicked: ";

fn is_wrong_width(diagnostic: &Value) -> bool {
    let message = diagnostic["message"].as_str().unwrap_or_default();
    message.starts_with(PANICKED) && message.contains(" but the type says ")
}

/// The message about a width, without the places at which the compiler has met it.
fn wrong_width_alone(diagnostics: Vec<Value>) -> Vec<Value> {
    let follows = |diagnostic: &Value| {
        let message = diagnostic["message"].as_str().unwrap_or_default();
        message == "erroneous constant encountered"
            || message.starts_with("the above error was encountered while instantiating")
    };
    let mut told = diagnostics;
    told.retain(|diagnostic| !follows(diagnostic));
    for diagnostic in told
        .iter_mut()
        .filter(|diagnostic| is_wrong_width(diagnostic))
    {
        let message = diagnostic["message"].as_str().unwrap_or_default();
        diagnostic["message"] = json!(message.trim_start_matches(PANICKED));
    }
    told
}

/// What is said in place of a diagnostic.
struct Answer {
    message: String,
    /// Written at the place in the cell.
    label: String,
    /// That place.
    span: Value,
    /// Whether the message names the cause, not only the consequence.
    is_cause: bool,
}

impl Answer {
    fn is_at(&self, other: &Answer) -> bool {
        let places = [
            "file_name",
            "line_start",
            "column_start",
            "line_end",
            "column_end",
        ];
        places
            .iter()
            .all(|place| self.span[place] == other.span[place])
    }

    fn replaces(&self, other: &Answer) -> bool {
        self.is_cause && !other.is_cause && self.is_at(other)
    }

    fn says_the_same(&self, other: &Answer) -> bool {
        let both_vague = !self.is_cause && !other.is_cause && self.is_at(other);
        self.message == other.message || both_vague
    }
}

fn rewrite(mut diagnostic: Value, answer: &Answer) -> Value {
    let mut span = answer.span.clone();
    span["label"] = json!(answer.label);
    diagnostic["message"] = json!(answer.message);
    // The number of an error leads to a page that does not speak of networks; and after some numbers
    // the kernel compiles once more in the hope of another answer.
    diagnostic["code"] = Value::Null;
    diagnostic["spans"] = json!([span]);
    diagnostic["children"] = json!([]);
    diagnostic["rendered"] = json!(format!("error: {}\n", answer.message));
    diagnostic
}

fn answer(diagnostic: &Value, source: &str) -> Option<Answer> {
    if diagnostic["level"] != "error" {
        return None;
    }
    let error = Error { diagnostic, source };
    let span = error.primary()?.clone();
    let cause = error.cause();
    let is_cause = cause.is_some();
    let (message, label) = cause.or_else(|| error.not_trainable())?;
    Some(Answer {
        message,
        label,
        span,
        is_cause,
    })
}

#[cfg(test)]
mod tests;
