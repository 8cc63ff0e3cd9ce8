//! Fragments of IP packets.

use crate::{
    frame::Frame,
    host::Host,
    ip::{Ip, MORE_FRAGMENTS, protocol},
    probe::{Group, Level, Probe, Schedule, Stop, Versions, require},
};

pub(super) const PROBES: &[Probe] = &[
    Probe::new(
        Group::Ip,
        "fragments",
        (Level::Must, "RFC 1122, 3.3.2"),
        "a packet in three fragments is put together",
        &["there is no reassembly: what a tunnel fragments is lost"],
        |host| fragmented(host, &[0, 1, 2]),
    )
    .only(Versions::V4),
    Probe::new(
        Group::Ip,
        "fragments-reordered",
        (Level::Must, "RFC 791, 3.2"),
        "fragments that come in another order are put together",
        &["fragments are appended in the order in which they come"],
        |host| fragmented(host, &[2, 0, 1]),
    )
    .only(Versions::V4),
    Probe::new(
        Group::Ip,
        "fragments-repeated",
        (Level::Must, "RFC 791, 3.2"),
        "a fragment that comes twice does no harm",
        &["the bytes of fragments are counted instead of marked: the packet has a hole"],
        |host| fragmented(host, &[0, 0, 1, 1, 2]),
    )
    .only(Versions::V4),
    Probe::new(
        Group::Ip,
        "fragment-alone",
        (Level::Must, "RFC 791, 3.2"),
        "a fragment without the others is not answered, and is not taken for a whole packet",
        &["the fragment offset is not looked at"],
        fragment_alone,
    )
    .only(Versions::V4),
    Probe::new(
        Group::Ip,
        "fragments-incomplete",
        (Level::Must, "RFC 1122, 3.3.2"),
        "fifty incomplete packets do not prevent others",
        &["all memory is held by incomplete packets until their timeout"],
        incomplete,
    )
    .only(Versions::V4)
    .scheduled(Schedule::Alone),
    Probe::new(
        Group::Ip,
        "fragments-overlap",
        (Level::Must, "RFC 791, 3.2; RFC 1858, 3"),
        "of fragments that overlap no packet is made that is longer, or has bytes that none of them had",
        &["the length of overlapping fragments is counted twice: memory is written or read behind the packet"],
        overlap,
    )
    .only(Versions::V4),
    Probe::new(
        Group::Ip,
        "fragment-header",
        (Level::Must, "RFC 8200, 4.5"),
        "an IPv6 packet in three fragments is put together, in any order",
        &["there is no reassembly: the packet is answered by a parameter problem"],
        |host| {
            fragmented(host, &[0, 1, 2])?;
            fragmented(host, &[2, 0, 1])
        },
    )
    .only(Versions::V6),
    Probe::new(
        Group::Ip,
        "fragment-atomic",
        (Level::Must, "RFC 6946, 4; RFC 8200, 4.5"),
        "an IPv6 fragment that is a whole packet is accepted",
        &["a fragment header is not skipped although nothing is missing"],
        atomic,
    )
    .only(Versions::V6),
    Probe::new(
        Group::Ip,
        "fragment-header-overlap",
        (Level::Must, "RFC 5722, 4; RFC 8200, 4.5"),
        "IPv6 fragments that overlap are discarded",
        &["the last or the first bytes are taken: a filter on the way has seen others"],
        overlap_v6,
    )
    .only(Versions::V6),
];

/// The fragments of an echo request.
pub(super) fn fragments(host: &Host<'_>, sequence: u16) -> [Ip; 3] {
    const PIECE: usize = 64;
    let whole = host.echo_packet(sequence, &[0x66; 3 * PIECE - 8 - 20]);
    [0, 1, 2].map(|index| {
        let mut piece = whole.clone();
        let bytes = whole.payload.get(index * PIECE..).unwrap_or_default();
        piece.payload = bytes.get(..PIECE).unwrap_or(bytes).to_vec();
        piece.fragment = u16::try_from(index * PIECE / 8).unwrap_or_default();
        if index < 2 {
            piece.fragment |= MORE_FRAGMENTS;
        }
        piece
    })
}

pub(super) fn fragmented(host: &Host<'_>, order: &[usize]) -> Result<String, Stop> {
    let pieces = fragments(host, 1);
    for piece in order.iter().filter_map(|&index| pieces.get(index)) {
        send_fragment(host, piece)?;
    }
    let Some(reply) = host.echo_reply(1, host.board.reply_time())? else {
        return Err(Stop::failed("the packet is not answered"));
    };
    let length = pieces.iter().map(|piece| piece.payload.len()).sum();
    let received = reply.ip().map_or(0, |ip| ip.payload.len());
    require(received == length, || format!("{length} bytes were sent, and {received} came back"))?;
    Ok("answered".to_owned())
}

