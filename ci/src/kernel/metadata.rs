//! What the kernel's type inference gets to read.
//!
//! The kernel uses rust-analyzer to find the types of variables. Rust-analyzer asks `cargo
//! metadata` for all packages below the crate and reads their whole source, about 190 packages,
//! each time a kernel starts: most of a kernel's start. But a variable in a cell can only have a
//! type that the crate shows in its public signatures. So it gets the crate and the packages that
//! the crate's manifest names as visible, and of course all that the reader adds with `:dep`. And of these it reads outlines.
use anyhow::{Context, Result};
use serde_json::Value;
use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::features::Features;
use super::outline;
use crate::toolchain::{self, Toolchain};

/// The answer that is kept in the template.
const SAVED: &str = "metadata.json";
/// Stands in the saved answer for the folder of the kernel that asks.
const FOLDER: &str = "{kernel}";

/// Keeps the answer for a template, so that a kernel's start need not wait for cargo.
pub fn save(template: &Path, toolchain: &Toolchain, features: &Features) -> Result<()> {
    let mut command = toolchain.cargo_command();
    command
        .args([
            "metadata",
            "--offline",
            "--format-version",
            "1",
            "--filter-platform",
            toolchain.host()?,
        ])
        .args(features.for_cargo())
        .current_dir(template);
    let mut metadata = prune(&toolchain::stdout(&mut command)?)?;
    save_outlines(template, &metadata)?;
    point_to_outlines(template, &mut metadata);
    keep(template, &metadata.to_string())
}

/// A folder of the template, and of each kernel, with the outlines of the packages that the kernels read. Rust-analyzer reads all
/// that lies below a notebook's own crate, but for `target`.
pub const OUTLINES: &str = "target/outlines";

/// The folder with a package's outline, and the one that it stands for: that of the library's source.
fn outline_of(folder: &Path, package: &Value) -> Option<(PathBuf, PathBuf)> {
    let (name, version) = (package["name"].as_str()?, package["version"].as_str()?);
    let targets = package["targets"].as_array()?;
    let library = targets.iter().find(|target| is_library(target))?;
    let source = Path::new(library["src_path"].as_str()?).parent()?;
    let outline = folder.join(OUTLINES).join(format!("{name}-{version}"));
    Some((outline.join("src"), source.to_owned()))
}

fn is_library(target: &Value) -> bool {
    let kinds = target["kind"].as_array();
    kinds.is_some_and(|kinds| kinds.iter().any(|kind| kind == "lib" || kind == "dylib"))
}

fn save_outlines(template: &Path, metadata: &Value) -> Result<()> {
    let packages = metadata["packages"].as_array().into_iter().flatten();
    for package in packages.filter(|package| package["name"] != "ctx") {
        if let Some((outline, source)) = outline_of(template, package) {
            // Anew: what was left there may be of an older state of the source.
            let _ = fs::remove_dir_all(&outline);
            fs::create_dir_all(&outline)?;
            outline::copy(&source, &outline)?;
        }
    }
    Ok(())
}

/// Makes rust-analyzer read the outlines that a folder has, and nothing else of these packages: it would read all that lies beside an
/// example, or beside the script of a build, which is the whole package.
fn point_to_outlines(folder: &Path, metadata: &mut Value) {
    for package in metadata["packages"].as_array_mut().into_iter().flatten() {
        let Some((outline, source)) = outline_of(folder, package) else {
            continue;
        };
        if !outline.is_dir() {
            continue;
        }
        retain(&mut package["targets"], is_library);
        for target in package["targets"].as_array_mut().into_iter().flatten() {
            let path = target["src_path"].as_str().map(Path::new);
            if let Some(below) = path.and_then(|path| path.strip_prefix(&source).ok()) {
                target["src_path"] = outline.join(below).to_string_lossy().into();
            }
        }
        let manifest = outline.with_file_name("Cargo.toml");
        package["manifest_path"] = manifest.to_string_lossy().into();
    }
}

fn keep(template: &Path, answer: &str) -> Result<()> {
    let path = template.join(SAVED);
    fs::write(&path, answer.replace(&folder(template)?, FOLDER))
        .with_context(|| format!("writing {}", path.display()))
}

/// The answer saved in a kernel's copy of the template, as if cargo had given it there.
pub fn saved(kernel: &Path) -> Result<String> {
    let path = kernel.join(SAVED);
    let answer =
        fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    Ok(answer.replace(FOLDER, &folder(kernel)?))
}

