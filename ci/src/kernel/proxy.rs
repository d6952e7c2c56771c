//! The process between Jupyter and the kernel's program: it passes each message on, some of them in better words.
//!
//! Jupyter is told nothing of it: it opens the ports of the connection file that Jupyter wrote, and the kernel's program gets another
//! file, with ports of its own. <https://jupyter-client.readthedocs.io/en/stable/messaging.html>
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use jupyter_protocol::ConnectionInfo;
use serde_json::{Value, json};
use zeromq::{
    DealerSocket, PubSocket, RepSocket, RouterSocket, Socket, SocketRecv, SocketSend, SubSocket,
    ZmqMessage,
};

use super::front::Front;
use super::message::{self, CONTENT, HEADER, Key, PARENT, kind, part};
use super::start::{INTERRUPT, remove_ended_beside};
use super::waiting::{self, End, News, Start};
use super::wording::{Passing, Wording};
use crate::loopback::give_ports;
use crate::private;

#[derive(clap::Args)]
pub struct Args {
    /// The connection file that Jupyter wrote
    front: PathBuf,
    /// The kernel's folder; without it, standard input will say where it is
    folder: Option<PathBuf>,
}

/// Starts the process, and returns the connection file for the kernel's program. Both end when this process does, which becomes that
/// program.
pub fn start(front: &Path, folder: &Path) -> Result<PathBuf> {
    let back = write_back(front, folder)?;
    spawn(command(front)?.arg(folder).stdin(Stdio::null()))?;
    Ok(back)
}

/// The process, where it is started before there is a kernel's folder.
pub struct Waiting(Child);

impl Waiting {
    pub fn start(front: &Path) -> Result<Self> {
        spawn(command(front)?.stdin(Stdio::piped())).map(Waiting)
    }

    /// Tells it where the kernel's folder is, and returns the connection file for the kernel's program.
    pub fn kernel_starts(mut self, front: &Path, folder: &Path) -> Result<PathBuf> {
        let back = write_back(front, folder)?;
        self.tell(&News::Starts(folder.to_owned()))?;
        Ok(back)
    }

    /// Waits until a reader has been told why there is no kernel.
    pub fn kernel_failed(mut self, why: &anyhow::Error) -> Result<()> {
        self.tell(&News::Failed(format!("{why:#}")))?;
        self.0.wait()?;
        Ok(())
    }

    fn tell(&mut self, news: &News) -> Result<()> {
        news.write(self.0.stdin.take().context("a pipe was asked for")?)
            .context("the kernel's proxy has ended")
    }
}

fn command(front: &Path) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("proxy").arg(front);
    Ok(command)
}

fn spawn(command: &mut Command) -> Result<Child> {
    command.spawn().context("starting the kernel's proxy")
}

/// Writes the connection file of the kernel's program into its folder. Its ports are closed again before the proxy is told of them: it
/// would connect to this process.
fn write_back(front: &Path, folder: &Path) -> Result<PathBuf> {
    let mut connection = read(front)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    // Kept until the connection file names them.
    let _kept = runtime.block_on(give_ports(&mut connection))?;
    let back = back(folder);
    private::write(&back, &serde_json::to_vec(&connection)?)?;
    Ok(back)
}

/// The connection file of the kernel's program.
fn back(folder: &Path) -> PathBuf {
    folder.join("connection.json")
}

fn read(file: &Path) -> Result<ConnectionInfo> {
    let text = std::fs::read(file).with_context(|| format!("reading {}", file.display()))?;
    serde_json::from_slice(&text)
        .with_context(|| format!("{} is not as Jupyter writes it", file.display()))
}

/// What the process does. It ends with the kernel's program, whose child it is.
pub fn run(args: Args) -> Result<()> {
    let kernel = parent();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let passed = runtime.block_on(async {
        tokio::select! {
            passed = speak(&args, kernel) => passed,
            () = end_of(kernel) => Ok(()),
        }
    });
    if let Err(error) = passed {
        // First the reason: whoever waits for the kernel reads it as soon as the kernel has ended.
        eprintln!("error: {error:#}");
        end(kernel); // without us nobody can speak to it
    }
    Ok(())
}

#[cfg(unix)]
fn parent() -> Option<rustix::process::Pid> {
    rustix::process::getppid()
}

