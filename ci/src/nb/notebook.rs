//! Notebook files: read, brought to their canonical form, written whole or not at all.
use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use nbformat::Notebook;
use nbformat::v4::{
    self, Cell, CellId, CellMetadata, CodemirrorMode, KernelSpec, LanguageInfo, Metadata, Output,
};
use serde_json::json;

use super::one_run;

/// A notebook as it was read.
pub struct NotebookFile {
    pub path: PathBuf,
    /// The path as messages and the command line name it: `07_02_filters`, `exercises/07_basic`.
    pub name: String,
    /// The file's text.
    pub text: String,
    pub content: v4::Notebook,
    /// What the format requires and the file lacked.
    pub format_problems: Vec<String>,
}

impl NotebookFile {
    pub fn read(path: &Path, name: String) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("could not read {}", path.display()))?;
        let (content, format_problems) =
            parse(&text).with_context(|| format!("{} is not a notebook", path.display()))?;
        Ok(NotebookFile {
            path: path.to_owned(),
            name,
            text,
            content,
            format_problems,
        })
    }

    /// The kernel runs Rust; what is written for another language would fail in its own words at the first cell.
    pub fn check_language(&self) -> Result<()> {
        let metadata = &self.content.metadata;
        let kernel = metadata.kernelspec.as_ref();
        let language = kernel.and_then(|kernel| kernel.language.as_ref());
        let language = language.or(metadata.language_info.as_ref().map(|info| &info.name));
        let named = language.or(kernel.map(|kernel| &kernel.name));
        match named {
            Some(named) if !named.eq_ignore_ascii_case("rust") => bail!(
                "it is a notebook for {named}, and the kernel here runs Rust; in JupyterLab choose \
                 \"Kernel\", \"Change Kernel\", \"Rust\" if its cells are Rust"
            ),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
impl NotebookFile {
    /// A notebook of these cells, below a folder that is not there.
    pub fn of_cells(name: &str, cells: serde_json::Value) -> Self {
        let notebook = json!({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5});
        let text = notebook.to_string();
        let (content, format_problems) = parse(&text).unwrap();
        NotebookFile {
            path: Path::new("/no/notebooks")
                .join(name)
                .with_extension("ipynb"),
            name: name.to_owned(),
            text,
            content,
            format_problems,
        }
    }
}

fn parse(text: &str) -> Result<(v4::Notebook, Vec<String>)> {
    let mut problems = Vec::new();
    let mut content = match nbformat::parse_notebook(text)? {
        Notebook::V4(content) => return Ok((content, problems)),
        Notebook::V4QuirksMode(quirks) => {
            problems.push("cells without an id (nbformat 4.5 requires one)".to_owned());
            quirks.repair()
        }
        Notebook::Legacy(old) => {
            problems.push(format!(
                "nbformat is {}.{}, not 4.5",
                old.nbformat, old.nbformat_minor
            ));
            nbformat::upgrade_legacy_notebook(old)?
        }
        _ => bail!("its nbformat is older than 4"),
    };
    // The library fills in random ids; ours must not differ from run to run.
    let given = given_ids(text)?;
    for (index, cell) in content.cells.iter_mut().enumerate() {
        if given[index].is_none() {
            let fresh = (index + 1..)
                .map(|number| format!("cell-{number}"))
                .find(|id| !given.iter().flatten().any(|other| other == id))
                .expect("an endless range");
            let id = CellId::try_from(fresh).map_err(anyhow::Error::msg)?;
            match cell {
                Cell::Markdown { id: old, .. }
                | Cell::Code { id: old, .. }
                | Cell::Raw { id: old, .. } => {
                    *old = id;
                }
            }
        }
    }
    Ok((content, problems))
}

fn given_ids(text: &str) -> Result<Vec<Option<String>>> {
    let value: serde_json::Value = serde_json::from_str(text)?;
    let cells = value["cells"].as_array().context("no list of cells")?;
    Ok(cells
        .iter()
        .map(|cell| {
            cell["id"]
                .as_str()
                .filter(|id| !id.is_empty())
                .map(str::to_owned)
        })
        .collect())
}

/// The source of a code cell.
pub fn source_text(source: &[String]) -> String {
    source.concat()
}

/// Whether the kernel gets this cell: a code cell that holds something. Messages count these from 1.
pub fn is_executed(cell: &Cell) -> bool {
    matches!(cell, Cell::Code { source, .. } if !source_text(source).trim().is_empty())
}

/// The cells that the kernel gets, with their numbers.
pub fn executed_cells(notebook: &v4::Notebook) -> impl Iterator<Item = (usize, &Cell)> {
    let cells = notebook.cells.iter().filter(|cell| is_executed(cell));
    cells.enumerate().map(|(index, cell)| (index + 1, cell))
}

/// The tags of a cell.
pub fn tags(metadata: &CellMetadata) -> &[String] {
    metadata.tags.as_deref().unwrap_or_default()
}

/// Puts the outputs of an execution into the notebook (one list for each code cell that was
/// executed, in order) and brings everything else to its canonical form: counts from 1, sources as
/// lists of lines, the metadata of a Rust notebook, no traces of the program that saved it.
pub fn with_outputs(mut notebook: v4::Notebook, outputs: Vec<Vec<Output>>) -> v4::Notebook {
    let mut outputs = outputs.into_iter();
    let mut count = 0;
    for cell in &mut notebook.cells {
        match cell {
            Cell::Markdown {
                metadata, source, ..
            }
            | Cell::Raw {
                metadata, source, ..
            } => {
                *metadata = kept_metadata(metadata);
                *source = lines(source);
            }
            Cell::Code {
                metadata,
                source,
                execution_count,
                outputs: cell_outputs,
                ..
            } => {
                *metadata = kept_metadata(metadata);
                *source = lines(source);
                (*execution_count, *cell_outputs) = (None, Vec::new());
                if !source_text(source).trim().is_empty() {
                    count += 1;
                    *execution_count = Some(count);
                    *cell_outputs = outputs.next().unwrap_or_default();
                }
            }
        }
    }
    notebook.metadata = rust_metadata();
    (notebook.nbformat, notebook.nbformat_minor) = (4, 5);
    notebook
}

/// The outputs with the execution count of their cell.
pub fn renumbered(mut outputs: Vec<Output>, count: usize) -> Vec<Output> {
    for output in &mut outputs {
        if let Output::ExecuteResult(result) = output {
            result.execution_count = count.into();
        }
    }
    outputs
}

fn kept_metadata(metadata: &CellMetadata) -> CellMetadata {
    CellMetadata {
        tags: metadata.tags.clone().filter(|tags| !tags.is_empty()),
        jupyter: metadata.jupyter.clone(),
        additional: [NBGRADER, one_run::KEY]
            .into_iter()
            .filter_map(|key| Some((key.to_owned(), metadata.additional.get(key)?.clone())))
            .collect(),
        ..CellMetadata::default()
    }
}

pub const NBGRADER: &str = "nbgrader";

/// What nbgrader has to know of a cell of an exercise.
pub fn nbgrader(metadata: &CellMetadata) -> Option<&serde_json::Value> {
    metadata.additional.get(NBGRADER)
}

pub fn lines(source: &[String]) -> Vec<String> {
    source
        .concat()
        .split_inclusive('\n')
        .map(str::to_owned)
        .collect()
}

/// What JupyterLab writes for our kernel.
pub fn rust_metadata() -> Metadata {
    Metadata {
        kernelspec: Some(KernelSpec {
            display_name: "Rust".to_owned(),
            name: "rust".to_owned(),
            language: Some("rust".to_owned()),
            additional: HashMap::new(),
        }),
        language_info: Some(LanguageInfo {
            name: "Rust".to_owned(),
            version: Some(String::new()),
            codemirror_mode: Some(CodemirrorMode::String("rust".to_owned())),
            additional: HashMap::from([
                ("file_extension".to_owned(), json!(".rs")),
                ("mimetype".to_owned(), json!("text/rust")),
                ("pygment_lexer".to_owned(), json!("rust")),
            ]),
        }),
        authors: None,
        additional: HashMap::new(),
    }
}

/// The text of the file: as Jupyter writes it, so that saving from JupyterLab changes nothing.
pub fn file_text(notebook: &v4::Notebook) -> Result<String> {
    Ok(nbformat::serialize_notebook(&Notebook::V4(
        notebook.clone(),
    ))?)
}

/// Replaces the file by `text`, whole or not at all.
pub fn write(path: &Path, text: &str) -> Result<()> {
    let folder = path.parent().context("a notebook lies in a folder")?;
    let permissions = std::fs::metadata(path)?.permissions();
    let write = || -> std::io::Result<()> {
        let mut file = tempfile::Builder::new()
            .permissions(permissions)
            .tempfile_in(folder)?;
        file.write_all(text.as_bytes())?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        Ok(())
    };
    write().with_context(|| format!("could not write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minimal(cells: serde_json::Value) -> String {
        json!({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}).to_string()
    }

    #[test]
    fn the_file_is_written_as_jupyter_writes_it() {
        let text = minimal(json!([
            {"cell_type": "markdown", "id": "intro", "metadata": {}, "source": "# Title\ntext"},
            {"cell_type": "code", "id": "one", "metadata": {"tags": ["volatile"], "nbgrader": {"grade": true}, "dldna_run": "3f9a1c2e", "execution": {"iopub.status.busy": "now"}, "scrolled": true},
             "execution_count": 7, "outputs": [], "source": "let a = \"é\";"},
        ]));
        let (notebook, problems) = parse(&text).unwrap();
        assert!(problems.is_empty());
        let written = file_text(&with_outputs(notebook, vec![Vec::new()])).unwrap();
        let expected = r##"{
 "cells": [
  {
   "cell_type": "markdown",
   "id": "intro",
   "metadata": {},
   "source": [
    "# Title\n",
    "text"
   ]
  },
  {
   "cell_type": "code",
   "execution_count": 1,
   "id": "one",
   "metadata": {
    "dldna_run": "3f9a1c2e",
    "nbgrader": {
     "grade": true
    },
    "tags": [
     "volatile"
    ]
   },
   "outputs": [],
   "source": [
    "let a = \"é\";"
   ]
  }
 ],
 "metadata": {
  "kernelspec": {
   "display_name": "Rust",
   "language": "rust",
   "name": "rust"
  },
  "language_info": {
   "codemirror_mode": "rust",
   "file_extension": ".rs",
   "mimetype": "text/rust",
   "name": "Rust",
   "pygment_lexer": "rust",
   "version": ""
  }
 },
 "nbformat": 4,
 "nbformat_minor": 5
}
"##;
        assert_eq!(written, expected);
    }

    #[test]
    fn missing_ids_are_filled_in_the_same_way_every_time() {
        let text = minimal(json!([
            {"cell_type": "markdown", "metadata": {}, "source": "a"},
            {"cell_type": "markdown", "id": "cell-1", "metadata": {}, "source": "b"},
        ]));
        let (notebook, problems) = parse(&text).unwrap();
        let ids: Vec<&str> = notebook
            .cells
            .iter()
            .map(|cell| cell.id().as_str())
            .collect();
        assert_eq!(ids, ["cell-2", "cell-1"]);
        assert_eq!(problems.len(), 1);
    }

    #[test]
    fn duplicate_ids_are_refused() {
        let cell = json!({"cell_type": "markdown", "id": "same", "metadata": {}, "source": "a"});
        let error = parse(&minimal(json!([cell, cell]))).unwrap_err();
        assert!(error.to_string().contains("Duplicate"), "{error}");
    }

    #[test]
    fn a_file_is_replaced_whole_and_keeps_its_permissions() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.ipynb");
        std::fs::write(&path, "old").unwrap();
        let before = std::fs::metadata(&path).unwrap().permissions();
        write(&path, "new").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions(), before);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
