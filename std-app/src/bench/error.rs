//! Errors of `greet bench`.

use std::{io, path::PathBuf};

use greet_core::NameError;
use greet_host::{
    connect::ConnectError,
    exit::{self, Fatal},
};
use thiserror::Error;

use super::socket::SocketError;
use crate::export::{json::JsonError, number::Bytes};

/// Why a run has no figures, or why they could not be written.
#[derive(Debug, Error)]
pub(crate) enum BenchError {
    #[error(transparent)]
    Usage(#[from] UsageError),
    #[error(transparent)]
    Host(#[from] ConnectError),
    #[error("no connection to {host} is served: {reason}")]
    NoConversation {
        host: String,
        reason: String,
        /// No connection was accepted. Otherwise one was, and it was not served.
        is_refused: bool,
    },
    #[error("{host} has no address of the IP version of --bind: use a local address of the other version")]
    NoAddressToBind { host: String },
    #[error(transparent)]
    Socket(#[from] SocketError),
    #[error(
        "{wanted} connections need more than {wanted} open files, and the limit of this process is {allowed}: raise it with \
         `ulimit -n`, or use fewer connections with -c"
    )]
    TooManyFiles { wanted: usize, allowed: u64 },
    #[error(
        "this number of connections and of names in flight can need {} of memory, and this process cannot have it: lower -c \
         or --pipeline", Bytes(*.bytes as f64)
    )]
    Memory { bytes: usize },
    #[error("the load cannot be run: {0}")]
    System(#[from] io::Error),
    #[error("latencies cannot be recorded: {0}")]
    Latencies(#[from] hdrhistogram::CreationError),
    #[error("`{}` cannot be written ({error}): use another file for --html", path.display())]
    Page { path: PathBuf, error: io::Error },
    #[error("standard output cannot be written ({0}): check where it is redirected to, and the free space there")]
    Output(io::Error),
    #[error(transparent)]
    Json(#[from] JsonError),
}

impl BenchError {
    /// Whether the run itself failed, and not the output of its figures.
    pub(crate) const fn is_of_the_run(&self) -> bool {
        matches!(self, Self::Host(_) | Self::NoConversation { .. } | Self::System(_))
    }
}

impl Fatal for BenchError {
    fn status(&self) -> u8 {
        match self {
            Self::Usage(_) | Self::Socket(_) | Self::NoAddressToBind { .. } => exit::USAGE,
            Self::Host(error) => error.status(),
            Self::NoConversation { is_refused: true, .. } => exit::CONNECT,
            Self::NoConversation { is_refused: false, .. } => exit::PROTOCOL,
            Self::Page { .. } | Self::Output(_) => exit::FILE,
            _ => exit::FAILURE,
        }
    }
}

/// Options that are right each but do not fit together.
#[derive(Debug, Error)]
pub(crate) enum UsageError {
    #[error(
        "with framing chunk the server takes each read as one name, so only one name can be in flight: omit --pipeline, or use \
         --framing line if the server supports it"
    )]
    ChunkPipeline,
    #[error("names of {size} bytes cannot be sent: {reason}")]
    Size { size: usize, reason: NameError },
    #[error(
        "names of {size} bytes are longer than {limit} bytes, the limit of framing chunk: use --framing line if the server \
         supports it"
    )]
    LongChunk { size: usize, limit: usize },
    #[error(
        "{pipeline} names of {size} bytes exceed the {limit} bytes that can be in flight on one connection: lower \
         --pipeline or --size"
    )]
    InFlight { pipeline: usize, size: usize, limit: usize },
    #[error("--duration must be at least two turns: use a shorter --turn or a longer --duration")]
    TooFewTurns,
}
