//! Compiles a cell without cargo.
//!
//! Cargo takes longer to find that the packages below the crate are as they were than rustc takes
//! for a cell. In a notebook that uses nothing but the crate they always are: so the compiler's
//! command line is recorded when the template is built, and run for each cell. What the compiler says
//! about networks goes to the kernel in words: see [`explain`].
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus, Output, Stdio};
#[cfg(unix)]
use std::time::Duration;

use super::features::Features;
use super::start::INTERRUPT;
use super::{explain, manifest, template};
use crate::toolchain::Toolchain;
use crate::{lock, private};

/// The environment variable that makes this program the recorder. It names the file.
pub const RECORD_TO: &str = "DLDNA_RECORD";
/// The file in a template, and in each kernel's folder.
const RECORDED: &str = "rustc.json";
/// Stands in the record for the folder of a kernel.
const FOLDER: &str = "{kernel}";

/// How cargo would call the compiler for a cell.
#[derive(Serialize, Deserialize)]
struct Recorded {
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
}

/// Lets cargo call this program in the compiler's place, and keeps what it was called with.
pub fn record(template: &Path, toolchain: &Toolchain, features: &Features) -> Result<()> {
    let path = template.join(RECORDED);
    // That of the template from which this one started would hide that there is none.
    if path.exists() {
        fs::remove_file(&path)?;
    }
    let mut cargo = template::cargo_build(template, toolchain, features)?;
    let output = cargo
        .env("RUSTC_WORKSPACE_WRAPPER", std::env::current_exe()?)
        .env(RECORD_TO, &path)
        .stdout(Stdio::null())
        .output()?;
    if !path.is_file() {
        bail!(
            "cargo called no compiler for a cell: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}

/// Acts in the compiler's place: records the call for a cell, passes on all others.
pub fn record_call(path: &Path) -> Result<ExitCode> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let is_cell = arguments
        .windows(2)
        .any(|pair| pair == ["--crate-name", "ctx"]);
    let rustc = arguments.remove(0);
    if !is_cell {
        let status = Command::new(rustc).args(arguments).status()?;
        return Ok(if status.success() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        });
    }
    let folder = path.parent().context("the record is in a folder")?;
    let folder = folder.to_str().context("the folder's name is not UTF-8")?;
    let general = |text: String| text.replace(folder, FOLDER);
    let environment = package_environment();
    let recorded = Recorded {
        arguments: arguments.into_iter().map(general).collect(),
        environment: environment
            .map(|(name, value)| (name, general(value)))
            .collect(),
    };
    private::write(path, &serde_json::to_vec_pretty(&recorded)?)?;
    // Nothing has been compiled; cargo must not believe so.
    Ok(ExitCode::FAILURE)
}

/// The variables of this process by which cargo tells the compiler of the package.
fn package_environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, _)| describes_package(name))
}

/// Whether a variable is about the package. All others the compiler inherits from the kernel, as they are when it
/// runs: there are tokens among them, which belong into no file.
fn describes_package(name: &str) -> bool {
    ["CARGO_CRATE_NAME", "CARGO_PRIMARY_PACKAGE"].contains(&name)
        || name.starts_with("CARGO_PKG_")
        || name.starts_with("CARGO_MANIFEST_")
}

/// Compiles the cell in a kernel's folder if the crate is all it needs; otherwise cargo has to.
pub fn compile(kernel: &Path, toolchain: &Toolchain) -> Result<Option<ExitStatus>> {
    let written = manifest::written(kernel)?;
    let Ok(recorded) = fs::read(kernel.join(RECORDED)) else {
        return Ok(None);
    };
    if ![manifest::with_crate(), manifest::without_crate()].contains(&written) {
        return Ok(None);
    }
    let recorded: Recorded = serde_json::from_slice(&recorded)?;
    let output = recorded.run(kernel, toolchain, &[])?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() && kernel.join(INTERRUPT).exists() {
        eprintln!("{}", stopped());
    } else if output.status.success() {
        eprint!("{said}");
        println!("{}", artifact_message(kernel, toolchain)?);
    } else {
        eprint!("{}", recorded.explain(&said, kernel, toolchain)?);
    }
    Ok(Some(output.status))
}

