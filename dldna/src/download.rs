//! One file over HTTP or HTTPS, into memory.
//!
//! Where the connection is lost, the rest is asked for by a `Range` (RFC 9110, section 14). What has come can be kept in a file, from
//! which a later call goes on.

use std::error::Error;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Seek, Write};
use std::iter::successors;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::interrupt;
use reqwest::blocking::{Client, Response};
use reqwest::header::{CONTENT_RANGE, RANGE};
use reqwest::{Certificate, StatusCode};
use thiserror::Error;

/// How long to wait.
#[derive(Clone, Copy)]
struct Patience {
    /// For the first answer, and for each further piece of the file.
    piece: Duration,
    /// In each stretch of this length [`SLOWEST`] bytes a second must come.
    stretch: Duration,
}

const PATIENCE: Patience = Patience {
    piece: Duration::from_secs(20),
    stretch: Duration::from_secs(60),
};

/// Bytes a second. A slow line takes an hour for the largest of our files; below this it would take two days.
const SLOWEST: u64 = 1000;

/// How often a download goes on where it was cut, as long as more comes each time.
const ATTEMPTS: usize = 20;

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
    #[error(
        "{url}: less than {SLOWEST} bytes a second for {seconds} seconds, after {received} bytes"
    )]
    TooSlow {
        /// The address.
        url: String,
        /// How long it was so.
        seconds: u64,
        /// Bytes that came in all.
        received: u64,
    },
    /// The reader of a notebook stopped the cell: [`interrupt`].
    #[error("{url}: stopped after {received} bytes")]
    Stopped {
        /// The address.
        url: String,
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
/// usual environment variables (`HTTPS_PROXY`, `ALL_PROXY`, `NO_PROXY`). Of an encrypted address the certificate must come from the
/// system's list of authorities (or the file that `SSL_CERT_FILE` names) or from Mozilla's.
///
/// # Errors
/// If the server cannot be reached, answers with an error, breaks off, falls silent, is too slow, or sends too much.
pub fn fetch(url: &str, limit: u64) -> Result<Vec<u8>, DownloadError> {
    let mut received = Received::in_memory();
    fetch_within(url, limit, PATIENCE, &mut received)?;
    Ok(received.bytes)
}

/// The same, going on with what has been `received` before.
pub(crate) fn fetch_rest(
    url: &str,
    limit: u64,
    received: &mut Received,
) -> Result<(), DownloadError> {
    fetch_within(url, limit, PATIENCE, received)
}

/// What has come of a file: in memory, and for another time in a file.
pub(crate) struct Received {
    pub bytes: Vec<u8>,
    kept: Option<(PathBuf, File)>,
}

impl Received {
    pub fn in_memory() -> Self {
        Received {
            bytes: Vec::new(),
            kept: None,
        }
    }

    /// Begins with the content of the file at `path`. It is kept in memory alone where the file cannot be used, or is in use by another
    /// process.
    pub fn in_file(path: &Path) -> Self {
        Received::open(path).unwrap_or_else(|_| Received::in_memory())
    }

    fn open(path: &Path) -> io::Result<Self> {
        let mut options = File::options();
        let mut file = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        file.try_lock()?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(Received {
            bytes,
            kept: Some((path.to_owned(), file)),
        })
    }

    pub fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn push(&mut self, piece: &[u8]) {
        self.bytes.extend_from_slice(piece);
        let written = self.kept.as_mut().map(|(_, file)| file.write_all(piece));
        if let Some(Err(_)) = written {
            self.remove_file();
        }
    }

    /// Begins anew.
    pub fn clear(&mut self) {
        self.bytes.clear();
        let cleared = self.kept.as_mut().map(|(_, file)| {
            file.set_len(0)?;
            file.rewind()
        });
        if let Some(Err(_)) = cleared {
            self.remove_file();
        }
    }

    /// Number of bytes that are kept for another time; an empty file is removed.
    pub fn keep(mut self) -> u64 {
        if self.bytes.is_empty() {
            self.remove_file();
        }
        self.kept.as_ref().map_or(0, |_| self.len())
    }

    pub fn remove_file(&mut self) {
        if let Some((path, file)) = self.kept.take() {
            drop(file);
            // What stays is found wrong by its hash and replaced.
            let _ = fs::remove_file(path);
        }
    }
}

fn fetch_within(
    url: &str,
    limit: u64,
    patience: Patience,
    received: &mut Received,
) -> Result<(), DownloadError> {
    let mut lost = None;
    for _ in 0..ATTEMPTS {
        let before = received.len();
        let error = match attempt(url, limit, patience, received) {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        let is_lost = matches!(
            error,
            DownloadError::Cut { .. } | DownloadError::Stalled { .. }
        );
        if !is_lost || received.len() <= before {
            // Why the connection was lost tells more than what became of going on.
            return Err(lost.unwrap_or(error));
        }
        lost = Some(error);
    }
    Err(lost.expect("each attempt but the last was lost"))
}

/// Asks for what is missing, once.
fn attempt(
    url: &str,
    limit: u64,
    patience: Patience,
    received: &mut Received,
) -> Result<(), DownloadError> {
    let mut response = request_rest(url, patience, received)?;
    let total = response.content_length().map(|rest| received.len() + rest);
    let too_long = |announced| DownloadError::TooLong {
        url: url.into(),
        limit,
        announced,
    };
    if total.is_some_and(|length| length > limit) {
        return Err(too_long(total));
    }
    let mut progress = Progress::new(url, received.len(), total);
    let mut pace = Pace::new(received.len());
    let mut piece = vec![0; 64 << 10];
    loop {
        if interrupt::is_requested() {
            return Err(DownloadError::Stopped {
                url: url.into(),
                received: received.len(),
            });
        }
        let count = match response.read(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) if is_timeout(&error) => {
                return Err(stalled(url, patience, received.len()));
            }
            Err(_) => {
                return Err(DownloadError::Cut {
                    url: url.into(),
                    expected: total,
                    received: received.len(),
                });
            }
        };
        if received.len() + count as u64 > limit {
            received.clear();
            return Err(too_long(None));
        }
        received.push(&piece[..count]);
        if pace.is_too_slow(received.len(), patience.stretch) {
            return Err(DownloadError::TooSlow {
                url: url.into(),
                seconds: patience.stretch.as_secs(),
                received: received.len(),
            });
        }
        progress.show(received.len());
    }
}

/// Asks for the bytes from the end of `received` on. A server that begins anew is followed.
fn request_rest(
    url: &str,
    patience: Patience,
    received: &mut Received,
) -> Result<Response, DownloadError> {
    let response = request(url, patience, received.len())?;
    if response.status() == StatusCode::PARTIAL_CONTENT
        && first_byte(&response) == Some(received.len())
    {
        return Ok(response);
    }
    let asked_for_all = received.bytes.is_empty();
    received.clear();
    if asked_for_all || response.status() == StatusCode::OK {
        return checked_status(url, response);
    }
    checked_status(url, request(url, patience, 0)?)
}

/// Where the part begins that came, from `Content-Range: bytes 100-199/200`.
fn first_byte(response: &Response) -> Option<u64> {
    let range = response.headers().get(CONTENT_RANGE)?.to_str().ok()?;
    let (first, _) = range.strip_prefix("bytes ")?.split_once('-')?;
    first.parse().ok()
}

/// Whether enough comes.
struct Pace {
    since: Instant,
    received: u64,
}

impl Pace {
    fn new(received: u64) -> Self {
        Pace {
            since: Instant::now(),
            received,
        }
    }

    fn is_too_slow(&mut self, received: u64, stretch: Duration) -> bool {
        if self.since.elapsed() < stretch {
            return false;
        }
        let came = received - self.received;
        *self = Pace::new(received);
        came < SLOWEST * stretch.as_secs()
    }
}

/// Asks for `url` from byte `start` on; what comes back is the answer, whatever it says.
fn request(url: &str, patience: Patience, start: u64) -> Result<Response, DownloadError> {
    let ask = |client: Client| {
        let request = client.get(url);
        match start {
            0 => request.send(),
            _ => request.header(RANGE, format!("bytes={start}-")).send(),
        }
    };
    client(patience).and_then(ask).map_err(|error| {
        if error.is_timeout() {
            return stalled(url, patience, start);
        }
        DownloadError::Unreachable {
            url: url.into(),
            reason: first_cause(&error),
        }
    })
}

fn checked_status(url: &str, response: Response) -> Result<Response, DownloadError> {
    match response.status() {
        StatusCode::OK => Ok(response),
        status => Err(DownloadError::Status {
            url: url.into(),
            status: status.as_u16(),
        }),
    }
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
    /// Bytes that were there before.
    before: u64,
    total: Option<u64>,
    start: Instant,
    last_shown: Instant,
    line_open: bool,
}

impl Progress {
    fn new(url: &str, before: u64, total: Option<u64>) -> Self {
        let name = url.rsplit('/').next().unwrap_or(url).to_string();
        let now = Instant::now();
        Progress {
            name,
            before,
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
        let speed =
            megabytes(received - self.before) / self.start.elapsed().as_secs_f64().max(1e-3);
        let line = progress_line(&self.name, received, self.total, speed);
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

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

/// `speed` is in megabytes a second.
fn progress_line(name: &str, received: u64, total: Option<u64>, speed: f64) -> String {
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
        let mut received = Received::in_memory();
        let error = fetch_within(url, 1000, patience, &mut received);
        error.unwrap_err().to_string()
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
            stretch: Duration::from_secs(1),
            ..PATIENCE
        };
        let message = message(&url, patience);
        assert!(
            message.contains("less than 1000 bytes a second for 1 seconds"),
            "{message}"
        );
        server.join().unwrap();
    }

    #[test]
    fn the_progress_line_holds_amount_share_and_speed() {
        let line = progress_line("a.gz", 13_200_000, Some(26_400_000), 3.3);
        assert_eq!(line, "a.gz:   13.2 of 26.4 MB  50 %   3.3 MB/s ");
        assert_eq!(
            progress_line("a.gz", 500_000, None, 0.5),
            "a.gz:    0.5 MB   0.5 MB/s "
        );
    }
}
