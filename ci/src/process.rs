//! Becoming another program.
use anyhow::{Context, Result};
use std::process::{Command, ExitStatus};

/// Becomes the program. Where that cannot be, on Windows, it waits until the program has ended.
#[cfg(unix)]
pub fn become_program(mut command: Command) -> Result<ExitStatus> {
    use std::os::unix::process::CommandExt;
    let error = command.exec();
    Err(error).with_context(|| format!("starting {:?}", command.get_program()))
}

#[cfg(windows)]
pub fn become_program(command: Command) -> Result<ExitStatus> {
    run(tokio::process::Command::from(command).into())
}

/// The same. When this process is ended by force, so is all that the program has started.
#[cfg(windows)]
pub fn become_program_with_all_it_starts(command: Command) -> Result<ExitStatus> {
    use process_wrap::tokio::{CommandWrap, JobObject, KillOnDrop};
    let mut command = CommandWrap::from(tokio::process::Command::from(command));
    command.wrap(JobObject).wrap(KillOnDrop);
    run(command)
}

/// Ctrl-C goes to the program too, which may ask back: this process waits for what comes of it.
#[cfg(windows)]
fn run(mut command: process_wrap::tokio::CommandWrap) -> Result<ExitStatus> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let name = command.command().as_std().get_program().to_owned();
        let child = command.spawn();
        let mut child = child.with_context(|| format!("starting {name:?}"))?;
        loop {
            tokio::select! {
                status = child.wait() => return Ok(status?),
                pressed = tokio::signal::ctrl_c() => pressed?,
            }
        }
    })
}
