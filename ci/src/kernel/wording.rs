//! What the kernel's program says of a cell that ended badly, in words that tell what happened and what to do.
use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::LazyLock;

use regex::{Captures, Regex};
use serde_json::{Value, json};

/// What became of the notebook when the process that runs its cells ended. (JupyterLab does not break the lines of an error.)
const GONE: &str = "The variables of this notebook are gone. To make them again:\nRun > Run All Above Selected Cell.";

static PANIC: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^(thread '.*' )(?:\(\d+\) )?panicked at (.+?):(\d+):(\d+):\n$")
        .expect("a right pattern")
});
/// The names that a `let` gives.
static LET: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\blet\s+([^=:;]+)").expect("a right pattern"));
static NAME: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\b[a-z_]\w*").expect("a right pattern"));
static STYLE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\x1b\[([0-9;]*)m").expect("a right pattern"));

/// When a message is sent on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passing {
    Never,
    /// Behind the cell's own output.
    AtTheEnd,
    Now,
    /// Now, and behind those that were kept for the end.
    BehindHeld,
}

/// Reads the messages about one cell after the other.
pub struct Wording {
    /// What the kernel has made of the running cell.
    library: PathBuf,
    /// The running cell.
    cell: String,
    running: bool,
    interrupted: bool,
    panicked: bool,
    in_backtrace: bool,
    failed: bool,
    /// The names of variables, as far as cells have been run.
    variables: HashSet<String>,
    /// The same of those that went with the process that ran the cells.
    lost: HashSet<String>,
}

impl Wording {
    pub fn new(library: PathBuf) -> Self {
        Wording {
            library,
            cell: String::new(),
            running: false,
            interrupted: false,
            panicked: false,
            in_backtrace: false,
            failed: false,
            variables: HashSet::new(),
            lost: HashSet::new(),
        }
    }

    /// The reader stops the running cell.
    pub fn interrupted(&mut self) {
        self.interrupted = true;
    }

    pub fn is_running(&self) -> bool {
        self.running
    }

    /// Whether the content of messages of this kind matters.
    pub fn reads(kind: &str) -> bool {
        matches!(kind, "execute_input" | "status" | "stream" | "error")
    }

    /// Changes the content of a message of this kind, which belongs to a request of that kind. Returns when it is to be sent.
    pub fn reword(&mut self, kind: &str, request: &str, content: &mut Value) -> Passing {
        match kind {
            "execute_input" => {
                self.running = true;
                self.cell = content["code"].as_str().unwrap_or_default().to_owned();
                (self.interrupted, self.panicked, self.in_backtrace) = (false, false, false);
                self.failed = false;
                self.variables.extend(variables(&self.cell));
                Passing::Now
            }
            "status" if request == "execute_request" && content["execution_state"] == "idle" => {
                self.running = false;
                if !self.failed {
                    for again in variables(&self.cell) {
                        self.lost.remove(&again);
                    }
                }
                Passing::BehindHeld
            }
            "stream" if content["name"] == "stderr" => {
                let line = content["text"].as_str().unwrap_or_default();
                let Some(line) = self.line(line) else {
                    return Passing::Never;
                };
                // An empty line may be the first of a panic.
                let held = self.running && (self.panicked || line == "\n");
                content["text"] = json!(line);
                if held {
                    Passing::AtTheEnd
                } else {
                    Passing::BehindHeld
                }
            }
            "stream" if self.panicked => Passing::Now,
            "error" => {
                self.error(content);
                Passing::BehindHeld
            }
            _ => Passing::BehindHeld,
        }
    }

    /// A line of standard error; nothing, if it belongs to the backtrace of a panic, which shows the kernel's functions.
    fn line(&mut self, line: &str) -> Option<String> {
        if self.in_backtrace {
            // Frames are indented; one or two notes end the backtrace.
            self.in_backtrace = line.starts_with(' ') || line.starts_with("note: ");
        } else if self.panicked && line.trim_end() == "stack backtrace:" {
            self.in_backtrace = true;
        }
        if self.in_backtrace {
            return None;
        }
        let Some(found) = PANIC.captures(line) else {
            return Some(line.to_owned());
        };
        self.panicked = true;
        let place = self.place(&found);
        Some(format!("{}panicked at {place}:\n", &found[1]))
    }

    /// Where the panic was: the line of the cell, if it was there.
    fn place(&self, panic: &Captures) -> String {
        let (file, line) = (&panic[2], &panic[3]);
        let in_cell = || {
            let line = line.parse::<usize>().ok()?.checked_sub(1)?;
            let library = std::fs::read_to_string(&self.library).ok()?;
            line_of_cell(&self.cell, &library, line)
        };
        if file != "src/lib.rs" {
            return format!("{file}:{line}:{}", &panic[4]);
        }
        in_cell().map_or("this cell".to_owned(), |line| {
            format!("line {line} of this cell")
        })
    }