/// The same for a kernel that has not loaded the crate yet: of itself alone.
pub fn saved_without_crate(kernel: &Path) -> Result<String> {
    without_crate(&saved(kernel)?)
}

fn without_crate(answer: &str) -> Result<String> {
    let mut metadata: Value = serde_json::from_str(answer).context("reading what was saved")?;
    retain(&mut metadata["packages"], |package| {
        package["name"] == "ctx"
    });
    metadata["packages"][0]["dependencies"] = Value::Array(Vec::new());
    let root = metadata["resolve"]["root"].clone();
    retain(&mut metadata["resolve"]["nodes"], |node| node["id"] == root);
    for list in ["deps", "dependencies"] {
        metadata["resolve"]["nodes"][0][list] = Value::Array(Vec::new());
    }
    Ok(metadata.to_string())
}

/// A folder's path as it stands inside a string of the answer, which is JSON.
fn folder(path: &Path) -> Result<String> {
    let path = path
        .to_str()
        .with_context(|| format!("{} is not UTF-8", path.display()))?;
    let quoted = serde_json::to_string(path)?;
    Ok(quoted[1..quoted.len() - 1].to_owned())
}

/// Cargo's answer to a kernel, with only the packages whose types can be those of variables.
pub fn pruned(kernel: &Path, answer: &str) -> Result<String> {
    let mut metadata = prune(answer)?;
    point_to_outlines(kernel, &mut metadata);
    Ok(metadata.to_string())
}

fn prune(answer: &str) -> Result<Value> {
    let mut metadata: Value =
        serde_json::from_str(answer).context("reading the answer of cargo metadata")?;
    let kept = kept(&metadata);
    let is_kept = |id: &Value| id.as_str().is_some_and(|id| kept.contains(id));
    retain(&mut metadata["packages"], |package| is_kept(&package["id"]));
    retain(&mut metadata["resolve"]["nodes"], |node| {
        is_kept(&node["id"])
    });
    for node in metadata["resolve"]["nodes"]
        .as_array_mut()
        .into_iter()
        .flatten()
    {
        retain(&mut node["deps"], |dependency| is_kept(&dependency["pkg"]));
        retain(&mut node["dependencies"], is_kept);
    }
    Ok(metadata)
}

fn retain(list: &mut Value, keep: impl FnMut(&Value) -> bool) {
    if let Some(list) = list.as_array_mut() {
        list.retain(keep);
    }
}

/// The ids of the packages that are reached from the root. Below the crate, only visible packages
/// are followed.
fn kept(metadata: &Value) -> HashSet<String> {
    let name = |id: &str| {
        find(&metadata["packages"], id)["name"]
            .as_str()
            .unwrap_or_default()
    };
    let visible = visible(metadata);
    let mut kept = HashSet::new();
    let mut next: Vec<&str> = metadata["resolve"]["root"].as_str().into_iter().collect();
    while let Some(id) = next.pop() {
        if !kept.insert(id.to_owned()) {
            continue;
        }
        let below_crate = name(id) == "dldna" || visible.contains(name(id));
        let dependencies = find(&metadata["resolve"]["nodes"], id)["dependencies"].as_array();
        next.extend(
            dependencies
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .filter(|id| !below_crate || visible.contains(name(id))),
        );
    }
    kept
}

fn find<'a>(list: &'a Value, id: &str) -> &'a Value {
    let found = list
        .as_array()
        .and_then(|list| list.iter().find(|item| item["id"] == id));
    found.unwrap_or(&Value::Null)
}

