//! What Jupyter is told while there is no kernel's program to pass messages to, since it or the crate is still built.
//!
//! The kernel is there, and a cell is told what it waits for. All other requests wait with the cells, as they do while a cell runs.
use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use zeromq::{PubSocket, RouterSocket, SocketRecv, SocketSend, ZmqMessage};

use super::evcxr;
use super::message::{CONTENT, HEADER, Key, kind, part};

/// What the first cell that waits shows. It goes when the cell runs.
const WAITS: &str = "The Rust kernel is still being built (some minutes; the terminal of `cargo lab` shows how far it is). \
                     This cell runs as soon as it is ready.\n";
const STOPPED: &str = "Stopped before it ran.";

/// What the process that starts the kernel writes, once, to the standard input of the one that speaks to Jupyter.
#[derive(Serialize, Deserialize)]
pub enum News {
    /// The kernel's folder is there, and its program starts.
    Starts(PathBuf),
    /// Why there will be no kernel.
    Failed(String),
}

impl News {
    pub fn write(&self, mut to: impl Write) -> Result<()> {
        to.write_all(&serde_json::to_vec(self)?)?;
        Ok(())
    }

    /// Nothing, if the other process has ended.
    async fn read() -> Result<Option<Self>> {
        let input = std::os::fd::AsFd::as_fd(&std::io::stdin()).try_clone_to_owned()?;
        let mut text = Vec::new();
        pipe::Receiver::from_owned_fd(input)?
            .read_to_end(&mut text)
            .await?;
        if text.is_empty() {
            return Ok(None);
        }
        let news = serde_json::from_slice(&text).context("reading what the kernel's start says")?;
        Ok(Some(news))
    }
}

/// The sockets that requests come in by, and the one for all that is published.
pub struct Front<'a> {
    pub shell: &'a mut RouterSocket,
    pub control: &'a mut RouterSocket,
    pub output: &'a mut PubSocket,
    pub key: &'a Key,
}

/// How the waiting ended.
pub enum End {
    /// The kernel's folder is there; these requests wait for its program.
    Starts {
        folder: PathBuf,
        shell: Vec<ZmqMessage>,
        control: Vec<ZmqMessage>,
    },
    /// The reader wants no kernel any more.
    ShutDown,
    /// There will be no kernel, and the reader has been told.
    Told,
}

/// Speaks to Jupyter until there is a kernel, or a reason why there is none has been told to a cell: so Jupyter, which starts a
/// kernel that has ended anew, does not do so without end.
pub async fn wait(front: Front<'_>) -> Result<End> {
    let mut news = std::pin::pin!(News::read());
    let mut waiting = Waiting {
        front,
        shell: Vec::new(),
        control: Vec::new(),
    };
    let mut failure = None;
    loop {
        tokio::select! {
            news = &mut news, if failure.is_none() => match news? {
                Some(News::Starts(folder)) => return waiting.starts(folder).await,
                Some(News::Failed(reason)) => failure = Some(reason),
                None => return Ok(End::Told), // to whom it was known
            },
            request = waiting.front.shell.recv() => waiting.shell_request(request?).await?,
            request = waiting.front.control.recv() => {
                if waiting.control_request(request?).await? {
                    return Ok(End::ShutDown);
                }
            }
        }
        if let Some(reason) = &failure
            && waiting.first_cell().is_some()
        {
            waiting.end_cells(&why_not(reason)).await?;
            return Ok(End::Told);
        }
    }
}

fn why_not(reason: &str) -> [String; 2] {
    [
        format!("The Rust kernel cannot start: {reason}"),
        "The terminal of `cargo lab` shows more, and `cargo doctor` says what is missing or wrong. When that is mended, run this \
         cell again."
            .to_owned(),
    ]
}

struct Waiting<'a> {
    front: Front<'a>,
    shell: Vec<ZmqMessage>,
    control: Vec<ZmqMessage>,
}