    fn error(&mut self, content: &mut Value) {
        self.failed = true;
        let old = content["evalue"].as_str().unwrap_or_default().to_owned();
        if let Some(cause) = self.end(&old) {
            self.lost.extend(self.variables.drain());
            let said = format!("{cause} {GONE}");
            content["evalue"] = json!(said);
            content["traceback"] = json!([cause, GONE]);
            return;
        }
        if let Some(lines) = content["traceback"].as_array_mut() {
            for line in lines.iter_mut() {
                *line = json!(in_bold(line.as_str().unwrap_or_default()));
            }
            if missing(&old).is_some_and(|name| self.lost.contains(name)) {
                lines.push(json!(format!(
                    "The process of this notebook has ended. {GONE}"
                )));
            }
        }
    }

    /// Why the process that ran the cell ended, if it did.
    fn end(&self, message: &str) -> Option<&'static str> {
        let (_, status) = message.rsplit_once("Subprocess terminated with ")?;
        Some(if self.interrupted {
            "Stopped."
        } else if status.contains("signal: 6") || status.contains("signal: 11") {
            "The cell ended its process: its stack overflowed, by a function that calls itself\n\
             without end or by large arrays (a Vec keeps its elements elsewhere), or something\n\
             called abort."
        } else if status.contains("signal: 9") {
            "The system ended the cell's process, as it does when memory runs out."
        } else {
            "The cell ended its process."
        })
    }
}

/// The variables that a cell defines.
fn variables(cell: &str) -> impl Iterator<Item = String> {
    let patterns = LET
        .captures_iter(cell)
        .map(|found| found.extract::<1>().1[0]);
    patterns.flat_map(|pattern| NAME.find_iter(pattern).map(|name| name.as_str().to_owned()))
}

/// The name in "cannot find value `name` in this scope".
fn missing(message: &str) -> Option<&str> {
    message
        .strip_prefix("cannot find value `")?
        .split('`')
        .next()
}

/// A line with bold letters in place of coloured ones, which cannot be read on both a light page and a dark one. Greys are as the text.
fn in_bold(line: &str) -> String {
    let (mut shown, mut bold, mut wanted, mut end) = (String::new(), false, false, 0);
    let mut push = |text: &str, wanted: bool| {
        if !text.is_empty() && wanted != bold {
            shown.push_str(if wanted { "\u{1b}[1m" } else { "\u{1b}[0m" });
            bold = wanted;
        }
        shown.push_str(text);
    };
    for style in STYLE.captures_iter(line) {
        let place = style.get_match();
        push(&line[end..place.start()], wanted);
        end = place.end();
        wanted = is_emphasis(&style[1]);
    }
    push(&line[end..], wanted);
    if bold {
        shown.push_str("\u{1b}[0m");
    }
    shown
}

/// <https://en.wikipedia.org/wiki/ANSI_escape_code#SGR>
fn is_emphasis(style: &str) -> bool {
    match style.strip_prefix("38;5;") {
        Some(colour) => !matches!(colour.parse(), Ok(232..=255_u8)),
        None => !matches!(style, "" | "0" | "22" | "39"),
    }
}

