//! `greet check`: tests a server's driver, network stack and service, and says what to look at when something is wrong.
//!
//! Imports point down only:
//!
//! | layer | files |
//! | --- | --- |
//! | command | this file, `options`, `selection` |
//! | run | `run`: discovery of what a probe needs (`discover`, `slots`), then the probe |
//! | probes | `probes/*`, a file for each group; `probe` says what one is |
//! | conversation | `session`: compares every byte, `difference` explains wrong ones |
//! | data | `context` = `target` + `facts` + `settings`; `failure`; `record`, the results |

mod baseline;
mod context;
mod difference;
mod discover;
mod explain;
mod facts;
pub(crate) mod failure;
mod host;
mod identify;
mod local;
mod loss;
mod options;
pub(crate) mod probe;
mod probes;
pub(crate) mod record;
mod run;
mod selection;
mod session;
mod settings;
mod slots;
mod target;

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use greet_conformance::vectors::TableError;
use greet_host::exit::Fatal;
use thiserror::Error;

pub(crate) use self::options::CheckOptions;
use self::{baseline::Baseline, record::Record, selection::Selection};
use crate::export::{
    html,
    json::{
        self, JsonError,
        check::{Document, FORMAT},
    },
    text::check::{List, print_probes},
};

/// Why the check could not be run, or its results could not be written.
#[derive(Debug, Error)]
pub(crate) enum CheckError {
    #[error("baseline: {0}")]
    Baseline(JsonError),
    #[error(
        "baseline: `{}` has the format `{found}`, and this version reads `{FORMAT}`: check the server again with --json",
        path.display()
    )]
    Format { path: PathBuf, found: String },
    #[error("{0}")]
    Json(#[from] JsonError),
    #[error("the conformance table is invalid: {0}")]
    Table(#[from] TableError),
    #[error("cannot write `{}` ({error}): give a file in a folder that you can write to", path.display())]
    Html { path: PathBuf, error: io::Error },
    #[error("cannot write to standard output ({0}): check where it is redirected to, and whether the disk is full")]
    Output(io::Error),
}

impl Fatal for CheckError {}

/// Checks the server. The exit status says whether all MUST requirements are met.
pub(crate) fn run(options: &CheckOptions) -> Result<ExitCode, CheckError> {
    let probes = probes::all()?;
    let selection = match Selection::new(options, &probes) {
        Ok(selection) => selection,
        Err(unknown) => {
            return Ok(usage_error(&format!(
                "no probe or group is named `{unknown}`; `greet check --list` lists them"
            )));
        }
    };
    // Without --list, clap requires a host.
    let Some(host) = options.host.as_ref().filter(|_| !options.list) else {
        ignore_broken_pipe(print_probes(&probes))?;
        return Ok(ExitCode::SUCCESS);
    };
    let selected = selection.of(&probes);
    if selected.is_empty() {
        return Ok(usage_error("--only and --skip leave no probe to run; `greet check --list` lists them"));
    }
    let baseline = options.baseline.as_deref().map(read_baseline).transpose()?;
    if let Some(path) = &options.report.html {
        // Find out now, not after a minute.
        let file = fs::OpenOptions::new().append(true).create(true).open(path);
        file.map_err(|error| CheckError::Html { path: path.clone(), error })?;
    }
    let list = List::new(options.report.json);
    let mut record = run::run(host, &selected, options, &list);
    list.end(&record);
    if let Some(baseline) = baseline {
        compare(&baseline, &mut record, &list);
    }
    ignore_broken_pipe(list.finish())?;
    if options.report.json {
        match json::write(&Document::new(&record), io::stdout().lock()) {
            Err(JsonError::Write(error)) => ignore_broken_pipe(Err(error))?,
            written => written?,
        }
    }
    if let Some(path) = &options.report.html {
        fs::write(path, html::check::report(&record))
            .map_err(|error| CheckError::Html { path: path.clone(), error })?;
    }
    Ok(if record.passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn usage_error(message: &str) -> ExitCode {
    let _ = writeln!(io::stderr(), "greet: {message}");
    ExitCode::from(2)
}

fn read_baseline(path: &Path) -> Result<Baseline, CheckError> {
    let baseline: Baseline = json::read(path).map_err(CheckError::Baseline)?;
    match baseline.format.clone().filter(|format| format != FORMAT) {
        Some(found) => Err(CheckError::Format { path: path.to_owned(), found }),
        None => Ok(baseline),
    }
}

fn compare(baseline: &Baseline, record: &mut Record, list: &List) {
    if let Some(other) = baseline.other(&record.subject) {
        list.line(&format!("the baseline is of another server: {other}"));
    }
    let worse = baseline.compare(&record.probes);
    list.line(&match &worse {
        None => "the baseline has none of these probes: nothing was compared".to_owned(),
        Some(lines) if lines.is_empty() => "nothing is worse than the baseline".to_owned(),
        Some(lines) => format!("worse than the baseline:\n     {}", lines.join("\n     ")),
    });
    record.worse_than_baseline = worse;
}

/// A reader that closes the pipe has read enough; the exit status says the rest.
fn ignore_broken_pipe(written: io::Result<()>) -> Result<(), CheckError> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(CheckError::Output),
    }
}
