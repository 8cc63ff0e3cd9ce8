//! Changes of a frame that defects are made of.

use core::net::{IpAddr, Ipv4Addr};
use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex},
};

use greet_frames::{
    frame::{Frame, HEADER, Packet, SHORTEST},
    ip::{Ip, fill_header_checksum, fill_transport_checksum, protocol, set_word, word},
    tcp::{Tcp, flags},
};

use crate::defect::Defect;

/// The service's port.
pub(crate) const SERVICE: u16 = 9999;

/// The frame with another IP packet.
pub(crate) fn with_ip(frame: &Frame, ip: &Ip) -> Vec<u8> {
    let mut bytes = frame.bytes[..HEADER].to_vec();
    bytes.extend(ip.to_bytes());
    bytes.resize(bytes.len().max(SHORTEST), 0);
    bytes
}

/// The frame with its TCP segment changed.
pub(crate) fn with_tcp(frame: &Frame, change: impl FnOnce(&mut Tcp)) -> Vec<u8> {
    let Packet::Tcp(ip, tcp) = &frame.packet else { return frame.bytes.clone() };
    let (mut ip, mut tcp) = (ip.clone(), tcp.clone());
    change(&mut tcp);
    ip.payload = tcp.to_bytes();
    fill_transport_checksum(ip.source, ip.destination, protocol::TCP, &mut ip.payload);
    with_ip(frame, &ip)
}

/// The frame with the payload of its IP packet changed, and the checksum in it made right.
pub(crate) fn with_payload(frame: &Frame, change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let Some(ip) = frame.ip() else { return frame.bytes.clone() };
    let mut ip = ip.clone();
    change(&mut ip.payload);
    fill_transport_checksum(ip.source, ip.destination, ip.protocol, &mut ip.payload);
    with_ip(frame, &ip)
}

/// Makes all checksums of an IPv4 packet right, as if they were not verified.
pub(crate) fn repair(bytes: &mut [u8]) {
    if word(bytes, 12) != 0x0800 {
        return;
    }
    fill_header_checksum(&mut bytes[HEADER..]);
    repair_payload(bytes);
}

/// Makes the checksum of the payload right.
pub(crate) fn repair_payload(bytes: &mut [u8]) {
    if word(bytes, 12) != 0x0800 {
        return;
    }
    let address = |at: usize| IpAddr::from(Ipv4Addr::from(*bytes[at..].first_chunk::<4>().unwrap()));
    let (source, destination) = (address(HEADER + 12), address(HEADER + 16));
    let start = HEADER + usize::from(bytes[HEADER] & 15) * 4;
    let end = (HEADER + usize::from(word(bytes, HEADER + 2))).min(bytes.len());
    let protocol = bytes[HEADER + 9];
    if start < end && matches!(protocol, protocol::TCP | protocol::UDP | protocol::ICMP) {
        fill_transport_checksum(source, destination, protocol, &mut bytes[start..end]);
    }
}

/// Makes the packet as long as its frame.
pub(crate) fn lengthen(bytes: &mut [u8]) {
    if word(bytes, 12) == 0x0800 {
        let length = u16::try_from(bytes.len() - HEADER).unwrap();
        set_word(bytes, HEADER + 2, length);
        repair(bytes);
    }
}

/// Whether it has a SYN and no ACK.
pub(crate) fn is_syn(frame: &Frame) -> bool {
    frame.tcp().is_some_and(|tcp| tcp.has(flags::SYN) && !tcp.has(flags::ACK))
}

/// Whether it has a SYN and an ACK.
pub(crate) fn is_syn_ack(frame: &Frame) -> bool {
    frame.tcp().is_some_and(|tcp| tcp.has(flags::SYN | flags::ACK))
}

/// Whether it has an RST.
pub(crate) fn is_reset(frame: &Frame) -> bool {
    frame.tcp().is_some_and(|tcp| tcp.has(flags::RST))
}

/// Whether it is an echo reply of IPv4.
pub(crate) fn is_echo_reply(frame: &Frame) -> bool {
    frame.icmp(0).is_some()
}

/// The board sends each segment changed.
pub(crate) fn sends_tcp(mut change: impl FnMut(&mut Tcp) + Send + 'static) -> Defect {
    Defect::none().sends(move |frame| vec![with_tcp(frame, &mut change)])
}

