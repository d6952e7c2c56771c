//! What a reader is told of a cell that ends badly, and of one that waits for the kernel. Needs the notebooks' own kernel, with the crate: `cargo lab --no-browser` sets it
//! up.
#![cfg(unix)] // elsewhere nothing stands between Jupyter and the kernel's program
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use jupyter_protocol::{
    CommInfoRequest, ConnectionInfo, ExecuteRequest, ExecutionState, InterruptRequest,
    JupyterMessage, JupyterMessageContent, KernelInfoReply, KernelInfoRequest, ReplyStatus,
    ShutdownRequest, Transport,
};
use jupyter_zmq_client::{
    ClientControlConnection, ClientIoPubConnection, ClientShellConnection,
    create_client_control_connection, create_client_iopub_connection,
    create_client_shell_connection_with_identity, peek_ports_with_listeners,
    peer_identity_for_session,
};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};

mod labs;

const LIMIT: Duration = Duration::from_secs(900);

/// When a cell is stopped.
#[derive(Clone, Copy, PartialEq)]
enum Stop {
    Compiling,
    Printed,
}

/// A kernel as JupyterLab starts it.
struct Kernel {
    process: Child,
    shell: ClientShellConnection,
    control: ClientControlConnection,
    iopub: ClientIoPubConnection,
    _folder: TempDir,
}

/// A connection file as Jupyter writes it, in this folder, and what holds its ports.
async fn connection(folder: &Path) -> (PathBuf, ConnectionInfo, Vec<TcpListener>) {
    let (ports, listeners) = peek_ports_with_listeners([127, 0, 0, 1].into(), 5)
        .await
        .unwrap();
    let info = ConnectionInfo {
        ip: "127.0.0.1".to_owned(),
        transport: Transport::TCP,
        shell_port: ports[0],
        iopub_port: ports[1],
        stdin_port: ports[2],
        control_port: ports[3],
        hb_port: ports[4],
        key: "a key".to_owned(),
        signature_scheme: "hmac-sha256".to_owned(),
        kernel_name: None,
    };
    let file = folder.join("connection.json");
    std::fs::write(&file, serde_json::to_vec(&info).unwrap()).unwrap();
    (file, info, listeners)
}

/// The request to run a cell.
fn cell(code: &str) -> JupyterMessage {
    JupyterMessage::new(ExecuteRequest::new(code.to_owned()), None)
}

impl Kernel {
    async fn start() -> Self {
        Self::start_with(|_| ()).await
    }

    /// One whose process gets another environment, say.
    async fn start_with(set: impl FnOnce(&mut Command)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (file, info, listeners) = connection(folder.path()).await;
        drop(listeners);
        let mut command = Command::new(env!("CARGO_BIN_EXE_ci"));
        command.arg("kernel").arg(&file).stdout(Stdio::null());
        set(&mut command);
        let process = command.spawn().unwrap();
        let connections = async {
            loop {
                // Refused until the kernel has opened its ports.
                let shell = create_client_shell_connection_with_identity(
                    &info,
                    "session",
                    peer_identity_for_session("session").unwrap(),
                )
                .await;
                let control = create_client_control_connection(&info, "session").await;
                let iopub = create_client_iopub_connection(&info, "", "session").await;
                if let (Ok(shell), Ok(control), Ok(iopub)) = (shell, control, iopub) {
                    return (shell, control, iopub);
                }
                sleep(Duration::from_millis(100)).await;
            }
        };
        let (shell, control, iopub) = timeout(LIMIT, connections).await.unwrap();
        let mut kernel = Kernel {
            process,
            shell,
            control,
            iopub,
            _folder: folder,
        };
        // A subscription is only served some time after the connection stands.
        loop {
            kernel.info().await;
            let published = timeout(Duration::from_millis(100), kernel.iopub.read());
            if published.await.is_ok() {
                return kernel;
            }
        }
    }