/// Waits for the end of the process that started this one.
#[cfg(unix)]
async fn end_of(kernel: Option<rustix::process::Pid>) {
    while parent() == kernel {
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

#[cfg(unix)]
fn end(kernel: Option<rustix::process::Pid>) {
    if let Some(kernel) = kernel.filter(|&kernel| parent() == Some(kernel)) {
        let _ = rustix::process::kill_process(kernel, rustix::process::Signal::TERM);
    }
}

/// Ends the process that would have become the kernel, and with it what it builds, where that is a group of processes of its own: so
/// Jupyter starts it.
fn end_building(kernel: Option<rustix::process::Pid>) {
    let leads = |kernel| rustix::process::getpgid(Some(kernel)) == Ok(kernel);
    match kernel.filter(|&kernel| parent() == Some(kernel) && leads(kernel)) {
        Some(group) => {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::TERM);
        }
        None => end(kernel),
    }
}

/// How long the last words have to reach Jupyter. The sockets do not tell when they have sent all.
const LAST_WORDS: Duration = Duration::from_millis(300);

async fn speak(args: &Args, kernel: Option<rustix::process::Pid>) -> Result<()> {
    // All ports are open before anything is passed on: what Jupyter sends meanwhile waits.
    let (mut front, heart) = Front::open(&read(&args.front)?).await?;
    let speaking = async {
        if let Some(folder) = args.folder.clone() {
            let start = Start {
                folder,
                ..Start::default()
            };
            return pass(front, start).await;
        }
        let end = waiting::wait(&mut front).await?;
        if let End::Starts(start) = end {
            return pass(front, start).await;
        }
        tokio::time::sleep(LAST_WORDS).await;
        if let End::ShutDown = end {
            end_building(kernel);
        }
        Ok(())
    };
    tokio::select! {
        end = speaking => end,
        end = beat(heart) => end,
    }
}

/// Passes messages between Jupyter and the kernel's program, first the requests that have waited for it.
async fn pass(front: Front, start: Start) -> Result<()> {
    let folder = &start.folder;
    remove_ended_beside(folder);
    let back = read(&back(folder))?;
    let at = |port: u16| format!("tcp://{}:{port}", back.ip);
    let mut kernel_output = SubSocket::new();
    kernel_output.connect(&at(back.iopub_port)).await?;
    kernel_output.subscribe("").await?;
    let [mut kernel_shell, mut kernel_control, mut kernel_stdin] =
        [(); 3].map(|()| DealerSocket::new());
    kernel_shell.connect(&at(back.shell_port)).await?;
    kernel_control.connect(&at(back.control_port)).await?;
    kernel_stdin.connect(&at(back.stdin_port)).await?;
    for request in start.shell {
        kernel_shell.send(request).await?;
    }
    for request in start.control {
        kernel_control.send(request).await?;
    }

    let wording = Mutex::new(Wording::new(folder.join("src/lib.rs")));
    let interrupt = Interrupt {
        file: folder.join(INTERRUPT),
        key: &front.key,
        wording: &wording,
    };
    tokio::try_join!(
        both_ways(front.shell, kernel_shell, None),
        both_ways(front.control, kernel_control, Some(interrupt)),
        both_ways(front.stdin, kernel_stdin, None),
        outputs(kernel_output, front.output, &front.key, &wording),
    )?;
    Ok(())
}

/// What the cells write and give. The words of a panic come behind all that the cell has printed.
async fn outputs(
    mut from: SubSocket,
    mut to: PubSocket,
    key: &Key,
    wording: &Mutex<Wording>,
) -> Result<()> {
    let mut held = Vec::new();
    loop {
        let (message, passing) = reword(from.recv().await?, key, &mut lock(wording));
        match passing {
            Passing::Never => (),
            Passing::AtTheEnd => held.push(message),
            Passing::Now => to.send(message).await?,
            Passing::BehindHeld => {
                for message in held.drain(..).chain([message]) {
                    to.send(message).await?;
                }
            }
        }
    }
}

fn lock(wording: &Mutex<Wording>) -> MutexGuard<'_, Wording> {
    wording.lock().expect("no holder panics")
}

/// Requests and their replies. Whoever asked stands in the message itself.
async fn both_ways(
    front: RouterSocket,
    back: DealerSocket,
    interrupt: Option<Interrupt<'_>>,
) -> Result<()> {
    let (to_front, mut from_front) = front.split();
    let (mut to_back, mut from_back) = back.split();
    let to_front = tokio::sync::Mutex::new(to_front);
    let requests = async {
        loop {
            let message = from_front.recv().await?;
            let reply = match &interrupt {
                Some(interrupt) => interrupt.reply_to(&message).await,
                None => None,
            };
            match reply {
                Some(reply) => {
                    let _ = to_front.lock().await.send(reply).await;
                }
                None => to_back.send(message).await?,
            }
        }
    };
    let replies = async {
        loop {
            let message = from_back.recv().await?;
            // Whoever asked may be gone.
            let _ = to_front.lock().await.send(message).await;
        }
    };
    let end: Result<()> = tokio::select! { end = requests => end, end = replies => end };
    end
}

/// Stops a cell without the loss of its variables, where that can be.
struct Interrupt<'a> {
    file: PathBuf,
    key: &'a Key,
    wording: &'a Mutex<Wording>,
}

impl Interrupt<'_> {
    /// How long a cell may take to stop by itself. After that the kernel's program kills the process, and the variables are gone.
    const LIMIT: Duration = Duration::from_secs(2);

    /// The reply to the request for an interrupt, if it has been done; the kernel's program has to do all else.
    async fn reply_to(&self, message: &ZmqMessage) -> Option<ZmqMessage> {
        if kind(message, HEADER)? != "interrupt_request" {
            return None;
        }
        lock(self.wording).interrupted();
        std::fs::write(&self.file, "").ok()?;
        let asked = Instant::now();
        while self.is_running() && asked.elapsed() < Self::LIMIT {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let _ = std::fs::remove_file(&self.file);
        if self.is_running() {
            return None;
        }
        let done = json!({"status": "ok"});
        self.key.reply(message, "interrupt_reply", &done)
    }

    fn is_running(&self) -> bool {
        lock(self.wording).is_running()
    }
}

/// As long as the kernel's program lives, this process does.
async fn beat(mut heart: RepSocket) -> Result<()> {
    loop {
        let beat = heart.recv().await?;
        heart.send(beat).await?;
    }
}

/// The message in its new words, and when it is to be sent.
fn reword(message: ZmqMessage, key: &Key, wording: &mut Wording) -> (ZmqMessage, Passing) {
    let Some(kind) = kind(&message, HEADER) else {
        return (message, Passing::Now);
    };
    // Figures are large, and nobody reads them here.
    let old = match Wording::reads(&kind) {
        true => part(&message, CONTENT).unwrap_or_default(),
        false => Value::Null,
    };
    let request = message::kind(&message, PARENT).unwrap_or_default();
    let mut new = old.clone();
    let passing = wording.reword(&kind, &request, &mut new);
    if new == old {
        return (message, passing);
    }
    (key.with_content(message, &new), passing)
}
