//! `cargo nb`: executes notebooks with the real kernel and compares their outputs with the
//! committed ones, or writes them with `--update`.
//!
//! # For authors
//!
//! Cells run from the top in a fresh kernel, with the notebook's folder as working directory. A
//! cell passes if it runs to its end. It fails on a compile error, a panic, a `?` that returns an
//! error, the death of its process, or at its time limit of 120 seconds; the later cells of that
//! notebook are then skipped. Tags in a cell's metadata change that:
//!
//! | tag | meaning |
//! |---|---|
//! | `raises-exception` | The cell must fail: a compile error, a panic or an error from `?`. It fails if it runs to its end. |
//! | `volatile` | The output differs from run to run (timings): only its kinds are compared. |
//! | `timeout:300` | The time limit of the cell in seconds. |
//!
//! How outputs are compared is written in [`compare`], what is stored in [`outputs`], what every
//! committed notebook must satisfy in [`lint`]: among that, how code has to look ([`mod@format`]), and how
//! a text quotes a number so that it is looked for in the outputs ([`quotes`]).
//!
//! A notebook in `exercises` is the one in `solutions` without its solutions; `--update` makes it so
//! (see [`scaffold`]).
//!
//! `--update` formats the cells and runs them. If all outputs agree with the new ones (in volatile
//! cells, but for numbers and the pixels of figures), they stay, so that a second run changes nothing.
//! Else all outputs of the notebook are written from this run, with its mark (see [`one_run`]). To have
//! new ones all the same, clear one.
mod client;
mod compare;
mod format;
#[cfg(unix)]
pub mod guard;
mod lint;
mod notebook;
mod one_run;
mod outputs;
mod progress;
mod quotes;
mod run;
mod scaffold;
mod source;
mod timings;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use futures::StreamExt;
use nbformat::v4::Output;
use walkdir::{DirEntry, WalkDir};

use client::KernelCommand;
use notebook::NotebookFile;
use outputs::MachinePaths;
use progress::Progress;
use run::{CodeCell, Run};

use crate::kernel::features::Features;
use crate::kernel::start::Parts;
use crate::paths;

#[derive(clap::Args)]
pub struct Args {
    /// Notebooks: the beginning of a name (`07_02`, `exercises/`) or a path; all if none is given
    pub names: Vec<String>,
    /// Write the outputs into the notebooks instead of comparing them
    #[arg(long)]
    pub update: bool,
    /// Print how long the kernel, the first figure and the cells took, and on what
    #[arg(long)]
    pub timings: bool,
    /// How many notebooks run at once
    #[arg(long, default_value = "2")]
    pub jobs: NonZeroUsize,
    /// Another kernel's command line, split at spaces; `{connection_file}` stands for the file
    #[arg(long, hide = true)]
    pub kernel: Option<String>,
}

