//! Exercises without their solutions.
//!
//! The notebook in `notebooks/solutions` is what an author writes. The one of the same name in
//! `notebooks/exercises` follows from it, as nbgrader's `generate_assignment` does it: in a cell whose
//! metadata say `nbgrader.solution`, the lines from `BEGIN SOLUTION` to `END SOLUTION` become one, or
//! the whole cell does if it has no such lines.
use std::collections::HashSet;
use std::path::PathBuf;

use anyhow::Result;
use nbformat::v4::{Cell, CellMetadata, Output};

use super::notebook::{NBGRADER, NotebookFile, lines, nbgrader, source_text};
use super::{format, one_run};

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

/// Whether the notebook is an exercise that follows from its solution.
pub fn has_solution(file: &NotebookFile) -> bool {
    solution_path(file).is_some()
}

/// The cells of an exercise, as they follow from its solution when that is formatted.
fn cells(exercise: &NotebookFile) -> Result<Option<Vec<Cell>>> {
    let Some(path) = solution_path(exercise) else {
        return Ok(None);
    };
    let mut solution = NotebookFile::read(&path, path.display().to_string())?;
    format::renew(&mut solution)?;
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
        if let Cell::Code {
            metadata, outputs, ..
        } = cell
        {
            let (old_outputs, old_mark) = old_run(exercise, &id.to_string());
            *outputs = old_outputs;
            one_run::set_mark(metadata, old_mark.as_deref());
        }
    }
    exercise.content.cells = cells;
    Ok(())
}

/// The outputs that a cell of the exercise has, and the mark of the run that they come from.
fn old_run(exercise: &NotebookFile, id: &str) -> (Vec<Output>, Option<String>) {
    let cells = exercise.content.cells.iter();
    let mut runs = cells.filter_map(|cell| match cell {
        Cell::Code {
            metadata, outputs, ..
        } if cell.id().as_str() == id => {
            Some((outputs.clone(), one_run::mark(metadata).map(str::to_owned)))
        }
        _ => None,
    });
    runs.next().unwrap_or_default()
}

/// What is wrong with a notebook as an exercise or as a solution.
pub fn problems(file: &NotebookFile) -> Vec<String> {
    unfaithful(file)
        .into_iter()
        .chain(wrong_answers(file))
        .chain(wrong_marks(file))
        .collect()
}

/// What nbgrader's metadata have to say in a solution. Without them the exercise would show what is to be
/// written, and a check could fail unseen.
fn wrong_marks(file: &NotebookFile) -> Vec<String> {
    if folder(file) != Some("solutions") {
        return Vec::new();
    }
    let mut grade_ids = HashSet::new();
    let mut problems = Vec::new();
    for (kind, id, metadata, source) in file.content.cells.iter().map(contents) {
        let settings = &metadata[NBGRADER];
        if source.contains("BEGIN SOLUTION") && settings["solution"] != true {
            problems.push(format!(
                "cell {id} has a solution, but its metadata lack `nbgrader.solution`: the exercise would show it"
            ));
        }
        if kind == "code" && source.starts_with("check::") && settings["grade"] != true {
            problems.push(format!(
                "cell {id} is a check, but its metadata lack `nbgrader.grade`"
            ));
        }
        if let Some(grade_id) = settings["grade_id"].as_str()
            && !grade_ids.insert(grade_id.to_owned())
        {
            problems.push(format!("two cells have the grade_id {grade_id}"));
        }
    }
    problems
}

/// The name of the notebook's folder.
fn folder(file: &NotebookFile) -> Option<&str> {
    file.path.parent()?.file_name()?.to_str()
}

/// Every check has to pass in a solution, and none in an exercise as it is shipped.
fn wrong_answers(file: &NotebookFile) -> Vec<String> {
    let solved = match folder(file) {
        Some("solutions") => true,
        Some("exercises") => false,
        _ => return Vec::new(),
    };
    let cells = file.content.cells.iter();
    let checks = cells.filter_map(|cell| match cell {
        Cell::Code {
            metadata, outputs, ..
        } if nbgrader(metadata).is_some_and(|settings| settings["grade"] == true) => {
            Some((cell.id(), outputs))
        }
        _ => None,
    });
    checks
        .filter(|(_, outputs)| has_passed(outputs) != solved)
        .map(|(id, _)| {
            let words = if solved { "does not pass" } else { "passes" };
            format!("the check {id} {words}")
        })
        .collect()
}

/// Whether the outputs are an answer that says so (`Answer` in the crate's `exercises`).
fn has_passed(outputs: &[Output]) -> bool {
    serde_json::to_string(outputs).is_ok_and(|text| text.contains(": passed"))
}