/// Which line of the cell, from 1, stands in line `at` of the library: the kernel puts cells into it line by line. Of several equal
/// lines it is the one with most equal lines around it.
fn line_of_cell(cell: &str, library: &str, at: usize) -> Option<usize> {
    let (cell, library): (Vec<&str>, Vec<&str>) =
        (cell.lines().collect(), library.lines().collect());
    let equal = |line: usize, other: usize| {
        let (line, other) = (cell.get(line), library.get(other));
        line.zip(other)
            .is_some_and(|(line, other)| line.trim() == other.trim())
    };
    let around = |line: usize| {
        let before = (1..=line.min(at))
            .take_while(|&back| equal(line - back, at - back))
            .count();
        let after = (1..)
            .take_while(|&forth| equal(line + forth, at + forth))
            .count();
        before + after
    };
    let best = (0..cell.len())
        .filter(|&line| equal(line, at))
        .max_by_key(|&line| around(line))?;
    Some(best + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: &str = "execute_request";

    fn after(cell: &str) -> Wording {
        let mut wording = Wording::new(PathBuf::from("nowhere"));
        wording.reword("execute_input", RUN, &mut json!({"code": cell}));
        wording
    }

    fn error(wording: &mut Wording, evalue: &str) -> String {
        let mut content = json!({"evalue": evalue, "traceback": [evalue]});
        assert_eq!(
            wording.reword("error", RUN, &mut content),
            Passing::BehindHeld
        );
        let lines = content["traceback"].as_array().unwrap().clone();
        let lines: Vec<_> = lines
            .iter()
            .map(|line| line.as_str().unwrap().to_owned())
            .collect();
        lines.join("\n")
    }

    #[test]
    fn the_end_of_a_cells_process_is_told_by_its_cause() {
        let of = |evalue| error(&mut after("f()"), evalue);
        assert!(
            of("Subprocess terminated with status: signal: 6 (SIGABRT) (core dumped)")
                .contains("stack overflowed")
        );
        assert!(
            of("printed\nSubprocess terminated with status: signal: 9 (SIGKILL)")
                .contains("memory")
        );
        assert!(
            of("Subprocess terminated with status: exit status: 7")
                .starts_with("The cell ended its process.\nThe variables")
        );
        let mut stopped = after("loop {}");
        stopped.interrupted();
        let said = error(
            &mut stopped,
            "Subprocess terminated with status: signal: 9 (SIGKILL)",
        );
        assert_eq!(said, format!("Stopped.\n{GONE}"));
    }

    #[test]
    fn of_what_a_cell_does_not_find_only_what_was_lost_is_said_to_be_gone() {
        let missing = |name: &str| format!("cannot find value `{name}` in this scope");
        let mut wording =
            after("let (mut a, b): (u8, Option<Vec<u8>>) = f();\nif let Some(c) = b {}");
        let run = |wording: &mut Wording, cell: &str| {
            wording.reword("execute_input", RUN, &mut json!({"code": cell}));
            wording.reword("status", RUN, &mut json!({"execution_state": "idle"}));
        };
        assert_eq!(error(&mut wording, &missing("a")), missing("a")); // nothing has ended
        error(
            &mut wording,
            "Subprocess terminated with status: signal: 9 (SIGKILL)",
        );
        run(&mut wording, "a + typo");
        for (name, is_lost) in [("a", true), ("b", true), ("typo", false), ("u8", false)] {
            let said = error(&mut wording, &missing(name));
            assert_eq!(said.ends_with(GONE), is_lost, "{said}");
        }
        run(&mut wording, "let a = 1;");
        assert_eq!(error(&mut wording, &missing("a")), missing("a")); // such as one that was moved
        assert!(error(&mut wording, &missing("b")).ends_with(GONE));
    }

    #[test]
    fn a_panic_names_the_line_of_the_cell_and_no_frames() {
        let folder = tempfile::tempdir().unwrap();
        let library = folder.path().join("lib.rs");
        std::fs::write(
            &library,
            "mod kernel;\n  let v = f();\nfn g() {\n let v = f();\n let w = v[7];\n}\n",
        )
        .unwrap();
        let mut wording = Wording::new(library);
        let cell = json!({"code": "// four\nlet v = f();\nlet w = v[7];"});
        wording.reword("execute_input", RUN, &mut cell.clone());
        let mut said = String::new();
        for line in [
            "\n",
            "thread 'main' (412) panicked at src/lib.rs:5:10:\n",
            "index out of bounds\n",
            "stack backtrace:\n",
            "   0: rust_begin_unwind\n",
            "             at /rustc/1/library/std/src/panicking.rs:5:5\n",
            "note: Some details are omitted, run with `RUST_BACKTRACE=full` for a verbose backtrace.\n",
            "after\n",
        ] {
            let mut content = json!({"name": "stderr", "text": line});
            match wording.reword("stream", RUN, &mut content) {
                Passing::Never => (),
                passing => {
                    assert_eq!(passing, Passing::AtTheEnd);
                    said += content["text"].as_str().unwrap();
                }
            }
        }
        assert_eq!(
            said,
            "\nthread 'main' panicked at line 3 of this cell:\nindex out of bounds\nafter\n"
        );
        // What the cell had printed arrives later, and is shown before.
        let mut printed = json!({"name": "stdout", "text": "before\n"});
        let passing = wording.reword("stream", RUN, &mut printed);
        assert_eq!(passing, Passing::Now);
        let mut idle = json!({"execution_state": "idle"});
        let passing = wording.reword("status", RUN, &mut idle);
        assert_eq!(
            (passing, wording.is_running()),
            (Passing::BehindHeld, false)
        );
    }

    #[test]
    fn of_equal_lines_the_one_with_equal_neighbours_is_meant() {
        let cell = "a();\nb();\na();\nc();";
        assert_eq!(
            line_of_cell(cell, "x\na();\nb();\na();\nc();\n", 3),
            Some(3)
        );
        assert_eq!(
            line_of_cell(cell, "x\na();\nb();\na();\nc();\n", 1),
            Some(1)
        );
        assert_eq!(line_of_cell(cell, "x\n", 0), None);
    }

    #[test]
    fn colours_become_bold_and_greys_nothing() {
        assert_eq!(
            in_bold("\u{1b}[31m[E1]\u{1b}[0m no"),
            "\u{1b}[1m[E1]\u{1b}[0m no"
        );
        let letters = "\u{1b}[38;5;249ml\u{1b}[0m\u{1b}[38;5;249me\u{1b}[0m \u{1b}[38;5;54ma\u{1b}[0m\u{1b}[38;5;54mb\u{1b}[0m";
        assert_eq!(in_bold(letters), "le \u{1b}[1mab\u{1b}[0m");
        assert_eq!(in_bold("plain"), "plain");
    }

    #[test]
    fn what_others_write_passes() {
        let mut wording = after("x");
        for (kind, content) in [
            (
                "stream",
                json!({"name": "stdout", "text": "stack backtrace:\n"}),
            ),
            (
                "stream",
                json!({"name": "stderr", "text": "stack backtrace:\n"}),
            ),
            ("execute_result", json!({"data": {}})),
        ] {
            let mut new = content.clone();
            assert_eq!(wording.reword(kind, RUN, &mut new), Passing::BehindHeld);
            assert_eq!(new, content);
        }
    }
}
