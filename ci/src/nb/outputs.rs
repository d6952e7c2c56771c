//! From what the kernel sent to the outputs that are stored in the notebook.
//!
//! The stored form is the same on every run and every machine: one stream output for standard
//! output, then one for standard error (the kernel does not keep their order), then values and
//! errors; lines rewritten with `\r` as they stand at the end; no escape marks, backtraces, thread
//! numbers or paths of this machine.
use std::path::Path;
use std::sync::LazyLock;

use jupyter_protocol::{ErrorOutput, ExecutionCount, Stdio};
use nbformat::v4::{self, ExecuteResult, MultilineString, Output};
use regex::{Captures, Regex};

use super::client::Sent;
use super::source::MARK;

/// What a cell sent, sorted.
#[derive(Debug, Default)]
pub struct Received {
    pub stdout: String,
    pub stderr: String,
    pub values: Vec<jupyter_protocol::media::Media>,
    pub errors: Vec<ErrorOutput>,
    /// The marks of a finished cell that came.
    pub marks: usize,
    /// The last line of standard output has no line end of its own.
    pub open_line: bool,
}

impl Received {
    pub fn new(sent: Vec<Sent>) -> Self {
        let mut received = Received::default();
        for message in sent {
            match message {
                Sent::Text(Stdio::Stdout, text) => received.add_text(text, true),
                Sent::Text(Stdio::Stderr, text) => received.add_text(text, false),
                Sent::Result(media) => received.values.push(media),
                Sent::Error(error) => received.errors.push(error),
            }
        }
        received
    }

    fn add_text(&mut self, text: String, is_stdout: bool) {
        let stream = if is_stdout {
            &mut self.stdout
        } else {
            &mut self.stderr
        };
        let Some((before, _)) = text.split_once(MARK) else {
            return stream.push_str(&text);
        };
        self.marks += 1;
        if !before.is_empty() {
            stream.push_str(before);
            self.open_line |= is_stdout;
        }
    }

    /// Standard error without what changes from run to run.
    pub fn stored_stderr(&self) -> String {
        stored_panic(&self.stderr)
    }

    /// The outputs as they are stored. `count` is the cell's number among the executed cells.
    pub fn into_outputs(self, count: usize, paths: &MachinePaths) -> Vec<Output> {
        let stream = |name: &str, text: String| {
            let text = final_text(&text);
            (!text.is_empty()).then(|| Output::Stream {
                name: name.to_owned(),
                text: MultilineString(text),
            })
        };
        let stderr = paths.remove(&self.stored_stderr());
        let values = self.values.into_iter().map(|data| {
            Output::ExecuteResult(ExecuteResult {
                execution_count: ExecutionCount::new(count),
                data,
                metadata: serde_json::Map::new(),
            })
        });
        let errors = self
            .errors
            .into_iter()
            .map(|error| Output::Error(stored_error(error, count, paths)));
        stream("stdout", self.stdout)
            .into_iter()
            .chain(stream("stderr", stderr))
            .chain(values)
            .chain(errors)
            .collect()
    }
}

/// The text as it stands after every `\r` has taken the line back to its start, where what follows
/// overwrites what was there, as a terminal and JupyterLab show it.
pub fn final_text(text: &str) -> String {
    text.split_inclusive('\n')
        .map(|line| {
            let (line, end) = match line.strip_suffix('\n') {
                Some(line) => (line, "\n"),
                None => (line, ""),
            };
            if !line.contains('\r') {
                return format!("{line}{end}");
            }
            let mut shown: Vec<char> = Vec::new();
            for part in line.split('\r') {
                let part: Vec<char> = part.chars().collect();
                let overwritten = part.len().min(shown.len());
                shown.splice(..overwritten, part);
            }
            let shown: String = shown.into_iter().collect();
            format!("{}{end}", shown.trim_end())
        })
        .collect()
}

static PANIC: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?m)^thread '([^'\n]*)' (?:\(\d+\) )?panicked at (?:line \d+ of this cell|this cell|(.+?):(\d+):(\d+)):$").unwrap()
});

