//! Kernels side by side, and kernels that are killed. Needs the kernel's program (`cargo lab`
//! installs it) and takes about a minute: `cargo test -p ci --test kernels -- --ignored`.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant, SystemTime};

fn lab() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
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
