//! Who ends a kernel when `cargo nb` itself is killed.
//!
//! Against SIGKILL no program can do anything afterwards. So another process, in a group of its own, reads a pipe that
//! only `cargo nb` can write to. The pipe's end is the end of `cargo nb`, however it came: then the guard ends the
//! kernel with all that it has started, and removes its folder. (On Windows the kernel's job object does that.)
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};

#[derive(clap::Args)]
pub struct Args {
    /// The process group to end
    group: i32,
    /// The folder to remove
    folder: PathBuf,
}

/// What the guard does: it waits, and ends the group if it was not told that this has been done.
pub fn run(args: Args) -> Result<()> {
    let mut said = Vec::new();
    std::io::stdin().read_to_end(&mut said)?;
    if said.is_empty() {
        let group = rustix::process::Pid::from_raw(args.group).context("no process group")?;
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        let _ = std::fs::remove_dir_all(args.folder);
    }
    Ok(())
}

/// A guard that runs. Dropping it sends it home: the kernel has been ended.
pub struct Guard(Child);

impl Guard {
    /// Sets a guard on a kernel, which leads a process group of its own.
    pub fn set(group: u32, folder: &Path) -> Result<Self> {
        use std::os::unix::process::CommandExt;
        let program = std::env::current_exe().context("the path of the running program")?;
        let child = Command::new(program)
            .args(["guard", &group.to_string()])
            .arg(folder)
            .process_group(0) // Ctrl-C is not for it
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("starting the guard of a kernel")?;
        Ok(Guard(child))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        use std::io::Write;
        if let Some(mut pipe) = self.0.stdin.take() {
            let _ = pipe.write_all(b"done");
        }
        let _ = self.0.wait();
    }
}
