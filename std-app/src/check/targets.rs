//! The file of `--targets`: the servers to check, one on each line.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use greet_host::client::{HostPort, HostPortError};
use thiserror::Error;

/// Why a file names no servers.
#[derive(Debug, Error)]
pub(crate) enum TargetsError {
    /// It cannot be read.
    #[error("`{}` cannot be read ({error}): give a file with one HOST[:PORT] a line", path.display())]
    Read { path: PathBuf, error: io::Error },
    /// A line is not a server.
    #[error("{}:{line}: {error}", path.display())]
    Line { path: PathBuf, line: usize, error: HostPortError },
    /// Two checks of one server would disturb each other.
    #[error("{}:{line}: `{host}` is on line {first} already: each server is checked once", path.display())]
    Twice { path: PathBuf, line: usize, first: usize, host: String },
    /// There is no server in it.
    #[error("{}: no line names a server: write one HOST[:PORT] a line", path.display())]
    Empty { path: PathBuf },
}

/// The servers in the file, in its order.
pub(super) fn read(path: &Path) -> Result<Vec<HostPort>, TargetsError> {
    let text = fs::read_to_string(path).map_err(|error| TargetsError::Read { path: path.to_owned(), error })?;
    parse(path, &text)
}

fn parse(path: &Path, text: &str) -> Result<Vec<HostPort>, TargetsError> {
    let mut found: Vec<(usize, HostPort)> = Vec::new();
    for (line, content) in (1..).zip(text.lines()) {
        let content = content.split('#').next().unwrap_or_default().trim();
        if content.is_empty() {
            continue;
        }
        let path = || path.to_owned();
        let host: HostPort = content.parse().map_err(|error| TargetsError::Line { path: path(), line, error })?;
        if let Some((first, _)) = found.iter().find(|(_, earlier)| *earlier == host) {
            return Err(TargetsError::Twice { path: path(), line, first: *first, host: content.to_owned() });
        }
        found.push((line, host));
    }
    if found.is_empty() {
        return Err(TargetsError::Empty { path: path.to_owned() });
    }
    Ok(found.into_iter().map(|(_, host)| host).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Vec<String>, String> {
        let hosts = parse(Path::new("servers.txt"), text).map_err(|error| error.to_string())?;
        Ok(hosts.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn each_line_is_a_server_without_its_comment() {
        let text = "# the shelf\n\nboard-1.local\r\n  10.0.0.7:9998  # on the left\n[fe80::1%eth0]:1\n";
        let expected = ["board-1.local:9999", "10.0.0.7:9998", "[fe80::1%eth0]:1"].map(str::to_owned);
        assert_eq!(parsed(text), Ok(expected.to_vec()));
    }

    #[test]
    fn an_error_names_the_file_and_the_line() {
        for (text, error) in [
            ("board\nboard:0\n", "servers.txt:2: the port is a number from 1 to 65535"),
            ("one two\n", "servers.txt:1: a host has no spaces"),
            ("a\n\nb\na:9999\n", "servers.txt:4: `a:9999` is on line 1 already"),
            ("# nothing\n", "servers.txt: no line names a server"),
        ] {
            let found = parsed(text).unwrap_err();
            assert!(found.starts_with(error), "{found}");
        }
    }
}
