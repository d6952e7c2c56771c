//! Compiles a cell without cargo.
//!
//! Cargo takes longer to find that the packages below the crate are as they were than rustc takes
//! for a cell. In a notebook that uses nothing but the crate they always are: so the compiler's
//! command line is recorded when the template is built, and run for each cell. What the compiler says
//! about networks goes to the kernel in words: see [`explain`].
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use std::fs;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Output, Stdio};
#[cfg(unix)]
use std::sync::mpsc::{RecvTimeoutError, Sender};
#[cfg(unix)]
use std::time::Duration;

use super::ahead::{self, Ahead};
use super::answers::Call;
use super::features::Features;
use super::lean::{self, Lean, Source};
use super::start::INTERRUPT;
use super::{explain, manifest, template};
use crate::private;
use crate::toolchain::Toolchain;

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
        arguments: without_incremental(arguments.into_iter().map(general).collect()),
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

/// The library that cells have for the kernel's own module, below a template and each kernel's folder.
fn runtime_library() -> String {
    format!("lib{}.rlib", lean::RUNTIME)
}

/// The library's source.
pub const RUNTIME_SOURCE: &str = include_str!("cell_runtime.rs");

/// Compiles that library.
pub fn build_runtime(template: &Path, toolchain: &Toolchain) -> Result<()> {
    let source = template.join(lean::RUNTIME).with_extension("rs");
    fs::write(&source, RUNTIME_SOURCE)?;
    let status = Command::new(&toolchain.rustc)
        .args(["--edition=2024", "--crate-type=rlib", "-Copt-level=1"])
        .args([template::FLAGS, "--target", toolchain.host()?, "-o"])
        .arg(template.join(runtime_library()))
        .arg(&source)
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("running {}", toolchain.rustc.display()))?;
    anyhow::ensure!(status.success(), "{} does not compile", source.display());
    Ok(())
}

/// Compiles the cell in a kernel's folder if the crate is all it needs, and tells whether it compiles; otherwise cargo has to.
pub fn compile(
    kernel: &Path,
    toolchain: &Toolchain,
    template: Option<&Path>,
    source: &str,
) -> Result<Option<bool>> {
    let written = manifest::written(kernel)?;
    let Ok(recorded) = fs::read(kernel.join(RECORDED)) else {
        return Ok(None);
    };
    if ![manifest::with_crate(), manifest::without_crate()].contains(&written) {
        return Ok(None);
    }
    let library = library(kernel, toolchain)?;
    let compiler = Compiler {
        kernel,
        toolchain,
        recorded: serde_json::from_slice(&recorded)?,
        library: &library,
    };
    fs::create_dir_all(kernel.join("lean/src"))?;
    let start = template.filter(|_| !has_started(&library));
    let start = start.and_then(|template| Call::of_start(template, &written, source));
    let known = start.as_ref().and_then(|call| call.answer(&library));
    let (compiles, said) = match &known {
        Some((compiles, said)) => (*compiles, said.clone()),
        None => compiler.compile(source)?,
    };
    if let (Some(call), None, false) = (start, known, compiler.is_stopped()) {
        let _ = call.keep(compiles, &said, &library); // without it, the next kernel's start takes longer
    }
    eprint!("{said}");
    if compiles {
        fs::write(compiler.compiled(), source)?;
        println!("{}", artifact_message(&library));
    }
    Ok(Some(compiles))
}

/// The compiler for the cells of one kernel.
struct Compiler<'a> {
    kernel: &'a Path,
    toolchain: &'a Toolchain,
    recorded: Recorded,
    /// Where the cell's library goes.
    library: &'a Path,
}

