//! Exercises without their solutions.
//!
//! The notebook in `notebooks/solutions` is what an author writes. The one of the same name in
//! `notebooks/exercises` follows from it, as nbgrader's `generate_assignment` does it: in a cell whose
//! metadata say `nbgrader.solution`, the lines from `BEGIN SOLUTION` to `END SOLUTION` become one, or
//! the whole cell does if it has no such lines.
use std::path::PathBuf;

use anyhow::Result;
use nbformat::v4::{Cell, CellMetadata, Output};

use super::notebook::{NotebookFile, lines, nbgrader, source_text};

/// What takes the place of a solution. `notebooks/exercises/nbgrader_config.py` says the same.
const CODE: &str = "todo!()";
const TEXT: &str = "*Your answer.*";

/// The notebook that holds the solutions of `exercise`, if that is what it is.
fn solution_path(exercise: &NotebookFile) -> Option<PathBuf> {
    let folder = exercise.path.parent()?;
    let solution = folder
        .with_file_name("solutions")
        .join(exercise.path.file_name()?);
    (folder.ends_with("exercises") && solution.is_file()).then_some(solution)
}

/// The cells of an exercise, as they follow from its solution.
fn cells(exercise: &NotebookFile) -> Result<Option<Vec<Cell>>> {
    let Some(path) = solution_path(exercise) else {
        return Ok(None);
    };
    let solution = NotebookFile::read(&path, path.display().to_string())?;
    Ok(Some(
        solution.content.cells.into_iter().map(cleared).collect(),
    ))
}

/// Makes the exercise follow from its solution. Cells that are still there keep their outputs.
pub fn renew(exercise: &mut NotebookFile) -> Result<()> {
    let Some(mut cells) = cells(exercise)? else {
        return Ok(());
    };
    for cell in &mut cells {
        let id = cell.id().clone();
        if let Cell::Code { outputs, .. } = cell {
            *outputs = old_outputs(exercise, &id.to_string());
        }
    }
    exercise.content.cells = cells;
    Ok(())
}

fn old_outputs(exercise: &NotebookFile, id: &str) -> Vec<Output> {
    let cells = exercise.content.cells.iter();
    let mut outputs = cells.filter_map(|cell| match cell {
        Cell::Code { outputs, .. } if cell.id().as_str() == id => Some(outputs.clone()),
        _ => None,
    });
    outputs.next().unwrap_or_default()
}

/// Whether an exercise does not follow from its solution.
pub fn problem(exercise: &NotebookFile) -> Option<String> {
    let expected = match cells(exercise) {
        Ok(expected) => expected?,
        Err(error) => return Some(format!("its solution: {error:#}")),
    };
    let same = expected.len() == exercise.content.cells.len()
        && expected
            .iter()
            .zip(&exercise.content.cells)
            .all(|(a, b)| contents(a) == contents(b));
    (!same).then(|| {
        format!(
            "it does not follow from solutions/; run `cargo nb {} --update`",
            exercise.name
        )
    })
}

/// What of a cell the author has written.
fn contents(cell: &Cell) -> (&'static str, &str, serde_json::Value, String) {
    let (kind, metadata, source) = match cell {
        Cell::Markdown {
            metadata, source, ..
        } => ("markdown", metadata, source),
        Cell::Code {
            metadata, source, ..
        } => ("code", metadata, source),
        Cell::Raw {
            metadata, source, ..
        } => ("raw", metadata, source),
    };
    let metadata = serde_json::to_value(metadata).unwrap_or_default();
    (kind, cell.id().as_str(), metadata, source_text(source))
}

fn cleared(mut cell: Cell) -> Cell {
    match &mut cell {
        Cell::Markdown {
            metadata, source, ..
        } if is_solution(metadata) => {
            *source = lines(&[without_solution(&source_text(source), TEXT)]);
        }
        Cell::Code {
            metadata, source, ..
        } if is_solution(metadata) => {
            *source = lines(&[without_solution(&source_text(source), CODE)]);
        }
        _ => {}
    }
    cell
}

fn is_solution(metadata: &CellMetadata) -> bool {
    nbgrader(metadata).is_some_and(|settings| settings["solution"] == true)
}

fn without_solution(source: &str, stub: &str) -> String {
    if !source.contains("BEGIN SOLUTION") {
        return stub.to_owned();
    }
    let mut kept: Vec<String> = Vec::new();
    let mut inside = false;
    for line in source.split('\n') {
        if line.contains("BEGIN SOLUTION") {
            inside = true;
            let indent = &line[..line.len() - line.trim_start().len()];
            kept.push(format!("{indent}{stub}"));
        } else if line.contains("END SOLUTION") {
            inside = false;
        } else if !inside {
            kept.push(line.to_owned());
        }
    }
    kept.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn write(folder: &std::path::Path, name: &str, source: &str) -> NotebookFile {
        let solution = json!({"nbgrader": {"solution": true}});
        let notebook = json!({
            "cells": [
                {"cell_type": "markdown", "id": "a", "metadata": solution, "source": "Because."},
                {"cell_type": "code", "id": "b", "metadata": solution, "source": source,
                 "execution_count": null, "outputs": []},
            ],
            "metadata": {}, "nbformat": 4, "nbformat_minor": 5,
        });
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, notebook.to_string()).unwrap();
        NotebookFile::read(&path, name.to_owned()).unwrap()
    }

    const SOLUTION: &str =
        "fn one() -> i32 {\n    // BEGIN SOLUTION\n    1\n    // END SOLUTION\n}";

    #[test]
    fn an_exercise_is_its_solution_without_the_solution() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "solutions/a.ipynb", SOLUTION);
        let mut exercise = write(folder.path(), "exercises/a.ipynb", "fn two() {}");
        assert!(problem(&exercise).unwrap().contains("exercises/a.ipynb"));

        renew(&mut exercise).unwrap();
        assert_eq!(problem(&exercise), None);
        let sources: Vec<String> = exercise
            .content
            .cells
            .iter()
            .map(|cell| contents(cell).3)
            .collect();
        assert_eq!(sources, [TEXT, "fn one() -> i32 {\n    todo!()\n}"]);
    }

    #[test]
    fn other_notebooks_stay_as_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let mut solution = write(folder.path(), "solutions/a.ipynb", SOLUTION);
        write(folder.path(), "exercises/a.ipynb", "fn two() {}");
        let before = contents(&solution.content.cells[1]).3;
        renew(&mut solution).unwrap();
        assert_eq!(contents(&solution.content.cells[1]).3, before);
        assert_eq!(problem(&solution), None);
    }
}
