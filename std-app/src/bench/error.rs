//! Why there are no figures.

use std::{io, path::PathBuf};

use greet_core::NameError;
use greet_host::{
    connect::ConnectError,
    exit::{self, Fatal},
};
use thiserror::Error;

use crate::export::{json::JsonError, number::Bytes};

/// Why there are no figures, or not where they were wanted.
#[derive(Debug, Error)]
pub(crate) enum BenchError {
    #[error(transparent)]
    Usage(#[from] UsageError),
    #[error(transparent)]
    Host(#[from] ConnectError),
    #[error("no conversation with {host}: {reason}")]
    NoConversation { host: String, reason: String },
    #[error(
        "{wanted} connections need {wanted} open files and some more, and this process may have {allowed}: allow more with \
         `ulimit -n`, or ask for fewer with -c"
    )]
    TooManyFiles { wanted: usize, allowed: u64 },
    #[error(
        "so many connections with so many names in flight can take {} of memory, and this process has less: lower -c or \
         --pipeline", Bytes(*.bytes as f64)
    )]
    Memory { bytes: usize },
    #[error("the system does not give what it takes to measure: {0}")]
    System(#[from] io::Error),
    #[error("latencies cannot be gathered: {0}")]
    Latencies(#[from] hdrhistogram::CreationError),
    #[error("`{}` cannot be written ({error}): give another place to --html", path.display())]
    Page { path: PathBuf, error: io::Error },
    #[error("standard output cannot be written ({0}): see where it leads, and whether there is room")]
    Output(io::Error),
    #[error(transparent)]
    Json(#[from] JsonError),
}

impl BenchError {
    /// Whether it kept a run from its figures, and not the figures from their reader.
    pub(crate) const fn is_of_the_run(&self) -> bool {
        matches!(self, Self::Host(_) | Self::NoConversation { .. } | Self::System(_))
    }
}

impl Fatal for BenchError {
    fn status(&self) -> u8 {
        if matches!(self, Self::Usage(_)) { exit::USAGE } else { exit::FAILURE }
    }
}

/// What is wrong with a command line though each of its options is right.
#[derive(Debug, Error)]
pub(crate) enum UsageError {
    #[error(
        "with framing chunk a read is a name, so only one can be in flight: leave --pipeline out, or use --framing line, \
         if the server speaks it"
    )]
    ChunkPipeline,
    #[error("names of {size} bytes cannot be sent: {reason}")]
    Size { size: usize, reason: NameError },
    #[error(
        "names of {size} bytes are longer than {limit} bytes, the limit of framing chunk: use --framing line, if the server \
         speaks it"
    )]
    LongChunk { size: usize, limit: usize },
    #[error(
        "{pipeline} names of {size} bytes are more than can be in flight on one connection, {limit} bytes: lower \
         --pipeline or --size"
    )]
    InFlight { pipeline: usize, size: usize, limit: usize },
    #[error("at least two turns have to fit in --duration: make --turn shorter, or --duration longer")]
    TooFewTurns,
}