impl Compiler<'_> {
    /// Whether the cell compiles, and what is said about it.
    fn compile(&self, source: &str) -> Result<(bool, String)> {
        if let Some(said) = ahead::take(&self.kernel.join(ahead::FOLDER), source, self.library) {
            return Ok((true, said));
        }
        if Source::of(source) == Source::Failed {
            return self.compile_whole(source);
        }
        let Some((call, lean)) = self.lean_call(source, "lean", self.library)? else {
            return self.compile_whole(source);
        };
        let first = self.spawn(call)?;
        let ahead = match lean.computes {
            true => None, // it has work for several cores
            false => self.start_ahead(source),
        };
        let output = self.wait_for(first)?;
        let compiles = output.status.success();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if !compiles && !self.is_enough(&said, source, &lean) {
            drop(ahead);
            return self.compile_whole(source);
        }
        if let (Some(ahead), false) = (ahead, compiles) {
            #[cfg(unix)]
            let _watch = end_if_asked(ahead.id(), self.kernel.join(INTERRUPT));
            ahead.keep_if_it_follows(&said, source);
        }
        self.told(compiles, said, source)
    }

    /// Whether what the compiler has said about what the cell uses is what it would say about the whole.
    fn is_enough(&self, said: &str, source: &str, lean: &Lean) -> bool {
        self.is_stopped() || Source::of(source) == Source::Tried && lean::is_told(said, lean)
    }

    /// The same by all of the source, which has also what the compiler may mention as similar to a name that it does not find.
    fn compile_whole(&self, source: &str) -> Result<(bool, String)> {
        let output = self.run(&[])?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        self.told(output.status.success(), said, source)
    }

    /// What the kernel's program gets to read about a cell.
    fn told(&self, compiles: bool, said: String, source: &str) -> Result<(bool, String)> {
        let said = if compiles {
            said
        } else if self.is_stopped() {
            format!("{}\n", stopped())
        } else if Source::of(source) == Source::Tried {
            said // nobody else reads it
        } else {
            self.explain(&said, source)?
        };
        Ok((compiles, said))
    }

    /// The call of the compiler for what the cell uses. Its source lies in the kernel's folder of this name.
    fn lean_call(
        &self,
        source: &str,
        folder: &str,
        cell_library: &Path,
    ) -> Result<Option<(Command, Lean)>> {
        let before = fs::read_to_string(self.compiled()).unwrap_or_default();
        let Some(lean) = lean::lean(source, &before) else {
            return Ok(None);
        };
        let folder = self.kernel.join(folder);
        fs::create_dir_all(folder.join("src"))?;
        fs::write(folder.join("src/lib.rs"), &lean.source)?;
        let library = self.kernel.join(runtime_library());
        let library = library.to_str().context("the folder's name is not UTF-8")?;
        let mut call = self.call(&folder, cell_library)?;
        call.arg(format!("--extern={}={library}", lean::RUNTIME));
        if !lean.computes {
            // The compiler takes the last of several. One unit, since there is little to share out.
            call.args(["-Copt-level=0", "-Ccodegen-units=1"]);
        }
        Ok(Some((call, lean)))
    }

    /// Begins the call that is expected to follow this one, if there is a core for it.
    fn start_ahead(&self, source: &str) -> Option<Ahead> {
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        let expected = ahead::expected(source).filter(|_| cores > 1)?;
        let library = ahead::library(self.library)?;
        fs::create_dir_all(library.parent()?).ok()?;
        let call = self.lean_call(&expected.source, ahead::FOLDER, &library);
        Ahead::start(expected, call.ok()??.0, &self.kernel.join(ahead::FOLDER)).ok()
    }

    /// Whether the reader has stopped the cell.
    fn is_stopped(&self) -> bool {
        self.kernel.join(INTERRUPT).exists()
    }

    /// Where the whole source of the last cell is kept that compiled.
    fn compiled(&self) -> PathBuf {
        self.kernel.join("lean/compiled.rs")
    }

    /// Calls the compiler for the whole cell.
    fn run(&self, more: &[String]) -> Result<Output> {
        let mut call = self.call(self.kernel, self.library)?;
        call.args(more);
        self.wait_for(self.spawn(call)?)
    }

    /// The call of the compiler for the source in a folder, with the library in the place of this one.
    fn call(&self, folder: &Path, library: &Path) -> Result<Command> {
        let kernel = self
            .kernel
            .to_str()
            .context("the folder's name is not UTF-8")?;
        let here = |text: &str| text.replace(FOLDER, kernel);
        let Recorded {
            arguments,
            environment,
        } = &self.recorded;
        let mut arguments: Vec<String> = arguments.iter().map(|it| here(it)).collect();
        let libraries = library.parent().and_then(Path::to_str);
        set_out_dir(
            &mut arguments,
            libraries.context("a library is in a folder")?,
        );
        let mut call = Command::new(&self.toolchain.rustc);
        call.args(arguments)
            .envs(environment.iter().map(|(name, value)| (name, here(value))))
            .current_dir(folder)
            .stdin(Stdio::null());
        Ok(call)
    }

    fn spawn(&self, mut call: Command) -> Result<Child> {
        call.stdout(Stdio::inherit())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {}", self.toolchain.rustc.display()))
    }

    fn wait_for(&self, compiler: Child) -> Result<Output> {
        #[cfg(unix)]
        let _watch = end_if_asked(compiler.id(), self.kernel.join(INTERRUPT));
        Ok(compiler.wait_with_output()?)
    }

    /// What the compiler has said about a cell, for the kernel. Where it has left out parts of types
    /// it is asked once more.
    fn explain(&self, said: &str, source: &str) -> Result<String> {
        if !explain::is_shortened(said) {
            return Ok(explain::explain_output(said, said, source));
        }
        let whole = self.run(&[explain::WHOLE_TYPES.to_owned()])?;
        let whole = String::from_utf8_lossy(&whole.stderr);
        Ok(explain::explain_output(said, &whole, source))
    }
}

