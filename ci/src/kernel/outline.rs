//! Source files as a kernel's type inference reads them: without the bodies of functions.
//!
//! Nobody infers anything from the body of a function whose type is written out. But rust-analyzer parses it, each time a kernel
//! starts; and bodies are half of a crate's source. What stays is as it was, documentation included, which the kernel shows: but for
//! that of what a macro writes, which rust-analyzer would parse for each use of the macro.
use anyhow::{Context, Result};
use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};
use std::fs;
use std::ops::Range;
use std::path::Path;
use walkdir::{DirEntry, WalkDir};

use super::tokens::is_word;

/// Copies the Rust files of a folder but its tests, each as its outline.
pub fn copy(from: &Path, to: &Path) -> Result<()> {
    let is_of_tests = |entry: &DirEntry| {
        let name = entry.file_name();
        ["tests", "tests.rs", "benches"]
            .iter()
            .any(|it| name == *it)
    };
    let files = WalkDir::new(from).into_iter();
    for entry in files.filter_entry(|entry| !is_of_tests(entry)) {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.path().strip_prefix(from)?));
        if entry.file_type().is_dir() {
            fs::create_dir_all(&target)?;
        } else if source.extension().is_some_and(|it| it == "rs") {
            let text = fs::read_to_string(source)
                .with_context(|| format!("reading {}", source.display()))?;
            // What cannot be read as Rust is left as it is: it may be a part of something.
            fs::write(&target, outline(&text).unwrap_or(text))
                .with_context(|| format!("writing {}", target.display()))?;
        }
    }
    Ok(())
}

/// The text with another body, of any type, for each function.
fn outline(text: &str) -> Option<String> {
    let mut edits = Vec::new();
    find_edits(text.parse().ok()?, Place::Items, &mut edits);
    let mut outline = String::with_capacity(text.len());
    let mut at = 0;
    for (range, new) in edits {
        outline.push_str(text.get(at..range.start)?);
        outline.push_str(new);
        at = range.end;
    }
    outline.push_str(text.get(at..)?);
    // Else places in the next text would be counted from the beginning of this one.
    proc_macro2::extra::invalidate_current_thread_spans();
    Some(outline)
}

/// What tokens are a part of.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Items,
    /// The rules of a macro: patterns, and what they are replaced by.
    Macro,
    /// What a macro is replaced by.
    Replacement,
}

