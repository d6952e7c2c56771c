//! `cargo site`: the web site of the book, made of the notebooks as they are committed.
use anyhow::{Context, Result, ensure};
use base64::prelude::{BASE64_STANDARD, Engine};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use walkdir::{DirEntry, WalkDir};
use wasm_bindgen_cli_support::Bindgen;

use crate::{paths, python, toolchain};

#[derive(clap::Args)]
pub struct Args {
    /// Open every page in Chromium, which has to be on PATH, as Node and npm have
    #[arg(long)]
    check: bool,
    /// Show it at http://127.0.0.1:8000 until Ctrl-C
    #[arg(long)]
    serve: bool,
}

/// The texts that are pages, besides those in `notebooks/` and `docs/`.
const PAGES: &str = include_str!("../site/pages.txt");

/// For `cargo ci`: built where Sphinx can be had, and looked at where there is a browser.
pub fn run_for_ci() -> Result<()> {
    if let Err(error) = python::SITE.install() {
        println!("The site is not built: {error:#}");
        return Ok(());
    }
    run(Args {
        check: chromium().is_some(),
        serve: false,
    })
}

pub fn run(args: Args) -> Result<()> {
    python::SITE.install()?;
    let folder = paths::repository().join("target/site");
    let (source, site) = (folder.join("source"), folder.join("html"));
    stage(&source)?;
    compile_explorables(&folder.join("wasm"), &source)?;
    run_to_end(
        python::SITE
            .python()
            .args([
                "-m",
                "sphinx",
                "--quiet",
                "--fail-on-warning",
                "--keep-going",
            ])
            .args([&source, &site]),
    )?;
    document(&site)?;
    if args.check {
        look_at(&site, &folder.join("check"))?;
    }
    println!("The site is in {}", site.display());
    if args.serve {
        println!("http://127.0.0.1:8000");
        let mut server = python::SITE.python();
        server.args(["-m", "http.server", "--bind", "127.0.0.1", "--directory"]);
        run_to_end(server.arg(&site))?;
    }
    Ok(())
}

/// Looks at every page in a browser: see `ci/site/check.mjs`.
fn look_at(site: &Path, folder: &Path) -> Result<()> {
    let chromium =
        chromium().context("there is no Chromium on PATH: `sudo apt install chromium`")?;
    for file in ["check.mjs", "package.json"] {
        copy(
            &paths::repository().join("ci/site").join(file),
            &folder.join(file),
        )?;
    }
    let npm = toolchain::on_path("npm").context("there is no npm on PATH")?;
    run_to_end(
        Command::new(npm)
            .args(["install", "--silent", "--no-audit", "--no-fund", "--prefix"])
            .arg(folder),
    )?;
    run_to_end(
        Command::new("node")
            .arg(folder.join("check.mjs"))
            .arg(site)
            .env("CHROMIUM", chromium),
    )
}

/// A browser that Playwright can lead.
pub fn chromium() -> Option<PathBuf> {
    let names = ["chromium", "chromium-browser", "google-chrome"];
    names.into_iter().find_map(toolchain::on_path)
}

/// Copies what becomes pages beside Sphinx's settings.
fn stage(source: &Path) -> Result<()> {
    if source.exists() {
        fs::remove_dir_all(source)?;
    }
    copy_folder(&paths::repository().join("ci/site"), source)?;
    copy_folder(&paths::notebooks(), &source.join("notebooks"))?;
    copy_folder(&paths::repository().join("docs"), &source.join("docs"))?;
    for page in PAGES.lines() {
        copy(&paths::repository().join(page), &source.join(page))?;
    }
    Ok(())
}

/// What the pages compute with, `dldna/web`, as one script: a page that was saved to a disk may load no other file.
fn compile_explorables(folder: &Path, source: &Path) -> Result<()> {
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
    Bindgen::new()
        .input_path(target.join(TARGET).join("release/dldna_web.wasm"))
        .no_modules(true)?
        .typescript(false)
        .remove_name_section(true)
        .generate(folder)?;
    let module = BASE64_STANDARD.encode(fs::read(folder.join("dldna_web_bg.wasm"))?);
    let photograph = fs::read(paths::repository().join("data/building.jpg"))?;
    let script = format!(
        "{glue}\nconst dldnaWeb = wasm_bindgen({{ module_or_path: Uint8Array.from(atob(\"{module}\"), (letter) => letter.charCodeAt(0)) }});\n\
         const dldnaPhotograph = \"data:image/jpeg;base64,{photograph}\";\n",
        glue = fs::read_to_string(folder.join("dldna_web.js"))?,
        photograph = BASE64_STANDARD.encode(photograph),
    );
    fs::write(source.join("_static/dldna_web.js"), script)?;
    Ok(())
}

/// `cargo doc` of both packages, below `doc/`.
fn document(site: &Path) -> Result<()> {
    run_to_end(
        Command::new("cargo")
            .args([
                "doc",
                "--quiet",
                "--no-deps",
                "-p",
                "dldna-nn",
                "-p",
                "dldna",
            ])
            .env("RUSTDOCFLAGS", "-D warnings")
            .current_dir(paths::repository()),
    )?;
    copy_folder(&paths::repository().join("target/doc"), &site.join("doc"))
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    let is_visible = |entry: &DirEntry| !entry.file_name().to_string_lossy().starts_with('.');
    for entry in WalkDir::new(from).into_iter().filter_entry(is_visible) {
        let entry = entry?;
        if entry.file_type().is_file() {
            copy(entry.path(), &to.join(entry.path().strip_prefix(from)?))?;
        }
    }
    Ok(())
}

fn copy(from: &Path, to: &PathBuf) -> Result<()> {
    fs::create_dir_all(to.parent().context("a file is in a folder")?)?;
    fs::copy(from, to).with_context(|| format!("copying {}", from.display()))?;
    Ok(())
}

fn run_to_end(command: &mut Command) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let status = command
        .status()
        .with_context(|| format!("starting {name}"))?;
    ensure!(status.success(), "{name} ended with {status}; see above");
    Ok(())
}
