//! What of a cell's source the compiler has to read.
//!
//! The kernel's program writes into each cell all items of the notebook so far, a copy of its own runtime, and for each live
//! variable three statements that take it out of the store and put it back. Of a long notebook's cell the compiler would read
//! ten times what the reader has written. [`lean`] leaves out what the cell does not name: such variables stay in the
//! store, and the runtime comes from a library that was compiled once ([`RUNTIME`]).
//!
//! Everything is replaced by blanks, so that lines and columns in messages stay right. Whether a name is used is
//! told from words alone, with some left in that are not needed; where too much has gone the compiler
//! finds it, and is given the whole source instead.
use proc_macro2::{Delimiter, TokenStream, TokenTree};
use serde_json::Value;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::Range;

use super::tokens::{is_braces, is_word};
use super::work;

/// The library that stands for the module in which the kernel's program keeps variables between cells.
pub const RUNTIME: &str = "cell_runtime";

/// A cell's source without what it does not use.
#[derive(Debug, PartialEq)]
pub struct Lean {
    pub source: String,
    /// Whether the reader's code gains from being optimised.
    pub computes: bool,
    /// All names in what was left out.
    left_out: HashSet<String>,
}

/// Leaves out what the cell does not use; `None` where the source does not look as the kernel's program writes it. `before` is
/// the whole source that compiled last: an item that is not in it is new, and stays, for its errors belong to this cell.
pub fn lean(source: &str, before: &str) -> Option<Lean> {
    let start = source.find("\npub extern \"C\" fn run_user_code_")? + 1;
    let mut source = String::from(&source[..start]) + &without_unused_variables(&source[start..]);
    let mut items = items(source.parse().ok()?);
    if let Some(runtime) = items.iter().position(Item::is_runtime) {
        let line = format!("use {RUNTIME} as evcxr_internal_runtime;");
        replace_by_line(&mut source, items.remove(runtime).range, &line)?;
    }
    let cell = items.iter().position(|item| item.range.contains(&start))?;
    let is_new = |item: &Item| !before.contains(&source[item.range.clone()]);
    let roots = (0..items.len())
        .filter(|&index| index == cell || is_new(&items[index]))
        .collect();
    let used = used(&items, roots);
    let mut left_out = HashSet::new();
    for (index, item) in items.iter().enumerate() {
        if !used.contains(&index) {
            blank(&mut source, item.range.clone());
            left_out.extend(item.words.iter().cloned());
        }
    }
    let mut named: HashMap<&str, Vec<TokenStream>> = HashMap::new();
    for item in used.iter().map(|&index| &items[index]) {
        for name in &item.names {
            named.entry(name).or_default().push(item.code.clone());
        }
    }
    let computes = work::is_much(items[cell].code.clone(), named);
    Some(Lean {
        source,
        computes,
        left_out,
    })
}

/// How the kernel's program goes on with a cell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Source {
    /// It runs what compiles, and learns from errors what to write in another way. What else is wrong it has said about a `Failed` one.
    Tried,
    /// The source of a cell that does not compile, without what catches panics. The reader is shown what is said about this one.
    Failed,
    /// It has only items, say: what is wrong is shown at once.
    Other,
}

impl Source {
    /// Of which kind a source is.
    pub fn of(source: &str) -> Self {
        if source.contains("std::panic::catch_unwind(") {
            Source::Tried
        } else if source.contains("\nlet evcxr_variable_store = ") {
            Source::Failed
        } else {
            Source::Other
        }
    }
}

/// The errors that the compiler has printed, line by line.
pub fn errors(said: &str) -> impl Iterator<Item = Value> {
    let json = |line: &str| serde_json::from_str::<Value>(line).ok();
    let diagnostics = said.lines().filter_map(json);
    diagnostics.filter(|it| it["level"] == "error")
}

/// Whether all errors that the compiler has printed are errors of the whole source, too. The kernel's program itself tries
/// first whether a value has a method that shows it.
pub fn is_told(said: &str, lean: &Lean) -> bool {
    let mut errors = errors(said).peekable();
    errors.peek().is_some()
        && errors.all(|error| {
            let message = error["message"].as_str().unwrap_or_default();
            match error["code"]["code"].as_str() {
                Some("E0599" | "E0689") if message.contains("`evcxr_display`") => true,
                Some(code) => OF_THE_CELL.contains(&code) || lean.has_all_about(message),
                None => message.starts_with("aborting due to"),
            }
        })
}

