//! Which variables a cell probably moves.
//!
//! Only the compiler knows it: it needs the types. What is told here from words alone saves time where it is right, and costs none
//! where it is not: see [`ahead`](super::ahead).
use proc_macro2::{Delimiter, TokenStream, TokenTree};
use std::collections::{BTreeSet, HashMap, HashSet};

use super::lean;
use super::tokens::{is_sign, is_value, is_word, until};

/// The variables that this code seems to move, out of some with the text of their types.
pub fn moved(code: TokenStream, variables: &HashMap<&str, &str>) -> BTreeSet<String> {
    let mut moves = Moves {
        variables,
        moved: BTreeSet::new(),
        bound: HashSet::new(),
    };
    moves.read(code, Arguments::Moved);
    &moves.moved - &moves.bound.into_iter().collect()
}

/// What becomes of a name that is an argument by itself.
#[derive(Clone, Copy, PartialEq)]
enum Arguments {
    Moved,
    /// In `println!` and its like.
    Borrowed,
}

/// Macros that only look at their arguments.
const BORROWING: &str =
    "assert assert_eq assert_ne eprint eprintln format panic print println stringify write writeln";

/// Methods of dfdx's tensors that leave the tensor as it is; all that compute take it.
const LEAVING_A_TENSOR: &str = "array as_vec axpy clone copy_from copy_into dtype evcxr_display id leaky_trace shape strides trace";

/// How methods of other values begin that take them.
const TAKING: [&str; 5] = ["expect", "into_", "ok_or", "unwrap", "with_"];

/// Types that are copied, and words in their names.
const COPIED: &str = "bool char f32 f64 i8 i16 i32 i64 i128 isize u8 u16 u32 u64 u128 usize std time Instant Duration dldna data \
                      Normalisation AdamConfig SgdConfig";

fn is_one_of(word: &str, words: &str) -> bool {
    words.split_whitespace().any(|it| it == word)
}

struct Moves<'a> {
    variables: &'a HashMap<&'a str, &'a str>,
    moved: BTreeSet<String>,
    /// What a loop or a closure has under a name is no variable of the notebook.
    bound: HashSet<String>,
}

impl Moves<'_> {
    fn read(&mut self, code: TokenStream, arguments: Arguments) {
        let tokens: Vec<TokenTree> = code.into_iter().collect();
        let mut renewed = Vec::new();
        let mut pattern_ends = 0;
        for (place, token) in tokens.iter().enumerate() {
            let (before, after) = (&tokens[..place], &tokens[place + 1..]);
            if place < pattern_ends {
                continue;
            }
            match token {
                TokenTree::Ident(word) if word == "let" => {
                    let pattern = until(after, |token| is_sign(token, "=;"));
                    pattern_ends = place + 1 + pattern.len();
                    renewed.extend(names(pattern));
                }
                TokenTree::Ident(word) if word == "for" => {
                    let pattern = until(after, |token| is_word(token, "in"));
                    pattern_ends = place + 1 + pattern.len();
                    self.bound.extend(names(pattern));
                }
                TokenTree::Ident(word) if word == "move" => self.all_in(after.iter().cloned()),
                TokenTree::Ident(name) => {
                    let name = name.to_string();
                    if self.is_moved(&name, before, after, arguments) {
                        self.moved.insert(name);
                    }
                }
                TokenTree::Punct(sign)
                    if sign.as_char() == '|' && !before.last().is_some_and(is_value) =>
                {
                    let parameters = until(after, |token| is_sign(token, "|"));
                    pattern_ends = place + 2 + parameters.len();
                    self.bound.extend(names(parameters));
                }
                TokenTree::Punct(sign) if sign.as_char() == ';' => {
                    for name in renewed.drain(..) {
                        self.moved.remove(&name);
                    }
                }
                TokenTree::Group(group) => {
                    let arguments = match borrows(before) {
                        true => Arguments::Borrowed,
                        false => Arguments::Moved,
                    };
                    // `(value).method()` is about the value as it is without the brackets.
                    let is_plain = group.delimiter() == Delimiter::Parenthesis
                        && !before.last().is_some_and(is_callee)
                        && is_sign(after.first(), ".")
                        && group.stream().into_iter().count() == 1;
                    if !is_plain {
                        self.read(group.stream(), arguments);
                    }
                }
                _ => (),
            }
        }
    }

    /// What a closure with `move` names.
    fn all_in(&mut self, code: impl Iterator<Item = TokenTree>) {
        let code: Vec<TokenTree> = code.collect();
        let named = names(&code).into_iter();
        let moved: Vec<String> = named.filter(|name| self.is_no_copy(name)).collect();
        self.moved.extend(moved);
    }

    fn is_moved(
        &self,
        name: &str,
        before: &[TokenTree],
        after: &[TokenTree],
        arguments: Arguments,
    ) -> bool {
        let is_operand =
            matches!(before, [.., value, sign] if is_value(value) && is_sign(sign, "+-*/"));
        let is_use = match before.last() {
            None => true,
            Some(TokenTree::Punct(sign)) => is_operand || !"&.|:*-".contains(sign.as_char()),
            Some(TokenTree::Ident(_)) => !before.last().is_some_and(is_value),
            Some(_) => true,
        };
        if !is_use || !self.is_no_copy(name) {
            return false;
        }
        match after.first() {
            None => is_operand || arguments == Arguments::Moved,
            Some(TokenTree::Punct(sign)) => match sign.as_char() {
                ',' => is_operand || arguments == Arguments::Moved,
                ';' | '?' => true,
                '.' => self.takes(name, &after[1..]),
                sign => "+-*/".contains(sign) && !is_sign(after.get(1), "="),
            },
            // `for x in name {`
            Some(TokenTree::Group(group)) => group.delimiter() == Delimiter::Brace,
            Some(_) => false,
        }
    }

    /// Whether this is the call of a method that takes the value.
    fn takes(&self, name: &str, call: &[TokenTree]) -> bool {
        let [
            TokenTree::Ident(method),
            TokenTree::Group(_) | TokenTree::Punct(_),
            ..,
        ] = call
        else {
            return false;
        };
        let (method, is_field) = (method.to_string(), is_sign(call.get(1), ".,;?=+-*/"));
        let takes = match self.variables[name].starts_with("Tensor<") {
            true => !is_one_of(&method, LEAVING_A_TENSOR),
            false => TAKING.iter().any(|it| method.starts_with(it)),
        };
        takes && !is_field
    }

    /// Whether this is one of the variables, of a type that is not copied. (Not told of the reader's own types.)
    fn is_no_copy(&self, name: &str) -> bool {
        self.variables.get(name).is_some_and(|ty| {
            let is_copied = |word: &str| word.parse::<usize>().is_ok() || is_one_of(word, COPIED);
            let is_shared = ty.starts_with('&') && !ty.starts_with("&mut");
            !is_shared
                && !lean::words(ty)
                    .filter(|word| !word.is_empty())
                    .all(is_copied)
        })
    }
}

