//! A frame: what is in it, and how it is shown in one line.

use core::{
    fmt,
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use smoltcp::wire::EthernetAddress;

use crate::{
    ip::{Ip, array, protocol, transport_checksum, word},
    tcp::Tcp,
};

/// The length of an Ethernet header in bytes.
pub const HEADER: usize = 14;
/// The least length of a frame on a wire, without its frame check sequence.
pub const SHORTEST: usize = 60;

/// The types of the payload of a frame.
pub mod ethertype {
    /// IPv4.
    pub const IPV4: u16 = 0x0800;
    /// ARP.
    pub const ARP: u16 = 0x0806;
    /// A VLAN tag.
    pub const VLAN: u16 = 0x8100;
    /// IPv6.
    pub const IPV6: u16 = 0x86dd;
}

/// A frame that was sent or received.
#[derive(Clone, Debug)]
pub struct Frame {
    /// When it was received or sent.
    pub time: Duration,
    /// All bytes but the frame check sequence.
    pub bytes: Vec<u8>,
    /// What is in it.
    pub packet: Packet,
}

/// What is in a frame.
#[derive(Clone, Debug)]
pub enum Packet {
    /// ARP for IPv4.
    Arp(Arp),
    /// A TCP segment.
    Tcp(Ip, Tcp),
    /// A UDP datagram.
    Udp(Ip),
    /// A message of ICMP for IPv4 or for IPv6; its type is the first byte of the payload, its code the second.
    Icmp(Ip),
    /// Another IP packet, or a fragment of one.
    Ip(Ip),
    /// Something that is malformed, or has a wrong checksum.
    Malformed(String),
    /// Another protocol.
    Other(u16),
}

/// An ARP packet for IPv4 over Ethernet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arp {
    /// 1 is a request, 2 a reply.
    pub operation: u16,
    /// The sender's MAC address.
    pub sender_mac: EthernetAddress,
    /// The sender's IPv4 address.
    pub sender: Ipv4Addr,
    /// The target's MAC address.
    pub target_mac: EthernetAddress,
    /// The target's IPv4 address.
    pub target: Ipv4Addr,
}

impl Arp {
    /// The bytes of the packet.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0, 1, 8, 0, 6, 4];
        bytes.extend(self.operation.to_be_bytes());
        bytes.extend(self.sender_mac.0);
        bytes.extend(self.sender.octets());
        bytes.extend(self.target_mac.0);
        bytes.extend(self.target.octets());
        bytes
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let is_ethernet_ipv4 = array::<6>(bytes, 0) == [0, 1, 8, 0, 6, 4];
        (is_ethernet_ipv4 && bytes.len() >= 28).then(|| Self {
            operation: word(bytes, 6),
            sender_mac: EthernetAddress(array(bytes, 8)),
            sender: array::<4>(bytes, 14).into(),
            target_mac: EthernetAddress(array(bytes, 18)),
            target: array::<4>(bytes, 24).into(),
        })
    }
}

impl Frame {
    /// Reads a frame.
    #[must_use]
    pub fn read(time: Duration, bytes: Vec<u8>) -> Self {
        let packet = packet(&bytes);
        Self { time, bytes, packet }
    }

    /// The destination's MAC address.
    #[must_use]
    pub fn destination(&self) -> EthernetAddress {
        EthernetAddress(array(&self.bytes, 0))
    }

    /// The source's MAC address.
    #[must_use]
    pub fn source(&self) -> EthernetAddress {
        EthernetAddress(array(&self.bytes, 6))
    }

    /// Whether its sender says that it has this IP address.
    #[must_use]
    pub fn is_from(&self, address: IpAddr) -> bool {
        let sender = self.arp().map(|arp| arp.sender.into());
        self.ip().map(|ip| ip.source).or(sender) == Some(address)
    }

    /// The IP packet, if there is a valid one.
    #[must_use]
    pub const fn ip(&self) -> Option<&Ip> {
        match &self.packet {
            Packet::Tcp(ip, _) | Packet::Udp(ip) | Packet::Icmp(ip) | Packet::Ip(ip) => Some(ip),
            _ => None,
        }
    }

    /// The TCP segment, if there is a valid one.
    #[must_use]
    pub const fn tcp(&self) -> Option<&Tcp> {
        match &self.packet {
            Packet::Tcp(_, tcp) => Some(tcp),
            _ => None,
        }
    }

    /// The ARP packet, if there is a valid one.
    #[must_use]
    pub const fn arp(&self) -> Option<&Arp> {
        match &self.packet {
            Packet::Arp(arp) => Some(arp),
            _ => None,
        }
    }

    /// The ICMP message with its IP header, if there is a valid one of this type.
    #[must_use]
    pub fn icmp(&self, kind: u8) -> Option<&Ip> {
        match &self.packet {
            Packet::Icmp(ip) if ip.payload.first() == Some(&kind) => Some(ip),
            _ => None,
        }
    }
}

/// The bytes of a frame, not padded.
#[must_use]
pub fn frame_bytes(destination: EthernetAddress, source: EthernetAddress, ethertype: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER + payload.len());
    bytes.extend(destination.0);
    bytes.extend(source.0);
    bytes.extend(ethertype.to_be_bytes());
    bytes.extend(payload);
    bytes
}

