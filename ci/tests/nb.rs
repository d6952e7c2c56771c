//! `cargo nb` from the outside, with the real kernel and small notebooks made here.
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

/// This package, where it is now.
fn package() -> PathBuf {
    std::env::var_os("CARGO_MANIFEST_DIR").unwrap().into()
}

/// The kernel: a test without it would test nothing, so it fails and says how to get one.
fn evcxr() -> PathBuf {
    let named = std::env::var_os("DLDNA_EVCXR").map(PathBuf::from);
    let in_lab = package().join("../.lab/bin/evcxr_jupyter");
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&on_path).map(|folder| folder.join("evcxr_jupyter"));
    named
        .into_iter()
        .chain([in_lab])
        .chain(on_path)
        .find(|path| path.is_file())
        .expect(
            "these tests need the notebook kernel: run `cargo lab --no-browser` once, \
         or set DLDNA_EVCXR to an evcxr_jupyter",
        )
}

/// A folder with notebooks, and the command run on them.
struct Workspace {
    folder: TempDir,
    /// Every process of the workspace carries it in its environment.
    mark: String,
}

impl Workspace {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("tmp")).unwrap();
        let mark = folder
            .path()
            .file_name()
            .unwrap()
            .to_string_lossy()
            .into_owned();
        Workspace { folder, mark }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.ipynb"))
    }

    fn write(&self, name: &str, notebook: &Value) {
        std::fs::write(self.path(name), notebook.to_string()).unwrap();
    }

    fn read(&self, name: &str) -> Value {
        serde_json::from_str(&self.text(name)).unwrap()
    }

    fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    /// The command with the stock kernel, which starts in seconds.
    fn command(&self, names: &[&str], options: &[&str]) -> Command {
        let kernel = format!("{} --control_file {{connection_file}}", evcxr().display());
        let mut command = Command::new(env!("CARGO_BIN_EXE_ci"));
        command
            .arg("nb")
            .args(names.iter().map(|name| self.path(name)))
            .args(["--kernel", &kernel])
            .args(options)
            .env("DLDNA_NB_TEST", &self.mark)
            .env("TMPDIR", self.folder.path().join("tmp"))
            .env_remove("EVCXR_TMPDIR");
        command
    }

    fn run(&self, names: &[&str], options: &[&str]) -> Finished {
        let finished = Finished::new(self.command(names, options).output().unwrap());
        self.assert_nothing_left();
        finished
    }

    /// No kernel, cell process or compiler survives the command.
    fn assert_nothing_left(&self) {
        if !cfg!(target_os = "linux") {
            return;
        }
        // A killed process may take a moment to go.
        let deadline = Instant::now() + Duration::from_secs(5);
        while !self.survivors().is_empty() {
            assert!(
                Instant::now() < deadline,
                "left behind: {:?}",
                self.survivors()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn survivors(&self) -> Vec<String> {
        let wanted = format!("DLDNA_NB_TEST={}", self.mark);
        let processes = std::fs::read_dir("/proc")
            .unwrap()
            .flatten()
            .map(|entry| entry.path());
        processes
            .filter(|process| {
                let environment = std::fs::read(process.join("environ")).unwrap_or_default();
                String::from_utf8_lossy(&environment)
                    .split('\0')
                    .any(|variable| variable == wanted)
            })
            .map(|process| {
                let line = std::fs::read(process.join("cmdline")).unwrap_or_default();
                format!(
                    "{} {}",
                    process.display(),
                    String::from_utf8_lossy(&line).replace('\0', " ")
                )
            })
            .collect()
    }
}

struct Finished {
    success: bool,
    text: String,
}

impl Finished {
    fn new(output: Output) -> Self {
        let (out, err) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        Finished {
            success: output.status.success(),
            text: format!("{out}{err}"),
        }
    }

    #[track_caller]
    fn says(&self, words: &str) {
        assert!(
            self.text.contains(words),
            "missing: {words}\n--- it said:\n{}",
            self.text
        );
    }

    #[track_caller]
    fn passed(&self) {
        assert!(self.success, "it failed:\n{}", self.text);
    }

    #[track_caller]
    fn failed(&self) {
        assert!(!self.success, "it passed:\n{}", self.text);
    }

    /// The message about one notebook.
    #[track_caller]
    fn failure(&self, name: &str) -> &str {
        let start = format!("/{name}: ");
        let Some(position) = self
            .text
            .lines()
            .position(|line| line.starts_with("FAILED ") && line.contains(&start))
        else {
            panic!("no failure of {name}:\n{}", self.text)
        };
        let offset: usize = self
            .text
            .lines()
            .take(position)
            .map(|line| line.len() + 1)
            .sum();
        let rest = &self.text[offset..];
        rest.split("\n\n").next().unwrap_or(rest)
    }
}

/// A notebook of code cells without outputs: source and tags, separated by spaces.
fn notebook(cells: &[(&str, &str)]) -> Value {
    let cells: Vec<Value> = cells
        .iter()
        .enumerate()
        .map(|(index, (source, tags))| {
            let tags: Vec<&str> = tags.split_whitespace().collect();
            json!({
                "cell_type": "code", "id": format!("c{index}"), "metadata": {"tags": tags},
                "execution_count": null, "outputs": [], "source": source,
            })
        })
        .collect();
    json!({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5})
}

fn image(dark: std::ops::Range<u32>) -> String {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 64, 64);
    encoder.set_color(png::ColorType::Grayscale);
    let pixels: Vec<u8> = (0..64 * 64)
        .map(|index| if dark.contains(&(index % 64)) { 0 } else { 255 })
        .collect();
    encoder
        .write_header()
        .unwrap()
        .write_image_data(&pixels)
        .unwrap();
    STANDARD.encode(bytes)
}

#[test]
fn failing_cells_fail_the_run() {
    let workspace = Workspace::new();
    let after = ("println!(\"not reached\");", "");
    let cases: &[(&str, &str, &str, &[&str])] = &[
        (
            "panic",
            "let v: Vec<i32> = Vec::new();\nlet x = v[3];",
            "",
            &[
                "cell [2]: it panicked",
                "let v: Vec<i32>",
                "index out of bounds",
            ],
        ),
        (
            "question_mark",
            "let n: i32 = \"x\".parse()?;",
            "",
            &[
                "cell [2]: it stopped at a `?`",
                "invalid digit found in string",
            ],
        ),
        (
            "compile_error",
            "let b: u8 = \"x\";",
            "",
            &["cell [2]: the compiler", "mismatched types"],
        ),
        (
            "aborted",
            "std::process::abort();",
            "",
            &[
                "cell [2]: the process that runs the cells died",
                "signal: 6",
            ],
        ),
        (
            "killed",
            "std::process::Command::new(\"kill\").args([\"-9\", &std::process::id().to_string()]).status().unwrap();\nstd::thread::sleep(std::time::Duration::from_secs(60));",
            "raises-exception",
            &[
                "cell [2]: the process that runs the cells died",
                "signal: 9",
            ],
        ),
        (
            "kernel_killed",
            "std::process::Command::new(\"kill\").args([\"-9\", &std::os::unix::process::parent_id().to_string()]).status().unwrap();\nstd::thread::sleep(std::time::Duration::from_secs(60));",
            "",
            &["cell [2]: the kernel died", "signal: 9"],
        ),
        (
            "hung",
            "println!(\"before\");\nloop { std::thread::sleep(std::time::Duration::from_secs(1)); }",
            "timeout:4",
            &[
                "cell [2]: it was stopped at its time limit of 4 s",
                "loop {",
            ],
        ),
        (
            "not_raised",
            "let fine = 1;",
            "raises-exception",
            &["cell [2]: it ran to its end, but is tagged raises-exception"],
        ),
        (
            "open_line",
            "print!(\"no line end\");",
            "",
            &["cell [2]: its standard output does not end with a line end"],
        ),
    ];
    for (name, source, tags, _) in cases {
        workspace.write(
            name,
            &notebook(&[("let first = 1;", ""), (source, tags), after]),
        );
    }
    let before: Vec<String> = cases
        .iter()
        .map(|(name, ..)| workspace.text(name))
        .collect();
    let names: Vec<&str> = cases.iter().map(|(name, ..)| *name).collect();
    let finished = workspace.run(&names, &["--update"]);

    finished.failed();
    finished.says(&format!("0 of {} notebooks passed", cases.len()));
    for ((name, _, _, words), before) in cases.iter().zip(&before) {
        let failure = finished.failure(name);
        for words in *words {
            assert!(
                failure.contains(words),
                "{name}: missing: {words}\n--- it said:\n{}",
                finished.text
            );
        }
        assert!(
            !finished.text.contains(&format!("/{name}  cell 3/3")),
            "{name} went on:\n{}",
            finished.text
        );
        assert_eq!(&workspace.text(name), before, "{name} was written");
    }
}

#[test]
fn expected_failures_and_words_about_panics_pass() {
    let workspace = Workspace::new();
    workspace.write(
        "good",
        &notebook(&[
            ("let v = vec![1, 2];\nlet kept = 5;", ""),
            ("let x = v[3];", "raises-exception"),
            ("let n: i32 = \"x\".parse()?;", "raises-exception"),
            ("let b: u8 = \"x\";", "raises-exception"),
            ("eprintln!(\"thread 'main' panicked at noon\");\neprintln!(\"error: invalid digit\");\nlet n: i32 = \"4\".parse()?;", ""),
            ("std::thread::spawn(|| panic!(\"elsewhere\")).join().is_err();", ""),
            ("for i in 0..3 { print!(\"\\rstep {i}\"); }\nprintln!(\"\\rdone  \");", ""),
            ("kept + n", ""),
        ]),
    );
    workspace.run(&["good"], &["--update"]).passed();
    let written = workspace.read("good");
    let outputs = |cell: usize| written["cells"][cell]["outputs"].clone();
    let counts: Vec<u64> = (0..8)
        .map(|cell| written["cells"][cell]["execution_count"].as_u64().unwrap())
        .collect();
    assert_eq!(counts, [1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(
        outputs(1)[0]["text"],
        json!([
            "thread '<unnamed>' panicked at this cell:\n",
            "index out of bounds: the len is 2 but the index is 3\n"
        ])
    );
    assert_eq!(
        outputs(2)[0]["text"],
        json!(["invalid digit found in string\n"])
    );
    let error = &outputs(3)[0];
    assert_eq!(
        (&error["output_type"], &error["evalue"]),
        (&json!("error"), &json!("mismatched types"))
    );
    let traceback = error["traceback"].to_string();
    assert!(
        traceback.contains("cell_4:1:") && !traceback.contains("38;5"),
        "{traceback}"
    );
    assert_eq!(outputs(6)[0]["text"], json!(["done\n"]));
    assert_eq!(outputs(7)[0]["data"]["text/plain"], json!(["9"]));

    let first = workspace.text("good");
    workspace.run(&["good"], &["--update"]).passed();
    assert_eq!(
        workspace.text("good"),
        first,
        "a second update changed the file"
    );
}

#[test]
fn outputs_are_compared_with_the_committed_ones() {
    let workspace = Workspace::new();
    let show = |mime: &str, content: &str| {
        format!("println!(\"EVCXR_BEGIN_CONTENT {mime}\\n{content}\\nEVCXR_END_CONTENT\");")
    };
    std::fs::write(workspace.folder.path().join("figure"), image(20..24)).unwrap();
    let read = "let figure = std::fs::read_to_string(\"figure\")?;";
    let figure = format!("{read}\n{}", show("image/png", "{figure}"));
    let page = show("text/html", "<b>0.5000</b>");
    let clock = "println!(\"{} s\", std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos());";
    let cells = [
        ("println!(\"{} of {}\", 0.250001, 12);", ""),
        (figure.as_str(), ""),
        (page.as_str(), ""),
        (clock, "volatile"),
    ];
    workspace.write("same", &notebook(&cells));
    let finished = workspace.run(&["same"], &["--update", "--timings"]);
    finished.passed();
    finished.says("first figure");
    let committed = workspace.read("same");

    let changed = |name: &str, change: &dyn Fn(&mut Value)| {
        let mut notebook = committed.clone();
        change(&mut notebook["cells"]);
        let mut text = Vec::new();
        let formatter = serde_json::ser::PrettyFormatter::with_indent(b" ");
        let mut serializer = serde_json::Serializer::with_formatter(&mut text, formatter);
        serde::Serialize::serialize(&notebook, &mut serializer).unwrap();
        text.push(b'\n');
        std::fs::write(workspace.path(name), text).unwrap();
    };
    changed("number_within", &|cells| {
        cells[0]["outputs"][0]["text"] = json!(["0.25001 of 12\n"])
    });
    changed("number_outside", &|cells| {
        cells[0]["outputs"][0]["text"] = json!(["0.251 of 12\n"])
    });
    changed("stale", &|cells| cells[0]["outputs"] = json!([]));
    changed("other_image", &|cells| {
        cells[1]["outputs"][0]["data"]["image/png"] = json!(image(40..44))
    });
    changed("other_page", &|cells| {
        cells[2]["outputs"][0]["data"]["text/html"] = json!(["<i>0.5000</i>"])
    });
    changed("other_kind", &|cells| {
        cells[3]["outputs"][0]["name"] = json!("stderr")
    });
    let finished = workspace.run(
        &[
            "same",
            "number_within",
            "number_outside",
            "stale",
            "other_image",
            "other_page",
            "other_kind",
        ],
        &[],
    );
    finished.failed();
    finished.says("2 of 7 notebooks passed");
    for (name, words) in [
        (
            "number_outside",
            "cell [1] differs from the committed output: stdout, line 1\nexpected: 0.251 of 12\n     got: 0.250001 of 12",
        ),
        (
            "stale",
            "cell [1] differs from the committed output: expected: no output\n     got: stdout",
        ),
        (
            "other_image",
            "cell [2] differs from the committed output: image/png, the image looks different",
        ),
        (
            "other_page",
            "cell [3] differs from the committed output: text/html, line 1\nexpected: <i>0.5000</i>\n     got: <b>0.5000</b>",
        ),
        (
            "other_kind",
            "cell [4] differs from the committed output: expected: stderr\n     got: stdout",
        ),
    ] {
        let failure = finished.failure(name);
        assert!(
            failure.contains(words),
            "{name}: missing: {words}\n--- it said:\n{}",
            finished.text
        );
    }
    let before = workspace.text("same");
    workspace.run(&["same", "stale"], &["--update"]).passed();
    assert_eq!(
        workspace.text("same"),
        before,
        "an update without changes changed the file"
    );
    assert_eq!(
        workspace.read("stale")["cells"][0]["outputs"],
        committed["cells"][0]["outputs"]
    );
}

/// The marks of the runs that the cells' outputs come from.
fn marks(notebook: &Value) -> Vec<String> {
    let cells = notebook["cells"].as_array().unwrap();
    let marks = cells
        .iter()
        .map(|cell| cell["metadata"]["dldna_run"].as_str().unwrap());
    marks.map(str::to_owned).collect()
}

#[test]
fn an_update_writes_all_outputs_or_none() {
    let workspace = Workspace::new();
    let clock = "println!(\"{} s\", std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos());";
    workspace.write(
        "one",
        &notebook(&[(clock, "volatile"), ("println!(\"2 rows\");", "")]),
    );
    workspace.run(&["one"], &["--update"]).passed();
    let first = workspace.read("one");
    assert_eq!(marks(&first)[0], marks(&first)[1]);

    let mut mixed = first.clone();
    mixed["cells"][1]["metadata"]["dldna_run"] = json!("another");
    mixed["cells"][1]["outputs"][0]["text"] = json!(["3 rows\n"]);
    workspace.write("one", &mixed);
    let checked = workspace.run(&["one"], &[]);
    checked.failed();
    checked.says("the outputs of [2] come from another run than that of [1]");

    workspace.run(&["one"], &["--update"]).passed();
    let second = workspace.read("one");
    assert_eq!(marks(&second)[0], marks(&second)[1]);
    assert_ne!(marks(&second)[0], marks(&first)[0]);
    let time = |notebook: &Value| notebook["cells"][0]["outputs"][0]["text"].clone();
    assert_ne!(time(&second), time(&first), "the old time was kept");
}

#[test]
fn an_update_formats_cells_and_looks_for_quoted_numbers() {
    let workspace = Workspace::new();
    let mut notebook = notebook(&[("let a=0.5;\nprintln!( \"{a}\" );", "")]);
    let text = "It is 0.5<!-- output --> and 0.7<!-- output -->.";
    let text = json!({"cell_type": "markdown", "id": "said", "metadata": {}, "source": text});
    notebook["cells"].as_array_mut().unwrap().push(text);
    workspace.write("one", &notebook);
    let finished = workspace.run(&["one"], &["--update"]);
    finished.failed();
    finished.says("the text said after cell [1]: it quotes 0.7, which no cell prints");

    let mut written = workspace.read("one");
    let code = &mut written["cells"][0]["source"];
    assert_eq!(*code, json!(["let a = 0.5;\n", "println!(\"{a}\");"]));
    *code = json!(["let a=0.5;\n", "println!(\"{a}\");"]);
    workspace.write("one", &written);
    let finished = workspace.run(&["one"], &[]);
    finished.failed();
    finished.says("cell [1]: it is not as rustfmt writes it; run `cargo nb");
}

/// Each cell is a library of its own. If each had the crate in it, each would count dfdx's tensors from zero, and
/// two tensors of two cells would share a gradient. (The lab's own kernel, with the crate: `cargo lab` builds both.)
#[test]
fn gradients_of_tensors_from_different_cells_stay_apart() {
    let workspace = Workspace::new();
    let crate_folder = package().join("../dldna");
    let load = format!(
        ":dep dldna = {{ path = {:?} }}\nuse dldna::prelude::*;\nlet dev = Cpu::seed_from_u64(0);",
        crate_folder.canonicalize().unwrap()
    );
    workspace.write(
        "cells",
        &notebook(&[
            (&load, "timeout:600"),
            ("let a = dev.tensor([2.0f32]);", ""),
            ("let b = dev.tensor([3.0f32]);", ""),
            (
                "let gradients = (a.leaky_trace() * b.clone()).sum::<Rank0, _>().backward();\n\
                 println!(\"{:?} {:?}\", gradients.get(&a).array(), gradients.get(&b).array());",
                "",
            ),
        ]),
    );
    let mut command = Command::new(env!("CARGO_BIN_EXE_ci"));
    command
        .arg("nb")
        .arg(workspace.path("cells"))
        .arg("--update");
    Finished::new(command.output().unwrap()).passed();
    // d(ab)/da = b and d(ab)/db = a.
    let printed = &workspace.read("cells")["cells"][3]["outputs"][0]["text"];
    assert_eq!(printed, &json!(["[3.0] [2.0]\n"]));
}

#[test]
fn an_interrupt_ends_every_kernel() {
    let workspace = Workspace::new();
    let sleep = "std::thread::sleep(std::time::Duration::from_secs(100));";
    for name in ["one", "two"] {
        workspace.write(name, &notebook(&[("let ready = 1;", ""), (sleep, "")]));
    }
    let log = std::fs::File::create(workspace.folder.path().join("log")).unwrap();
    let mut running = workspace
        .command(&["one", "two"], &[])
        .stdout(log)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        let log = std::fs::read_to_string(workspace.folder.path().join("log")).unwrap();
        if log.matches("cell 1/2").count() == 2 {
            break;
        }
        assert!(
            Instant::now() < deadline,
            "the kernels did not start:\n{log}"
        );
        std::thread::sleep(Duration::from_millis(100));
    }
    let signalled = Command::new("kill")
        .args(["-INT", &running.id().to_string()])
        .status()
        .unwrap();
    assert!(signalled.success());
    assert!(!running.wait().unwrap().success());
    workspace.assert_nothing_left();
}

#[test]
fn a_kernel_that_does_not_start_is_named() {
    let workspace = Workspace::new();
    workspace.write("one", &notebook(&[("let a = 1;", "")]));
    let run = |kernel: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ci"));
        Finished::new(
            command
                .arg("nb")
                .arg(workspace.path("one"))
                .args(["--kernel", kernel])
                .output()
                .unwrap(),
        )
    };
    let missing = run("/no/such/kernel {connection_file}");
    missing.failed();
    missing.says("could not start the kernel: /no/such/kernel");
    let ended = run("ls {connection_file} /no/such/file");
    ended.failed();
    ended.says("the kernel ended while starting (exit status: 2); it wrote:");
    ended.says("/no/such/file");
}

/// Whoever reads the connection file can run code in the kernel.
#[cfg(unix)]
#[test]
fn only_the_owner_can_read_the_connection_file() {
    let workspace = Workspace::new();
    workspace.write("one", &notebook(&[("let a = 1;", "")]));
    let script = workspace.folder.path().join("kernel.sh");
    std::fs::write(&script, "ls -ld \"$1\" \"$(dirname \"$1\")\"\nexit 2\n").unwrap();
    let kernel = format!("sh {} {{connection_file}}", script.display());
    let output = Command::new("sh")
        .args([
            "-c",
            "umask 000; exec \"$@\"",
            "sh",
            env!("CARGO_BIN_EXE_ci"),
            "nb",
        ])
        .arg(workspace.path("one"))
        .args(["--kernel", &kernel])
        .output()
        .unwrap();
    let finished = Finished::new(output);
    finished.failed();
    let listed = |mode: &str, name: &str| {
        let mut lines = finished.text.lines();
        assert!(
            lines.any(|line| line.starts_with(mode) && line.contains(name)),
            "{name} is not {mode}:\n{}",
            finished.text
        );
    };
    listed("-rw-------", "connection.json");
    listed("drwx------", "dldna-nb-");
}

#[test]
fn a_name_without_a_notebook_is_an_error() {
    let finished = Finished::new(
        Command::new(env!("CARGO_BIN_EXE_ci"))
            .args(["nb", "99_no_such_notebook"])
            .output()
            .unwrap(),
    );
    finished.failed();
    finished.says("no notebook begins with \"99_no_such_notebook\"");
}
