//! Running code that may panic, never end, or end the program.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Once, mpsc};
use std::thread;
use std::time::{Duration, Instant};

/// Why the learner's code did not come to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// It met a `todo!()`.
    NotWritten,
    /// It panicked, with this message.
    Panicked(String),
    /// It was not ready in this time.
    TooSlow(Duration),
    /// It ended the program: why.
    #[cfg_attr(not(unix), allow(dead_code, reason = "there it ends this one"))]
    Ended(String),
}

/// What a [`Failure::Ended`] says of a stack that overflowed.
pub(super) const STACK_OVERFLOW: &str = "the stack overflowed";

/// Networks built by the learner may put large arrays on the stack, and have more of it outside of a check.
pub(super) const STACK: usize = 8 << 20;

/// Runs `code` for at most `limit`. Returns what it reported, and why it stopped, if it did.
///
/// On Unix it runs in a copy of this process, of which nothing is left. On other systems it runs on a thread, where an
/// overflow of the stack ends the program, and a loop without end goes on.
pub(super) fn watch<C: FnOnce(&dyn Fn(&[u8])) + Send + 'static>(
    limit: Duration,
    code: C,
) -> (Vec<Vec<u8>>, Option<Failure>) {
    #[cfg(unix)]
    {
        use super::child::{Output, run_in_child};
        let run = |code: C, report: &dyn Fn(&[u8])| code(report);
        match run_in_child(limit, Output::Shown, code, run) {
            Ok((_, outcome)) => (outcome.reported, outcome.failure),
            Err(error) => (Vec::new(), Some(Failure::Panicked(error.to_string()))),
        }
    }
    #[cfg(not(unix))]
    watch_thread(limit, |report| {
        code(&|value: &[u8]| report(value.to_owned()))
    })
}

/// Runs `code` on a thread of its own for at most `limit`. Returns what it reported, and why it stopped, if it did.
pub(super) fn watch_thread<T: Send + 'static>(
    limit: Duration,
    code: impl FnOnce(&dyn Fn(T)) + Send + 'static,
) -> (Vec<T>, Option<Failure>) {
    let deadline = Instant::now() + limit;
    let (sender, receiver) = mpsc::channel();
    let run = move || {
        let report = |value| {
            // Nobody listens any more once the time is over.
            let _ = sender.send(Ok(value));
        };
        if let Err(message) = catch(|| code(&report)) {
            let _ = sender.send(Err(message));
        }
    };
    let mut reported = Vec::new();
    let thread = thread::Builder::new().stack_size(STACK).spawn(run);
    if let Err(error) = thread {
        return (reported, Some(Failure::Panicked(error.to_string())));
    }
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match receiver.recv_timeout(left) {
            Ok(Ok(value)) => reported.push(value),
            Ok(Err(message)) => return (reported, Some(failure(message))),
            Err(mpsc::RecvTimeoutError::Disconnected) => return (reported, None),
            Err(mpsc::RecvTimeoutError::Timeout) => {
                return (reported, Some(Failure::TooSlow(limit)));
            }
        }
    }
}

/// `todo!()` and `unimplemented!()` are the marks of a scaffold.
pub(super) fn failure(message: String) -> Failure {
    let unwritten = ["not yet implemented", "not implemented"];
    if unwritten.iter().any(|start| message.starts_with(start)) {
        Failure::NotWritten
    } else {
        Failure::Panicked(message)
    }
}

thread_local! {
    /// Whether a panic of this thread is part of an answer, and not news for standard error.
    static QUIET: Cell<bool> = const { Cell::new(false) };
    static MESSAGE: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Runs `code`; a panic comes back as its message, and nothing of it is printed.
pub(super) fn catch(code: impl FnOnce()) -> Result<(), String> {
    install_hook();
    QUIET.set(true);
    let result = catch_unwind(AssertUnwindSafe(code));
    QUIET.set(false);
    result.map_err(|_| MESSAGE.take())
}

/// From now on, panics of threads that are [`QUIET`] are kept instead of printed.
pub(super) fn install_hook() {
    static INSTALL: Once = Once::new();
    INSTALL.call_once(|| {
        let others = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if QUIET.get() {
                let message = panic
                    .payload_as_str()
                    .unwrap_or("a panic without a message");
                MESSAGE.replace(message.to_owned());
            } else {
                others(panic);
            }
        }));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    #[test]
    fn what_is_reported_before_a_panic_is_kept() {
        let (reported, failure) = watch(LIMIT, |report| {
            report(&[1]);
            report(&[2]);
            let empty: Vec<u8> = Vec::new();
            report(&[empty[0]]);
        });
        assert_eq!(reported, [[1], [2]]);
        let Some(Failure::Panicked(message)) = failure else {
            panic!("{failure:?}");
        };
        assert!(message.contains("out of bounds"), "{message}");
    }

    #[test]
    fn unwritten_code_is_told_from_a_panic() {
        assert_eq!(watch(LIMIT, |_| todo!()).1, Some(Failure::NotWritten));
        assert_eq!(
            watch(LIMIT, |_| todo!("sum the window")).1,
            Some(Failure::NotWritten)
        );
    }

    #[test]
    fn a_loop_without_end_is_left() {
        let limit = Duration::from_millis(50);
        let (reported, failure) = watch(limit, |report| {
            report(&[7]);
            loop {
                thread::sleep(Duration::from_millis(10));
            }
        });
        assert_eq!(reported, [[7]]);
        assert_eq!(failure, Some(Failure::TooSlow(limit)));
    }

    #[test]
    fn code_that_ends_is_not_late() {
        assert_eq!(
            watch(LIMIT, |report| report(b"done")),
            (vec![b"done".to_vec()], None)
        );
        assert_eq!(
            watch_thread(LIMIT, |report| report("done")),
            (vec!["done"], None)
        );
    }

    #[test]
    fn a_thread_that_is_late_or_panics_is_left() {
        let limit = Duration::from_millis(50);
        let code = |_: &dyn Fn(())| thread::sleep(Duration::from_secs(2));
        assert_eq!(watch_thread(limit, code).1, Some(Failure::TooSlow(limit)));
        let code = |_: &dyn Fn(())| panic!("on purpose");
        let panicked = Some(Failure::Panicked("on purpose".into()));
        assert_eq!(watch_thread(LIMIT, code).1, panicked);
    }
}
