//! `cargo doctor`: what is missing or wrong, and the command that fixes it.
use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::kernel::features::Features;
use crate::kernel::template::Template;
use crate::kernel::{evcxr, manifest, rust_src};
use crate::toolchain::{self, Toolchain};
use crate::{lock, paths, python};

#[derive(clap::Args)]
pub struct Args {}

/// What a full set-up takes, with room for the build of the kernel.
const DISK: u64 = 5 << 30;

/// One thing that has to be right: what it is, what is found, and what to run if it is wrong.
struct Check {
    name: &'static str,
    look: fn() -> Result<String>,
    fix: &'static str,
}

const CHECKS: [Check; 12] = [
    Check {
        name: "toolchain",
        look: pinned_toolchain,
        fix: "rustup toolchain install",
    },
    Check {
        name: "compiler in use",
        look: compiler_in_use,
        fix: "unset RUSTUP_TOOLCHAIN; rustup override unset; and leave out +nightly",
    },
    Check {
        name: "library source",
        look: library_source,
        fix: "rustup component add rust-src",
    },
    Check {
        name: "folder",
        look: lab_folder,
        fix: if cfg!(windows) {
            "$env:DLDNA_LAB = 'C:\\dldna-lab'"
        } else {
            "export DLDNA_LAB=$HOME/dldna-lab"
        },
    },
    Check {
        name: "folder's name",
        look: path_for_cargo,
        fix: "rename the folder of the repository",
    },
    Check {
        name: "C compiler",
        look: compile,
        fix: if cfg!(windows) {
            "winget install Microsoft.VisualStudio.2022.BuildTools, with the workload Desktop development with C++"
        } else if cfg!(target_os = "macos") {
            "xcode-select --install"
        } else {
            "sudo apt install build-essential"
        },
    },
    Check {
        name: "Python",
        look: python,
        fix: python::INSTALL,
    },
    Check {
        name: "Rust kernel",
        look: kernel,
        fix: "cargo lab",
    },
    Check {
        name: "JupyterLab",
        look: jupyterlab,
        fix: "cargo lab",
    },
    Check {
        name: "crate, built",
        look: template,
        fix: "cargo lab",
    },
    Check {
        name: "data samples",
        look: data,
        fix: "git checkout -- data",
    },
    Check {
        name: "disk",
        look: disk,
        fix: "free some disk space, for example with `cargo clean`",
    },
];

pub fn run(_args: Args) -> Result<()> {
    let mut wrong = 0;
    for check in &CHECKS {
        match (check.look)() {
            Ok(found) => println!("ok     {:16} {found}", check.name),
            Err(error) => {
                wrong += 1;
                println!("WRONG  {:16} {error:#}", check.name);
                println!("       {:16} -> {}", "", check.fix);
            }
        }
    }
    ensure!(
        wrong == 0,
        "{wrong} of {} things are missing or wrong",
        CHECKS.len()
    );
    println!("Everything is in place.");
    Ok(())
}

fn pinned_toolchain() -> Result<String> {
    let toolchain = Toolchain::find()?;
    let version = toolchain
        .version
        .lines()
        .next()
        .context("the compiler names no version")?;
    let pinned = toolchain::pinned_channel()?;
    ensure!(
        version.contains(&pinned),
        "{version} instead of {pinned}, which goes with the kernel"
    );
    Ok(version.to_owned())
}

/// What a plain `cargo` uses here, by the reader's own settings.
fn compiler_in_use() -> Result<String> {
    let version = toolchain::stdout(
        Command::new("rustc")
            .arg("--version")
            .current_dir(paths::repository()),
    )?;
    ensure!(
        !version.contains("nightly"),
        "{}, with which dfdx 0.13 does not compile",
        version.trim()
    );
    Ok(version.trim().to_owned())
}

fn library_source() -> Result<String> {
    let source = rust_src::source(&Toolchain::find()?)
        .context("missing; the kernel infers types from it")?;
    Ok(source.display().to_string())
}

/// Writes, locks and links as a kernel does.
fn lab_folder() -> Result<String> {
    let lab = paths::writable_lab()?;
    let folder = tempfile::tempdir_in(lab)?;
    let file = folder.path().join("file");
    let lock = lock::hold(&file, "")?;
    let locks = lock::is_held(&file)?.is_some();
    drop(lock);
    let links = fs::hard_link(&file, folder.path().join("link")).is_ok();
    let mut text = lab.display().to_string();
    if !links {
        text += ", without hard links: each kernel takes some hundred MB of disk";
    }
    if !locks {
        text += ", without locks: start one `cargo lab` at a time";
    }
    Ok(text)
}

