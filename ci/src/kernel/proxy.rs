//! The process between Jupyter and the kernel's program: it passes each message on, some of them in better words.
//!
//! Jupyter is told nothing of it: it opens the ports of the connection file that Jupyter wrote, and the kernel's program gets another
//! file, with ports of its own. <https://jupyter-client.readthedocs.io/en/stable/messaging.html>
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use jupyter_protocol::ConnectionInfo;
use ring::hmac;
use serde_json::Value;
use zeromq::{
    DealerSocket, PubSocket, RepSocket, RouterSocket, Socket, SocketRecv, SocketSend, SubSocket,
    ZmqMessage,
};

use super::start::{INTERRUPT, remove_ended_beside};
use super::wording::{Passing, Wording};
use crate::loopback::give_ports;
use crate::private;

#[derive(clap::Args)]
pub struct Args {
    /// The connection file that Jupyter wrote
    front: PathBuf,
    /// The connection file of the kernel's program
    back: PathBuf,
    /// The kernel's folder
    folder: PathBuf,
}

/// Starts the process, and returns the connection file for the kernel's program. Both end when this process does, which becomes that
/// program.
pub fn start(front: &Path, folder: &Path) -> Result<PathBuf> {
    let mut connection = read(front)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    // Kept until both connection files name them.
    let _kept = runtime.block_on(give_ports(&mut connection))?;
    let back = folder.join("connection.json");
    private::write(&back, &serde_json::to_vec(&connection)?)?;
    Command::new(std::env::current_exe()?)
        .arg("proxy")
        .args([front, &back, folder])
        .stdin(Stdio::null())
        .spawn()
        .context("starting the kernel's proxy")?;
    Ok(back)
}

fn read(file: &Path) -> Result<ConnectionInfo> {
    let text = std::fs::read(file).with_context(|| format!("reading {}", file.display()))?;
    serde_json::from_slice(&text)
        .with_context(|| format!("{} is not as Jupyter writes it", file.display()))
}

