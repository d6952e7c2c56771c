//! The tool in the surroundings that readers have: other folders, file systems, Pythons, notebooks.
#![cfg(unix)]
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

/// This program, where the repository is now.
fn program() -> PathBuf {
    std::env::var_os("CARGO_BIN_EXE_ci").map_or(env!("CARGO_BIN_EXE_ci").into(), PathBuf::from)
}

fn package() -> PathBuf {
    std::env::var_os("CARGO_MANIFEST_DIR").unwrap().into()
}

/// A folder that has all of the repository that `cargo doctor` reads, with the program built in it.
fn repository(folder: &Path) {
    for name in [
        "ci",
        "dldna/src",
        "dldna/nn/src",
        "notebooks",
        "data",
        "target/debug",
    ] {
        fs::create_dir_all(folder.join(name)).unwrap();
    }
    let original = package().parent().unwrap().to_owned();
    for name in [
        "Cargo.toml",
        "Cargo.lock",
        "rust-toolchain.toml",
        "ci/Cargo.toml",
        "dldna/Cargo.toml",
        "dldna/nn/Cargo.toml",
    ] {
        fs::copy(original.join(name), folder.join(name)).unwrap();
    }
    fs::copy(program(), folder.join("target/debug/ci")).unwrap();
}

/// `cargo doctor` by the program in this folder, with nothing that cargo says of the package under test.
fn doctor(folder: &Path) -> Command {
    let mut command = Command::new(folder.join("target/debug/ci"));
    command
        .arg("doctor")
        .current_dir(folder)
        .env_remove("CARGO_MANIFEST_DIR")
        .env_remove("DLDNA_LAB");
    command
}

fn said(command: &mut Command) -> String {
    let Output { stdout, stderr, .. } = command.output().unwrap();
    String::from_utf8_lossy(&stdout).into_owned() + &String::from_utf8_lossy(&stderr)
}

#[track_caller]
fn line<'a>(text: &'a str, name: &str) -> &'a str {
    let mut lines = text.lines();
    lines
        .find(|line| {
            line.get(7..)
                .is_some_and(|rest| rest.starts_with(&format!("{name} ")))
        })
        .unwrap_or_else(|| panic!("nothing about {name}:\n{text}"))
}

fn temporary() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().canonicalize().unwrap();
    (folder, path)
}

#[test]
fn a_moved_repository_works_where_it_is() {
    let (_folder, path) = temporary();
    let (a, b) = (path.join("a"), path.join("b"));
    repository(&a);
    let name = |text: &str| line(text, "folder's name").to_owned();
    assert!(name(&said(&mut doctor(&a))).ends_with(a.join("dldna").to_str().unwrap()));
    fs::rename(&a, &b).unwrap();
    for below in [".", "notebooks"] {
        let text = said(doctor(&b).current_dir(b.join(below)));
        assert!(
            name(&text).ends_with(b.join("dldna").to_str().unwrap()),
            "{text}"
        );
        assert!(!text.contains(a.to_str().unwrap()), "{text}");
    }
    // The program of one, called in the other, works on the other.
    repository(&a);
    let text = said(doctor(&a).current_dir(&b));
    assert!(
        name(&text).ends_with(b.join("dldna").to_str().unwrap()),
        "{text}"
    );
}

#[test]
fn any_folder_name_is_read_by_cargo() {
    for name in [
        "Cafe\u{301}",
        "\u{e44}\u{e17}\u{e22} \u{bb9}\u{bbf}\u{a0}\u{2764}\u{fe0f}",
        "it's \"quoted\" \\u0041",
        "#1 [x] {y} $HOME a=b, c~",
    ] {
        let (_folder, path) = temporary();
        let folder = path.join(name);
        repository(&folder);
        let text = said(&mut doctor(&folder));
        for check in ["folder's name", "folder", "C compiler"] {
            assert!(line(&text, check).starts_with("ok "), "{name}: {text}");
        }
    }
}

#[test]
fn a_lab_that_cannot_be_written_is_named_and_can_be_moved() {
    let (_folder, path) = temporary();
    let folder = path.join("repository");
    repository(&folder);
    fs::write(folder.join(".lab"), "in the way").unwrap();
    let text = said(&mut doctor(&folder));
    let wrong = line(&text, "folder");
    assert!(wrong.starts_with("WRONG "), "{text}");
    assert!(
        wrong.contains("; set DLDNA_LAB to a folder of your own"),
        "{text}"
    );
    assert!(!text.contains("Everything is in place"));
    let lab = path.join("lab");
    let text = said(doctor(&folder).env("DLDNA_LAB", &lab));
    assert!(
        line(&text, "folder").ends_with(lab.to_str().unwrap()),
        "{text}"
    );
}

