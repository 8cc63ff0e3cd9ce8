//! The program: reads the command line, and hands over to the subcommand.
//!
//! `greet serve` and `greet check --interface` need Linux. What else depends on the operating system is in `socket`,
//! `chat/prompt`, `bench/alarm`, `bench/process`, and `evidence/kernel`, `mss` and `vanish` of `check`.

#![cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "only `greet serve` uses it"))]

mod bench;
mod chat;
mod check;
#[cfg(target_os = "linux")]
mod delivery;
mod export;
mod fetch;
mod latency;
mod options;
#[cfg(target_os = "linux")]
mod serve;
mod socket;
mod transport;

use std::{process::ExitCode, thread};

use greet_host::{
    client::ChatError,
    download::DownloadFailure,
    exit::{self, Fatal},
    generate::{self, GenerateError},
    usage,
};
use thiserror::Error;

use crate::{
    bench::BenchError,
    check::CheckError,
    options::{Command, Options},
};

/// The stack of the program on Windows, as large as that of the main thread on Linux and macOS. Windows gives the main thread 1
/// or 2 MB, and unoptimized code moves the state machine of `greet fetch`, of 256 KiB, from one stack frame to the next.
const STACK: usize = 8 * 1024 * 1024;

fn main() -> ExitCode {
    if !cfg!(windows) {
        return program();
    }
    match thread::Builder::new().stack_size(STACK).spawn(program).map(thread::JoinHandle::join) {
        Ok(Ok(status)) => status,
        Ok(Err(_)) => ExitCode::from(101), // it has printed its panic, as the main thread would
        Err(_) => program(),
    }
}

fn program() -> ExitCode {
    match usage::parse(std::env::args_os()) {
        Ok(options) => exit::code("greet", run(options)),
        Err(status) => status,
    }
}

fn run(options: Options) -> Result<ExitCode, SubcommandError> {
    Ok(match options.command {
        #[cfg(target_os = "linux")]
        Command::Serve(options) => serve::run(&options)?,
        Command::Chat(options) => chat::run(&options)?,
        Command::Bench(options) => bench::run(&options)?,
        Command::Check(options) => check::run(&options)?,
        Command::Fetch(options) => fetch::run(&options)?,
        Command::Completions(args) => generate::completions::<Options>(args).map(|()| ExitCode::SUCCESS)?,
        Command::Manuals(args) => generate::manuals::<Options>(&args).map(|()| ExitCode::SUCCESS)?,
    })
}

/// The error of a subcommand.
#[derive(Debug, Error)]
#[error(transparent)]
enum SubcommandError {
    #[cfg(target_os = "linux")]
    Serve(#[from] serve::ServeError),
    Chat(#[from] ChatError),
    Bench(#[from] BenchError),
    Check(#[from] CheckError),
    Fetch(#[from] DownloadFailure),
    Generate(#[from] GenerateError),
}

impl SubcommandError {
    fn fatal(&self) -> &dyn Fatal {
        match self {
            #[cfg(target_os = "linux")]
            Self::Serve(error) => error,
            Self::Chat(error) => error,
            Self::Bench(error) => error,
            Self::Check(error) => error,
            Self::Fetch(error) => error,
            Self::Generate(error) => error,
        }
    }
}

impl Fatal for SubcommandError {
    fn status(&self) -> u8 {
        self.fatal().status()
    }

    fn is_broken_pipe(&self) -> bool {
        self.fatal().is_broken_pipe()
    }
}
