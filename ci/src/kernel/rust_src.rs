//! The standard library's source, as far as a kernel's type inference needs it.
//!
//! Of the 34 MB that come with the toolchain, half are tables of vector instructions, and more are
//! tests. A kernel gets the outlines of `core`, `alloc` and `std`, and only once it has loaded the crate:
//! before that it evaluates `42`, for which it would read the library a first time.
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{outline, template};
use crate::paths;
use crate::toolchain::{self, Toolchain};

const CRATES: [&str; 3] = ["core", "alloc", "std"];

/// Adds the source to the toolchain if it is missing.
pub fn install(toolchain: &Toolchain) -> Result<()> {
    if source(toolchain).is_some() {
        return Ok(());
    }
    println!("Adding the standard library's source, from which the kernel infers types");
    let status = Command::new(toolchain::rustup())
        .args(["component", "add", "rust-src"])
        .current_dir(paths::repository())
        .env_remove("RUSTUP_TOOLCHAIN")
        .status();
    if !status.is_ok_and(|status| status.success()) || source(toolchain).is_none() {
        bail!(
            "the kernel infers no types without the standard library's source; run `rustup component add rust-src`"
        );
    }
    Ok(())
}

/// Where the toolchain keeps the source.
pub fn source(toolchain: &Toolchain) -> Option<PathBuf> {
    let source = toolchain
        .rustc
        .parent()?
        .parent()?
        .join("lib/rustlib/src/rust/library");
    source.is_dir().then_some(source)
}

/// What the kernels read, made once for each version of the toolchain and of the templates.
fn prepared(toolchain: &Toolchain) -> Result<PathBuf> {
    let version = toolchain
        .version
        .split_whitespace()
        .nth(1)
        .context("the compiler names no version")?;
    let name = format!("{version}-{}", template::FORMAT);
    Ok(paths::lab().join("std").join(name))
}

/// Makes the folders that kernels read: one with the source and one without.
pub fn save(toolchain: &Toolchain) -> Result<()> {
    let prepared = prepared(toolchain)?;
    if prepared.exists() {
        return Ok(());
    }
    let unfinished = prepared.with_extension("unfinished");
    fs::create_dir_all(unfinished.join("without/core"))?;
    for name in CRATES {
        let to = unfinished.join("with").join(name).join("src");
        match source(toolchain) {
            Some(source) => outline::copy(&source.join(name).join("src"), &to)?,
            None => fs::create_dir_all(to)?,
        }
    }
    fs::rename(unfinished, prepared)?;
    Ok(())
}

/// Links the folder from which a kernel reads the source to an empty one.
pub fn link_empty(kernel: &Path, toolchain: &Toolchain) -> Result<PathBuf> {
    link(kernel, &prepared(toolchain)?.join("without"))
}

/// Links that folder to the source.
pub fn link_source(kernel: &Path, toolchain: &Toolchain) -> Result<PathBuf> {
    link(kernel, &prepared(toolchain)?.join("with"))
}

/// Where the file system has no links, the kernel reads the source twice. (It does, too, where the link lies elsewhere in its
/// folder: rust-analyzer reads all of that but `target`.)
fn link(kernel: &Path, folder: &Path) -> Result<PathBuf> {
    let place = kernel.join("target/library");
    let new = kernel.join("target/library.new");
    if make_link(folder, &new).is_err() {
        return Ok(folder.with_file_name("with"));
    }
    fs::rename(new, &place)?;
    Ok(place)
}

#[cfg(unix)]
fn make_link(to: &Path, at: &Path) -> std::io::Result<()> {
    std::os::unix::fs::symlink(to, at)
}

#[cfg(not(unix))]
fn make_link(_to: &Path, _at: &Path) -> std::io::Result<()> {
    Err(std::io::ErrorKind::Unsupported.into())
}
