//! How a program ends: one line on standard error, and the exit status.

use core::error::Error;
use std::{io::Write, process::ExitCode};

/// The program did what it was asked for, and the result is bad; or it could not do it, for a reason without a status of its
/// own.
pub const FAILURE: u8 = 1;
/// The command line is wrong.
pub const USAGE: u8 = 2;
/// The server's name has no address.
pub const RESOLVE: u8 = 6;
/// No address of the server accepts a connection.
pub const CONNECT: u8 = 7;
/// The server speaks another protocol, or departs from it.
pub const PROTOCOL: u8 = 8;
/// A file, or standard output, cannot be read or written.
pub const FILE: u8 = 23;
/// There is no TLS connection, or the server is not trusted.
pub const TLS: u8 = 35;
/// A signal ended the program: the status that shells report for Ctrl-C.
pub const INTERRUPTED: u8 = 130;

/// All exit statuses, for the manuals. Those between 3 and 99 are curl's for the same errors.
pub const STATUSES: &[(u8, &str)] = &[
    (0, "Success."),
    (FAILURE, "The result is bad, or another error."),
    (USAGE, "The command line is wrong."),
    (RESOLVE, "The server's name has no address."),
    (CONNECT, "No address of the server accepts a connection."),
    (PROTOCOL, "The server speaks another protocol, or departs from it."),
    (FILE, "A file, or standard output, cannot be read or written."),
    (TLS, "There is no TLS connection, or the server is not trusted."),
    (INTERRUPTED, "A signal ended the program early."),
];

/// An error that ends a program.
pub trait Fatal: Error {
    /// The exit status.
    fn status(&self) -> u8 {
        FAILURE
    }

    /// Whether the reader of standard output has closed it. It wants no more, so this is a success, and nothing is printed.
    fn is_broken_pipe(&self) -> bool {
        false
    }
}

/// Prints the error of a subcommand, if it has one, as `program: error`. Returns the exit status.
pub fn code<E: Fatal>(program: &str, outcome: Result<ExitCode, E>) -> ExitCode {
    match outcome {
        Ok(code) => code,
        Err(error) if error.is_broken_pipe() => ExitCode::SUCCESS,
        Err(error) => {
            // Standard error may be closed; then the exit status has to do.
            let _ = writeln!(std::io::stderr(), "{program}: {error}");
            error.status().into()
        }
    }
}