/// Errors that an item cannot mend which the cell does not name: who owns what (the compiler looks at it only when all names and types
/// are right), types of values and arguments, what a constant computes.
const OF_THE_CELL: [&str; 22] = [
    "E0061", "E0063", "E0070", "E0080", "E0107", "E0308", "E0373", "E0381", "E0382", "E0384",
    "E0499", "E0502", "E0503", "E0505", "E0506", "E0507", "E0594", "E0596", "E0597", "E0604",
    "E0609", "E0716",
];

impl Lean {
    /// Whether nothing was left out that mentions a name which the message has in quotes.
    fn has_all_about(&self, message: &str) -> bool {
        let quoted = message.split('`').skip(1).step_by(2);
        let mut names = quoted
            .flat_map(words)
            .filter(|name| !name.is_empty())
            .peekable();
        names.peek().is_some() && names.all(|name| !self.left_out.contains(name))
    }
}

/// The variable that one of the kernel's own statements is about: `evcxr_variable_store.put_variable::<T>(stringify!(x), x);`. (Not
/// by a regular expression: to compile that takes longer than all else that is done here for a cell.)
pub fn variable(line: &str) -> Option<&str> {
    const STORE: &str = "evcxr_variable_store.";
    let (assignment, call) = line.split_at(line.find(STORE)?);
    let bound = assignment
        .strip_prefix("let ")
        .and_then(|text| text.strip_suffix(" = "));
    let is_own = ["", "vars_ok &= "].contains(&assignment) || bound.is_some_and(is_binding);
    let (method, arguments) = call.strip_prefix(STORE)?.split_once("_variable::<")?;
    let (_, arguments) = arguments.rsplit_once(">(stringify!(")?;
    let (name, value) = arguments.strip_suffix(");")?.split_once(')')?;
    let is_value = value.is_empty() || value.strip_prefix(", ").is_some_and(is_name);
    let is_call = ["check", "take", "put"].contains(&method) && is_name(name) && is_value;
    (is_own && is_call).then_some(name)
}

/// `name` or `mut name`
fn is_binding(text: &str) -> bool {
    is_name(text.strip_prefix("mut ").unwrap_or(text))
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && words(text).eq([text])
}

/// The cell's function, in which variables that the reader's code does not name stay in the store.
fn without_unused_variables(function: &str) -> String {
    let lines = || function.split('\n');
    let readers = lines().filter(|line| variable(line).is_none());
    let named: HashSet<&str> = readers.flat_map(words).collect();
    let kept = lines().map(|line| match variable(line) {
        Some(name) if !named.contains(name) => " ".repeat(line.len()),
        _ => line.to_owned(),
    });
    kept.collect::<Vec<_>>().join("\n")
}

/// The names and numbers in a text, and empty texts between its other signs.
pub fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|letter: char| !letter.is_alphanumeric() && letter != '_')
}

/// Replaces a part of the source by as many blanks, and leaves its line ends.
fn blank(source: &mut String, range: Range<usize>) {
    let blanks: String = source[range.clone()]
        .bytes()
        .map(|byte| if byte == b'\n' { '\n' } else { ' ' })
        .collect();
    source.replace_range(range, &blanks);
}

/// Replaces a part of the source by one line, which stands where there was one at least as long.
fn replace_by_line(source: &mut String, range: Range<usize>, line: &str) -> Option<()> {
    let mut start = range.start;
    for old in source[range.clone()].split('\n') {
        if old.len() >= line.len() {
            blank(source, range);
            source.replace_range(start..start + line.len(), line);
            return Some(());
        }
        start += old.len() + 1;
    }
    None
}

/// What is used: the cell and what is new, and from there on what is named in something that is used.
fn used(items: &[Item], roots: Vec<usize>) -> BTreeSet<usize> {
    let defined: HashSet<&String> = items.iter().flat_map(|item| &item.names).collect();
    let mut named: HashSet<&String> = HashSet::new();
    let mut used = BTreeSet::new();
    let mut found = roots;
    while !found.is_empty() {
        for index in found {
            used.insert(index);
            named.extend(&items[index].words);
            named.extend(&items[index].names);
        }
        found = (0..items.len())
            .filter(|index| !used.contains(index))
            .filter(|&index| items[index].is_used(&named, &defined))
            .collect();
    }
    used
}

/// When an item is needed.
enum Kind {
    /// When one of its names is mentioned.
    Named,
    /// When all that it is about and that the notebook defines is needed: `impl Trait for Type`.
    Impl { about: Vec<String> },
    /// When its name is mentioned or where it leads to is needed: `use module::Name`.
    Use { first: String },
    /// Always.
    Other,
}

