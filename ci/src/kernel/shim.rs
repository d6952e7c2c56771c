//! What a kernel gets when it calls `cargo` or `rustup`.
//!
//! The kernel's program is the published one; what makes ours quick is what it is told. In a
//! kernel's environment this program comes before the real cargo and rustup. It answers at once
//! what is known since the template was built, and passes everything else on.
use anyhow::{Context, Result};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::SystemTime;

use super::template::{self, Template};
use super::{calls, manifest, metadata, replay, rust_src, stdin};
use crate::toolchain::{self, Toolchain};
use crate::{paths, process};

/// The environment variable that names a kernel's folder. Where it is set, this program can be a shim.
pub const KERNEL: &str = "DLDNA_KERNEL";

/// The environment variable that names the template of a kernel's folder.
const TEMPLATE: &str = "DLDNA_TEMPLATE";

/// Puts the shims into a kernel's environment.
pub fn install(kernel: &mut Command, folder: &Path, template: &Template) -> Result<()> {
    let home = paths::lab().join("shim");
    let programs = home.join("bin");
    fs::create_dir_all(&programs)?;
    let this = std::env::current_exe()?;
    for name in ["cargo", "rustup"] {
        paths::put_in_place(&this, &paths::executable(&programs, name))?;
    }
    search_first(kernel, "PATH", &[programs])?;
    kernel
        .env(paths::REPOSITORY, paths::repository())
        .env(paths::LAB, paths::lab())
        .env(KERNEL, folder)
        .env(TEMPLATE, &template.directory)
        // Rust-analyzer looks for cargo here first. The real cargo gets the real folder back.
        .env("CARGO_HOME", home)
        .env("RUSTC", &template.toolchain.rustc);
    if let Some(home) = toolchain::cargo_home() {
        kernel.env(CARGO_HOME, home);
    }
    Ok(())
}

/// Puts folders at the beginning of a list of folders in a program's environment.
pub fn search_first(program: &mut Command, variable: &str, folders: &[PathBuf]) -> Result<()> {
    let set = program.get_envs().find(|(name, _)| *name == variable);
    let list = match set {
        Some((_, list)) => list.map(OsStr::to_owned),
        None => std::env::var_os(variable),
    };
    let list = list.unwrap_or_default();
    let folders = folders.iter().cloned().chain(std::env::split_paths(&list));
    program.env(variable, std::env::join_paths(folders)?);
    Ok(())
}

/// The reader's own CARGO_HOME, under another name.
const CARGO_HOME: &str = "DLDNA_CARGO_HOME";

/// What the program was called with.
fn arguments() -> Vec<OsString> {
    std::env::args_os().skip(1).collect()
}

fn toolchain_of(kernel: &Path) -> Result<Toolchain> {
    Ok(template(kernel)?.toolchain)
}

/// What the kernel's folder is a copy of.
fn template(kernel: &Path) -> Result<Template> {
    Template::read(kernel)?.context("this kernel's folder is gone; restart the kernel")
}

/// The crate's features, for cargo: as long as the kernel depends on the crate.
fn features(kernel: &Path) -> Result<Vec<String>> {
    let written = manifest::written(kernel).unwrap_or_default();
    if !written.contains("\ndldna = ") {
        return Ok(Vec::new());
    }
    Ok(template(kernel)?.features.for_cargo())
}

