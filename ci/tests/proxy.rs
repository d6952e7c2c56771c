//! What a reader is told of a cell that ends badly. Needs the notebooks' own kernel, with the crate: `cargo lab --no-browser` sets it
//! up.
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use jupyter_protocol::{
    ConnectionInfo, ExecuteRequest, ExecutionState, InterruptRequest, JupyterMessage,
    JupyterMessageContent, KernelInfoRequest, ShutdownRequest, Transport,
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

impl Kernel {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (file, info, listeners) = connection(folder.path()).await;
        drop(listeners);
        let process = Command::new(env!("CARGO_BIN_EXE_ci"))
            .arg("kernel")
            .arg(&file)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
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
        kernel
            .shell
            .send(JupyterMessage::new(KernelInfoRequest {}, None))
            .await
            .unwrap();
        timeout(LIMIT, kernel.shell.read()).await.unwrap().unwrap();
        kernel
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
        let request = ExecuteRequest {
            code: code.to_owned(),
            silent: false,
            store_history: true,
            user_expressions: None,
            allow_stdin: false,
            stop_on_error: true,
        };
        let request = JupyterMessage::new(request, None);
        let id = request.header.msg_id.clone();
        self.shell.send(request).await.unwrap();
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
        timeout(LIMIT, self.control.read()).await.unwrap().unwrap();
        self.process.wait().unwrap();
    }
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
