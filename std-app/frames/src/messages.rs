//! The messages of ICMP and UDP that probes send: the payload of an IP packet, with checksum 0 where IP addresses are part of it.

use core::net::{IpAddr, Ipv6Addr};

use smoltcp::wire::EthernetAddress;

use crate::ip::low_word;

/// The types of ICMP messages.
pub mod kind {
    /// Echo reply, ICMP for IPv4.
    pub const ECHO_REPLY: u8 = 0;
    /// Destination unreachable, ICMP for IPv4.
    pub const UNREACHABLE: u8 = 3;
    /// Echo request, ICMP for IPv4.
    pub const ECHO_REQUEST: u8 = 8;
    /// Echo request, ICMP for IPv6.
    pub const ECHO_REQUEST_V6: u8 = 128;
    /// Echo reply, ICMP for IPv6.
    pub const ECHO_REPLY_V6: u8 = 129;
    /// Destination unreachable, ICMP for IPv6.
    pub const UNREACHABLE_V6: u8 = 1;
    /// Parameter problem, ICMP for IPv6.
    pub const PARAMETER_PROBLEM_V6: u8 = 4;
    /// Redirect, ICMP for IPv4.
    pub const REDIRECT: u8 = 5;
    /// Packet too big, ICMP for IPv6.
    pub const TOO_BIG_V6: u8 = 2;
    /// Router advertisement.
    pub const ROUTER_ADVERTISEMENT: u8 = 134;
    /// Redirect, ICMP for IPv6.
    pub const REDIRECT_V6: u8 = 137;
    /// Neighbor solicitation.
    pub const SOLICITATION: u8 = 135;
    /// Neighbor advertisement.
    pub const ADVERTISEMENT: u8 = 136;
}

/// An ICMP message of this type and code; `rest` begins at byte 4.
#[must_use]
pub fn icmp(kind: u8, code: u8, rest: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind, code, 0, 0];
    bytes.extend(rest);
    bytes
}

/// An echo request for the IP version of `address`.
#[must_use]
pub fn echo_request(address: IpAddr, identifier: u16, sequence: u16, data: &[u8]) -> Vec<u8> {
    let kind = if address.is_ipv4() { kind::ECHO_REQUEST } else { kind::ECHO_REQUEST_V6 };
    let mut rest = identifier.to_be_bytes().to_vec();
    rest.extend(sequence.to_be_bytes());
    rest.extend(data);
    icmp(kind, 0, &rest)
}

/// The type of the echo reply for the IP version of `address`.
#[must_use]
pub const fn echo_reply_kind(address: IpAddr) -> u8 {
    if address.is_ipv4() { kind::ECHO_REPLY } else { kind::ECHO_REPLY_V6 }
}

/// A neighbor solicitation; without a source link-layer address it is one of duplicate address detection.
#[must_use]
pub fn solicitation(target: Ipv6Addr, source: Option<EthernetAddress>) -> Vec<u8> {
    let mut rest = vec![0; 4];
    rest.extend(target.octets());
    if let Some(source) = source {
        rest.extend([1, 1]);
        rest.extend(source.0);
    }
    icmp(kind::SOLICITATION, 0, &rest)
}

/// A neighbor advertisement. `flags` are R, S and O in the highest bits.
#[must_use]
pub fn advertisement(target: Ipv6Addr, mac: EthernetAddress, flags: u8) -> Vec<u8> {
    let mut rest = vec![flags, 0, 0, 0];
    rest.extend(target.octets());
    rest.extend([2, 1]);
    rest.extend(mac.0);
    icmp(kind::ADVERTISEMENT, 0, &rest)
}

/// A prefix that a router advertises: on the link, and to make addresses from.
#[derive(Clone, Copy, Debug)]
pub struct PrefixInformation {
    /// The prefix.
    pub prefix: Ipv6Addr,
    /// Its length in bits; a valid one is at most 128.
    pub length: u8,
    /// How many seconds it is valid and preferred.
    pub lifetime: u32,
}

/// A router advertisement (RFC 4861, 4.2).
#[derive(Clone, Copy, Debug)]
pub struct RouterAdvertisement<'a> {
    /// For how many seconds the router may be used; 0: not any more.
    pub lifetime: u16,
    /// How many milliseconds a neighbor counts as reachable after it was heard.
    pub reachable_ms: u32,
    /// The router's MAC address.
    pub mac: EthernetAddress,
    /// What it advertises.
    pub prefixes: &'a [PrefixInformation],
}

impl RouterAdvertisement<'_> {
    /// The message.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        const RETRANSMISSION_MS: u32 = 1000;
        const ON_LINK_AND_AUTONOMOUS: u8 = 0xc0;
        let mut rest = vec![64, 0];
        rest.extend(self.lifetime.to_be_bytes());
        rest.extend(self.reachable_ms.to_be_bytes());
        rest.extend(RETRANSMISSION_MS.to_be_bytes());
        rest.extend([1, 1]);
        rest.extend(self.mac.0);
        for PrefixInformation { prefix, length, lifetime } in self.prefixes {
            rest.extend([3, 4, *length, ON_LINK_AND_AUTONOMOUS]);
            rest.extend([lifetime.to_be_bytes(), lifetime.to_be_bytes(), [0; 4]].concat());
            rest.extend(prefix.octets());
        }
        icmp(kind::ROUTER_ADVERTISEMENT, 0, &rest)
    }
}

/// A redirect (RFC 4861, 4.5): packets for `destination` are to be sent to `target`, which has this MAC address.
#[must_use]
pub fn redirect_v6(target: Ipv6Addr, destination: Ipv6Addr, mac: EthernetAddress) -> Vec<u8> {
    let mut rest = vec![0; 4];
    rest.extend(target.octets());
    rest.extend(destination.octets());
    rest.extend([2, 1]);
    rest.extend(mac.0);
    icmp(kind::REDIRECT_V6, 0, &rest)
}

/// A UDP datagram.
#[must_use]
pub fn udp(source_port: u16, destination_port: u16, data: &[u8]) -> Vec<u8> {
    let mut bytes = source_port.to_be_bytes().to_vec();
    bytes.extend(destination_port.to_be_bytes());
    bytes.extend(low_word(8 + data.len()).to_be_bytes());
    bytes.extend([0, 0]);
    bytes.extend(data);
    bytes
}

/// The multicast address on which the owner of `address` is solicited (RFC 4291, 2.7.1).
#[must_use]
pub fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = address.octets();
    Ipv6Addr::from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c])
}

/// The MAC address of an IPv6 multicast address (RFC 2464, 7).
#[must_use]
pub fn multicast_mac(address: Ipv6Addr) -> EthernetAddress {
    let [.., a, b, c, d] = address.octets();
    EthernetAddress([0x33, 0x33, a, b, c, d])
}