/// Acts as `rustup` for a kernel.
pub fn rustup(kernel: &Path) -> Result<ExitCode> {
    let arguments = arguments();
    let words: Vec<&str> = arguments.iter().filter_map(|it| it.to_str()).collect();
    match words[..] {
        ["which", "cargo"] => {
            let this = std::env::current_exe()?;
            println!(
                "{}",
                paths::executable(this.parent().context("no folder")?, "cargo").display()
            );
        }
        ["which", "rustc"] => println!("{}", toolchain_of(kernel)?.rustc.display()),
        // Rust-analyzer wants the standard library's source; the kernel has it or does without.
        ["component", "add", ..] => return Ok(ExitCode::FAILURE),
        _ => {
            let mut rustup = Command::new(real_rustup()?);
            rustup.args(arguments);
            return pass_on(rustup);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The real rustup, behind this shim on PATH.
fn real_rustup() -> Result<PathBuf> {
    let this = std::env::current_exe()?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    behind(&this, "rustup", &path).context("no rustup on PATH")
}

/// The first program of this name that is not in the folder of this one, under whatever name the folder stands on PATH: a
/// shim that found itself would call itself for ever.
fn behind(this: &Path, name: &str, path: &OsStr) -> Option<PathBuf> {
    let own = this.parent()?.canonicalize().ok();
    std::env::split_paths(path)
        .filter(|directory| directory.canonicalize().ok() != own)
        .map(|directory| paths::executable(&directory, name))
        .find(|program| program.is_file())
}

/// Acts as `cargo` for a kernel.
pub fn cargo(kernel: &Path) -> Result<ExitCode> {
    let arguments = arguments();
    let words: Vec<&str> = arguments.iter().filter_map(|it| it.to_str()).collect();
    match words[..] {
        // Rust-analyzer asks these of cargo first and then of rustc, which answers ten times faster.
        ["rustc", "-Z", "unstable-options", "--print", ..]
        | ["locate-project", "--workspace", ..]
        | ["-Z", "unstable-options", "config", "get", ..] => Ok(ExitCode::FAILURE),
        // The kernel asks whether a dependency exists, rust-analyzer asks for all packages.
        ["metadata", ..] => answer_metadata(kernel, &arguments),
        ["build" | "check", ..] => build(kernel, &arguments),
        _ => pass_on(real_cargo(kernel, arguments)?),
    }
}

/// A cell, or what the kernel needs checked. To check would mean to check all packages below the
/// crate first, for minutes; built they are already.
fn build(kernel: &Path, arguments: &[OsString]) -> Result<ExitCode> {
    let source = fs::read_to_string(kernel.join("src/lib.rs"))?;
    if let Some(refusal) = stdin::refusal(&source) {
        eprintln!("{refusal}");
        return Ok(ExitCode::FAILURE);
    }
    let begin = SystemTime::now();
    let template = std::env::var_os(TEMPLATE).map(PathBuf::from);
    let toolchain = toolchain_of(kernel)?;
    if let Some(compiles) = replay::compile(kernel, &toolchain, template.as_deref(), &source)? {
        if let Some(file) = std::env::var_os(calls::FILE) {
            calls::note(Path::new(&file), begin)?;
        }
        return Ok(exit_code(compiles));
    }
    if let Some(template) = template {
        template::complete_for_cargo(&template, kernel)?;
    }
    let arguments = std::iter::once(OsString::from("build")).chain(arguments[1..].to_vec());
    let mut cargo = real_cargo(kernel, arguments)?;
    // By the name that the kernel has for its folder: cargo would take the one that a link leads to, and tell it.
    let target = kernel.join("target");
    cargo
        .env("CARGO_TARGET_DIR", &target)
        .env("CARGO_BUILD_BUILD_DIR", &target)
        .args(features(kernel)?);
    pass_on(cargo)
}

fn real_cargo(
    kernel: &Path,
    arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
) -> Result<Command> {
    let mut command = toolchain_of(kernel)?.cargo_command();
    command.args(arguments).env_remove("CARGO_HOME");
    if let Ok(flags) = std::env::var("RUSTFLAGS") {
        command.env("RUSTFLAGS", without_linker(&flags));
    }
    if let Some(home) = std::env::var_os(CARGO_HOME) {
        command.env("CARGO_HOME", home);
    }
    Ok(command)
}

/// The compiler's flags without the linker that the kernel's program asks for where `lld` is on PATH. The template has
/// been built without, and with other flags cargo would build all packages anew.
fn without_linker(flags: &str) -> String {
    let flags = flags.split_whitespace();
    let kept: Vec<&str> = flags
        .filter(|flag| *flag != "-Clink-arg=-fuse-ld=lld")
        .collect();
    kept.join(" ")
}

fn answer_metadata(kernel: &Path, arguments: &[OsString]) -> Result<ExitCode> {
    let asked_by_rust_analyzer = arguments.iter().any(|it| it == "--filter-platform");
    let whole = !arguments.iter().any(|it| it == "--no-deps");
    if !asked_by_rust_analyzer {
        // The kernel adds a dependency: from here on types are asked for.
        rust_src::link_source(kernel, &toolchain_of(kernel)?)?;
    }
    let written = manifest::written(kernel).unwrap_or_default();
    if asked_by_rust_analyzer && written == manifest::with_crate() {
        print!("{}", metadata::saved(kernel)?);
        return Ok(ExitCode::SUCCESS);
    }
    if asked_by_rust_analyzer && written == manifest::without_crate() {
        print!("{}", metadata::saved_without_crate(kernel)?);
        return Ok(ExitCode::SUCCESS);
    }
    if !asked_by_rust_analyzer && written.contains(&manifest::dependency()) {
        println!("{{}}");
        return Ok(ExitCode::SUCCESS);
    }
    let output = real_cargo(kernel, arguments)?
        .args(features(kernel)?)
        .stderr(Stdio::inherit())
        .output()?;
    let answer = String::from_utf8(output.stdout)?;
    if output.status.success() && asked_by_rust_analyzer && whole {
        println!("{}", metadata::pruned(kernel, &answer)?);
    } else {
        print!("{answer}");
    }
    Ok(exit_code(output.status.success()))
}

/// Becomes the real program.
fn pass_on(command: Command) -> Result<ExitCode> {
    let status = process::become_program(command)?;
    Ok(exit_code(status.success()))
}

fn exit_code(success: bool) -> ExitCode {
    if success {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_searched_before_those_that_were_set() {
        let mut program = Command::new("kernel");
        program.env("PATH", "/usr/bin");
        for folders in [&["/deps", "/library"][..], &["/shim"]] {
            let folders: Vec<PathBuf> = folders.iter().map(PathBuf::from).collect();
            search_first(&mut program, "PATH", &folders).unwrap();
        }
        let (_, path) = program.get_envs().next().unwrap();
        let path: Vec<PathBuf> = std::env::split_paths(path.unwrap()).collect();
        assert_eq!(
            path,
            ["/shim", "/deps", "/library", "/usr/bin"].map(PathBuf::from)
        );
    }

    #[test]
    fn a_shim_does_not_find_itself() {
        let place = tempfile::tempdir().unwrap();
        let [shims, real] = ["shims", "real"].map(|name| place.path().join(name));
        for folder in [&shims, &real] {
            fs::create_dir(folder).unwrap();
            fs::write(paths::executable(folder, "rustup"), "").unwrap();
        }
        let found = |first: &Path| {
            let path = std::env::join_paths([first, &real]).unwrap();
            behind(&paths::executable(&shims, "rustup"), "rustup", &path)
        };
        let expected = Some(paths::executable(&real, "rustup"));
        assert_eq!(found(&shims), expected);
        // The same folder by another name, as where a link leads to the lab.
        assert_eq!(found(&real.join("../shims")), expected);
    }

    #[test]
    fn flags_are_those_of_the_template_with_and_without_lld() {
        for flags in [
            "-Cprefer-dynamic",
            "-Cprefer-dynamic -Clink-arg=-fuse-ld=lld",
        ] {
            assert_eq!(without_linker(flags), super::super::template::FLAGS);
        }
        let asked = "-Cprefer-dynamic -Clink-arg=-fuse-ld=lld -Zcodegen-backend=cranelift";
        assert_eq!(
            without_linker(asked),
            "-Cprefer-dynamic -Zcodegen-backend=cranelift"
        );
    }
}
