//! The manifest of the cells' crate, as the kernel's program writes it.
//!
//! It is repeated here to the byte: a cell is compiled without cargo where its manifest is one of these two, for then
//! all that it depends on is known to be built. With any other, cargo compiles the cell, which is right and slow. So a
//! difference would not fail, only cost time; a test below compares with the program itself.
use std::fs;
use std::path::Path;
use toml_writer::ToTomlValue;

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

/// Between double quotes, as the kernel's program writes a path that was relative. (`{:?}` would be Rust, not TOML:
/// it writes `\u{301}` for an accent.)
fn dependency_on(folder: &Path) -> String {
    let folder = folder.to_string_lossy();
    let path = toml_writer::TomlStringBuilder::new(&folder).as_basic();
    format!("dldna = {{ path = {} }}\n", path.to_toml_value())
}

/// The manifest that the kernel's program has written, with the crate's path as the template has it.
///
/// The program makes the path behind a notebook's `:dep` absolute. On Windows it then begins with `\\?\`, and cargo
/// would take it for another crate, which is not built yet.
pub fn written(kernel: &Path) -> std::io::Result<String> {
    let path = kernel.join("Cargo.toml");
    let written = fs::read_to_string(&path)?;
    let ours = with_path_as_ours(&written, &paths::dldna().canonicalize()?, &paths::dldna());
    if ours != written {
        fs::write(&path, &ours)?;
    }
    Ok(ours)
}

fn with_path_as_ours(manifest: &str, canonical: &Path, ours: &Path) -> String {
    manifest.replace(&dependency_on(canonical), &dependency_on(ours))
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
    use std::process::{Child, Command};
    use std::time::{Duration, Instant};

    /// The real program, in a folder of its own and with nothing of ours around it.
    struct Kernel(Child);

    impl Kernel {
        /// Starts it for a notebook in this folder, with `init` as the first thing that it runs after its own first cell.
        fn start(folder: &Path, notebook: &Path, init: &str) -> Self {
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
                .current_dir(notebook)
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
    fn written_by_kernel(notebook: &Path, init: &str, cell: usize) -> String {
        let folder = tempfile::tempdir().unwrap();
        let mut kernel = Kernel::start(folder.path(), notebook, init);
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

    /// As the program writes on Windows what stands in a notebook.
    #[test]
    fn a_path_that_windows_calls_verbatim_is_read_as_ours() {
        let written = r#"
[dependencies]
dldna = { path = "\\\\?\\C:\\my book\\dldna" }
other = { path = "\\\\?\\C:\\other" }
"#;
        let ours = r#"
[dependencies]
dldna = { path = "C:\\my book\\dldna" }
other = { path = "\\\\?\\C:\\other" }
"#;
        let [canonical, folder] = [r"\\?\C:\my book\dldna", r"C:\my book\dldna"].map(Path::new);
        assert_eq!(with_path_as_ours(written, canonical, folder), ours);
        assert_eq!(with_path_as_ours(ours, canonical, folder), ours);
    }

    #[test]
    fn the_program_starts_with_the_manifest_without_the_crate() {
        let notebook = tempfile::tempdir().unwrap();
        assert_eq!(written_by_kernel(notebook.path(), "", 1), without_crate());
    }

    /// A folder name of all that people name folders, and of what the formats on the way give a meaning.
    const NAME: &str = "Cafe\u{301} \u{e44}\u{e17}\u{e22} \u{bb9}\u{bbf} \u{a0}\u{2764}\u{fe0f} 'a' $HOME %20 #1 [x] {y} a=b, c~";
    /// Windows has no such names.
    const QUOTES: &str = if cfg!(windows) { "" } else { " \"b\" \\u0041" };

    #[test]
    fn a_path_of_any_name_is_read_back_from_the_line() {
        for name in [NAME, QUOTES, "\u{7f}\t\n", "e\u{301}"] {
            let line = dependency_on(Path::new(name));
            let read: toml::Table = line.parse().unwrap();
            assert_eq!(read["dldna"]["path"].as_str(), Some(name), "{line}");
        }
    }

    /// With a crate of the same name that has nothing in it: what counts is the text. The first cell has the path as
    /// our own does, the second as the notebooks do, which the program makes absolute.
    #[test]
    fn the_program_writes_the_manifest_with_the_crate() {
        let folder = tempfile::tempdir().unwrap();
        let package = folder.path().canonicalize().unwrap();
        let package = package.join(format!("{NAME}{QUOTES}"));
        fs::create_dir_all(package.join("src")).unwrap();
        fs::write(package.join("src/lib.rs"), "").unwrap();
        let text = "[package]\nname = \"dldna\"\nversion = \"0.1.0\"\nedition = \"2024\"\n";
        fs::write(package.join("Cargo.toml"), text).unwrap();
        let notebook = package.join("mine");
        fs::create_dir(&notebook).unwrap();
        let dependency = dependency_on(&package);
        for written in [dependency.as_str(), "dldna = { path = \"..\" }\n"] {
            let init = format!(":dep {written}let cell = 1;\n");
            assert_eq!(written_by_kernel(&notebook, &init, 2), with(&dependency));
        }
    }
}
