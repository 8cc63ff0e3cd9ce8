//! IPv6 extension headers (RFC 8200, 4), processed before smoltcp, which then gets the packet without them.
//!
//! smoltcp 0.14 knows hop-by-hop options alone, and the pointer of its parameter problems is always 40.

use smoltcp::{
    phy::TxToken,
    wire::{
        EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr, Icmpv6Packet, IpProtocol, Ipv6Address,
        Ipv6Packet, Ipv6Repr,
    },
};

use super::lengths::{ETHERNET, LONGEST_FRAME};

/// Length of the IPv6 header.
const IPV6: usize = 40;
/// No ICMPv6 error is longer than this (RFC 4443, 2.4 (c)).
const LONGEST_ERROR: usize = 1280;

/// Next headers. Those that an Internet header begins with are the protocols that smoltcp knows.
mod header {
    pub(super) const HOP_BY_HOP: u8 = 0;
    pub(super) const TCP: u8 = 6;
    pub(super) const UDP: u8 = 17;
    pub(super) const ROUTING: u8 = 43;
    pub(super) const FRAGMENT: u8 = 44;
    pub(super) const ICMPV6: u8 = 58;
    pub(super) const NONE: u8 = 59;
    pub(super) const DESTINATION_OPTIONS: u8 = 60;
}

/// What follows the extension headers.
#[derive(Clone, Copy)]
pub(super) struct Content {
    pub(super) protocol: IpProtocol,
    /// Where it begins in the packet.
    start: usize,
}

/// A parameter problem that is to be reported (RFC 4443, 3.4).
#[derive(Clone, Copy)]
pub(super) struct Problem {
    code: u8,
    /// The offset of the byte in the packet.
    pointer: usize,
    /// A packet that was sent to a group is reported, too (RFC 8200, 4.2).
    pub(super) even_to_group: bool,
}

/// Processes the extension headers of this packet. `None` if it is to be dropped.
pub(super) fn process(packet: &[u8]) -> Option<Result<Content, Problem>> {
    let mut problem = None;
    // Where the next header is named, and where it begins.
    let (mut named, mut start) = (6, IPV6);
    loop {
        let kind = *packet.get(named)?;
        let rest = packet.get(start..)?;
        let length = match kind {
            header::TCP | header::UDP | header::ICMPV6 => {
                // RFC 4443, 2.4 (e.1): no error is reported about an error.
                let is_error = kind == header::ICMPV6 && rest.first().is_some_and(|kind| kind >> 7 == 0);
                return match problem {
                    None => Some(Ok(Content { protocol: kind.into(), start })),
                    Some(problem) => (!is_error).then_some(Err(problem)),
                };
            }
            header::NONE => return problem.map(Err),
            header::HOP_BY_HOP | header::DESTINATION_OPTIONS if kind != header::HOP_BY_HOP || start == IPV6 => {
                let length = length(rest)?;
                problem = problem.or(options(rest.get(..length)?, start)?);
                length
            }
            header::ROUTING => {
                // RFC 8200, 4.4: the route is ignored once it is at its end, whatever its type.
                if rest.get(3)? != &0 {
                    problem = problem.or(Some(Problem { code: 0, pointer: start + 2, even_to_group: false }));
                }
                length(rest)?
            }
            // RFC 8200, 4.5 and RFC 6946: a fragment that is the whole packet.
            header::FRAGMENT if matches!(rest, [_, _, 0, end, ..] if end & !6 == 0) => 8,
            _ => return Some(Err(problem.unwrap_or(Problem { code: 1, pointer: named, even_to_group: false }))),
        };
        (named, start) = (start, start + length);
    }
}

/// The length of an extension header.
fn length(header: &[u8]) -> Option<usize> {
    header.get(1).map(|&length| (usize::from(length) + 1) * 8)
}

/// Processes the options of a header that begins at `start`: skips each, or says which is to be reported. `None` if the packet
/// is to be dropped.
fn options(header: &[u8], start: usize) -> Option<Option<Problem>> {
    const PAD1: u8 = 0;

    let mut place = 2;
    while let Some(&kind) = header.get(place) {
        if kind == PAD1 {
            place += 1;
            continue;
        }
        let end = place + 2 + usize::from(*header.get(place + 1)?);
        if end > header.len() {
            return None;
        }
        match kind >> 6 {
            0 => place = end,
            1 => return None,
            action => return Some(Some(Problem { code: 2, pointer: start + place, even_to_group: action == 2 })),
        }
    }
    Some(None)
}

impl Content {
    /// Whether there is an extension header.
    pub(super) const fn is_extended(&self) -> bool {
        self.start > IPV6
    }

    /// The length of the extension headers.
    pub(super) const fn left_out(&self) -> usize {
        self.start - IPV6
    }

    pub(super) fn of<'p>(&self, packet: &'p [u8]) -> &'p [u8] {
        packet.get(self.start..).unwrap_or_default()
    }

    /// Passes the frame of this packet without its extension headers to `receive`. Not inlined: the copy takes stack only while
    /// it is needed.
    #[inline(never)]
    pub(super) fn alone(&self, frame: &[u8], packet: &[u8], receive: impl FnOnce(&[u8])) {
        let content = self.of(packet);
        let mut copy = [0; LONGEST_FRAME];
        let Some(copy) = copy.get_mut(..ETHERNET + IPV6 + content.len()) else { return };
        let (Some((headers, place)), Some(received)) =
            (copy.split_at_mut_checked(ETHERNET + IPV6), frame.get(..ETHERNET + IPV6))
        else {
            return;
        };
        headers.copy_from_slice(received);
        place.copy_from_slice(content);
        let mut short = Ipv6Packet::new_unchecked(copy.get_mut(ETHERNET..).unwrap_or_default());
        short.set_next_header(self.protocol);
        short.set_payload_len(u16::try_from(content.len()).unwrap_or_default());
        receive(copy);
    }
}

impl Problem {
    /// Reports it to the host that sent the packet. The addresses are those of the report.
    #[inline(never)]
    pub(super) fn report(
        self,
        (own, peer): (EthernetAddress, EthernetAddress),
        (source, destination): (Ipv6Address, Ipv6Address),
        packet: &[u8],
        reply: impl TxToken,
    ) {
        const PARAMETER_PROBLEM: u8 = 4;
        const HEADER: usize = 8;

        let quoted = packet.get(..LONGEST_ERROR - IPV6 - HEADER).unwrap_or(packet);
        let header = Ipv6Repr {
            src_addr: source,
            dst_addr: destination,
            next_header: IpProtocol::Icmpv6,
            payload_len: HEADER + quoted.len(),
            hop_limit: 64,
        };
        reply.consume(ETHERNET + IPV6 + header.payload_len, |frame| {
            let mut frame = EthernetFrame::new_unchecked(frame);
            EthernetRepr { src_addr: own, dst_addr: peer, ethertype: EthernetProtocol::Ipv6 }.emit(&mut frame);
            let mut report = Ipv6Packet::new_unchecked(frame.payload_mut());
            header.emit(&mut report);
            let Some((head, place)) = report.payload_mut().split_first_chunk_mut::<HEADER>() else { return };
            let [a, b, c, d] = u32::try_from(self.pointer).unwrap_or_default().to_be_bytes();
            *head = [PARAMETER_PROBLEM, self.code, 0, 0, a, b, c, d];
            place.copy_from_slice(quoted);
            Icmpv6Packet::new_unchecked(report.payload_mut()).fill_checksum(&source, &destination);
        });
    }
}
