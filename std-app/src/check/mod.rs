//! `greet check`: whether a board's driver and stack, and the service on it, can be trusted; if not, where to look.

mod baseline;
mod connections;
mod difference;
mod options;
mod outcome;
mod page;
mod probe;
mod reach;
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
    net::ToSocketAddrs,
    path::PathBuf,
    process::ExitCode,
    time::Instant,
};

use greet::report::number::Time;
use greet_conformance::vectors::TableError;
use thiserror::Error;

pub(crate) use self::options::CheckOptions;
use self::{
    baseline::{Baseline, BaselineError},
    options::Selection,
    outcome::{Entry, Outcome, Record},
    probe::{Failure, Group, Level, Notes, Probe, Stop},
    shown::List,
    talk::Talk,
    target::Target,
};

/// Why nothing was checked.
#[derive(Debug, Error)]
pub(crate) enum CheckError {
    #[error("`{host}` is not found ({error}): check the name, or give the address itself")]
    NotFound { host: String, error: io::Error },
    #[error("`{host}` has no {family} address: leave {option} out")]
    NoAddress { host: String, family: &'static str, option: &'static str },
    #[error("{0}")]
    Baseline(#[from] BaselineError),
    #[error("the table of cases is at fault: {0}")]
    Table(#[from] TableError),
    #[error("`{path}` cannot be written ({error}): name a file in a folder that is yours")]
    Page { path: PathBuf, error: io::Error },
    #[error("standard output cannot be written ({0}): see where it leads, and whether there is room")]
    Output(io::Error),
}

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
    if options.list {
        unless_nobody_reads(list(&probes))?;
        return Ok(ExitCode::SUCCESS);
    }
    if !probes.iter().any(|probe| selection.wants(probe)) {
        let _ = writeln!(
            io::stderr(),
            "greet: --skip leaves nothing of --only to run; `greet check --list` names all probes"
        );
        return Ok(ExitCode::from(2));
    }
    if let Some(path) = &options.html {
        // Before a minute has gone by for nothing.
        let file = fs::OpenOptions::new().append(true).create(true).open(path);
        file.map_err(|error| CheckError::Page { path: path.clone(), error })?;
    }
    let baseline = options.baseline.as_deref().map(Baseline::read).transpose()?;
    let Some(host) = &options.host else { return Ok(ExitCode::from(2)) };
    let begin = Instant::now();
    let address = resolve(options)?;
    let looked_up = begin.elapsed();
    let mut target = Target::new(host.to_string(), address, options.timeout, options.stress, options.long);
    target.looked_up = looked_up;
    if let Some(capacity) = options.capacity {
        target.capacity = capacity.get().into();
    }
    let list = List::new(options.json);
    list.line(&format!(
        "at most {} connections at once and {} in turn, and some {} MiB; --stress asks for more",
        target.at_once(),
        target.in_turn(),
        if target.stress { 400 } else { 40 }
    ));
    let record = check(&mut target, &probes, &selection, options.capacity.is_none(), &list);
    list.end(&record);
    let worse = baseline.map(|baseline| baseline.compare(&record));
    if let Some(worse) = &worse {
        list.line(&match worse {
            None => "the baseline has none of these probes: nothing was compared".to_owned(),
            Some(lines) if lines.is_empty() => "compared with the baseline, nothing got worse".to_owned(),
            Some(lines) => format!("compared with the baseline, this got worse\n     {}", lines.join("\n     ")),
        });
    }
    if options.json {
        let mut json = record.to_json(&target);
        if let Some(worse) = worse {
            json["worse_than_baseline"] = worse.into();
        }
        unless_nobody_reads(writeln!(io::stdout(), "{json:#}"))?;
    }
    if let Some(path) = &options.html {
        fs::write(path, page::page(&record, &target))
            .map_err(|error| CheckError::Page { path: path.clone(), error })?;
    }
    Ok(if record.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
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
    let shows = format!("after the group {}, the plain conversation works and every place is free", group.name());
    let mut probe = Probe::new(
        group,
        group.name(),
        Level::Must,
        &shows,
        &["what the group did before has left something behind: see which of its probes alone does (--only)"],
        |target, notes| {
            let (mut talk, _) = Talk::greeted_patiently(target)?;
            talk.say(b"recovered")?;
            talk.leave()?;
            if target.known_room().is_none() {
                return Ok("the plain conversation works".to_owned());
            }
            let took = connections::await_room(target)?;
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

fn resolve(options: &CheckOptions) -> Result<SocketAddr, CheckError> {
    let host = options.host.as_ref().map(|host| (host.host.clone(), host.port)).unwrap_or_default();
    let mut addresses = (host.0.as_str(), host.1)
        .to_socket_addrs()
        .map_err(|error| CheckError::NotFound { host: host.0.clone(), error })?;
    addresses.find(|address| (!options.ipv4 || address.is_ipv4()) && (!options.ipv6 || address.is_ipv6())).ok_or_else(
        || {
            let (family, option) = if options.ipv4 { ("IPv4", "-4") } else { ("IPv6", "-6") };
            CheckError::NoAddress { host: host.0.clone(), family, option }
        },
    )
}

/// Runs what is selected.
fn check(target: &mut Target, probes: &[Probe], selection: &Selection, find_capacity: bool, list: &List) -> Record {
    let mut record = Record { entries: Vec::new() };
    let mut known = false;
    // Why nothing more can be found out.
    let mut over: Option<String> = None;
    for probe in probes.iter().filter(|probe| selection.wants(probe)) {
        list.begin(&probe.id);
        let mut unknown = None;
        if !known && over.is_none() && !matches!(probe.id.as_str(), "reach.name" | "reach.connect" | "reach.greeting") {
            known = true;
            unknown = find_out(target, find_capacity, list).err();
        }
        let begin = Instant::now();
        target.begin_probe();
        let progress = |done, all| list.progress(done, all);
        let mut notes = Notes::new(&progress);
        let outcome = match (&over, unknown.map(Stop::from)) {
            (Some(reason), _) => Outcome::Skipped(reason.clone()),
            (None, unknown) => match unknown.map_or_else(|| (probe.run)(target, &mut notes), Err) {
                Ok(text) => Outcome::Held(text),
                Err(Stop::Skipped(reason)) => Outcome::Skipped(reason),
                Err(Stop::Failed(mut failure)) => {
                    failure.causes.extend(probe.causes.iter().map(|&cause| cause.to_owned()));
                    Outcome::Failed(failure)
                }
            },
        };
        if matches!(outcome, Outcome::Failed(_)) && (known && target.trip.is_zero()) {
            over = Some("no conversation is possible".to_owned());
        } else if matches!(outcome, Outcome::Failed(_)) && !is_alive(target) {
            over = Some(format!("the server has not answered any more since {}", probe.id));
        }
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
        record.entries.push(entry);
    }
    record
}

/// Finds out what has to be known of the server before most probes can be run.
fn find_out(target: &mut Target, find_capacity: bool, list: &List) -> Result<(), Failure> {
    reach::find_framing(target)?;
    if find_capacity && let Some(capacity) = reach::find_capacity(target) {
        target.capacity = capacity;
    }
    list.line(&format!(
        "     framing {}, names of at most {} bytes; a reply takes {}",
        rules::framing_name(target.framing),
        target.capacity,
        Time::from(target.trip)
    ));
    Ok(())
}

/// Whether a plain conversation is still to be had.
fn is_alive(target: &Target) -> bool {
    const TRIES: usize = 2;
    (0..TRIES).any(|_| Talk::greeted_patiently(target).is_ok_and(|(mut talk, _)| talk.say(b"alive").is_ok()))
}
