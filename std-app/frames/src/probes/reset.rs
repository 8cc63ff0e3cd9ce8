//! TCP, resets and SYNs for an open connection (RFC 5961).

use crate::{
    board::LINE,
    connection::Connection,
    host::Host,
    probe::{Group, Level, Probe, Stop, require},
    tcp::{Tcp, flags},
};

pub(super) const PROBES: &[Probe] = &[
    Probe::new(
        Group::Tcp,
        "rst-exact",
        (Level::Must, "RFC 5961, 3.2; RFC 9293, 3.10.7.4"),
        "a reset at the expected byte ends the connection",
        &["the slot is held until a timeout"],
        rst_exact,
    )
    .quick(),
    Probe::new(
        Group::Tcp,
        "rst-in-window",
        (Level::Must, "RFC 5961, 3.2"),
        "a reset elsewhere in the window is answered by a challenge ACK, and does not end the connection",
        &["any reset within the window is accepted: whoever guesses the ports ends connections"],
        rst_in_window,
    )
    .quick(),
    Probe::new(
        Group::Tcp,
        "rst-outside",
        (Level::Must, "RFC 9293, 3.10.7.4"),
        "a reset outside the window is ignored",
        &["the sequence number of a reset is not looked at"],
        rst_outside,
    ),
    Probe::new(
        Group::Tcp,
        "syn-in-window",
        (Level::Must, "RFC 5961, 4.2"),
        "a SYN within a connection is answered by a challenge ACK, and does not end it",
        &["it is ignored: a peer that was restarted cannot connect", "it resets the connection: anyone can"],
        syn_in_window,
    ),
];

fn rst_exact(host: &Host<'_>) -> Result<String, Stop> {
    let connection = host.connect()?;
    host.clear();
    connection.send_with(|segment| segment.flags = flags::RST)?;
    host.wait(host.board.quiet_time())?;
    connection.send_with(|segment| segment.payload = LINE.to_vec())?;
    match connection.reply(|_| true)? {
        Some((_, tcp)) if tcp.has(flags::RST) => Ok("ended".to_owned()),
        Some((_, tcp)) => Err(Stop::failed(format!("data after the reset is answered by {tcp}"))),
        None => Err(Stop::failed("data after the reset is not answered by a reset")),
    }
}

/// Sends a segment with these flags at a distance from the expected byte. Returns the answer.
fn challenged(host: &Host<'_>, connection: &Connection<'_, '_>, flags: u8, distance: u32) -> Result<Option<Tcp>, Stop> {
    host.clear();
    connection.send_with(|segment| {
        segment.flags = flags;
        segment.sequence = segment.sequence.wrapping_add(distance);
    })?;
    Ok(connection.receive(host.board.quiet_time() * 2, |_| true)?.map(|(_, tcp)| tcp))
}

fn rst_in_window(host: &Host<'_>) -> Result<String, Stop> {
    let connection = host.connect()?;
    let answer = challenged(host, &connection, flags::RST, 10)?;
    connection.is_alive("a reset 10 bytes beyond the expected byte")?;
    let Some(answer) = answer else { return Err(Stop::failed("the connection stays, but there is no challenge ACK")) };
    require(answer.flags == flags::ACK && answer.acknowledgement == connection.next.get().wrapping_sub(6), || {
        format!("it is answered by {answer}")
    })?;
    Ok("a challenge ACK".to_owned())
}

fn rst_outside(host: &Host<'_>) -> Result<String, Stop> {
    let connection = host.connect()?;
    for distance in [1 << 20, 1 << 31, u32::MAX] {
        challenged(host, &connection, flags::RST, distance)?;
        connection.is_alive(&format!("a reset at a distance of {distance}"))?;
    }
    Ok("ignored".to_owned())
}

fn syn_in_window(host: &Host<'_>) -> Result<String, Stop> {
    let connection = host.connect()?;
    let answer = challenged(host, &connection, flags::SYN, 10)?;
    connection.is_alive("a SYN in the window")?;
    match answer {
        Some(tcp) if tcp.flags == flags::ACK => Ok("a challenge ACK".to_owned()),
        Some(tcp) => Err(Stop::failed(format!("it is answered by {tcp}"))),
        None => Err(Stop::failed("the connection stays, but there is no challenge ACK")),
    }
}
