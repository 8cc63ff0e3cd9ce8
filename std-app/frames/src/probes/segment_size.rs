//! TCP, the length of segments.

use super::window::loaded;
use crate::{
    host::Host,
    probe::{Group, Level, Probe, Stop, require},
};

pub(super) const PROBES: &[Probe] = &[
    Probe::new(
        Group::Tcp,
        "mss-honoured",
        (Level::Must, "RFC 9293, MUST-16"),
        "segments are not longer than the peer's maximum segment size",
        &["the option of the SYN is not stored"],
        |host| segment_limit(host, Some(100), 100),
    )
    .quick(),
    Probe::new(
        Group::Tcp,
        "mss-default",
        (Level::Must, "RFC 9293, MUST-15"),
        "without the option segments have at most 536 bytes, with IPv6 1220",
        &["the default is the MTU of the link: long packets vanish in tunnels"],
        |host| segment_limit(host, None, if host.board.address.is_ipv4() { 536 } else { 1220 }),
    ),
];

fn segment_limit(host: &Host<'_>, mss: Option<u16>, limit: usize) -> Result<String, Stop> {
    // Two segments and a half.
    let lines = (limit * 5 / 2).div_ceil(host.board.service.reply.max(1));
    let connection = loaded(host, mss, lines)?;
    let mut longest = 0;
    while let Some((_, tcp)) = connection.receive(host.board.quiet_time(), |tcp| !tcp.payload.is_empty())? {
        longest = longest.max(tcp.payload.len());
        connection.take(&tcp);
        connection.acknowledge()?;
    }
    require(longest <= limit, || format!("a segment has {longest} bytes, and at most {limit} are allowed"))?;
    if longest < limit / 3 {
        return Err(Stop::undecided(format!("its longest segment has {longest} bytes: its buffers are too small")));
    }
    Ok(format!("the longest has {longest} bytes"))
}
