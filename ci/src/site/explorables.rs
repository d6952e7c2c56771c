//! The pages that compute: the crate `dldna/web` for the browser, a trained network, and each page as one file.
use anyhow::{Context, Result, ensure};
use base64::prelude::{BASE64_STANDARD, Engine};
use flate2::{Compression, write::GzEncoder};
use std::fs;
use std::hash::{DefaultHasher, Hasher};
use std::io::Write;
use std::path::Path;
use std::process::Command;

use super::run_to_end;
use crate::kernel::template::hash_folder;
use crate::{paths, toolchain};

/// The pages, by the names of their files.
const PAGES: [&str; 4] = ["filter", "layers", "receptive_field", "training"];

/// How large what the pages compute with may be, compressed: a phone has it in a second or two.
const MOST_BYTES: usize = 600_000;

/// Writes into `scripts` what the pages load beside their own code. A page that was saved to a disk may load scripts and no
/// other files, so everything is one.
pub fn write(folder: &Path, scripts: &Path) -> Result<()> {
    compile(&folder.join("wasm"), scripts)?;
    train(&folder.join("digits"), scripts)?;
    let data = paths::repository().join("data");
    let photograph = encoded(&data.join("building.jpg"))?;
    fs::write(
        scripts.join("photograph.js"),
        format!("const dldnaPhotograph = \"data:image/jpeg;base64,{photograph}\";\n"),
    )?;
    let mut mnist = fs::read_to_string(scripts.join("mnist.js"))? + "const dldnaMnistFiles = {\n";
    for part in ["train", "t10k"] {
        for kind in ["images-idx3", "labels-idx1"] {
            let file = data.join(format!("samples/mnist/{part}-{kind}-ubyte.gz"));
            mnist += &format!("    \"{part}-{kind}\": \"{}\",\n", encoded(&file)?);
        }
    }
    fs::write(scripts.join("mnist.js"), mnist + "};\n")?;
    Ok(())
}

fn encoded(file: &Path) -> Result<String> {
    let content = fs::read(file).with_context(|| format!("reading {}", file.display()))?;
    Ok(BASE64_STANDARD.encode(content))
}

/// What the pages compute with, `dldna/web`, as one script.
fn compile(folder: &Path, scripts: &Path) -> Result<()> {
    const TARGET: &str = "wasm32-unknown-unknown";
    let target = paths::repository().join("target/wasm"); // the tests of the engine build there too
    let mut cargo = Command::new("cargo");
    cargo
        .args(["build", "--quiet", "--package", "dldna-web"])
        .args(["--release", "--target", TARGET, "--target-dir"])
        .arg(&target)
        .current_dir(paths::repository());
    if !toolchain::add_target(TARGET)? {
        // The standard library from its source, where it cannot be had compiled for this target.
        cargo
            .env("RUSTC_BOOTSTRAP", "1")
            .arg("-Zbuild-std=std,panic_abort");
    }
    run_to_end(&mut cargo)?;
    run_to_end(
        example("bindings")
            .arg(target.join(TARGET).join("release/dldna_web.wasm"))
            .arg(folder),
    )?;
    let mut packed = GzEncoder::new(Vec::new(), Compression::best());
    packed.write_all(&fs::read(folder.join("dldna_web_bg.wasm"))?)?;
    let packed = packed.finish()?;
    ensure!(
        packed.len() <= MOST_BYTES,
        "the WebAssembly of the pages has {} bytes, compressed, and may have {MOST_BYTES}",
        packed.len()
    );
    // As a function, whose text a page can hand to a worker; there is no document there, and no address in a notebook.
    let script = format!(
        "function dldnaGlue(document) {{\n{glue}\nreturn wasm_bindgen;\n}}\n\
         const wasm_bindgen = dldnaGlue();\n\
         const dldnaModule = explorable.unpacked(\"{module}\");\n\
         const dldnaWeb = dldnaModule.then((module) => wasm_bindgen({{ module_or_path: module }}));\n",
        glue = fs::read_to_string(folder.join("dldna_web.js"))?,
        module = BASE64_STANDARD.encode(packed),
    );
    fs::write(scripts.join("dldna_web.js"), script)?;
    Ok(())
}

