//! The errors that end this program.

use core::time::Duration;
use std::{io, path::PathBuf};

use greet_host::{
    args::GreetOnly,
    client::ChatError,
    connect::ConnectError,
    download::{DownloadError, DownloadFailure},
    exit::{self, Fatal},
    generate::GenerateError,
    metrics::MetricsError,
};
use greet_smoltcp::stack::SettingsError;
use smoltcp::wire::IpAddress;
use thiserror::Error;

use crate::device::TapError;

/// Why a subcommand failed.
#[derive(Debug, Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Tap(#[from] TapError),
    #[error("{0}; --help says more")]
    Settings(#[from] SettingsError),
    #[error("the system gives no random numbers: {0}")]
    Entropy(#[from] getrandom::Error),
    #[error("cannot install the signal handlers: {0}")]
    Signals(#[source] io::Error),
    #[error("cannot wait for frames: {0}")]
    Wait(#[source] io::Error),
    #[error("the capture {} cannot be created: {error}", path.display())]
    Capture { path: PathBuf, error: io::Error },
    #[error(transparent)]
    Generate(#[from] GenerateError),
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    #[error(transparent)]
    Lookup(#[from] LookupError),
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error(transparent)]
    Chat(#[from] ChatError),
    #[error(transparent)]
    Download(#[from] DownloadFailure),
    #[error("{0}; --help says more")]
    Usage(&'static str),
    #[error("{0}; --help says more")]
    Service(#[from] GreetOnly),
    #[error("ended by a signal")]
    Interrupted,
}

impl Fatal for Error {
    fn status(&self) -> u8 {
        match self {
            Self::Settings(_) | Self::Usage(_) | Self::Service(_) => exit::USAGE, // the options contradict each other
            Self::Interrupted => exit::INTERRUPTED,
            Self::Download(failure) => failure.status(),
            Self::Chat(error) => error.status(),
            Self::Connect(error) => error.status(),
            Self::Generate(error) => error.status(),
            Self::Lookup(_) => exit::RESOLVE,
            Self::Capture { .. } => exit::FILE,
            _ => exit::FAILURE,
        }
    }

    fn is_broken_pipe(&self) -> bool {
        match self {
            Self::Chat(error) => error.is_broken_pipe(),
            Self::Download(failure) => failure.is_broken_pipe(),
            Self::Generate(error) => error.is_broken_pipe(),
            _ => false,
        }
    }
}

impl From<Error> for DownloadError {
    fn from(error: Error) -> Self {
        match error {
            Error::Interrupted => Self::Interrupted,
            Error::Connect(error) => Self::Connect(error),
            error => Self::Carrier(error.to_string(), error.status()),
        }
    }
}

/// Why the addresses of a name are not known.
#[derive(Debug, Error)]
pub(crate) enum LookupError {
    #[error("`{0}` cannot be looked up: there is no DNS server to ask; name one with --dns")]
    NoServer(String),
    #[error("`{0}` cannot be looked up: DHCP gave no DNS server; name one with --dns")]
    NoLeasedServer(String),
    #[error("`{0}` cannot be looked up: a name has at most 253 bytes, and each part between dots 1 to 63")]
    NotAName(String),
    #[error("`{name}` is not found: {server} knows no address of it; check the name, or ask another server with --dns")]
    NotFound { name: String, server: IpAddress },
    #[error(
        "`{name}` cannot be looked up: the answer of {server} is truncated and has no address of it (greet-tap does not ask \
         over TCP); ask another server with --dns"
    )]
    Truncated { name: String, server: IpAddress },
    #[error("`{name}` cannot be looked up: {server} is unreachable; check --dns, and --gateway for another network")]
    Unreachable { name: String, server: IpAddress },
    #[error(
        "`{name}` cannot be looked up: no answer from {servers} within {limit:?}; is that a DNS server? Ask another with \
         --dns, or raise --timeout"
    )]
    TimedOut { name: String, servers: String, limit: Duration },
}
