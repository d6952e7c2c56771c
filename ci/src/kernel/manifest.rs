//! The manifest of the cells' crate, as the kernel's program writes it.
//!
//! It is repeated here to the byte: a cell is compiled without cargo where its manifest is one of these two, for then
//! all that it depends on is known to be built. With any other, cargo compiles the cell, which is right and slow. So a
//! difference would not fail, only cost time; a test below compares with the program itself.
use std::path::Path;

use crate::paths;

/// The manifest before the crate is loaded.
pub fn without_crate() -> String {
    with("")
}

/// The manifest of a notebook that uses the crate and nothing else.
pub fn with_crate() -> String {
    with(&dependency())
}

/// The line that makes the crate a dependency, in a manifest and behind `:dep`.
pub fn dependency() -> String {
    dependency_on(&paths::dldna())
}

fn dependency_on(folder: &Path) -> String {
    format!("dldna = {{ path = {folder:?} }}\n")
}

fn with(dependencies: &str) -> String {
    format!(
        r#"
[package]
name = "ctx"
version = "1.0.0"
edition = "2024"

[lib]
crate-type = ["cdylib"]
path = "src/lib.rs"

[profile.dev]
opt-level = 2
debug = false
strip = "debuginfo"
rpath = true
lto = false
debug-assertions = true
codegen-units = 16
panic = 'unwind'
incremental = true
overflow-checks = true

[dependencies]
{dependencies}
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::evcxr;
    use std::fs;
    use std::process::{Child, Command};
    use std::time::{Duration, Instant};

    /// The real program, in a folder of its own and with nothing of ours around it.
    struct Kernel(Child);

    impl Kernel {
        /// Starts it with `init` as the first thing that it runs after its own first cell.
        fn start(folder: &Path, init: &str) -> Self {
            let connection = folder.join("connection.json");
            let ports = r#"{"transport": "tcp", "ip": "127.0.0.1", "key": "", "signature_scheme": "hmac-sha256",
                "shell_port": 0, "iopub_port": 0, "stdin_port": 0, "control_port": 0, "hb_port": 0}"#;
            fs::write(&connection, ports).unwrap();
            fs::write(folder.join("init.evcxr"), init).unwrap();
            let program = evcxr::find()
                .expect("this test needs the kernel's program: run `cargo lab --no-browser` once");
            let child = Command::new(program)
                .arg("--control_file")
                .arg(connection)
                .current_dir(folder)
                .env("EVCXR_TMPDIR", folder)
                .env("EVCXR_CONFIG_DIR", folder)
                .env("JUPYTER_PATH", folder) // else it may renew its entry in the reader's list of kernels
                .spawn()
                .unwrap();
            Kernel(child)
        }

        fn wait_for(&mut self, is_reached: impl Fn() -> bool) {
            let started = Instant::now();
            while !is_reached() {
                assert!(self.0.try_wait().unwrap().is_none(), "the kernel ended");
                assert!(
                    started.elapsed() < Duration::from_secs(120),
                    "the kernel has not compiled its first cells in 120 s"
                );
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }

    impl Drop for Kernel {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    /// The manifest that the program has written when its cell of this number, from 1, is compiled.
    fn written_by_kernel(init: &str, cell: usize) -> String {
        let folder = tempfile::tempdir().unwrap();
        let mut kernel = Kernel::start(folder.path(), init);
        kernel.wait_for(|| is_compiled(&folder.path().join("target"), cell));
        fs::read_to_string(folder.path().join("Cargo.toml")).unwrap()
    }

    fn is_compiled(target: &Path, cell: usize) -> bool {
        let name = format!(
            "{}code_{cell}{}",
            std::env::consts::DLL_PREFIX,
            std::env::consts::DLL_SUFFIX
        );
        let Ok(platforms) = fs::read_dir(target) else {
            return false;
        };
        let mut folders = platforms.flatten().map(|entry| entry.path().join("debug"));
        folders.any(|folder| folder.join(&name).exists())
    }

    #[test]
    fn the_program_starts_with_the_manifest_without_the_crate() {
        assert_eq!(written_by_kernel("", 1), without_crate());
    }

    /// With a crate of the same name that has nothing in it: what counts is the text.
    #[test]
    fn the_program_writes_the_manifest_with_the_crate() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("src")).unwrap();
        fs::write(folder.path().join("src/lib.rs"), "").unwrap();
        let package = "[package]\nname = \"dldna\"\nversion = \"0.1.0\"\nedition = \"2024\"\n";
        fs::write(folder.path().join("Cargo.toml"), package).unwrap();
        let dependency = dependency_on(folder.path());
        let init = format!(":dep {dependency}let cell = 1;\n");
        assert_eq!(written_by_kernel(&init, 2), with(&dependency));
    }
}