pub fn run(args: Args) -> Result<()> {
    let mut files = select(&paths::notebooks(), &args.names)?;
    client::remove_abandoned();
    if args.update {
        files.iter_mut().try_for_each(scaffold::renew)?;
        files.iter_mut().try_for_each(format::renew)?;
    }
    let command = match &args.kernel {
        Some(line) => KernelCommand(line.split_whitespace().map(str::to_owned).collect()),
        None => {
            Parts::ready(&Features::default())?; // no cell's time is for that
            KernelCommand::ours()?
        }
    };
    let session = Session {
        command,
        paths: MachinePaths::new(paths::repository()),
        update: args.update,
        progress: Progress::new(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let start = Instant::now();
    let reports = runtime.block_on(async {
        tokio::select! {
            reports = session.run_all(&files, args.jobs.get()) => Some(reports),
            () = interrupted() => None,
        }
    });
    let Some(reports) = reports else {
        bail!("interrupted; the kernels were ended")
    };

    session.progress.print(&summary(&reports, start.elapsed()));
    if args.timings {
        let runs = reports.iter().map(|one| (one.name.as_str(), &one.timings));
        session
            .progress
            .print(&format!("\n{}", timings::table(runs)));
    }
    let failed = reports
        .iter()
        .filter(|one| !one.failures.is_empty())
        .count();
    if failed > 0 {
        bail!("{failed} of {} notebooks failed", reports.len());
    }
    Ok(())
}

/// The notebooks that `names` mean, in the order of their paths.
fn select(folder: &Path, names: &[String]) -> Result<Vec<NotebookFile>> {
    let named: Vec<(String, PathBuf)> = find_notebooks(folder)?
        .into_iter()
        .map(|path| (name_of(folder, &path), path))
        .collect();
    let mut chosen: Vec<(String, PathBuf)> = Vec::new();
    for name in names {
        let path = Path::new(name);
        if path
            .extension()
            .is_some_and(|extension| extension == "ipynb")
            && path.is_file()
        {
            chosen.push((name_of(folder, path), std::path::absolute(path)?));
            continue;
        }
        let matching = named.iter().filter(|(known, _)| {
            let stem = known.rsplit('/').next().unwrap_or(known);
            known.starts_with(name.as_str()) || stem.starts_with(name.as_str())
        });
        let before = chosen.len();
        chosen.extend(matching.cloned());
        if chosen.len() == before {
            let known: Vec<&str> = named.iter().map(|(name, _)| name.as_str()).collect();
            bail!(
                "no notebook begins with {name:?}; there are: {}",
                known.join(", ")
            );
        }
    }
    if names.is_empty() {
        chosen = named;
    }
    if chosen.is_empty() {
        bail!("there are no notebooks in {}", folder.display());
    }
    chosen.sort();
    chosen.dedup();
    chosen
        .into_iter()
        .map(|(name, path)| NotebookFile::read(&path, name))
        .collect()
}

/// All notebooks below a folder, in the order of their paths.
fn find_notebooks(folder: &Path) -> Result<Vec<PathBuf>> {
    let is_visible = |entry: &DirEntry| !entry.file_name().to_string_lossy().starts_with('.');
    let entries = WalkDir::new(folder).sort_by_file_name().into_iter();
    let mut found = Vec::new();
    for entry in entries.filter_entry(is_visible) {
        let path = entry?.into_path();
        if path.extension().is_some_and(|name| name == "ipynb") && path.is_file() {
            found.push(path);
        }
    }
    Ok(found)
}

fn name_of(folder: &Path, path: &Path) -> String {
    let inside = path.strip_prefix(folder).unwrap_or(path);
    inside
        .with_extension("")
        .to_string_lossy()
        .replace('\\', "/")
}

async fn interrupted() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let (Ok(mut terminated), Ok(mut hung_up)) = (
            signal(SignalKind::terminate()),
            signal(SignalKind::hangup()),
        ) else {
            return std::future::pending().await;
        };
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminated.recv() => {}
            _ = hung_up.recv() => {}
        }
    }
    #[cfg(not(unix))]
    let _ = tokio::signal::ctrl_c().await;
}

/// What holds for all notebooks of one call.
struct Session {
    command: KernelCommand,
    paths: MachinePaths,
    update: bool,
    progress: Progress,
}

/// What came of one notebook.
struct Report {
    name: String,
    cells: usize,
    time: Duration,
    timings: timings::Timings,
    /// `written` or `unchanged` for an update.
    note: &'static str,
    failures: Vec<String>,
}

impl Session {
    async fn run_all(&self, files: &[NotebookFile], jobs: usize) -> Vec<Report> {
        let runs = files
            .iter()
            .enumerate()
            .map(|(index, file)| async move { (index, self.run_one(file).await) });
        let mut reports: Vec<(usize, Report)> = futures::stream::iter(runs)
            .buffer_unordered(jobs)
            .collect()
            .await;
        reports.sort_by_key(|(index, _)| *index);
        reports.into_iter().map(|(_, report)| report).collect()
    }

    async fn run_one(&self, file: &NotebookFile) -> Report {
        let start = Instant::now();
        let mut report = Report {
            name: file.name.clone(),
            cells: 0,
            time: Duration::ZERO,
            timings: timings::Timings::default(),
            note: "",
            failures: Vec::new(),
        };
        if let Err(error) = self.execute(file, &mut report).await {
            report.failures.push(format!("{error:#}"));
        }
        report.time = start.elapsed();
        for failure in &report.failures {
            self.progress
                .print(&format!("FAILED {}: {failure}\n", report.name));
        }
        report
    }

