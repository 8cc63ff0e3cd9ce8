//! How a program ends: one line on standard error, and the exit status.

use core::error::Error;
use std::{io::Write, process::ExitCode};

/// The program did what it was asked for, and the result is bad; or it could not do it.
pub const FAILURE: u8 = 1;
/// The command line is wrong.
pub const USAGE: u8 = 2;
/// A signal ended the program: the status that shells report for Ctrl-C.
pub const INTERRUPTED: u8 = 130;

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
