//! The run of a check: one probe after the other, each behind the discovery of the facts that it needs.

use core::{net::SocketAddr, time::Duration};
use std::{io, net::TcpStream, sync::Arc, thread, time::Instant};

use greet_host::{client::HostPort, resolve::addresses, stop::Stop, values::Limit};

use super::{
    context::Context,
    diagnosis, discover,
    entry::{Entry, Outcome},
    explain::describe_attempt,
    facts::{Fact, Facts},
    failure::{Failure, Kind},
    in_flight, loss,
    options::CheckOptions,
    probe::{Group, Notes, Probe, Verdict},
    record::{Aborted, Record, Subject},
    segments,
    service::Service,
    session::Session,
    settings::Settings,
    slots,
    target::Target,
};
use crate::export::{number::counted, text::check::List};

/// Why the last probes of a slow server are not run.
const NO_TIME: &str = "the time of the check is used up; --budget gives it more";

/// Runs these probes against a server.
pub(super) fn run(
    host: &HostPort,
    probes: &[&Probe],
    options: &CheckOptions,
    stop: Option<Arc<Stop>>,
    list: &List,
) -> Record {
    let begin = Instant::now();
    let found = addresses(host, options.ip, Limit(Some(options.timeout)));
    let lookup_time = begin.elapsed();
    let found = found.map(|found| choose(&found, options.timeout)).map_err(|error| error.to_string());
    let other_addresses = found.as_ref().map(|(_, others)| others.clone()).unwrap_or_default();
    let facts = Facts { lookup_time, other_addresses, ..Facts::default() };
    let mut run = Run {
        target: found.map(|(address, _)| Target::new(address)),
        facts,
        settings: Settings::new(options, stop),
        aborted: None,
    };
    if run.target.is_ok() {
        list.line(&run.settings.load(probes.iter().any(|probe| probe.id == "time.endurance")));
    }
    let mut entries = Vec::new();
    // A probe that is skipped because of an earlier one has no line of its own.
    let mut skipped = 0;
    let mut late = 0;
    for (index, probe) in probes.iter().enumerate() {
        // As long as it is not known, it is taken for a greeting server.
        let service = run.facts.service.or(run.settings.service).unwrap_or(Service::Greet);
        if !probe.is_for(service) {
            continue;
        }
        let left = probes.get(index..).unwrap_or_default();
        let has_time = run.settings.begin_probe(left.iter().filter(|probe| probe.is_for(service)).count());
        // Its time was given on its own.
        let has_time = has_time || (probe.group == Group::Soak && run.settings.soak.is_some());
        if run.aborted.is_none() {
            list.begin(&probe.id);
        }
        let was_aborted = run.aborted.is_some();
        late += usize::from(!has_time && !was_aborted);
        let progress = |done, total| list.progress(done, total);
        let entry = run.entry(probe, has_time, &entries, Notes::new(&progress));
        if was_aborted {
            skipped += 1;
        } else if has_time {
            list.entry(&entry);
        }
        diagnosis::attribute(&mut entries, &entry);
        entries.push(entry);
    }
    if let Some(aborted) = run.aborted.as_ref().filter(|_| skipped > 0) {
        list.skipped(skipped, &aborted.by);
    }
    if late > 0 {
        list.line(&format!("skip {}: {NO_TIME}", counted(late as u64, "probe")));
    }
    let subject = Subject::new(host.to_string(), run.target.as_ref().ok(), &run.facts);
    let soak = run.target.ok().and_then(|target| target.measured.soak.into_inner());
    Record { soak, ..Record::new(subject, entries, run.aborted) }
}

