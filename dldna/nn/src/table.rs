//! Small tables, as aligned text and as HTML.

use std::fmt;

use crate::display::{Content, emit};

/// Rows of cells under one header each. The first `left_aligned` columns are names; the others are numbers and
/// line up at the right.
pub struct Table {
    headers: Vec<String>,
    left_aligned: usize,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows.
    pub fn new(headers: &[&str], left_aligned: usize) -> Self {
        Self {
            headers: headers.iter().map(|header| header.to_string()).collect(),
            left_aligned,
            rows: Vec::new(),
        }
    }

    /// One more row: as many cells as there are headers.
    pub fn push(&mut self, row: Vec<String>) {
        debug_assert_eq!(row.len(), self.headers.len());
        self.rows.push(row);
    }

    /// Prints the table for the notebook: the text for every front end, the HTML for those that show it.
    pub fn show(&self, caption: &str) {
        emit(&[
            Content::Text("text/plain", &format!("{self}{caption}")),
            Content::Text("text/html", &self.to_html(caption)),
        ]);
    }

    fn to_html(&self, caption: &str) -> String {
        let cell = |tag: &str, column: usize, content: &str| {
            let side = if column < self.left_aligned {
                "left"
            } else {
                "right"
            };
            // `pre` keeps the indentation that shows how layers are nested.
            format!(
                "<{tag} style=\"text-align:{side};white-space:pre\">{}</{tag}>",
                escape(content)
            )
        };
        let line = |tag: &str, cells: &[String]| -> String {
            let cells = cells
                .iter()
                .enumerate()
                .map(|(column, content)| cell(tag, column, content));
            format!("<tr>{}</tr>", cells.collect::<String>())
        };
        let head = line("th", &self.headers);
        let body: String = self.rows.iter().map(|row| line("td", row)).collect();
        let caption = escape(caption).replace('\n', "<br>");
        format!("<table><thead>{head}</thead><tbody>{body}</tbody></table><p>{caption}</p>")
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = || std::iter::once(&self.headers).chain(&self.rows);
        let width = |column: usize| {
            lines()
                .map(|line| line[column].chars().count())
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.headers.len()).map(width).collect();
        for line in lines() {
            let cells = line
                .iter()
                .zip(&widths)
                .enumerate()
                .map(|(column, (cell, &width))| {
                    if column < self.left_aligned {
                        format!("{cell:<width$}")
                    } else {
                        format!("{cell:>width$}")
                    }
                });
            writeln!(f, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
        }
        Ok(())
    }
}

/// `text` as HTML shows it.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// `1234567` as `1,234,567`.
pub fn with_thousands(number: u128) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&["Layer", "Parameters"], 1);
        table.push(vec!["conv <1>".into(), "320".into()]);
        table.push(vec!["fc".into(), "12".into()]);
        table
    }

    #[test]
    fn names_line_up_left_and_numbers_right() {
        assert_eq!(
            table().to_string(),
            "Layer     Parameters\nconv <1>         320\nfc                12\n"
        );
    }

    #[test]
    fn html_escapes_names() {
        let html = table().to_html("a & b\nc");
        assert!(html.contains("conv &lt;1&gt;</td>"), "{html}");
        assert!(html.ends_with("<p>a &amp; b<br>c</p>"), "{html}");
    }

    #[test]
    fn thousands() {
        let cases = [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (1_049_600, "1,049,600"),
            (12_345, "12,345"),
        ];
        for (number, text) in cases {
            assert_eq!(with_thousands(number), text);
        }
    }
}
