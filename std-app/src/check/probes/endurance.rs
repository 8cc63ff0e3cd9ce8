//! Endurance: the connections and bytes that the check has announced are used, and the server is as fast as at the beginning.

use core::time::Duration;
use std::time::Instant;

use super::throughput;
use crate::check::{
    context::Context,
    drift::Drift,
    failure::{Failure, Kind},
    host::CpuPressure,
    probe::{Group, Level, Need, Notes, Probe, Verdict},
    session::Session,
    standstills::several,
};
use crate::export::number::{Bytes, Count, Time, counted};

/// The cause of replies that take longer with each connection.
pub(super) const GROWS: &str = "something grows with each connection and is searched from its beginning: a list of closed \
                                connections, a log, a heap";

pub(super) fn probes() -> Vec<Probe> {
    vec![
        Probe::new(
            Group::Time,
            "endurance",
            Level::Must,
            "the server works after all the connections and bytes that the check announced",
            &[Need::Conversation],
            &["something is used up and not released: sockets, descriptors, heap; or a counter overflows"],
            endurance,
        ),
        Probe::new(
            Group::Time,
            "aging",
            Level::Should,
            "a reply takes as long on a late connection as on an early one",
            &[Need::Conversation],
            &[GROWS],
            aging,
        ),
        Probe::new(
            Group::Time,
            "standstills",
            Level::Should,
            "the server's stack and the network do not stand still for seconds again and again",
            &[Need::Conversation],
            &[
                "nothing is acknowledged for seconds: the server's stack or driver stands still, or the link is down (a cable, a \
                 switch, a radio that sleeps)",
            ],
            standstills,
        ),
    ]
}

/// Uses what is left of the announced load: connections in the first half of the time, then bytes.
fn endurance(context: Context<'_>, notes: &mut Notes<'_>) -> Result<String, Verdict> {
    let (connections, bytes) = context.settings.announced();
    let target = context.target;
    let total = || format!("{} connections and {}", Count(target.connections()), Bytes(target.bytes() as f64));
    let half = context.settings.probe_budget() / 2;
    while target.connections() < connections && context.elapsed() < half && context.has_time() {
        visit(context).map_err(|failure| {
            let is_gone = failure.kind != Kind::Other && !failure.is_missing_end();
            let before = target.connections().saturating_sub(1);
            failure.during(format_args!("after {}", total())).because_if(
                is_gone,
                format!("after {before} connections something is used up, or the server is dead: look at sockets, descriptors, heap"),
            )
        })?;
        notes.progress(target.connections(), connections);
    }
    // As long as possible: the bytes are what counts.
    let length = context.facts.capacity().min(1000);
    let mut session = Session::ready(context)?;
    while target.bytes() < bytes && context.has_time() {
        const PIECE: usize = 1 << 20;
        let sent = match context.facts.takes_several() {
            true => throughput::flood(&mut session, length, PIECE, notes).map(drop),
            false => session.exchange(&vec![b'd'; length]),
        };
        sent.map_err(|failure| failure.during(format_args!("after {}", total())))?;
        notes.progress(target.bytes(), bytes);
    }
    session.exit()?;
    let is_done = target.connections() >= connections && target.bytes() >= bytes;
    let stopped = if is_done { "" } else { " (stopped at its budget)" };
    Ok(format!("{} in all{stopped}", total()))
}

/// What was seen during all probes.
fn standstills(context: Context<'_>, _: &mut Notes<'_>) -> Result<String, Verdict> {
    const SHOWN: usize = 5;
    let all = context.target.measured.standstills.all();
    if all.is_empty() {
        return Ok("there was none".to_owned());
    }
    let times: Vec<String> = all
        .iter()
        .take(SHOWN)
        .map(|found| format!("{} at {}", Time::from(found.end - found.begin), Time::from(found.begin)))
        .collect();
    let text = format!("{}: {}", counted(all.len() as u64, "standstill"), times.join(", "));
    let (segments, connections) = (context.target.segments(), context.target.connections());
    if several(&all, segments, connections) { Err(Failure::new(text).into()) } else { Ok(text) }
}

/// A connection with one message, for [`aging`].
fn visit(context: Context<'_>) -> Result<(), Failure> {
    let (mut session, _) = Session::served_with_retries(context)?;
    let number = context.target.connections();
    let begin = Instant::now();
    session.exchange(b"a visit")?;
    context.target.measured.visit(number, begin.elapsed());
    session.exit()
}

/// Compares the first exchange of all visits so far.
fn aging(context: Context<'_>, _: &mut Notes<'_>) -> Result<String, Verdict> {
    const ENOUGH: usize = 200;
    let pressure = CpuPressure::watch();
    while context.target.measured.visits().len() < ENOUGH && context.has_time() {
        visit(context)?;
    }
    let visits = context.target.measured.visits();
    let count = Count(visits.len() as u64);
    let Some(drift) = Drift::find(&visits) else {
        return Ok(format!("the first replies on {count} connections take the same time, early and late"));
    };
    let (early, late, each) = (Time::from(drift.early), Time::from(drift.late), Time::from(drift.each()));
    let what = format!(
        "the first reply takes {early} on early connections and {late} on late ones: {each} more with each of them"
    );
    // This host may have become busy meanwhile.
    if pressure.is_high() && drift.late.saturating_sub(drift.early) < Duration::from_millis(2) {
        return Ok(format!("{what}, but this host is busy: measure again on an idle host"));
    }
    Err(Failure::new(what).into())
}
