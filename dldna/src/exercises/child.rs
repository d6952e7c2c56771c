//! Code in a copy of this process: it may overflow its stack, loop for ever or end the program, and nothing of it is left.

use super::watch::{Failure, STACK, catch, failure, install_hook};
use crate::interrupt;
use fork::{Fork, fork};
use nix::unistd::alarm;
use rustix::process::{
    Pid, Resource, Rlimit, Signal, WaitOptions, WaitStatus, getpid, kill_process, setrlimit,
    waitpid,
};
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::thread;
use std::time::{Duration, Instant};

/// What a child says of itself, a byte in front of each message.
const VALUE: u8 = 0;
const PANIC: u8 = 1;
const END: u8 = 2;

/// How the child ended, and what it reported before.
pub(super) struct Outcome {
    pub(super) reported: Vec<Vec<u8>>,
    pub(super) failure: Option<Failure>,
}

/// Whether what the child prints is shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Output {
    Shown,
    Hidden,
}

/// Runs `run` on `code` in a copy of this process for at most `limit`. The copy is gone afterwards, whatever it did; here
/// `code` is as it was. Nothing comes back but what was reported.
///
/// # Errors
/// Those of the system: then nothing was run.
pub(super) fn run_in_child<C: Send>(
    limit: Duration,
    output: Output,
    code: C,
    run: impl FnOnce(C, &dyn Fn(&[u8])) + Send,
) -> io::Result<(C, Outcome)> {
    // Files and not pipes: what a child wrote is there when it has ended, and no other child holds an end of it open.
    let (mut messages, mut errors) = (tempfile::tempfile()?, tempfile::tempfile()?);
    io::stdout().flush()?; // or both would print it
    install_hook(); // the lock for that is free now
    // The child has no other threads. A lock that one of them held stays locked there, which makes the child wait until it
    // is killed.
    let child = match fork()? {
        Fork::Child => be_child(limit, output, &messages, &errors, || {
            run(code, &|value| send(&messages, VALUE, value));
        }),
        Fork::Parent(child) => Pid::from_raw(child).expect("a child has a number"),
    };
    let end = wait(child, limit)?;
    let Messages { reported, last } = read_messages(&mut messages)?;
    let printed = read_from_start(&mut errors)?;
    let printed = String::from_utf8_lossy(&printed);
    let failure = match (last, end) {
        (Some((PANIC, message)), _) => Some(failure(message)),
        (Some(_), _) => None,
        (None, None) => Some(Failure::TooSlow(limit)),
        (None, Some(status)) => Some(Failure::Ended(cause(status, &printed))),
    };
    if output == Output::Shown && !matches!(failure, Some(Failure::Ended(_))) {
        eprint!("{printed}");
    }
    Ok((code, Outcome { reported, failure }))
}

/// The child: runs `code` and ends.
fn be_child(
    limit: Duration,
    output: Output,
    messages: &File,
    errors: &File,
    code: impl FnOnce() + Send,
) -> ! {
    /// Whatever happens, the child does not go on with what its parent does.
    struct End;
    impl Drop for End {
        fn drop(&mut self) {
            // At once: what a program does at its end is the parent's to do.
            let _ = kill_process(getpid(), Signal::KILL);
            thread::park();
        }
    }
    let end = End;
    // Should the parent be killed meanwhile, nobody else would end the child.
    let seconds = u32::try_from(limit.as_secs().saturating_add(2)).unwrap_or(u32::MAX);
    alarm::set(seconds);
    let nothing = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    let _ = setrlimit(Resource::Core, nothing); // an overflow is an answer, no need for its memory
    let _ = rustix::stdio::dup2_stderr(errors);
    if output == Output::Hidden
        && let Ok(null) = File::options().write(true).open("/dev/null")
    {
        let _ = rustix::stdio::dup2_stdout(null);
    }
    // The threads of rayon's own pool are not here.
    let pool = rayon::ThreadPoolBuilder::new().stack_size(STACK).build();
    let result = match pool {
        Ok(pool) => pool.install(|| catch(code)),
        Err(error) => Err(error.to_string()),
    };
    let _ = io::stdout().flush();
    match result {
        Ok(()) => send(messages, END, &[]),
        Err(message) => send(messages, PANIC, message.as_bytes()),
    }
    drop(end);
    unreachable!("the process has ended")
}

/// Writes one message: its kind, its length and its bytes.
fn send(mut messages: &File, kind: u8, bytes: &[u8]) {
    let mut message = vec![kind];
    message.extend((bytes.len() as u64).to_le_bytes());
    message.extend(bytes);
    if let Err(error) = messages.write_all(&message) {
        panic!("the result could not be handed over: {error}");
    }
}

/// What a child has said.
struct Messages {
    reported: Vec<Vec<u8>>,
    /// Kind and text of the last message, if it came to that.
    last: Option<(u8, String)>,
}

