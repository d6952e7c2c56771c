//! Which role this program plays, each time that it starts.
//!
//! Cargo and the kernel's program call other programs by their paths, and cannot be told what to call them with. So
//! this one program plays several roles, and sees by its environment and its name which one.
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use crate::kernel::{replay, shim};

/// The roles that the program plays.
#[derive(Debug, PartialEq)]
pub enum Role {
    /// The command line of `cargo lab`, `cargo nb`, `cargo ci`, `cargo doctor`, and of a kernel's start.
    Tool,
    /// The compiler, for the cargo that builds a template: it records the call for a cell in `file`.
    Recorder { file: PathBuf },
    /// `cargo`, for the kernel whose folder this is.
    CargoShim { kernel: PathBuf },
    /// `rustup`, for the kernel whose folder this is.
    RustupShim { kernel: PathBuf },
}

impl Role {
    /// The role of this process.
    pub fn of_this_process() -> Self {
        let name = std::env::args_os().next().unwrap_or_default();
        Self::of(&name, |variable| std::env::var_os(variable))
    }

    /// The role of a process that was called by this name, with these environment variables.
    fn of(name: &OsStr, variable: impl Fn(&str) -> Option<OsString>) -> Self {
        if let Some(file) = variable(replay::RECORD_TO) {
            return Role::Recorder { file: file.into() };
        }
        let Some(kernel) = variable(shim::KERNEL).map(PathBuf::from) else {
            return Role::Tool;
        };
        match Path::new(name).file_stem().and_then(OsStr::to_str) {
            Some("cargo") => Role::CargoShim { kernel },
            Some("rustup") => Role::RustupShim { kernel },
            _ => Role::Tool,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role(name: &str, variables: &[(&str, &str)]) -> Role {
        Role::of(OsStr::new(name), |wanted| {
            let found = variables.iter().find(|(name, _)| *name == wanted);
            found.map(|(_, value)| value.into())
        })
    }

    #[test]
    fn without_our_variables_it_is_the_tool_under_every_name() {
        for name in ["ci", "/repository/target/debug/ci", "cargo", "rustup", ""] {
            assert_eq!(role(name, &[("PATH", "/bin")]), Role::Tool);
        }
    }

    #[test]
    fn in_a_kernel_the_name_decides() {
        let kernel = PathBuf::from("/lab/kernels/7");
        let variables = [(shim::KERNEL, "/lab/kernels/7")];
        for name in ["cargo", "/lab/shim/bin/cargo", "cargo.exe"] {
            let kernel = kernel.clone();
            assert_eq!(role(name, &variables), Role::CargoShim { kernel });
        }
        assert_eq!(role("bin/rustup", &variables), Role::RustupShim { kernel });
        // A cell may run `cargo nb`, which runs this program under its own name.
        assert_eq!(role("target/debug/ci", &variables), Role::Tool);
    }

    #[test]
    fn the_recorder_comes_first() {
        let file = PathBuf::from("/lab/rustc.json");
        let record = (replay::RECORD_TO, "/lab/rustc.json");
        let kernel = (shim::KERNEL, "/lab/kernels/7");
        for variables in [vec![record], vec![kernel, record]] {
            let file = file.clone();
            assert_eq!(role("ci", &variables), Role::Recorder { file });
        }
    }
}
