//! An IP packet, as a probe writes it and as it is read from a frame.

use core::net::IpAddr;

use smoltcp::wire::{IpAddress, IpProtocol, checksum};

/// Protocol numbers (IANA).
pub mod protocol {
    /// ICMP for IPv4.
    pub const ICMP: u8 = 1;
    /// TCP.
    pub const TCP: u8 = 6;
    /// UDP.
    pub const UDP: u8 = 17;
    /// ICMP for IPv6.
    pub const ICMPV6: u8 = 58;
    /// The hop-by-hop options header of IPv6.
    pub const HOP_BY_HOP: u8 = 0;
    /// The destination options header of IPv6.
    pub const DESTINATION_OPTIONS: u8 = 60;
    /// The fragment header of IPv6.
    pub const FRAGMENT: u8 = 44;
    /// Nothing follows, in IPv6.
    pub const NONE: u8 = 59;
    /// Not assigned.
    pub const UNASSIGNED: u8 = 201;
}

/// "More fragments", in [`Ip::fragment`].
pub const MORE_FRAGMENTS: u16 = 0x2000;

/// A packet of either version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ip {
    /// The source.
    pub source: IpAddr,
    /// The destination, of the same version.
    pub destination: IpAddr,
    /// The protocol of the payload; with IPv6 the first next header.
    pub protocol: u8,
    /// Time to live, or hop limit.
    pub ttl: u8,
    /// The identification; only with IPv4.
    pub identification: u16,
    /// The flags and the offset in units of 8 bytes, of the header of IPv4.
    pub fragment: u16,
    /// The options, a multiple of 4 bytes; only with IPv4.
    pub options: Vec<u8>,
    /// What follows the header.
    pub payload: Vec<u8>,
}

impl Ip {
    /// A packet without options, with TTL 64.
    #[must_use]
    pub const fn new(source: IpAddr, destination: IpAddr, protocol: u8, payload: Vec<u8>) -> Self {
        Self { source, destination, protocol, ttl: 64, identification: 0, fragment: 0, options: Vec::new(), payload }
    }

    /// The bytes of the packet, with the right lengths and header checksum.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(40 + self.payload.len());
        match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let header = 20 + self.options.len();
                bytes.extend([0x40 | low_byte(header / 4), 0]);
                bytes.extend(low_word(header + self.payload.len()).to_be_bytes());
                bytes.extend(self.identification.to_be_bytes());
                bytes.extend(self.fragment.to_be_bytes());
                bytes.extend([self.ttl, self.protocol, 0, 0]);
                bytes.extend(source.octets());
                bytes.extend(destination.octets());
                bytes.extend(&self.options);
                fill_header_checksum(&mut bytes);
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                bytes.extend([0x60, 0, 0, 0]);
                bytes.extend(low_word(self.payload.len()).to_be_bytes());
                bytes.extend([self.protocol, self.ttl]);
                bytes.extend(source.octets());
                bytes.extend(destination.octets());
            }
            _ => {}
        }
        bytes.extend(&self.payload);
        bytes
    }

    /// The packet at the start of `bytes`, which may be followed by padding. The error says what is wrong with it.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, String> {
        match bytes.first().map(|first| first >> 4) {
            Some(4) => Self::read_version_4(bytes),
            Some(6) => Self::read_version_6(bytes),
            _ => Err("neither IPv4 nor IPv6".to_owned()),
        }
    }

    fn read_version_4(bytes: &[u8]) -> Result<Self, String> {
        let header = bytes.first().map_or(0, |first| usize::from(first & 15) * 4);
        let total = usize::from(word(bytes, 2));
        let (Some(fixed), true) = (bytes.first_chunk::<20>(), (20..=total).contains(&header)) else {
            return Err(format!("IPv4 header length {header}, total length {total}, frame with {}", bytes.len()));
        };
        let Some(packet) = bytes.get(..total) else {
            return Err(format!("IPv4 total length {total}, and the frame has {}", bytes.len()));
        };
        if checksum::data(packet.get(..header).unwrap_or_default()) != u16::MAX {
            return Err("IPv4 header checksum is wrong".to_owned());
        }
        let address = |at: usize| IpAddr::from(array::<4>(fixed, at));
        Ok(Self {
            source: address(12),
            destination: address(16),
            protocol: array::<1>(fixed, 9)[0],
            ttl: array::<1>(fixed, 8)[0],
            identification: word(fixed, 4),
            fragment: word(fixed, 6),
            options: packet.get(20..header).unwrap_or_default().to_vec(),
            payload: packet.get(header..).unwrap_or_default().to_vec(),
        })
    }

    fn read_version_6(bytes: &[u8]) -> Result<Self, String> {
        let Some(fixed) = bytes.first_chunk::<40>() else {
            return Err(format!("IPv6 header in {} bytes", bytes.len()));
        };
        let length = usize::from(word(fixed, 4));
        let Some(mut payload) = bytes.get(40..40 + length) else {
            return Err(format!("IPv6 payload length {length}, and the frame has {}", bytes.len() - 40));
        };
        let mut protocol = array::<1>(fixed, 6)[0];
        // Multicast listener reports come with a hop-by-hop header.
        while matches!(protocol, protocol::HOP_BY_HOP | protocol::DESTINATION_OPTIONS)
            && let Some(&[next, units]) = payload.first_chunk::<2>()
        {
            protocol = next;
            payload = payload.get((usize::from(units) + 1) * 8..).unwrap_or_default();
        }
        let address = |at: usize| IpAddr::from(array::<16>(fixed, at));
        Ok(Self {
            source: address(8),
            destination: address(24),
            protocol,
            ttl: array::<1>(fixed, 7)[0],
            identification: 0,
            fragment: 0,
            options: Vec::new(),
            payload: payload.to_vec(),
        })
    }
}