/// The board receives each segment changed.
pub(crate) fn receives_tcp(mut change: impl FnMut(&mut Tcp) + Send + 'static) -> Defect {
    Defect::none().receives(move |frame| vec![with_tcp(frame, &mut change)])
}

/// The board receives nothing any more after such a segment.
pub(crate) fn stops_after(mut what: impl FnMut(&Tcp) -> bool + Send + 'static) -> Defect {
    let mut is_stopped = false;
    Defect::none().ignores(move |frame| {
        is_stopped |= frame.tcp().is_some_and(&mut what);
        is_stopped
    })
}

/// What a filter in both directions remembers, for each port of the peer.
pub(crate) type Shared<T> = Arc<Mutex<HashMap<u16, T>>>;

/// The sequence numbers that the peer and the board have sent on a connection.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Known {
    /// The next byte that the board expects.
    pub(crate) expected: u32,
    /// The board's window.
    pub(crate) window: u16,
    /// The end of what the board has sent.
    pub(crate) sent: u32,
}

/// The board receives each segment changed, or not at all, by what is known about its connection.
pub(crate) fn receives_knowing(mut change: impl FnMut(&mut Tcp, Known) -> bool + Send + 'static) -> Defect {
    let known: Shared<Known> = Arc::default();
    let inbound = Arc::clone(&known);
    Defect::none()
        .receives(move |frame| {
            let mut keeps = true;
            let bytes = with_tcp(frame, |tcp| {
                if let Some(known) = inbound.lock().unwrap().get_mut(&tcp.source_port) {
                    keeps = change(tcp, *known);
                    // It is acknowledged later.
                    if keeps && tcp.sequence == known.expected {
                        known.expected = tcp.end();
                    }
                }
            });
            if keeps { vec![bytes] } else { Vec::new() }
        })
        .sends(move |frame| {
            if let Some(tcp) = frame.tcp().filter(|tcp| tcp.has(flags::ACK)) {
                let now = Known { expected: tcp.acknowledgement, window: tcp.window, sent: tcp.end() };
                known.lock().unwrap().insert(tcp.destination_port, now);
            }
            vec![frame.bytes.clone()]
        })
}

/// A SYN from the port of an earlier connection is ignored.
pub(crate) fn knows_port() -> Defect {
    let mut open = HashSet::new();
    Defect::none().ignores(move |frame| match frame.tcp() {
        Some(tcp) if is_syn(frame) => open.contains(&tcp.source_port),
        Some(tcp) => {
            open.insert(tcp.source_port);
            false
        }
        None => false,
    })
}

/// Whether this is a segment of the board with data or SYN or FIN that it has sent before.
pub(crate) fn repetition() -> impl FnMut(&Frame) -> bool + Send + 'static {
    let mut seen = HashSet::new();
    move |frame| {
        let tcp = frame.tcp().filter(|tcp| tcp.end() != tcp.sequence);
        tcp.is_some_and(|tcp| !seen.insert((tcp.destination_port, tcp.sequence, tcp.end())))
    }
}

/// Whether it has neither data nor SYN, FIN or RST.
pub(crate) fn is_pure_ack(frame: &Frame) -> bool {
    frame.tcp().is_some_and(|tcp| tcp.flags == flags::ACK && tcp.payload.is_empty())
}

/// The board receives nothing any more after such a frame.
pub(crate) fn stops_after_frame(mut what: impl FnMut(&Frame) -> bool + Send + 'static) -> Defect {
    let mut is_stopped = false;
    Defect::none().ignores(move |frame| {
        is_stopped |= what(frame);
        is_stopped
    })
}

/// The board receives such IPv4 packets changed, with right checksums.
pub(crate) fn receives_ipv4_if(
    what: impl Fn(&Ip) -> bool + Send + 'static,
    change: impl Fn(&Ip) -> Ip + Send + 'static,
) -> Defect {
    Defect::none().receives(move |frame| {
        let Some(ip) = frame.ip().filter(|ip| what(ip)) else { return vec![frame.bytes.clone()] };
        let mut bytes = with_ip(frame, &change(ip));
        repair(&mut bytes);
        vec![bytes]
    })
}