fn read_messages(messages: &mut File) -> io::Result<Messages> {
    let bytes = read_from_start(messages)?;
    let (mut rest, mut reported) = (&bytes[..], Vec::new());
    while let Some((&kind, behind)) = rest.split_first()
        && let Some((length, behind)) = behind.split_first_chunk()
        && let Some((message, behind)) = usize::try_from(u64::from_le_bytes(*length))
            .ok()
            .and_then(|length| behind.split_at_checked(length))
    {
        if kind != VALUE {
            let text = String::from_utf8_lossy(message).into_owned();
            let last = Some((kind, text));
            return Ok(Messages { reported, last });
        }
        reported.push(message.to_owned());
        rest = behind;
    }
    let last = None;
    Ok(Messages { reported, last })
}

fn read_from_start(file: &mut File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Waits for the end of a child; kills it at the end of its time, and says `None` then.
fn wait(child: Pid, limit: Duration) -> io::Result<Option<WaitStatus>> {
    let start = Instant::now();
    loop {
        match waitpid(Some(child), WaitOptions::NOHANG) {
            Ok(Some((_, status)))
                if status.terminating_signal() == Some(Signal::ALARM.as_raw()) =>
            {
                return Ok(None);
            }
            Ok(Some((_, status))) => return Ok(Some(status)),
            Ok(None) if start.elapsed() >= limit || interrupt::is_requested() => break,
            Ok(None) => thread::sleep(Duration::from_millis(1)),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    kill_process(child, Signal::KILL)?;
    while let Err(rustix::io::Errno::INTR) = waitpid(Some(child), WaitOptions::empty()) {}
    Ok(None)
}

/// Why a child ended before its code did. `printed` is what it wrote to standard error.
fn cause(status: WaitStatus, printed: &str) -> String {
    let signal = status.terminating_signal();
    // In a program the standard library says it and aborts, in a notebook the system ends the process.
    let of_the_memory = [Signal::SEGV, Signal::BUS].map(Signal::as_raw);
    if signal.is_some_and(|signal| of_the_memory.contains(&signal))
        || printed.contains("overflowed its stack")
    {
        return super::watch::STACK_OVERFLOW.to_owned();
    }
    let first = printed.lines().find(|line| !line.trim().is_empty());
    match (first, signal) {
        (Some(line), _) => line.to_owned(),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => format!("exit code {}", status.exit_status().unwrap_or(0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    fn run(code: impl FnOnce(&dyn Fn(&[u8])) + Send) -> Outcome {
        let run =
            |code: Option<_>, report: &dyn Fn(&[u8])| code.map_or((), |it: _| call(it, report));
        fn call(code: impl FnOnce(&dyn Fn(&[u8])), report: &dyn Fn(&[u8])) {
            code(report);
        }
        run_in_child(LIMIT, Output::Hidden, Some(code), run)
            .unwrap()
            .1
    }

    #[allow(unconditional_recursion)]
    fn endless(depth: u64) -> u64 {
        std::hint::black_box(endless(depth + 1) + depth)
    }

    #[test]
    fn an_endless_recursion_is_told_with_what_came_before() {
        let outcome = run(|report| {
            report(&[7]);
            endless(0);
        });
        assert_eq!(outcome.reported, [[7]]);
        assert_eq!(
            outcome.failure,
            Some(Failure::Ended("the stack overflowed".into()))
        );
    }

    #[test]
    fn code_that_ends_the_program_ends_the_child() {
        let outcome = run(|_| std::process::exit(3));
        assert_eq!(outcome.failure, Some(Failure::Ended("exit code 3".into())));
        let outcome = run(|_| std::process::abort());
        assert_eq!(outcome.failure, Some(Failure::Ended("signal 6".into())));
        let outcome = run(|_| {
            writeln!(io::stderr(), "no memory left").unwrap(); // not into the test's own record
            std::process::abort()
        });
        assert_eq!(
            outcome.failure,
            Some(Failure::Ended("no memory left".into()))
        );
    }

    #[test]
    fn loops_of_rayon_run_in_the_child() {
        use rayon::prelude::*;
        let sum = || (0..10_000_u64).into_par_iter().map(|x| x * x).sum::<u64>();
        let expected = sum(); // the pool of this process is there
        let outcome = run(move |report| report(&sum().to_le_bytes()));
        assert_eq!(outcome.failure, None);
        assert_eq!(outcome.reported, [expected.to_le_bytes()]);
    }

    #[test]
    fn the_code_is_as_it_was_and_can_be_run_here() {
        let take = |values: Vec<i32>, report: &dyn Fn(&[u8])| report(&[values.len() as u8]);
        let (values, outcome) = run_in_child(LIMIT, Output::Hidden, vec![1, 2, 3], take).unwrap();
        assert_eq!((values, outcome.reported), (vec![1, 2, 3], vec![vec![3]]));
    }

    #[test]
    fn a_message_that_was_cut_short_is_left_out() {
        let mut file = tempfile::tempfile().unwrap();
        send(&file, VALUE, b"whole");
        file.write_all(&[VALUE, 200, 0, 0, 0, 0, 0, 0, 0, b'x'])
            .unwrap();
        let Messages { reported, last } = read_messages(&mut file).unwrap();
        assert_eq!((reported, last), (vec![b"whole".to_vec()], None));
    }
}
