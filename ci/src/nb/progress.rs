//! What is shown while notebooks run: a line in place for each on a terminal, plain lines elsewhere.
use std::time::Duration;

use console::Term;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// Where everything that the command prints goes through, so that lines in place and lines that
/// stay do not mix.
#[derive(Clone)]
pub struct Progress {
    lines: MultiProgress,
    in_place: bool,
}

impl Progress {
    pub fn new() -> Self {
        let in_place = Term::stdout().is_term() && Term::stderr().is_term();
        Progress {
            lines: MultiProgress::new(),
            in_place,
        }
    }

    /// Prints text that stays.
    pub fn print(&self, text: &str) {
        self.lines.suspend(|| println!("{text}"));
    }

    /// Whether colours make sense in what is printed.
    pub fn has_colours(&self) -> bool {
        console::colors_enabled()
    }

    /// A line for one notebook of `cells` code cells.
    pub fn notebook(&self, name: &str, cells: usize) -> NotebookProgress {
        let line = self.in_place.then(|| {
            let style = ProgressStyle::with_template("{spinner} {prefix}  {msg}  {elapsed}")
                .expect("a constant template");
            let line = self.lines.add(ProgressBar::new_spinner().with_style(style));
            line.set_prefix(name.to_owned());
            line.enable_steady_tick(Duration::from_millis(200));
            line
        });
        NotebookProgress {
            all: self.clone(),
            name: name.to_owned(),
            cells,
            line,
        }
    }
}

/// The progress of one notebook. Dropping it removes its line.
pub struct NotebookProgress {
    all: Progress,
    name: String,
    cells: usize,
    line: Option<ProgressBar>,
}

impl NotebookProgress {
    /// What is being done now.
    pub fn starts(&self, what: &str) {
        if let Some(line) = &self.line {
            line.set_message(what.to_owned());
            line.reset_elapsed();
        }
    }

    pub fn starts_cell(&self, number: usize) {
        self.starts(&format!("cell {number}/{}", self.cells));
    }

    /// A step that took `time`.
    pub fn did(&self, what: &str, time: Duration) {
        if self.line.is_none() {
            self.all.print(&format!(
                "{}  {what}  {:.1} s",
                self.name,
                time.as_secs_f64()
            ));
        }
    }

    pub fn did_cell(&self, number: usize, time: Duration) {
        self.did(&format!("cell {number}/{}", self.cells), time);
    }
}

impl Drop for NotebookProgress {
    fn drop(&mut self) {
        if let Some(line) = &self.line {
            line.finish_and_clear();
        }
    }
}