/// Ends the compiler where the reader stops the cell, as long as what is returned lives.
#[cfg(unix)]
fn end_if_asked(compiler: u32, interrupt: PathBuf) -> Sender<()> {
    use rustix::process::{Pid, Signal, kill_process};
    let (watch, end) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        while end.recv_timeout(Duration::from_millis(50)) == Err(RecvTimeoutError::Timeout) {
            if interrupt.exists() {
                let compiler = i32::try_from(compiler).ok().and_then(Pid::from_raw);
                return compiler.map(|compiler| kill_process(compiler, Signal::KILL));
            }
        }
        None
    });
    watch
}

/// What is said of a cell that was stopped while it was compiled.
fn stopped() -> serde_json::Value {
    let message = "Stopped before it ran. All variables are as they were.";
    serde_json::json!({
        "message": message, "level": "error", "code": null, "spans": [], "children": [],
        "rendered": format!("error: {message}\n"),
    })
}

/// The compiler's arguments without a folder in which it would keep something for its next call: a cell shares next to nothing
/// with the one before, and some file systems have not the locks for it.
fn without_incremental(arguments: Vec<String>) -> Vec<String> {
    let mut kept: Vec<String> = Vec::new();
    for argument in arguments {
        if argument.starts_with("incremental=") {
            kept.pop(); // the `-C` before it
        } else {
            kept.push(argument);
        }
    }
    kept
}

/// Changes the folder in which the compiler puts libraries.
fn set_out_dir(arguments: &mut [String], folder: &str) {
    let option = arguments.iter().position(|it| it == "--out-dir");
    if let Some(value) = option.and_then(|option| arguments.get_mut(option + 1)) {
        folder.clone_into(value);
    }
}

/// Where the compiler puts a cell's library.
fn library(kernel: &Path, toolchain: &Toolchain) -> Result<PathBuf> {
    let built = kernel.join("target").join(toolchain.host()?);
    Ok(built.join("debug/deps").join(library_name("ctx")))
}

/// Whether a kernel's start is over: its second library is there, under the name that the kernel's program gives it. After `:clear`
/// that counts the cells from the beginning, but not their libraries.
fn has_started(library: &Path) -> bool {
    library.with_file_name(library_name("code_2")).exists()
}

/// The message by which cargo says where a cell's library is.
fn artifact_message(library: &Path) -> serde_json::Value {
    serde_json::json!({
        "reason": "compiler-artifact",
        "target": {"name": "ctx"},
        "filenames": [library],
    })
}

fn library_name(crate_name: &str) -> String {
    format!(
        "{}{crate_name}{}",
        std::env::consts::DLL_PREFIX,
        std::env::consts::DLL_SUFFIX
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_is_over_with_its_second_library() {
        let folder = tempfile::tempdir().unwrap();
        let library = |name| folder.path().join(library_name(name));
        for (name, is_over) in [("ctx", false), ("code_1", false), ("code_2", true)] {
            fs::write(library(name), "").unwrap();
            assert_eq!(has_started(&library("ctx")), is_over, "{name}");
        }
    }

    #[test]
    fn one_option_goes_with_its_c() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let recorded = words("--crate-name ctx -C opt-level=1 -C incremental={kernel}/i -L a");
        let kept = words("--crate-name ctx -C opt-level=1 -L a");
        assert_eq!(without_incremental(recorded), kept);
        assert_eq!(without_incremental(kept.clone()), kept);
    }
}