/// Tries all addresses at the same time. Returns the first that accepts a connection, or the first of all, and what the others do.
fn choose(addresses: &[SocketAddr], timeout: Duration) -> (SocketAddr, Vec<(SocketAddr, String)>) {
    /// An address that does not answer within this time is not waited for.
    const LONGEST: Duration = Duration::from_secs(3);
    let [first, _, ..] = addresses else {
        // A host without an address is an error before.
        return (addresses.first().copied().unwrap_or(SocketAddr::from(([0, 0, 0, 0], 0))), Vec::new());
    };
    let attempts: Vec<io::Result<TcpStream>> = thread::scope(|scope| {
        let attempt = |address| move || TcpStream::connect_timeout(address, timeout.min(LONGEST));
        let running: Vec<_> = addresses.iter().map(|address| scope.spawn(attempt(address))).collect();
        running.into_iter().map(|thread| thread.join().unwrap_or(Err(io::ErrorKind::Other.into()))).collect()
    });
    let pairs = || addresses.iter().zip(&attempts);
    let chosen = pairs().find(|(_, outcome)| outcome.is_ok()).map_or(first, |(address, _)| address);
    let others = pairs().filter(|(address, _)| *address != chosen);
    (*chosen, others.map(|(address, outcome)| (*address, describe_attempt(outcome))).collect())
}

struct Run {
    /// The error is why the host has no address.
    target: Result<Target, String>,
    facts: Facts,
    settings: Settings,
    aborted: Option<Aborted>,
}

impl Run {
    fn entry(&mut self, probe: &Probe, has_time: bool, earlier: &[Entry], mut notes: Notes<'_>) -> Entry {
        let begin = Instant::now();
        let verdict =
            if has_time { self.verdict(probe, &mut notes) } else { Err(Verdict::Skipped(NO_TIME.to_owned())) };
        let outcome = match verdict {
            Ok(text) => Outcome::Passed(text),
            Err(Verdict::Skipped(reason)) => Outcome::Skipped(reason),
            Err(Verdict::Aborted(reason)) => {
                self.abort(probe, reason.clone());
                Outcome::Skipped(reason)
            }
            Err(Verdict::Failed(failure)) => {
                if matches!(failure.kind, Kind::Timeout | Kind::NoAnswer) {
                    self.settings.note_timeout();
                }
                if probe.may_lose_slots {
                    self.facts.slots = None; // later probes are measured by the slots that are left
                }
                Outcome::Failed(failure)
            }
        };
        let took = begin.elapsed();
        if let Outcome::Failed(failure) = &outcome
            && let Some(reason) = self.fatal(probe, failure)
        {
            self.abort(probe, reason);
        }
        let follows = match &outcome {
            Outcome::Failed(failure) => diagnosis::follows(earlier, probe, failure),
            _ => None,
        };
        let Notes { measures, rtts, .. } = notes;
        Entry {
            id: probe.id.clone(),
            group: probe.group,
            level: probe.level,
            requirement: probe.requirement.clone(),
            outcome,
            took,
            measures,
            rtts,
            may_lose_slots: probe.may_lose_slots,
            follows,
            frames: Vec::new(),
        }
    }

    fn abort(&mut self, probe: &Probe, reason: String) {
        self.aborted.get_or_insert_with(|| Aborted { reason, by: probe.id.clone() });
    }

    fn verdict(&mut self, probe: &Probe, notes: &mut Notes<'_>) -> Result<String, Verdict> {
        if let Some(Aborted { reason, by }) = &self.aborted {
            return Err(Verdict::Skipped(format!("{reason}: see {by}")));
        }
        let target = self.target.as_ref().map_err(|error| Failure::new(error.as_str()))?;
        if self.settings.is_interrupted() {
            return Err(Verdict::Aborted("interrupted by a signal".to_owned()));
        }
        discover(target, &mut self.facts, &self.settings, probe)
            .and_then(|()| (probe.run)(Context::new(target, &self.facts, &self.settings), notes))
            .map_err(|verdict| match verdict {
                Verdict::Failed(failure) => {
                    let context = Context::new(target, &self.facts, &self.settings);
                    let failure = segments::compare(context, *failure);
                    // Wrong bytes are not due to loss, and segments that are lost each time have another cause.
                    let is_wrong = failure.received.as_ref().is_some_and(|received| !received.is_empty());
                    let is_explained = matches!(self.settings.lost_segments.get(), Some(Some(_)));
                    let lost = loss::cause(target).filter(|_| !is_wrong && !is_explained);
                    let failure = lost.map_or(failure.clone(), |cause| failure.because(cause));
                    Verdict::Failed(with_causes(probe, Box::new(failure)))
                }
                verdict => verdict,
            })
    }