/// One item of a cell's source.
struct Item {
    range: Range<usize>,
    kind: Kind,
    /// The names by which it can be used, also those of a trait's functions.
    names: Vec<String>,
    /// All names that it mentions.
    words: HashSet<String>,
    code: TokenStream,
}

impl Item {
    fn new(tokens: &[TokenTree]) -> Item {
        let range =
            tokens[0].span().byte_range().start..tokens[tokens.len() - 1].span().byte_range().end;
        let code: TokenStream = tokens.iter().cloned().collect();
        let mut words = HashSet::new();
        mention(code.clone(), &mut words);
        let (kind, names) = kind_and_names(tokens);
        Item {
            range,
            kind,
            names,
            words,
            code,
        }
    }

    fn is_used(&self, named: &HashSet<&String>, defined: &HashSet<&String>) -> bool {
        let is_named = || self.names.iter().any(|name| named.contains(name));
        match &self.kind {
            Kind::Named => is_named(),
            Kind::Impl { about } => {
                let mut own = about.iter().filter(|name| defined.contains(name));
                own.all(|name| named.contains(name))
            }
            Kind::Use { first } => is_named() || !defined.contains(first) || named.contains(first),
            Kind::Other => true,
        }
    }

    /// The module in which the kernel's program keeps variables.
    fn is_runtime(&self) -> bool {
        self.names
            .first()
            .is_some_and(|name| name == "evcxr_internal_runtime")
    }
}

/// The top-level items of a file, in order.
fn items(tokens: TokenStream) -> Vec<Item> {
    let mut items = Vec::new();
    let mut of_item: Vec<TokenTree> = Vec::new();
    for token in tokens {
        of_item.push(token);
        if is_complete(&of_item) {
            items.push(Item::new(&of_item));
            of_item.clear();
        }
    }
    if !of_item.is_empty() {
        items.push(Item::new(&of_item));
    }
    items
}

/// Whether these tokens are a whole item: it ends with `;`, or with braces if nothing can follow them.
fn is_complete(tokens: &[TokenTree]) -> bool {
    let is_inner_attribute = matches!(
        tokens,
        [TokenTree::Punct(sharp), TokenTree::Punct(bang), TokenTree::Group(_)]
            if sharp.as_char() == '#' && bang.as_char() == '!'
    );
    match tokens.last() {
        Some(TokenTree::Punct(end)) => end.as_char() == ';',
        Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => !matches!(
            keyword(tokens),
            Some(("use" | "const" | "static" | "type", _))
        ),
        _ => is_inner_attribute,
    }
}

/// The word that says what an item is, and its place.
fn keyword(tokens: &[TokenTree]) -> Option<(&'static str, usize)> {
    const KEYWORDS: [&str; 12] = [
        "use",
        "static",
        "type",
        "fn",
        "struct",
        "enum",
        "union",
        "trait",
        "mod",
        "impl",
        "macro_rules",
        "const",
    ];
    let is_function = |place: usize| {
        let next = tokens.get(place + 1);
        next.is_some_and(|next| {
            ["fn", "unsafe", "extern", "async"]
                .iter()
                .any(|word| is_word(next, word))
        })
    };
    tokens.iter().enumerate().find_map(|(place, token)| {
        let keyword = KEYWORDS
            .into_iter()
            .find(|keyword| is_word(token, keyword))?;
        (keyword != "const" || !is_function(place)).then_some((keyword, place))
    })
}

fn kind_and_names(tokens: &[TokenTree]) -> (Kind, Vec<String>) {
    let Some((keyword, place)) = keyword(tokens) else {
        return (Kind::Other, Vec::new());
    };
    let body = tokens.iter().rev().find_map(|token| match token {
        TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => Some(group.stream()),
        _ => None,
    });
    let after: Vec<String> = tokens[place + 1..].iter().filter_map(ident).collect();
    let name = after.first().filter(|name| *name != "_").cloned();
    match keyword {
        "use" => {
            let is_glob = matches!(&tokens[tokens.len() - 2], TokenTree::Punct(star) if star.as_char() == '*');
            let names = after
                .last()
                .filter(|name| *name != "_" && !is_glob)
                .cloned();
            (
                Kind::Use {
                    first: name.unwrap_or_default(),
                },
                Vec::from_iter(names),
            )
        }
        "impl" => {
            let mut about = HashSet::new();
            let header = tokens[place..].iter().take_while(|token| !is_braces(token));
            mention(header.cloned().collect(), &mut about);
            (
                Kind::Impl {
                    about: about.into_iter().collect(),
                },
                Vec::new(),
            )
        }
        _ if name.is_none() => (Kind::Other, Vec::new()),
        "mod" | "trait" => {
            let inner = items(body.unwrap_or_default()).into_iter();
            let inner = inner.filter(|item| !matches!(item.kind, Kind::Use { .. }));
            let names = name.into_iter().chain(inner.flat_map(|item| item.names));
            (Kind::Named, names.collect())
        }
        "enum" => {
            let variants = body.into_iter().flatten().filter_map(|token| ident(&token));
            (Kind::Named, name.into_iter().chain(variants).collect())
        }
        _ => (Kind::Named, Vec::from_iter(name)),
    }
}

