//! Every link from the texts to a file of the repository leads to one.
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;
use walkdir::{DirEntry, WalkDir};

fn repository() -> &'static Path {
    static REPOSITORY: LazyLock<PathBuf> = LazyLock::new(|| {
        let package = std::env::var_os("CARGO_MANIFEST_DIR").unwrap();
        Path::new(&package).parent().unwrap().to_owned()
    });
    &REPOSITORY
}

/// The guides and READMEs that are pages of the site, and what lies in `docs/` and `notebooks/`.
fn texts() -> Vec<PathBuf> {
    let pages = include_str!("../site/pages.txt").lines();
    let mut texts: Vec<PathBuf> = pages.map(|name| repository().join(name)).collect();
    // JupyterLab keeps copies of the notebooks in a hidden folder.
    let is_visible = |entry: &DirEntry| !entry.file_name().to_string_lossy().starts_with('.');
    for folder in ["docs", "notebooks"] {
        let entries = WalkDir::new(repository().join(folder)).into_iter();
        for entry in entries.filter_entry(is_visible) {
            let path = entry.unwrap().into_path();
            if path.extension().is_some_and(|e| e == "md" || e == "ipynb") {
                texts.push(path);
            }
        }
    }
    texts
}

/// The Markdown of a file: all of it, or the text cells of a notebook.
fn markdown(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    if path.extension().is_some_and(|e| e == "md") {
        return text;
    }
    let notebook: Value = serde_json::from_str(&text).unwrap();
    let cells = notebook["cells"].as_array().unwrap().iter();
    cells
        .filter(|cell| cell["cell_type"] == "markdown")
        .map(|cell| match &cell["source"] {
            Value::Array(lines) => lines.iter().filter_map(Value::as_str).collect(),
            source => source.as_str().unwrap().to_owned(),
        })
        .collect::<Vec<String>>()
        .join("\n\n")
}

/// The targets of links and images that are files: no addresses, no places within the same text.
fn local_targets(markdown: &str) -> Vec<String> {
    let code = Regex::new(r"(?s)```.*?```|`[^`\n]*`").unwrap();
    let link = Regex::new(r"\]\(([^()\s]+)\)").unwrap();
    let prose = code.replace_all(markdown, "");
    link.captures_iter(&prose)
        .map(|found| found[1].split('#').next().unwrap_or_default().to_owned())
        .filter(|target| !target.is_empty() && !target.contains(':'))
        .collect()
}

fn dead_links(folder: &Path, markdown: &str) -> Vec<String> {
    let mut targets = local_targets(markdown);
    targets.retain(|target| !folder.join(target).exists());
    targets
}

#[test]
fn every_local_link_leads_to_a_file() {
    let mut dead = BTreeSet::new();
    for path in texts() {
        let name = path.strip_prefix(repository()).unwrap().display();
        for target in dead_links(path.parent().unwrap(), &markdown(&path)) {
            dead.insert(format!("{name} -> {target}"));
        }
    }
    assert!(dead.is_empty(), "dead links: {dead:#?}");
}

#[test]
fn a_dead_link_is_found_and_nothing_else() {
    let text = "[here](README.md) [there](notebooks/none.ipynb#top) ![picture](no/picture.png) \
        [web](https://example.org/x.md) [above](#start) `[code](code.md)`\n```\n[block](block.md)\n```\n";
    assert_eq!(
        dead_links(repository(), text),
        ["notebooks/none.ipynb", "no/picture.png"]
    );
}

/// Readers go from notebook to notebook: each is in the list, and names the one before and the one after it.
#[test]
fn the_notebooks_form_a_chain() {
    let folder = repository().join("notebooks");
    let mut names: Vec<String> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".ipynb"))
        .collect();
    names.sort();
    let list = markdown(&folder.join("README.md"));
    for name in &names {
        assert!(
            list.contains(&format!("({name})")),
            "{name} is not in notebooks/README.md"
        );
    }
    for pair in names.windows(2) {
        let [before, after] = pair else {
            unreachable!("windows of two");
        };
        let forward = Regex::new(&format!(r"Next: \[[^\]]+\]\({after}\)")).unwrap();
        let backward = Regex::new(&format!(r"Previous: \[[^\]]+\]\({before}\)")).unwrap();
        assert!(
            forward.is_match(&markdown(&folder.join(before))),
            "{before} does not end with a link to {after}"
        );
        assert!(
            backward.is_match(&markdown(&folder.join(after))),
            "{after} has no link back to {before}"
        );
    }
}