/// Says so where an exercise does not follow from its solution.
fn unfaithful(exercise: &NotebookFile) -> Option<String> {
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
    let mut metadata = metadata.clone();
    one_run::set_mark(&mut metadata, None);
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
    use super::super::notebook::{self, file_text};
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
        assert!(unfaithful(&exercise).unwrap().contains("exercises/a.ipynb"));

        renew(&mut exercise).unwrap();
        assert_eq!(unfaithful(&exercise), None);
        let sources: Vec<String> = exercise
            .content
            .cells
            .iter()
            .map(|cell| contents(cell).3)
            .collect();
        assert_eq!(sources, [TEXT, "fn one() -> i32 {\n    todo!()\n}"]);
    }

    #[test]
    fn an_exercise_has_marks_of_its_own_runs() {
        let folder = tempfile::tempdir().unwrap();
        let mut solution = write(folder.path(), "solutions/a.ipynb", SOLUTION);
        one_run::sign(&mut solution.content);
        notebook::write(&solution.path, &file_text(&solution.content).unwrap()).unwrap();
        let mut exercise = write(folder.path(), "exercises/a.ipynb", SOLUTION);
        renew(&mut exercise).unwrap();
        assert!(!one_run::problems(&exercise).is_empty());

        one_run::sign(&mut exercise.content);
        let marked = file_text(&exercise.content).unwrap();
        renew(&mut exercise).unwrap();
        assert_eq!(file_text(&exercise.content).unwrap(), marked);
        assert_eq!(unfaithful(&exercise), None);
    }

    #[test]
    fn an_exercise_follows_from_the_formatted_solution() {
        let folder = tempfile::tempdir().unwrap();
        write(
            folder.path(),
            "solutions/a.ipynb",
            &SOLUTION.replace("    ", ""),
        );
        let mut exercise = write(folder.path(), "exercises/a.ipynb", SOLUTION);
        one_run::sign(&mut exercise.content);
        renew(&mut exercise).unwrap();
        let code = contents(&exercise.content.cells[1]).3;
        assert_eq!(code, "fn one() -> i32 {\n    todo!()\n}");
    }

    #[test]
    fn other_notebooks_stay_as_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let mut solution = write(folder.path(), "solutions/a.ipynb", SOLUTION);
        write(folder.path(), "exercises/a.ipynb", "fn two() {}");
        let before = contents(&solution.content.cells[1]).3;
        renew(&mut solution).unwrap();
        assert_eq!(contents(&solution.content.cells[1]).3, before);
        assert_eq!(unfaithful(&solution), None);
    }

    #[test]
    fn checks_pass_in_solutions_and_nowhere_else() {
        let folder = tempfile::tempdir().unwrap();
        let check = |name: &str, answer: &str| {
            let notebook = json!({
                "cells": [{"cell_type": "code", "id": "check", "metadata": {"nbgrader": {"grade": true}},
                    "source": "1", "execution_count": 1, "outputs": [{"output_type": "execute_result",
                    "execution_count": 1, "metadata": {}, "data": {"text/plain": answer}}]}],
                "metadata": {}, "nbformat": 4, "nbformat_minor": 5,
            });
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, notebook.to_string()).unwrap();
            wrong_answers(&NotebookFile::read(&path, name.to_owned()).unwrap())
        };
        let (yes, no) = ("basic-1, sobel: passed", "basic-1, sobel: not written yet.");
        assert_eq!(check("solutions/a.ipynb", yes), Vec::<String>::new());
        assert_eq!(
            check("solutions/a.ipynb", no),
            ["the check check does not pass"]
        );
        assert_eq!(check("exercises/a.ipynb", no), Vec::<String>::new());
        assert_eq!(check("exercises/a.ipynb", yes), ["the check check passes"]);
        assert_eq!(check("a.ipynb", no), Vec::<String>::new());
    }

    #[test]
    fn what_nbgrader_would_not_know_is_named() {
        let problems = |name: &str, marks: [serde_json::Value; 2]| {
            let [solution, check] = marks;
            let cells = json!([
                {"cell_type": "code", "id": "a", "metadata": solution, "source": SOLUTION,
                 "execution_count": null, "outputs": []},
                {"cell_type": "code", "id": "b", "metadata": check, "source": "check::one(one)",
                 "execution_count": null, "outputs": []},
            ]);
            wrong_marks(&NotebookFile::of_cells(name, cells))
        };
        let solution = json!({"nbgrader": {"solution": true, "grade_id": "one"}});
        let check = |id: &str| json!({"nbgrader": {"grade": true, "grade_id": id}});
        let right = [solution.clone(), check("one-check")];
        assert_eq!(problems("solutions/a", right), Vec::<String>::new());

        let none = [json!({}), json!({})];
        let missing = problems("solutions/a", none.clone());
        assert!(missing[0].contains("cell a has a solution"), "{missing:?}");
        assert!(missing[1].contains("cell b is a check"), "{missing:?}");
        assert_eq!(problems("exercises/a", none), Vec::<String>::new());

        let copied = [solution, check("one")];
        assert_eq!(
            problems("solutions/a", copied),
            ["two cells have the grade_id one"]
        );
    }
}