/// Whether a panic message stands in what the cell wrote to standard error.
pub fn has_panic(stderr: &str) -> bool {
    PANIC.is_match(stderr)
}

/// The panic messages without what changes from run to run: the thread's number, the place in the
/// code that the kernel made around the cell, the backtrace.
fn stored_panic(stderr: &str) -> String {
    if !has_panic(stderr) {
        return stderr.to_owned();
    }
    let text = PANIC.replace_all(stderr, |found: &Captures| {
        let place = match found.get(2).map(|file| file.as_str()) {
            None | Some("src/lib.rs") => "this cell".to_owned(),
            Some(file) => format!("{file}:{}:{}", &found[3], &found[4]),
        };
        format!("thread '{}' panicked at {place}:", &found[1])
    });
    let mut kept = String::new();
    let mut in_backtrace = false;
    for line in text.trim_start_matches('\n').split_inclusive('\n') {
        if line.trim_end() == "stack backtrace:" {
            in_backtrace = true;
        } else if in_backtrace {
            // Frames are indented; one or two notes end the backtrace.
            in_backtrace = line.starts_with(' ') || line.starts_with("note: ");
        }
        if !in_backtrace {
            kept.push_str(line);
        }
    }
    kept
}

/// A compiler's message without the kernel's own numbers (it counts from 2 and names the source of
/// a message by its count) and with one colour: the kernel's greys cannot be read on white, its
/// dark colours not on black.
fn stored_error(error: ErrorOutput, count: usize, paths: &MachinePaths) -> v4::ErrorOutput {
    static COMMAND: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\bcommand_\d+").unwrap());
    static HEADING: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"^(?:\[E\d+\] )?Error:").unwrap());
    let clean = |text: &str| {
        let text = console::strip_ansi_codes(text);
        let named = COMMAND.replace_all(text.trim_end(), format!("cell_{count}"));
        paths.remove(&named)
    };
    let traceback = error.traceback.iter().map(|line| {
        let red = |heading: &Captures| format!("\x1b[31m{}\x1b[0m", &heading[0]);
        HEADING.replace(&clean(line), red).into_owned()
    });
    v4::ErrorOutput {
        ename: error.ename,
        evalue: clean(&error.evalue),
        traceback: traceback.collect(),
    }
}

/// The folders of this machine that messages may name.
pub struct MachinePaths {
    prefixes: Vec<String>,
}

impl MachinePaths {
    /// `root` is the repository's folder.
    pub fn new(root: &Path) -> Self {
        let temporary = std::env::var("EVCXR_TMPDIR").ok();
        let prefixes = [Some(root.to_string_lossy().into_owned()), temporary]
            .into_iter()
            .flatten()
            .map(|folder| format!("{}/", folder.trim_end_matches('/')))
            .collect();
        MachinePaths { prefixes }
    }

