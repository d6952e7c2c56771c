//! A line every few seconds that says how far the training is.

use std::time::{Duration, Instant};

/// The first line comes after this time; then every line takes a third longer, so that long trainings stay readable.
const FIRST: Duration = Duration::from_secs(4);

/// Prints whole lines: a notebook passes on nothing else while a cell runs.
pub(super) struct Progress {
    /// `None` where nothing is printed: then no clock is needed, which WebAssembly has not.
    started: Option<Instant>,
    next: Duration,
    /// Images of the whole training, and those done.
    total: usize,
    done: usize,
    /// Images that an earlier run had done.
    skipped: usize,
}

impl Progress {
    pub fn new(enabled: bool, total: usize, skipped: usize) -> Self {
        Self {
            started: enabled.then(Instant::now),
            next: FIRST,
            total,
            done: skipped,
            skipped,
        }
    }

    /// Counts `images`; prints a line where it is time for one.
    pub fn advance(&mut self, images: usize, line: impl FnOnce() -> String) {
        self.done += images;
        let Some(elapsed) = self.elapsed() else {
            return;
        };
        if elapsed >= self.next {
            self.next = elapsed + elapsed / 3;
            println!("{}  {}", line(), self.speed(elapsed));
        }
    }

    /// Prints a line at the end of an epoch.
    pub fn epoch(&self, line: &str) {
        if let Some(elapsed) = self.elapsed() {
            println!("{line}  {}", self.speed(elapsed));
        }
    }

    fn elapsed(&self) -> Option<Duration> {
        self.started.map(|started| started.elapsed())
    }

    fn speed(&self, elapsed: Duration) -> String {
        let rate = (self.done - self.skipped) as f64 / elapsed.as_secs_f64().max(1e-9);
        let left = (self.total - self.done) as f64 / rate.max(1e-9);
        format!("{rate:.0} images/s, {} left", duration(left))
    }
}

fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 90.0 => format!("{s:.0} s"),
        s if s < 5400.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.1} h", s / 3600.0),
    }
}
