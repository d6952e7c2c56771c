//! One file over HTTP or HTTPS, into memory.
//!
//! Nothing is written here: a download that breaks off leaves nothing behind.

use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use thiserror::Error;
use ureq::Agent;

/// How long to wait for a connection, for the first answer, and for each further piece of the file.
const PATIENCE: Duration = Duration::from_secs(20);

/// No download may take longer, however steadily it drips.
const LONGEST: Duration = Duration::from_secs(30 * 60);

/// What can go wrong with a download.
#[derive(Debug, Error)]
pub enum DownloadError {
    /// The server could not be reached: unknown host, refused connection, no network, failed encryption.
    #[error("{url}: cannot be reached: {reason}")]
    Unreachable {
        /// The address.
        url: String,
        /// What the network layer said.
        reason: String,
    },
    /// The server answered with an error.
    #[error("{url}: expected the file, the server answered with status {status}{}", describe_status(*status))]
    Status {
        /// The address.
        url: String,
        /// HTTP status code.
        status: u16,
    },
    /// The connection ended before the whole file had come.
    #[error("{url}: the connection was cut: expected {}, received {received} bytes", describe_length(*expected))]
    Cut {
        /// The address.
        url: String,
        /// Length that the server had announced, in bytes.
        expected: Option<u64>,
        /// Bytes that came.
        received: u64,
    },
    /// No more data came for too long.
    #[error("{url}: no data for {seconds} seconds, after {received} bytes")]
    Stalled {
        /// The address.
        url: String,
        /// How long was waited.
        seconds: u64,
        /// Bytes that came before.
        received: u64,
    },
    /// The file is longer than it can rightly be.
    #[error("{url}: expected at most {limit} bytes, {}", describe_excess(*announced))]
    TooLong {
        /// The address.
        url: String,
        /// Greatest accepted length in bytes.
        limit: u64,
        /// Length that the server had announced, in bytes.
        announced: Option<u64>,
    },
}

fn describe_status(status: u16) -> &'static str {
    match status {
        403 => " (forbidden)",
        404 => " (not found)",
        500..=599 => " (trouble at the server; try again later)",
        _ => "",
    }
}

fn describe_length(expected: Option<u64>) -> String {
    expected.map_or_else(
        || "the rest of the file".to_string(),
        |length| format!("{length} bytes"),
    )
}

fn describe_excess(announced: Option<u64>) -> String {
    announced.map_or_else(
        || "more came".to_string(),
        |length| format!("the server announces {length}"),
    )
}

/// Downloads `url` into memory; files of more than `limit` bytes are refused.
///
/// Progress is shown on one line of standard output once the download takes longer than a moment. Proxies are taken from the
/// usual environment variables (`HTTPS_PROXY`, `ALL_PROXY`).
///
/// # Errors
/// If the server cannot be reached, answers with an error, breaks off, falls silent, or sends too much.
pub fn fetch(url: &str, limit: u64) -> Result<Vec<u8>, DownloadError> {
    fetch_within(url, limit, PATIENCE)
}

