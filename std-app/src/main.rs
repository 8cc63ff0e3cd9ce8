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

use std::process::ExitCode;

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
    serve::ServeError,
};

fn main() -> ExitCode {
    match usage::parse(std::env::args_os()) {
        Ok(options) => exit::code("greet", run(options)),
        Err(status) => status,
    }
}

fn run(options: Options) -> Result<ExitCode, SubcommandError> {
    Ok(match options.command {
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
    Serve(#[from] ServeError),
    Chat(#[from] ChatError),
    Bench(#[from] BenchError),
    Check(#[from] CheckError),
    Fetch(#[from] DownloadFailure),
    Generate(#[from] GenerateError),
}

impl SubcommandError {
    fn fatal(&self) -> &dyn Fatal {
        match self {
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
