//! The Rust toolchain of the kernels.
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::paths;

/// The compiler and cargo that `rust-toolchain.toml` pins, by their real paths: each call through
/// rustup's proxies costs 0.05 to 0.1 s.
///
/// `RUSTUP_TOOLCHAIN` and the user's default do not count here. The kernel's program and the
/// toolchain go together, and a nightly default would not compile dfdx.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Toolchain {
    pub cargo: PathBuf,
    pub rustc: PathBuf,
    /// What `rustc -vV` says.
    pub version: String,
    /// The folder of the compiled standard library.
    pub library: PathBuf,
}

impl Toolchain {
    pub fn find() -> Result<Self> {
        let rustc = tool("rustc")?;
        let cargo = tool("cargo")?;
        let version = stdout(Command::new(&rustc).arg("-vV"))?;
        let library = stdout(Command::new(&rustc).args(["--print", "target-libdir"]))?;
        let toolchain = Toolchain {
            cargo,
            rustc,
            version,
            library: library.trim().into(),
        };
        if toolchain.is_nightly() {
            bail!(
                "{} is a nightly compiler, which cannot build dfdx 0.13; run `rustup toolchain install {}`",
                toolchain.rustc.display(),
                pinned_channel()?
            );
        }
        Ok(toolchain)
    }

    pub fn is_nightly(&self) -> bool {
        self.version.contains("-nightly")
    }

    /// Cargo, such that it builds the same wherever this program was started. Some build scripts look at variables that
    /// cargo sets for what it runs; with others than the template's, half of all packages would be built anew.
    pub fn cargo_command(&self) -> Command {
        let mut command = Command::new(&self.cargo);
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(is_set_by_cargo) {
                command.env_remove(name);
            }
        }
        command
    }

    /// Whether it is still where it was found.
    pub fn exists(&self) -> bool {
        self.cargo.is_file() && self.rustc.is_file()
    }

    /// The platform that the compiler runs on and builds for.
    pub fn host(&self) -> Result<&str> {
        self.version
            .lines()
            .find_map(|line| line.strip_prefix("host: "))
            .with_context(|| format!("`rustc -vV` names no host: {:?}", self.version))
    }
}

/// Whether cargo sets this variable for the programs and build scripts that it runs.
fn is_set_by_cargo(name: &str) -> bool {
    const NAMES: [&str; 7] = [
        "CARGO",
        "CARGO_BIN_NAME",
        "CARGO_CRATE_NAME",
        "CARGO_ENCODED_RUSTFLAGS",
        "CARGO_PRIMARY_PACKAGE",
        "CARGO_TARGET_TMPDIR",
        "OUT_DIR",
    ];
    const PREFIXES: [&str; 5] = [
        "CARGO_BIN_EXE_",
        "CARGO_CFG_",
        "CARGO_FEATURE_",
        "CARGO_MANIFEST_",
        "CARGO_PKG_",
    ];
    NAMES.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Whether the standard library is there for another platform, or rustup could get it.
pub fn add_target(target: &str) -> Result<bool> {
    if has_target(target)? {
        return Ok(true);
    }
    let added = Command::new("rustup")
        .args(["target", "add", target])
        .current_dir(paths::repository())
        .status();
    Ok(added.is_ok_and(|status| status.success()))
}

/// Whether the standard library is there for another platform.
fn has_target(target: &str) -> Result<bool> {
    let library = stdout(Command::new(tool("rustc")?).args([
        "--print",
        "target-libdir",
        "--target",
        target,
    ]))?;
    Ok(Path::new(library.trim()).is_dir())
}

/// The formatter that belongs to the compiler.
pub fn rustfmt() -> Result<PathBuf> {
    tool("rustfmt")
}

/// The channel in `rust-toolchain.toml`.
pub fn pinned_channel() -> Result<String> {
    let path = paths::repository().join("rust-toolchain.toml");
    let text =
        std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    text.lines()
        .find_map(|line| line.trim().strip_prefix("channel = \"")?.strip_suffix('"'))
        .map(str::to_owned)
        .with_context(|| format!("{} names no channel", path.display()))
}

/// What rustup says for the repository; without rustup, what is on PATH.
fn tool(name: &str) -> Result<PathBuf> {
    let asked = Command::new(rustup())
        .args(["which", name])
        .current_dir(paths::repository())
        .env_remove("RUSTUP_TOOLCHAIN")
        .output();
    match asked {
        Ok(output) if output.status.success() => {
            Ok(PathBuf::from(String::from_utf8(output.stdout)?.trim()))
        }
        Ok(output) => bail!(
            "rustup finds no {name} for this repository: {}; run `rustup toolchain install {}`",
            String::from_utf8_lossy(&output.stderr).trim(),
            pinned_channel()?
        ),
        Err(_) => on_path(name)
            .with_context(|| format!("no {name} on PATH; install Rust from https://rustup.rs")),
    }
}

/// Rustup; also where an editor or a notebook server was started without cargo's programs on PATH.
pub fn rustup() -> PathBuf {
    let in_home = || {
        let programs = cargo_home()?.join("bin");
        Some(paths::executable(&programs, "rustup")).filter(|program| is_program(program))
    };
    on_path("rustup")
        .or_else(in_home)
        .unwrap_or_else(|| "rustup".into())
}

/// Where cargo keeps its registry and what it installs.
pub fn cargo_home() -> Option<PathBuf> {
    std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(std::env::home_dir()?.join(".cargo")))
}

/// The first program of that name on PATH.
pub fn on_path(name: &str) -> Option<PathBuf> {
    all_on_path(name).into_iter().next()
}

/// All programs of that name on PATH.
pub fn all_on_path(name: &str) -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|directory| paths::executable(&directory, name))
        .filter(|program| is_program(program))
        .collect()
}

fn is_program(path: &Path) -> bool {
    path.is_file()
}

/// Runs a command and returns what it printed.
pub fn stdout(command: &mut Command) -> Result<String> {
    let output = command
        .output()
        .with_context(|| format!("running {command:?}"))?;
    if !output.status.success() {
        bail!(
            "{command:?} failed: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(String::from_utf8(output.stdout)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_stay_and_what_cargo_says_of_a_package_goes() {
        for name in [
            "CARGO_MANIFEST_DIR",
            "CARGO_PKG_VERSION_MAJOR",
            "CARGO_PKG_NAME",
            "OUT_DIR",
        ] {
            assert!(is_set_by_cargo(name), "{name}");
        }
        for name in [
            "CARGO_HOME",
            "CARGO_NET_OFFLINE",
            "CARGO_TARGET_DIR",
            "CARGO_REGISTRY_TOKEN",
            "PATH",
        ] {
            assert!(!is_set_by_cargo(name), "{name}");
        }
    }
}
