//! What holds for every committed notebook, whatever it teaches. Longer rules are beside it:
//! [`one_run`], [`format`], [`quotes`], [`scaffold`].
use std::sync::LazyLock;

use nbformat::v4::{Cell, Output};
use regex::Regex;
use serde_json::Value;

use super::compare::mime_bundle;
use super::notebook::{NotebookFile, file_text, rust_metadata, source_text, with_outputs};
use super::{format, one_run, quotes, scaffold};

/// A longer output is scrolled past, not read.
const OUTPUT_LINES: usize = 30;
/// GitHub shows larger notebooks badly or not at all.
const FILE_BYTES: usize = 3_000_000;

/// What is wrong with a notebook as it lies in its file.
pub fn problems(file: &NotebookFile) -> Vec<String> {
    let mut problems = file.format_problems.clone();
    if file.text.len() > FILE_BYTES {
        let megabytes = |bytes: usize| bytes as f64 / 1e6;
        problems.push(format!(
            "the file has {:.1} MB (limit {:.0} MB)",
            megabytes(file.text.len()),
            megabytes(FILE_BYTES)
        ));
    }
    let metadata = |metadata| serde_json::to_value(metadata).unwrap_or_default();
    if metadata(&file.content.metadata) != metadata(&rust_metadata()) {
        problems.push(
            "its metadata is not that of the Rust kernel (kernelspec, language_info)".to_owned(),
        );
    } else if problems.is_empty() && !is_canonical(file) {
        problems.push(
            "it is not in the form that --update writes (format or cell metadata)".to_owned(),
        );
    }
    problems.extend(scaffold::problems(file));
    problems.extend(quotes::problems(file));
    problems.extend(one_run::problems(file));
    problems.extend(format::problems(file));
    let mut count = 0;
    for cell in &file.content.cells {
        let Cell::Code {
            execution_count,
            source,
            outputs,
            ..
        } = cell
        else {
            continue;
        };
        if source_text(source).trim().is_empty() {
            problems.push(format!("the code cell after [{count}] is empty"));
            continue;
        }
        count += 1;
        let mut problem = |text: String| problems.push(format!("cell [{count}]: {text}"));
        match execution_count {
            None => problem("it has not been executed".to_owned()),
            Some(number) if *number != count => {
                problem(format!("its execution count is {number}, not {count}"));
            }
            Some(_) => {}
        }
        for output in outputs {
            output_problems(output).into_iter().for_each(&mut problem);
        }
    }
    problems
}

fn is_canonical(file: &NotebookFile) -> bool {
    let outputs = file.content.cells.iter().filter_map(|cell| match cell {
        Cell::Code {
            outputs, source, ..
        } if !source_text(source).trim().is_empty() => Some(outputs.clone()),
        _ => None,
    });
    let canonical = with_outputs(file.content.clone(), outputs.collect());
    // A count that is missing or wrong has a message of its own.
    let mut given = canonical.clone();
    for (given, cell) in given.cells.iter_mut().zip(&file.content.cells) {
        if let (
            Cell::Code {
                execution_count: count,
                ..
            },
            Cell::Code {
                execution_count, ..
            },
        ) = (given, cell)
        {
            *count = *execution_count;
        }
    }
    [canonical, given]
        .iter()
        .any(|form| file_text(form).is_ok_and(|text| text == file.text))
}

fn output_problems(output: &Output) -> Vec<String> {
    let mut problems = Vec::new();
    let texts = match output {
        Output::Stream { name, text } => vec![(name.clone(), text.0.clone())],
        Output::Error(error) => vec![("error".to_owned(), error.traceback.join("\n"))],
        value => mime_bundle(value)
            .into_iter()
            .filter(|(mime, _)| mime.starts_with("text/"))
            .filter_map(|(mime, content)| match content {
                Value::String(text) => Some((mime, text)),
                _ => None,
            })
            .collect(),
    };
    for (kind, text) in texts {
        let lines = text.lines().count();
        if lines > OUTPUT_LINES && kind != "text/html" {
            problems.push(format!(
                "its {kind} has {lines} lines (limit {OUTPUT_LINES})"
            ));
        }
        if kind == "text/plain" && (text == "()" || text.starts_with("Figure { ")) {
            problems.push(format!(
                "it shows {text} and nothing to look at; end it with the figure itself, or with a line that prints"
            ));
        }
        if let Some(path) = machine_path(&text) {
            problems.push(format!("its {kind} names a path of this machine: {path}"));
        }
    }
    problems
}

fn machine_path(text: &str) -> Option<&str> {
    static PATH: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"(?:/home/|/root/|/Users/|/tmp/|/var/folders/|[A-Z]:\\Users\\)[^\s'\x22<>`]*")
            .unwrap()
    });
    PATH.find(text).map(|found| found.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::path::Path;

    fn problems_of(change: impl Fn(&mut Value)) -> Vec<String> {
        let mut notebook = json!({
            "cells": [
                {"cell_type": "markdown", "id": "a", "metadata": {}, "source": ["text"]},
                {"cell_type": "code", "id": "b", "metadata": {"dldna_run": "a"}, "source": ["1"], "execution_count": 1,
                 "outputs": [{"output_type": "stream", "name": "stdout", "text": ["1\n"]}]},
            ],
            "metadata": rust_metadata(), "nbformat": 4, "nbformat_minor": 5,
        });
        change(&mut notebook);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.ipynb");
        let mut bytes = Vec::new();
        let formatter = serde_json::ser::PrettyFormatter::with_indent(b" ");
        let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, formatter);
        serde::Serialize::serialize(&notebook, &mut serializer).unwrap();
        bytes.push(b'\n');
        std::fs::write(&path, bytes).unwrap();
        problems(&NotebookFile::read(Path::new(&path), "a".into()).unwrap())
    }

    fn assert_one(problems: Vec<String>, words: &str) {
        assert!(
            problems.len() == 1 && problems[0].contains(words),
            "{problems:?}"
        );
    }

    #[test]
    fn a_good_notebook_has_no_problem() {
        assert_eq!(problems_of(|_| {}), Vec::<String>::new());
    }

    #[test]
    fn each_fault_is_named() {
        assert_one(problems_of(|n| n["nbformat_minor"] = json!(4)), "4.4");
        assert_one(
            problems_of(|n| n["metadata"]["kernelspec"]["name"] = json!("python3")),
            "metadata",
        );
        assert_one(
            problems_of(|n| n["cells"][1]["execution_count"] = json!(null)),
            "not been executed",
        );
        assert_one(
            problems_of(|n| n["cells"][1]["execution_count"] = json!(3)),
            "count is 3, not 1",
        );
        assert_one(
            problems_of(|n| n["cells"][1]["metadata"]["scrolled"] = json!(true)),
            "form that --update",
        );
        assert_one(
            problems_of(|n| n["cells"][1]["outputs"][0]["text"] = json!(vec!["x\n"; 31])),
            "31 lines",
        );
        assert_one(
            problems_of(|n| n["cells"][1]["outputs"][0]["text"] = json!(["see /home/ann/x.png\n"])),
            "/home/ann/x.png",
        );
        for plain in ["()", "Figure { 640 x 460 }"] {
            let value = json!({"output_type": "execute_result", "execution_count": 1, "metadata": {},
                "data": {"text/plain": [plain]}});
            let shown = problems_of(|n| n["cells"][1]["outputs"] = json!([value]));
            assert_one(shown, "nothing to look at");
        }
        assert_one(
            problems_of(|n| n["cells"][0]["source"] = json!(["x".repeat(3_000_001)])),
            "3.0 MB",
        );
    }
}
