//! Code that fits the page.
//!
//! Cells are formatted by rustfmt, which `--update` runs, and have at most 92 columns and 15 lines
//! (with blank lines and comments). What is longer goes into the crate or into two cells. In
//! `exercises` and `solutions` a cell may have more lines: there it holds one whole answer, which is
//! tested as one.
//!
//! - The kernel's commands (`:dep ..`, `!ls`) at the top of a cell stay as they are.
//! - So does a cell that rustfmt cannot read (code that fails on purpose), and one with a tab.
//! - An exercise is formatted where it comes from, in its solution.
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use nbformat::v4::Cell;

use super::notebook::{NotebookFile, executed_cells, is_executed, lines, source_text};
use super::{scaffold, source};
use crate::toolchain;

const COLUMNS: usize = 92;
const LINES: usize = 15;

/// The cells that are too wide, too long or not as rustfmt writes them.
pub fn problems(file: &NotebookFile) -> Vec<String> {
    let mut problems = match unformatted(file) {
        Ok(numbers) => numbers
            .into_iter()
            .map(|number| {
                format!(
                    "cell [{number}]: it is not as rustfmt writes it; run `cargo nb {} --update`",
                    file.name
                )
            })
            .collect(),
        Err(error) => vec![format!("{error:#}")],
    };
    for (number, source) in sources(file) {
        let sizes = wide_lines(&source).chain(too_long(file, &source));
        problems.extend(sizes.map(|text| format!("cell [{number}]: {text}")));
    }
    problems
}

/// Formats the cells, not yet in the file.
pub fn renew(file: &mut NotebookFile) -> Result<()> {
    if scaffold::has_solution(file) {
        return Ok(());
    }
    let formatted = formatted(&only_sources(file))?;
    let cells = file.content.cells.iter_mut();
    for (cell, formatted) in cells.filter(|cell| is_executed(cell)).zip(formatted) {
        if let Cell::Code { source, .. } = cell {
            *source = lines(&[formatted]);
        }
    }
    Ok(())
}

fn sources(file: &NotebookFile) -> impl Iterator<Item = (usize, String)> {
    executed_cells(&file.content).filter_map(|(number, cell)| match cell {
        Cell::Code { source, .. } => Some((number, source_text(source))),
        _ => None,
    })
}

fn only_sources(file: &NotebookFile) -> Vec<String> {
    sources(file).map(|(_, source)| source).collect()
}

/// The numbers of the cells that rustfmt would change.
fn unformatted(file: &NotebookFile) -> Result<Vec<usize>> {
    if scaffold::has_solution(file) {
        return Ok(Vec::new());
    }
    let formatted = formatted(&only_sources(file))?;
    Ok(sources(file)
        .zip(formatted)
        .filter(|((_, source), formatted)| source != formatted)
        .map(|((number, _), _)| number)
        .collect())
}

fn wide_lines(source: &str) -> impl Iterator<Item = String> {
    source.lines().enumerate().filter_map(|(index, line)| {
        let columns = line.chars().count();
        (columns > COLUMNS)
            .then(|| format!("line {} has {columns} columns (limit {COLUMNS})", index + 1))
    })
}

fn too_long(file: &NotebookFile, source: &str) -> Option<String> {
    let folder = file.path.parent().and_then(Path::file_name);
    let holds_answers = folder.is_some_and(|name| name == "exercises" || name == "solutions");
    let lines = source.lines().count();
    (lines > LINES && !holds_answers).then(|| format!("it has {lines} lines (limit {LINES})"))
}

/// The sources as rustfmt writes them. It is started once, with a file for each cell.
fn formatted(sources: &[String]) -> Result<Vec<String>> {
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("rustfmt.toml"), settings())?;
    let mut files: Vec<Option<PathBuf>> = Vec::new();
    for (index, source) in sources.iter().enumerate() {
        let file = folder.path().join(format!("cell_{}.rs", index + 1));
        let code = rust_code(source);
        if let Some(code) = code {
            std::fs::write(&file, wrapped(code))?;
        }
        files.push(code.map(|_| file));
    }
    run_rustfmt(files.iter().flatten())?;
    let each = sources.iter().zip(files);
    each.map(|(source, file)| match file {
        Some(file) => after_rustfmt(source, &std::fs::read_to_string(file)?),
        None => Ok(source.clone()),
    })
    .collect()
}

/// Indentation by tabs tells it from the spaces in a string that is written over several lines and
/// in what rustfmt leaves alone, which have to stay. A tab counts as four columns.
fn settings() -> String {
    format!(
        "max_width = {}\nhard_tabs = true\nnewline_style = \"Unix\"\nedition = \"2024\"\nstyle_edition = \"2024\"\n",
        COLUMNS + 4
    )
}

fn run_rustfmt<'a>(files: impl Iterator<Item = &'a PathBuf>) -> Result<()> {
    let program = toolchain::rustfmt()?;
    // It ends with an error where it cannot read a file, and goes on with the next one.
    Command::new(&program)
        .args(files)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("could not start {}", program.display()))?;
    Ok(())
}

/// What rustfmt gets of a cell, if anything.
fn rust_code(source: &str) -> Option<&str> {
    let code = source::without_commands(source);
    (!code.trim().is_empty() && !source.contains('\t')).then_some(code)
}

const START: &str = "fn cell() {\n";
const END: &str = "}\n";