/// A program beside `dldna/web`. What it alone needs is not compiled for `cargo lab`.
fn example(name: &str) -> Command {
    let mut cargo = Command::new("cargo");
    cargo
        .args(["run", "--quiet", "--package", "dldna-web", "--example"])
        .arg(name)
        .arg("--")
        .current_dir(paths::repository());
    cargo
}

/// The network of the page *Layers*, trained once for each state of what it depends on.
fn train(folder: &Path, scripts: &Path) -> Result<()> {
    let mut hasher = DefaultHasher::new();
    for source in ["dldna/web", "dldna/nn/src", "data/samples/mnist"] {
        hash_folder(&paths::repository().join(source), &mut hasher)?;
    }
    let fingerprint = format!("{:016x}", hasher.finish());
    let trained = folder.join("fingerprint");
    if fs::read_to_string(&trained).ok().as_ref() != Some(&fingerprint) {
        fs::create_dir_all(folder)?;
        run_to_end(example("train_digits").arg(folder))?;
        fs::write(trained, fingerprint)?;
    }
    let script = format!(
        "const dldnaDigits = {{\n    weights: \"{weights}\",\n    exciting: {exciting},\n}};\n",
        weights = encoded(&folder.join("digits.safetensors"))?,
        exciting = fs::read_to_string(folder.join("exciting.json"))?,
    );
    fs::write(scripts.join("digits.js"), script)?;
    Ok(())
}

/// Each page as one file, for a disk and for notebooks.
pub fn write_alone(source: &Path, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    let scripts = source.join("_static");
    let style = fs::read_to_string(scripts.join("explorable.css"))?;
    let icon = encoded(&scripts.join("icon.svg"))?;
    for name in PAGES {
        let page = fs::read_to_string(source.join("explore").join(name).with_extension("md"))?;
        let script = |file: &str| {
            fs::read_to_string(scripts.join(file)).with_context(|| format!("the script {file}"))
        };
        let alone =
            alone(&page, &style, &icon, script).with_context(|| format!("the page {name}"))?;
        fs::write(folder.join(name).with_extension("html"), alone)?;
    }
    Ok(())
}

/// The HTML inside a page's Markdown as a document, with its scripts in it.
fn alone(
    page: &str,
    style: &str,
    icon: &str,
    script: impl Fn(&str) -> Result<String>,
) -> Result<String> {
    let title = page.lines().find_map(|line| line.strip_prefix("# "));
    let title = title.context("it has no title")?;
    let (_, html) = page
        .split_once("```{raw} html\n")
        .context("it has no HTML")?;
    let (html, _) = html.split_once("```").context("its HTML has no end")?;
    let mut body = String::new();
    for line in html.lines() {
        let file = line
            .strip_prefix("<script src=\"../_static/")
            .and_then(|line| line.strip_suffix("\"></script>"));
        match file {
            Some(file) => body += &format!("<script>\n{}</script>\n", script(file)?),
            None => body += &format!("{line}\n"),
        }
    }
    Ok(format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{title}</title>\n\
         <link rel=\"icon\" href=\"data:image/svg+xml;base64,{icon}\">\n\
         <style>\n:root {{ color-scheme: light dark; font-family: system-ui, sans-serif; line-height: 1.5; }}\n\
         main {{ max-width: 80rem; margin: auto; }}\n{style}</style>\n</head>\n\
         <body>\n<main>\n<h1>{title}</h1>\n{body}</main>\n</body>\n</html>\n"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_alone_holds_its_scripts() {
        let page = "# A page\n\nText.\n\n```{raw} html\n<div></div>\n<script src=\"../_static/a.js\"></script>\n```\n\nMore.\n";
        let alone = alone(page, "p {}", "", |file| Ok(format!("// {file}\n"))).unwrap();
        assert!(alone.contains("<h1>A page</h1>"), "{alone}");
        assert!(
            alone.contains("<div></div>\n<script>\n// a.js\n</script>"),
            "{alone}"
        );
        assert!(!alone.contains("More") && !alone.contains("src="));
    }

    #[test]
    fn a_page_without_html_is_refused() {
        assert!(alone("# A page\n", "", "", |_| Ok(String::new())).is_err());
    }
}
