//! IP: headers of both versions, options and extension headers, fragments, and addresses that no host has.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::{
    frame::Frame,
    host::Host,
    ip::{Ip, MORE_FRAGMENTS, array, fill_header_checksum, fill_transport_checksum, protocol, set_word, word},
    messages::{self, kind},
    probe::{Group, Level, Probe, Schedule, Stop, Versions, require},
    tcp::Tcp,
};

const fn ip(
    name: &'static str,
    level: (Level, &'static str),
    requirement: &'static str,
    causes: &'static [&'static str],
    run: fn(&Host<'_>) -> Result<String, Stop>,
) -> Probe {
    Probe::new(Group::Ip, name, level, requirement, causes, run)
}

pub(super) const PROBES: &[Probe] = &[
    ip(
        "header-checksum",
        (Level::Must, "RFC 1122, 3.2.1.2"),
        "a packet with a wrong header checksum is discarded",
        &["the driver says that the card verifies checksums, and the card does not"],
        |host| discarded(host, |bytes| change_word(bytes, 10, |sum| sum ^ 0x1111), false),
    )
    .only(Versions::V4)
    .quick(),
    ip(
        "version",
        (Level::Must, "RFC 1122, 3.2.1.1; RFC 8200, 3"),
        "a packet whose version is not that of its frame is discarded",
        &["the version is taken from the type of the frame alone"],
        |host| discarded(host, |bytes| set_first(bytes, |first| first & 15 | 0x50), true),
    ),
    ip(
        "header-length",
        (Level::Must, "RFC 791, 3.1"),
        "packets whose header length is less than 20 or beyond the packet are discarded",
        &["the header length is not compared with the lengths of the packet and the frame"],
        |host| {
            discarded(host, |bytes| set_first(bytes, |first| first & 0xf0 | 4), true)?;
            discarded(host, |bytes| set_first(bytes, |first| first | 15), true)
        },
    )
    .only(Versions::V4),
    ip(
        "total-length",
        (Level::Must, "RFC 791, 3.1; RFC 8200, 3"),
        "packets that are longer than their frame, or shorter than their header, are discarded",
        &["the length in the header is not compared with what was received: memory behind it is read"],
        total_length,
    )
    .quick(),
    ip(
        "options",
        (Level::Must, "RFC 1122, 3.2.1.8"),
        "a packet with options is accepted",
        &["the payload is looked for 20 bytes behind the start of the header"],
        |host| options(host, &[1, 1, 1, 0]),
    )
    .only(Versions::V4),
    ip(
        "options-malformed",
        (Level::Must, "RFC 1122, 3.2.1.8"),
        "options with illegal lengths do no harm",
        &["the length of an option is not compared with what is left of the header"],
        malformed_options,
    )
    .only(Versions::V4),
    ip(
        "ttl-one",
        (Level::Must, "RFC 1122, 3.2.1.7"),
        "a packet whose TTL is 1 is accepted",
        &["the TTL is decreased before the destination is looked at"],
        |host| answered(host, |ip| ip.ttl = 1),
    ),
    ip(
        "fragments",
        (Level::Must, "RFC 1122, 3.3.2"),
        "a packet in three fragments is put together",
        &["there is no reassembly: what a tunnel fragments is lost"],
        |host| fragmented(host, &[0, 1, 2]),
    )
    .only(Versions::V4),
    ip(
        "fragments-reordered",
        (Level::Must, "RFC 791, 3.2"),
        "fragments that come in another order are put together",
        &["fragments are appended in the order in which they come"],
        |host| fragmented(host, &[2, 0, 1]),
    )
    .only(Versions::V4),
    ip(
        "fragments-repeated",
        (Level::Must, "RFC 791, 3.2"),
        "a fragment that comes twice does no harm",
        &["the bytes of fragments are counted instead of marked: the packet has a hole"],
        |host| fragmented(host, &[0, 0, 1, 1, 2]),
    )
    .only(Versions::V4),
    ip(
        "fragment-alone",
        (Level::Must, "RFC 791, 3.2"),
        "a fragment without the others is not answered, and is not taken for a whole packet",
        &["the fragment offset is not looked at"],
        fragment_alone,
    )
    .only(Versions::V4),
    ip(
        "fragments-incomplete",
        (Level::Must, "RFC 1122, 3.3.2"),
        "fifty incomplete packets do not prevent others",
        &["all memory is held by incomplete packets until their timeout"],
        incomplete,
    )
    .only(Versions::V4)
    .scheduled(Schedule::Alone),
    ip(
        "source-group",
        (Level::Must, "RFC 1122, 3.2.1.3; RFC 4443, 2.4"),
        "packets from a broadcast address, a group or the loopback network are discarded",
        &["the source address is not checked: one packet makes the board send to everybody"],
        source_group,
    ),
    ip(
        "source-own",
        (Level::Must, "RFC 1122, 3.2.1.3"),
        "a SYN from the board's own address and port does no harm",
        &["the stack answers itself for ever (LAND attack)"],
        source_own,
    ),
    ip(
        "destination-other",
        (Level::Must, "RFC 1122, 3.2.1.3"),
        "a packet for another IP address is not answered, though its frame is for the board",
        &["the destination address is not compared with the own one"],
        destination_other,
    ),
    ip(
        "destination-broadcast",
        (Level::Must, "RFC 9293, MUST-57"),
        "a SYN to a broadcast or group address is not answered",
        &["TCP accepts packets that are not for the own address"],
        destination_broadcast,
    ),
    ip(
        "unknown-protocol",
        (Level::Should, "RFC 1122, 3.2.2.1"),
        "a packet of an unknown protocol is answered by protocol unreachable",
        &["it is discarded silently"],
        unknown_protocol,
    )
    .only(Versions::V4),
    ip(
        "hop-by-hop",
        (Level::Must, "RFC 8200, 4.2, 4.3"),
        "a packet with a hop-by-hop header of padding is accepted",
        &["extension headers are not skipped"],
        |host| extended(host, protocol::HOP_BY_HOP, [1, 4, 0, 0, 0, 0]),
    )
    .only(Versions::V6),
    ip(
        "destination-options",
        (Level::Must, "RFC 8200, 4.2, 4.6"),
        "a packet with a destination options header whose option is unknown and skippable is accepted",
        &["an unknown option ends the parsing, whatever its highest bits say"],
        |host| extended(host, protocol::DESTINATION_OPTIONS, [0x1e, 4, 1, 2, 3, 4]),
    )
    .only(Versions::V6),
    ip(
        "option-discard",
        (Level::Must, "RFC 8200, 4.2"),
        "a packet with an unknown hop-by-hop option that says so (01) is discarded",
        &["the highest bits of an unknown option are not looked at"],
        option_discard,
    )
    .only(Versions::V6),
    ip(
        "option-problem",
        (Level::Must, "RFC 8200, 4.2; RFC 4443, 3.4"),
        "an unknown hop-by-hop option that asks for it (10) is answered by a parameter problem that points at it",
        &["the message is not sent, or its pointer is not the offset from the start of the packet"],
        option_problem,
    )
    .only(Versions::V6),
    ip(
        "next-header",
        (Level::Should, "RFC 8200, 4; RFC 4443, 3.4"),
        "an unknown next header is answered by a parameter problem (code 1) that points at its field",
        &["the message is not sent, or its pointer is that of the payload"],
        next_header,
    )
    .only(Versions::V6),
];

fn change_word(bytes: &mut [u8], place: usize, change: impl FnOnce(u16) -> u16) {
    let value = change(word(bytes, place));
    set_word(bytes, place, value);
}

fn set_first(bytes: &mut [u8], change: impl FnOnce(u8) -> u8) {
    if let Some(first) = bytes.first_mut() {
        *first = change(*first);
    }
}

/// An echo request whose bytes are changed is not answered; the next one is. The header checksum is made right if `repair`.
fn discarded(host: &Host<'_>, change: impl FnOnce(&mut Vec<u8>), repair: bool) -> Result<String, Stop> {
    let mut bytes = host.echo_packet(1, &[0x31; 40]).to_bytes();
    change(&mut bytes);
    if repair && host.board.address.is_ipv4() {
        fill_header_checksum(&mut bytes);
    }
    host.send_raw_ip(&bytes)?;
    host.expect_no_reply(1, "it")?;
    host.expect_echo("afterwards")?;
    Ok("discarded".to_owned())
}

/// An echo request that is changed is answered.
fn answered(host: &Host<'_>, change: impl FnOnce(&mut Ip)) -> Result<String, Stop> {
    let mut ip = host.echo_packet(1, &[0x31; 40]);
    change(&mut ip);
    host.send_ip(&ip)?;
    require(host.echo_reply(1, host.board.reply_time())?.is_some(), || "it is not answered".to_owned())?;
    Ok("answered".to_owned())
}

fn total_length(host: &Host<'_>) -> Result<String, Stop> {
    let place = if host.board.address.is_ipv4() { 2 } else { 4 };
    discarded(host, |bytes| change_word(bytes, place, |length| length + 200), true)?;
    discarded(host, |bytes| set_word(bytes, place, 9), true)
}

fn options(host: &Host<'_>, options: &[u8]) -> Result<String, Stop> {
    answered(host, |ip| ip.options = options.to_vec())
}

fn malformed_options(host: &Host<'_>) -> Result<String, Stop> {
    let malformed: [[u8; 4]; 4] = [[7, 0, 0, 0], [7, 40, 4, 0], [7, 1, 1, 1], [131, 3, 200, 0]];
    for options in malformed {
        let mut ip = host.echo_packet(1, &[0x31; 40]);
        ip.options = options.to_vec();
        host.send_ip(&ip)?;
        host.wait(host.board.rtt)?;
        host.expect_echo(&format!("after the options {options:?}"))?;
    }
    Ok(format!("{} kinds", malformed.len()))
}

/// The fragments of an echo request.
fn fragments(host: &Host<'_>, sequence: u16) -> [Ip; 3] {
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

fn fragmented(host: &Host<'_>, order: &[usize]) -> Result<String, Stop> {
    let pieces = fragments(host, 1);
    for piece in order.iter().filter_map(|&index| pieces.get(index)) {
        host.send_ip(piece)?;
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

/// Sends an echo request from this address. Returns whether anything but questions for neighbors comes.
fn from(host: &Host<'_>, source: IpAddr) -> Result<Option<Frame>, Stop> {
    let mut request = host.echo_packet(1, &[0x31; 24]);
    request.source = source;
    fill_transport_checksum(source, request.destination, request.protocol, &mut request.payload);
    host.send_ip(&request)?;
    host.receive(host.board.quiet_time(), |frame| {
        frame.icmp(messages::echo_reply_kind(source)).is_some_and(|ip| ip.destination == source)
    })
}

fn source_group(host: &Host<'_>) -> Result<String, Stop> {
    let sources: Vec<IpAddr> = match host.board.address {
        IpAddr::V4(board) => vec![
            Ipv4Addr::BROADCAST.into(),
            Ipv4Addr::from_bits(board.to_bits() | 255).into(),
            Ipv4Addr::new(224, 0, 0, 1).into(),
            Ipv4Addr::LOCALHOST.into(),
        ],
        IpAddr::V6(_) => vec![Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1).into(), Ipv6Addr::LOCALHOST.into()],
    };
    for source in &sources {
        require(from(host, *source)?.is_none(), || format!("an echo request from {source} is answered"))?;
    }
    host.expect_echo("afterwards")?;
    Ok("discarded".to_owned())
}

fn source_own(host: &Host<'_>) -> Result<String, Stop> {
    let board = host.board.address;
    let syn = Tcp { source_port: host.board.port, ..host.syn() };
    let mut segment = host.packet(protocol::TCP, syn.to_bytes());
    segment.source = board;
    fill_transport_checksum(board, board, protocol::TCP, &mut segment.payload);
    host.send_ip(&segment)?;
    host.wait(host.board.quiet_time())?;
    host.expect_echo("afterwards")?;
    host.open()?;
    Ok("no harm".to_owned())
}

fn destination_other(host: &Host<'_>) -> Result<String, Stop> {
    let other: IpAddr = match host.board.address {
        IpAddr::V4(board) => Ipv4Addr::from_bits(board.to_bits() ^ 0x41).into(),
        IpAddr::V6(board) => Ipv6Addr::from_bits(board.to_bits() ^ 0x4100).into(),
    };
    let mut request = host.echo_packet(1, &[0x31; 24]);
    request.destination = other;
    fill_transport_checksum(request.source, other, request.protocol, &mut request.payload);
    host.send_ip(&request)?;
    let answer = host.receive(host.board.quiet_time(), |frame| {
        frame.ip().is_some_and(|ip| ip.source == other || frame.icmp(messages::echo_reply_kind(other)).is_some())
    })?;
    require(answer.is_none(), || format!("a packet for {other} is answered"))?;
    host.expect_echo("afterwards")?;
    Ok("not answered".to_owned())
}

fn destination_broadcast(host: &Host<'_>) -> Result<String, Stop> {
    let destinations: Vec<IpAddr> = match host.board.address {
        IpAddr::V4(board) => vec![
            Ipv4Addr::BROADCAST.into(),
            Ipv4Addr::from_bits(board.to_bits() | 255).into(),
            Ipv4Addr::new(224, 0, 0, 1).into(),
        ],
        IpAddr::V6(_) => vec![Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1).into()],
    };
    for destination in destinations {
        let syn = host.syn();
        let mut segment = host.packet(protocol::TCP, syn.to_bytes());
        segment.destination = destination;
        fill_transport_checksum(segment.source, destination, protocol::TCP, &mut segment.payload);
        host.send_ip(&segment)?;
        let answer = host.receive(host.board.quiet_time(), |frame| {
            frame.tcp().is_some_and(|tcp| tcp.destination_port == syn.source_port)
        })?;
        require(answer.is_none(), || format!("a SYN to {destination} is answered"))?;
    }
    host.expect_echo("afterwards")?;
    Ok("not answered".to_owned())
}

fn unknown_protocol(host: &Host<'_>) -> Result<String, Stop> {
    let mut packet = host.packet(protocol::ICMP, vec![0; 24]);
    packet.protocol = protocol::UNASSIGNED;
    host.send_ip(&packet)?;
    let answer = host.receive(host.board.reply_time(), |frame| frame.icmp(kind::UNREACHABLE).is_some())?;
    let code = answer.as_ref().and_then(Frame::ip).map(|ip| array::<2>(&ip.payload, 0)[1]);
    require(code == Some(2), || {
        code.map_or_else(|| "no answer".to_owned(), |code| format!("unreachable, code {code}"))
    })?;
    Ok("protocol unreachable".to_owned())
}

/// An echo request behind a header of options with this option, which has 6 bytes.
fn with_option(host: &Host<'_>, header: u8, option: [u8; 6]) -> Ip {
    let mut packet = host.echo_packet(1, &[0x31; 24]);
    let mut payload = vec![packet.protocol, 0];
    payload.extend(option);
    payload.append(&mut packet.payload);
    Ip { protocol: header, payload, ..packet }
}

fn extended(host: &Host<'_>, header: u8, option: [u8; 6]) -> Result<String, Stop> {
    host.send_ip(&with_option(host, header, option))?;
    require(host.echo_reply(1, host.board.reply_time())?.is_some(), || "it is not answered".to_owned())?;
    Ok("answered".to_owned())
}

fn option_discard(host: &Host<'_>) -> Result<String, Stop> {
    host.send_ip(&with_option(host, protocol::HOP_BY_HOP, [0x5e, 4, 1, 2, 3, 4]))?;
    host.expect_no_reply(1, "it")?;
    host.expect_echo("afterwards")?;
    Ok("discarded".to_owned())
}

/// The code and pointer of the parameter problem that answers.
fn problem(host: &Host<'_>) -> Result<Option<(u8, u32)>, Stop> {
    let is_problem = |frame: &Frame| {
        frame.icmp(kind::PARAMETER_PROBLEM_V6).is_some_and(|ip| ip.destination == host.identity.address)
    };
    let answer = host.receive(host.board.reply_time(), is_problem)?;
    Ok(answer.as_ref().and_then(Frame::ip).map(|ip| {
        let [_, code] = array::<2>(&ip.payload, 0);
        (code, crate::ip::long_word(&ip.payload, 4))
    }))
}

fn option_problem(host: &Host<'_>) -> Result<String, Stop> {
    host.send_ip(&with_option(host, protocol::HOP_BY_HOP, [0x9e, 4, 1, 2, 3, 4]))?;
    match problem(host)? {
        Some((2, 42)) => Ok("code 2 at 42".to_owned()),
        Some((code, pointer)) => Err(Stop::failed(format!("code {code} at {pointer} instead of code 2 at 42"))),
        None => Err(Stop::failed("no answer")),
    }
}

fn next_header(host: &Host<'_>) -> Result<String, Stop> {
    let mut packet = host.echo_packet(1, &[0x31; 24]);
    packet.protocol = protocol::UNASSIGNED;
    host.send_ip(&packet)?;
    match problem(host)? {
        Some((1, 6)) => Ok("code 1 at 6".to_owned()),
        Some((code, pointer)) => Err(Stop::failed(format!("code {code} at {pointer} instead of code 1 at 6"))),
        None => Err(Stop::failed("no answer")),
    }
}