    /// The text with paths that start at the repository, at the crate or at the standard library.
    pub fn remove(&self, text: &str) -> String {
        static LIBRARIES: LazyLock<Regex> = LazyLock::new(|| {
            Regex::new(
                r"(?x)
                /[^\s:'`]*/registry/src/[^/\s]+/          # a crate of the registry
                | /rustc/[0-9a-f]{40}/                    # the standard library
                | /[^\s:'`]*/lib/rustlib/src/rust/        # its sources beside the compiler
                | /[^\s:'`]*/evcxr[^/\s:'`]*/             # the kernel's own folder
                | /tmp/\.tmp\w+/                          # and where it makes it by default
                ",
            )
            .unwrap()
        });
        let mut text = text.to_owned();
        for prefix in &self.prefixes {
            text = text.replace(prefix, "");
        }
        LIBRARIES.replace_all(&text, "").into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn carriage_returns_leave_the_final_state() {
        assert_eq!(
            final_text("\rstep 1\rstep 2\rstep 3\nend\n"),
            "step 3\nend\n"
        );
        assert_eq!(final_text("100%\r5%\n"), "5%0%\n");
        assert_eq!(final_text("abc\r\n"), "abc\n");
        assert_eq!(final_text("long line\r         \rshort\n"), "short\n");
        assert_eq!(final_text("no end"), "no end");
        assert_eq!(final_text("  kept spaces  \n"), "  kept spaces  \n");
    }

    #[test]
    fn marks_are_taken_out_and_an_open_line_is_seen() {
        let text = |text: &str| Sent::Text(Stdio::Stdout, text.to_owned());
        let closed = Received::new(vec![text("a\n"), text(&format!("{MARK}\n"))]);
        assert_eq!(
            (closed.stdout.as_str(), closed.marks, closed.open_line),
            ("a\n", 1, false)
        );
        let open = Received::new(vec![text(&format!("a{MARK}\n"))]);
        assert_eq!(
            (open.stdout.as_str(), open.marks, open.open_line),
            ("a", 1, true)
        );
    }

    #[test]
    fn streams_are_merged_in_a_fixed_order() {
        let sent = vec![
            Sent::Text(Stdio::Stderr, "e1\n".into()),
            Sent::Text(Stdio::Stdout, "o1\n".into()),
            Sent::Text(Stdio::Stderr, "e2\n".into()),
            Sent::Text(Stdio::Stdout, "o2\n".into()),
        ];
        let outputs =
            Received::new(sent).into_outputs(1, &MachinePaths::new(Path::new("/repository")));
        let outputs = serde_json::to_value(outputs).unwrap();
        assert_eq!(
            outputs,
            serde_json::json!([
                {"output_type": "stream", "name": "stdout", "text": ["o1\n", "o2\n"]},
                {"output_type": "stream", "name": "stderr", "text": ["e1\n", "e2\n"]},
            ])
        );
    }

    #[test]
    fn a_panic_is_told_from_a_text_about_one() {
        assert!(has_panic(
            "\nthread 'main' (412) panicked at src/lib.rs:140:10:\nboom\n"
        ));
        assert!(!has_panic("the thread panicked at noon\n"));
    }

    #[test]
    fn a_stored_panic_is_the_same_on_every_run() {
        let stderr = "before\n\nthread 'main' (412) panicked at src/lib.rs:140:10:\nboom\nsecond line\n\
            stack backtrace:\n   0: __rustc::rust_begin_unwind\n             at /rustc/0f/library/std.rs:1:2\n\
            note: Some details are omitted, run with `RUST_BACKTRACE=full` for a verbose backtrace.\nafter\n";
        assert_eq!(
            stored_panic(stderr),
            "before\n\nthread 'main' panicked at this cell:\nboom\nsecond line\nafter\n"
        );
    }

    #[test]
    fn no_path_of_this_machine_stays() {
        let paths = MachinePaths::new(Path::new("/home/ann/dldna"));
        for (given, kept) in [
            (
                "at /home/ann/dldna/dldna/src/nn.rs:3:4",
                "at dldna/src/nn.rs:3:4",
            ),
            (
                "/home/ann/.cargo/registry/src/index.crates.io-1949cf8c6b5b557f/dfdx-0.13.0/src/a.rs:1:2",
                "dfdx-0.13.0/src/a.rs:1:2",
            ),
            (
                "/rustc/0123456789012345678901234567890123456789/library/core/src/option.rs:1:1",
                "library/core/src/option.rs:1:1",
            ),
            ("1 / 2 and a/b stay", "1 / 2 and a/b stay"),
        ] {
            assert_eq!(paths.remove(given), kept);
        }
    }

    #[test]
    fn errors_are_named_by_the_cell() {
        let error = ErrorOutput {
            ename: "Error".into(),
            evalue: "mismatched types".into(),
            traceback: vec![
                "\x1b[31m[E0308] Error:\x1b[0m mismatched types".into(),
                "\x1b[38;5;246m╭─[\x1b[0m command_7:1:5 \x1b[38;5;246m]\x1b[0m".into(),
            ],
        };
        let stored = stored_error(error, 6, &MachinePaths::new(Path::new("/r")));
        assert_eq!(
            stored.traceback,
            [
                "\x1b[31m[E0308] Error:\x1b[0m mismatched types",
                "╭─[ cell_6:1:5 ]"
            ]
        );
    }
}
