//! How long a reader waits: the figures of `--timings`.
use std::time::Duration;

/// The times of one notebook's run.
#[derive(Debug, Default)]
pub struct Timings {
    /// From the kernel's start until it could run a cell.
    pub ready: Duration,
    /// Each executed cell: its number among the notebook's code cells, and its time.
    pub cells: Vec<(usize, Duration)>,
    /// From the kernel's start to the first image or HTML.
    pub first_figure: Option<Duration>,
}

/// How many of the slowest cells are listed.
const SLOWEST: usize = 3;

impl Timings {
    fn median_of_later_cells(&self) -> Option<Duration> {
        let mut times: Vec<Duration> = self.cells.iter().skip(1).map(|(_, time)| *time).collect();
        times.sort();
        let middle = times.len() / 2;
        match times.len() {
            0 => None,
            odd if odd % 2 == 1 => Some(times[middle]),
            _ => Some((times[middle - 1] + times[middle]) / 2),
        }
    }

    fn slowest(&self) -> String {
        let mut cells = self.cells.clone();
        cells.sort_by_key(|(_, time)| std::cmp::Reverse(*time));
        let cells = cells.iter().take(SLOWEST);
        cells
            .map(|(number, time)| format!("{number} ({})", seconds(Some(*time))))
            .collect::<Vec<_>>()
            .join(", ")
    }
}

fn seconds(time: Option<Duration>) -> String {
    time.map_or("-".to_owned(), |time| format!("{:.2}", time.as_secs_f64()))
}

/// The table of all notebooks, times in seconds.
pub fn table<'a>(runs: impl IntoIterator<Item = (&'a str, &'a Timings)>) -> String {
    let heading = [
        "seconds",
        "start to ready",
        "first cell",
        "start to first figure",
        "median of later cells",
        "slowest cells",
    ];
    let mut rows = vec![heading.map(str::to_owned)];
    for (name, timings) in runs {
        rows.push([
            name.to_owned(),
            seconds(Some(timings.ready)),
            seconds(timings.cells.first().map(|(_, time)| *time)),
            seconds(timings.first_figure),
            seconds(timings.median_of_later_cells()),
            timings.slowest(),
        ]);
    }
    let widths: Vec<usize> = (0..heading.len())
        .map(|column| {
            rows.iter()
                .map(|row| row[column].chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    let lines = rows.iter().map(|row| {
        let cells =
            row.iter()
                .zip(&widths)
                .enumerate()
                .map(|(column, (text, &width))| match column {
                    0 => format!("{text:<width$}"),
                    5 => text.clone(),
                    _ => format!("{text:>width$}"),
                });
        cells.collect::<Vec<_>>().join("  ")
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_a_line_for_each_notebook() {
        let time = Duration::from_millis;
        let timings = Timings {
            ready: time(3300),
            cells: vec![
                (1, time(200)),
                (2, time(400)),
                (3, time(900)),
                (4, time(500)),
                (5, time(600)),
            ],
            first_figure: Some(time(4000)),
        };
        let empty = Timings::default();
        let expected = "\
seconds  start to ready  first cell  start to first figure  median of later cells  slowest cells
07_01              3.30        0.20                   4.00                   0.55  3 (0.90), 5 (0.60), 4 (0.50)
empty              0.00           -                      -                      -  ";
        assert_eq!(table([("07_01", &timings), ("empty", &empty)]), expected);
    }
}
