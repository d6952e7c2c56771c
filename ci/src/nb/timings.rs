//! How long a reader waits: the figures of `--timings`.
use std::time::{Duration, SystemTime};

use crate::kernel::calls::Call;

/// The times of one notebook's run.
#[derive(Debug, Default)]
pub struct Timings {
    /// From the kernel's start until it could run a cell.
    pub ready: Duration,
    pub cells: Vec<CellTime>,
    /// From the kernel's start to the first image or HTML.
    pub first_figure: Option<Duration>,
}

/// The time of one executed cell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CellTime {
    /// Its number among the notebook's code cells.
    pub number: usize,
    pub whole: Duration,
    /// Before the compiler is called: the kernel's program infers the types of variables.
    inference: Duration,
    /// From the compiler's first call to the end of its last one: rustc and the linker.
    compilation: Duration,
    /// After that: loading the library, running it, and the way of the outputs.
    run: Duration,
}

impl CellTime {
    /// A cell that was sent at `start` and took `whole`, by what the compiler's calls have noted so far.
    pub fn new(number: usize, start: SystemTime, whole: Duration, calls: &[Call]) -> Self {
        let since_start = |time: SystemTime| Some(time.duration_since(start).ok()?.min(whole));
        let of_cell = |call: &Call| Some((since_start(call.begin)?, since_start(call.end)?));
        let of_cell: Vec<(Duration, Duration)> = calls.iter().filter_map(of_cell).collect();
        let (begin, end) = match (of_cell.first(), of_cell.last()) {
            (Some(first), Some(last)) => (first.0, last.1),
            _ => Default::default(),
        };
        CellTime {
            number,
            whole,
            inference: begin,
            compilation: end.saturating_sub(begin),
            run: whole - end,
        }
    }
}

/// Up to this time of running a cell computes little: the reader waits for the compiler.
const LITTLE: Duration = Duration::from_millis(100);

/// How many of the slowest cells are listed.
const SLOWEST: usize = 3;

impl Timings {
    /// All but the first, which may wait for the crate to be loaded.
    fn later_cells(&self) -> &[CellTime] {
        self.cells.get(1..).unwrap_or_default()
    }

    fn first_cell(&self) -> Option<Duration> {
        self.cells.first().map(|cell| cell.whole)
    }

    fn slowest(&self) -> String {
        let mut cells = self.cells.clone();
        cells.sort_by_key(|cell| std::cmp::Reverse(cell.whole));
        let cells = cells.iter().take(SLOWEST);
        cells
            .map(|cell| format!("{} ({})", cell.number, seconds(Some(cell.whole))))
            .collect::<Vec<_>>()
            .join(", ")
    }
}

fn median(times: impl Iterator<Item = Duration>) -> Option<Duration> {
    let mut times: Vec<Duration> = times.collect();
    times.sort();
    let middle = times.len() / 2;
    match times.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(times[middle]),
        _ => Some((times[middle - 1] + times[middle]) / 2),
    }
}

/// The time that 95% of the cells do not exceed.
fn percentile_95(times: impl Iterator<Item = Duration>) -> Option<Duration> {
    let mut times: Vec<Duration> = times.collect();
    times.sort();
    let rank = (times.len() * 95).div_ceil(100);
    times.get(rank.checked_sub(1)?).copied()
}

fn seconds(time: Option<Duration>) -> String {
    time.map_or("-".to_owned(), |time| format!("{:.2}", time.as_secs_f64()))
}

