//! How much a cell computes by itself, estimated from its words.
//!
//! A cell is compiled in half the time without optimisation, and a loop in it then runs thirty times as long (18 ns instead of 0.5 for a
//! step of a convolution by hand). That is worth it up to some ten million steps.
use proc_macro2::{Delimiter, TokenStream, TokenTree};
use std::collections::HashMap;

use super::tokens::{is_braces, is_sign, is_value, is_word, until};

/// From so many steps on, a cell gains from being optimised.
const MUCH: f64 = 5e6;

/// How often a loop is taken to run whose header does not say it ..
const UNKNOWN: f64 = 50.0;
/// .. and one that ends by a condition.
const UNTIL: f64 = 1000.0;

/// What a step of a training counts: dfdx's operations are compiled with the cell. A step for one or two values ..
const TRAINING: f64 = 2e3;
/// .. and that many times as much for a batch of images.
const BATCH: f64 = 50.0;

/// Whether this code computes much. Where it only calls the crate, in a loop or not, the time goes there, and the crate is optimised.
/// `items` are what the notebook defines, by name.
pub fn is_much(code: TokenStream, items: HashMap<&str, Vec<TokenStream>>) -> bool {
    Work::new(&code, items).of(code) >= MUCH
}

struct Work<'a> {
    items: HashMap<&'a str, Vec<TokenStream>>,
    /// The steps of those that have been read.
    known: HashMap<String, f64>,
    /// What is defined as a number: `let n = 1_000;`, `const N: usize = 28;`.
    numbers: HashMap<String, f64>,
}

impl<'a> Work<'a> {
    fn new(code: &TokenStream, items: HashMap<&'a str, Vec<TokenStream>>) -> Self {
        let mut numbers = HashMap::new();
        let all = items.values().flatten().chain([code]);
        all.for_each(|code| find_numbers(code.clone(), &mut numbers));
        Work {
            items,
            known: HashMap::new(),
            numbers,
        }
    }

    /// The steps of the innermost loop.
    fn of(&mut self, code: TokenStream) -> f64 {
        let tokens: Vec<TokenTree> = code.into_iter().collect();
        self.of_tokens(&tokens)
    }

    fn of_tokens(&mut self, tokens: &[TokenTree]) -> f64 {
        let mut most: f64 = 0.0;
        let mut after_value = false;
        let mut place = 0;
        while let Some(token) = tokens.get(place) {
            let (rest, mut read) = (&tokens[place + 1..], 1);
            let work = match token {
                TokenTree::Ident(word) if word == "for" && loop_over(rest).is_some() => {
                    let (header, body) = loop_over(rest).unwrap_or_default();
                    read += header.len() + 1;
                    let batch = match is_over_batches(header) && trains(body.clone()) {
                        true => BATCH,
                        false => 1.0,
                    };
                    self.of_tokens(header)
                        .max(self.times(header) * batch * self.of(body))
                }
                TokenTree::Ident(word) if word == "while" || word == "loop" => {
                    let (header, body) = until_braces(rest);
                    read += header.len() + 1;
                    UNTIL * self.of_tokens(header).max(self.of(body))
                }
                TokenTree::Ident(word) if word == "backward" => TRAINING,
                TokenTree::Ident(word) if word == "fn" => {
                    read += 1; // the name of what is defined here is no call
                    0.0
                }
                TokenTree::Ident(word) => self.of_item(&word.to_string()),
                TokenTree::Punct(sign) if sign.as_char() == '|' && !after_value => {
                    let (parameters, body) = closure(rest);
                    read += parameters + 1 + body.len();
                    let times = if parameters == 0 { 1.0 } else { UNKNOWN };
                    times * self.of_tokens(body)
                }
                TokenTree::Punct(sign) if sign.as_char() == '|' && is_sign(rest.first(), "|") => {
                    read += 1; // the operator, behind a value
                    0.0
                }
                TokenTree::Punct(sign) => {
                    let is_arrow = is_sign(rest.first(), ">");
                    f64::from(after_value && "+-*/%^".contains(sign.as_char()) && !is_arrow)
                }
                TokenTree::Group(group) => {
                    let is_index = after_value && group.delimiter() == Delimiter::Bracket;
                    f64::from(is_index).max(self.of(group.stream()))
                }
                TokenTree::Literal(_) => 0.0,
            };
            most = most.max(work);
            after_value = is_value(token);
            place += read;
        }
        most
    }

