//! What can go wrong with a download: one line each that says what, where, and what to do.

use core::{fmt, time::Duration};
use std::{
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

use greet_core::{Escaped, GetFailure, GetMissing, HeadProblem, RequestError};
use thiserror::Error;

use super::{http_url::UrlError, peer};
use crate::{connect::ConnectError, path::escaped};

/// Number of bytes of a peer that is no web server that a message shows.
const SHOWN: usize = 64;

/// Why a download failed.
#[derive(Debug, Error)]
pub enum DownloadError {
    /// The request is not valid.
    #[error("the request cannot be sent: {0}")]
    Request(#[from] RequestError),
    /// No connection to the server.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The server is not trusted, or does not speak TLS.
    #[error("the TLS connection for {url} failed: {reason}")]
    Encryption {
        /// The URL.
        url: String,
        /// The library's reason in plain words, with advice.
        reason: String,
    },
    /// The connection was lost.
    #[error("the connection was lost ({0}): check the server, and try again or use --retry")]
    Broken(io::Error),
    /// The TLS connection ended without the server's close_notify (RFC 8446, 6.1): anybody could have cut it.
    #[error("the TLS connection was cut before the server declared its end: the body may be incomplete; try again")]
    Cut,
    /// The peer does not speak HTTP.
    #[error("{server} is not a web server; it sent `{}`: {}", excerpt(.seen), no_web_server(.seen))]
    NotHttp {
        /// The host and port.
        server: String,
        /// Its first bytes.
        seen: Vec<u8>,
    },
    /// The response is not valid, or incomplete.
    #[error("{}", Shown(.failure, *.offset, *.timeout))]
    Response {
        /// The failure of the state machine.
        failure: GetFailure,
        /// The offset of the first wrong byte, counted from the first that the server sent.
        offset: Option<u64>,
        /// The time limit for each byte.
        timeout: Option<Duration>,
    },
    /// `--max-time` is over.
    #[error(
        "the download took longer than {}: raise --max-time",
        humantime::format_duration(*.0)
    )]
    MaxTime(Duration),
    /// The page is at another URL, and redirects are not followed.
    #[error("status {status} redirects to {}: use that URL, or -L to follow redirects", Escaped(.target.as_bytes()))]
    Moved {
        /// The status.
        status: u16,
        /// The other URL.
        target: String,
    },
    /// The redirect leads to a URL that cannot be fetched.
    #[error("status {status} redirects to `{}`, which cannot be fetched: {reason}", Escaped(.target.as_bytes()))]
    BadRedirect {
        /// The status.
        status: u16,
        /// The target as the server wrote it.
        target: String,
        /// What is wrong with it.
        reason: UrlError,
    },
    /// The redirect leads from https to http.
    #[error("the redirect to {0} leads from https to http and is not followed: use that URL if you trust it")]
    Unencrypted(String),
    /// Too many redirects.
    #[error("more than {0} redirects: the server redirects in a circle; check the URL")]
    Redirects(usize),
    /// The server answered with an error status.
    #[error("the server answered with status {status}{}: {advice}{}", reason_phrase(.reason), keeping(*.kept))]
    Status {
        /// The status.
        status: u16,
        /// The reason phrase; may be empty.
        reason: String,
        /// What to do.
        advice: String,
        /// The time after which the server wants to be asked again, from its field `Retry-After`.
        retry_after: Option<Duration>,
        /// The body is saved all the same.
        kept: bool,
    },
    /// The server sent a part of the page, and the whole was requested.
    #[error("the server sent a part of the page although the whole was requested: check the server")]
    UnwantedPart,
    /// The server did not send the rest of the page, which begins at this byte.
    #[error("the server did not send the part from byte {0} to the end: download the whole page without -C")]
    WrongPart(u64),
    /// The server sends the whole page where a part was requested.
    #[error(
        "the server does not send parts of the page, and the file is unchanged: download the whole page without -C"
    )]
    NoParts,
    /// `-C` together with a field `Range`.
    #[error("-C sets the field Range itself: leave out -H 'Range: ...'")]
    TwoRanges,
    /// `-C` together with `-o -`.
    #[error("standard output cannot be continued: leave out -C, or give a file with -o FILE")]
    ResumedOutput,
    /// No byte arrived for the timeout during the TLS handshake.
    #[error(
        "{url}: the TLS handshake stalled, no byte arrived for {}: check that this port speaks TLS, use --retry, or raise \
         --timeout",
        humantime::format_duration(*.limit)
    )]
    HandshakeStalled {
        /// The URL.
        url: String,
        /// The timeout.
        limit: Duration,
    },
    /// A file with certificates or a key cannot be used.
    #[error("{option} {file}: {reason}", file = escaped(.path))]
    TlsFile {
        /// The option that names it.
        option: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The body is longer than allowed.
    #[error("the body is longer than {limit} bytes: raise --max-size")]
    TooLarge {
        /// The limit.
        limit: u64,
    },
    /// The file exists.
    #[error("{} exists: --force replaces it, and -o FILE writes to another file", escaped(.0))]
    Exists(PathBuf),
    /// The file cannot be written.
    #[error("{} cannot be written: {}", escaped(.path), file_advice(.path, .error))]
    File {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        error: io::Error,
    },
    /// Standard output cannot be written.
    #[error("standard output cannot be written ({0}): check where it leads, and whether there is space")]
    Output(io::Error),
    /// Standard output is closed, and the body was to go there.
    #[error("standard output is closed: give a file with -o FILE")]
    OutputClosed,
    /// What carries the connection failed: its message, and the exit status.
    #[error("{0}")]
    Carrier(String, u8),
    /// The signal handlers cannot be installed.
    #[error("signals cannot be handled ({0}): close other programs")]
    Signals(io::Error),
    /// A signal ended the download.
    #[error("stopped by a signal")]
    Interrupted,
}