/// What the process does. It ends with the kernel's program, whose child it is.
pub fn run(args: Args) -> Result<()> {
    let kernel = parent();
    remove_ended_beside(&args.folder);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let passed = runtime.block_on(async {
        tokio::select! {
            passed = pass(&args) => passed,
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

async fn pass(args: &Args) -> Result<()> {
    let (front, back) = (read(&args.front)?, read(&args.back)?);
    let key = hmac::Key::new(hmac::HMAC_SHA256, front.key.as_bytes());
    let key = (!front.key.is_empty()).then_some(key);
    let at = |of: &ConnectionInfo, port: u16| format!("tcp://{}:{port}", of.ip);
    // All ports are open before anything is passed on: what Jupyter sends meanwhile waits.
    let mut heart = RepSocket::new();
    let mut output = PubSocket::new();
    let [mut shell, mut control, mut stdin] = [(); 3].map(|()| RouterSocket::new());
    heart.bind(&at(&front, front.hb_port)).await?;
    output.bind(&at(&front, front.iopub_port)).await?;
    shell.bind(&at(&front, front.shell_port)).await?;
    control.bind(&at(&front, front.control_port)).await?;
    stdin.bind(&at(&front, front.stdin_port)).await?;

    let mut kernel_output = SubSocket::new();
    kernel_output.connect(&at(&back, back.iopub_port)).await?;
    kernel_output.subscribe("").await?;
    let [mut kernel_shell, mut kernel_control, mut kernel_stdin] =
        [(); 3].map(|()| DealerSocket::new());
    kernel_shell.connect(&at(&back, back.shell_port)).await?;
    kernel_control
        .connect(&at(&back, back.control_port))
        .await?;
    kernel_stdin.connect(&at(&back, back.stdin_port)).await?;

    let wording = Mutex::new(Wording::new(args.folder.join("src/lib.rs")));
    let interrupt = Interrupt {
        file: args.folder.join(INTERRUPT),
        key: key.as_ref(),
        wording: &wording,
    };
    tokio::try_join!(
        both_ways(shell, kernel_shell, None),
        both_ways(control, kernel_control, Some(interrupt)),
        both_ways(stdin, kernel_stdin, None),
        beat(heart),
        outputs(kernel_output, output, key.as_ref(), &wording),
    )?;
    Ok(())
}

/// What the cells write and give. The words of a panic come behind all that the cell has printed.
async fn outputs(
    mut from: SubSocket,
    mut to: PubSocket,
    key: Option<&hmac::Key>,
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
    key: Option<&'a hmac::Key>,
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
        reply(message, "interrupt_reply", self.key)
    }

    fn is_running(&self) -> bool {
        lock(self.wording).is_running()
    }
}

/// "Done" to this request.
fn reply(request: &ZmqMessage, kind: &str, key: Option<&hmac::Key>) -> Option<ZmqMessage> {
    let signature = signature_at(request)?;
    let old = request.get(signature + HEADER)?;
    let mut header: Value = serde_json::from_slice(old).ok()?;
    header["msg_type"] = kind.into();
    header["msg_id"] = uuid::Uuid::new_v4().to_string().into();
    let parts = [
        header.to_string().into_bytes(),
        old.to_vec(),
        b"{}".to_vec(),
        br#"{"status": "ok"}"#.to_vec(),
    ];
    let signed = key.map(|key| sign(key, &parts)).unwrap_or_default();
    let mut frames = request.clone().into_vec();
    frames.truncate(signature);
    frames.push(signed.into());
    frames.extend(parts.map(Into::into));
    ZmqMessage::try_from(frames).ok()
}

/// As long as the kernel's program lives, this process does.
async fn beat(mut heart: RepSocket) -> Result<()> {
    loop {
        let beat = heart.recv().await?;
        heart.send(beat).await?;
    }
}

/// Where the parts of a message begin: the signature, then header, parent's header, metadata and content.
fn signature_at(message: &ZmqMessage) -> Option<usize> {
    let delimiter = message
        .iter()
        .position(|frame| &frame[..] == b"<IDS|MSG>")?;
    (message.len() > delimiter + 1 + CONTENT).then_some(delimiter + 1)
}

/// Where the parts stand, behind the signature.
const HEADER: usize = 1;
const PARENT: usize = 2;
const CONTENT: usize = 4;

fn part(message: &ZmqMessage, at: usize) -> Option<Value> {
    serde_json::from_slice(message.get(signature_at(message)? + at)?).ok()
}

/// The kind of the message that this header belongs to.
fn kind(message: &ZmqMessage, header: usize) -> Option<String> {
    Some(part(message, header)?["msg_type"].as_str()?.to_owned())
}

/// The message in its new words, and when it is to be sent.
fn reword(
    message: ZmqMessage,
    key: Option<&hmac::Key>,
    wording: &mut Wording,
) -> (ZmqMessage, Passing) {
    let Some(kind) = kind(&message, HEADER) else {
        return (message, Passing::Now);
    };
    // Figures are large, and nobody reads them here.
    let old = match Wording::reads(&kind) {
        true => part(&message, CONTENT).unwrap_or_default(),
        false => Value::Null,
    };
    let request = self::kind(&message, PARENT).unwrap_or_default();
    let mut new = old.clone();
    let passing = wording.reword(&kind, &request, &mut new);
    if new == old {
        return (message, passing);
    }
    let signature = signature_at(&message).expect("it has parts");
    let mut frames = message.into_vec();
    frames[signature + CONTENT] = new.to_string().into_bytes().into();
    if let Some(key) = key {
        frames[signature] = sign(key, &frames[signature + HEADER..=signature + CONTENT]).into();
    }
    let message = ZmqMessage::try_from(frames).expect("it has frames");
    (message, passing)
}

/// In hexadecimal digits.
fn sign<B: AsRef<[u8]>>(key: &hmac::Key, parts: &[B]) -> Vec<u8> {
    let mut signed = hmac::Context::with_key(key);
    for part in parts {
        signed.update(part.as_ref());
    }
    let tag = signed.sign();
    let digits = tag.as_ref().iter().map(|byte| format!("{byte:02x}"));
    digits.collect::<String>().into_bytes()
}
