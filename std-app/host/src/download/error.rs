//! What can go wrong with a page: one line each that says what, where, and what to do.

use core::{fmt, time::Duration};
use std::{io, path::PathBuf};

use greet_core::{Escaped, GetFailure, GetMissing, HeadProblem, RequestError};
use thiserror::Error;

use super::{http_url::UrlError, save::shown};
use crate::connect::ConnectError;

/// Why a page did not come, or did not get where it was to go.
#[derive(Debug, Error)]
pub enum DownloadError {
    /// It cannot be asked for.
    #[error("it cannot be asked for: {0}")]
    Request(#[from] RequestError),
    /// There is no way to the server.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The server cannot be trusted, or does not speak TLS.
    #[error("the encrypted connection to {url} failed: {reason}")]
    Encryption {
        /// Where the page was to come from.
        url: String,
        /// What the library said, in words.
        reason: String,
    },
    /// The connection was lost.
    #[error("the connection broke ({0}): see what the server says, and try again")]
    Broken(io::Error),
    /// The encrypted connection ended, and the server did not say that it would: anybody could have cut it.
    #[error(
        "the encrypted connection was cut before the server said that this is all: try again, and see what it says"
    )]
    Cut,
    /// What came is no response, or not all of one.
    #[error("{}", Told(.failure, *.offset, *.timeout))]
    Response {
        /// What is wrong.
        failure: GetFailure,
        /// The offset of the first wrong byte, counted from the first that the server sent.
        offset: Option<u64>,
        /// How long was waited.
        timeout: Option<Duration>,
    },
    /// The page is elsewhere, and nobody asked to follow.
    #[error("status {status} sends us to {}: ask for that, or give -L to follow", Escaped(.target.as_bytes()))]
    Moved {
        /// The status.
        status: u16,
        /// Where to, as the server wrote it.
        target: String,
    },
    /// The way leads nowhere.
    #[error("status {status} sends us to `{}`, and there is no going there: {reason}", Escaped(.target.as_bytes()))]
    Nowhere {
        /// The status.
        status: u16,
        /// Where to, as the server wrote it.
        target: String,
        /// What is wrong with that.
        reason: UrlError,
    },
    /// The way leads into the open.
    #[error(
        "{0} is not encrypted and the page that leads there was: what is fetched there may be anybody's; ask for it by name"
    )]
    Unencrypted(String),
    /// The way does not end.
    #[error("there were {0} redirects, and here is another: the server sends us in circles")]
    Redirects(usize),
    /// The server has an answer, and no page.
    #[error("the server answers with status {status} {}: {advice}{}", Escaped(.reason.as_bytes()), keeping(*.kept))]
    Status {
        /// The status.
        status: u16,
        /// What it said of it.
        reason: String,
        /// What to do.
        advice: &'static str,
        /// What it sent is saved all the same.
        kept: bool,
    },
    /// It is longer than is wanted.
    #[error("the body is longer than {limit} bytes: raise --max-size")]
    TooLarge {
        /// What was wanted at most.
        limit: u64,
    },
    /// There is such a file already.
    #[error("{} exists: --force replaces it, and -o writes elsewhere", shown(.0))]
    Exists(PathBuf),
    /// It cannot be written.
    #[error("{} cannot be written ({error}): see whether it is yours to write, and whether there is room", shown(.path))]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The output cannot be written.
    #[error("standard output cannot be written ({0}): see where it leads, and whether there is room")]
    Output(io::Error),
    /// What carries the connections fails, and said this of it.
    #[error("{0}")]
    Carrier(String),
    /// The system has no room for signals.
    #[error("signals cannot be heard ({0}): close other programs")]
    Signals(io::Error),
    /// A signal came.
    #[error("stopped by a signal")]
    Interrupted,
}

const fn keeping(kept: bool) -> &'static str {
    if kept { "" } else { "; --keep-errors saves what it sends" }
}

/// A failure of the machine, told: which, at which byte, and how long was waited.
struct Told<'a>(&'a GetFailure, Option<u64>, Option<Duration>);

impl fmt::Display for Told<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let &Self(failure, offset, timeout) = self;
        let advice = match failure {
            GetFailure::EndedEarly(missing) => {
                write!(formatter, "the server ended the connection, and {}", still_to_come(*missing))?;
                "try again, and see what the server says"
            }
            GetFailure::TimedOut(missing) => {
                let limit = humantime::format_duration(timeout.unwrap_or_default());
                write!(formatter, "nothing came for {limit}, and {}", still_to_come(*missing))?;
                "try again, or raise --timeout"
            }
            GetFailure::HeadTooLong { limit } => {
                write!(formatter, "the head of the response is longer than {limit} bytes")?;
                "is it a web server?"
            }
            GetFailure::TooMuchBefore { limit } => {
                write!(formatter, "there are over {limit} bytes of informational responses and empty lines")?;
                "the server goes on like that and does not answer; see what else speaks at this port"
            }
            failure => {
                formatter.write_str(match failure {
                    GetFailure::Head(HeadProblem::StatusLine) => "the response does not begin like `HTTP/1.1 200 OK`",
                    GetFailure::Head(HeadProblem::Version) => "the response is neither HTTP/1.0 nor HTTP/1.1",
                    GetFailure::Head(HeadProblem::LeadingBlank) => {
                        "the line after the status line begins with white space"
                    }
                    GetFailure::Head(HeadProblem::FieldName) => "a line of the head is no field with a name",
                    GetFailure::Head(HeadProblem::FieldValue) => "a field of the head has a control character",
                    GetFailure::Switched => "the server switches to another protocol, and nobody asked it to",
                    GetFailure::LengthAndEncoding => "the head has both Content-Length and Transfer-Encoding",
                    GetFailure::UnequalLengths => "the head has two lengths of the body, and they differ",
                    GetFailure::Length => "the Content-Length is no number, or too large",
                    GetFailure::Encoding => "the Transfer-Encoding is not `chunked` alone",
                    GetFailure::EncodingTooEarly => "the server speaks HTTP/1.0, which has no Transfer-Encoding",
                    GetFailure::ChunkSize => "the size of a chunk is no number, or too large",
                    GetFailure::ChunkEnd => "a chunk is longer than it said",
                    GetFailure::ChunkLine => {
                        "the line of a chunk's size, or one behind the last chunk, is out of order"
                    }
                    _ => "the response is out of order",
                })?;
                "the server is wrong, or something on the way; see what else speaks at this port"
            }
        };
        if let Some(offset) = offset {
            write!(formatter, ", at byte {offset} of what it sent")?;
        }
        write!(formatter, ": {advice}")
    }
}

fn still_to_come(missing: GetMissing) -> String {
    match missing {
        GetMissing::Head => "the head of the response is not there".to_owned(),
        GetMissing::Body(Some(count)) => format!("{count} more bytes are due"),
        GetMissing::Body(None) => "the body is not at its end".to_owned(),
    }
}
