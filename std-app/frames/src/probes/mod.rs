//! The probes, a file for each subject.

mod abuse;
mod arp;
mod closing;
mod data;
mod echo;
mod framing;
mod icmp;
mod ip;
mod ndp;
mod opening;
mod passive;
mod timers;

use crate::{
    host::Host,
    probe::{Group, Level, Probe, Stop},
};

/// All probes, in the order in which they are reported.
#[must_use]
pub fn all() -> Vec<Probe> {
    let mut probes = [
        arp::PROBES,
        ndp::PROBES,
        framing::PROBES,
        ip::PROBES,
        echo::PROBES,
        icmp::PROBES,
        opening::PROBES,
        data::PROBES,
        timers::PROBES,
        closing::PROBES,
        abuse::PROBES,
        passive::PROBES,
    ]
    .concat();
    probes.sort_by_key(|probe| probe.group); // stable
    probes
}

/// A probe of TCP.
const fn tcp(
    name: &'static str,
    level: (Level, &'static str),
    requirement: &'static str,
    causes: &'static [&'static str],
    run: fn(&Host<'_>) -> Result<String, Stop>,
) -> Probe {
    Probe::new(Group::Tcp, name, level, requirement, causes, run)
}
