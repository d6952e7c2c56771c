//! Kernels side by side, and kernels that are killed. Needs the kernel's program (`cargo lab`
//! installs it) and takes about a minute: `cargo test -p ci --test kernels -- --ignored`.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant, SystemTime};

fn lab() -> PathBuf {
    Path::new(&std::env::var_os("CARGO_MANIFEST_DIR").unwrap())
        .parent()
        .unwrap()
        .join(".lab")
}

/// A kernel, which lives in the folder of its process number.
struct Kernel(Child);

impl Kernel {
    fn start() -> Self {
        let connection =
            std::env::temp_dir().join(format!("ci-kernel-test-{:?}.json", SystemTime::now()));
        let text = r#"{"transport": "tcp", "ip": "127.0.0.1", "key": "", "signature_scheme": "hmac-sha256",
            "shell_port": 0, "iopub_port": 0, "stdin_port": 0, "control_port": 0, "hb_port": 0}"#;
        std::fs::write(&connection, text).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_ci"))
            .arg("kernel")
            .arg(connection)
            .spawn()
            .unwrap();
        Kernel(child)
    }

    fn folder(&self) -> PathBuf {
        lab().join("kernels").join(self.0.id().to_string())
    }

    /// Waits until the kernel has loaded the crate and run its warm-up: a third compiled cell.
    fn wait_until_ready(&mut self) {
        let started = Instant::now();
        while files(&self.folder())
            .keys()
            .filter(|path| path.contains("libcode_"))
            .count()
            < 2
        {
            assert!(self.0.try_wait().unwrap().is_none(), "the kernel ended");
            assert!(
                started.elapsed() < Duration::from_secs(400),
                "the kernel does not start"
            );
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// All files below a folder, with size and time.
fn files(folder: &Path) -> BTreeMap<String, (u64, SystemTime)> {
    let mut found = BTreeMap::new();
    let Ok(entries) = std::fs::read_dir(folder) else {
        return found;
    };
    for entry in entries.flatten() {
        let Ok(file) = entry.metadata() else { continue };
        if file.is_dir() {
            found.extend(files(&entry.path()));
        } else {
            let modified = file.modified().unwrap();
            found.insert(
                entry.path().to_string_lossy().into_owned(),
                (file.len(), modified),
            );
        }
    }
    found
}

/// What kernels need of the lab.
fn copy_of_lab(to: &Path) -> &Path {
    std::fs::create_dir(to).unwrap();
    for name in [".cargo", ".crates.toml", "bin", "library", "templates"] {
        let status = Command::new("cp")
            .arg("-a")
            .arg(lab().join(name))
            .arg(to)
            .status()
            .unwrap();
        assert!(status.success());
    }
    to
}

/// Prints whether there are libraries, and which are newer than the kernel.
const NEW_LIBRARIES: &str = r#"
let kernel = std::path::PathBuf::from(std::env::var("DLDNA_KERNEL")?);
let started = std::fs::metadata(kernel.join("lock"))?.modified()?;
let (mut old, mut new) = (0, Vec::new());
for platform in std::fs::read_dir(kernel.join("target"))? {
    for file in std::fs::read_dir(platform?.path().join("debug/deps")).into_iter().flatten() {
        let file = file?;
        let name = file.file_name().to_string_lossy().into_owned();
        if !name.ends_with(".rlib") {
            continue;
        }
        match file.metadata()?.modified()? > started {
            true => new.push(name),
            false => old += 1,
        }
    }
}
println!("{} {new:?}", old > 100);
"#;

/// However the kernel was started: below cargo, which sets variables that build scripts look at, or not; and where
/// `lld` is on PATH, which the kernel's program would link with; and from a path with a space, which that program
/// cannot load a cell from.
#[test]
#[ignore = "starts kernels and asks crates.io, about a minute"]
fn a_dependency_builds_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let notebook = folder.path().join("dep.ipynb");
    let programs = folder.path().join("bin");
    std::fs::create_dir(&programs).unwrap();
    std::fs::copy("/bin/false", programs.join("lld")).unwrap();
    let path = std::env::var_os("PATH").unwrap();
    let path = std::iter::once(programs).chain(std::env::split_paths(&path));
    let path = std::env::join_paths(path).unwrap();
    let of_cargo = std::env::vars_os()
        .filter(|(name, _)| name.to_string_lossy().starts_with("CARGO_"))
        .map(|(name, _)| name);
    let mut without = Command::new(env!("CARGO_BIN_EXE_ci"));
    for name in of_cargo {
        without.env_remove(name);
    }
    let mut with_lld = Command::new(env!("CARGO_BIN_EXE_ci"));
    with_lld.env("PATH", path);
    let mut with_space = Command::new(env!("CARGO_BIN_EXE_ci"));
    with_space.env("DLDNA_LAB", copy_of_lab(&folder.path().join("a b")));
    for mut command in [without, with_lld, with_space] {
        let cell = |id: &str, source: &str| {
            serde_json::json!({
                "cell_type": "code", "id": id, "metadata": {"tags": ["timeout:300"]},
                "execution_count": null, "outputs": [], "source": source,
            })
        };
        let cells = [cell("a", ":dep itoa = \"1\""), cell("b", NEW_LIBRARIES)];
        let content = serde_json::json!(
            {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5});
        std::fs::write(&notebook, content.to_string()).unwrap();
        command.args(["nb", "--update"]).arg(&notebook);
        let output = command.output().unwrap();
        let text = std::fs::read_to_string(&notebook).unwrap();
        let written: serde_json::Value = serde_json::from_str(&text).unwrap();
        let printed = &written["cells"][1]["outputs"][0]["text"];
        assert_eq!(printed, &serde_json::json!(["true []\n"]), "{output:?}");
    }
}

#[test]
#[ignore = "starts kernels, about a minute"]
fn kernels_neither_disturb_each_other_nor_the_template() {
    let mut first = Kernel::start();
    first.wait_until_ready();
    let template = files(&lab().join("templates"));
    assert!(!template.is_empty());

    let mut second = Kernel::start();
    let mut third = Kernel::start();
    second.wait_until_ready();
    third.wait_until_ready();
    assert!(first.folder().exists(), "a running kernel keeps its folder");
    assert_eq!(
        files(&lab().join("templates")),
        template,
        "a kernel changed the template"
    );

    let abandoned = first.folder();
    drop(first);
    assert!(abandoned.exists(), "nobody has cleaned up yet");
    let mut fourth = Kernel::start();
    fourth.wait_until_ready();
    assert!(
        !abandoned.exists(),
        "the next kernel removes what a killed one left"
    );
    assert!(second.folder().exists() && third.folder().exists());
}