    /// Why nothing more can be checked after this probe has failed, if so.
    fn fatal(&self, probe: &Probe, failure: &Failure) -> Option<String> {
        if failure.kind == Kind::OtherProtocol {
            return Some(failure.what.to_string());
        }
        let target = self.target.as_ref().ok().filter(|_| probe.establishes != Some(Fact::Reachable));
        let Some(target) = target else { return Some("no server answers".to_owned()) };
        if probe.establishes == Some(Fact::Service) && self.facts.service.is_none() {
            return Some("it is not known which service it is".to_owned());
        }
        let is_known = self.facts.protocol.is_some();
        if probe.establishes == Some(Fact::Protocol) && !is_known {
            return Some("a plain conversation is not possible".to_owned());
        }
        let is_alive = || {
            let context = Context::new(target, &self.facts, &self.settings);
            let (mut session, _) = Session::served_with_retries(context)?;
            if is_known { session.exchange(b"alive") } else { Ok(()) }
        };
        is_alive().err()?;
        let failure: Failure = is_alive().err()?; // twice, as the network may lose packets
        let reason = match failure.kind {
            Kind::Refused | Kind::NoAnswer | Kind::Timeout => "the server does not answer any more",
            _ => "a plain conversation is not possible any more",
        };
        Some(reason.to_owned())
    }
}

/// Finds out the facts that the probe needs and that are not known yet. Then its needs are met, or it is skipped.
fn discover(target: &Target, facts: &mut Facts, settings: &Settings, probe: &Probe) -> Result<(), Verdict> {
    for need in probe.needs {
        match need.fact() {
            Some(Fact::Service) => discover_service(target, facts, settings)?,
            Some(Fact::Protocol) if facts.protocol.is_none() => {
                discover_service(target, facts, settings)?;
                facts.protocol = Some(discover::protocol(target, facts, settings)?);
                if facts.service() == Service::Echo {
                    facts.in_flight = Some(in_flight::discover(Context::new(target, facts, settings)));
                }
            }
            Some(Fact::Slots) if facts.slots.is_none() => {
                facts.slots = Some(slots::discover(Context::new(target, facts, settings))?);
            }
            _ => {}
        }
        if let Some(reason) = need.unmet(facts, settings) {
            return Err(Verdict::Skipped(reason.to_owned()));
        }
    }
    Ok(())
}

fn discover_service(target: &Target, facts: &mut Facts, settings: &Settings) -> Result<(), Verdict> {
    if facts.service.is_none() {
        facts.service = Some(discover::service(target, facts, settings)?);
    }
    Ok(())
}

/// Adds the probe's usual causes to those that the failure itself points at.
fn with_causes(probe: &Probe, mut failure: Box<Failure>) -> Box<Failure> {
    // If there is no connection, it does not matter what it was for.
    let is_about_connections = matches!(probe.group, Group::Reach | Group::Connections);
    let is_specific = failure.kind == Kind::OtherProtocol;
    if !is_specific && (is_about_connections || !matches!(failure.kind, Kind::Refused | Kind::NoAnswer)) {
        let usual = probe.causes.iter().filter(|cause| !failure.causes.iter().any(|named| named == *cause));
        let usual: Vec<String> = usual.map(|&cause| cause.to_owned()).collect();
        failure.causes.extend(usual);
    }
    failure
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn of_several_addresses_the_first_that_accepts_is_chosen_and_the_others_are_described() {
        let open = TcpListener::bind("127.0.0.1:0").unwrap();
        let other = TcpListener::bind("127.0.0.1:0").unwrap();
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let [open, other] = [&open, &other].map(|listener| listener.local_addr().unwrap());
        let (chosen, others) = choose(&[closed, open, other], Duration::from_secs(10));
        let expected = [(closed, "refuses connections".to_owned()), (other, "accepts connections".to_owned())];
        assert_eq!((chosen, others), (open, expected.to_vec()));
        assert_eq!(choose(&[closed], Duration::from_secs(10)), (closed, Vec::new()));
    }
}
