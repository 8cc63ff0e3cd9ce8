//! The program: reads the command line, and hands over to the subcommand.

#![deny(unsafe_code)]

mod chat;
mod connection;
mod device;
mod fetch;
#[allow(unsafe_code, reason = "system calls that no library has")]
mod interface;
mod link;
mod names;
mod network;
mod options;
mod pcap;
mod serve;
mod values;
mod wait;

use std::{io::Write, process::ExitCode};

use greet_host::usage;

use crate::{
    network::Failure,
    options::{Command, Options},
};

/// What is wrong is the command line.
const WRONG_USAGE: u8 = 2;

/// What a shell says of a program that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    let options: Options = match usage::parse(std::env::args_os()) {
        Ok(options) => options,
        Err(status) => return status,
    };
    let outcome = match options.command {
        Command::Serve(options) => serve::run(&options),
        Command::Chat(options) => chat::run(&options),
        Command::Fetch(options) => fetch::run(&options),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Interrupted) => INTERRUPTED.into(),
        Err(failure) => {
            // Standard error may be gone as well; then the exit status has to say it alone.
            let _ = writeln!(std::io::stderr(), "greet-tap: {failure}");
            match failure {
                Failure::Download(failure) if failure.is_interruption() => INTERRUPTED.into(),
                Failure::Settings(_) => WRONG_USAGE.into(), // as for all that is wrong with a command line
                _ => ExitCode::FAILURE,
            }
        }
    }
}
