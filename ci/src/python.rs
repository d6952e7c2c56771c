//! JupyterLab, in a Python environment of its own.
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{lock, paths, toolchain};

/// What is installed, with exact versions.
const REQUIREMENTS: &str = include_str!("../requirements.txt");

/// The oldest Python that JupyterLab runs on.
const OLDEST: (u32, u32) = (3, 10);

/// The environment's folder.
pub fn environment() -> PathBuf {
    paths::lab().join("venv")
}

/// A program of the environment.
pub fn program(name: &str) -> PathBuf {
    let folder = if cfg!(windows) { "Scripts" } else { "bin" };
    paths::executable(&environment().join(folder), name)
}

/// The copy of the requirements that says: all of this is installed.
fn record() -> PathBuf {
    environment().join("requirements.txt")
}

/// The environment knows its own path, so it has to be made anew where the repository was moved.
fn recorded() -> String {
    format!("# in {}\n{REQUIREMENTS}", environment().display())
}

pub fn is_installed() -> bool {
    fs::read_to_string(record()).is_ok_and(|text| text == recorded())
        && program("jupyter").is_file()
}

/// Makes the environment unless it is there.
pub fn install() -> Result<()> {
    let _lock = lock::hold(
        &paths::lab().join("install.lock"),
        "Waiting for another start that installs JupyterLab",
    )?;
    if is_installed() {
        return Ok(());
    }
    let python = find()?;
    check_venv(&python)?;
    println!(
        "Installing JupyterLab for {} (once, about a minute)",
        python.display()
    );
    // What pip has fetched stays in its own cache, so starting over costs little.
    if environment().exists() {
        fs::remove_dir_all(environment())?;
    }
    let status = Command::new(&python)
        .args(["-m", "venv"])
        .arg(environment())
        .status()?;
    if !status.success() {
        bail!(
            "{} could not make {}; see above",
            python.display(),
            environment().display()
        );
    }
    let requirements = paths::lab().join("requirements.txt");
    fs::write(&requirements, REQUIREMENTS)?;
    let status = Command::new(program("python"))
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--requirement",
        ])
        .arg(&requirements)
        .status()?;
    if !status.success() {
        bail!(
            "pip could not install JupyterLab; see above. It needs the network once and about 300 MB of disk; \
             then run the same command again"
        );
    }
    fs::write(record(), recorded())?;
    Ok(())
}

/// A Python that is new enough.
pub fn find() -> Result<PathBuf> {
    let mut too_old = None;
    for name in ["python3", "python"] {
        let Some(python) = toolchain::on_path(name) else {
            continue;
        };
        let Ok(version) = version(&python) else {
            continue;
        };
        if version >= OLDEST {
            return Ok(python);
        }
        too_old = Some((python, version));
    }
    let command = install_command("python3 python3-venv", "python");
    match too_old {
        Some((python, (major, minor))) => bail!(
            "{} is Python {major}.{minor}, JupyterLab needs {}.{} or later; run `{command}`",
            python.display(),
            OLDEST.0,
            OLDEST.1
        ),
        None => bail!("there is no Python on PATH, which JupyterLab needs; run `{command}`"),
    }
}

fn version(python: &Path) -> Result<(u32, u32)> {
    let text = toolchain::stdout(
        Command::new(python).args(["-c", "import sys; print(*sys.version_info[:2])"]),
    )?;
    let mut numbers = text.split_whitespace().map(str::parse);
    let mut next = || numbers.next().context("no version")?.context("no number");
    Ok((next()?, next()?))
}

/// Debian and its like ship Python without what makes environments.
pub fn check_venv(python: &Path) -> Result<()> {
    let works = Command::new(python)
        .args(["-c", "import venv, ensurepip"])
        .output()?
        .status
        .success();
    if !works {
        let (major, minor) = version(python)?;
        bail!(
            "{} cannot make environments; run `{}`",
            python.display(),
            install_command(&format!("python{major}.{minor}-venv"), "python")
        );
    }
    Ok(())
}

fn install_command(debian: &str, homebrew: &str) -> String {
    if cfg!(target_os = "macos") {
        format!("brew install {homebrew}")
    } else if cfg!(windows) {
        "winget install Python.Python.3.13".to_owned()
    } else {
        format!("sudo apt install {debian}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_requirement_names_one_version() {
        let lines = REQUIREMENTS.lines().filter(|line| !line.starts_with('#'));
        for line in lines {
            assert!(
                line.split_once("==")
                    .is_some_and(|(name, version)| !name.is_empty() && !version.contains('*')),
                "{line}"
            );
        }
        assert!(REQUIREMENTS.contains("\njupyterlab=="));
    }
}
