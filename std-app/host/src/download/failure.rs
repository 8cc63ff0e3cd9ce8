//! How a download ended that failed: its error, and how much had arrived.

use core::fmt;
use std::io::ErrorKind;

use greet_core::GetFailure;

use super::DownloadError;
use crate::exit::{self, Fatal};

/// An error, with the number of bytes that had arrived.
#[derive(Debug)]
pub struct DownloadFailure {
    pub(super) error: Box<DownloadError>,
    /// The number of bytes of the body that had arrived, and of the whole body if that is known.
    pub(super) received: Option<(u64, Option<u64>)>,
    /// The file that has its older content.
    pub(super) untouched: Option<String>,
}

impl From<DownloadError> for DownloadFailure {
    /// Nothing had arrived.
    fn from(error: DownloadError) -> Self {
        Self { error: error.into(), received: None, untouched: None }
    }
}

impl fmt::Display for DownloadFailure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.error)?;
        match self.received {
            Some((received, Some(length))) => write!(formatter, "; received {received} of {}", bytes(length))?,
            Some((received, None)) => write!(formatter, "; received {}", bytes(received))?,
            None => {}
        }
        match &self.untouched {
            Some(name) => write!(formatter, "; {name} is unchanged"),
            None => Ok(()),
        }
    }
}

impl core::error::Error for DownloadFailure {}

impl Fatal for DownloadFailure {
    fn status(&self) -> u8 {
        match &*self.error {
            DownloadError::Interrupted => exit::INTERRUPTED,
            &DownloadError::Carrier(_, status) => status,
            DownloadError::Connect(error) => error.status(),
            DownloadError::Encryption { .. } | DownloadError::Cut => exit::TLS,
            DownloadError::NotHttp { .. } => exit::PROTOCOL,
            DownloadError::Response { failure, .. } if !is_of_the_connection(failure) => exit::PROTOCOL,
            DownloadError::Exists(_)
            | DownloadError::File { .. }
            | DownloadError::Output(_)
            | DownloadError::OutputClosed
            | DownloadError::TlsFile { .. } => exit::FILE,
            _ => exit::FAILURE,
        }
    }

    fn is_broken_pipe(&self) -> bool {
        is_broken_pipe(&self.error)
    }
}

/// Whether the server sent nothing invalid, but too little or too late.
const fn is_of_the_connection(failure: &GetFailure) -> bool {
    matches!(failure, GetFailure::EndedEarly(_) | GetFailure::TimedOut(_))
}

/// Whether the reader of the body has closed the pipe.
pub(super) fn is_broken_pipe(error: &DownloadError) -> bool {
    matches!(error, DownloadError::Output(error) if error.kind() == ErrorKind::BrokenPipe)
}

pub(super) fn bytes(count: u64) -> String {
    if count == 1 { "1 byte".to_owned() } else { format!("{count} bytes") }
}
