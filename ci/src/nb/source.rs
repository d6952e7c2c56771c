//! Making a cell tell whether it ran to its end.
//!
//! The kernel replies "ok" to a cell that panicked and to a cell whose `?` returned an error: it
//! only writes a text to standard error, which any `eprintln!` could have written too. So the cell
//! is sent with one more statement that prints a mark on both streams. If the mark does not come,
//! the cell stopped on its way.
//!
//! A last expression without `;` must stay last, or it would not be displayed. There the displayed
//! value itself is the mark.
use syn::Stmt;
use syn::parse::Parser;

/// What the added statement prints. A control character keeps it apart from what cells print.
pub const MARK: &str = "\u{1}cell finished";

const PRINT_MARK: &str =
    r#"::std::println!("\u{1}cell finished"); ::std::eprintln!("\u{1}cell finished");"#;

/// How a cell shows that it ran to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It prints the mark.
    Mark,
    /// It displays the value of its last expression.
    Value,
    /// It has nothing that could fail while running, or it is not Rust that we can read (then the
    /// compiler has its say).
    Reply,
}

/// The code to send for a cell, and how it shows that it ran to its end.
pub fn prepare(source: &str) -> (String, Ending) {
    let ending = ending(source);
    let code = match ending {
        Ending::Mark => format!("{source}\n{PRINT_MARK}"),
        Ending::Value | Ending::Reply => source.to_owned(),
    };
    (code, ending)
}

fn ending(source: &str) -> Ending {
    let Ok(statements) = syn::Block::parse_within.parse_str(without_commands(source)) else {
        return Ending::Reply;
    };
    if statements
        .iter()
        .all(|statement| matches!(statement, Stmt::Item(_)))
    {
        return Ending::Reply;
    }
    match statements.last() {
        Some(Stmt::Expr(_, None)) => Ending::Value,
        Some(Stmt::Macro(call)) if call.semi_token.is_none() => Ending::Value,
        _ => Ending::Mark,
    }
}

/// The cell behind the kernel's own commands (`:dep ..`, `!ls`), which stand before all Rust code.
pub fn without_commands(source: &str) -> &str {
    let (mut position, mut start) = (0, 0);
    for line in source.split_inclusive('\n') {
        position += line.len();
        if line.starts_with('!') || line.trim_start_matches(' ').starts_with(':') {
            start = position;
        } else if !line.starts_with("//") && !line.trim().is_empty() {
            break;
        }
    }
    &source[start..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_get_the_mark() {
        for source in [
            "let a = 1;",
            "let a = 1;\nprintln!(\"{a}\");",
            ":dep rand = \"0.9\"\n\n// why\nuse rand::Rng;\nlet a: u8 = rand::random();",
            "for i in 0..3 { println!(\"{i}\"); };",
            "let x = load()?; // trailing comment",
            "let a = 1; fn f() {}",
        ] {
            let (code, ending) = prepare(source);
            assert_eq!(ending, Ending::Mark, "{source}");
            assert_eq!(code, format!("{source}\n{PRINT_MARK}"));
        }
    }

    #[test]
    fn a_last_expression_stays_last() {
        for source in [
            "a + 1",
            "let a = 1;\na",
            "vec![1, 2]",
            "plot(&x)?",
            "for i in 0..3 {}",
        ] {
            assert_eq!(prepare(source), (source.to_owned(), Ending::Value));
        }
    }

    #[test]
    fn items_commands_and_broken_code_are_sent_as_they_are() {
        for source in [
            ":dep dldna = { path = \"../dldna\" }\nuse dldna::prelude::*;",
            ":vars",
            "!ls",
            "// only a comment",
            "fn f() -> u8 { panic!() }",
            "let a = (1;",
            "let a = 1",
            "println!(\"no end);",
        ] {
            assert_eq!(prepare(source), (source.to_owned(), Ending::Reply));
        }
    }

    #[test]
    fn the_printed_mark_is_the_expected_one() {
        assert!(PRINT_MARK.contains(&MARK.escape_unicode().to_string()[..5]));
        assert!(PRINT_MARK.contains(&MARK[1..]));
    }
}