impl DownloadError {
    /// Whether another attempt may succeed without any change of the command line.
    pub(super) fn is_transient(&self) -> bool {
        match self {
            Self::Connect(error) => error.is_transient(),
            Self::Broken(_) | Self::Cut | Self::HandshakeStalled { .. } => true,
            Self::Response { failure, .. } => matches!(failure, GetFailure::EndedEarly(_) | GetFailure::TimedOut(_)),
            Self::Status { status, .. } => matches!(status, 408 | 429 | 500 | 502 | 503 | 504),
            _ => false,
        }
    }
}

/// The advice for an error status (RFC 9110, 15.5 and 15.6).
pub(super) fn status_advice(status: u16, retry_after: Option<Duration>) -> String {
    let wait = retry_after.map(|time| format!(" in {}", humantime::format_duration(time)));
    let advice = match status {
        401 => "the server requires credentials: send them with -H 'Authorization: ...'",
        403 => "the server refuses access: check the URL and the credentials",
        407 => "a proxy requires credentials: send them with -H 'Proxy-Authorization: ...'",
        408 => "the server waited too long for the request: try again, or use --retry",
        416 => "the part that was asked for is beyond the end of the page: check -C and -H 'Range: ...'",
        429 => return format!("too many requests: try again{}, or use --retry", wait.as_deref().unwrap_or(" later")),
        404 | 410 => "there is no such page: check the URL",
        400..=499 => "the server rejects the request: check the URL and the -H fields",
        500..=599 => {
            return format!("the server failed: try again{}, or use --retry", wait.as_deref().unwrap_or(" later"));
        }
        _ => "this is not a page: check the URL",
    };
    advice.to_owned()
}

fn reason_phrase(reason: &str) -> String {
    if reason.is_empty() { String::new() } else { format!(" {}", Escaped(reason.as_bytes())) }
}

const fn keeping(kept: bool) -> &'static str {
    if kept { "" } else { "; --keep-errors saves its body" }
}

fn excerpt(seen: &[u8]) -> String {
    let shown = Escaped(seen.get(..SHOWN).unwrap_or(seen));
    if seen.len() > SHOWN { format!("{shown}...") } else { shown.to_string() }
}

fn no_web_server(seen: &[u8]) -> String {
    match peer::guess(seen) {
        Some(name) => format!("it seems to be {name}; check the port"),
        None => "check the host and the port".to_owned(),
    }
}

/// The system's reason, and the advice for it.
fn file_advice(path: &Path, error: &io::Error) -> String {
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match error.kind() {
        ErrorKind::NotFound if path.is_symlink() => {
            "it is a link, and the folder of its target does not exist".to_owned()
        }
        ErrorKind::NotFound => format!("the folder {} does not exist; create it", escaped(folder)),
        ErrorKind::NotADirectory => format!("{} is not a folder", escaped(folder)),
        ErrorKind::IsADirectory => "it names a folder; give a file with -o, or use --output-dir".to_owned(),
        ErrorKind::PermissionDenied => {
            format!("you may not write in {}; choose another with --output-dir", escaped(folder))
        }
        ErrorKind::ReadOnlyFilesystem => "the file system is read-only; choose another with --output-dir".to_owned(),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => format!("{error}; free some space"),
        ErrorKind::InvalidFilename => format!("{error}; give another name with -o"),
        _ => format!("{error}"),
    }
}