fn fragment_alone(host: &Host<'_>) -> Result<String, Stop> {
    let [first, _, last] = fragments(host, 1);
    host.send_ip(&first)?;
    host.expect_no_reply(1, "the first fragment alone")?;
    // The last one looks like a whole message, but for its offset.
    let mut last = Ip { payload: host.echo_packet(2, &[0x66; 32]).payload, ..last };
    last.identification ^= 1;
    host.send_ip(&last)?;
    host.expect_no_reply(2, "the last fragment alone")?;
    host.expect_echo("afterwards")?;
    Ok("not answered".to_owned())
}

fn incomplete(host: &Host<'_>) -> Result<String, Stop> {
    for number in 0..50 {
        let [first, ..] = fragments(host, 1);
        host.send_ip(&Ip { identification: number, ..first })?;
        if number % 10 == 9 {
            host.wait(host.board.rtt * 2)?;
        }
    }
    host.expect_echo("after 50 incomplete packets")?;
    let whole = fragmented(host, &[0, 1, 2]).is_ok();
    Ok(if whole { "others are answered, fragmented ones too" } else { "others are answered" }.to_owned())
}

/// Fragments of which the second one begins 8 bytes before the end of the first, with other bytes.
fn overlapping(host: &Host<'_>, sequence: u16) -> [Ip; 3] {
    let [first, second, last] = fragments(host, sequence);
    let mut payload = vec![0x67; 8];
    payload.extend(&second.payload);
    [first, Ip { payload, fragment: second.fragment - 1, ..second }, last]
}

fn overlap(host: &Host<'_>) -> Result<String, Stop> {
    let pieces = overlapping(host, 1);
    let length = pieces.iter().map(|piece| piece.payload.len()).sum::<usize>() - 8;
    for piece in pieces {
        host.send_ip(&piece)?;
    }
    let reply = host.echo_reply(1, host.board.quiet_time())?;
    host.expect_echo("after fragments that overlap")?;
    let Some(payload) = reply.as_ref().and_then(Frame::ip).map(|ip| &ip.payload) else {
        return Ok("discarded".to_owned());
    };
    require(payload.len() == length, || format!("{length} bytes were sent, and {} came back", payload.len()))?;
    let foreign = payload.iter().skip(8).find(|byte| !matches!(byte, 0x66 | 0x67));
    require(foreign.is_none(), || format!("the reply has a byte that was not sent: {:02x?}", foreign))?;
    Ok("put together".to_owned())
}

/// The packet behind an IPv6 fragment header. Its offset and flag are those of [`Ip::fragment`].
fn with_fragment_header(packet: &Ip) -> Ip {
    let mut payload = vec![packet.protocol, 0];
    let more = u16::from(packet.fragment & MORE_FRAGMENTS != 0);
    payload.extend(((packet.fragment & 0x1fff) << 3 | more).to_be_bytes());
    payload.extend([0x67, 0x72]);
    payload.extend(packet.identification.to_be_bytes());
    payload.extend(&packet.payload);
    Ip { protocol: protocol::FRAGMENT, payload, ..packet.clone() }
}

/// Sends a fragment with the header of its IP version.
pub(super) fn send_fragment(host: &Host<'_>, piece: &Ip) -> Result<(), Stop> {
    if piece.source.is_ipv4() { host.send_ip(piece) } else { host.send_ip(&with_fragment_header(piece)) }
}

fn atomic(host: &Host<'_>) -> Result<String, Stop> {
    host.send_ip(&with_fragment_header(&host.echo_packet(1, &[0x66; 40])))?;
    require(host.echo_reply(1, host.board.reply_time())?.is_some(), || "it is not answered".to_owned())?;
    Ok("answered".to_owned())
}

fn overlap_v6(host: &Host<'_>) -> Result<String, Stop> {
    if fragmented(host, &[0, 1, 2]).is_err() {
        return Err(Stop::undecided("it does not put fragments together"));
    }
    for piece in overlapping(host, 2) {
        send_fragment(host, &piece)?;
    }
    host.expect_no_reply(2, "a packet of fragments that overlap")?;
    host.expect_echo("afterwards")?;
    Ok("discarded".to_owned())
}
