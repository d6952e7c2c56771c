//! `cargo site`: the web site of the book, made of the notebooks as they are committed.
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use walkdir::{DirEntry, WalkDir};

use crate::{paths, python};

#[derive(clap::Args)]
pub struct Args {
    /// Show it at http://127.0.0.1:8000 until Ctrl-C
    #[arg(long)]
    serve: bool,
}

/// The texts that are pages, besides `notebooks/`.
const PAGES: [&str; 8] = [
    "README.md",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "ci/README.md",
    "data/README.md",
    "dldna/nn/README.md",
    "docs/teaching.md",
];

pub fn run(args: Args) -> Result<()> {
    python::SITE.install()?;
    let folder = paths::repository().join("target/site");
    let (source, site) = (folder.join("source"), folder.join("html"));
    stage(&source)?;
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
    println!("The site is in {}", site.display());
    if args.serve {
        println!("http://127.0.0.1:8000");
        let mut server = python::SITE.python();
        server.args(["-m", "http.server", "--bind", "127.0.0.1", "--directory"]);
        run_to_end(server.arg(&site))?;
    }
    Ok(())
}

/// Copies what becomes pages beside Sphinx's settings.
fn stage(source: &Path) -> Result<()> {
    if source.exists() {
        fs::remove_dir_all(source)?;
    }
    copy_folder(&paths::repository().join("ci/site"), source)?;
    copy_folder(&paths::notebooks(), &source.join("notebooks"))?;
    for page in PAGES {
        copy(&paths::repository().join(page), &source.join(page))?;
    }
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
