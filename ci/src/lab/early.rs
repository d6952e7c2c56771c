//! JupyterLab while the kernel's program or the crate is still built: the notebooks can be read with it already.
//!
//! This process goes on with the builds, shows how far they are, and ends with JupyterLab. A kernel that is opened meanwhile waits:
//! `kernel/waiting.rs`.
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, getpgrp, getpid, kill_process, kill_process_group};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::Child;
use tokio::signal::unix::{self, SignalKind, signal};
use tokio::task::{JoinError, JoinHandle};
use tokio::time::timeout;

use crate::steps::say;

/// What came of the builds and JupyterLab.
pub enum End {
    /// All was built before JupyterLab could be started: that is still to be done.
    Built(Command),
    /// JupyterLab has ended, and so have the builds.
    Closed(ExitStatus),
}

/// Builds in a thread of its own, and starts JupyterLab as soon as it is set up.
pub fn open(
    build: impl FnOnce() -> Result<()> + Send + 'static,
    set_up_jupyterlab: impl FnOnce() -> Result<Command>,
) -> Result<End> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let builds = runtime.spawn_blocking(build);
    let jupyterlab = set_up_jupyterlab();
    if jupyterlab.is_err() || builds.is_finished() {
        result(runtime.block_on(builds))?;
        return jupyterlab.map(End::Built);
    }
    let status = runtime.block_on(beside(jupyterlab?, builds));
    runtime.shutdown_background(); // what is still built is not waited for
    status.map(End::Closed)
}

fn result(ended: Result<Result<()>, JoinError>) -> Result<()> {
    ended.context("a step of the set-up has panicked; see above")?
}

/// Runs JupyterLab beside the builds, and ends them with it.
async fn beside(command: Command, mut builds: JoinHandle<Result<()>>) -> Result<ExitStatus> {
    let mut stop = Stop::new()?;
    let mut jupyterlab = start(command)?;
    let log = jupyterlab.stderr.take().context("a pipe was asked for")?;
    let log = tokio::spawn(show(log));
    say(
        "JupyterLab starts: the notebooks can be read already, and cells answer when all is built. Stop it with Ctrl-C",
    );
    let (mut are_building, mut is_stopped) = (true, false);
    let status = loop {
        tokio::select! {
            biased; // Ctrl-C ends cargo too, which is no failure of the builds
            () = stop.asked_for() => {
                terminate(&jupyterlab);
                if are_building && !is_stopped {
                    say("Stopped. What is built so far is kept: the next `cargo lab` goes on from there");
                }
                is_stopped = true;
            }
            ended = &mut builds, if are_building => {
                are_building = false;
                if !is_stopped {
                    say_how_builds_ended(result(ended));
                }
            }
            status = jupyterlab.wait() => break status?,
        }
    };
    if are_building {
        end_builds();
    }
    let _ = timeout(LAST_LINES, log).await;
    Ok(status)
}

/// How long JupyterLab's last lines are waited for: a kernel of it that still ends holds the pipe open.
const LAST_LINES: Duration = Duration::from_millis(300);

/// JupyterLab in a process group of its own, so that Ctrl-C reaches this process alone, which passes it on. (JupyterLab would ask back, in
/// the midst of the builds' lines, and cargo would have ended.)
fn start(mut command: Command) -> Result<Child> {
    command
        .process_group(0)
        .stdin(Stdio::null())
        .stderr(Stdio::piped());
    tokio::process::Command::from(command)
        .spawn()
        .context("JupyterLab does not start; run `cargo doctor`")
}

/// Shows what JupyterLab logs, between the builds' lines in place.
async fn show(log: impl AsyncRead + Unpin) {
    let mut lines = BufReader::new(log).split(b'\n');
    while let Ok(Some(line)) = lines.next_segment().await {
        say(&String::from_utf8_lossy(&line));
    }
}

/// What asks this process to stop: Ctrl-C, another process, a terminal that is closed.
struct Stop([unix::Signal; 3]);

impl Stop {
    fn new() -> Result<Self> {
        Ok(Stop([
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
            signal(SignalKind::hangup())?,
        ]))
    }

    async fn asked_for(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => (),
            _ = terminate.recv() => (),
            _ = hangup.recv() => (),
        }
    }
}

fn terminate(jupyterlab: &Child) {
    let id = jupyterlab.id().and_then(|id| Pid::from_raw(id as i32));
    if let Some(id) = id {
        let _ = kill_process(id, Signal::TERM);
    }
}

/// Ends what the builds have started, where this process leads its group, as it does in a shell; the signal does not end this process,
/// which listens to it. Elsewhere cargo ends when it has the next word to say, which nobody reads.
fn end_builds() {
    if getpgrp() == getpid() {
        let _ = kill_process_group(getpgrp(), Signal::TERM);
    }
}

fn say_how_builds_ended(ended: Result<()>) {
    match ended {
        Ok(()) => say("All is built: cells answer now"),
        Err(error) => say(&format!(
            "error: {error:#}\n\
             JupyterLab stays open to read. Its cells say that there is no kernel. When the cause is mended, stop it with Ctrl-C and run \
             `cargo lab` again: the builds go on from there"
        )),
    }
}