/// Python was upgraded: the environment's own does not start, or finds no packages.
#[test]
fn a_broken_environment_is_not_called_ok() {
    let (_folder, path) = temporary();
    let folder = path.join("repository");
    repository(&folder);
    let environment = folder.join(".lab/venv");
    fs::create_dir_all(environment.join("bin")).unwrap();
    let requirements = fs::read_to_string(package().join("requirements.txt")).unwrap();
    let record = format!("# in {}\n{requirements}", environment.display());
    fs::write(environment.join("requirements.txt"), record).unwrap();
    let python = environment.join("bin/python");
    fs::write(environment.join("bin/jupyter"), "").unwrap();
    for (target, words) in [
        ("/nonexistent", "does not start"),
        ("/bin/true", "finds no JupyterLab"),
    ] {
        let _ = fs::remove_file(&python);
        symlink(target, &python).unwrap();
        let text = said(&mut doctor(&folder));
        let wrong = line(&text, "JupyterLab");
        assert!(
            wrong.starts_with("WRONG ") && wrong.contains(words),
            "{text}"
        );
    }
}

fn script(path: &Path, text: &str) {
    fs::write(path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_new_python_beside_an_old_one_is_found() {
    let (_folder, path) = temporary();
    let folder = path.join("repository");
    repository(&folder);
    let programs = path.join("bin");
    fs::create_dir(&programs).unwrap();
    script(&programs.join("python3"), "echo 3 9");
    let only_old = said(doctor(&folder).env("PATH", &programs));
    assert!(
        line(&only_old, "Python").contains("is Python 3.9"),
        "{only_old}"
    );
    script(&programs.join("python3.11"), "exit 1"); // one that pyenv lists and does not have
    script(&programs.join("python3.12"), "echo 3 12");
    let text = said(doctor(&folder).env("PATH", &programs));
    let found = line(&text, "Python");
    assert!(
        found.starts_with("ok ") && found.ends_with("bin/python3.12"),
        "{text}"
    );
}

/// A notebook with these cells, without outputs.
fn notebook(cells: &[&str], tags: &[&str], metadata: &Value) -> Value {
    let cells = cells.iter().enumerate().map(|(index, source)| {
        json!({
            "cell_type": "code", "id": format!("c{index}"), "metadata": {"tags": tags},
            "execution_count": null, "outputs": [], "source": source,
        })
    });
    json!({"cells": cells.collect::<Vec<_>>(), "metadata": metadata, "nbformat": 4, "nbformat_minor": 5})
}

/// `cargo nb --update` on one notebook; with another kernel than our own where one is given.
fn nb(notebook: &Path) -> Command {
    let mut command = Command::new(program());
    command.arg("nb").arg(notebook).arg("--update");
    command
}

fn stock_kernel() -> String {
    let repository = package().parent().unwrap().to_owned();
    let lab = std::env::var_os("DLDNA_LAB").map_or(repository.join(".lab"), PathBuf::from);
    let program = lab.join("bin/evcxr_jupyter");
    assert!(program.is_file(), "run `cargo lab --no-browser` once");
    format!("{} --control_file {{connection_file}}", program.display())
}

#[test]
fn a_notebook_of_another_language_is_refused() {
    let (_folder, path) = temporary();
    let file = path.join("python.ipynb");
    for metadata in [
        json!({"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}),
        json!({"kernelspec": {"name": "python3", "display_name": "Python 3"}}),
        json!({"language_info": {"name": "julia"}}),
    ] {
        fs::write(&file, notebook(&["print(1)"], &[], &metadata).to_string()).unwrap();
        let text = said(nb(&file).args(["--kernel", "/no/such/kernel"]));
        assert!(text.contains("and the kernel here runs Rust"), "{text}");
    }
}

#[test]
fn what_a_cell_cannot_say_is_said() {
    let (_folder, path) = temporary();
    let cases = [
        (
            "let mut line = String::new();\nstd::io::stdin().read_line(&mut line);",
            "a notebook has no standard input",
        ),
        (
            ":dep dldna = { path = \"../dldna\" }",
            "starts from the folder of the notebook",
        ),
    ];
    for (index, (source, words)) in cases.into_iter().enumerate() {
        let file = path.join(format!("{index}.ipynb"));
        fs::write(
            &file,
            notebook(&[source], &["timeout:3"], &json!({})).to_string(),
        )
        .unwrap();
        let text = said(nb(&file).args(["--kernel", &stock_kernel()]));
        assert!(text.contains(words), "{text}");
    }
}

/// The processes that have a word in their environment.
fn processes_with(word: &str) -> Vec<String> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let marked = processes.filter(|process| {
        let environment = fs::read(process.path().join("environ")).unwrap_or_default();
        String::from_utf8_lossy(&environment).contains(word)
    });
    marked
        .map(|process| process.file_name().to_string_lossy().into_owned())
        .collect()
}

#[track_caller]
fn wait_for(what: &str, limit: Duration, is_so: impl Fn() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < limit, "not in {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A cell in an endless loop does not notice that its kernel is gone.
#[cfg(target_os = "linux")]
#[test]
fn no_kernel_outlives_a_killed_command() {
    let (_folder, path) = temporary();
    let temporary = path.join("tmp");
    fs::create_dir(&temporary).unwrap();
    let file = path.join("loop.ipynb");
    let running = path.join("running");
    let source = format!("std::fs::write({running:?}, \"\")?;\nloop {{}}");
    fs::write(&file, notebook(&[&source], &[], &json!({})).to_string()).unwrap();
    let mark = format!("DLDNA_TEST={}", path.display());
    let mut command = nb(&file)
        .args(["--kernel", &stock_kernel()])
        .env("DLDNA_TEST", &path)
        .env("TMPDIR", &temporary)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    wait_for("the cell runs", Duration::from_secs(180), || {
        running.exists()
    });
    assert!(processes_with(&mark).len() > 2);
    command.kill().unwrap(); // SIGKILL
    command.wait().unwrap();
    wait_for("all processes end", Duration::from_secs(10), || {
        processes_with(&mark).is_empty()
    });
    wait_for("no folder is left", Duration::from_secs(5), || {
        !fs::read_dir(&temporary)
            .unwrap()
            .flatten()
            .any(|entry| entry.file_name().to_string_lossy().starts_with("dldna-nb-"))
    });
}

/// A folder that was left is removed at the next start; one in use and a stranger's are not.
#[test]
fn folders_that_were_left_are_removed() {
    let (_folder, path) = temporary();
    let folder = |name: &str, lock: bool| {
        let folder = path.join(name);
        fs::create_dir(&folder).unwrap();
        if lock {
            fs::write(folder.join("lock"), "").unwrap();
        }
        folder
    };
    let left = folder("dldna-nb-left", true);
    let used = folder("dldna-nb-used", true);
    let others = [folder("dldna-nb-new", false), folder("other", true)];
    let lock = fs::File::open(used.join("lock")).unwrap();
    lock.lock().unwrap();
    let file = path.join("one.ipynb");
    fs::write(
        &file,
        notebook(&["let a = 1;"], &[], &json!({})).to_string(),
    )
    .unwrap();
    said(
        nb(&file)
            .args(["--kernel", "/no/such/kernel"])
            .env("TMPDIR", &path),
    );
    assert!(!left.exists());
    assert!(used.exists() && others.iter().all(|folder| folder.exists()));
}

/// What exFAT, shared folders of virtual machines and file systems of clusters refuse.
const REFUSE: &str = r#"
#include <errno.h>
int link(const char *a, const char *b) { errno = EPERM; return -1; }
int linkat(int x, const char *a, int y, const char *b, int f) { errno = EPERM; return -1; }
int symlink(const char *a, const char *b) { errno = EPERM; return -1; }
int symlinkat(const char *a, int x, const char *b) { errno = EPERM; return -1; }
int chmod(const char *a, unsigned m) { errno = EPERM; return -1; }
int flock(int fd, int op) { errno = ENOLCK; return -1; }
"#;

/// With our own kernel, and the notebooks' crate.
#[cfg(target_os = "linux")]
#[test]
fn a_kernel_needs_neither_links_nor_locks_nor_modes() {
    let (_folder, path) = temporary();
    let (source, library) = (path.join("refuse.c"), path.join("refuse.so"));
    fs::write(&source, REFUSE).unwrap();
    let compiled = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .args([&library, &source])
        .status()
        .unwrap();
    assert!(compiled.success());
    let file = path.join("one.ipynb");
    let cell = "let zeros: Tensor<Rank1<2>, f32, Cpu> = Cpu::default().zeros();\nprintln!(\"{:?}\", zeros.array());";
    fs::write(
        &file,
        notebook(&[cell], &["timeout:120"], &json!({})).to_string(),
    )
    .unwrap();
    let text = said(nb(&file).env("LD_PRELOAD", &library));
    assert!(text.contains("1 of 1 notebooks passed"), "{text}");
    let written: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    assert_eq!(
        written["cells"][0]["outputs"][0]["text"],
        json!(["[0.0, 0.0]\n"])
    );
}

/// On its own the kernel's program prints the first value behind a `?` as `{:?}` does.
#[test]
fn the_first_question_mark_of_a_notebook_shows_the_figure() {
    let (_folder, path) = temporary();
    let file = path.join("one.ipynb");
    let cell = "Chart::new(\"a\").line(\"b\", &[1.0, 2.0], &[1.0, 2.0]).draw()?";
    fs::write(
        &file,
        notebook(&[cell], &["timeout:120"], &json!({})).to_string(),
    )
    .unwrap();
    said(&mut nb(&file));
    let written: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    let outputs = &written["cells"][0]["outputs"];
    let shown = outputs[0]["data"]
        .as_object()
        .unwrap_or_else(|| panic!("{outputs}"));
    assert!(
        shown
            .keys()
            .any(|kind| kind.starts_with("image/") || kind == "text/html"),
        "{outputs}"
    );
}
