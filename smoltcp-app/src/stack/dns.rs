//! DNS answers before smoltcp gets them: names compare without case (RFC 4343), and a truncated answer is noticed.
//!
//! smoltcp 0.14 compares names byte for byte, and takes the records of a truncated answer for all that there are.

use core::ops::Range;

#[cfg(feature = "ipv4")]
use smoltcp::wire::Ipv4Packet;
use smoltcp::wire::{EthernetFrame, EthernetProtocol, IpAddress, UdpPacket};
#[cfg(feature = "ipv6")]
use smoltcp::wire::{IpProtocol, Ipv6Packet};

use super::lengths::LONGEST_FRAME;

const HEADER: usize = 12;
const SERVER_PORT: u16 = 53;
/// The flags QR and TC.
const TRUNCATED_ANSWER: u8 = 0b1000_0010;

/// The longest name as text (RFC 1035, 2.3.4).
pub(super) const NAME: usize = 255;

/// `name` in lower case, in `buffer`; `None` if it is too long.
pub(super) fn lower_case<'b>(name: &str, buffer: &'b mut [u8; NAME]) -> Option<&'b str> {
    let copy = buffer.get_mut(..name.len())?;
    copy.copy_from_slice(name.as_bytes());
    copy.make_ascii_lowercase();
    core::str::from_utf8(copy).ok()
}

/// Passes an answer of a DNS server to `receive` with its names in lower case, and every other frame as it is. Returns the
/// server, if the answer is truncated.
pub(super) fn normalize(frame: &[u8], receive: impl FnOnce(&[u8])) -> Option<IpAddress> {
    let mut copy = [0; LONGEST_FRAME]; // a longer one passes as it is
    let answer = addresses(frame).and_then(|(source, destination, datagram)| {
        let whole = copy.get_mut(..frame.len())?;
        whole.copy_from_slice(frame);
        let mut datagram = UdpPacket::new_checked(whole.get_mut(datagram)?).ok()?;
        if datagram.src_port() != SERVER_PORT || !datagram.verify_checksum(&source, &destination) {
            return None;
        }
        let message = datagram.payload_mut();
        let is_truncated = matches!(message, [_, _, flags, ..] if *flags & TRUNCATED_ANSWER == TRUNCATED_ANSWER);
        lower_case_names(message)?;
        datagram.fill_checksum(&source, &destination);
        Some((source, is_truncated))
    });
    match answer {
        Some((server, is_truncated)) => {
            receive(copy.get(..frame.len()).unwrap_or_default());
            is_truncated.then_some(server)
        }
        None => {
            receive(frame);
            None
        }
    }
}

/// The source, the destination and the range of the UDP datagram in a frame.
fn addresses(frame: &[u8]) -> Option<(IpAddress, IpAddress, Range<usize>)> {
    let start = EthernetFrame::<&[u8]>::header_len();
    let ethernet = EthernetFrame::new_checked(frame).ok()?;
    let (source, destination, header, end) = match ethernet.ethertype() {
        #[cfg(feature = "ipv4")]
        EthernetProtocol::Ipv4 => {
            let packet = Ipv4Packet::new_checked(ethernet.payload()).ok()?;
            let (header, end) = (packet.header_len().into(), packet.total_len().into());
            (packet.src_addr().into(), packet.dst_addr().into(), header, end)
        }
        #[cfg(feature = "ipv6")]
        EthernetProtocol::Ipv6 => {
            let packet = Ipv6Packet::new_checked(ethernet.payload()).ok()?;
            if packet.next_header() != IpProtocol::Udp {
                return None;
            }
            (packet.src_addr().into(), packet.dst_addr().into(), packet.header_len(), packet.total_len())
        }
        _ => return None,
    };
    Some((source, destination, start.checked_add(header)?..start.checked_add(end)?))
}

/// Makes the names of questions and answers lower case; `None` where the message ends too early.
fn lower_case_names(message: &mut [u8]) -> Option<()> {
    const CNAME: u16 = 5;
    let count = |message: &[u8], at: usize| Some(u16::from_be_bytes(*message.get(at..)?.first_chunk()?));
    let (questions, answers) = (count(message, 4)?, count(message, 6)?);
    let mut at = HEADER;
    for _ in 0..questions {
        at = lower_case_name(message, at)?.checked_add(4)?;
    }
    for _ in 0..answers {
        at = lower_case_name(message, at)?;
        let (kind, length) = (count(message, at)?, count(message, at.checked_add(8)?)?);
        at = at.checked_add(10)?;
        if kind == CNAME {
            lower_case_name(message, at)?;
        }
        at = at.checked_add(length.into())?;
    }
    Some(())
}

/// Makes the labels of the name at `at` lower case, up to a pointer or its end. Returns where it ends.
fn lower_case_name(message: &mut [u8], mut at: usize) -> Option<usize> {
    loop {
        let length = usize::from(*message.get(at)?);
        at = at.checked_add(1)?;
        match length {
            0 => return Some(at),
            1..=63 => {
                let end = at.checked_add(length)?;
                message.get_mut(at..end)?.make_ascii_lowercase();
                at = end;
            }
            _ => return at.checked_add(1), // a pointer
        }
    }
}
