//! Numbers that a text quotes from an output.
//!
//! In Markdown, `0.823<!-- output -->` says that a cell of the same notebook prints this number. A
//! printed number is the quoted one if it rounds to the quoted digits: 0.8231 is quoted as 0.823 or
//! 0.82, and 0.8 is not quoted as 0.80.
//!
//! - Thousands may be separated in either: `11,180,170` is 11180170.
//! - `66.8%` is printed as `66.8%` or `66.8 %`, and never as 66.8. Without `%` either will do.
//! - A quoted minus must have been printed. Without a sign either will do: "falls by 0.5".
//!
//! Only what a reader can read as text has been printed: standard output, values as text, and HTML
//! without its tags and scripts.
use std::sync::LazyLock;

use nbformat::v4::{Cell, Output};
use regex::{Captures, Regex};
use serde_json::Value;

use super::compare::mime_bundle;
use super::notebook::{NotebookFile, is_executed, source_text};

/// The quoted numbers that no cell prints, and the marks that stand behind no number.
pub fn problems(file: &NotebookFile) -> Vec<String> {
    let printed = printed_numbers(file);
    let mut problems = Vec::new();
    let mut count = 0;
    for cell in &file.content.cells {
        count += usize::from(is_executed(cell));
        let Cell::Markdown { source, .. } = cell else {
            continue;
        };
        let found = quotes(&source_text(source))
            .into_iter()
            .filter_map(|quote| problem(quote, &printed));
        problems.extend(found.map(|text| format!("{}: {text}", name(cell, count))));
    }
    problems
}

/// Texts have no numbers of their own.
fn name(cell: &Cell, cells_before: usize) -> String {
    let place = match cells_before {
        0 => "before cell [1]".to_owned(),
        count => format!("after cell [{count}]"),
    };
    format!("the text {} {place}", cell.id())
}

fn problem(quote: Quote, printed: &[Number]) -> Option<String> {
    match quote {
        Quote::NoNumber(words) => Some(format!(
            "no number stands before `<!-- output -->`, but {words:?}"
        )),
        Quote::Number(text, quoted) => {
            let is_printed = printed.iter().any(|printed| quoted.is_quoted_from(printed));
            (!is_printed).then(|| format!("it quotes {text}, which no cell prints"))
        }
    }
}

enum Quote {
    /// As it is written, and what it means.
    Number(String, Number),
    /// The words before the mark.
    NoNumber(String),
}

/// The numbers before the marks of a Markdown text.
fn quotes(markdown: &str) -> Vec<Quote> {
    static MARK: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"<!--\s*output\s*-->").unwrap());
    MARK.find_iter(markdown)
        .map(|mark| quote_at_end_of(&markdown[..mark.start()]))
        .collect()
}

fn quote_at_end_of(text: &str) -> Quote {
    // In a formula, the separator of thousands and `%` are written so. What closes a formula, code or
    // bold type may stand between the number and its mark.
    let text = text.replace("{,}", ",").replace("\\%", "%");
    let text = text.trim_end_matches(['$', '*', '_', '`', ' ']);
    match numbers(text).last() {
        Some((found, number)) if text.ends_with(&found) => Quote::Number(found, number),
        _ => {
            let skipped = text.chars().count().saturating_sub(20);
            Quote::NoNumber(text.chars().skip(skipped).collect())
        }
    }
}

fn printed_numbers(file: &NotebookFile) -> Vec<Number> {
    let outputs = file.content.cells.iter().filter_map(|cell| match cell {
        Cell::Code { outputs, .. } => Some(outputs),
        _ => None,
    });
    let texts = outputs.flatten().flat_map(printed_texts);
    texts
        .flat_map(|text| numbers(&text).map(|(_, number)| number).collect::<Vec<_>>())
        .collect()
}

/// The texts that an output shows.
fn printed_texts(output: &Output) -> Vec<String> {
    match output {
        Output::Stream { name, text } if name == "stdout" => vec![text.0.clone()],
        Output::Stream { .. } | Output::Error(_) => Vec::new(),
        value => mime_bundle(value)
            .into_iter()
            .filter_map(|(mime, content)| match (mime.as_str(), content) {
                ("text/html", Value::String(html)) => Some(text_of_html(&html)),
                ("text/plain", Value::String(text)) => Some(text),
                _ => None,
            })
            .collect(),
    }
}