/// Has cargo read the line that makes the crate a dependency.
fn path_for_cargo() -> Result<String> {
    let folder = tempfile::tempdir()?;
    fs::create_dir(folder.path().join("src"))?;
    fs::write(folder.path().join("src/lib.rs"), "")?;
    fs::write(folder.path().join("Cargo.toml"), manifest::with_crate())?;
    let mut cargo = Toolchain::find()?.cargo_command();
    cargo
        .args([
            "metadata",
            "--no-deps",
            "--offline",
            "--format-version",
            "1",
        ])
        .current_dir(folder.path());
    let answer: serde_json::Value = serde_json::from_str(&toolchain::stdout(&mut cargo)?)?;
    let read = &answer["packages"][0]["dependencies"][0]["path"];
    let crate_folder = paths::dldna();
    ensure!(
        read.as_str().map(Path::new) == Some(&crate_folder),
        "cargo reads {read} in place of {}",
        crate_folder.display()
    );
    Ok(crate_folder.display().to_string())
}

/// Compiles a program, which rustc links with the C compiler, and starts it.
fn compile() -> Result<String> {
    let folder = tempfile::tempdir_in(paths::writable_lab()?)?;
    fs::write(
        folder.path().join("main.rs"),
        "fn main() { print!(\"it runs\") }",
    )?;
    let program = paths::executable(folder.path(), "main");
    let mut rustc = Command::new(Toolchain::find()?.rustc);
    rustc.args(["main.rs", "-o"]).arg(&program);
    toolchain::stdout(rustc.current_dir(folder.path()))
        .context("rustc compiles no program; it links with the C compiler")?;
    let said = toolchain::stdout(&mut Command::new(&program))
        .context("a program that was compiled there does not start")?;
    ensure!(
        said == "it runs",
        "the program that was compiled says {said:?}"
    );
    // On Windows rustc finds the linker by itself, and `link` on PATH may be another program.
    let compiler = toolchain::on_path("cc").filter(|_| !cfg!(windows));
    Ok(compiler.map_or("works".to_owned(), |path| path.display().to_string()))
}

fn python() -> Result<String> {
    Ok(python::find()?.display().to_string())
}

fn kernel() -> Result<String> {
    let program = evcxr::find().with_context(|| format!("no evcxr_jupyter {}", evcxr::VERSION))?;
    toolchain::stdout(Command::new(&program).arg("--help"))?;
    Ok(program.display().to_string())
}

fn jupyterlab() -> Result<String> {
    python::LAB.check_installed()?;
    let mut jupyter = python::LAB.python();
    let version = toolchain::stdout(jupyter.args(["-m", "jupyterlab", "--version"]))?;
    let folder = python::LAB.folder();
    Ok(format!("{} in {}", version.trim(), folder.display()))
}

fn template() -> Result<String> {
    let template = Template::current(&Features::default())?
        .context("not yet, or the crate has changed; the next kernel would build it")?;
    Ok(template.directory.display().to_string())
}

fn data() -> Result<String> {
    let folder = paths::repository().join("data");
    for name in ["samples", "building.jpg"] {
        ensure!(
            folder.join(name).exists(),
            "{} is missing",
            folder.join(name).display()
        );
    }
    Ok(folder.display().to_string())
}

fn disk() -> Result<String> {
    if cfg!(windows) {
        return Ok("not looked at on Windows".to_owned());
    }
    let lab = paths::lab();
    let existing = lab.ancestors().find(|folder| folder.exists());
    let existing = existing.context("the folder has no parent")?;
    let answer = toolchain::stdout(Command::new("df").args(["-P", "-k"]).arg(existing))?;
    let free = free_bytes(&answer).context("df gave no number")?;
    let text = format!("{:.1} GiB free", free as f64 / (1u64 << 30) as f64);
    if free < DISK && python::LAB.check_installed().is_err() {
        bail!("{text}; setting everything up takes {} GiB", DISK >> 30);
    }
    ensure!(free > DISK / 5, "{text}");
    Ok(text)
}

/// The fourth column of the second line, in units of 1024 bytes.
fn free_bytes(df: &str) -> Option<u64> {
    let available = df.lines().nth(1)?.split_whitespace().nth(3)?;
    Some(available.parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_space_is_read_from_df() {
        let df = "Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/vda 263174212 14680064 81788928 16% /\n";
        assert_eq!(free_bytes(df), Some(81788928 * 1024));
        assert_eq!(free_bytes(""), None);
    }
}
