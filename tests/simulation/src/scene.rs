//! A stack on an Ethernet in memory with a virtual clock, and a second host whose frames a test writes.

#![allow(clippy::unwrap_used, reason = "in a test a panic is how a failure is reported")]

use core::time::Duration;

use greet_core::Instant;
use greet_smoltcp::stack::{Fragments, Settings, Stack};
use smoltcp::{
    iface::SocketSet,
    phy::{ChecksumCapabilities, Device, RxToken, TxToken},
    wire::{
        ArpOperation, ArpPacket, ArpRepr, DhcpMessageType, DhcpPacket, DhcpRepr, EthernetAddress, EthernetFrame,
        EthernetProtocol, EthernetRepr, Icmpv6Packet, IpAddress, IpProtocol, IpRepr, Ipv4Address, Ipv4Packet,
        Ipv6Address, Ipv6Packet, Ipv6Repr, TcpPacket, TcpRepr, UdpPacket,
    },
};

use crate::{
    dhcp::Answer,
    ether::{Ether, Port},
};
pub use crate::{
    dhcp::SERVER,
    frame::{OTHER, OWN, broadcast},
};

/// All nodes on the link.
pub const ALL_NODES: Ipv6Address = Ipv6Address::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// A stack, the virtual time, and the port of the other host.
#[derive(Debug)]
pub struct Scene {
    /// The virtual time.
    pub now: Instant,
    /// The stack.
    pub stack: Stack<'static>,
    /// Its device.
    pub port: Port,
    other: Port,
    ether: Ether,
    /// Number of polls of the stack.
    pub polls: usize,
    /// The last byte of the address that the DHCP server leases; `None` for no DHCP server.
    pub lease: Option<u8>,
    /// The DHCP server refuses every request.
    pub refuses: bool,
}

