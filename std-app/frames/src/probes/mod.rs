//! The probes, a file for each subject.

mod abuse;
mod acknowledgement;
mod arp;
mod closed_port;
mod closing;
mod data;
mod echo;
mod extension;
mod fragments;
mod framing;
mod half_open;
mod icmp;
mod ip;
mod ndp;
mod neighbors;
mod opening;
mod options;
mod passive;
mod path_mtu;
mod reset;
mod retransmission;
mod routers;
mod segment_size;
mod silly_window;
mod time_wait;
mod window;

use crate::probe::Probe;

/// All probes, in the order in which they are reported.
#[must_use]
pub fn all() -> Vec<Probe> {
    let mut probes = [
        arp::PROBES,
        ndp::PROBES,
        neighbors::PROBES,
        routers::PROBES,
        framing::PROBES,
        ip::PROBES,
        fragments::PROBES,
        extension::PROBES,
        echo::PROBES,
        icmp::PROBES,
        path_mtu::PROBES,
        opening::PROBES,
        options::PROBES,
        closed_port::PROBES,
        half_open::PROBES,
        data::PROBES,
        acknowledgement::PROBES,
        reset::PROBES,
        retransmission::PROBES,
        window::PROBES,
        silly_window::PROBES,
        segment_size::PROBES,
        closing::PROBES,
        time_wait::PROBES,
        abuse::PROBES,
        passive::PROBES,
    ]
    .concat();
    probes.sort_by_key(|probe| probe.group); // stable
    probes
}