fn packet(bytes: &[u8]) -> Packet {
    let payload = bytes.get(HEADER..).unwrap_or_default();
    match word(bytes, 12) {
        ethertype::ARP => {
            Arp::read(payload).map_or_else(|| Packet::Malformed("ARP for other networks".to_owned()), Packet::Arp)
        }
        ethertype::IPV4 | ethertype::IPV6 => Ip::read(payload).map_or_else(Packet::Malformed, ip_packet),
        other => Packet::Other(other),
    }
}

fn ip_packet(ip: Ip) -> Packet {
    // A fragment has no whole message.
    if ip.fragment & 0x3fff != 0
        || !matches!(ip.protocol, protocol::TCP | protocol::UDP | protocol::ICMP | protocol::ICMPV6)
    {
        return Packet::Ip(ip);
    }
    let sum = transport_checksum(ip.source, ip.destination, ip.protocol, &ip.payload);
    let has_none = ip.protocol == protocol::UDP && word(&ip.payload, 6) == 0;
    let name = match ip.protocol {
        protocol::TCP => "TCP",
        protocol::UDP => "UDP",
        _ => "ICMP",
    };
    if sum != 0 && !has_none {
        return Packet::Malformed(format!("{name} checksum is wrong: {} > {}", ip.source, ip.destination));
    }
    match ip.protocol {
        protocol::TCP => match Tcp::read(&ip.payload) {
            Ok(tcp) => Packet::Tcp(ip, tcp),
            Err(error) => Packet::Malformed(error),
        },
        protocol::UDP => Packet::Udp(ip),
        _ => Packet::Icmp(ip),
    }
}

/// One line, as tcpdump writes it.
impl fmt::Display for Frame {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.packet {
            Packet::Arp(arp) if arp.operation == 1 => {
                write!(formatter, "ARP, Request who-has {} tell {} ({})", arp.target, arp.sender, arp.sender_mac)
            }
            Packet::Arp(arp) => {
                write!(formatter, "ARP, operation {}, {} is-at {}", arp.operation, arp.sender, arp.sender_mac)
            }
            Packet::Tcp(ip, tcp) => write!(
                formatter,
                "IP {}.{} > {}.{}: {tcp}",
                ip.source, tcp.source_port, ip.destination, tcp.destination_port
            ),
            Packet::Udp(ip) => write!(
                formatter,
                "IP {}.{} > {}.{}: UDP, length {}",
                ip.source,
                word(&ip.payload, 0),
                ip.destination,
                word(&ip.payload, 2),
                ip.payload.len().saturating_sub(8)
            ),
            Packet::Icmp(ip) => {
                write!(
                    formatter,
                    "IP {} > {}: ICMP {}, length {}",
                    ip.source,
                    ip.destination,
                    icmp_text(ip),
                    ip.payload.len()
                )
            }
            Packet::Ip(ip) if ip.fragment & 0x3fff != 0 => {
                let more = if ip.fragment & crate::ip::MORE_FRAGMENTS == 0 { "" } else { "+" };
                write!(
                    formatter,
                    "IP {} > {}: fragment of protocol {}, id {}, offset {}{more}, length {}",
                    ip.source,
                    ip.destination,
                    ip.protocol,
                    ip.identification,
                    usize::from(ip.fragment & 0x1fff) * 8,
                    ip.payload.len()
                )
            }
            Packet::Ip(ip) => write!(
                formatter,
                "IP {} > {}: protocol {}, length {}",
                ip.source,
                ip.destination,
                ip.protocol,
                ip.payload.len()
            ),
            Packet::Malformed(what) => write!(formatter, "{} > {}: {what}", self.source(), self.destination()),
            Packet::Other(ethertype) => write!(
                formatter,
                "{} > {}: ethertype 0x{ethertype:04x}, length {}",
                self.source(),
                self.destination(),
                self.bytes.len()
            ),
        }
    }
}

fn icmp_text(ip: &Ip) -> String {
    let [kind, code] = array::<2>(&ip.payload, 0);
    let name = match (ip.protocol, kind, code) {
        (protocol::ICMP, 8, _) | (protocol::ICMPV6, 128, _) => "echo request",
        (protocol::ICMP, 0, _) | (protocol::ICMPV6, 129, _) => "echo reply",
        (protocol::ICMP, 3, 2) => "protocol unreachable",
        (protocol::ICMP, 3, 3) | (protocol::ICMPV6, 1, 4) => "port unreachable",
        (protocol::ICMP, 3, 4) => "fragmentation needed",
        (protocol::ICMP, 3, _) | (protocol::ICMPV6, 1, _) => "destination unreachable",
        (protocol::ICMP, 5, _) | (protocol::ICMPV6, 137, _) => "redirect",
        (protocol::ICMP, 11, _) | (protocol::ICMPV6, 3, _) => "time exceeded",
        (protocol::ICMP, 12, _) | (protocol::ICMPV6, 4, _) => "parameter problem",
        (protocol::ICMPV6, 2, _) => "packet too big",
        (protocol::ICMPV6, 133, _) => "router solicitation",
        (protocol::ICMPV6, 134, _) => "router advertisement",
        (protocol::ICMPV6, 135, _) => "neighbor solicitation",
        (protocol::ICMPV6, 136, _) => "neighbor advertisement",
        (protocol::ICMPV6, 143, _) => "multicast listener report",
        _ => return format!("type {kind} code {code}"),
    };
    match name {
        "echo request" | "echo reply" => format!("{name}, id {}, seq {}", word(&ip.payload, 4), word(&ip.payload, 6)),
        _ => name.to_owned(),
    }
}