impl Scene {
    /// Creates a stack. `change` modifies its default settings.
    ///
    /// # Panics
    /// If the settings are wrong.
    #[must_use]
    pub fn new(change: impl FnOnce(&mut Settings<'_>)) -> Self {
        let ether = Ether::default();
        let (mut port, other) = (ether.port(OWN), ether.port(OTHER));
        let mut settings = Settings::new(OWN, 7);
        change(&mut settings);
        let mut stack = Stack::new(settings, &mut port, SocketSet::new(Vec::new()), Instant::ZERO).unwrap();
        stack.reassemble(Box::leak(Box::new(Fragments::new())));
        Self { now: Instant::ZERO, stack, port, other, ether, polls: 0, lease: None, refuses: false }
    }

    /// Adds a port for another host, with this hardware address.
    #[must_use]
    pub fn host(&self, hardware: EthernetAddress) -> Port {
        self.ether.port(hardware)
    }

    /// Advances the clock by `span`. Returns the frames that the stack sent.
    ///
    /// # Panics
    /// If one of them is a malformed DHCP message.
    pub fn pass(&mut self, span: Duration) -> Vec<Vec<u8>> {
        self.pass_timed(span).into_iter().map(|(_, frame)| frame).collect()
    }

    /// Advances the clock by `span`, and polls only when a frame arrives or the stack requests it. Returns the frames with
    /// the times at which they were sent.
    ///
    /// # Panics
    /// If one of them is a malformed DHCP message.
    pub fn pass_timed(&mut self, span: Duration) -> Vec<(Instant, Vec<u8>)> {
        let until = self.now + span;
        let mut frames = Vec::new();
        loop {
            let next = self.stack.poll(self.now, &mut self.port, |_, _| None);
            self.polls += 1;
            while let Some((token, _)) = self.other.receive(smoltcp::time::Instant::ZERO) {
                let frame = token.consume(<[u8]>::to_vec);
                self.answer(&frame);
                frames.push((self.now, frame));
            }
            if !self.port.is_quiet() {
                continue;
            }
            if self.now >= until {
                return frames;
            }
            self.now = next.map_or(until, |next| next.min(until));
        }
    }

    /// Answers a frame as the DHCP server, if there is one.
    fn answer(&mut self, frame: &[u8]) {
        let (Some(byte), Some(frame)) = (self.lease, dhcp_message(frame)) else { return };
        let packet = DhcpPacket::new_checked(&frame[..]).unwrap();
        let question = DhcpRepr::parse(&packet).unwrap();
        let message_type = match question.message_type {
            DhcpMessageType::Discover => DhcpMessageType::Offer,
            DhcpMessageType::Request if self.refuses => DhcpMessageType::Nak,
            DhcpMessageType::Request => DhcpMessageType::Ack,
            _ => return,
        };
        let answer = Answer::new(message_type, Ipv4Address::new(10, 1, 2, byte));
        self.send_raw(&answer.frame(question.transaction_id));
    }

    /// Sends an ICMPv6 message from `source` to `destination`; its checksum is filled in.
    pub fn send_icmpv6(&mut self, source: Ipv6Address, destination: Ipv6Address, message: &[u8]) {
        let header = Ipv6Repr {
            src_addr: source,
            dst_addr: destination,
            next_header: IpProtocol::Icmpv6,
            payload_len: message.len(),
            hop_limit: 255,
        };
        self.send(EthernetProtocol::Ipv6, header.buffer_len() + message.len(), |payload| {
            let mut packet = Ipv6Packet::new_unchecked(payload);
            header.emit(&mut packet);
            packet.payload_mut().copy_from_slice(message);
            Icmpv6Packet::new_unchecked(packet.payload_mut()).fill_checksum(&source, &destination);
        });
    }

    /// Sends a router advertisement to all nodes.
    pub fn advertise(&mut self, router: Ipv6Address, lifetime: u16, prefixes: &[Prefix]) {
        self.send_icmpv6(router, ALL_NODES, &router_advertisement(lifetime, prefixes));
    }

    /// Sends a TCP segment to the stack.
    ///
    /// # Panics
    /// If the addresses are not of one IP version.
    pub fn send_tcp(&mut self, source: IpAddress, destination: IpAddress, segment: &TcpRepr<'_>) {
        self.send_raw(&tcp_frame(OTHER, source, destination, segment));
    }

    /// Sends a frame unmodified, from the other host.
    pub fn send_raw(&mut self, frame: &[u8]) {
        let Some(token) = self.other.transmit(smoltcp::time::Instant::ZERO) else { return };
        token.consume(frame.len(), |buffer| buffer.copy_from_slice(frame));
    }

    /// Broadcasts a frame from the other host. `write` writes the payload.
    ///
    /// # Panics
    /// If `write` does.
    pub fn send(&mut self, ethertype: EthernetProtocol, length: usize, write: impl FnOnce(&mut [u8])) {
        self.send_raw(&broadcast(ethertype, length, write));
    }
}

/// The DHCP message in this frame, if it has one for a server.
#[must_use]
pub fn dhcp_message(frame: &[u8]) -> Option<Vec<u8>> {
    let frame = EthernetFrame::new_checked(frame).ok()?;
    let packet = Ipv4Packet::new_checked(frame.payload()).ok()?;
    let datagram = UdpPacket::new_checked(packet.payload()).ok()?;
    (frame.ethertype() == EthernetProtocol::Ipv4 && datagram.dst_port() == 67).then(|| datagram.payload().to_vec())
}

/// The address that this frame announces, if it is a gratuitous ARP request of the stack.
#[must_use]
pub fn announced(frame: &[u8]) -> Option<Ipv4Address> {
    let frame = EthernetFrame::new_checked(frame).ok()?;
    if frame.ethertype() != EthernetProtocol::Arp || !frame.dst_addr().is_broadcast() {
        return None;
    }
    let ArpRepr::EthernetIpv4 { operation, source_protocol_addr, target_protocol_addr, source_hardware_addr, .. } =
        ArpRepr::parse(&ArpPacket::new_checked(frame.payload()).ok()?).ok()?
    else {
        return None;
    };
    let gratuitous = operation == ArpOperation::Request && source_protocol_addr == target_protocol_addr;
    (gratuitous && source_hardware_addr == OWN).then_some(source_protocol_addr)
}

/// A frame with a TCP segment to the stack, from the host with this hardware address.
///
/// # Panics
/// If the addresses are not of one IP version.
#[must_use]
pub fn tcp_frame(
    hardware: EthernetAddress,
    source: IpAddress,
    destination: IpAddress,
    segment: &TcpRepr<'_>,
) -> Vec<u8> {
    let checksums = ChecksumCapabilities::default();
    let header = IpRepr::new(source, destination, IpProtocol::Tcp, segment.buffer_len(), 64);
    let mut frame = vec![0; 14 + header.buffer_len()];
    let ethertype = match source {
        IpAddress::Ipv4(_) => EthernetProtocol::Ipv4,
        IpAddress::Ipv6(_) => EthernetProtocol::Ipv6,
    };
    EthernetRepr { src_addr: hardware, dst_addr: OWN, ethertype }.emit(&mut EthernetFrame::new_unchecked(&mut frame));
    let packet = &mut frame[14..];
    header.emit(&mut *packet, &checksums);
    let mut tcp = TcpPacket::new_unchecked(&mut packet[header.header_len()..]);
    segment.emit(&mut tcp, &source, &destination, &checksums);
    frame
}

/// A prefix information option (RFC 4861, 4.6.2) with both flags set.
#[derive(Clone, Copy, Debug)]
pub struct Prefix {
    /// The prefix.
    pub address: Ipv6Address,
    /// How many bits of it count.
    pub length: u8,
    /// Valid lifetime, in seconds.
    pub valid: u32,
    /// Preferred lifetime, in seconds.
    pub preferred: u32,
}

impl Prefix {
    /// A prefix of 64 bits, valid for an hour and preferred for half of it.
    #[must_use]
    pub const fn new(address: Ipv6Address) -> Self {
        Self { address, length: 64, valid: 3600, preferred: 1800 }
    }
}

/// A router advertisement, without its checksum.
#[must_use]
pub fn router_advertisement(lifetime: u16, prefixes: &[Prefix]) -> Vec<u8> {
    let mut message = vec![134, 0, 0, 0, 64, 0];
    message.extend(lifetime.to_be_bytes());
    message.extend([0; 8]);
    for prefix in prefixes {
        message.extend([3, 4, prefix.length, 0xc0]);
        message.extend(prefix.valid.to_be_bytes());
        message.extend(prefix.preferred.to_be_bytes());
        message.extend([0; 4]);
        message.extend(prefix.address.octets());
    }
    message
}