impl Waiting<'_> {
    async fn shell_request(&mut self, request: ZmqMessage) -> Result<()> {
        match kind(&request, HEADER).as_deref() {
            Some("kernel_info_request") => {
                self.publish(&request, "status", &status("busy")).await?;
                let reply = self.front.key.reply(&request, INFO_REPLY, &kernel_info());
                send(self.front.shell, reply).await;
                self.publish(&request, "status", &status("idle")).await
            }
            Some("execute_request") => {
                if self.first_cell().is_none() {
                    self.publish(&request, "status", &status("busy")).await?;
                    let text = json!({"name": "stdout", "text": WAITS});
                    self.publish(&request, "stream", &text).await?;
                }
                self.shell.push(request);
                Ok(())
            }
            _ => {
                self.shell.push(request);
                Ok(())
            }
        }
    }

    /// Returns whether this is the end of the kernel.
    async fn control_request(&mut self, request: ZmqMessage) -> Result<bool> {
        let Some(kind) = kind(&request, HEADER) else {
            return Ok(false);
        };
        if !self.front.key.has_signed(&request) {
            return Ok(false);
        }
        let key = self.front.key;
        let reply = match kind.as_str() {
            "kernel_info_request" => key.reply(&request, INFO_REPLY, &kernel_info()),
            "interrupt_request" => {
                self.end_cells(&[STOPPED.to_owned()]).await?;
                key.reply(&request, "interrupt_reply", &json!({"status": "ok"}))
            }
            "shutdown_request" => {
                let content = part(&request, CONTENT).unwrap_or_default();
                let content = json!({"status": "ok", "restart": content["restart"] == true});
                key.reply(&request, "shutdown_reply", &content)
            }
            _ => {
                self.control.push(request);
                return Ok(false);
            }
        };
        send(self.front.control, reply).await;
        Ok(kind == "shutdown_request")
    }

    fn first_cell(&self) -> Option<&ZmqMessage> {
        self.shell.iter().find(|request| is_cell(request))
    }

    /// The first cell that waits shows an error, those behind it nothing, as where a cell fails that runs.
    async fn end_cells(&mut self, lines: &[String]) -> Result<()> {
        let (cells, others) = self.shell.drain(..).partition(is_cell);
        self.shell = others;
        let error = json!({"ename": "Error", "evalue": lines.join(" "), "traceback": lines});
        let mut reply = error.clone();
        reply["status"] = "error".into();
        for (index, cell) in Vec::into_iter(cells).enumerate() {
            if index == 0 {
                self.publish(&cell, "clear_output", &json!({"wait": false}))
                    .await?;
                self.publish(&cell, "error", &error).await?;
            } else {
                reply = json!({"status": "aborted"});
            }
            reply["execution_count"] = 0.into();
            let reply = self.front.key.reply(&cell, "execute_reply", &reply);
            send(self.front.shell, reply).await;
            self.publish(&cell, "status", &status("idle")).await?;
        }
        Ok(())
    }

    async fn starts(mut self, folder: PathBuf) -> Result<End> {
        if let Some(cell) = self.first_cell().cloned() {
            self.publish(&cell, "clear_output", &json!({"wait": false}))
                .await?;
        }
        Ok(End::Starts {
            folder,
            shell: self.shell,
            control: self.control,
        })
    }

    async fn publish(&mut self, request: &ZmqMessage, kind: &str, content: &Value) -> Result<()> {
        if let Some(message) = self.front.key.publication(request, kind, content) {
            self.front.output.send(message).await?;
        }
        Ok(())
    }
}

/// Whoever asked may be gone.
async fn send(socket: &mut RouterSocket, reply: Option<ZmqMessage>) {
    if let Some(reply) = reply {
        let _ = socket.send(reply).await;
    }
}

fn is_cell(request: &ZmqMessage) -> bool {
    kind(request, HEADER).as_deref() == Some("execute_request")
}

fn status(state: &str) -> Value {
    json!({"execution_state": state})
}

const INFO_REPLY: &str = "kernel_info_reply";

/// What the kernel's program says of itself.
fn kernel_info() -> Value {
    json!({
        "protocol_version": "5.3",
        "implementation": "evcxr_jupyter",
        "implementation_version": evcxr::VERSION,
        "language_info": {
            "name": "Rust",
            "version": "",
            "mimetype": "text/rust",
            "file_extension": ".rs",
            "pygment_lexer": "rust",
            "codemirror_mode": "rust",
        },
        "banner": format!("EvCxR {} - Evaluation Context for Rust", evcxr::VERSION),
        "help_links": [
            {"text": "Rust std docs", "url": "https://doc.rust-lang.org/stable/std/"}
        ],
        "status": "ok",
    })
}
