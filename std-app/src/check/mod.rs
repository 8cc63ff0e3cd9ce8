//! `greet check`: tests a server's driver, network stack and service, and says what to look at when something is wrong.
//!
//! Imports point down only:
//!
//! | layer | files |
//! | --- | --- |
//! | command | this file, `options`, `selection`, `targets` |
//! | series | `series`: the runs of each server; `baseline` |
//! | run | `run`: discovery of what a probe needs (`discover`, `slots`), then the probe; `frames`: the probes of `greet-frames` |
//! | probes | `probes/*`, a file for each group; `probe` says what one is |
//! | conversation | `session`: compares every byte, `difference` explains wrong ones; `service`: the expected replies of each service |
//! | data | `context` = `target` + `facts` + `settings`; `failure`; `record`, the results |

mod baseline;
mod context;
mod counts;
mod delays;
pub(crate) mod diagnosis;
mod difference;
mod discover;
mod drift;
pub(crate) mod entry;
pub(crate) mod evidence;
mod explain;
pub(crate) mod facts;
pub(crate) mod failure;
mod frames;
mod host;
mod identify;
mod in_flight;
mod local;
mod loss;
mod measured;
mod mss;
mod options;
mod payload;
pub(crate) mod probe;
mod probes;
pub(crate) mod record;
mod run;
mod segments;
mod selection;
pub(crate) mod series;
pub(crate) mod service;
mod session;
mod settings;
mod slots;
pub(crate) mod soak;
mod stalls;
mod standstills;
mod target;
mod targets;
mod timing;
mod vanish;

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use greet_conformance::vectors::TableError;
use greet_host::{
    exit::{self, Fatal},
    stop::Stop,
};
use quick_junit::SerializeError;
use thiserror::Error;

pub(crate) use self::options::CheckOptions;
use self::{
    baseline::{Baseline, BaselineError},
    frames::FramesError,
    probe::Listed,
    selection::Selection,
    series::{Runs, Series, Tests},
    targets::TargetsError,
};
use crate::export::{
    html,
    json::{self, JsonError},
    junit,
    text::check::print_probes,
};

/// Why the check could not be run, or its results could not be written.
#[derive(Debug, Error)]
pub(crate) enum CheckError {
    #[error("baseline: {0}")]
    Baseline(#[from] BaselineError),
    #[error("{0}")]
    Frames(#[from] FramesError),
    #[error("{0}")]
    Json(#[from] JsonError),
    #[error("the conformance table is invalid: {0}")]
    Table(#[from] TableError),
    #[error("{0}")]
    Targets(#[from] TargetsError),
    #[error("the JUnit report cannot be made ({0})")]
    Junit(#[from] SerializeError),
    #[error("cannot write `{}` ({error}): give a file in a folder that you can write to", path.display())]
    File { path: PathBuf, error: io::Error },
    #[error("cannot write to standard output ({0}): check where it is redirected to, and whether the disk is full")]
    Output(io::Error),
}

impl Fatal for CheckError {
    fn status(&self) -> u8 {
        // As on the command line.
        match self {
            Self::Targets(_) => exit::USAGE,
            Self::Frames(error) => error.status(),
            Self::Baseline(_) | Self::File { .. } | Self::Output(_) => exit::FILE,
            Self::Json(_) | Self::Table(_) | Self::Junit(_) => exit::FAILURE,
        }
    }
}

/// Checks the server. The exit status says whether all MUST requirements are met.
pub(crate) fn run(options: &CheckOptions) -> Result<ExitCode, CheckError> {
    let probes = probes::all()?;
    let is_by_frames = options.interface.is_some();
    let ids: Vec<String> = match is_by_frames {
        true => frames::ids(),
        false => probes.iter().map(|probe| probe.id.clone()).collect(),
    };
    let selection = match Selection::new(options, &ids) {
        Ok(selection) => selection,
        Err(unknown) => {
            return Ok(usage_error(&format!(
                "no probe or group is named `{unknown}`; `greet check --list` lists them"
            )));
        }
    };
    // Without --list, clap requires a host.
    if options.list {
        let list = if is_by_frames { frames::list() } else { probes.iter().map(Listed::from).collect() };
        let printed = if options.report.json { json::check::print_probes(&list) } else { print_probes(&list) };
        ignore_broken_pipe(printed)?;
        return Ok(ExitCode::SUCCESS);
    }
    let selected = selection.of(&probes);
    if selected.is_empty() && !is_by_frames {
        return Ok(usage_error("--only and --skip leave no probe to run; `greet check --list` lists them"));
    }
    let hosts = match &options.targets {
        Some(path) => targets::read(path)?,
        None => options.host.iter().cloned().collect(),
    };
    let baseline = options.baseline.as_deref().map(Baseline::read).transpose()?;
    for path in [&options.report.html, &options.junit].into_iter().flatten() {
        // Find out now, not after a minute.
        let file = fs::OpenOptions::new().append(true).create(true).open(path);
        file.map_err(|error| CheckError::File { path: path.clone(), error })?;
    }
    let stop = Stop::on_signals().ok().map(Arc::new);
    let tests = match &options.interface {
        Some(interface) => Tests::Stack { interface, selection: &selection },
        None => Tests::Service(&selected),
    };
    let series = Series { tests, options, baseline: baseline.as_ref(), stop };
    let all = series.run(&hosts)?;
    if let (Some(path), Some(record)) = (&options.report.html, all.first().and_then(|runs| runs.record.as_ref())) {
        save(path, &html::check::report(record))?;
    }
    if let Some(path) = &options.junit {
        save(path, &junit::report(&all)?)?;
    }
    let passed = all.len() == hosts.len() && all.iter().all(Runs::passed);
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn save(path: &Path, text: &str) -> Result<(), CheckError> {
    fs::write(path, text).map_err(|error| CheckError::File { path: path.to_owned(), error })
}

fn usage_error(message: &str) -> ExitCode {
    let _ = writeln!(io::stderr(), "greet: {message}");
    ExitCode::from(2)
}

/// A closed pipe is no error: the reader has read enough, and the exit status has the result.
fn ignore_broken_pipe(written: io::Result<()>) -> Result<(), CheckError> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(CheckError::Output),
    }
}