/// The table of all notebooks, times in seconds: a line for each and, below several, one over all. The 95% are those of the later
/// cells that compute little. Inference, compilation and run are medians of the later cells, too.
pub fn table<'a>(runs: impl IntoIterator<Item = (&'a str, &'a Timings)>) -> String {
    let heading = [
        "seconds",
        "ready",
        "first cell",
        "first figure",
        "later cells: median",
        "95% that compute little",
        "inference",
        "compilation",
        "run",
        "slowest cells",
    ];
    let runs: Vec<(&str, &Timings)> = runs.into_iter().collect();
    let mut rows = vec![heading.map(str::to_owned)];
    rows.extend(runs.iter().map(|run| row(run.0, &[run.1], run.1.slowest())));
    if let [_, _, ..] = runs[..] {
        let all: Vec<&Timings> = runs.iter().map(|(_, timings)| *timings).collect();
        rows.push(row("all", &all, String::new()));
    }
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> = (0..heading.len()).filter_map(width).collect();
    let line = |row: &[String; 10]| {
        let cells = row.iter().zip(&widths).enumerate();
        let cells = cells.map(|(column, (text, &width))| match column {
            0 => format!("{text:<width$}"),
            9 => text.clone(),
            _ => format!("{text:>width$}"),
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// The medians over these notebooks, and over all their later cells together.
fn row(name: &str, of: &[&Timings], slowest: String) -> [String; 10] {
    let later = || of.iter().flat_map(|timings| timings.later_cells());
    let compiled = || later().filter(|cell| cell.run <= LITTLE);
    [
        name.to_owned(),
        seconds(median(of.iter().map(|timings| timings.ready))),
        seconds(median(of.iter().filter_map(|timings| timings.first_cell()))),
        seconds(median(of.iter().filter_map(|timings| timings.first_figure))),
        seconds(median(later().map(|cell| cell.whole))),
        seconds(percentile_95(compiled().map(|cell| cell.whole))),
        seconds(median(later().map(|cell| cell.inference))),
        seconds(median(later().map(|cell| cell.compilation))),
        seconds(median(later().map(|cell| cell.run))),
        slowest,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::UNIX_EPOCH;

    fn time(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    /// A cell of this many milliseconds, half of them inference and a quarter compilation.
    fn cell(number: usize, whole: u64) -> CellTime {
        let call = Call {
            begin: UNIX_EPOCH + time(whole / 2),
            end: UNIX_EPOCH + time(whole / 4 * 3),
        };
        CellTime::new(number, UNIX_EPOCH, time(whole), &[call])
    }

    #[test]
    fn the_table_has_a_line_for_each_notebook_and_one_for_all() {
        let timings = Timings {
            ready: time(3300),
            cells: [200, 400, 900, 500, 600]
                .into_iter()
                .zip(1..)
                .map(|(whole, number)| cell(number, whole))
                .collect(),
            first_figure: Some(time(4000)),
        };
        let empty = Timings::default();
        let expected = "\
seconds  ready  first cell  first figure  later cells: median  95% that compute little  inference  compilation   run  slowest cells
07_01     3.30        0.20          4.00                 0.55                     0.40       0.28         0.14  0.14  3 (0.90), 5 (0.60), 4 (0.50)
empty     0.00           -             -                    -                        -          -            -     -
all       1.65        0.20          4.00                 0.55                     0.40       0.28         0.14  0.14";
        assert_eq!(table([("07_01", &timings), ("empty", &empty)]), expected);
        assert_eq!(table([("07_01", &timings)]).lines().count(), 2);
    }

    #[test]
    fn one_of_twenty_may_take_longer_than_the_95th_percentile() {
        for (cells, expected) in [(0, None), (1, Some(1)), (20, Some(19)), (21, Some(20))] {
            let times = (1..=cells).rev().map(time);
            assert_eq!(percentile_95(times), expected.map(time), "{cells} cells");
        }
    }

    #[test]
    fn the_calls_of_the_compiler_divide_a_cells_time() {
        let start = UNIX_EPOCH + time(1000);
        let call = |begin: u64, end: u64| Call {
            begin: UNIX_EPOCH + time(begin),
            end: UNIX_EPOCH + time(end),
        };
        // The first belongs to the cell before.
        let calls = [call(400, 900), call(1100, 1300), call(1350, 1500)];
        let parts = |calls: &[Call]| {
            let cell = CellTime::new(2, start, time(700), calls);
            [cell.inference, cell.compilation, cell.run]
        };
        assert_eq!(parts(&calls), [100, 400, 200].map(time));
        assert_eq!(parts(&calls[..2]), [100, 200, 400].map(time));
        // Where nothing was compiled, or cargo itself compiles.
        assert_eq!(parts(&calls[..1]), [0, 0, 700].map(time));
    }
}