/// Bytes of the text, and what stands there in the outline.
type Edit = (Range<usize>, &'static str);

/// The bodies of functions and, in macros, what says nothing about types; in order.
fn find_edits(tokens: TokenStream, place: Place, edits: &mut Vec<Edit>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut at = 0;
    while at < tokens.len() {
        if let Some((end, body)) = function(&tokens, at) {
            edits.extend(body.map(|body| {
                let inside =
                    body.span_open().byte_range().end..body.span_close().byte_range().start;
                (inside, "loop{}")
            }));
            at = end;
        } else if let TokenTree::Group(group) = &tokens[at] {
            let before = &tokens[..at];
            match place {
                Place::Replacement if says_nothing(before, group) => {
                    let sign = before[at - 1].span().byte_range();
                    edits.push((sign.start..group.span().byte_range().end, ""));
                }
                Place::Macro if !ends_with(before, ['=', '>']) => {} // a pattern
                Place::Items if is_macro(before) => find_edits(group.stream(), Place::Macro, edits),
                // What another macro is called with has to be what its patterns ask for.
                Place::Replacement if ends_with(before, ['!']) => {
                    find_edits(group.stream(), Place::Items, edits);
                }
                Place::Macro => find_edits(group.stream(), Place::Replacement, edits),
                _ => find_edits(group.stream(), place, edits),
            }
        }
        at += 1;
    }
}

/// Attributes that are nothing to rust-analyzer, and documentation.
const SAYS_NOTHING: [&str; 4] = ["stable", "rustc_const_stable", "must_use", "inline"];

fn says_nothing(before: &[TokenTree], group: &Group) -> bool {
    let inside: Vec<TokenTree> = group.stream().into_iter().take(2).collect();
    let is_text = is_word(inside.first(), "doc") && ends_with(&inside, ['=']);
    group.delimiter() == Delimiter::Bracket
        && ends_with(before, ['#'])
        && (is_text || SAYS_NOTHING.iter().any(|it| is_word(inside.first(), it)))
}

/// `macro_rules! name`
fn is_macro(before: &[TokenTree]) -> bool {
    matches!(before, [.., word, _, TokenTree::Ident(_)] if is_word(word, "macro_rules"))
}

fn ends_with<const N: usize>(tokens: &[TokenTree], signs: [char; N]) -> bool {
    let is = |(token, sign): (&TokenTree, char)| matches!(token, TokenTree::Punct(it) if it.as_char() == sign);
    tokens.len() >= N && tokens[tokens.len() - N..].iter().zip(signs).all(is)
}

/// If a function begins here: where it ends, and its body if that can go. A constant may need the body of a `const fn`, and
/// whoever gets an `impl Trait` the type that is in it.
fn function(tokens: &[TokenTree], at: usize) -> Option<(usize, Option<&Group>)> {
    if !is_word(tokens.get(at), "fn") || !matches!(tokens.get(at + 1), Some(TokenTree::Ident(_))) {
        return None; // or the type of a function
    }
    let length = tokens[at..].iter().position(|token| match token {
        TokenTree::Punct(sign) => sign.as_char() == ';',
        TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
        _ => false,
    })?;
    let end = at + length;
    // `pub const unsafe extern "C" fn`: `const` is at most three words before.
    let is_needed = tokens[at.saturating_sub(3)..at]
        .iter()
        .any(|token| is_word(token, "const"))
        || tokens[at..end].iter().any(|token| is_word(token, "impl"));
    match &tokens[end] {
        TokenTree::Group(body) if !is_needed => Some((end, Some(body))),
        _ => Some((end, None)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_go_and_all_else_stays() {
        let text = r#"//! The crate.
/// Adds, as in `fn add(a: u8) { a }`.
pub fn add<T: Add<[u8; { 1 + 1 }]>>(a: T) -> T where T: Copy { let b = "}"; { a } }
impl Shape for Square {
    fn area(&self) -> f32 { self.side * self.side /* with } */ }
    const SIDES: usize = 4;
}
trait Shape { fn area(&self) -> f32; fn name() -> String { "it".to_owned() } }
macro_rules! shapes { ($name:ident) => { fn $name() { 1 } fn fixed() -> $name { $name } } }
type Callback = fn(u8) -> u8;
"#;
        let expected = r#"//! The crate.
/// Adds, as in `fn add(a: u8) { a }`.
pub fn add<T: Add<[u8; { 1 + 1 }]>>(a: T) -> T where T: Copy {loop{}}
impl Shape for Square {
    fn area(&self) -> f32 {loop{}}
    const SIDES: usize = 4;
}
trait Shape { fn area(&self) -> f32; fn name() -> String {loop{}} }
macro_rules! shapes { ($name:ident) => { fn $name() { 1 } fn fixed() -> $name {loop{}} } }
type Callback = fn(u8) -> u8;
"#;
        for _ in 0..2 {
            assert_eq!(outline(text).unwrap(), expected); // and the second time
        }
    }

    #[test]
    fn a_macro_writes_no_documentation() {
        let text = r##"
macro_rules! number {
    (#[doc = $doc:expr] #[stable] $name:ident) => {
        #[doc = concat!("A ", stringify!($name))]
        /// with `fn`
        #[inline] #[cfg(feature = "a")] #[must_use = "it is new"]
        #[unstable(feature = "b")] #[doc(hidden)] fn $name() -> u8;
        other! { #[stable] /** in a call */ struct A; }
    };
}
/// With documentation.
#[inline] number! { /** for the pattern */ #[stable] one }
"##;
        let expected = r##"
macro_rules! number {
    (#[doc = $doc:expr] #[stable] $name:ident) => {
        
        
         #[cfg(feature = "a")] 
        #[unstable(feature = "b")] #[doc(hidden)] fn $name() -> u8;
        other! { #[stable] /** in a call */ struct A; }
    };
}
/// With documentation.
#[inline] number! { /** for the pattern */ #[stable] one }
"##;
        assert_eq!(outline(text).unwrap(), expected);
    }

    #[test]
    fn what_inference_may_need_stays() {
        let text = "pub const unsafe fn four() -> usize { 4 }\nfn odd() -> impl Fn(u8) -> bool { |n| n % 2 == 1 }\n";
        assert_eq!(outline(text).unwrap(), text);
        assert_eq!(outline("fn open() {"), None);
    }
}
