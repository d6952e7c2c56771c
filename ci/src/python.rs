//! Environments of Python: one for JupyterLab, one for the web site.
use anyhow::{Context, Result, anyhow, bail, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::steps::say;
use crate::{lock, paths, toolchain};

/// The oldest Python that JupyterLab runs on.
const OLDEST: (u32, u32) = (3, 10);

/// Python packages of exact versions, in a folder of their own below `.lab`.
#[derive(Debug)]
pub struct Environment {
    /// The folder's name.
    folder: &'static str,
    /// What is installed, a package a line.
    requirements: &'static str,
    /// Modules that are there if it is whole.
    modules: &'static str,
    /// What it is for, in a sentence.
    purpose: &'static str,
}

/// JupyterLab.
pub const LAB: Environment = Environment {
    folder: "venv",
    requirements: include_str!("../requirements.txt"),
    modules: "['jupyterlab', 'nbformat']",
    purpose: "JupyterLab",
};

/// What makes the web site.
pub const SITE: Environment = Environment {
    folder: "site",
    requirements: include_str!("../site/requirements.txt"),
    modules: "['sphinx', 'myst_nb', 'sphinx_book_theme']",
    purpose: "Sphinx",
};

impl Environment {
    /// Its folder.
    pub fn folder(&self) -> PathBuf {
        paths::lab().join(self.folder)
    }

    /// A program of it.
    pub fn program(&self, name: &str) -> PathBuf {
        let folder = if cfg!(windows) { "Scripts" } else { "bin" };
        paths::executable(&self.folder().join(folder), name)
    }

    /// Its Python.
    pub fn python(&self) -> Command {
        python(&self.program("python"))
    }

    /// The copy of the requirements that says: all of this is installed.
    fn record(&self) -> PathBuf {
        self.folder().join("requirements.txt")
    }

    /// The environment knows its own path, so it has to be made anew where the repository was moved.
    fn recorded(&self) -> String {
        format!("# in {}\n{}", self.folder().display(), self.requirements)
    }

    /// Whether all of it is there, in the versions that we want.
    pub fn check_installed(&self) -> Result<()> {
        ensure!(
            fs::read_to_string(self.record()).is_ok_and(|text| text == self.recorded()),
            "not installed here, or not in the versions of the repository"
        );
        // As cheap as a start of Python: the environment of a Python that was upgraded finds no packages.
        let find = format!(
            "import importlib.util as u; print(all(map(u.find_spec, {})))",
            self.modules
        );
        let found = toolchain::stdout(self.python().args(["-c", &find]))
            .context("its Python does not start or has been upgraded")?;
        ensure!(
            found.trim() == "True",
            "its Python finds no {}: it has been upgraded, or pip installs elsewhere (see `pip config list`)",
            self.purpose
        );
        Ok(())
    }

    /// Makes it unless it is there.
    pub fn install(&self) -> Result<()> {
        let _lock = lock::hold(
            &paths::writable_lab()?.join("python.lock"), // the kernel's program is installed at the same time
            "Waiting for another start that installs Python packages",
        )?;
        let Err(missing) = self.check_installed() else {
            return Ok(());
        };
        let found = find()?;
        let (purpose, folder) = (self.purpose, self.folder());
        if folder.exists() {
            say(&format!("{purpose} is installed anew: {missing:#}"));
            fs::remove_dir_all(&folder)?; // pip keeps what it has fetched in its own cache
        }
        say(&format!(
            "Installing {purpose} for {} (once)",
            found.display()
        ));
        let status = python(&found).args(["-m", "venv"]).arg(&folder).status()?;
        ensure!(
            status.success(),
            "{} could not make {}; see above",
            found.display(),
            folder.display()
        );
        let requirements = paths::lab().join("requirements.txt");
        fs::write(&requirements, self.requirements)?;
        let status = self
            .pip()
            .args(["install", "--quiet", "--no-user", "--requirement"])
            .arg(&requirements)
            .status()?;
        ensure!(
            status.success(),
            "pip could not install {purpose}; see above. It needs the network once and about 300 MB of disk; \
             then run the same command again"
        );
        fs::write(self.record(), self.recorded())?;
        self.check_installed()
    }

    fn pip(&self) -> Command {
        let mut command = self.python();
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
}

/// Python without the reader's own packages and settings, which are for another Python.
fn python(program: &Path) -> Command {
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

/// A Python that is new enough and can make environments. The newest may stand beside an older `python3`.
pub fn find() -> Result<PathBuf> {
    let newer = (OLDEST.1..30).rev().map(|minor| format!("python3.{minor}"));
    // On Windows the installer puts the last of these alone on PATH, unless it is told otherwise.
    let names = ["python3", "python", "py"].map(str::to_owned);
    let mut problem = None;
    for name in names.into_iter().chain(newer) {
        for program in toolchain::all_on_path(&name) {
            match check(&program) {
                Ok(()) => return Ok(program),
                Err(error) => problem = problem.or(Some(error)),
            }
        }
    }
    Err(problem.unwrap_or_else(|| {
        anyhow!("there is no Python on PATH, which JupyterLab needs; run `{INSTALL}`")
    }))
}

fn check(python: &Path) -> Result<()> {
    let version = version(python)?;
    ensure!(
        version >= OLDEST,
        "{} is Python {}.{}, JupyterLab needs {}.{} or later; run `{INSTALL}`",
        python.display(),
        version.0,
        version.1,
        OLDEST.0,
        OLDEST.1
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
            INSTALL.replace(
                "python3 python3-venv",
                &format!("python{major}.{minor}-venv")
            )
        );
    }
    Ok(())
}

/// What installs Python here.
pub const INSTALL: &str = if cfg!(target_os = "macos") {
    "brew install python"
} else if cfg!(windows) {
    "winget install Python.Python.3.13"
} else {
    "sudo apt install python3 python3-venv"
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_requirement_names_one_version() {
        for Environment { requirements, .. } in [LAB, SITE] {
            let lines = requirements.lines().filter(|line| !line.starts_with('#'));
            for line in lines {
                assert!(
                    line.split_once("==")
                        .is_some_and(|(name, version)| !name.is_empty() && !version.contains('*')),
                    "{line}"
                );
            }
        }
        assert!(LAB.requirements.contains("\njupyterlab=="));
        assert!(SITE.requirements.contains("\nsphinx=="));
    }
}
