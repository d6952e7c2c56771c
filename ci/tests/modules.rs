//! Inside each package modules use one another in one direction only: a module uses what stands before it in its list.
use regex::Regex;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use walkdir::WalkDir;

/// Of the engine. A module's name in brackets is what `lib.rs` re-exports from the one before it.
const ENGINE: &str = "interrupt kernels display atomic_file table weights summary nn(network) device data \
    families(convnext efficientnet inception mobilenet resnet vgg) train prelude";
/// Of the book: what it has of its own. What it re-exports from the engine may be used everywhere.
const BOOK: &str = "download image data plot chapter exercises notebook web prelude";

#[test]
fn arrows_between_modules_run_one_way() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    for (package, order) in [("dldna/nn/src", ENGINE), ("dldna/src", BOOK)] {
        let back = arrows_back(&repository.join(package), order);
        assert!(back.is_empty(), "{package}, against the order:\n{back:#?}");
    }
}

/// `file uses module`, where the module stands behind the file's own.
fn arrows_back(source: &Path, order: &str) -> BTreeSet<String> {
    let order: Vec<(&str, Vec<&str>)> = Regex::new(r"(\w+)(?:\(([^)]*)\))?")
        .unwrap()
        .captures_iter(order)
        .map(|module| {
            let others = module.get(2).map_or("", |names| names.as_str());
            (
                module.get(1).unwrap().as_str(),
                others.split_whitespace().collect(),
            )
        })
        .collect();
    let place = |name: &str| {
        let mut places = order.iter();
        places.position(|(module, others)| *module == name || others.contains(&name))
    };
    let mut back = BTreeSet::new();
    let mut files = 0;
    for entry in WalkDir::new(source) {
        let entry = entry.unwrap();
        let file = entry.path().strip_prefix(source).unwrap();
        let top = file.iter().next().map(|name| name.to_string_lossy());
        let top = top.unwrap_or_default();
        let is_rust = file.extension().is_some_and(|extension| extension == "rs");
        if !is_rust || top == "lib.rs" {
            continue;
        }
        files += 1;
        let own = top.trim_end_matches(".rs");
        let here = place(own).unwrap_or_else(|| panic!("the module {own} is not in the list"));
        for name in used(&fs::read_to_string(entry.path()).unwrap()) {
            if place(&name).is_some_and(|there| there > here) {
                back.insert(format!("{} uses {name}", file.display()));
            }
        }
    }
    assert!(files > 10, "{} has {files} files", source.display());
    back
}

/// The names behind `crate::` in the code of a file, without comments and tests.
fn used(code: &str) -> BTreeSet<String> {
    let code = code.split("#[cfg(test)]").next().unwrap_or_default();
    let code: String = code
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect();
    let paths = Regex::new(r"\bcrate::(?:(\w+)|\{([^}]*)\})").unwrap();
    let mut used = BTreeSet::new();
    for path in paths.captures_iter(&code) {
        let names = path
            .get(1)
            .or(path.get(2))
            .map_or("", |names| names.as_str());
        for name in names.split(',') {
            let first = name.trim().split("::").next().unwrap_or_default();
            used.insert(first.to_owned());
        }
    }
    used
}

#[test]
fn what_a_file_uses_is_read_from_its_code() {
    let code = "use crate::{nn::relu, table};\n// crate::plot\nlet x = crate::data::stripes();\n\
        #[cfg(test)]\nuse crate::train;";
    let expected = ["nn", "table", "data"].map(str::to_owned);
    assert_eq!(used(code), BTreeSet::from(expected));
}
