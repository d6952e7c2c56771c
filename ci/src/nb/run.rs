//! Executing one notebook.
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result};
use nbformat::v4::{Cell, CellMetadata, Output};

use super::client::{Answer, End, Kernel, KernelCommand};
use super::compare::mime_bundle;
use super::notebook::{NotebookFile, source_text, tags};
use super::outputs::{MachinePaths, Received, has_panic};
use super::progress::NotebookProgress;
use super::source::{Ending, MARK, prepare};
use super::timings::{CellTime, Timings};
use crate::paths;

const DEFAULT_LIMIT: Duration = Duration::from_secs(120);

/// A code cell that is to be executed.
pub struct CodeCell {
    pub source: String,
    pub must_fail: bool,
    pub volatile: bool,
    pub limit: Duration,
    /// The committed outputs.
    pub outputs: Vec<Output>,
}

/// The notebook's code cells that hold something, in order.
pub fn code_cells(notebook: &NotebookFile) -> Result<Vec<CodeCell>> {
    let mut cells = Vec::new();
    for cell in &notebook.content.cells {
        let Cell::Code {
            metadata,
            source,
            outputs,
            ..
        } = cell
        else {
            continue;
        };
        let source = source_text(source);
        if source.trim().is_empty() {
            continue;
        }
        let number = cells.len() + 1;
        cells.push(CodeCell {
            must_fail: tags(metadata).iter().any(|tag| tag == "raises-exception"),
            volatile: tags(metadata).iter().any(|tag| tag == "volatile"),
            limit: limit(metadata)
                .with_context(|| format!("{}, cell [{number}]", notebook.name))?,
            outputs: outputs.clone(),
            source,
        });
    }
    Ok(cells)
}

fn limit(metadata: &CellMetadata) -> Result<Duration> {
    let Some(seconds) = tags(metadata)
        .iter()
        .find_map(|tag| tag.strip_prefix("timeout:"))
    else {
        return Ok(DEFAULT_LIMIT);
    };
    let seconds = seconds.parse().with_context(|| {
        format!("the tag timeout:{seconds} needs whole seconds, such as timeout:300")
    })?;
    Ok(Duration::from_secs(seconds))
}

/// What came of a notebook's execution.
pub struct Run {
    /// The outputs of each executed cell, as they are stored.
    pub outputs: Vec<Vec<Output>>,
    pub timings: Timings,
    pub failure: Option<Failure>,
}

/// Why the execution of a notebook stopped.
pub struct Failure {
    /// The cell's number among the executed cells, from 1; `None` if the kernel did not start.
    pub cell: Option<usize>,
    pub reason: String,
    /// What the compiler or the cell wrote about it.
    pub message: String,
}

/// Runs the cells one after the other in a fresh kernel, up to the first that fails.
pub async fn run(
    cells: &[CodeCell],
    folder: &Path,
    command: &KernelCommand,
    paths: &MachinePaths,
    progress: &NotebookProgress,
) -> Run {
    let mut run = Run {
        outputs: Vec::new(),
        timings: Timings::default(),
        failure: None,
    };
    progress.starts("starting the kernel");
    let start = Instant::now();
    let mut kernel = match Kernel::start(command, folder).await {
        Ok(kernel) => kernel,
        Err(error) => {
            run.failure = Some(Failure {
                cell: None,
                reason: format!("{error:#}"),
                message: String::new(),
            });
            return run;
        }
    };
    run.timings.ready = start.elapsed();
    progress.did("kernel started", run.timings.ready);

    for (index, cell) in cells.iter().enumerate() {
        let number = index + 1;
        progress.starts_cell(number);
        let (cell_start, sent_at) = (Instant::now(), SystemTime::now());
        let (code, ending) = prepare(&cell.source);
        let mark = (ending == Ending::Mark).then_some(MARK);
        let (received, end, time) = match kernel.execute(&code, cell.limit, mark).await {
            Ok(Answer { sent, end, last }) => {
                (Received::new(sent), end, last.into_std() - cell_start)
            }
            Err(error) => {
                run.failure = Some(Failure {
                    cell: Some(number),
                    reason: format!("lost the kernel: {error:#}"),
                    message: String::new(),
                });
                break;
            }
        };
        progress.did_cell(number, time);
        let cell_time = CellTime::new(number, sent_at, time, &kernel.calls());
        run.timings.cells.push(cell_time);

        let verdict = match verdict(&received, &end, ending) {
            Verdict::Broke(reason) if matches!(end, End::KernelDied(_)) => {
                Verdict::Broke(format!("{reason}{}", kernel.log_tail()))
            }
            Verdict::Broke(reason) if matches!(end, End::TimedOut) => {
                Verdict::Broke(format!("{reason} {} s", cell.limit.as_secs()))
            }
            verdict => verdict,
        };
        let reason = match (verdict, cell.must_fail) {
            (Verdict::Ran, false) | (Verdict::Failed(_), true) => None,
            (Verdict::Ran, true) => {
                Some("it ran to its end, but is tagged raises-exception".to_owned())
            }
            (Verdict::Failed(reason), false) | (Verdict::Broke(reason), _) => Some(reason),
        };
        let message = message(&received);
        let outputs = received.into_outputs(number, paths);
        if let Some(reason) = reason {
            let timed_out = matches!(end, End::TimedOut);
            run.failure = Some(Failure {
                cell: Some(number),
                reason: match hint(&cell.source, &message, timed_out, folder) {
                    Some(hint) => format!("{reason}; {hint}"),
                    None => reason,
                },
                message,
            });
            break;
        }
        if run.timings.first_figure.is_none() && outputs.iter().any(is_figure) {
            run.timings.first_figure = Some(start.elapsed());
        }
        run.outputs.push(outputs);
    }
    kernel.shut_down().await;
    run
}

