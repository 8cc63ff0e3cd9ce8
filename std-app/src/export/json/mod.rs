//! JSON documents: how they are written, and how an earlier one is read.

pub(crate) mod bench;
pub(crate) mod check;

use std::{
    fs::File,
    io::{self, BufReader, Write},
    path::{Path, PathBuf},
};

use serde::{Serialize, de::DeserializeOwned};
use thiserror::Error;

/// Why there is no JSON.
#[derive(Debug, Error)]
pub(crate) enum JsonError {
    /// It cannot be written.
    #[error("the report cannot be written ({0}): see where it goes, and whether there is room")]
    Write(io::Error),
    /// The file cannot be read.
    #[error("`{}` cannot be read ({error}): give the file that --json wrote", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The file holds something else.
    #[error("`{}` is no such report ({error}): give the file that --json wrote", path.display())]
    Content {
        /// Which.
        path: PathBuf,
        /// Where it departs.
        error: serde_json::Error,
    },
}

/// Writes `value` for programs and people: indented, with a line feed at the end.
///
/// # Errors
/// Where it cannot be written.
pub(crate) fn write(value: &impl Serialize, mut output: impl Write) -> Result<(), JsonError> {
    serde_json::to_writer_pretty(&mut output, value).map_err(|error| JsonError::Write(error.into()))?;
    output.write_all(b"\n").and_then(|()| output.flush()).map_err(JsonError::Write)
}

/// Reads what an earlier run has written.
///
/// # Errors
/// Where the file cannot be read, or holds something else.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> Result<T, JsonError> {
    let file = File::open(path).map_err(|error| JsonError::Read { path: path.to_owned(), error })?;
    serde_json::from_reader(BufReader::new(file)).map_err(|error| JsonError::Content { path: path.to_owned(), error })
}
