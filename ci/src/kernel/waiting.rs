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
use zeromq::{SocketRecv, ZmqMessage};

use super::evcxr;
use super::front::Front;
use super::message::{CONTENT, HEADER, kind, part};

/// What the first cell that waits shows. It goes when the cell runs.
const WAITS: &str = "The Rust kernel is still being built (some minutes; the terminal of `cargo lab` shows how far it is). \
                     This cell runs as soon as it is ready.\n";

const CELL: &str = "execute_request";
const STATUS: &str = "status";
const INFO: &str = "kernel_info_reply";
const SHUT_DOWN: &str = "shutdown_reply";

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

/// A kernel that starts, and the requests that wait for its program.
#[derive(Default)]
pub struct Start {
    pub folder: PathBuf,
    pub shell: Vec<ZmqMessage>,
    pub control: Vec<ZmqMessage>,
}

/// How the waiting ended.
pub enum End {
    Starts(Start),
    /// The reader wants no kernel any more.
    ShutDown,
    /// There will be no kernel, and whom it concerns knows it.
    Told,
}

/// Speaks to Jupyter until there is a kernel. If there will be none, until a cell has been told why: Jupyter starts a kernel that has
/// ended anew, and one that fails at once would do so without end.
pub async fn wait(front: &mut Front) -> Result<End> {
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
                Some(News::Starts(folder)) => return waiting.starts(folder).await.map(End::Starts),
                Some(News::Failed(reason)) => failure = Some(reason),
                None => return Ok(End::Told), // the process that would be the kernel has ended
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
    front: &'a mut Front,
    shell: Vec<ZmqMessage>,
    control: Vec<ZmqMessage>,
}

impl Waiting<'_> {
    async fn shell_request(&mut self, request: ZmqMessage) -> Result<()> {
        match kind(&request, HEADER).as_deref() {
            Some("kernel_info_request") => {
                self.front.publish(&request, STATUS, &state("busy")).await?;
                self.front.reply(&request, INFO, &kernel_info()).await;
                self.front.publish(&request, STATUS, &state("idle")).await?;
                return Ok(());
            }
            // The kernel's program has no reply to them either. JupyterLab, which misses the states before, takes the kernel's from here.
            Some("history_request" | "comm_info_request") if self.first_cell().is_none() => {
                self.front.publish(&request, STATUS, &state("busy")).await?;
                self.front.publish(&request, STATUS, &state("idle")).await?;
                return Ok(());
            }
            Some(CELL) if self.first_cell().is_none() => {
                let text = json!({"name": "stdout", "text": WAITS});
                self.front.publish(&request, STATUS, &state("busy")).await?;
                self.front.publish(&request, "stream", &text).await?;
            }
            _ => (),
        }
        self.shell.push(request);
        Ok(())
    }

    /// Returns whether this is the end of the kernel.
    async fn control_request(&mut self, request: ZmqMessage) -> Result<bool> {
        if !self.front.key.has_signed(&request) {
            return Ok(false);
        }
        let (reply, content) = match kind(&request, HEADER).as_deref() {
            Some("kernel_info_request") => (INFO, kernel_info()),
            Some("interrupt_request") => {
                self.end_cells(&["Stopped before it ran.".to_owned()])
                    .await?;
                ("interrupt_reply", json!({"status": "ok"}))
            }
            Some("shutdown_request") => {
                let content = part(&request, CONTENT).unwrap_or_default();
                let restart = content["restart"] == true;
                (SHUT_DOWN, json!({"status": "ok", "restart": restart}))
            }
            _ => {
                self.control.push(request);
                return Ok(false);
            }
        };
        self.front.reply_to_control(&request, reply, &content).await;
        Ok(reply == SHUT_DOWN)
    }

    fn first_cell(&self) -> Option<&ZmqMessage> {
        self.shell.iter().find(|request| is_cell(request))
    }

    /// The first cell that waits shows an error, those behind it nothing, as where a cell fails that runs.
    async fn end_cells(&mut self, lines: &[String]) -> Result<()> {
        self.take_back_what_was_said().await?;
        let (cells, others): (Vec<_>, _) = self.shell.drain(..).partition(is_cell);
        self.shell = others;
        let error = json!({"ename": "Error", "evalue": lines.join(" "), "traceback": lines});
        let failed = json!({
            "status": "error", "execution_count": 0,
            "ename": "Error", "evalue": lines.join(" "), "traceback": lines,
        });
        let aborted = json!({"status": "aborted", "execution_count": 0});
        for (index, cell) in cells.iter().enumerate() {
            let reply = if index == 0 { &failed } else { &aborted };
            if index == 0 {
                self.front.publish(cell, "error", &error).await?;
            }
            self.front.reply(cell, "execute_reply", reply).await;
            self.front.publish(cell, STATUS, &state("idle")).await?;
        }
        Ok(())
    }

    async fn take_back_what_was_said(&mut self) -> Result<()> {
        if let Some(cell) = self.first_cell().cloned() {
            let now = json!({"wait": false});
            self.front.publish(&cell, "clear_output", &now).await?;
        }
        Ok(())
    }

    async fn starts(mut self, folder: PathBuf) -> Result<Start> {
        self.take_back_what_was_said().await?;
        Ok(Start {
            folder,
            shell: self.shell,
            control: self.control,
        })
    }
}

fn is_cell(request: &ZmqMessage) -> bool {
    kind(request, HEADER).as_deref() == Some(CELL)
}

fn state(state: &str) -> Value {
    json!({"execution_state": state})
}

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
