//! JupyterLab, in a Python environment of its own.
use anyhow::{Context, Result, anyhow, bail, ensure};
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

/// Whether JupyterLab starts, and in the version that we want.
pub fn check_installed() -> Result<()> {
    ensure!(
        fs::read_to_string(record()).is_ok_and(|text| text == recorded()),
        "not installed here, or not in the versions of ci/requirements.txt"
    );
    // As cheap as a start of Python: the environment of a Python that was upgraded finds no packages.
    let found = toolchain::stdout(python(&program("python")).args(["-c", FIND_JUPYTERLAB]))
        .context("its Python does not start or has been upgraded")?;
    ensure!(
        found.trim() == "True",
        "its Python finds no JupyterLab: it has been upgraded, or pip installs elsewhere (see `pip config list`)"
    );
    Ok(())
}

const FIND_JUPYTERLAB: &str =
    "import importlib.util as u; print(all(map(u.find_spec, ['jupyterlab', 'nbformat'])))";

/// Python without the reader's own packages and settings, which are for another Python.
pub fn python(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.arg("-I");
    command
}

/// What pip may be told from outside: how to reach packages. All else, such as `PIP_USER`, says where to install them.
fn is_about_the_network(variable: &str) -> bool {
    const NAMES: [&str; 18] = [
        "PIP_CACHE_DIR",
        "PIP_CERT",
        "PIP_CLIENT_CERT",
        "PIP_CONFIG_FILE",
        "PIP_DEFAULT_TIMEOUT",
        "PIP_EXTRA_INDEX_URL",
        "PIP_FIND_LINKS",
        "PIP_INDEX_URL",
        "PIP_KEYRING_PROVIDER",
        "PIP_NO_CACHE_DIR",
        "PIP_NO_INDEX",
        "PIP_NO_INPUT",
        "PIP_PROXY",
        "PIP_RETRIES",
        "PIP_TIMEOUT",
        "PIP_TRUSTED_HOST",
        "PIP_USE_DEPRECATED",
        "PIP_USE_FEATURE",
    ];
    NAMES.contains(&variable)
}

fn pip() -> Command {
    let mut command = python(&program("python"));
    for (name, _) in std::env::vars_os() {
        if let Some(name) = name.to_str()
            && name.starts_with("PIP_")
            && !is_about_the_network(name)
        {
            command.env_remove(name);
        }
    }
    command.args(["-m", "pip", "--disable-pip-version-check"]);
    command
}

/// Makes the environment unless it is there.
pub fn install() -> Result<()> {
    let _lock = lock::hold(
        &paths::lab().join("install.lock"),
        "Waiting for another start that installs JupyterLab",
    )?;
    let Err(missing) = check_installed() else {
        return Ok(());
    };
    let found = find()?;
    if environment().exists() {
        println!("JupyterLab is installed anew: {missing:#}");
        fs::remove_dir_all(environment())?; // pip keeps what it has fetched in its own cache
    }
    println!(
        "Installing JupyterLab for {} (once, about a minute)",
        found.display()
    );
    let status = python(&found)
        .args(["-m", "venv"])
        .arg(environment())
        .status()?;
    ensure!(
        status.success(),
        "{} could not make {}; see above",
        found.display(),
        environment().display()
    );
    let requirements = paths::lab().join("requirements.txt");
    fs::write(&requirements, REQUIREMENTS)?;
    let status = pip()
        .args(["install", "--quiet", "--no-user", "--requirement"])
        .arg(&requirements)
        .status()?;
    ensure!(
        status.success(),
        "pip could not install JupyterLab; see above. It needs the network once and about 300 MB of disk; \
         then run the same command again"
    );
    fs::write(record(), recorded())?;
    check_installed()
}

/// A Python that is new enough and can make environments. The newest may stand beside an older `python3`.
pub fn find() -> Result<PathBuf> {
    let newer = (OLDEST.1..30).rev().map(|minor| format!("python3.{minor}"));
    let names = ["python3", "python"].map(str::to_owned);
    let mut problem = None;
    for name in names.into_iter().chain(newer) {
        for program in toolchain::all_on_path(&name) {
            match check(&program) {
                Ok(()) => return Ok(program),
                Err(error) => problem = problem.or(Some(error)),
            }
        }
    }
    let command = install_command("python3 python3-venv", "python");
    Err(problem.unwrap_or_else(|| {
        anyhow!("there is no Python on PATH, which JupyterLab needs; run `{command}`")
    }))
}

fn check(python: &Path) -> Result<()> {
    let version = version(python)?;
    ensure!(
        version >= OLDEST,
        "{} is Python {}.{}, JupyterLab needs {}.{} or later; run `{}`",
        python.display(),
        version.0,
        version.1,
        OLDEST.0,
        OLDEST.1,
        install_command("python3 python3-venv", "python")
    );
    check_venv(python)
}

fn version(program: &Path) -> Result<(u32, u32)> {
    let print_version = "import sys; print(*sys.version_info[:2])";
    let text = toolchain::stdout(python(program).args(["-c", print_version]))?;
    let mut numbers = text.split_whitespace().map(str::parse);
    let mut next = || numbers.next().context("no version")?.context("no number");
    Ok((next()?, next()?))
}

/// Debian and its like ship Python without what makes environments.
fn check_venv(program: &Path) -> Result<()> {
    let works = python(program)
        .args(["-c", "import venv, ensurepip"])
        .output()?
        .status
        .success();
    if !works {
        let (major, minor) = version(program)?;
        bail!(
            "{} cannot make environments; run `{}`",
            program.display(),
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
