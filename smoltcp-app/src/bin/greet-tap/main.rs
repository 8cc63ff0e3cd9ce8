//! The program: reads the command line, and hands over to the subcommand.

#![deny(unsafe_code)]

mod chat;
mod device;
#[allow(unsafe_code, reason = "system calls that no library has")]
mod interface;
mod network;
mod options;
mod pcap;
mod serve;
mod values;
mod wait;

use std::{io::Write, process::ExitCode};

use clap::{CommandFactory, Parser, error::ErrorKind};

use crate::{
    network::Failure,
    options::{Command, Options},
};

/// What a shell says of a program that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    let outcome = match Options::parse().command {
        Command::Serve(options) => serve::run(&options),
        Command::Chat(options) => chat::run(&options),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Interrupted) => INTERRUPTED.into(),
        // As for everything else that is wrong with the command line.
        Err(Failure::Settings(error)) => Options::command().error(ErrorKind::ValueValidation, error).exit(),
        Err(failure) => {
            // Standard error may be gone as well; then the exit status has to say it alone.
            let _ = writeln!(std::io::stderr(), "greet-tap: {failure}");
            ExitCode::FAILURE
        }
    }
}
