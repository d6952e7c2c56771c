//! The long steps of a set-up, which are done side by side: a line in place for each on a terminal.
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

static LINES: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

/// Prints a line that stays.
pub fn say(text: &str) {
    LINES.suspend(|| eprintln!("{text}"));
}

/// Does one thing and says how long it took.
pub fn step(name: &str, action: impl FnOnce() -> Result<()>) -> Result<()> {
    let started = Instant::now();
    action().with_context(|| format!("{name} is not ready"))?;
    say(&format!(
        "{name}: ready ({:.1} s)",
        started.elapsed().as_secs_f64()
    ));
    Ok(())
}

/// Does several things at once, and ends with the first error of them when all have ended.
pub fn side_by_side(actions: &[&(dyn Fn() -> Result<()> + Sync)]) -> Result<()> {
    let join = |thread: ScopedJoinHandle<'_, Result<()>>| {
        thread
            .join()
            .unwrap_or_else(|_| Err(anyhow!("a step of the set-up has panicked; see above")))
    };
    thread::scope(|scope| {
        let threads: Vec<_> = actions.iter().map(|action| scope.spawn(action)).collect();
        let ended: Vec<_> = threads.into_iter().map(join).collect();
        ended.into_iter().collect()
    })
}

/// Runs cargo and returns whether it succeeded. What it says is shown when it fails; until then a line in place has its last words.
pub fn run_cargo(name: &str, command: &mut Command) -> Result<bool> {
    let style = ProgressStyle::with_template("{spinner} {prefix}  {elapsed}  {wide_msg}")
        .expect("a constant template");
    let line = LINES.add(ProgressBar::new_spinner().with_style(style));
    line.set_prefix(name.to_owned());
    line.enable_steady_tick(Duration::from_millis(200));
    let mut cargo = command
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("starting {}", command.get_program().display()))?;
    let mut said = Vec::new();
    let stderr = cargo.stderr.take().context("a pipe was asked for")?;
    for words in BufReader::new(stderr).split(b'\n') {
        let words = String::from_utf8_lossy(&words?).into_owned();
        line.set_message(words.trim().to_owned());
        said.push(words);
    }
    let status = cargo.wait()?;
    line.finish_and_clear();
    // Ended by a signal it has failed at nothing: the reader has stopped it.
    if !status.success() && status.code().is_some() {
        say(&said.join("\n"));
    }
    Ok(status.success())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;

    #[test]
    fn steps_run_at_the_same_time_and_an_error_is_returned_when_all_have_ended() {
        let meeting = Barrier::new(2); // one after the other they would wait for ever
        let meet = || {
            meeting.wait();
            Ok(())
        };
        side_by_side(&[&meet, &meet]).unwrap();
        let fail = || {
            meeting.wait();
            step("It", || Err(anyhow!("no disk")))
        };
        let error = side_by_side(&[&fail, &meet]).unwrap_err();
        assert_eq!(format!("{error:#}"), "It is not ready: no disk");
    }
}