    /// What the kernel says of itself.
    async fn info(&mut self) -> KernelInfoReply {
        let request = JupyterMessage::new(KernelInfoRequest {}, None);
        self.shell.send(request).await.unwrap();
        let reply = timeout(LIMIT, self.shell.read()).await.unwrap().unwrap();
        match reply.content {
            JupyterMessageContent::KernelInfoReply(info) => *info,
            other => panic!("{other:?}"),
        }
    }

    /// Sends a cell, and returns its number.
    async fn send(&mut self, code: &str) -> String {
        let request = cell(code);
        let id = request.header.msg_id.clone();
        self.shell.send(request).await.unwrap();
        id
    }

    /// What is published next about this cell.
    async fn published(&mut self, id: &str) -> JupyterMessageContent {
        loop {
            let message = timeout(LIMIT, self.iopub.read()).await.unwrap().unwrap();
            if message.parent_header.is_some_and(|it| it.msg_id == id) {
                return message.content;
            }
        }
    }

    /// Asserts that the cell says what it waits for.
    async fn waits(&mut self, id: &str) {
        assert_state(self.published(id).await, ExecutionState::Busy);
        match self.published(id).await {
            JupyterMessageContent::StreamContent(stream) => {
                assert!(stream.text.contains("still being built"), "{stream:?}");
            }
            other => panic!("{other:?}"),
        }
    }

    /// Asserts that the cell, which has waited, ends with an error, and returns its words.
    async fn fails(&mut self, id: &str) -> String {
        let cleared = self.published(id).await;
        assert_eq!(cleared.message_type(), "clear_output");
        let JupyterMessageContent::ErrorOutput(error) = self.published(id).await else {
            panic!("no error");
        };
        assert_state(self.published(id).await, ExecutionState::Idle);
        assert_eq!(self.status(id).await, ReplyStatus::Error);
        error.traceback.join("\n")
    }

    /// How the reply to this cell, the next that comes, says that it ended.
    async fn status(&mut self, id: &str) -> ReplyStatus {
        let reply = timeout(LIMIT, self.shell.read()).await.unwrap().unwrap();
        assert_eq!(reply.parent_header.unwrap().msg_id, id);
        match reply.content {
            JupyterMessageContent::ExecuteReply(reply) => reply.status,
            other => panic!("{other:?}"),
        }
    }

