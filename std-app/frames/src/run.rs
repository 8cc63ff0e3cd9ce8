//! The run: probes run concurrently as far as the board has slots; those that would disturb others run separately.

use core::{
    cmp::Reverse,
    net::IpAddr,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};
use std::{
    io,
    sync::{Mutex, PoisonError, mpsc},
    thread,
};

use crate::{
    board::Board,
    frame::Frame,
    host::{Host, Identity, Traced},
    link::Medium,
    loss::loss,
    probe::{Probe, Schedule, Stop, Test, Versions},
};

/// The result of a probe.
#[derive(Debug)]
pub struct Examined {
    /// The probe.
    pub probe: Probe,
    /// What was found.
    pub verdict: Verdict,
    /// How long it took.
    pub took: Duration,
    /// The frames of the run that decided, in their order.
    pub trace: Vec<Traced>,
}

/// What a probe found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The requirement is met; what was measured.
    Passed(String),
    /// It is not; what was found instead.
    Failed(String),
    /// It cannot be decided on this board, for this reason.
    Undecided(String),
    /// The link loses frames, so that what was found says nothing about the board.
    Lossy(String),
    /// The board does not answer any more: not even a new connection is possible.
    Dead(String),
    /// The link failed.
    LinkFailed(String),
}

/// Whether the probe is for the board's IP version.
#[must_use]
pub fn applies(probe: &Probe, address: IpAddr) -> bool {
    match probe.versions {
        Versions::Both => true,
        Versions::V4 => address.is_ipv4(),
        Versions::V6 => address.is_ipv6(),
    }
}

/// Runs a probe. A failure counts if it happens twice, and on a link that loses no frames.
pub fn examine(medium: &dyn Medium, board: &Board, identity: Identity, probe: &Probe) -> Examined {
    let first = examine_once(medium, board, identity, probe);
    if !matches!(first.verdict, Verdict::Failed(_)) {
        return first;
    }
    let second = examine_once(medium, board, identity, probe);
    // A board that the probe has stopped: the next probe says that it is dead.
    let examined = if matches!(second.verdict, Verdict::Dead(_)) { first } else { second };
    if !matches!(examined.verdict, Verdict::Failed(_)) {
        return examined;
    }
    match loss(&host(medium, board, identity)) {
        Ok(Some(lost)) => Examined { verdict: Verdict::Lossy(lost), ..examined },
        _ => examined,
    }
}

fn host<'a>(medium: &'a dyn Medium, board: &'a Board, identity: Identity) -> Host<'a> {
    Host::new(board, identity, medium.attach(identity.mac), fastrand::u64(..))
}

fn examine_once(medium: &dyn Medium, board: &Board, identity: Identity, probe: &Probe) -> Examined {
    let host = host(medium, board, identity);
    let begin = host.now();
    let verdict = match is_alive(&host) {
        Ok(()) => {
            host.take_trace();
            verdict(match probe.test {
                Test::Active(test) => test(&host),
                Test::Passive(_) => Err(Stop::undecided("it needs the frames of other probes")),
            })
        }
        Err(Stop::Link(error)) => Verdict::LinkFailed(error.to_string()),
        Err(Stop::Failed(what) | Stop::Undecided(what)) => Verdict::Dead(what),
    };
    Examined { probe: *probe, verdict, took: host.now().saturating_sub(begin), trace: host.take_trace() }
}

/// Runs a probe that looks at the frames of others.
#[must_use]
pub fn look(board: &Board, frames: &[Frame], probe: &Probe) -> Examined {
    let found = match probe.test {
        Test::Passive(_) if frames.is_empty() => Err(Stop::undecided("the board sent no frame")),
        Test::Passive(test) => test(board, frames),
        Test::Active(_) => Err(Stop::undecided("it sends frames of its own")),
    };
    Examined { probe: *probe, verdict: verdict(found), took: Duration::ZERO, trace: Vec::new() }
}

fn verdict(found: Result<String, Stop>) -> Verdict {
    match found {
        Ok(text) => Verdict::Passed(text),
        Err(Stop::Failed(what)) => Verdict::Failed(what),
        Err(Stop::Undecided(why)) => Verdict::Undecided(why),
        Err(Stop::Link(error)) => Verdict::LinkFailed(error.to_string()),
    }
}

