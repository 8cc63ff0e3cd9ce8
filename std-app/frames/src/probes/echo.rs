//! Echo: whether the board answers echo requests of every length, and only valid ones.

use crate::{
    frame::Frame,
    host::Host,
    messages,
    probe::{Group, Level, Probe, Stop, require},
};

pub(super) const PROBES: &[Probe] = &[
    Probe::new(
        Group::Icmp,
        "echo-lengths",
        (Level::Must, "RFC 1122, 3.2.2.6; RFC 4443, 4.2"),
        "echo requests of chosen lengths up to the longest frame are answered with the same bytes",
        LENGTH_CAUSES,
        |host| lengths(host, (0..=64).chain([127, 128, 129, 255, 256, 511, 512, 513, 1023, 1024, 1025, 1471, 1472])),
    )
    .quick(),
    Probe::new(
        Group::Icmp,
        "echo-every-length",
        (Level::Must, "RFC 1122, 3.2.2.6; RFC 4443, 4.2"),
        "echo requests of every length up to the longest frame are answered with the same bytes",
        LENGTH_CAUSES,
        |host| lengths(host, 0..=1472),
    )
    .waits(4),
    Probe::new(
        Group::Icmp,
        "echo-checksum",
        (Level::Must, "RFC 792; RFC 4443, 2.3"),
        "an echo request with a wrong checksum is not answered",
        &["the checksum of ICMP is not verified: the driver says that the card does it, and the card does not"],
        checksum,
    )
    .quick(),
    Probe::new(
        Group::Icmp,
        "echo-odd-checksum",
        (Level::Must, "RFC 1071"),
        "the checksum of an echo request with an odd length covers its last byte",
        &["the last byte of an odd length is left out of the checksum, or counted in the wrong half of the word"],
        odd_checksum,
    )
    .quick(),
    Probe::new(
        Group::Icmp,
        "echo-burst",
        (Level::Should, "RFC 1122, 3.2.2.6"),
        "four echo requests that arrive at once are all answered",
        &["the card has too few receive or transmit descriptors, or one interrupt handles one frame"],
        burst,
    ),
    Probe::new(
        Group::Icmp,
        "echo-reply-ignored",
        (Level::Must, "RFC 792; RFC 4443, 4.2"),
        "an echo reply that nobody asked for is not answered",
        &["the type of an ICMP message is not looked at"],
        reply_ignored,
    ),
];

const LENGTH_CAUSES: &[&str] = &[
    "the receive path loses frames of some lengths: look at the driver's descriptors and its maximum length",
    "the transmit path loses the last bytes: a length that is not a multiple of 4",
];

/// The data of a request: each byte depends on its offset.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| u8::try_from(at * 7 % 251).unwrap_or_default()).collect()
}

fn data_of(frame: &Frame) -> &[u8] {
    frame.ip().and_then(|ip| ip.payload.get(8..)).unwrap_or_default()
}

fn lengths(host: &Host<'_>, lengths: impl Iterator<Item = usize>) -> Result<String, Stop> {
    let longest = if host.board.address.is_ipv4() { 1472 } else { 1452 };
    let mut count = 0;
    for length in lengths.filter(|&length| length <= longest) {
        count += 1;
        let data = pattern(length);
        // Distinguishes lost frames from frames of a length that is never answered.
        let mut reply = None;
        for attempt in 0..2 {
            reply = reply.or(host.echo(count | attempt << 14, &data, host.board.reply_time())?);
        }
        let Some(reply) = reply else {
            return Err(Stop::failed(format!("no reply to an echo request with {length} bytes")));
        };
        let received = data_of(&reply);
        require(received == data, || {
            let offset = received.iter().zip(&data).position(|(received, sent)| received != sent);
            let offset = offset.map_or_else(String::new, |offset| format!(", byte {offset} is wrong"));
            format!("{length} bytes were sent and {} came back{offset}", received.len())
        })?;
    }
    Ok(format!("{count} lengths up to {longest} bytes"))
}

fn checksum(host: &Host<'_>) -> Result<String, Stop> {
    not_answered_if_changed(host, 32, 14)
}

fn odd_checksum(host: &Host<'_>) -> Result<String, Stop> {
    not_answered_if_changed(host, 33, 8 + 32)
}

/// One byte of a request with this many bytes is changed after its checksum was computed.
fn not_answered_if_changed(host: &Host<'_>, length: usize, offset: usize) -> Result<String, Stop> {
    let mut ip = host.echo_packet(1, &pattern(length));
    if let Some(byte) = ip.payload.get_mut(offset) {
        *byte ^= 0x10;
    }
    host.send_ip(&ip)?;
    host.expect_no_reply(1, "it")?;
    require(host.echo(2, &pattern(length), host.board.reply_time())?.is_some(), || {
        "a valid echo request of the same length is not answered".to_owned()
    })?;
    Ok("not answered".to_owned())
}

fn burst(host: &Host<'_>) -> Result<String, Stop> {
    const COUNT: u16 = 4;
    for sequence in 0..COUNT {
        host.send_ip(&host.echo_packet(sequence, &pattern(56)))?;
    }
    let mut replies = 0;
    for sequence in 0..COUNT {
        replies += u16::from(host.echo_reply(sequence, host.board.reply_time())?.is_some());
    }
    require(replies == COUNT, || format!("{replies} of {COUNT} requests are answered"))?;
    Ok(format!("{COUNT} replies"))
}

fn reply_ignored(host: &Host<'_>) -> Result<String, Stop> {
    let kind = messages::echo_reply_kind(host.board.address);
    host.send_icmp(messages::icmp(kind, 0, &[0x67, 0x72, 0, 9, 1, 2, 3, 4]))?;
    let answer = host.receive(host.board.quiet_time(), |frame| {
        frame.ip().is_some_and(|ip| ip.destination == host.identity().address)
            && frame.tcp().is_none()
            && frame.icmp(messages::kind::SOLICITATION).is_none()
    })?;
    require(answer.is_none(), || "it is answered".to_owned())?;
    host.expect_echo("after an echo reply")?;
    Ok("not answered".to_owned())
}
