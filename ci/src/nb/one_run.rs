//! All outputs of a notebook come from one run.
//!
//! An update keeps the outputs that agree with the new ones, all of them or none: a table fits the
//! training above it only if both come from the same run. So that this can be seen in the file, each
//! run that writes puts its mark into the metadata of every cell that it has run.
use nbformat::v4::{self, Cell, CellMetadata};

use super::notebook::{NotebookFile, executed_cells, is_executed};

/// The key of the mark in a cell's metadata.
pub const KEY: &str = "dldna_run";

/// Whether a notebook without any mark fails. Those are older than the mark and the rules for the
/// layout of cells, and are let pass by both. To be `true` once all committed notebooks are updated.
const MARK_IS_REQUIRED: bool = true;

/// Whether the rules that came with the mark apply to the notebook.
pub fn applies(file: &NotebookFile) -> bool {
    let mut cells = file.content.cells.iter();
    MARK_IS_REQUIRED || cells.any(|cell| mark(cell.metadata()).is_some())
}

/// The cells without a mark, and those with another mark than the first.
pub fn problems(file: &NotebookFile) -> Vec<String> {
    let marks: Vec<(usize, Option<&str>)> = executed_cells(&file.content)
        .map(|(number, cell)| (number, mark(cell.metadata())))
        .collect();
    let reference = marks
        .iter()
        .find_map(|(number, mark)| Some((*number, (*mark)?)));
    let (first, first_mark) = reference.unwrap_or_default();
    let numbers = |is_wrong: &dyn Fn(Option<&str>) -> bool| {
        let wrong = marks.iter().filter(|(_, mark)| is_wrong(*mark));
        list(wrong.map(|(number, _)| *number))
    };
    let without = numbers(&|mark| mark.is_none())
        .map(|cells| format!("no run has marked the outputs of {cells}"));
    let other = numbers(&|mark| mark.is_some_and(|mark| mark != first_mark)).map(|cells| {
        format!("the outputs of {cells} come from another run than that of [{first}]")
    });
    let found = without.into_iter().chain(other);
    found
        .map(|text| format!("{text}; run `cargo nb {} --update`", file.name))
        .collect()
}

fn list(numbers: impl Iterator<Item = usize>) -> Option<String> {
    let numbers: Vec<String> = numbers.map(|number| format!("[{number}]")).collect();
    (!numbers.is_empty()).then(|| numbers.join(", "))
}

/// Whether the outputs in the file are those of one run from the top: a cell that was run once more
/// by hand has kept its mark but not its count.
pub fn is_whole(file: &NotebookFile) -> bool {
    let in_order = executed_cells(&file.content).all(|(number, cell)| match cell {
        Cell::Code {
            execution_count, ..
        } => *execution_count == Some(number as i32),
        _ => false,
    });
    in_order && problems(file).is_empty()
}

/// Puts the mark of a new run into every cell that was run.
pub fn sign(notebook: &mut v4::Notebook) {
    let id = uuid::Uuid::new_v4().simple().to_string();
    for cell in notebook.cells.iter_mut().filter(|cell| is_executed(cell)) {
        if let Cell::Code { metadata, .. } = cell {
            set_mark(metadata, Some(&id[..8]));
        }
    }
}

/// The mark of the run that the cell's outputs come from.
pub fn mark(metadata: &CellMetadata) -> Option<&str> {
    metadata.additional.get(KEY)?.as_str()
}

/// Replaces the mark, or takes it away.
pub fn set_mark(metadata: &mut CellMetadata, mark: Option<&str>) {
    match mark {
        Some(mark) => metadata.additional.insert(KEY.to_owned(), mark.into()),
        None => metadata.additional.remove(KEY),
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// A notebook of cells with these marks and counts.
    fn file(cells: &[(Option<&str>, i32)]) -> NotebookFile {
        let cell = |(index, (mark, count)): (usize, &(Option<&str>, i32))| {
            let metadata = mark.map_or(json!({}), |mark| json!({KEY: mark}));
            json!({"cell_type": "code", "id": format!("c{index}"), "metadata": metadata,
                   "source": "1", "execution_count": count, "outputs": []})
        };
        let cells: Vec<Value> = cells.iter().enumerate().map(cell).collect();
        NotebookFile::of_cells("07_09", json!(cells))
    }

    #[test]
    fn cells_of_another_run_are_named() {
        let (a, b) = (Some("a"), Some("b"));
        let problems = |marks: &[Option<&str>]| {
            let cells: Vec<_> = marks.iter().map(|mark| (*mark, 1)).collect();
            problems(&file(&cells))
        };
        assert_eq!(problems(&[a, a, a]), Vec::<String>::new());
        assert_eq!(
            problems(&[a, b, a, b]),
            [
                "the outputs of [2], [4] come from another run than that of [1]; run `cargo nb 07_09 --update`"
            ]
        );
        assert_eq!(
            problems(&[None, a, a]),
            ["no run has marked the outputs of [1]; run `cargo nb 07_09 --update`"]
        );
        assert_eq!(problems(&[None, a, b]).len(), 2);
        assert_eq!(problems(&[None, None]).len(), 1);
    }

    #[test]
    fn a_notebook_older_than_the_marks_is_let_pass() {
        assert_eq!(applies(&file(&[(None, 1), (None, 2)])), MARK_IS_REQUIRED);
        assert!(applies(&file(&[(None, 1), (Some("a"), 2)])));
    }

    #[test]
    fn a_cell_that_was_run_again_by_hand_is_of_another_run() {
        let a = Some("a");
        assert!(is_whole(&file(&[(a, 1), (a, 2)])));
        assert!(!is_whole(&file(&[(a, 1), (a, 7)])));
        assert!(!is_whole(&file(&[(a, 1), (Some("b"), 2)])));
        assert!(!is_whole(&file(&[(None, 1), (None, 2)])));
    }

    #[test]
    fn every_cell_gets_the_mark_and_each_run_another() {
        let mark_after_signing = |file: &mut NotebookFile| {
            sign(&mut file.content);
            assert_eq!(problems(file), Vec::<String>::new());
            mark(file.content.cells[0].metadata()).unwrap().to_owned()
        };
        let mut file = file(&[(None, 1), (Some("old"), 2)]);
        let first = mark_after_signing(&mut file);
        assert_ne!(mark_after_signing(&mut file), first);
    }
}