/// Opens a connection and resets it. A slot may become free only after a while.
fn is_alive(host: &Host<'_>) -> Result<(), Stop> {
    const ATTEMPTS: u32 = 6;
    let mut attempt = 1;
    loop {
        match host.open() {
            Err(Stop::Failed(_)) if attempt < ATTEMPTS => host.wait(Duration::from_secs(1))?,
            Ok(connection) => {
                drop(connection);
                return host.wait(host.board.rtt * 2);
            }
            Err(stop) => return Err(stop),
        }
        attempt += 1;
    }
}

/// Runs probes, from as many hosts side by side as there are identities and the board has slots for. `report` gets each
/// result as it is there; it returns whether to go on.
///
/// # Errors
/// If a thread cannot be started.
pub fn run(
    medium: &dyn Medium,
    board: &Board,
    identities: &[Identity],
    probes: &[Probe],
    report: &mut dyn FnMut(&Examined) -> bool,
) -> io::Result<Vec<Examined>> {
    let (mut waiting, passive): (Vec<&Probe>, Vec<&Probe>) =
        probes.iter().partition(|probe| matches!(probe.test, Test::Active(_)));
    // Stable: otherwise in their order.
    waiting.sort_by_key(|probe| (probe.schedule, Reverse(probe.waits)));
    let alone = waiting.split_off(waiting.partition_point(|probe| probe.schedule < Schedule::Alone));
    let mut results: Vec<Examined> = Vec::new();
    let mut goes_on = true;
    let mut add = |examined: Examined| {
        let ends = matches!(examined.verdict, Verdict::Dead(_) | Verdict::LinkFailed(_));
        goes_on &= report(&examined) && !ends;
        results.push(examined);
        goes_on
    };

    let is_over = AtomicBool::new(false);
    let queue = Mutex::new(waiting.into_iter());
    let next = || {
        let probe = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
        probe.filter(|_| !is_over.load(Ordering::Relaxed))
    };
    // One slot is left for the connection that tells whether the board is alive.
    let hosts = identities.len().min(board.slots.saturating_sub(1).max(1));
    thread::scope(|scope| {
        let (sender, examined) = mpsc::channel();
        for &identity in identities.iter().take(hosts) {
            let (sender, next) = (sender.clone(), &next);
            let work = move || {
                while let Some(probe) = next() {
                    let _ = sender.send(examine(medium, board, identity, probe));
                }
            };
            thread::Builder::new().name("probe".to_owned()).spawn_scoped(scope, work)?;
        }
        drop(sender);
        for examined in examined {
            if !add(examined) {
                is_over.store(true, Ordering::Relaxed);
            }
        }
        Ok::<_, io::Error>(())
    })?;
    for probe in alone {
        if let Some(&identity) = identities.first()
            && !is_over.load(Ordering::Relaxed)
            && !add(examine(medium, board, identity, probe))
        {
            is_over.store(true, Ordering::Relaxed);
        }
    }
    announce(medium, board, identities);
    let mut frames: Vec<Frame> = results.iter().flat_map(sent_by_board).cloned().collect();
    frames.sort_by(|one, other| (one.time, &one.bytes).cmp(&(other.time, &other.bytes)));
    // A frame for all hosts was received by each of them.
    frames.dedup_by(|one, other| (one.time, &one.bytes) == (other.time, &other.bytes));
    for probe in passive {
        let examined = look(board, &frames, probe);
        report(&examined);
        results.push(examined);
    }
    Ok(results)
}

/// Tells the board, and nobody else, the MAC addresses of the hosts: probes have told it others.
fn announce(medium: &dyn Medium, board: &Board, identities: &[Identity]) {
    for &identity in identities {
        let host = host(medium, board, identity);
        // An error is that of the last probe.
        let _ = host.announce();
    }
}

/// The frames of the board that a probe received.
fn sent_by_board(examined: &Examined) -> impl Iterator<Item = &Frame> {
    examined.trace.iter().filter(|traced| !traced.sent).map(|traced| &traced.frame)
}