    /// The end of its process, which has to come soon.
    async fn ended(&mut self) -> ExitStatus {
        let end = async {
            loop {
                if let Some(status) = self.process.try_wait().unwrap() {
                    return status;
                }
                sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(Duration::from_secs(10), end).await.unwrap()
    }

    /// What the cell shows: what it printed and its errors.
    async fn shown(&mut self, code: &str) -> String {
        self.run(code, None).await
    }

    /// The same of a cell that is stopped once it has printed something.
    async fn stopped(&mut self, code: &str) -> String {
        self.run(code, Some(Stop::Printed)).await
    }

    /// The same of a cell that is stopped while it is compiled.
    async fn stopped_at_once(&mut self, code: &str) -> String {
        self.run(code, Some(Stop::Compiling)).await
    }

    async fn run(&mut self, code: &str, stop: Option<Stop>) -> String {
        let id = self.send(code).await;
        let mut shown = String::new();
        loop {
            let message = timeout(LIMIT, self.iopub.read()).await.unwrap().unwrap();
            let parent = message.parent_header;
            if parent.is_none_or(|parent| parent.msg_id != id) {
                continue;
            }
            match message.content {
                JupyterMessageContent::ExecuteInput(_) if stop == Some(Stop::Compiling) => {
                    sleep(Duration::from_secs(1)).await;
                    self.interrupt().await;
                }
                JupyterMessageContent::StreamContent(stream) => {
                    if stop == Some(Stop::Printed) && shown.is_empty() {
                        self.interrupt().await;
                    }
                    shown += &stream.text;
                }
                JupyterMessageContent::ErrorOutput(error) => {
                    shown += &error.traceback.join("\n");
                }
                JupyterMessageContent::Status(status)
                    if status.execution_state == ExecutionState::Idle =>
                {
                    break;
                }
                _ => {}
            }
        }
        timeout(LIMIT, self.shell.read()).await.unwrap().unwrap();
        if stop.is_some() {
            let reply = timeout(LIMIT, self.control.read()).await.unwrap();
            assert_eq!(reply.unwrap().message_type(), "interrupt_reply");
        }
        shown
    }

    async fn interrupt(&mut self) {
        let request = JupyterMessage::new(InterruptRequest {}, None);
        self.control.send(request).await.unwrap();
    }

    async fn end(mut self) {
        let request = ShutdownRequest { restart: false };
        let request = JupyterMessage::new(request, None);
        self.control.send(request).await.unwrap();
        let reply = timeout(LIMIT, self.control.read()).await.unwrap().unwrap();
        assert_eq!(reply.message_type(), "shutdown_reply");
        self.ended().await;
    }
}

/// A test that fails leaves no kernel.
impl Drop for Kernel {
    fn drop(&mut self) {
        let _ = self.process.kill();
    }
}

#[track_caller]
fn assert_state(content: JupyterMessageContent, state: ExecutionState) {
    match content {
        JupyterMessageContent::Status(status) => assert_eq!(status.execution_state, state),
        other => panic!("{other:?}"),
    }
}

/// A kernel in a lab without the kernel's program, which is not to be found elsewhere either.
async fn without_program(lab: &Path) -> Kernel {
    Kernel::start_with(|command| {
        let empty = lab.join("empty");
        command.env("DLDNA_LAB", lab).env("PATH", &empty);
        command.env("CARGO_HOME", empty).stderr(Stdio::null());
    })
    .await
}

#[tokio::test]
async fn a_cell_says_that_it_waits_for_the_kernel_and_then_runs() {
    let lab = labs::without_template();
    let lock = labs::building(lab.path(), "templates/lock");
    let mut kernel = Kernel::start_with(|command| {
        command.env("DLDNA_LAB", lab.path());
    })
    .await;
    let info = kernel.info().await;
    let first = kernel.send("println!(\"{}\", 1 + 1);").await;
    kernel.waits(&first).await;
    let second = kernel.send("println!(\"{}\", 2 + 1);").await;
    labs::add_templates(lab.path());
    drop(lock);
    let cleared = kernel.published(&first).await;
    assert_eq!(cleared.message_type(), "clear_output");
    for (id, printed) in [(&first, "2\n"), (&second, "3\n")] {
        let mut shown = String::new();
        while shown != printed {
            // What a cell prints may come behind its end.
            match kernel.published(id).await {
                JupyterMessageContent::StreamContent(stream) => shown += &stream.text,
                JupyterMessageContent::ErrorOutput(error) => panic!("{error:?}"),
                _ => {}
            }
        }
        assert_eq!(kernel.status(id).await, ReplyStatus::Ok);
    }
    // What was said in its place is what the kernel's program says.
    assert_eq!(format!("{info:?}"), format!("{:?}", kernel.info().await));
    kernel.end().await;
}

/// The compiler is called for what is expected to be moved, at the same time as for the whole: what is right does not depend on it.
#[tokio::test]
async fn what_a_cell_moves_is_gone_and_all_else_stays() {
    let mut kernel = Kernel::start().await;
    let shown = kernel
        .shown(
            "#[derive(Clone, Copy)] struct Copied(i32);\n\
             let (first, other, copied) = (vec![1, 2], vec![3], Copied(4));",
        )
        .await;
    assert_eq!(shown, "");
    let moves =
        "let second = first; let same = copied; println!(\"{}\", second.len() + same.0 as usize);";
    assert_eq!(kernel.shown(moves).await, "6\n");
    let stays = "println!(\"{} {} {}\", second.len(), other.len(), copied.0);";
    assert_eq!(kernel.shown(stays).await, "2 1 4\n");
    let shown = kernel.shown("let third = first;").await;
    assert!(shown.contains("cannot find value `first`"), "{shown}");
    let twice = kernel
        .shown("let third = second; let fourth = second;")
        .await;
    assert!(twice.contains("use of moved value: `second`"), "{twice}");
    assert_eq!(kernel.shown("println!(\"{}\", second.len());").await, "2\n");
    kernel.end().await;
}

#[tokio::test]
async fn a_cell_is_told_why_there_is_no_kernel() {
    let lab = tempfile::tempdir().unwrap();
    let lock = labs::building(lab.path(), "install.lock");
    let mut kernel = without_program(lab.path()).await;
    let (first, second) = (kernel.send("1").await, kernel.send("2").await);
    kernel.waits(&first).await;
    drop(lock);
    let said = kernel.fails(&first).await;
    let names_it = said.contains("the Rust kernel is missing; run `cargo lab`");
    assert!(names_it && said.contains("cargo doctor"), "{said}");
    assert_eq!(kernel.status(&second).await, ReplyStatus::Aborted);
    assert_state(kernel.published(&second).await, ExecutionState::Idle);
    assert!(!kernel.ended().await.success());
}

/// Jupyter starts a kernel that has ended anew: one that fails at once would do so without end.
#[tokio::test]
async fn a_kernel_that_failed_ends_when_a_cell_has_been_told() {
    let lab = tempfile::tempdir().unwrap();
    let mut kernel = without_program(lab.path()).await;
    sleep(Duration::from_secs(1)).await;
    assert!(kernel.process.try_wait().unwrap().is_none());
    let told = kernel.send("1").await;
    kernel.waits(&told).await;
    assert!(kernel.fails(&told).await.contains("missing"));
    assert!(!kernel.ended().await.success());
}

/// In place of rustup, cargo and rustc: a cargo that builds without end, and notes its process.
const ENDLESS: &str = r#"#!/bin/sh
here=$(dirname "$0")
case "$(basename "$0") $*" in
    "rustup which "*) echo "$here/$2" ;;
    "rustc -vV") echo "rustc 1.0.0"; echo "host: none" ;;
    "rustc --print"*) echo "$here" ;;
    "cargo build"*) echo $$ > "$here/new"; mv "$here/new" "$here/process"; exec sleep 600 ;;
