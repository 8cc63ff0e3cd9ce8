//! `greet check --interface`: the probes of `greet-frames` instead of those of the service, with the same results.

use core::net::IpAddr;
use std::{
    fs::File,
    io::{self, BufWriter},
    path::PathBuf,
    sync::Arc,
    time::SystemTime,
};

use greet_frames::{
    board::{Board, UnusedAddresses},
    discover::{DiscoveryError, discover},
    host::{Identity, Traced, lines},
    offloads::offloads,
    packet_socket::{Interface, InterfaceError, prefix},
    pcapng,
    probe::{self, Probe, Stop},
    probes,
    run::{self, Examined, Verdict, applies},
    sources::{HOSTS, free_addresses, identities, unusable},
    tcp::flags,
};
use greet_host::{client::HostPort, exit, resolve::addresses, stop::Stop as StopOnSignal, values::Limit};
use thiserror::Error;

use super::{
    entry::{Entry, Outcome},
    facts::Facts,
    failure::Failure,
    options::CheckOptions,
    probe::{Group, Level, Listed},
    record::{Aborted, Record, Subject},
    selection::Selection,
    settings::Settings,
    target::Target,
};
use crate::export::text::check::List;

/// Why the frames cannot be tested.
#[derive(Debug, Error)]
pub(crate) enum FramesError {
    #[error("{0}")]
    Address(String),
    #[error("{0}")]
    Interface(#[from] InterfaceError),
    #[error("{0}")]
    Discovery(#[from] DiscoveryError),
    #[error("the subnet of {0} has no free address: give one with --source ADDRESS")]
    NoSource(IpAddr),
    #[error("--source {0} {1}: give the address of another host on the link of {2}, which nobody has")]
    Source(IpAddr, &'static str, IpAddr),
    #[error("--source {0} is given twice: each host has an address of its own")]
    SourceTwice(IpAddr),
    #[error("--only and --skip leave no probe to run for {0}; `greet check --interface NAME --list` lists them")]
    NoProbe(IpAddr),
    #[error("the link failed: {0}")]
    Link(String),
    #[error("cannot write `{}` ({error}): give a file in a folder that you can write to", path.display())]
    Pcap { path: PathBuf, error: io::Error },
}

impl FramesError {
    /// The exit status.
    pub(super) const fn status(&self) -> u8 {
        match self {
            Self::Source(..) | Self::SourceTwice(_) | Self::NoProbe(_) => exit::USAGE,
            Self::Pcap { .. } => exit::FILE,
            _ => exit::FAILURE,
        }
    }
}

/// How many frames of a failed probe are shown.
const SHOWN: usize = 14;

/// The ids of all probes.
pub(super) fn ids() -> Vec<String> {
    probes::all().iter().map(Probe::id).collect()
}

/// All probes, for `--list`.
pub(super) fn list() -> Vec<Listed> {
    let listed = |probe: &Probe| Listed {
        id: probe.id(),
        group: group(probe.group),
        level: level(probe.level),
        service: None,
        requirement: requirement(probe),
    };
    probes::all().iter().map(listed).collect()
}

/// Runs the selected probes on this interface.
pub(super) fn run(
    interface: &str,
    host: &HostPort,
    selection: &Selection,
    options: &CheckOptions,
    stop: Option<Arc<StopOnSignal>>,
    list: &List,
) -> Result<Record, FramesError> {
    let found = addresses(host, options.ip, Limit(Some(options.timeout)));
    let found = found.map_err(|error| FramesError::Address(error.to_string()))?;
    let Some(&address) = found.first() else { return Err(FramesError::NoSource([0, 0, 0, 0].into())) };
    check_sources(&options.source, address.ip())?;
    let pcap = options.pcap.as_ref().map(|path| {
        let created = File::create(path).map_err(|error| FramesError::Pcap { path: path.clone(), error });
        created.map(|file| (path, file))
    });
    let pcap = pcap.transpose()?;
    let start = SystemTime::now();
    let medium = Interface::open(interface)?;
    let offloads = offloads(interface);
    if !offloads.is_empty() {
        list.line(&format!(
            "{interface} has offloads ({}): it may merge or change frames. Switch them off: `ethtool -K {interface} {}`",
            offloads.join(", "),
            offloads.iter().map(|name| format!("{name} off")).collect::<Vec<_>>().join(" ")
        ));
    }
    let (hosts, unused) = sources(&medium, interface, address.ip(), &options.source)?;
    let Some(&first) = hosts.first() else { return Err(FramesError::NoSource(address.ip())) };
    let board = Board { unused, ..discover(&medium, first, address.ip(), address.port())? };
    let settings = Settings::new(options, stop);
    let is_selected = |probe: &Probe| {
        let is_allowed = !probe.long || options.long;
        let is_wanted = probe.quick || !options.quick;
        selection.selects(&probe.id()) && is_allowed && is_wanted && applies(probe, address.ip())
    };
    let selected: Vec<Probe> = probes::all().into_iter().filter(is_selected).collect();
    if selected.is_empty() {
        return Err(FramesError::NoProbe(address.ip()));
    }
    list.line(&format!(
        "{} is at {}; {} hosts from {} on test it, {} probes",
        board.address,
        board.mac,
        hosts.len().min(board.slots.saturating_sub(1).max(1)),
        first.address,
        selected.len()
    ));
    let target = Target::new(address);
    let mut done = 0;
    let mut aborted = None;
    let results = run::run(&medium, &board, &hosts, &selected, &mut |examined| {
        done += 1;
        count(&target, &examined.trace);
        list.begin(&examined.probe.id());
        list.progress(done, selected.len() as u64);
        list.entry(&entry(examined));
        let reason = match &examined.verdict {
            Verdict::Dead(what) => format!("the board does not answer any more: {what}"),
            Verdict::LinkFailed(what) => format!("the link failed: {what}"),
            _ if settings.is_interrupted() => "interrupted by a signal".to_owned(),
            _ => return true,
        };
        aborted.get_or_insert(Aborted { reason, by: examined.probe.id() });
        false
    });
    let is_lossy = |examined: &Examined| matches!(examined.verdict, Verdict::Lossy(_));
    if let Ok(lossy) = results.as_ref().map(|results| results.iter().filter(|examined| is_lossy(examined)).count())
        && (board.is_lossy || lossy > 0)
    {
        list.line(&format!(
            "The link loses frames, so {lossy} probes could not be decided: look at the cable, the switch port (duplex), and the \
             error counters of {interface} and of the board (`ip -s link`)"
        ));
    }
    let mut results = results.map_err(|error| FramesError::Link(error.to_string()))?;
    if let Some((path, file)) = pcap {
        let written = pcapng::write(BufWriter::new(file), start, &results);
        written.map_err(|error| FramesError::Pcap { path: path.clone(), error })?;
    }
    let position = |id: &str| selected.iter().position(|probe| probe.id() == id);
    results.sort_by_key(|examined| position(&examined.probe.id()));
    let entries = results.iter().map(entry).collect();
    let subject = Subject::new(host.to_string(), Some(&target), &Facts::default());
    Ok(Record::new(subject, entries, aborted))
}

/// Whether these addresses can be those of the hosts.
fn check_sources(given: &[IpAddr], target: IpAddr) -> Result<(), FramesError> {
    for (index, &source) in given.iter().enumerate() {
        if let Some(why) = unusable(source, target) {
            return Err(FramesError::Source(source, why, target));
        }
        if given.iter().take(index).any(|&other| other == source) {
            return Err(FramesError::SourceTwice(source));
        }
    }
    Ok(())
}

/// The hosts to play: with the addresses that the user gave, or with free ones.
fn sources(
    medium: &Interface,
    interface: &str,
    target: IpAddr,
    given: &[IpAddr],
) -> Result<(Vec<Identity>, UnusedAddresses), FramesError> {
    if !given.is_empty() {
        let rest = given.get(HOSTS..).unwrap_or_default();
        return Ok((identities(given), UnusedAddresses::new(rest.to_vec())));
    }
    let prefix = match target {
        IpAddr::V4(target) => prefix(interface, target).unwrap_or(24),
        IpAddr::V6(_) => 64,
    };
    let free = free_addresses(medium, target, prefix).map_err(|stop| match stop {
        Stop::Link(error) => FramesError::Link(error.to_string()),
        Stop::Failed(what) | Stop::Undecided(what) => FramesError::Link(what),
    })?;
    let rest = free.get(HOSTS..).unwrap_or_default();
    Ok((identities(&free), UnusedAddresses::new(rest.to_vec())))
}

fn count(target: &Target, trace: &[Traced]) {
    for Traced { sent, frame } in trace {
        target.count_bytes(frame.bytes.len());
        if *sent && frame.tcp().is_some_and(|tcp| tcp.has(flags::SYN)) {
            target.count_connection();
        }
    }
}

fn entry(examined: &Examined) -> Entry {
    let probe = &examined.probe;
    let outcome = match &examined.verdict {
        Verdict::Passed(text) => Outcome::Passed(text.clone()),
        Verdict::Failed(what) => {
            let causes = probe.causes.iter().map(|&cause| cause.to_owned()).collect();
            Outcome::Failed(Box::new(Failure { causes, ..Failure::new(what.as_str()) }))
        }
        Verdict::Undecided(why) => Outcome::Skipped(format!("not decidable: {why}")),
        Verdict::Lossy(what) => Outcome::Skipped(format!("lossy link: {what}")),
        Verdict::Dead(what) | Verdict::LinkFailed(what) => Outcome::Skipped(what.clone()),
    };
    let is_failed = matches!(outcome, Outcome::Failed(_));
    Entry {
        id: probe.id(),
        group: group(probe.group),
        level: level(probe.level),
        requirement: requirement(probe),
        outcome,
        took: examined.took,
        measures: Vec::new(),
        rtts: Vec::new(),
        may_lose_slots: false,
        follows: None,
        frames: if is_failed { lines(&examined.trace, SHOWN) } else { Vec::new() },
    }
}

fn requirement(probe: &Probe) -> String {
    format!("{} ({})", probe.requirement, probe.clause)
}

const fn group(group: probe::Group) -> Group {
    match group {
        probe::Group::Link => Group::Link,
        probe::Group::Ip => Group::Ip,
        probe::Group::Icmp => Group::Icmp,
        probe::Group::Tcp => Group::Tcp,
    }
}

const fn level(level: probe::Level) -> Level {
    match level {
        probe::Level::Must => Level::Must,
        probe::Level::Should => Level::Should,
        probe::Level::May => Level::May,
    }
}
