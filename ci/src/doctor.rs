//! `cargo doctor`: what is missing or wrong, and the command that fixes it.
use anyhow::{Context, Result, bail, ensure};
use std::process::Command;

use crate::kernel::template::Template;
use crate::kernel::{evcxr, rust_src};
use crate::toolchain::{self, Toolchain};
use crate::{paths, python};

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

const CHECKS: [Check; 11] = [
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
        name: "C compiler",
        look: c_compiler,
        fix: "sudo apt install build-essential",
    },
    Check {
        name: "Python",
        look: python,
        fix: "sudo apt install python3",
    },
    Check {
        name: "Python's venv",
        look: venv,
        fix: "sudo apt install python3-venv",
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

fn c_compiler() -> Result<String> {
    let name = if cfg!(windows) { "link" } else { "cc" };
    let program = toolchain::on_path(name)
        .with_context(|| format!("no {name} on PATH; Rust links with it"))?;
    Ok(program.display().to_string())
}

fn python() -> Result<String> {
    Ok(python::find()?.display().to_string())
}

fn venv() -> Result<String> {
    python::check_venv(&python::find()?)?;
    Ok("works".to_owned())
}

fn kernel() -> Result<String> {
    let program = evcxr::find().with_context(|| format!("no evcxr_jupyter {}", evcxr::VERSION))?;
    Ok(program.display().to_string())
}

fn jupyterlab() -> Result<String> {
    ensure!(
        python::is_installed(),
        "missing, or not of the version in ci/requirements.txt"
    );
    Ok(python::environment().display().to_string())
}

fn template() -> Result<String> {
    let template = Template::current()?
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
    let answer = toolchain::stdout(
        Command::new("df")
            .args(["-P", "-k"])
            .arg(paths::repository()),
    )?;
    let free = free_bytes(&answer).context("df gave no number")?;
    let text = format!("{:.1} GiB free", free as f64 / (1u64 << 30) as f64);
    if free < DISK && !python::is_installed() {
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