esac
"#;

/// Where a kernel builds the crate itself, since nobody else does.
#[tokio::test]
async fn with_a_kernel_that_builds_the_build_ends() {
    let lab = labs::without_template();
    let programs = lab.path().join("toolchain/bin");
    for name in ["rustup", "cargo", "rustc"] {
        labs::script(&programs.join(name), ENDLESS);
    }
    let source = lab.path().join("toolchain/lib/rustlib/src/rust/library");
    std::fs::create_dir_all(source).unwrap();
    let kernel = Kernel::start_with(|command| {
        let path = format!("{}:/usr/bin:/bin", programs.display());
        command.env("DLDNA_LAB", lab.path()).env("PATH", path);
        std::os::unix::process::CommandExt::process_group(command, 0); // as Jupyter does
    })
    .await;
    let build = programs.join("process");
    let begins = async {
        while !build.exists() {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(LIMIT, begins).await.unwrap();
    let build = labs::process(&build);
    assert!(labs::runs(build));
    kernel.end().await;
    let ends = async {
        while labs::runs(build) {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(Duration::from_secs(10), ends).await.unwrap();
}

#[tokio::test]
async fn a_kernel_that_waits_is_stopped_and_ended_as_any_other() {
    let lab = tempfile::tempdir().unwrap();
    let _lock = labs::building(lab.path(), "install.lock");
    let mut kernel = without_program(lab.path()).await;
    // JupyterLab reads from such a request that the kernel is idle.
    let request = JupyterMessage::new(CommInfoRequest { target_name: None }, None);
    let id = request.header.msg_id.clone();
    kernel.shell.send(request).await.unwrap();
    for state in [ExecutionState::Busy, ExecutionState::Idle] {
        assert_state(kernel.published(&id).await, state);
    }
    for _ in 0..2 {
        let stopped = kernel.send("1").await;
        kernel.waits(&stopped).await;
        kernel.interrupt().await;
        let reply = timeout(LIMIT, kernel.control.read()).await.unwrap();
        assert_eq!(reply.unwrap().message_type(), "interrupt_reply");
        assert_eq!(kernel.fails(&stopped).await, "Stopped before it ran.");
    }
    kernel.end().await;
}

/// `cargo nb` reads it when the kernel has ended, and tries other ports.
#[tokio::test]
async fn a_kernel_whose_port_is_taken_says_so_before_it_ends() {
    let folder = tempfile::tempdir().unwrap();
    let (file, _, _listeners) = connection(folder.path()).await;
    let log = folder.path().join("log");
    let ended = Command::new(env!("CARGO_BIN_EXE_ci"))
        .arg("kernel")
        .arg(&file)
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(&log).unwrap())
        .status()
        .unwrap();
    let said = std::fs::read_to_string(&log).unwrap();
    assert!(
        !ended.success() && said.contains("Address already in use"),
        "{said}"
    );
}

const GONE: &str = "The variables of this notebook are gone.";

#[tokio::test]
async fn a_reader_is_told_how_a_cell_ended_and_what_to_do() {
    let mut kernel = Kernel::start().await;
    let said = kernel
        .shown("let few = vec![1, 2];\nprintln!(\"first\");\nfew[few.len() + 5]")
        .await;
    let line =
        "panicked at line 3 of this cell:\nindex out of bounds: the len is 2 but the index is 7\n";
    assert!(
        said.starts_with("first\n") && said.ends_with(line),
        "{said}"
    );

    // A training stops by itself, and nothing is lost.
    kernel.shown("let mut kept = 5;").await;
    let training = "let data = dldna::data::fashion_mnist_sample()?;\n\
        let config = dldna::train::TrainConfig {\n\
            epochs: 10_000, batch_size: 8, image_size: 8, progress: false, ..Default::default()\n\
        };\n\
        type Net = (BiasedConv2D<1, 4, 3>, ReLU, AvgPoolGlobal, Linear<4, 10>);\n\
        let net = Cpu::default().build_module::<Net, f32>();\n\
        println!(\"begins\");\n\
        let trained = dldna::train::train(net, &data, &config)?;\n\
        println!(\"finished: {}\", trained.finished);";
    let said = kernel.stopped(training).await;
    assert_eq!(said, "begins\nfinished: false\n");
    assert_eq!(kernel.shown("println!(\"{kept}\");").await, "5\n");

    // So does the compiler.
    let slow = "#[allow(long_running_const_eval)]\n\
        const COUNTED: u64 = { let mut n = 0; while n < 1_000_000_000_000 { n += 1; } n };\n\
        println!(\"{COUNTED}\");";
    let said = kernel.stopped_at_once(slow).await;
    let nothing_lost = "Stopped before it ran. All variables are as they were.";
    assert!(said.contains(nothing_lost), "{said}");
    assert_eq!(kernel.shown("println!(\"{kept}\");").await, "5\n");

    // What does not look is ended.
    let said = kernel
        .stopped("println!(\"begins\"); loop { std::hint::spin_loop(); }")
        .await;
    assert!(said.contains("Stopped.") && said.contains(GONE), "{said}");
    let said = kernel.shown("println!(\"{kept}\");").await;
    let names_it = said.contains("cannot find value");
    assert!(names_it && said.contains(GONE), "{said}");

    let deep = "fn deeper(n: u64) -> u64 { if n == u64::MAX { 0 } else { deeper(n + 1) + n } }\n\
        println!(\"{}\", deeper(std::hint::black_box(1)));";
    let said = kernel.shown(deep).await;
    let names_it = said.contains("stack overflowed");
    assert!(names_it && said.contains(GONE), "{said}");
    let said = kernel.shown("std::process::exit(7)").await;
    assert!(said.starts_with("The cell ended its process."), "{said}");
    kernel.end().await;
}