/// All names in these tokens.
fn names(tokens: &[TokenTree]) -> Vec<String> {
    let names = tokens.iter().map(|token| match token {
        TokenTree::Ident(name) => vec![name.to_string()],
        TokenTree::Group(group) => names(&group.stream().into_iter().collect::<Vec<_>>()),
        _ => Vec::new(),
    });
    names.flatten().collect()
}

/// Whether what follows are arguments of a macro that only looks at them.
fn borrows(before: &[TokenTree]) -> bool {
    match before {
        [.., TokenTree::Ident(name), bang] => {
            is_sign(bang, "!") && is_one_of(&name.to_string(), BORROWING)
        }
        _ => false,
    }
}

/// Whether brackets behind this hold the arguments of a call.
fn is_callee(token: &TokenTree) -> bool {
    is_value(token) && !matches!(token, TokenTree::Literal(_)) || is_sign(token, "!>")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_cell_moves_is_told_from_its_words() {
        let types = [
            ("net", "Block<8>"),
            ("x", "Tensor<(usize, Const<8>), f32, Cpu>"),
            ("y", "Tensor<Rank0, f32, Cpu>"),
            ("data", "Vec<f32>"),
            ("text", "&'static str"),
            ("size", "[usize; 2]"),
        ];
        for (code, expected) in [
            ("net.forward(x);", vec!["x"]),
            ("net.forward(x.clone()); net.forward(&x);", vec![]),
            ("let b = x;", vec!["x"]),
            ("println!(\"{:?} {}\", x, data.len());", vec![]),
            ("println!(\"{:?}\", net.forward(x).shape());", vec!["x"]),
            ("println!(\"{:?}\", x - y);", vec!["x", "y"]),
            ("(x\n).evcxr_display();", vec![]),
            ("x.shape(); x.as_vec(); (x).shape()", vec![]),
            ("x.square().mean()", vec!["x"]),
            ("(x + y).sum()", vec!["x", "y"]),
            ("for value in data { use_it(value); }", vec!["data"]),
            ("for value in &data { use_it(value, text, size); }", vec![]),
            ("data[0] += 1.0; data.iter().sum();", vec![]),
            (
                "attempt(move || data.len() + size.len() + text.len());",
                vec!["data"],
            ),
            ("let Pair { data: other } = pair; pair.data;", vec![]),
            ("Pair { first: data, x }; [y];", vec!["x", "y"]),
            ("let f = |data| 1;", vec![]),
            ("let (x, data) = (y, 1);", vec!["y"]),
            ("let data = data.unwrap_or(1); x;", vec!["x"]),
            ("data.map(|x| x - 1.0); y;", vec!["y"]),
            ("for (x, y) in data {}", vec!["data"]),
            ("data = Vec::new(); data == other;", vec![]),
            ("data.into_iter(); x?", vec!["data", "x"]),
        ] {
            let expected: BTreeSet<String> = expected.into_iter().map(str::to_owned).collect();
            let found = moved(code.parse().unwrap(), &HashMap::from(types));
            assert_eq!(found, expected, "{code}");
        }
    }
}