/// HTML without scripts, styles, drawings, tags and entities; a tag separates words.
fn text_of_html(html: &str) -> String {
    static HIDDEN: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(
            r"(?sx)
            <script\b.*?</script> | <style\b.*?</style> | <svg\b.*?</svg>
            | <[^>]*> | &\#?\w+;
            ",
        )
        .unwrap()
    });
    HIDDEN.replace_all(html, " ").into_owned()
}

/// A number as it was written.
#[derive(Debug, PartialEq)]
struct Number {
    negative: bool,
    magnitude: f64,
    /// How many digits stand behind the decimal point, an exponent counted in.
    decimals: i32,
    percent: bool,
}

impl Number {
    fn is_quoted_from(&self, printed: &Number) -> bool {
        // A number halfway between two may be rounded to either. Halves are not exact in binary.
        let half = 0.5 * 10f64.powi(-self.decimals) * (1.0 + 1e-9);
        (printed.percent || !self.percent)
            && (printed.negative || !self.negative)
            && printed.decimals >= self.decimals
            && (printed.magnitude - self.magnitude).abs() <= half
    }
}

/// The numbers in a text, each as it is written, and what it means. Digits in a name (`conv2d`) are none.
fn numbers(text: &str) -> impl Iterator<Item = (String, Number)> {
    static NUMBER: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(
            r"(?x)
            (?<sign> [-+\u{2212}]? )
            (?<whole> \d{1,3} (?: [,_\u{a0}\u{2009}\u{202f}] \d{3} )+ \b | \d+ )
            (?<fraction> \. \d+ )?
            (?<exponent> [eE] [-+]? \d+ )?
            (?<percent> [\x20\u{a0}\u{202f}]? % )?
            ",
        )
        .unwrap()
    });
    NUMBER.captures_iter(text).filter_map(|found| {
        let is_of_a_name = char_before(text, found.name("whole")?.start())
            .is_some_and(|before| before.is_alphabetic() || before == '_');
        // In `3-5` and `layer-5` it is a dash.
        let may_have_sign = !char_before(text, found.get(0)?.start())
            .is_some_and(|before| before.is_alphanumeric());
        let number = number(&found, may_have_sign)?;
        (!is_of_a_name).then(|| (found[0].to_owned(), number))
    })
}

fn char_before(text: &str, position: usize) -> Option<char> {
    text[..position].chars().next_back()
}

