//! The program: reads the command line, and hands over to the subcommand.

#![deny(unsafe_code)]

mod chat;
mod connection;
mod conversations;
mod device;
mod error;
mod fetch;
#[allow(unsafe_code, reason = "system calls that no library has")]
mod interface;
mod link_changes;
mod lookup;
mod network;
mod offload;
mod options;
mod pcap;
mod serve;
mod values;
mod wait;
mod warning_limit;

use std::process::ExitCode;

use greet_host::{exit, generate, usage};

use crate::{
    error::Error,
    options::{Command, Options},
};

fn main() -> ExitCode {
    match usage::parse(std::env::args_os()) {
        Ok(options) => exit::code("greet-tap", run(options)),
        Err(status) => status,
    }
}

fn run(options: Options) -> Result<ExitCode, Error> {
    match options.command {
        Command::Serve(options) => serve::run(&options),
        Command::Chat(options) => chat::run(&options),
        Command::Fetch(options) => fetch::run(&options),
        Command::Completions(args) => Ok(generate::completions::<Options>(args).map(|()| ExitCode::SUCCESS)?),
        Command::Manuals(args) => Ok(generate::manuals::<Options>(&args).map(|()| ExitCode::SUCCESS)?),
    }
}
