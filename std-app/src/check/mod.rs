//! `greet check`: whether a board's driver and stack, and the service on it, can be trusted; if not, where to look.

mod baseline;
mod connections;
mod difference;
mod known;
mod opening;
mod options;
mod outcome;
mod page;
mod probe;
mod reach;
mod room;
mod rules;
mod shown;
mod stream;
mod talk;
mod target;
mod time;
mod wire;

use core::net::SocketAddr;
use std::{
    fs,
    io::{self, Write},
    net::TcpStream,
    path::PathBuf,
    process::ExitCode,
    time::Instant,
};

use greet_conformance::vectors::TableError;
use greet_host::{client::HostPort, exit::Fatal, resolve::addresses, stop, values::Limit};
use thiserror::Error;

pub(crate) use self::options::CheckOptions;
use self::{
    baseline::Baseline,
    options::Selection,
    outcome::{Entry, Outcome, Record, Subject},
    probe::{Failure, Group, Kind, Level, Notes, Probe, Stop},
    shown::List,
    talk::Talk,
    target::Target,
};
use crate::export::{
    json::{self, JsonError},
    number::Time,
};

/// Why nothing was checked, or what came of it cannot be told.
#[derive(Debug, Error)]
pub(crate) enum CheckError {
    #[error("the baseline: {0}")]
    Baseline(JsonError),
    #[error("{0}")]
    Json(#[from] JsonError),
    #[error("the table of cases is at fault: {0}")]
    Table(#[from] TableError),
    #[error("`{path}` cannot be written ({error}): name a file in a folder that is yours")]
    Page { path: PathBuf, error: io::Error },
    #[error("standard output cannot be written ({0}): see where it leads, and whether there is room")]
    Output(io::Error),
}

impl Fatal for CheckError {}

/// Checks the server; the exit status says whether every MUST holds.
pub(crate) fn run(options: &CheckOptions) -> Result<ExitCode, CheckError> {
    let probes = all_probes()?;
    let selection = match Selection::new(options, &probes) {
        Ok(selection) => selection,
        Err(unknown) => {
            let _ = writeln!(
                io::stderr(),
                "greet: no probe and no group is called `{unknown}`; `greet check --list` names them"
            );
            return Ok(ExitCode::from(2));
        }
    };
    // Without a host clap asks for a list.
    let Some(host) = options.host.as_ref().filter(|_| !options.list) else {
        unless_nobody_reads(list(&probes))?;
        return Ok(ExitCode::SUCCESS);
    };
    let chosen = selection.of(&probes);
    if chosen.is_empty() {
        let _ = writeln!(
            io::stderr(),
            "greet: --skip leaves nothing of --only to run; `greet check --list` names all probes"
        );
        return Ok(ExitCode::from(2));
    }
    let baseline = options.baseline.as_deref().map(json::read::<Baseline>).transpose().map_err(CheckError::Baseline)?;
    if let Some(path) = &options.report.html {
        // Before a minute has gone by for nothing.
        let file = fs::OpenOptions::new().append(true).create(true).open(path);
        file.map_err(|error| CheckError::Page { path: path.clone(), error })?;
    }
    let list = List::new(options.report.json);
    let mut record = check(host, &chosen, options, &list);
    list.end(&record);
    if let Some(baseline) = baseline {
        if let Some(other) = baseline.other(&record.subject) {
            list.line(&format!("the baseline is of {other}"));
        }
        let worse = baseline.compare(&record.probes);
        list.line(&match &worse {
            None => "the baseline has none of these probes: nothing was compared".to_owned(),
            Some(lines) if lines.is_empty() => "compared with the baseline, nothing got worse".to_owned(),
            Some(lines) => format!("compared with the baseline, this got worse\n     {}", lines.join("\n     ")),
        });
        record.worse_than_baseline = worse;
    }
    unless_nobody_reads(list.written())?;
    if options.report.json {
        match json::write(&record, io::stdout().lock()) {
            Err(JsonError::Write(error)) => unless_nobody_reads(Err(error))?,
            written => written?,
        }
    }
    if let Some(path) = &options.report.html {
        fs::write(path, page::page(&record)).map_err(|error| CheckError::Page { path: path.clone(), error })?;
    }
    Ok(if record.passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A reader that is gone has seen enough; the exit status says the rest.
fn unless_nobody_reads(written: io::Result<()>) -> Result<(), CheckError> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(CheckError::Output),
    }
}

/// Every probe there is, in the order in which they are run.
fn all_probes() -> Result<Vec<Probe>, TableError> {
    let mut probes = Vec::new();
    for group in Group::ALL {
        probes.extend(match group {
            Group::Reach => reach::probes(),
            Group::Connections => connections::probes(),
            Group::Rules => rules::probes()?,
            Group::Stream => stream::probes(),
            Group::Time => time::probes(),
        });
        probes.push(recovery(group));
    }
    Ok(probes)
}

/// After each group the server is as it was.
fn recovery(group: Group) -> Probe {
    let places = if group == Group::Reach { "" } else { ", and every place is free" };
    let shows = format!("after the group {}, the plain conversation works{places}", group.name());
    let mut probe = Probe::new(
        group,
        group.name(),
        Level::Must,
        &shows,
        &["what the group did before has left something behind: see which of its probes alone does (--only)"],
        move |target, notes| {
            let (mut talk, _) = Talk::greeted_patiently(target)?;
            talk.say(b"recovered")?;
            talk.leave()?;
            if group == Group::Reach {
                return Ok("the plain conversation works".to_owned());
            }
            if target.known_room().is_none() {
                return Ok("the plain conversation works; how many places there are was not asked for".to_owned());
            }
            let took = room::await_room(target)?;
            notes.time("all places free again after", took);
            Ok(format!("{} places within {}", target.places()?, Time::from(took)))
        },
    );
    probe.id = format!("recovery.{}", group.name());
    probe
}

fn list(probes: &[Probe]) -> io::Result<()> {
    let mut output = io::stdout().lock();
    for probe in probes {
        writeln!(output, "{:<26} {:<6} {}", probe.id, probe.level, probe.shows)?;
    }
    Ok(())
}

/// Checks a server by these probes.
fn check(host: &HostPort, probes: &[&Probe], options: &CheckOptions, list: &List) -> Record {
    let begin = Instant::now();
    let found = addresses(host, options.ip, Limit(Some(options.timeout)));
    let looked_up = begin.elapsed();
    let target = found.map(|addresses| {
        // Where signals cannot be had, Ctrl-C ends all at once.
        let stop = stop::Stop::on_signals().ok();
        Target::new(first_that_answers(&addresses, options), looked_up, options, stop)
    });
    if let Ok(target) = &target {
        list.line(&target.burden());
    }
    // Why nothing more can be found out, and since when.
    let mut over: Option<(String, &str)> = None;
    let mut entries = Vec::new();
    for probe in probes {
        list.begin(&probe.id);
        let begin = Instant::now();
        let progress = |done, all| list.progress(done, all);
        let mut notes = Notes::new(&progress);
        let outcome = match (&over, &target) {
            (Some((reason, since)), _) => Err(Stop::Skipped(format!("{reason}: see {since}"))),
            (None, Ok(target)) if target.is_stopped() => Err(Stop::Over("a signal ended it".to_owned())),
            (None, Ok(target)) => run_probe(probe, target, &mut notes),
            (None, Err(error)) => Err(Failure::new(error.to_string()).into()),
        };
        let (outcome, is_over) = match outcome {
            Ok(text) => (Outcome::Held(text), None),
            Err(Stop::Skipped(reason)) => (Outcome::Skipped(reason), None),
            Err(Stop::Over(reason)) => (Outcome::Skipped(reason.clone()), Some(reason)),
            Err(Stop::Failed(failure)) => (Outcome::Failed(failure), None),
        };
        let Notes { measures, trips, .. } = notes;
        let entry = Entry {
            id: probe.id.clone(),
            group: probe.group,
            level: probe.level,
            shows: probe.shows.clone(),
            outcome,
            measures,
            trips,
            took: begin.elapsed(),
        };
        list.entry(&entry);
        let is_over = match entry.outcome {
            Outcome::Failed(_) => why_over(probe, target.as_ref().ok()).map(str::to_owned),
            _ => is_over,
        };
        over = over.or(is_over.map(|reason| (reason, &*probe.id)));
        entries.push(entry);
    }
    Record::new(Subject::new(host.to_string(), target.as_ref().ok()), entries, over.map(|(reason, _)| reason))
}

/// The address that lets a client in, of several; the first one where none does.
fn first_that_answers(addresses: &[SocketAddr], options: &CheckOptions) -> SocketAddr {
    let answers = |address: &&SocketAddr| TcpStream::connect_timeout(address, options.timeout).is_ok();
    let several = addresses.len() > 1;
    let found = addresses.iter().find(|address| several && answers(address)).or(addresses.first());
    found.copied().unwrap_or(SocketAddr::from(([0, 0, 0, 0], 0))) // a host without any is an error before
}

fn run_probe(probe: &Probe, target: &Target, notes: &mut Notes<'_>) -> Result<String, Stop> {
    target.begin_time();
    (probe.run)(target, notes).map_err(|stop| match stop {
        Stop::Failed(mut failure) => {
            // Where no connection was to be had, it matters little for what.
            let is_about_connections = matches!(probe.group, Group::Reach | Group::Connections);
            if is_about_connections || !matches!(failure.kind, Kind::Refused | Kind::Silent) {
                let usual = probe.causes.iter().filter(|cause| !failure.causes.iter().any(|named| named == *cause));
                let usual: Vec<String> = usual.map(|&cause| cause.to_owned()).collect();
                failure.causes.extend(usual);
            }
            Stop::Failed(failure)
        }
        stop => stop,
    })
}

/// This one has failed: why nothing more can be found out, if that is so.
fn why_over(probe: &Probe, target: Option<&Target>) -> Option<&'static str> {
    let Some(target) = target.filter(|_| probe.id != reach::CONNECT) else { return Some("there is no server") };
    let known = target.known().is_some();
    if probe.id == reach::REPLY && !known {
        return Some("no plain conversation is possible");
    }
    let is_alive = || {
        let (mut talk, _) = Talk::greeted_patiently(target)?;
        if known { talk.say(b"alive") } else { Ok(()) }
    };
    is_alive().err()?;
    let failure: Failure = is_alive().err()?; // not once only, as on a wire that loses
    Some(match failure.kind {
        Kind::Refused | Kind::Silent | Kind::Late => "the server does not answer any more",
        _ => "no plain conversation is possible any more",
    })
}
