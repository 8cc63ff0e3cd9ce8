//! The program: reads the command line, and hands over to the subcommand.

mod bench;
mod chat;
mod check;
mod delivery;
mod export;
mod fetch;
mod latency;
mod options;
mod serve;
mod transport;

use std::{io::Write, process::ExitCode};

use greet_host::usage;

use crate::options::{Command, Options};

fn main() -> ExitCode {
    let options: Options = match usage::parse(std::env::args_os()) {
        Ok(options) => options,
        Err(status) => return status,
    };
    let outcome = match options.command {
        Command::Serve(options) => serve::run(&options).map(|()| ExitCode::SUCCESS).map_err(|error| error.to_string()),
        Command::Chat(options) => chat::run(&options).map(|()| ExitCode::SUCCESS).map_err(|error| error.to_string()),
        Command::Bench(options) => return bench::run(&options),
        Command::Check(options) => check::run(&options).map_err(|error| error.to_string()),
        Command::Fetch(options) => return fetch::run(&options),
    };
    match outcome {
        Ok(status) => status,
        Err(message) => {
            // Standard error may be gone as well; then the exit status has to say it alone.
            let _ = writeln!(std::io::stderr(), "greet: {message}");
            ExitCode::FAILURE
        }
    }
}