fn ident(token: &TokenTree) -> Option<String> {
    match token {
        TokenTree::Ident(ident) => Some(ident.to_string()),
        _ => None,
    }
}

/// All names in these tokens, also those in texts such as `"{width} px"`.
fn mention(tokens: TokenStream, named: &mut HashSet<String>) {
    for token in tokens {
        match token {
            TokenTree::Ident(ident) => drop(named.insert(ident.to_string())),
            TokenTree::Group(group) => mention(group.stream(), named),
            TokenTree::Literal(literal) => {
                let text = literal.to_string();
                if text.contains('{') {
                    named.extend(words(&text).map(str::to_owned));
                }
            }
            TokenTree::Punct(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A cell's source as the kernel's program writes it, with these items and this code of the reader's.
    fn source(items: &str, reader: &str) -> String {
        format!(
            r#"#![allow(dead_code)]
{items}
mod evcxr_internal_runtime {{
// A line that is long enough for the one that comes in its place.
pub struct VariableStore {{}}
}}
#[unsafe(no_mangle)]
pub extern "C" fn run_user_code_7(
) {{
{{let mut vars_ok = true;
vars_ok &= evcxr_variable_store.check_variable::<Vec<f32>>(stringify!(kept));
vars_ok &= evcxr_variable_store.check_variable::<Net<8>>(stringify!(left));
if !vars_ok {{return evcxr_variable_store;}}}}
let kept = evcxr_variable_store.take_variable::<Vec<f32>>(stringify!(kept));
let mut left = evcxr_variable_store.take_variable::<Net<8>>(stringify!(left));
{reader}
evcxr_variable_store.put_variable::<Vec<f32>>(stringify!(kept), kept);
evcxr_variable_store.put_variable::<Net<8>>(stringify!(left), left);
evcxr_variable_store
}}
"#
        )
    }

    fn of(items: &str, reader: &str) -> Lean {
        let source = source(items, reader);
        let lean = lean(&source, items).unwrap();
        let shape = |text: &str| text.lines().map(str::len).collect::<Vec<_>>();
        assert_eq!(shape(&lean.source), shape(&source), "{}", lean.source);
        lean
    }

    #[test]
    fn the_kernels_own_statements_name_their_variable() {
        for (line, name) in [
            (
                "evcxr_variable_store.put_variable::<[f32; 2]>(stringify!(x), x);",
                Some("x"),
            ),
            (
                "vars_ok &= evcxr_variable_store.check_variable::<Net<8>>(stringify!(y));",
                Some("y"),
            ),
            (
                "let mut z = evcxr_variable_store.take_variable::<fn(i32)>(stringify!(z));",
                Some("z"),
            ),
            ("evcxr_variable_store.clear(stringify!(x));", None),
            (
                "println!(\"evcxr_variable_store.put_variable::<i32>(stringify!(x), x);\");",
                None,
            ),
            (
                "let s = \"x = evcxr_variable_store.put_variable::<i32>(stringify!(x), x);",
                None,
            ),
            (
                "evcxr_variable_store.put_variable::<i32>(stringify!(x), x.clone());",
                None,
            ),
            ("let x = 1;", None),
        ] {
            assert_eq!(variable(line), name, "{line}");
        }
    }

    #[test]
    fn variables_that_are_not_named_stay_in_the_store() {
        for (reader, stays) in [
            ("println!(\"{}\", kept.len());", true),
            ("println!(\"{left:?} {kept:?}\");", false),
        ] {
            let lean = of("", reader);
            assert!(lean.source.contains("stringify!(kept), kept"));
            assert_eq!(!lean.source.contains("stringify!(left)"), stays);
        }
    }

    #[test]
    fn the_runtime_is_the_library() {
        let lean = of("", "kept;");
        assert!(
            lean.source
                .contains("\nuse cell_runtime as evcxr_internal_runtime;")
        );
        assert!(!lean.source.contains("pub struct VariableStore"));
    }

    #[test]
    fn items_are_kept_where_something_needs_them() {
        let items = "\
const WIDTH: usize = 3;
fn area() -> usize { WIDTH * WIDTH }
struct Size { side: usize }
impl std::fmt::Display for Size { fn fmt(&self) { text() } }
fn text() {}
trait Double { fn twice(&self); }
impl Double for f32 { fn twice(&self) {} }
enum Shape { Circle, Square }
use Shape::*;
mod block { pub struct Block; impl Block { fn new() {} } }
use block::Block;
use std::fmt::Write;
macro_rules! shout { () => {} }
";
        for (reader, kept, gone) in [
            (
                "area();",
                vec!["WIDTH", "area"],
                vec!["Size", "text", "Double", "Shape", "Block", "shout"],
            ),
            ("println!(\"{WIDTH}\");", vec!["WIDTH"], vec!["area"]),
            (
                "Size { side: 1 };",
                vec!["struct Size", "for Size", "fn text"],
                vec!["WIDTH", "Double"],
            ),
            (
                "1f32.twice();",
                vec!["trait Double", "Double for f32"],
                vec!["Size"],
            ),
            ("Circle;", vec!["enum Shape", "use Shape"], vec!["Block"]),
            (
                "Block::new();",
                vec!["mod block", "use block"],
                vec!["Shape"],
            ),
            (
                "shout!();",
                vec!["shout", "use std::fmt::Write"],
                vec!["area"],
            ),
        ] {
            let source = of(items, reader).source;
            kept.iter()
                .for_each(|it| assert!(source.contains(it), "{reader} {it}\n{source}"));
            gone.iter()
                .for_each(|it| assert!(!source.contains(it), "{reader} {it}\n{source}"));
        }
    }

    #[test]
    fn what_is_new_is_compiled_though_nothing_uses_it() {
        let source = source("fn old() {}\nfn new() -> usize {}\n", "");
        let lean = lean(&source, "fn old() {}\n").unwrap().source;
        assert!(lean.contains("fn new()") && !lean.contains("fn old()"));
    }

    #[test]
    fn what_computes_much_is_optimised() {
        let items = "\
fn sum(n: u64) -> u64 { let mut all = 0; for i in 0..1000 { all += i * n; } all }
struct A;
impl Copy for A {}
";
        for (reader, computes) in [
            ("sum(1);", false),
            ("for i in 0..1000 { sum(i); }", false),
            ("for i in 0..10_000 { sum(i); }", true),
            ("A;", false),
            ("kept;", false),
        ] {
            assert_eq!(of(items, reader).computes, computes, "{reader}");
        }
    }

    #[test]
    fn errors_about_what_was_left_out_are_those_of_the_whole_source() {
        let error = |code: &str, message: &str| {
            serde_json::json!({"level": "error", "message": message, "code": {"code": code}})
                .to_string()
                + "\n"
        };
        let moved = error("E0382", "use of moved value: `kept`");
        let shown = error("E0599", "no method named `evcxr_display` found");
        let number = "can't call method `evcxr_display` on ambiguous numeric type `{integer}`";
        let number = error("E0689", number);
        let unknown = error("E0425", "cannot find value `left` in this scope");
        let lean = of("fn right() { left(); }", "");
        let is_told = |said: &str| super::is_told(said, &lean);
        assert!(is_told(&moved) && is_told(&(moved.clone() + &shown)) && is_told(&number));
        assert!(!is_told(&unknown) && !is_told(&(moved + &unknown)) && !is_told(""));
        let elsewhere = error("E0425", "cannot find value `up` in this scope");
        let types = error("E0308", "mismatched types");
        let bound = |ty| error("E0277", &format!("`{ty}` is no iterator"));
        assert!(is_told(&elsewhere) && is_told(&types) && is_told(&bound("f32")));
        assert!(!is_told(&bound("left")) && !is_told(&error("E0277", "it does not say what")));
    }

    #[test]
    fn a_cell_that_failed_catches_no_panics() {
        let store = "\nlet evcxr_variable_store = unsafe {&mut *evcxr_variable_store};\n";
        let caught = "match std::panic::catch_unwind(\n";
        for (source, expected) in [
            (store.to_owned() + caught, Source::Tried),
            (store.to_owned(), Source::Failed),
            (String::new(), Source::Other),
        ] {
            assert_eq!(Source::of(&source), expected, "{source}");
        }
    }

    #[test]
    fn another_source_is_left_alone() {
        assert_eq!(lean("fn main() {}", ""), None);
    }
}