/// A failure of the state machine in words: what, at which byte, and the advice.
struct Shown<'a>(&'a GetFailure, Option<u64>, Option<Duration>);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let &Self(failure, offset, timeout) = self;
        let advice = match failure {
            GetFailure::EndedEarly(missing) => {
                write!(formatter, "the server closed the connection early; {}", remaining(*missing))?;
                "check the server, and try again or use --retry"
            }
            GetFailure::TimedOut(missing) => {
                let limit = humantime::format_duration(timeout.unwrap_or_default());
                write!(formatter, "no byte arrived for {limit}; {}", remaining(*missing))?;
                "try again, use --retry, or raise --timeout"
            }
            GetFailure::HeadTooLong { limit } => {
                write!(formatter, "the head of the response is longer than {limit} bytes")?;
                "raise --max-head"
            }
            GetFailure::TooMuchBefore { limit } => {
                write!(formatter, "more than {limit} bytes of informational responses and empty lines")?;
                "the server never sends the final response; check the port"
            }
            failure => {
                formatter.write_str(match failure {
                    GetFailure::NotHttp | GetFailure::Head(HeadProblem::StatusLine) => {
                        "the response has no valid status line such as `HTTP/1.1 200 OK`"
                    }
                    GetFailure::Head(HeadProblem::Version) => "the response is neither HTTP/1.0 nor HTTP/1.1",
                    GetFailure::Head(HeadProblem::LeadingBlank) => "white space follows the status line",
                    GetFailure::Head(HeadProblem::FieldName) => "a field of the head has no valid name",
                    GetFailure::Head(HeadProblem::FieldValue) => "a field of the head has a control character",
                    GetFailure::Switched => "the server switches to another protocol without being asked",
                    GetFailure::LengthAndEncoding => "the head has both Content-Length and Transfer-Encoding",
                    GetFailure::UnequalLengths => "the head has two different values of Content-Length",
                    GetFailure::Length => "the Content-Length is not a number, or too large",
                    GetFailure::Encoding => "the Transfer-Encoding is not `chunked` alone",
                    GetFailure::EncodingTooEarly => "an HTTP/1.0 response has a Transfer-Encoding",
                    GetFailure::ChunkSize => "a chunk size is not a number, or too large",
                    GetFailure::ChunkEnd => "a chunk has not the length that its size says",
                    GetFailure::ChunkLine => "a chunk-size line or a trailer is not valid",
                    _ => "the response is not valid",
                })?;
                "the server, or a proxy before it, is wrong; check the port"
            }
        };
        if let Some(offset) = offset {
            write!(formatter, ", at byte {offset} of what the server sent")?;
        }
        write!(formatter, ": {advice}")
    }
}

fn remaining(missing: GetMissing) -> String {
    match missing {
        GetMissing::Head => "the head of the response is incomplete".to_owned(),
        GetMissing::Body(Some(1)) => "1 byte of the body is missing".to_owned(),
        GetMissing::Body(Some(count)) => format!("{count} bytes of the body are missing"),
        GetMissing::Body(None) => "the end of the body is missing".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_advice_fits_the_status() {
        for (status, part) in [
            (401, "Authorization"),
            (403, "refuses access"),
            (404, "no such page"),
            (407, "Proxy-Authorization"),
            (408, "--retry"),
            (416, "Range"),
            (418, "rejects"),
            (429, "later"),
            (503, "later"),
        ] {
            assert!(status_advice(status, None).contains(part), "{status}");
        }
        assert!(status_advice(503, Some(Duration::from_secs(120))).contains("in 2m"));
    }

    #[test]
    fn an_empty_reason_phrase_prints_no_space() {
        let error = |reason: &str| DownloadError::Status {
            status: 418,
            reason: reason.to_owned(),
            advice: "x".to_owned(),
            retry_after: None,
            kept: true,
        };
        assert_eq!(error("").to_string(), "the server answered with status 418: x");
        assert_eq!(error("I am").to_string(), "the server answered with status 418 I am: x");
    }

    #[test]
    fn the_advice_fits_the_error_of_the_file() {
        let message = |kind: ErrorKind| DownloadError::File { path: "a/b".into(), error: kind.into() }.to_string();
        assert_eq!(message(ErrorKind::NotFound), "a/b cannot be written: the folder a does not exist; create it");
        assert!(message(ErrorKind::IsADirectory).contains("--output-dir"));
    }

    #[test]
    fn the_protocol_of_another_server_is_recognized_by_its_first_bytes() {
        let message =
            |seen: &[u8]| DownloadError::NotHttp { server: "h:1".to_owned(), seen: seen.to_vec() }.to_string();
        assert!(
            message(b"SSH-2.0-x\r\n").starts_with("h:1 is not a web server; it sent `SSH-2.0-x\\r\\n`: it seems to be")
        );
        assert!(message(b"\x15\x03\x03").contains("https://"));
        assert!(message(&[0; 100]).ends_with("...`: check the host and the port"));
    }
}