fn fetch_within(url: &str, limit: u64, patience: Duration) -> Result<Vec<u8>, DownloadError> {
    let config = Agent::config_builder()
        .timeout_resolve(Some(patience))
        .timeout_connect(Some(patience))
        .timeout_recv_response(Some(patience))
        .timeout_per_read(Some(patience))
        .timeout_global(Some(LONGEST))
        .build();
    let response = Agent::new_with_config(config)
        .get(url)
        .call()
        .map_err(|error| match error {
            ureq::Error::StatusCode(status) => DownloadError::Status {
                url: url.into(),
                status,
            },
            ureq::Error::Timeout(_) => DownloadError::Stalled {
                url: url.into(),
                seconds: patience.as_secs(),
                received: 0,
            },
            other => DownloadError::Unreachable {
                url: url.into(),
                reason: other.to_string(),
            },
        })?;

    let announced = response.body().content_length();
    if announced.is_some_and(|length| length > limit) {
        return Err(DownloadError::TooLong {
            url: url.into(),
            limit,
            announced,
        });
    }
    let mut body = response.into_body().into_reader();
    let mut bytes = Vec::new();
    let mut progress = Progress::new(url, announced);
    let mut piece = vec![0; 64 << 10];
    loop {
        let received = bytes.len() as u64;
        match body.read(&mut piece) {
            Ok(0) => break,
            Ok(count) => bytes.extend_from_slice(&piece[..count]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if is_timeout(&error) => {
                return Err(DownloadError::Stalled {
                    url: url.into(),
                    seconds: patience.as_secs(),
                    received,
                });
            }
            Err(_) => {
                return Err(DownloadError::Cut {
                    url: url.into(),
                    expected: announced,
                    received,
                });
            }
        }
        if bytes.len() as u64 > limit {
            return Err(DownloadError::TooLong {
                url: url.into(),
                limit,
                announced: None,
            });
        }
        progress.show(bytes.len() as u64);
    }
    let received = bytes.len() as u64;
    if announced.is_some_and(|length| length != received) {
        return Err(DownloadError::Cut {
            url: url.into(),
            expected: announced,
            received,
        });
    }
    Ok(bytes)
}

fn is_timeout(error: &std::io::Error) -> bool {
    let inner = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<ureq::Error>());
    error.kind() == ErrorKind::TimedOut || matches!(inner, Some(ureq::Error::Timeout(_)))
}

/// One line that is written over and over: bytes, share, speed.
struct Progress {
    name: String,
    total: Option<u64>,
    start: Instant,
    last_shown: Instant,
    line_open: bool,
}

impl Progress {
    fn new(url: &str, total: Option<u64>) -> Self {
        let name = url.rsplit('/').next().unwrap_or(url).to_string();
        let now = Instant::now();
        Progress {
            name,
            total,
            start: now,
            last_shown: now,
            line_open: false,
        }
    }

    fn show(&mut self, received: u64) {
        if self.last_shown.elapsed() < Duration::from_millis(250) {
            return;
        }
        self.last_shown = Instant::now();
        self.line_open = true;
        // A full notebook output or a closed pipe must not end a download.
        let mut out = std::io::stdout();
        let line = progress_line(&self.name, received, self.total, self.start.elapsed());
        let _ = write!(out, "\r{line}").and_then(|()| out.flush());
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.line_open {
            println!();
        }
    }
}

fn progress_line(name: &str, received: u64, total: Option<u64>, elapsed: Duration) -> String {
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    let speed = megabytes(received) / elapsed.as_secs_f64().max(1e-3);
    let done = match total {
        Some(total) if total > 0 => {
            let percent = received * 100 / total;
            format!(
                "{:6.1} of {:.1} MB {percent:3} %",
                megabytes(received),
                megabytes(total)
            )
        }
        _ => format!("{:6.1} MB", megabytes(received)),
    };
    format!("{name}: {done} {speed:5.1} MB/s ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn a_silent_server_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/silent", listener.local_addr().unwrap());
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 1024]);
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbegin")
                .unwrap();
            // Holds the connection open until the client hangs up.
            let _ = stream.read(&mut [0; 1]);
        });
        let error = fetch_within(&url, 1000, Duration::from_secs(1)).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("{url}: no data for 1 seconds, after 5 bytes")
        );
        server.join().unwrap();
    }

    #[test]
    fn the_progress_line_holds_amount_share_and_speed() {
        let line = progress_line("a.gz", 13_200_000, Some(26_400_000), Duration::from_secs(4));
        assert_eq!(line, "a.gz:   13.2 of 26.4 MB  50 %   3.3 MB/s ");
        assert_eq!(
            progress_line("a.gz", 500_000, None, Duration::from_secs(1)),
            "a.gz:    0.5 MB   0.5 MB/s "
        );
    }
}