fn number(found: &Captures, may_have_sign: bool) -> Option<Number> {
    let part = |name| found.name(name).map_or("", |part| part.as_str());
    let whole: String = part("whole").chars().filter(char::is_ascii_digit).collect();
    let (fraction, exponent) = (part("fraction"), part("exponent"));
    let power: i32 = exponent.get(1..).unwrap_or("0").parse().ok()?;
    let digits = fraction.len().saturating_sub(1) as i32;
    Some(Number {
        negative: may_have_sign && matches!(part("sign"), "-" | "\u{2212}"),
        magnitude: format!("{whole}{fraction}{exponent}").parse().ok()?,
        decimals: (digits - power).max(0),
        percent: found.name("percent").is_some(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// The problems of a text behind one cell with this output.
    fn problems_with(output: Value, markdown: &str) -> Vec<String> {
        let file = NotebookFile::of_cells(
            "a",
            json!([
                {"cell_type": "code", "id": "code", "metadata": {}, "source": "1",
                 "execution_count": 1, "outputs": [output]},
                {"cell_type": "markdown", "id": "said", "metadata": {}, "source": markdown},
            ]),
        );
        problems(&file)
    }

    fn stream(name: &str, text: &str) -> Value {
        json!({"output_type": "stream", "name": name, "text": text})
    }

    fn value(mime: &str, content: &str) -> Value {
        json!({"output_type": "execute_result", "execution_count": 1, "metadata": {},
               "data": {mime: content}})
    }

    /// Whether `quote`, with its mark, is found where a cell prints `printed`.
    fn is_found(quote: &str, printed: &str) -> bool {
        let markdown = format!("So it is {quote}<!-- output --> here.");
        problems_with(stream("stdout", printed), &markdown).is_empty()
    }

    #[test]
    fn a_quote_without_its_output_is_named() {
        let found = problems_with(
            stream("stdout", "accuracy 0.903\n"),
            "At first 0.903<!-- output -->, later 0.823<!-- output -->.",
        );
        assert_eq!(
            found,
            ["the text said after cell [1]: it quotes 0.823, which no cell prints"]
        );
        assert_eq!(
            problems_with(stream("stdout", "1"), "0.823 and 5"),
            Vec::<String>::new()
        );
    }

    #[test]
    fn a_mark_without_a_number_is_named() {
        let found = problems_with(stream("stdout", "0.5\n"), "0.5 seconds<!-- output -->");
        assert!(found[0].contains("but \"0.5 seconds\""), "{found:?}");
    }

    #[test]
    fn a_printed_number_is_rounded_to_the_quoted_digits() {
        assert!(is_found("0.823", "0.823"));
        assert!(is_found("0.82", "loss=0.8231;"));
        assert!(is_found("0.13", "0.125") && is_found("0.12", "0.125"));
        assert!(is_found("12", "11.6"));
        assert!(is_found("1.2e-5", "1.23e-5") && is_found("0.000012", "1.2e-5"));
        assert!(!is_found("0.82", "0.826"));
        assert!(!is_found("0.823", "0.82"));
        assert!(!is_found("0.80", "0.8"));
        assert!(!is_found("23", "0.23"));
    }

    #[test]
    fn separators_of_thousands_are_ignored() {
        assert!(is_found("11,180,170", "11180170"));
        assert!(is_found("11180170", "[11_180_170]"));
        assert!(is_found(
            "$11{,}180{,}170$",
            "11\u{202f}180\u{202f}170 parameters"
        ));
        assert!(!is_found("180,170", "11,180,170"));
        assert!(!is_found("11,180", "11, 180"));
    }

    #[test]
    fn a_percentage_is_printed_as_one() {
        assert!(is_found("66.8%", "66.8%") && is_found("66.8%", "66.8 %"));
        assert!(is_found("66.8 %", "66.8%") && is_found("$66.8\\%$", "66.8%"));
        assert!(is_found("66.8", "66.8%"));
        assert!(!is_found("66.8%", "66.8"));
        assert!(!is_found("66.8%", "0.668"));
    }

    #[test]
    fn a_quoted_minus_must_be_printed() {
        assert!(is_found("-0.5", "-0.5") && is_found("\u{2212}0.5", "-0.5"));
        assert!(is_found("0.5", "-0.5"));
        assert!(!is_found("-0.5", "0.5"));
        assert!(!is_found("-5", "3-5"));
    }

    #[test]
    fn digits_of_a_name_are_no_number() {
        assert!(!is_found("2", "conv2d"));
        assert!(is_found("5", "layer-5") && !is_found("-5", "layer-5"));
        assert!(is_found("3", "conv 3x3") && is_found("2.5", "2.5s"));
    }

    #[test]
    fn marks_of_markdown_may_stand_between() {
        for quote in ["**0.5**", "`0.5`", "$0.5$", "0.5 "] {
            assert!(is_found(quote, "0.5"), "{quote}");
        }
    }

    #[test]
    fn only_text_that_is_shown_counts() {
        let is_found = |output| problems_with(output, "0.5<!-- output -->").is_empty();
        assert!(is_found(value("text/plain", "[0.5]")));
        assert!(is_found(value("text/html", "<td>a</td><td>0.5</td>")));
        assert!(!is_found(value("text/html", "<td>0</td>.<td>5</td>")));
        assert!(!is_found(value(
            "text/html",
            "<p style=\"opacity:0.5\">a</p>"
        )));
        assert!(!is_found(value("text/html", "<script>x = 0.5</script>")));
        assert!(!is_found(value("image/svg+xml", "<text>0.5</text>")));
        assert!(!is_found(stream("stderr", "0.5\n")));
    }
}
