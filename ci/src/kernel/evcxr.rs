//! The program behind each notebook: `evcxr_jupyter`, the published one, unchanged.
use anyhow::{Context, Result, bail, ensure};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::steps::{self, say};
use crate::toolchain::{self, Toolchain};
use crate::{lock, paths};

/// The version that goes with the toolchain in `rust-toolchain.toml`.
pub const VERSION: &str = "0.22.0";

const NAME: &str = "evcxr_jupyter";

/// Parts of it that are left without optimisation, which takes a fifth off the build: what only an editor calls, and what waits for
/// messages, files and other programs. Types are inferred by others. (Not its own package, which brings the allocator.)
const NOT_OPTIMISED: [&str; 16] = [
    "cargo_metadata",
    "chrono",
    "evcxr",
    "notify",
    "pulldown-cmark",
    "ra_ap_hir",
    "ra_ap_ide",
    "ra_ap_ide_assists",
    "ra_ap_ide_completion",
    "ra_ap_ide_db",
    "ra_ap_ide_diagnostics",
    "ra_ap_ide_ssr",
    "ra_ap_project_model",
    "ra_ap_vfs-notify",
    "tokio",
    "zeromq",
];

/// The program in `.lab`, in cargo's own folder or on PATH, if it has exactly our version.
pub fn find() -> Option<PathBuf> {
    let mut roots = vec![paths::lab().to_owned()];
    // A program on Windows finds what lies beside it before what is on PATH: rustup, where ours has to answer.
    if !cfg!(windows) {
        roots.extend(toolchain::cargo_home());
        let on_path = toolchain::on_path(NAME);
        roots.extend(on_path.and_then(|program| Some(program.parent()?.parent()?.to_owned())));
    }
    let root = roots.into_iter().find(|root| has_version(root))?;
    Some(paths::executable(&root.join("bin"), NAME))
}

/// The program cannot tell its version, but `cargo install` keeps a list of what it installed.
fn has_version(root: &Path) -> bool {
    let installed = std::fs::read_to_string(root.join(".crates.toml")).unwrap_or_default();
    installed.contains(&format!("\"{NAME} {VERSION} "))
        && paths::executable(&root.join("bin"), NAME).is_file()
}

/// The program, once who may be building it has ended.
pub fn installed() -> Result<PathBuf> {
    let _lock = lock(paths::writable_lab()?)?;
    find().context("the Rust kernel is missing; run `cargo lab`")
}

fn lock(lab: &Path) -> Result<File> {
    lock::hold(
        &lab.join("install.lock"),
        "Waiting for another start that installs the kernel",
    )
}

/// Builds the program into `.lab` unless it is there. An interrupted build goes on where it was.
pub fn install() -> Result<PathBuf> {
    let lab = paths::writable_lab()?;
    let _lock = lock(lab)?;
    if let Some(program) = find() {
        return Ok(program);
    }
    if let Some(binstall) = toolchain::on_path("cargo-binstall") {
        match fetch(&binstall, lab) {
            Ok(program) => return Ok(program),
            Err(error) => say(&format!(
                "`cargo binstall` gives no {NAME} {VERSION} that runs here: {}",
                format!("{error:#}").lines().last().unwrap_or_default()
            )),
        }
    }
    say(&format!(
        "Building the Rust kernel, {NAME} {VERSION} (once, about 5 minutes)"
    ));
    let build = lab.join("evcxr-build");
    let toolchain = Toolchain::find()?;
    let mut cargo = toolchain.cargo_command();
    cargo
        // By its real path: rustup's proxy would obey the toolchain files that some packages ship.
        .env("RUSTC", &toolchain.rustc)
        // Optimisation across the parts of a crate takes a quarter of the build.
        .env("CARGO_PROFILE_RELEASE_LTO", "off")
        .args([
            "install",
            "--force",
            "--locked",
            "--version",
            VERSION,
            NAME,
            "--root",
        ])
        .arg(lab)
        .arg("--target-dir")
        .arg(&build)
        .args(NOT_OPTIMISED.iter().flat_map(|package| {
            let setting = format!("profile.release.package.{package}.opt-level=0");
            ["--config".to_owned(), setting]
        }))
        .current_dir(paths::repository());
    if !steps::run_cargo("Rust kernel", &mut cargo)? {
        bail!(
            "the kernel could not be built; see above. Without a network, or with a full disk, fix that first. \
             What is built so far is kept: run the same command again"
        );
    }
    std::fs::remove_dir_all(&build)?;
    find().context("cargo install reported success, but the kernel's program is missing")
}

/// Has `cargo binstall` fetch the published program: seconds instead of minutes. What it installs it lists as `cargo install` does.
fn fetch(binstall: &Path, lab: &Path) -> Result<PathBuf> {
    let version = format!("={VERSION}");
    let mut fetch = Command::new(binstall);
    fetch
        .args(["--no-confirm", "--disable-strategies", "compile"])
        .args(["--version", &version, "--root"])
        .arg(lab)
        .arg(NAME);
    toolchain::stdout(&mut fetch)?;
    let program = paths::executable(&lab.join("bin"), NAME);
    ensure!(has_version(lab), "it has installed something else");
    if let Err(error) = toolchain::stdout(Command::new(&program).arg("--help")) {
        std::fs::remove_file(&program)?; // or the next start would take it for ours
        return Err(error.context("it does not start"));
    }
    Ok(program)
}

#[cfg(all(test, unix))] // the programs are scripts
mod tests {
    use super::*;

    /// Another process writes it: while a test beside this one starts a program, no file can be run that this process has open.
    fn script(path: &Path, text: &str) {
        let write = r#"printf '#!/bin/sh\n%s' "$1" > "$0" && chmod +x "$0""#;
        let mut shell = Command::new("sh");
        shell.args(["-c", write]).arg(path).arg(text);
        assert!(shell.status().unwrap().success());
    }

    /// What comes of a `cargo binstall` that installs this version of a program which ends with that status.
    fn fetched(version: &str, status: u8) -> Result<PathBuf> {
        let folder = tempfile::tempdir()?;
        let (binstall, lab) = (
            folder.path().join("cargo-binstall"),
            folder.path().join("lab"),
        );
        script(
            &binstall,
            &format!(
                r#"[ "$*" = "--no-confirm --disable-strategies compile --version ={VERSION} --root {lab} {NAME}" ] || exit 76
mkdir -p {lab}/bin && cd {lab}
printf '#!/bin/sh\nexit {status}\n' > bin/{NAME} && chmod +x bin/{NAME}
echo '"{NAME} {version} (registry+https://github.com/rust-lang/crates.io-index)" = ["{NAME}"]' > .crates.toml
"#,
                lab = lab.display()
            ),
        );
        fetch(&binstall, &lab)
    }

    #[test]
    fn a_published_program_is_taken_if_it_is_the_version_that_we_want_and_starts() {
        assert!(
            fetched(VERSION, 0)
                .unwrap()
                .ends_with("lab/bin/evcxr_jupyter")
        );
        let older = fetched("0.21.1", 0).unwrap_err();
        assert_eq!(older.to_string(), "it has installed something else");
        let broken = fetched(VERSION, 127).unwrap_err();
        assert_eq!(broken.to_string(), "it does not start");
    }

    #[test]
    fn without_a_published_program_it_is_said_why() {
        let folder = tempfile::tempdir().unwrap();
        let binstall = folder.path().join("cargo-binstall");
        script(&binstall, "echo no such package >&2\nexit 94\n");
        let error = fetch(&binstall, folder.path()).unwrap_err();
        assert!(error.to_string().ends_with("no such package"), "{error}");
    }
}
