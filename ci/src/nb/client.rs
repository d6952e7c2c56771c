//! One running kernel, spoken to over the Jupyter protocol.
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use jupyter_protocol::media::Media;
use jupyter_protocol::{
    ConnectionInfo, ErrorOutput, ExecuteRequest, ExecutionState, InterruptRequest, JupyterMessage,
    JupyterMessageContent, KernelInfoRequest, ReplyStatus, ShutdownRequest, Stdio as Stream,
    Transport,
};
use jupyter_zmq_client::{
    ClientControlConnection, ClientIoPubConnection, ClientShellConnection,
    create_client_control_connection, create_client_iopub_connection,
    create_client_shell_connection_with_identity, peer_identity_for_session,
};
use process_wrap::tokio::{ChildWrapper, CommandWrap};
use tempfile::TempDir;
use tokio::time::{Instant, sleep, sleep_until, timeout};

#[cfg(unix)]
use super::guard::Guard;
use crate::kernel::calls::{self, Call};
use crate::loopback::give_ports;
use crate::{lock, private};

/// A kernel that is not ready by then is not coming: the stock kernel builds nothing at its start,
/// ours may build its template first.
const START_LIMIT: Duration = Duration::from_secs(900);
const START_ATTEMPTS: usize = 5;
/// What a kernel writes when it cannot open a port.
const PORT_TAKEN: &str = "Address already in use";
/// Silence after which the output of a finished cell is complete. The kernel reads the standard
/// error of the cell in a thread of its own, so lines may arrive after the reply.
const SILENCE: Duration = Duration::from_millis(80);
/// How long to wait for the two end marks of a cell that has not failed otherwise.
const MARK_LIMIT: Duration = Duration::from_secs(2);
/// How long a kernel may take to obey an interrupt or a shutdown request before it is killed.
const OBEY_LIMIT: Duration = Duration::from_secs(3);

/// The command line that starts a kernel; the argument `{connection_file}` stands for the file's path.
#[derive(Clone, Debug)]
pub struct KernelCommand(pub Vec<String>);

impl KernelCommand {
    /// `ci kernel FILE`, the same kernel that JupyterLab starts.
    pub fn ours() -> Result<Self> {
        let program = std::env::current_exe().context("the path of the running program")?;
        Ok(KernelCommand(vec![
            program.to_string_lossy().into_owned(),
            "kernel".to_owned(),
            "{connection_file}".to_owned(),
        ]))
    }

    fn spawn(&self, folder: &Path, connection_file: &Path, log: File) -> Result<Process> {
        let [program, arguments @ ..] = self.0.as_slice() else {
            bail!("the kernel's command line is empty");
        };
        let error_log = log.try_clone()?;
        let mut command = CommandWrap::with_new(program, |command| {
            let file_name = connection_file.to_string_lossy();
            command
                .args(
                    arguments
                        .iter()
                        .map(|a| a.replace("{connection_file}", &file_name)),
                )
                .current_dir(folder)
                // A backtrace of the kernel would bury its message.
                .env_remove("RUST_BACKTRACE")
                // What passes here is no progress of the reader's.
                .env(
                    "DLDNA_PROGRESS",
                    connection_file.with_file_name("progress.txt"),
                )
                .env(calls::FILE, connection_file.with_file_name(CALLS))
                .stdin(Stdio::null())
                .stdout(log)
                .stderr(error_log);
        });
        // The kernel runs the cells and the compiler in processes of their own: end all or none.
        #[cfg(unix)]
        command.wrap(process_wrap::tokio::ProcessGroup::leader());
        #[cfg(windows)]
        command.wrap(process_wrap::tokio::JobObject);
        let child = command
            .spawn()
            .with_context(|| format!("could not start the kernel: {}", self.0.join(" ")))?;
        let process = Process {
            child,
            #[cfg(unix)]
            _guard: None,
        };
        #[cfg(unix)]
        let process = process.guarded(connection_file)?;
        Ok(process)
    }
}

