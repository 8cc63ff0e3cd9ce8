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

/// Why a document could not be written or read.
#[derive(Debug, Error)]
pub(crate) enum JsonError {
    /// Writing failed.
    #[error("the report cannot be written ({0}): check where it is redirected to, and the free space there")]
    Write(io::Error),
    /// The file cannot be read.
    #[error("`{}` cannot be read ({error}): use a file that --json wrote", path.display())]
    Read { path: PathBuf, error: io::Error },
    /// The file is not such a document.
    #[error("`{}` is not such a report ({error}): use a file that --json wrote", path.display())]
    Content { path: PathBuf, error: serde_json::Error },
}

/// Writes a document, indented, with a line feed at the end.
pub(crate) fn write(value: &impl Serialize, mut output: impl Write) -> Result<(), JsonError> {
    serde_json::to_writer_pretty(&mut output, value).map_err(|error| JsonError::Write(error.into()))?;
    output.write_all(b"\n").and_then(|()| output.flush()).map_err(JsonError::Write)
}

/// Writes a document as one line: a document for each of many runs.
pub(crate) fn write_line(value: &impl Serialize, mut output: impl Write) -> Result<(), JsonError> {
    let mut line = serde_json::to_vec(value).map_err(|error| JsonError::Write(error.into()))?;
    line.push(b'\n');
    output.write_all(&line).and_then(|()| output.flush()).map_err(JsonError::Write)
}

/// Reads a document that an earlier run has written.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> Result<T, JsonError> {
    let file = File::open(path).map_err(|error| JsonError::Read { path: path.to_owned(), error })?;
    serde_json::from_reader(BufReader::new(file)).map_err(|error| JsonError::Content { path: path.to_owned(), error })
}