/// The packages that the crate's manifest names under `[package.metadata.notebook]`.
fn visible(metadata: &Value) -> HashSet<&str> {
    let crates = metadata["packages"].as_array().into_iter().flatten();
    crates
        .filter(|package| package["name"] == "dldna")
        .flat_map(|package| package["metadata"]["notebook"]["visible"].as_array())
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// `ctx` uses `dldna` and the reader's `regex`; `dldna` uses `dfdx` (visible) and `reqwest`.
    fn example() -> Value {
        let package = |name: &str| json!({"id": name, "name": name, "metadata": null});
        let node = |id: &str, dependencies: &[&str]| {
            let deps: Vec<_> = dependencies
                .iter()
                .map(|id| json!({"pkg": id, "name": id}))
                .collect();
            json!({"id": id, "dependencies": dependencies, "deps": deps})
        };
        let mut packages: Vec<_> = [
            "ctx",
            "dfdx",
            "gemm",
            "num-traits",
            "reqwest",
            "regex",
            "memchr",
        ]
        .map(package)
        .into();
        packages.push(json!({
            "id": "dldna", "name": "dldna",
            "metadata": {"notebook": {"visible": ["dfdx", "num-traits"]}},
        }));
        json!({
            "packages": packages,
            "resolve": {
                "root": "ctx",
                "nodes": [
                    node("ctx", &["dldna", "regex"]),
                    node("dldna", &["dfdx", "reqwest"]),
                    node("dfdx", &["gemm", "num-traits"]),
                    node("gemm", &["num-traits"]),
                    node("num-traits", &[]),
                    node("reqwest", &["regex"]),
                    node("regex", &["memchr"]),
                    node("memchr", &[]),
                ],
            },
        })
    }

    #[cfg(unix)] // where a folder can have such a name
    #[test]
    fn the_saved_answer_is_that_of_the_kernels_own_folder() {
        let place = tempfile::tempdir().unwrap();
        let [template, kernel] =
            ["\"old\" \\n", "Cafe\u{301} \"new\" \\u0041"].map(|name| place.path().join(name));
        for folder in [&template, &kernel] {
            fs::create_dir(folder).unwrap();
        }
        let answer = |folder: &Path| json!({"target_directory": folder.join("target")}).to_string();
        keep(&template, &answer(&template)).unwrap();
        fs::copy(template.join(SAVED), kernel.join(SAVED)).unwrap();
        assert_eq!(saved(&kernel).unwrap(), answer(&kernel));
    }

    #[test]
    fn of_a_package_with_an_outline_nothing_else_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let outline = folder.path().join(OUTLINES).join("dfdx-0.13.0");
        fs::create_dir_all(outline.join("src")).unwrap();
        let target = |kind: &str, path: &str| json!({"kind": [kind], "src_path": path});
        let package = |name: &str| {
            json!({
                "name": name, "version": "0.13.0", "manifest_path": "/dfdx/Cargo.toml",
                "targets": [
                    target("custom-build", "/dfdx/build.rs"),
                    target("lib", "/dfdx/src/lib.rs"),
                    target("example", "/dfdx/examples/ops.rs"),
                ],
            })
        };
        let mut metadata = json!({"packages": [package("dfdx"), package("regex")]});
        point_to_outlines(folder.path(), &mut metadata);
        let read = &metadata["packages"][0];
        let library = outline.join("src/lib.rs");
        assert_eq!(
            read["targets"],
            json!([target("lib", library.to_str().unwrap())])
        );
        assert_eq!(
            read["manifest_path"],
            outline.join("Cargo.toml").to_str().unwrap()
        );
        assert_eq!(metadata["packages"][1], package("regex")); // it has no outline
    }

    #[test]
    fn before_the_crate_there_is_the_cell_alone() {
        let answer = without_crate(&example().to_string()).unwrap();
        let metadata: Value = serde_json::from_str(&answer).unwrap();
        let node = json!([{"id": "ctx", "dependencies": [], "deps": []}]);
        assert_eq!(metadata["resolve"], json!({"root": "ctx", "nodes": node}));
        assert_eq!(metadata["packages"].as_array().unwrap().len(), 1);
        assert_eq!(metadata["packages"][0]["name"], "ctx");
    }

    #[test]
    fn keeps_what_is_visible_and_what_the_reader_added() {
        let pruned = prune(&example().to_string()).unwrap();
        let mut names: Vec<_> = pruned["packages"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| it["name"].as_str().unwrap())
            .collect();
        names.sort();
        assert_eq!(
            names,
            ["ctx", "dfdx", "dldna", "memchr", "num-traits", "regex"]
        );
    }

    #[test]
    fn no_node_points_to_a_package_that_is_gone() {
        let pruned = prune(&example().to_string()).unwrap();
        for node in pruned["resolve"]["nodes"].as_array().unwrap() {
            for dependency in node["deps"].as_array().unwrap() {
                assert!(!find(&pruned["packages"], dependency["pkg"].as_str().unwrap()).is_null());
            }
        }
        assert_eq!(
            find(&pruned["resolve"]["nodes"], "dldna")["dependencies"],
            json!(["dfdx"])
        );
    }
}