/// The kernel's process. Dropping it kills the process and all it started.
struct Process {
    child: Box<dyn ChildWrapper>,
    #[cfg(unix)]
    _guard: Option<Guard>,
}

impl Process {
    #[cfg(unix)]
    fn guarded(mut self, connection_file: &Path) -> Result<Self> {
        if let (Some(group), Some(folder)) = (self.child.id(), connection_file.parent()) {
            self._guard = Some(Guard::set(group, folder)?);
        }
        Ok(self)
    }

    async fn end(&mut self) -> Result<ExitStatus> {
        Ok(self.child.wait().await?)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Also when the kernel itself has ended: what it started may have survived it.
        let _ = self.child.start_kill();
    }
}

const FOLDER: &str = "dldna-nb-";
/// A file there, in which the compiler's calls are noted.
const CALLS: &str = "calls.txt";
/// A file in a kernel's temporary folder, locked as long as the folder is in use.
const LOCK: &str = "lock";

/// Removes the folders that an earlier `cargo nb` has left, if it was killed together with the guards of its kernels.
pub fn remove_abandoned() {
    let entries = std::fs::read_dir(std::env::temp_dir());
    for entry in entries.into_iter().flatten().flatten() {
        let folder = entry.path();
        let is_ours = entry.file_name().to_string_lossy().starts_with(FOLDER);
        // Not ours to open: another user's. Without a lock: one that is just being made.
        if is_ours
            && folder.join(LOCK).is_file()
            && lock::is_held(&folder.join(LOCK)).is_ok_and(|held| held == Some(false))
        {
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}

/// What a cell sent while it ran, in the order it came.
#[derive(Debug)]
pub enum Sent {
    Text(Stream, String),
    Result(Media),
    Error(ErrorOutput),
}

/// What came of a cell.
pub struct Answer {
    pub sent: Vec<Sent>,
    pub end: End,
    /// When its last message came, or when it was given up.
    pub last: Instant,
}

/// How a cell's execution came to its end.
#[derive(Debug)]
pub enum End {
    /// The kernel replied. `error` is the reply's status.
    Replied { error: bool },
    /// The time limit was over; the kernel was interrupted.
    TimedOut,
    /// The kernel itself ended.
    KernelDied(ExitStatus),
}

/// A kernel process and the sockets to it.
pub struct Kernel {
    process: Process,
    shell: ClientShellConnection,
    iopub: ClientIoPubConnection,
    control: ClientControlConnection,
    log: PathBuf,
    _lock: File,
    _folder: TempDir,
}

impl Kernel {
    /// Starts a kernel in `folder` and waits until it can run a cell.
    pub async fn start(command: &KernelCommand, folder: &Path) -> Result<Self> {
        // The kernel opens the ports that we found free, so another program may come first.
        for _ in 1..START_ATTEMPTS {
            match Self::try_start(command, folder).await {
                Err(error) if error.to_string().contains(PORT_TAKEN) => {}
                started => return started,
            }
        }
        Self::try_start(command, folder).await
    }

    async fn try_start(command: &KernelCommand, folder: &Path) -> Result<Self> {
        let temporary = private::temporary_folder(FOLDER)?;
        let lock = lock::hold(&temporary.path().join(LOCK), "")?;
        let log = temporary.path().join("kernel.log");
        let connection_file = temporary.path().join("connection.json");
        let mut info = ConnectionInfo {
            ip: String::new(),
            transport: Transport::TCP,
            shell_port: 0,
            iopub_port: 0,
            stdin_port: 0,
            control_port: 0,
            hb_port: 0,
            key: uuid::Uuid::new_v4().to_string(),
            signature_scheme: "hmac-sha256".to_owned(),
            kernel_name: Some("rust".to_owned()),
        };
        let listeners = give_ports(&mut info).await?;
        // Whoever reads the key can run code in the kernel.
        private::write(&connection_file, &serde_json::to_vec(&info)?)?;
        // Held until now, the ports are less likely to be given to another kernel that starts. Held
        // any longer, a kernel on a busy machine opens them before this program comes to close them.
        drop(listeners);
        let mut process = command.spawn(folder, &connection_file, File::create(&log)?)?;

        let session = uuid::Uuid::new_v4().to_string();
        let connected = tokio::select! {
            connected = timeout(START_LIMIT, connect(&info, &session)) => connected,
            status = process.end() => {
                bail!("the kernel ended while starting ({}){}", status?, log_tail(&log));
            }
        };
        let Ok((shell, iopub, control)) = connected else {
            bail!(
                "the kernel did not open its ports in {} s{}",
                START_LIMIT.as_secs(),
                log_tail(&log)
            );
        };
        let mut kernel = Kernel {
            process,
            shell,
            iopub,
            control,
            log,
            _lock: lock,
            _folder: temporary,
        };
        kernel.wait_until_ready().await?;
        Ok(kernel)
    }

    /// Asks for the kernel's description until there is an answer and something was published: a
    /// subscription is only served some time after the connection stands.
    async fn wait_until_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + START_LIMIT;
        let mut published = false;
        while !published {
            let request: JupyterMessage = JupyterMessage::new(KernelInfoRequest {}, None);
            let id = request.header.msg_id.clone();
            self.shell.send(request).await?;
            loop {
                match self.next(deadline).await? {
                    Event::Published(_) => published = true,
                    Event::Shell(reply) if is_child(&reply, &id) => break,
                    Event::Shell(_) => {}
                    Event::Ended(status) => {
                        bail!(
                            "the kernel ended while starting ({status}){}",
                            self.log_tail()
                        )
                    }
                    Event::Late => bail!(
                        "the kernel was not ready in {} s{}",
                        START_LIMIT.as_secs(),
                        self.log_tail()
                    ),
                }
            }
            published = published || timeout(SILENCE, self.iopub.read()).await.is_ok();
        }
        Ok(())
    }

    /// Runs `code`, at most for `limit`. Code that prints `mark` as its last act, on both streams, is
    /// waited for until both have come.
    pub async fn execute(
        &mut self,
        code: &str,
        limit: Duration,
        mark: Option<&str>,
    ) -> Result<Answer> {
        let request: JupyterMessage =
            JupyterMessage::new(ExecuteRequest::new(code.to_owned()), None);
        let id = request.header.msg_id.clone();
        self.shell.send(request).await?;

        let mut sent = Vec::new();
        let mut missing_marks = if mark.is_some() { 2 } else { 0 };
        let mut last = Instant::now();
        let (mut reply, mut idle) = (None, false);
        let mut timed_out = false;
        let mut deadline = Instant::now() + limit;
        let end = loop {
            let message = match self.next(deadline).await? {
                Event::Ended(status) => break End::KernelDied(status),
                Event::Late if timed_out => break End::TimedOut,
                Event::Late if reply.is_some() && idle => {
                    let error = reply.is_some_and(|status| status != ReplyStatus::Ok);
                    break End::Replied { error };
                }
                Event::Late => {
                    timed_out = true;
                    deadline = Instant::now() + OBEY_LIMIT;
                    self.control
                        .send(JupyterMessage::new(InterruptRequest {}, None))
                        .await?;
                    continue;
                }
                Event::Shell(message) | Event::Published(message) => message,
            };
            if !is_child(&message, &id) {
                continue;
            }
            last = Instant::now();
            match message.content {
                JupyterMessageContent::ExecuteReply(content) => reply = Some(content.status),
                JupyterMessageContent::Status(status) => {
                    idle |= status.execution_state == ExecutionState::Idle;
                }
                JupyterMessageContent::StreamContent(stream) => {
                    if mark.is_some_and(|mark| stream.text.contains(mark)) {
                        missing_marks -= 1;
                    }
                    sent.push(Sent::Text(stream.name, stream.text));
                }
                JupyterMessageContent::ExecuteResult(result) => {
                    sent.push(Sent::Result(result.data))
                }
                JupyterMessageContent::DisplayData(display) => {
                    sent.push(Sent::Result(display.data))
                }
                JupyterMessageContent::ErrorOutput(error) => sent.push(Sent::Error(error)),
                _ => {}
            }
            if let (Some(status), true) = (&reply, idle) {
                if timed_out {
                    break End::TimedOut;
                }
                let error = *status != ReplyStatus::Ok;
                if mark.is_some() && missing_marks == 0 {
                    break End::Replied { error };
                }
                let waits_for_marks = mark.is_some() && !error;
                deadline = Instant::now() + if waits_for_marks { MARK_LIMIT } else { SILENCE };
            }
        };
        if !matches!(end, End::Replied { .. }) {
            last = Instant::now();
        }
        Ok(Answer { sent, end, last })
    }

    /// The compiler's calls so far.
    pub fn calls(&self) -> Vec<Call> {
        calls::read(&self.log.with_file_name(CALLS))
    }

    /// Whatever happens first: a message, the kernel's end, the deadline.
    async fn next(&mut self, deadline: Instant) -> Result<Event> {
        let message = tokio::select! {
            // Output first, so that nothing that a dying kernel still said is lost.
            biased;
            message = self.iopub.read() => message.map(Event::Published),
            message = self.shell.read() => message.map(Event::Shell),
            status = self.process.end() => return Ok(Event::Ended(status?)),
            () = sleep_until(deadline) => return Ok(Event::Late),
        };
        match message {
            Ok(event) => Ok(event),
            // A socket fails first when the kernel dies.
            Err(error) => match timeout(OBEY_LIMIT, self.process.end()).await {
                Ok(status) => Ok(Event::Ended(status?)),
                Err(_) => Err(error).context("could not read a message of the kernel"),
            },
        }
    }

    /// What the kernel wrote to its own standard streams, for a message about its end.
    pub fn log_tail(&self) -> String {
        log_tail(&self.log)
    }

    /// Ends the kernel: by request, and by force if it does not obey.
    pub async fn shut_down(mut self) {
        let request = JupyterMessage::new(ShutdownRequest { restart: false }, None);
        if self.control.send(request).await.is_ok() {
            let _ = timeout(OBEY_LIMIT, self.process.end()).await;
        }
    }
}

enum Event {
    Published(JupyterMessage),
    Shell(JupyterMessage),
    Ended(ExitStatus),
    Late,
}

fn is_child(message: &JupyterMessage, id: &str) -> bool {
    message
        .parent_header
        .as_ref()
        .is_some_and(|parent| parent.msg_id == id)
}

type Sockets = (
    ClientShellConnection,
    ClientIoPubConnection,
    ClientControlConnection,
);

/// Connects to a kernel that may not have opened its ports yet. The library's own attempts are
/// further and further apart; fresh ones keep the wait short.
async fn connect(info: &ConnectionInfo, session: &str) -> Sockets {
    loop {
        let attempt = async {
            let identity = peer_identity_for_session(session)?;
            let iopub = create_client_iopub_connection(info, "", session).await?;
            let shell =
                create_client_shell_connection_with_identity(info, session, identity).await?;
            let control = create_client_control_connection(info, session).await?;
            jupyter_zmq_client::Result::Ok((shell, iopub, control))
        };
        match timeout(Duration::from_millis(250), attempt).await {
            Ok(Ok(sockets)) => return sockets,
            Ok(Err(_)) => sleep(Duration::from_millis(50)).await,
            Err(_) => {}
        }
    }
}

fn log_tail(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.trim_end().lines().collect();
    let tail = &lines[lines.len().saturating_sub(12)..];
    if tail.is_empty() {
        String::new()
    } else {
        format!("; it wrote:\n{}", tail.join("\n"))
    }
}