impl Recorded {
    /// Calls the compiler for the cell in a kernel's folder.
    fn run(&self, kernel: &Path, toolchain: &Toolchain, more: &[&str]) -> Result<Output> {
        let folder = kernel.to_str().context("the folder's name is not UTF-8")?;
        let here = |text: &str| text.replace(FOLDER, folder);
        let arguments = match lock::is_held(&kernel.join("lock"))? {
            Some(_) => self.arguments.clone(),
            None => without_incremental(&self.arguments),
        };
        let variables = self.environment.iter();
        let compiler = Command::new(&toolchain.rustc)
            .args(arguments.iter().map(|argument| here(argument)))
            .args(more)
            .envs(variables.map(|(name, value)| (name, here(value))))
            .current_dir(kernel)
            .stdin(Stdio::null())
            .stdout(Stdio::inherit())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {}", toolchain.rustc.display()))?;
        #[cfg(unix)]
        end_if_asked(compiler.id(), kernel.join(INTERRUPT));
        Ok(compiler.wait_with_output()?)
    }

    /// What the compiler has said about a cell, for the kernel. Where it has left out parts of types
    /// it is asked once more.
    fn explain(&self, said: &str, kernel: &Path, toolchain: &Toolchain) -> Result<String> {
        let source = fs::read_to_string(kernel.join("src/lib.rs"))?;
        if !explain::is_shortened(said) {
            return Ok(explain::explain_output(said, said, &source));
        }
        let whole = self.run(kernel, toolchain, &[explain::WHOLE_TYPES])?;
        let whole = String::from_utf8_lossy(&whole.stderr);
        Ok(explain::explain_output(said, &whole, &source))
    }
}

/// Ends the compiler where the reader stops the cell. This process ends with the compiler, and the thread with this process.
#[cfg(unix)]
fn end_if_asked(compiler: u32, interrupt: PathBuf) {
    use rustix::process::{Pid, Signal, kill_process};
    std::thread::spawn(move || {
        while !interrupt.exists() {
            std::thread::sleep(Duration::from_millis(50));
        }
        let compiler = i32::try_from(compiler).ok().and_then(Pid::from_raw);
        compiler.map(|compiler| kill_process(compiler, Signal::KILL))
    });
}

/// What is said of a cell that was stopped while it was compiled.
fn stopped() -> serde_json::Value {
    let message = "Stopped before it ran. All variables are as they were.";
    serde_json::json!({
        "message": message, "level": "error", "code": null, "spans": [], "children": [],
        "rendered": format!("error: {message}\n"),
    })
}

/// The compiler's arguments for a file system without locks, where it can keep nothing for its next call.
fn without_incremental(arguments: &[String]) -> Vec<String> {
    let mut kept: Vec<String> = Vec::new();
    for argument in arguments {
        if argument.starts_with("incremental=") {
            kept.pop(); // the `-C` before it
        } else {
            kept.push(argument.clone());
        }
    }
    kept
}

/// The message by which cargo says where a cell's library is.
fn artifact_message(kernel: &Path, toolchain: &Toolchain) -> Result<serde_json::Value> {
    let library = kernel
        .join("target")
        .join(toolchain.host()?)
        .join("debug/deps")
        .join(library_name());
    Ok(serde_json::json!({
        "reason": "compiler-artifact",
        "target": {"name": "ctx"},
        "filenames": [library],
    }))
}

fn library_name() -> String {
    format!(
        "{}ctx{}",
        std::env::consts::DLL_PREFIX,
        std::env::consts::DLL_SUFFIX
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_option_goes_with_its_c() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let recorded = words("--crate-name ctx -C opt-level=1 -C incremental={kernel}/i -L a");
        let kept = words("--crate-name ctx -C opt-level=1 -L a");
        assert_eq!(without_incremental(&recorded), kept);
        assert_eq!(without_incremental(&kept), kept);
    }
}