/// Computes the checksum of the IPv4 header at the start of `packet` and writes it there.
pub fn fill_header_checksum(packet: &mut [u8]) {
    let length = packet.first().map_or(0, |first| usize::from(first & 15) * 4);
    let Some(header) = packet.get_mut(..length).filter(|header| header.len() >= 20) else { return };
    set_word(header, 10, 0);
    let sum = !checksum::data(header);
    set_word(header, 10, sum);
}

/// The checksum over the pseudo-header and `bytes`: of TCP, UDP and ICMPv6. ICMP for IPv4 has no pseudo-header.
/// It is 0 if the bytes contain the right one.
#[must_use]
pub fn transport_checksum(source: IpAddr, destination: IpAddr, protocol: u8, bytes: &[u8]) -> u16 {
    if protocol == protocol::ICMP {
        return !checksum::data(bytes);
    }
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let (source, destination) = (IpAddress::from(source), IpAddress::from(destination));
    let pseudo_header = checksum::pseudo_header(&source, &destination, IpProtocol::from(protocol), length);
    !checksum::combine(&[pseudo_header, checksum::data(bytes)])
}

/// Writes the checksum into a TCP segment, UDP datagram or ICMP message.
pub fn fill_transport_checksum(source: IpAddr, destination: IpAddr, protocol: u8, bytes: &mut [u8]) {
    let at = match protocol {
        protocol::TCP => 16,
        protocol::UDP => 6,
        _ => 2,
    };
    set_word(bytes, at, 0);
    let mut sum = transport_checksum(source, destination, protocol, bytes);
    if protocol == protocol::UDP && sum == 0 {
        sum = u16::MAX;
    }
    set_word(bytes, at, sum);
}

/// The big-endian number at this offset; 0 beyond the end.
#[must_use]
pub fn word(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes(array(bytes, at))
}

/// The big-endian number of 4 bytes at this offset; 0 beyond the end.
#[must_use]
pub fn long_word(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(array(bytes, at))
}

/// Writes a big-endian number at this offset, if there is room.
pub fn set_word(bytes: &mut [u8], at: usize, value: u16) {
    if let Some(offset) = bytes.get_mut(at..at + 2) {
        offset.copy_from_slice(&value.to_be_bytes());
    }
}

/// The bytes at this offset; zeros beyond the end.
pub(crate) fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; N])
}

/// The lowest 16 bits of a length.
pub(crate) fn low_word(length: usize) -> u16 {
    u16::try_from(length & 0xffff).unwrap_or_default()
}

fn low_byte(number: usize) -> u8 {
    u8::try_from(number & 0xff).unwrap_or_default()
}