    /// How often a loop runs, by what stands behind its `in`: `0..28`, `1..=n`, `[2, 4, 8]`.
    fn times(&self, header: &[TokenTree]) -> f64 {
        let over = header.iter().position(|token| is_word(token, "in"));
        let over = over.map_or(header, |over| &header[over + 1..]);
        let times = match over {
            [first, dots @ .., last]
                if dots.iter().all(|sign| is_sign(sign, ".=")) && !dots.is_empty() =>
            {
                self.number(last)
                    .zip(self.number(first))
                    .map(|(last, first)| last - first)
            }
            [TokenTree::Group(list), ..] if list.delimiter() == Delimiter::Bracket => {
                length(list.stream())
            }
            _ => None,
        };
        times.unwrap_or(UNKNOWN)
    }

    fn number(&self, token: &TokenTree) -> Option<f64> {
        match token {
            TokenTree::Ident(name) => self.numbers.get(&name.to_string()).copied(),
            token => number(token),
        }
    }

    /// What the notebook defines under this name, if it does. A function that calls itself counts as a loop.
    fn of_item(&mut self, name: &str) -> f64 {
        if let Some(known) = self.known.get(name) {
            return *known;
        }
        let Some(items) = self.items.get(name).cloned() else {
            return 0.0;
        };
        self.known.insert(name.to_owned(), UNTIL); // where it is met again below
        let work = items
            .into_iter()
            .map(|item| self.of(item))
            .fold(0.0, f64::max);
        self.known.insert(name.to_owned(), work);
        work
    }
}

/// What a `for` goes over, and its body. `None` for the word in `impl Trait for Type`.
fn loop_over(rest: &[TokenTree]) -> Option<(&[TokenTree], TokenStream)> {
    let (header, body) = until_braces(rest);
    header
        .iter()
        .any(|token| is_word(token, "in"))
        .then_some((header, body))
}

fn until_braces(tokens: &[TokenTree]) -> (&[TokenTree], TokenStream) {
    let before = until(tokens, is_braces);
    let body = match tokens.get(before.len()) {
        Some(TokenTree::Group(group)) => group.stream(),
        _ => TokenStream::new(),
    };
    (before, body)
}

/// Of what follows the first sign of a closure: how many tokens its parameters have, and its body.
fn closure(rest: &[TokenTree]) -> (usize, &[TokenTree]) {
    let parameters = until(rest, |token| is_sign(token, "|")).len();
    let body = rest.get(parameters + 1..).unwrap_or_default();
    (parameters, until(body, |token| is_sign(token, ",;")))
}

fn is_over_batches(header: &[TokenTree]) -> bool {
    header.iter().any(|token| is_word(token, "batches"))
}

/// Whether there is a step of a training in this code.
fn trains(code: TokenStream) -> bool {
    code.into_iter().any(|token| match token {
        TokenTree::Group(group) => trains(group.stream()),
        token => is_word(&token, "backward"),
    })
}

/// How many elements a list has, if they are written out: `[2, 4, 8]`, not `[0.0; n]`.
fn length(list: TokenStream) -> Option<f64> {
    let tokens: Vec<TokenTree> = list.into_iter().collect();
    let is_repeated = tokens.iter().any(|token| is_sign(token, ";"));
    let elements = tokens.split(|token| is_sign(token, ",")).count();
    (!is_repeated).then_some(elements as f64)
}

