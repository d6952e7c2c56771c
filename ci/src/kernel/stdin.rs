//! Cells that would wait for ever: a notebook has no standard input.
//!
//! The kernel's program sends its own commands down the standard input of the process that runs the cells. A cell that reads
//! a line there waits until the next cell is run, and takes that cell's command away.
use proc_macro2::{Delimiter, Span, TokenStream, TokenTree};
use serde_json::{Value, json};

const MESSAGE: &str =
    "a notebook has no standard input: write what the cell should read into the cell";

/// What the compiler would say if it knew, where the source calls `stdin()`.
pub fn refusal(source: &str) -> Option<Value> {
    if !source.contains("stdin") {
        return None; // as in nearly all cells, and far faster than to read their tokens
    }
    let span = call(source.parse().ok()?)?;
    let (start, end) = (span.start(), span.end());
    Some(json!({
        "message": MESSAGE,
        "level": "error",
        "code": null,
        "spans": [{
            "file_name": "src/lib.rs",
            "line_start": start.line,
            "line_end": end.line,
            "column_start": start.column + 1,
            "column_end": end.column + 1,
            "is_primary": true,
            "label": "this would wait for ever",
        }],
        "children": [],
        "rendered": format!("error: {MESSAGE}\n"),
    }))
}

/// The first call of a function `stdin` without arguments. A method, such as `Command::stdin`, and the definition of another
/// function of this name are none.
fn call(tokens: TokenStream) -> Option<Span> {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let text = |token: &TokenTree| token.to_string();
    for (index, token) in tokens.iter().enumerate() {
        if let TokenTree::Group(group) = token {
            if let Some(span) = call(group.stream()) {
                return Some(span);
            }
            continue;
        }
        let before = index.checked_sub(1).map(|before| text(&tokens[before]));
        let is_function = !matches!(before.as_deref(), Some("." | "fn"));
        let is_called = matches!(
            tokens.get(index + 1),
            Some(TokenTree::Group(group))
                if group.delimiter() == Delimiter::Parenthesis && group.stream().is_empty()
        );
        if text(token) == "stdin" && is_function && is_called {
            return Some(token.span());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_found_with_its_place() {
        let source = "fn cell() {\n    let mut line = String::new();\n    std::io::stdin().read_line(&mut line);\n}\n";
        let refusal = refusal(source).unwrap();
        let span = &refusal["spans"][0];
        assert_eq!(
            (&span["line_start"], &span["column_start"]),
            (&json!(3), &json!(14))
        );
        assert_eq!(span["column_end"], json!(19));
        for source in [
            "use std::io::stdin; fn f() { for line in stdin().lines() {} }",
            "fn f() { let text = std::io::read_to_string(io::stdin()); }",
            "fn f() { let read = || { if true { stdin().read(&mut b); } }; }",
        ] {
            assert!(super::refusal(source).is_some(), "{source}");
        }
    }

    #[test]
    fn what_reads_nothing_is_let_through() {
        for source in [
            "fn f() { Command::new(\"ls\").stdin(Stdio::null()); child.stdin(); }",
            "fn f() { println!(\"stdin()\"); } // stdin()",
            "fn stdin() -> u8 { 1 }",
            "fn f() { let stdin = 1; g(stdin); }",
            "this is \"not rust",
        ] {
            assert_eq!(refusal(source), None, "{source}");
        }
    }
}
