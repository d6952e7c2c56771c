//! `cargo site`: the web site of the book, made of the notebooks as they are committed.
mod explorables;

use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use walkdir::{DirEntry, WalkDir};

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
    document()?;
    explorables::write(&folder, &source.join("_static"))?;
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
    copy_folder(&paths::repository().join("target/doc"), &site.join("doc"))?;
    explorables::write_alone(&source, &site.join("alone"))?;
    if args.check {
        look_at(&site, &folder)?;
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

/// Checks the types in the pages' scripts, lints them, and looks at every page in a browser: see `ci/site/check.mjs`.
fn look_at(site: &Path, folder: &Path) -> Result<()> {
    let chromium =
        chromium().context("there is no Chromium on PATH: `sudo apt install chromium`")?;
    let check = folder.join("check");
    for file in ["check.mjs", "package.json", "tsconfig.json", "globals.d.ts"] {
        copy(
            &paths::repository().join("ci/site").join(file),
            &check.join(file),
        )?;
    }
    let npm = toolchain::on_path("npm").context("there is no npm on PATH")?;
    run_to_end(
        Command::new(&npm)
            .args(["install", "--silent", "--no-audit", "--no-fund", "--prefix"])
            .arg(&check),
    )?;
    run_to_end(
        Command::new(npm)
            .args(["run", "--silent", "scripts"])
            .current_dir(&check),
    )?;
    run_to_end(
        Command::new("node")
            .arg(check.join("check.mjs"))
            .arg(site)
            .arg(folder.join("digits/numbers.json"))
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

/// `cargo doc` of both packages, to which the pages link.
fn document() -> Result<()> {
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
    )
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
