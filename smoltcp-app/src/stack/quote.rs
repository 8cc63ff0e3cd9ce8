//! ICMP errors contain the first bytes of the packet that caused them, as it was received (RFC 1122, 3.2.2; RFC 4443, 2.4 (c)).
//!
//! smoltcp 0.14 writes the IP header of that packet anew: IPv4's has another identification, DF and no options, IPv6's has no
//! flow label. Here the received bytes replace what it wrote.

#[cfg(feature = "ipv4")]
use smoltcp::wire::{Icmpv4Packet, Ipv4Packet};
#[cfg(feature = "ipv6")]
use smoltcp::wire::{Icmpv6Packet, Ipv6Packet};
use smoltcp::{
    phy::{PacketMeta, TxToken},
    wire::IpProtocol,
};

use super::lengths::ETHERNET;

/// Length of the header of an ICMP error.
const ERROR: usize = 8;

/// The right to send one frame in answer to a packet.
pub(super) struct Quoting<'p, T> {
    token: T,
    packet: &'p [u8],
    /// How much longer an error becomes.
    longer: usize,
}

impl<'p, T> Quoting<'p, T> {
    /// `packet` was received. What smoltcp gets and quotes of it lacks `left_out` bytes: its IP options, or extension headers.
    pub(super) fn new(token: T, packet: &'p [u8], protocol: IpProtocol, left_out: usize) -> Self {
        // Other answers than errors keep their length.
        let has_replies = matches!(protocol, IpProtocol::Tcp | IpProtocol::Icmp | IpProtocol::Icmpv6);
        Self { token, packet, longer: if has_replies { 0 } else { left_out } }
    }
}

impl<T: TxToken> TxToken for Quoting<'_, T> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, write: F) -> R {
        let Self { token, packet, longer } = self;
        // RFC 4443, 2.4 (c). An IPv4 error of smoltcp has at most 576 bytes.
        let whole = (length + longer).min(ETHERNET + 1280).max(length);
        token.consume(whole, |frame| {
            let (written, rest) = frame.split_at_mut_checked(length).unwrap_or_default();
            rest.fill(0);
            let result = write(written);
            quote(frame, packet);
            result
        })
    }

    fn set_meta(&mut self, meta: PacketMeta) {
        self.token.set_meta(meta);
    }
}

/// If this frame has an ICMP error, `packet` becomes what it quotes.
fn quote(frame: &mut [u8], packet: &[u8]) {
    match frame.split_first_chunk_mut::<ETHERNET>() {
        #[cfg(feature = "ipv4")]
        Some((&mut [.., 8, 0], content)) => quote_ipv4(content, packet),
        #[cfg(feature = "ipv6")]
        Some((&mut [.., 0x86, 0xdd], content)) => quote_ipv6(content, packet),
        _ => {}
    }
}

#[cfg(feature = "ipv4")]
fn quote_ipv4(content: &mut [u8], packet: &[u8]) {
    const UNREACHABLE: u8 = 3;

    let whole = content.len();
    let Ok(mut error) = Ipv4Packet::new_checked(content) else { return };
    if error.next_header() != IpProtocol::Icmp || error.payload_mut().first() != Some(&UNREACHABLE) {
        return;
    }
    error.set_total_len(u16::try_from(whole).unwrap_or_default());
    if error.checksum() != 0 {
        error.fill_checksum();
    }
    copy(error.payload_mut(), packet);
    let mut message = Icmpv4Packet::new_unchecked(error.payload_mut());
    // A device that computes the checksum itself gets 0.
    if message.checksum() != 0 {
        message.fill_checksum();
    }
}

#[cfg(feature = "ipv6")]
fn quote_ipv6(content: &mut [u8], packet: &[u8]) {
    const UNREACHABLE: u8 = 1;
    const HEADER: usize = 40;

    let whole = content.len();
    let Ok(mut error) = Ipv6Packet::new_checked(content) else { return };
    if error.next_header() != IpProtocol::Icmpv6 || error.payload_mut().first() != Some(&UNREACHABLE) {
        return;
    }
    let (source, destination) = (error.src_addr(), error.dst_addr());
    error.set_payload_len(u16::try_from(whole.saturating_sub(HEADER)).unwrap_or_default());
    copy(error.payload_mut(), packet);
    let mut message = Icmpv6Packet::new_unchecked(error.payload_mut());
    if message.checksum() != 0 {
        message.fill_checksum(&source, &destination);
    }
}

/// Writes as much of `packet` as fits behind the header of this message.
fn copy(message: &mut [u8], packet: &[u8]) {
    let place = message.get_mut(ERROR..).unwrap_or_default();
    let length = place.len().min(packet.len());
    if let (Some(place), Some(packet)) = (place.get_mut(..length), packet.get(..length)) {
        place.copy_from_slice(packet);
    }
}
