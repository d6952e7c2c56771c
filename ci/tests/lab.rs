//! `cargo lab` while the kernel's program or the crate is built, with a stand-in for JupyterLab. Needs the notebooks' own kernel, with
//! the crate: `cargo lab --no-browser` sets it up.
#![cfg(unix)]
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

mod labs;
use labs::script;

const LIMIT: Duration = Duration::from_secs(30);

/// In place of the environment's Python: as JupyterLab it runs until there is a file `close`, and ends with status 7, or until it is
/// terminated, and ends with 5.
const PYTHON: &str = r#"#!/bin/sh
case "$*" in
    *find_spec*) echo True ;;
    *"-m jupyterlab"*)
        trap 'exit 5' TERM
        echo "JupyterLab logs" >&2
        while [ ! -e "$DLDNA_LAB/close" ]; do sleep 0.1; done
        exit 7 ;;
esac
"#;

/// Puts the stand-in in place, such that it counts as installed.
fn install_python(lab: &Path) {
    let environment = lab.join("venv");
    script(&environment.join("bin/python"), PYTHON);
    let record = format!(
        "# in {}\n{}",
        environment.display(),
        include_str!("../requirements.txt")
    );
    fs::write(environment.join("requirements.txt"), record).unwrap();
}

/// `cargo lab` that runs.
struct Lab {
    process: Child,
    lines: Receiver<String>,
    said: String,
}

impl Lab {
    fn start(lab: &Path, set: impl FnOnce(&mut Command)) -> Self {
        install_python(lab);
        let mut command = Command::new(env!("CARGO_BIN_EXE_ci"));
        command
            .args(["lab", "--no-browser"])
            .env("DLDNA_LAB", lab)
            .process_group(0) // as a shell does
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        set(&mut command);
        let mut process = command.spawn().unwrap();
        let says = BufReader::new(process.stderr.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in says.lines() {
                let _ = sender.send(line.unwrap());
            }
        });
        Lab {
            process,
            lines,
            said: String::new(),
        }
    }

    /// Reads what it says until it has said this.
    #[track_caller]
    fn says(&mut self, words: &str) {
        while !self.said.contains(words) {
            let line = self.lines.recv_timeout(LIMIT);
            let line = line.unwrap_or_else(|_| panic!("no {words:?} in:\n{}", self.said));
            self.said += &format!("{line}\n");
        }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process), signal).unwrap();
    }

    /// Its status at its end.
    #[track_caller]
    fn ends(mut self) -> Option<i32> {
        wait_for("the end", || self.process.try_wait().unwrap().is_some());
        self.process.wait().unwrap().code()
    }
}

/// A test that fails leaves nothing that runs.
impl Drop for Lab {
    fn drop(&mut self) {
        if self.process.try_wait().is_ok_and(|ended| ended.is_none()) {
            self.signal(Signal::TERM);
        }
    }
}

#[track_caller]
fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < LIMIT, "not in {LIMIT:?}: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn jupyterlab_opens_while_the_crate_is_built_and_ends_with_its_own_status() {
    let lab = labs::without_template();
    let lock = labs::building(lab.path(), "templates/lock");
    let mut running = Lab::start(lab.path(), |_| ());
    running.says("can be read already");
    running.says("JupyterLab logs");
    assert!(
        !running.said.contains("cells answer now"),
        "{}",
        running.said
    );
    labs::add_templates(lab.path());
    drop(lock);
    running.says("All is built: cells answer now");
    fs::write(lab.path().join("close"), "").unwrap();
    assert_eq!(running.ends(), Some(7));
}

#[test]
fn where_nothing_is_to_be_built_this_process_becomes_jupyterlab() {
    let lab = labs::without_template();
    labs::add_templates(lab.path());
    let mut running = Lab::start(lab.path(), |_| ());
    running.says("JupyterLab logs");
    assert!(
        !running.said.contains("can be read already"),
        "{}",
        running.said
    );
    running.signal(Signal::TERM);
    assert_eq!(running.ends(), Some(5));
}

#[test]
fn after_a_build_that_fails_jupyterlab_stays_open() {
    let lab = tempfile::tempdir().unwrap();
    let programs = lab.path().join("programs");
    script(
        &programs.join("rustup"),
        "#!/bin/sh\necho it is offline >&2; exit 1\n",
    );
    let lock = labs::building(lab.path(), "install.lock");
    let mut running = Lab::start(lab.path(), |command| {
        without_kernel(command, lab.path());
    });
    running.says("JupyterLab logs");
    drop(lock);
    running.says("error: Rust kernel is not ready: rustup finds no rustc");
    running.says("it is offline");
    running.says("JupyterLab stays open to read");
    assert!(running.process.try_wait().unwrap().is_none());
    fs::write(lab.path().join("close"), "").unwrap();
    assert_eq!(running.ends(), Some(7));
}

/// What could be found of a kernel elsewhere is hidden; programs in the lab come first.
fn without_kernel(command: &mut Command, lab: &Path) {
    let programs = lab.join("programs");
    command
        .env("PATH", format!("{}:/usr/bin:/bin", programs.display()))
        .env("CARGO_HOME", lab.join("empty"));
}

#[test]
fn one_signal_ends_jupyterlab_and_the_builds() {
    for signal in [Signal::INT, Signal::TERM] {
        let lab = tempfile::tempdir().unwrap();
        let build = lab.path().join("build");
        // In place of a build: it notes its process, and takes no notice of Ctrl-C.
        let text = format!(
            "#!/bin/sh\ntrap '' INT\necho $$ > {0}.new && mv {0}.new {0}\nexec sleep 600\n",
            build.display()
        );
        script(&lab.path().join("programs/cargo-binstall"), &text);
        fs::create_dir(lab.path().join("templates")).unwrap();
        let _lock = labs::building(lab.path(), "templates/lock");
        let mut running = Lab::start(lab.path(), |command| without_kernel(command, lab.path()));
        running.says("JupyterLab logs");
        wait_for("the build", || build.exists());
        let build = labs::process(&build);
        assert!(labs::runs(build));
        running.signal(signal);
        running.says("What is built so far is kept");
        assert_eq!(running.ends(), Some(5));
        wait_for("the build's end", || !labs::runs(build));
    }
}