/// What the reader cannot see from the cell and its error.
fn hint(source: &str, error: &str, timed_out: bool, folder: &Path) -> Option<String> {
    if timed_out && source.contains("stdin()") {
        let hint = "a notebook has no standard input: write what it should read into the cell";
        return Some(hint.to_owned());
    }
    let names_path = source
        .lines()
        .any(|line| line.trim_start().starts_with(":dep") && line.contains("path"));
    let is_missing = error.contains("No such file or directory") // from the kernel's program
        || error.contains("cannot find the path") // the same on Windows
        || error.contains("failed to read"); // from cargo
    if !(names_path && is_missing) {
        return None;
    }
    let crate_folder = paths::dldna();
    let from_here = match folder.strip_prefix(paths::repository()) {
        Ok(below) => Path::new(&"../".repeat(below.components().count())).join("dldna"),
        Err(_) => crate_folder,
    };
    Some(format!(
        "a path behind `:dep` starts from the folder of the notebook, {}; the crate dldna is there {}",
        folder.display(),
        from_here.display()
    ))
}

fn is_figure(output: &Output) -> bool {
    mime_bundle(output)
        .keys()
        .any(|mime| mime.starts_with("image/") || mime == "text/html")
}

/// What the compiler, the panic or the error said.
fn message(received: &Received) -> String {
    let errors: Vec<String> = received
        .errors
        .iter()
        .map(|error| error.traceback.join("\n"))
        .collect();
    if errors.is_empty() {
        received.stored_stderr()
    } else {
        errors.join("\n")
    }
}

/// How a cell ended.
enum Verdict {
    Ran,
    /// As a cell tagged `raises-exception` must: a compile error, a panic, an error from `?`.
    Failed(String),
    /// As no cell may.
    Broke(String),
}

fn verdict(received: &Received, end: &End, ending: Ending) -> Verdict {
    match end {
        End::TimedOut => return Verdict::Broke("it was stopped at its time limit of".to_owned()),
        End::KernelDied(status) => return Verdict::Broke(format!("the kernel died ({status})")),
        End::Replied { error: true } => {
            let messages = received
                .errors
                .iter()
                .flat_map(|error| error.evalue.lines());
            return match messages
                .into_iter()
                .find(|line| line.starts_with("Subprocess "))
            {
                Some(death) => {
                    Verdict::Broke(format!("the process that runs the cells died ({death})"))
                }
                None => Verdict::Failed("the compiler or the kernel refused it".to_owned()),
            };
        }
        End::Replied { error: false } => {}
    }
    let panicked = has_panic(&received.stderr);
    let ran = match ending {
        Ending::Mark => received.marks > 0,
        Ending::Value if received.values.is_empty() => received.stderr.is_empty(),
        Ending::Value | Ending::Reply => !panicked,
    };
    if !ran {
        let reason = if panicked {
            "it panicked"
        } else {
            "it stopped at a `?` that returned an error"
        };
        return Verdict::Failed(reason.to_owned());
    }
    if received.open_line {
        // The kernel reads whole lines: without our mark, the text would have waited for the next
        // cell's, or, flushed, have hidden the kernel's own end mark.
        return Verdict::Broke(
            "its standard output does not end with a line end; for a reader it would appear in the \
             next cell, or hang the kernel"
                .to_owned(),
        );
    }
    Verdict::Ran
}