/// Statements stand in a function.
fn wrapped(code: &str) -> String {
    format!("{START}{code}\n{END}")
}

/// The cell with what rustfmt has made of its code.
fn after_rustfmt(source: &str, written: &str) -> Result<String> {
    let code = source::without_commands(source);
    if written == wrapped(code) {
        return Ok(source.to_owned());
    }
    let body = written
        .strip_prefix(START)
        .and_then(|rest| rest.strip_suffix(END))
        .with_context(|| format!("rustfmt has written this for a cell:\n{written}"))?;
    let commands = &source[..source.len() - code.len()];
    let body: Vec<String> = body.lines().map(outdented).collect();
    let mut body = body.join("\n");
    // Without its semicolon a loop at the end of a cell would show its value, `()`.
    if code.trim_end().ends_with("};") && body.ends_with('}') {
        body.push(';');
    }
    Ok(format!("{commands}{body}"))
}

/// A line without the indentation of the function, and with spaces for the rest.
fn outdented(line: &str) -> String {
    let code = line.trim_start_matches('\t');
    let tabs = line.len() - code.len();
    format!("{}{code}", "    ".repeat(tabs.saturating_sub(1)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn formatted_cell(source: &str) -> String {
        formatted(&[source.to_owned()]).unwrap().remove(0)
    }

    #[track_caller]
    fn stays(source: &str) {
        assert_eq!(formatted_cell(source), source);
    }

    fn file(name: &str, source: &str) -> NotebookFile {
        let cell = json!({"cell_type": "code", "id": "a", "metadata": {}, "source": source,
                          "execution_count": null, "outputs": []});
        NotebookFile::of_cells(name, json!([cell]))
    }

    #[test]
    fn statements_items_and_a_last_expression_are_formatted() {
        let source = "\nlet x=f( 1 )?;\nfn g()->u8{\nif a {1} else {2}\n}\nx +  1\n";
        let expected = "let x = f(1)?;\nfn g() -> u8 {\n    if a { 1 } else { 2 }\n}\nx + 1";
        assert_eq!(formatted_cell(source), expected);
        stays(expected);
    }

    #[test]
    fn a_semicolon_behind_the_last_brace_stays() {
        stays("for a in b {\n    f(a);\n};");
        assert_eq!(
            formatted_cell("for a in b {f(a);};"),
            "for a in b {\n    f(a);\n};"
        );
        assert_eq!(
            formatted_cell("for a in b {f(a);}; c"),
            "for a in b {\n    f(a);\n}\nc"
        );
    }

    #[test]
    fn lines_are_broken_at_the_limit_and_not_before() {
        let call = |columns: usize| format!("let a = {} + b;", "x".repeat(columns - 13));
        assert_eq!(call(92).chars().count(), 92);
        stays(&call(92));
        assert_eq!(formatted_cell(&call(93)).lines().count(), 2);
    }

    #[test]
    fn the_layout_of_strings_and_macros_stays() {
        stays("let a = \"first\n    second\n  third\";");
        stays("let a = r#\"{\n    \"b\": 1\n}\"#;");
        stays(
            "mod net {\n    network! {\n        pub struct Net {\n            conv: Conv2D<3, 8, 3>,   relu: ReLU,\n        }\n    }\n}",
        );
        // Too wide to be formatted.
        let wide = "x".repeat(100);
        stays(&format!("let a = f(\"{wide}\")\n    .g( 1 );"));
    }

    #[test]
    fn commands_stay_before_the_code() {
        assert_eq!(
            formatted_cell(":dep dldna = {path=\"../dldna\"}\nuse dldna::prelude::* ;"),
            ":dep dldna = {path=\"../dldna\"}\nuse dldna::prelude::*;"
        );
        stays(":vars");
        stays("!ls   -l");
    }

    #[test]
    fn what_rustfmt_cannot_read_stays_and_the_next_cell_is_formatted() {
        let sources = ["let a = (1;", "let  b=2;", "let c =\t3;"].map(str::to_owned);
        assert_eq!(
            formatted(&sources).unwrap(),
            ["let a = (1;", "let b = 2;", "let c =\t3;"]
        );
    }

    #[test]
    fn an_update_formats_what_the_check_has_named() {
        let mut file = file("07_01", "let a=1;");
        assert_eq!(
            problems(&file),
            ["cell [1]: it is not as rustfmt writes it; run `cargo nb 07_01 --update`"]
        );
        renew(&mut file).unwrap();
        assert_eq!(problems(&file), Vec::<String>::new());
    }

    #[test]
    fn wide_lines_are_named_also_in_what_rustfmt_cannot_read() {
        let wide = |columns: usize| format!("let a = (1;\n// {}", "é".repeat(columns - 3));
        assert_eq!(problems(&file("a", &wide(92))), Vec::<String>::new());
        assert_eq!(
            problems(&file("a", &wide(93))),
            ["cell [1]: line 2 has 93 columns (limit 92)"]
        );
    }

    #[test]
    fn long_cells_are_named_but_not_in_exercises() {
        let comments = |count: usize| vec!["// a line"; count].join("\n");
        assert_eq!(problems(&file("a", &comments(15))), Vec::<String>::new());
        let found = problems(&file("a", &comments(16)));
        assert_eq!(found, ["cell [1]: it has 16 lines (limit 15)"]);
        let solution = problems(&file("solutions/a", &comments(16)));
        assert_eq!(solution, Vec::<String>::new());
    }
}
