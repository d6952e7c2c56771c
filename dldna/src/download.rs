//! One file over HTTP or HTTPS, into memory.
//!
//! Nothing is written here: a download that breaks off leaves nothing behind.

use std::error::Error;
use std::io::{ErrorKind, Read, Write};
use std::iter::successors;
use std::time::{Duration, Instant};

use reqwest::Certificate;
use reqwest::blocking::{Client, Response};
use thiserror::Error;

/// How long to wait.
#[derive(Clone, Copy)]
struct Patience {
    /// For the first answer, and for each further piece of the file.
    piece: Duration,
    /// For the whole file, however steadily it drips.
    whole: Duration,
}

const PATIENCE: Patience = Patience {
    piece: Duration::from_secs(20),
    whole: Duration::from_secs(30 * 60),
};

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
    /// Data kept coming, but too slowly.
    #[error("{url}: not finished after {seconds} seconds and {received} bytes")]
    TooSlow {
        /// The address.
        url: String,
        /// How long it took until then.
        seconds: u64,
        /// Bytes that came.
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
/// usual environment variables (`HTTPS_PROXY`, `ALL_PROXY`). Of an encrypted address the certificate must come from the system's
/// list of authorities or from Mozilla's.
///
/// # Errors
/// If the server cannot be reached, answers with an error, breaks off, falls silent, is too slow, or sends too much.
pub fn fetch(url: &str, limit: u64) -> Result<Vec<u8>, DownloadError> {
    fetch_within(url, limit, PATIENCE)
}

fn fetch_within(url: &str, limit: u64, patience: Patience) -> Result<Vec<u8>, DownloadError> {
    let start = Instant::now();
    let mut response = request(url, patience)?;
    let announced = response.content_length();
    let too_long = |announced| DownloadError::TooLong {
        url: url.into(),
        limit,
        announced,
    };
    if announced.is_some_and(|length| length > limit) {
        return Err(too_long(announced));
    }
    let mut bytes = Vec::new();
    let mut progress = Progress::new(url, announced);
    let mut piece = vec![0; 64 << 10];
    loop {
        let received = bytes.len() as u64;
        match response.read(&mut piece) {
            Ok(0) => return Ok(bytes),
            Ok(count) => bytes.extend_from_slice(&piece[..count]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if is_timeout(&error) => return Err(stalled(url, patience, received)),
            Err(_) => {
                return Err(DownloadError::Cut {
                    url: url.into(),
                    expected: announced,
                    received,
                });
            }
        }
        if bytes.len() as u64 > limit {
            return Err(too_long(None));
        }
        if start.elapsed() > patience.whole {
            return Err(DownloadError::TooSlow {
                url: url.into(),
                seconds: patience.whole.as_secs(),
                received,
            });
        }
        progress.show(bytes.len() as u64);
    }
}

/// Asks for `url`; what comes back is the file, not yet read.
fn request(url: &str, patience: Patience) -> Result<Response, DownloadError> {
    let response = client(patience).and_then(|client| client.get(url).send());
    let response = response.map_err(|error| {
        if error.is_timeout() {
            return stalled(url, patience, 0);
        }
        DownloadError::Unreachable {
            url: url.into(),
            reason: first_cause(&error),
        }
    })?;
    let status = response.status();
    if !status.is_success() {
        return Err(DownloadError::Status {
            url: url.into(),
            status: status.as_u16(),
        });
    }
    Ok(response)
}

fn client(patience: Patience) -> reqwest::Result<Client> {
    // Where a provider is installed already, that one is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    // A bare container has no list of its own.
    let mozilla = webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter();
    let mozilla: Vec<Certificate> = mozilla
        .map(|certificate| Certificate::from_der(certificate))
        .collect::<Result<_, _>>()?;
    Client::builder()
        // Some servers refuse those that do not say who they are.
        .user_agent(concat!("dldna/", env!("CARGO_PKG_VERSION")))
        .tls_certs_merge(mozilla)
        // Not for the whole file: for the answer, and then for each read.
        .timeout(patience.piece)
        .build()
}

fn stalled(url: &str, patience: Patience, received: u64) -> DownloadError {
    DownloadError::Stalled {
        url: url.into(),
        seconds: patience.piece.as_secs(),
        received,
    }
}

/// What an error comes from in the end: the layers above it say only that they failed, too.
fn first_cause(error: &dyn Error) -> String {
    let causes = successors(Some(error), |&error| error.source());
    causes.last().map_or_else(String::new, ToString::to_string)
}

fn is_timeout(error: &std::io::Error) -> bool {
    let inner = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<reqwest::Error>());
    inner.is_some_and(reqwest::Error::is_timeout)
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
    use std::net::{TcpListener, TcpStream};
    use std::thread::JoinHandle;

    /// A server for one client: begins an answer of 100 bytes, and goes on with what `then` does.
    fn serve(then: impl FnOnce(TcpStream) + Send + 'static) -> (String, JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/file", listener.local_addr().unwrap());
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 1024]);
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbegin")
                .unwrap();
            then(stream);
        });
        (url, server)
    }

    fn message(url: &str, patience: Patience) -> String {
        fetch_within(url, 1000, patience).unwrap_err().to_string()
    }

    #[test]
    fn a_silent_server_is_given_up() {
        // Holds the connection open until the client hangs up.
        let (url, server) = serve(|mut stream| drop(stream.read(&mut [0; 1])));
        let patience = Patience {
            piece: Duration::from_secs(1),
            ..PATIENCE
        };
        assert_eq!(
            message(&url, patience),
            format!("{url}: no data for 1 seconds, after 5 bytes")
        );
        server.join().unwrap();
    }

    #[test]
    fn a_server_that_never_answers_is_given_up() {
        // Nobody accepts the connection; the system holds it.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/file", listener.local_addr().unwrap());
        let patience = Patience {
            piece: Duration::from_secs(1),
            ..PATIENCE
        };
        assert_eq!(
            message(&url, patience),
            format!("{url}: no data for 1 seconds, after 0 bytes")
        );
    }

    #[test]
    fn a_dripping_server_is_given_up() {
        let (url, server) = serve(|mut stream| {
            while stream.write_all(b".").is_ok() {
                std::thread::sleep(Duration::from_millis(100));
            }
        });
        let patience = Patience {
            whole: Duration::from_secs(1),
            ..PATIENCE
        };
        let message = message(&url, patience);
        assert!(
            message.contains("not finished after 1 seconds"),
            "{message}"
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