    async fn execute(&self, file: &NotebookFile, report: &mut Report) -> Result<()> {
        file.check_language()?;
        if !self.update {
            report.failures.extend(lint::problems(file));
        }
        let cells = run::code_cells(file)?;
        report.cells = cells.len();
        let folder = file.path.parent().context("a notebook lies in a folder")?;
        let run = {
            let progress = self.progress.notebook(&file.name, cells.len());
            run::run(&cells, folder, &self.command, &self.paths, &progress).await
        };
        let Run {
            outputs,
            timings,
            failure,
        } = run;
        report.timings = timings;
        let differences: Vec<String> = cells
            .iter()
            .zip(&outputs)
            .enumerate()
            .filter_map(|(index, (cell, outputs))| {
                let found = compare::difference(&cell.outputs, outputs, cell.volatile)?;
                Some(format!(
                    "cell [{}] differs from the committed output: {found}",
                    index + 1
                ))
            })
            .collect();
        if !self.update {
            report.failures.extend(differences);
        }
        if let Some(failure) = failure {
            report.failures.insert(0, self.describe(&failure, &cells));
        } else if self.update {
            let problems;
            (report.note, problems) = self.write(file, &cells, outputs)?;
            report.failures.extend(problems);
        }
        Ok(())
    }

    /// Writes the notebook if anything changed; says whether, and the problems of what it now holds.
    fn write(
        &self,
        file: &NotebookFile,
        cells: &[CodeCell],
        outputs: Vec<Vec<Output>>,
    ) -> Result<(&'static str, Vec<String>)> {
        let content = renewed(file, cells, outputs);
        let text = notebook::file_text(&content)?;
        if text == file.text {
            return Ok(("unchanged", lint::problems(file)));
        }
        notebook::write(&file.path, &text)?;
        let written = NotebookFile::read(&file.path, file.name.clone())?;
        Ok(("written", lint::problems(&written)))
    }

    /// The failed cell with its number, its first lines and what was said about it.
    fn describe(&self, failure: &run::Failure, cells: &[CodeCell]) -> String {
        const SOURCE_LINES: usize = 5;
        const MESSAGE_LINES: usize = 60;
        let Some(number) = failure.cell else {
            return failure.reason.clone();
        };
        let mut text = format!("cell [{number}]: {}", failure.reason);
        for (index, line) in cells[number - 1].source.lines().enumerate() {
            let line = if index < SOURCE_LINES { line } else { "…" };
            text.push_str(&format!("\n    {line}"));
            if index == SOURCE_LINES {
                break;
            }
        }
        let message = match self.progress.has_colours() {
            true => failure.message.clone(),
            false => console::strip_ansi_codes(&failure.message).into_owned(),
        };
        for line in message.trim_end().lines().take(MESSAGE_LINES) {
            text.push('\n');
            text.push_str(line);
        }
        text
    }
}

/// The notebook with the outputs in the file if all are still valid, else with all outputs of this run.
fn renewed(
    file: &NotebookFile,
    cells: &[CodeCell],
    outputs: Vec<Vec<Output>>,
) -> nbformat::v4::Notebook {
    if one_run::is_whole(file) && compare::all_still_valid(cells, &outputs) {
        let kept = cells.iter().enumerate();
        let kept = kept.map(|(index, cell)| notebook::renumbered(cell.outputs.clone(), index + 1));
        return notebook::with_outputs(file.content.clone(), kept.collect());
    }
    let mut content = notebook::with_outputs(file.content.clone(), outputs);
    one_run::sign(&mut content);
    content
}

fn summary(reports: &[Report], time: Duration) -> String {
    let width = reports
        .iter()
        .map(|one| one.name.chars().count())
        .max()
        .unwrap_or(0);
    let mut lines = vec![String::new()];
    for one in reports {
        let state = match (one.failures.is_empty(), one.note) {
            (true, "") => "ok",
            (true, note) => note,
            (false, _) => "FAILED",
        };
        let first = one
            .failures
            .first()
            .and_then(|failure| failure.lines().next())
            .unwrap_or_default();
        let line = format!(
            "{:<width$}  {state:<9}  {:>3} cells  {:>6.1} s  {first}",
            one.name,
            one.cells,
            one.time.as_secs_f64()
        );
        lines.push(line.trim_end().to_owned());
    }
    let good = reports.iter().filter(|one| one.failures.is_empty()).count();
    lines.push(format!(
        "{good} of {} notebooks passed in {:.0} s",
        reports.len(),
        time.as_secs_f64()
    ));
    lines.join("\n")
}