/// A whole number as it is written: `100_000`, `28usize`.
fn number(token: &TokenTree) -> Option<f64> {
    let TokenTree::Literal(literal) = token else {
        return None;
    };
    let text = literal.to_string().replace('_', "");
    let digits = text.split(|sign: char| !sign.is_ascii_digit()).next()?;
    digits.parse().ok()
}

/// Adds what this code defines as numbers.
fn find_numbers(code: TokenStream, numbers: &mut HashMap<String, f64>) {
    let tokens: Vec<TokenTree> = code.into_iter().collect();
    for (place, token) in tokens.iter().enumerate() {
        if let TokenTree::Group(group) = token {
            find_numbers(group.stream(), numbers);
        }
        let (name, value) = match &tokens[place..] {
            [TokenTree::Ident(name), equals, value, end, ..]
                if is_sign(equals, "=") && is_sign(end, ";") =>
            {
                (name, value)
            }
            [TokenTree::Ident(name), colon, _, equals, value, ..]
                if is_sign(colon, ":") && is_sign(equals, "=") =>
            {
                (name, value)
            }
            _ => continue,
        };
        if let Some(value) = number(value) {
            numbers.insert(name.to_string(), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(items: &str, code: &str) -> f64 {
        let item: TokenStream = items.parse().unwrap();
        let name = items.split(['(', ' ']).nth(1).unwrap_or_default();
        let code: TokenStream = code.parse().unwrap();
        Work::new(&code, HashMap::from([(name, vec![item])])).of(code)
    }

    #[test]
    fn steps_are_counted_where_they_are_written_and_guessed_elsewhere() {
        for (code, expected) in [
            ("call(&x, -1);", 0.0),
            ("let y: [f32; 3] = *call(&x, -1);", 0.0),
            (
                "for &x in [-1, 2] { let n: [f32; 3] = *call(&x, -1); }",
                0.0,
            ),
            ("x + 1", 1.0),
            ("x[0]", 1.0),
            ("for i in 0..28 { pixels[i] = 1e6; }", 28.0),
            ("for i in 1..=100_000_000 { n ^= n << 13; }", 99_999_999.0),
            ("for name in [2, 4, 8] { total += name; }", 3.0),
            ("for x in [0.0; 900] { total += x; }", UNKNOWN),
            ("let n = 1_000; for i in 0..n { x += i; }", 1000.0),
            (
                "const N: usize = 9; loop_over(|| for i in 1..=N { x += i; })",
                8.0,
            ),
            ("let n = call(); for i in 0..n { x += i; }", UNKNOWN),
            ("for i in 0..data.len() { x += i; }", UNKNOWN),
            (
                "for x in &all { for y in x.iter() { total += y; } }",
                UNKNOWN * UNKNOWN,
            ),
            ("for f in all { f as fn() -> f32; vec![1]; call(f); }", 0.0),
            ("while x > 1 { x /= 2; }", UNTIL),
            ("loop { x[0] }", UNTIL),
            (
                "(0..n).map(|i| (0..n).map(|j| i * j).sum()).collect()",
                UNKNOWN * UNKNOWN,
            ),
            ("attempt(move || { x * 2 })", 1.0),
            ("a || b * c", 1.0),
            ("for batch in all { loss.backward(); }", UNKNOWN * TRAINING),
            (
                "for batch in all.batches(9) { loss.backward(); }",
                UNKNOWN * BATCH * TRAINING,
            ),
            ("for i in 0..3 { area(i); }", 3.0 * 28.0),
            ("impl A for B { fn a() { 1 + 1 } }", 1.0),
        ] {
            let area = "fn area(n: f32) { for i in 0..28 { n * n; } }";
            assert_eq!(steps(area, code), expected, "{code}");
        }
        let recursive =
            "fn factorial(n: u64) -> u64 { if n == 0 { 1 } else { n * factorial(n - 1) } }";
        assert_eq!(steps(recursive, "factorial(20)"), UNTIL);
    }
}
