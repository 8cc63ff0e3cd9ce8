//! What the stack does with one received frame: drop it, answer it, learn from it, pass it to smoltcp.

use greet_core::Instant;
#[cfg(feature = "segmentation-offload")]
use smoltcp::wire::TcpPacket;
#[cfg(feature = "ipv4")]
use smoltcp::wire::{ArpOperation, ArpRepr};
#[cfg(feature = "ipv6")]
use smoltcp::wire::{Icmpv6Packet, Ipv6Address, Ipv6Packet};
use smoltcp::{
    iface::SocketSet,
    phy::TxToken,
    wire::{EthernetAddress, HardwareAddress, IpAddress, IpProtocol},
};

#[cfg(feature = "dns")]
use super::dns;
#[cfg(feature = "reassembly")]
use super::reassembly::{self, Fragment};
use super::{
    Reason, Stack, icmp,
    ingress::{self, OneFrame, Packet, Received},
    lengths::ip_packet,
    neighbors,
    quote::Quoting,
    segment::Segment,
    tag,
};
#[cfg(feature = "ipv6")]
use super::{
    discovery::{Message, Options},
    extensions, path_mtu,
};
use crate::time::to_smoltcp;

impl<'a> Stack<'a> {
    /// Takes in `frame`; `reply` is the right to send one frame at once. `serve` is called if a socket is to listen first.
    pub(super) fn receive(
        &mut self,
        frame: &[u8],
        reply: impl TxToken,
        now: Instant,
        serve: &mut impl FnMut(&mut SocketSet<'a>, Reason) -> Option<Instant>,
    ) {
        if tag::is_tagged(frame) {
            // A second tag would make it one of an unknown protocol.
            return tag::without(frame, |frame| self.receive_untagged(frame, reply, now, serve));
        }
        self.receive_untagged(frame, reply, now, serve);
    }

    fn receive_untagged(
        &mut self,
        frame: &[u8],
        reply: impl TxToken,
        now: Instant,
        serve: &mut impl FnMut(&mut SocketSet<'a>, Reason) -> Option<Instant>,
    ) {
        let HardwareAddress::Ethernet(own) = self.interface.hardware_addr();
        let Some(Received { source, to_us, packet }) = ingress::parse(frame, own) else { return };
        match packet {
            #[cfg(feature = "ipv4")]
            Packet::Arp(message) => self.receive_arp(frame, message, reply, now),
            #[cfg(feature = "reassembly")]
            Packet::Ipv4(packet) if reassembly::is_fragment(&packet) => {
                let fragment = Fragment::ipv4(frame, &packet);
                if to_us
                    && self.interface.has_ip_addr(packet.dst_addr())
                    && let Some(fragment) = fragment
                {
                    self.receive_fragment(&fragment, reply, now, serve);
                }
            }
            #[cfg(all(feature = "reassembly", feature = "ipv6"))]
            Packet::Ipv6(packet) if reassembly::is_fragment_ipv6(&packet) => {
                let fragment = Fragment::ipv6(frame, &packet);
                if to_us
                    && self.interface.has_ip_addr(packet.dst_addr())
                    && let Some(fragment) = fragment
                {
                    self.receive_fragment(&fragment, reply, now, serve);
                }
            }
            #[cfg(feature = "ipv4")]
            Packet::Ipv4(packet) => {
                if to_us && packet.next_header() == IpProtocol::Icmp && self.interface.has_ip_addr(packet.dst_addr()) {
                    icmp::receive_ipv4(packet.payload(), &mut self.sockets);
                }
                if ingress::passes_ipv4(&packet, to_us, &self.interface) {
                    if to_us {
                        self.learn(packet.src_addr(), source, now);
                    }
                    #[cfg(feature = "dhcpv4")]
                    if let Some(dhcp) = &mut self.addresses.dhcp
                        && dhcp.receive(source, &packet, now)
                    {
                        return;
                    }
                    let received = ip_packet(frame, packet.total_len().into());
                    let options = usize::from(packet.header_len()).saturating_sub(20);
                    let reply = Quoting::new(reply, received, packet.next_header(), options);
                    let addresses = (packet.src_addr().into(), packet.dst_addr().into());
                    let content = (packet.next_header(), addresses, packet.payload());
                    self.guard(frame, source, content, reply, now, serve);
                }
            }
            #[cfg(feature = "ipv6")]
            Packet::Ipv6(packet) => self.receive_ipv6(frame, &packet, (source, to_us), reply, now, serve),
        }
    }

    /// A fragment: receives its packet once it is whole. Not inlined: the frame takes stack only while it is needed.
    #[cfg(feature = "reassembly")]
    #[inline(never)]
    fn receive_fragment(
        &mut self,
        fragment: &Fragment<'_>,
        reply: impl TxToken,
        now: Instant,
        serve: &mut impl FnMut(&mut SocketSet<'a>, Reason) -> Option<Instant>,
    ) {
        let mut whole = [0; reassembly::FRAME];
        let Some(fragments) = &mut self.fragments else { return };
        if let Some(whole) = fragments.add(fragment, now, &mut whole) {
            self.receive_untagged(whole, reply, now, serve);
        }
    }

    /// Gives the frame to smoltcp, unless it has a TCP segment about which the [guard](super::guard) decides otherwise.
    fn guard(
        &mut self,
        frame: &[u8],
        hardware: EthernetAddress,
        (protocol, addresses, payload): (IpProtocol, (IpAddress, IpAddress), &[u8]),
        reply: impl TxToken,
        now: Instant,
        serve: &mut impl FnMut(&mut SocketSet<'a>, Reason) -> Option<Instant>,
    ) {
        #[cfg(feature = "segmentation-offload")]
        if self.verifies_tcp && protocol == IpProtocol::Tcp {
            let segment = TcpPacket::new_checked(payload);
            if !segment.is_ok_and(|segment| segment.verify_checksum(&addresses.0, &addresses.1)) {
                return;
            }
        }
        let Self { guard, interface, sockets, port, .. } = self;
        let segment =
            Some(protocol).filter(|protocol| *protocol == IpProtocol::Tcp && interface.has_ip_addr(addresses.1));
        let reply = match segment.map(|_| Segment::read(hardware, addresses, payload)) {
            Some(Some(segment)) => guard.admit(&segment, (interface, sockets), reply, (now, *port), serve),
            Some(None) => {
                let content = (hardware, addresses, payload);
                match guard.acknowledge(content, (interface, sockets), reply, now) {
                    Some((reply, Some(newer))) => {
                        return newer.replace(frame, addresses, payload.len(), |frame| self.pass(frame, reply, now));
                    }
                    other => other.map(|(reply, _)| reply),
                }
            }
            None => Some(reply),
        };
        let Some(reply) = reply else { return };
        #[cfg(feature = "dns")]
        if protocol == IpProtocol::Udp {
            let truncated = dns::normalize(frame, |frame| self.pass(frame, reply, now));
            self.truncated_dns = truncated.or(self.truncated_dns);
            return;
        }
        self.pass(frame, reply, now);
    }

    /// Gives the frame to smoltcp, which may send a reply.
    fn pass(&mut self, frame: &[u8], reply: impl TxToken, now: Instant) {
        self.interface.poll_ingress_single(to_smoltcp(now), &mut OneFrame::new(frame, reply), &mut self.sockets);
    }

    fn learn(&mut self, address: impl Into<IpAddress>, hardware: EthernetAddress, now: Instant) {
        self.neighbors.learn(address.into(), hardware, &mut self.interface, &mut self.sockets, now);
    }

    /// Another host uses `address`: tells so, and defends it.
    fn conflict(&mut self, address: impl Into<IpAddress>, hardware: EthernetAddress, now: Instant) {
        if self.neighbors.is_conflict(address.into(), hardware, &self.interface, now) {
            self.addresses.defend();
        }
    }

    #[cfg(feature = "ipv4")]
    fn receive_arp(&mut self, frame: &[u8], message: ArpRepr, reply: impl TxToken, now: Instant) {
        let ArpRepr::EthernetIpv4 {
            operation,
            source_hardware_addr: hardware,
            source_protocol_addr: source,
            target_protocol_addr: target,
            ..
        } = message
        else {
            return;
        };
        let HardwareAddress::Ethernet(own) = self.interface.hardware_addr();
        if !hardware.is_unicast() || hardware == own {
            return;
        }
        #[cfg(feature = "dhcpv4")]
        if let Some(dhcp) = &mut self.addresses.dhcp {
            let is_probe = operation == ArpOperation::Request && source.is_unspecified();
            dhcp.conflict(if is_probe { target } else { source }, now);
        }
        let asks_for_us = self.interface.has_ip_addr(target);
        if self.interface.has_ip_addr(source) {
            self.conflict(source, hardware, now);
        } else if source.is_unspecified() {
            // A probe (RFC 5227, 2.1.1): who sends it must hear that the address is in use. smoltcp drops it.
            if asks_for_us && operation == ArpOperation::Request {
                super::announce::reply(reply, (own, target), (hardware, source));
            }
        } else if asks_for_us {
            self.neighbors.forget();
            self.pass(frame, reply, now);
        } else if neighbors::is_in_use(source.into(), &self.interface, &self.sockets) {
            // RFC 826: what is known of the sender is merged before anybody looks at the target. smoltcp does not.
            self.neighbors.forget();
            neighbors::tell(source.into(), hardware, true, &mut self.interface, &mut self.sockets, now);
        }
    }

    #[cfg(feature = "ipv6")]
    fn receive_ipv6(
        &mut self,
        frame: &[u8],
        packet: &Ipv6Packet<&[u8]>,
        (hardware, to_us): (EthernetAddress, bool),
        reply: impl TxToken,
        now: Instant,
        serve: &mut impl FnMut(&mut SocketSet<'a>, Reason) -> Option<Instant>,
    ) {
        let (source, destination) = (packet.src_addr(), packet.dst_addr());
        if !ingress::has_possible_addresses(packet) {
            return;
        }
        let received = ip_packet(frame, packet.total_len());
        let content = match extensions::process(received) {
            None => return,
            Some(Ok(content)) => content,
            Some(Err(problem)) => {
                let is_ours = to_us && self.interface.has_ip_addr(destination);
                let is_reported = is_ours || (destination.is_multicast() && problem.even_to_group);
                if is_reported && !source.is_unspecified() && !self.interface.has_ip_addr(source) {
                    let HardwareAddress::Ethernet(own) = self.interface.hardware_addr();
                    let own_address =
                        if is_ours { destination } else { self.interface.get_source_address_ipv6(&source) };
                    problem.report((own, hardware), (own_address, source), received, reply);
                }
                return;
            }
        };
        let protocol = content.protocol;
        let payload = content.of(received);
        match (protocol, payload.first().copied()) {
            (IpProtocol::Icmpv6, Some(ECHO_REQUEST)) => {}
            (IpProtocol::Icmpv6, Some(ROUTER_SOLICITATION..=REDIRECT)) => {
                return self.receive_discovery(frame, packet, hardware, to_us, reply, now);
            }
            (IpProtocol::Icmpv6, _) => {
                let is_whole = Icmpv6Packet::new_checked(payload)
                    .is_ok_and(|message| message.verify_checksum(&source, &destination));
                if to_us && is_whole && self.interface.has_ip_addr(destination) {
                    icmp::receive_ipv6(payload, &mut self.sockets);
                }
                return; // smoltcp does nothing with ICMPv6 errors and replies
            }
            // RFC 9293 MUST-57, RFC 4443 2.4 (e): neither a reset nor an error answers a packet that was sent to a group.
            _ if !to_us || destination.is_multicast() => return,
            _ => {}
        }
        if source.is_unspecified() || self.interface.has_ip_addr(source) {
            return;
        }
        if to_us {
            self.learn(source, hardware, now);
        }
        let reply = Quoting::new(reply, received, protocol, content.left_out());
        let addresses = (source, destination);
        if content.is_extended() {
            return content.alone(frame, received, |frame| {
                self.receive_upper_ipv6(frame, hardware, (protocol, addresses, payload), reply, now, serve);
            });
        }
        self.receive_upper_ipv6(frame, hardware, (protocol, addresses, payload), reply, now, serve);
    }

    /// What a frame without extension headers carries.
    #[cfg(feature = "ipv6")]
    fn receive_upper_ipv6(
        &mut self,
        frame: &[u8],
        hardware: EthernetAddress,
        (protocol, (source, destination), payload): (IpProtocol, (Ipv6Address, Ipv6Address), &[u8]),
        reply: impl TxToken,
        now: Instant,
        serve: &mut impl FnMut(&mut SocketSet<'a>, Reason) -> Option<Instant>,
    ) {
        let mut syn = [0; path_mtu::SYN];
        if let Some(slaac) = &mut self.addresses.slaac {
            slaac.heard(source, &self.interface);
        }
        let syn = if protocol == IpProtocol::Tcp { path_mtu::limit_segments(frame, payload, &mut syn) } else { None };
        let frame = syn.unwrap_or(frame);
        let content = (protocol, (source.into(), destination.into()), payload);
        self.guard(frame, hardware, content, reply, now, serve);
    }

    /// A message of neighbor discovery. smoltcp sees those alone that ask for an address of this host.
    #[cfg(feature = "ipv6")]
    fn receive_discovery(
        &mut self,
        frame: &[u8],
        packet: &Ipv6Packet<&[u8]>,
        sender: EthernetAddress,
        to_us: bool,
        reply: impl TxToken,
        now: Instant,
    ) {
        let (source, destination, message) = (packet.src_addr(), packet.dst_addr(), packet.payload());
        // RFC 4861, 6.1.2, 7.1.1 and 7.1.2. It is no discovery either where it follows another header than IPv6's.
        let is_valid = packet.next_header() == IpProtocol::Icmpv6
            && packet.hop_limit() == 255
            && Icmpv6Packet::new_checked(message)
                .is_ok_and(|icmp| icmp.msg_code() == 0 && icmp.verify_checksum(&source, &destination));
        if !is_valid {
            return;
        }
        if message.first() == Some(&ROUTER_ADVERTISEMENT) {
            if let Some(slaac) = &mut self.addresses.slaac {
                slaac.learn(source, message, now);
                // The next frame may be received before the addresses are settled, and its answer go to this router.
                slaac.settle_router(&mut self.interface, now);
            }
            return;
        }
        let Some((&[kind, _, _, _, flags, _, _, _, ref target @ ..], options)) = message.split_first_chunk::<24>()
        else {
            return;
        };
        let Ok(target) = <[u8; 16]>::try_from(&target[..]).map(Ipv6Address::from) else { return };
        if target.is_multicast() || target.is_unspecified() || !Options(options).all(|option| option.is_some()) {
            return;
        }
        let HardwareAddress::Ethernet(own) = self.interface.hardware_addr();
        let is_ours = self.interface.has_ip_addr(target);
        match kind {
            NEIGHBOR_SOLICITATION if self.interface.has_ip_addr(source) => self.conflict(source, sender, now),
            NEIGHBOR_SOLICITATION if !is_ours => {}
            // Duplicate address detection: who sends it must hear that the address is in use (RFC 4862, 5.4.3). smoltcp
            // drops it, as it has no source.
            NEIGHBOR_SOLICITATION if source.is_unspecified() => Message::announcement(own, target).send(reply),
            NEIGHBOR_SOLICITATION => {
                if to_us {
                    self.learn(source, sender, now); // it need not name its hardware address (RFC 4861, 7.2.4)
                }
                self.neighbors.forget();
                self.pass(frame, reply, now);
            }
            NEIGHBOR_ADVERTISEMENT if is_ours => self.conflict(target, sender, now),
            NEIGHBOR_ADVERTISEMENT => {
                if flags & SOLICITED != 0
                    && let Some(slaac) = &mut self.addresses.slaac
                {
                    slaac.answered(target, now);
                }
                // It applies to its target. smoltcp applies it to its source, and would store a wrong hardware address.
                let known =
                    flags & SOLICITED != 0 || neighbors::is_in_use(target.into(), &self.interface, &self.sockets);
                if known && let Some(hardware) = Options(options).flatten().find_map(target_hardware) {
                    self.neighbors.forget();
                    let replaces = flags & OVERRIDE != 0;
                    neighbors::tell(target.into(), hardware, replaces, &mut self.interface, &mut self.sockets, now);
                }
            }
            _ => {}
        }
    }
}

/// Types of ICMPv6 messages (RFC 4443, RFC 4861).
#[cfg(feature = "ipv6")]
const ECHO_REQUEST: u8 = 128;
#[cfg(feature = "ipv6")]
const ROUTER_SOLICITATION: u8 = 133;
#[cfg(feature = "ipv6")]
const ROUTER_ADVERTISEMENT: u8 = 134;
#[cfg(feature = "ipv6")]
const NEIGHBOR_SOLICITATION: u8 = 135;
#[cfg(feature = "ipv6")]
const NEIGHBOR_ADVERTISEMENT: u8 = 136;
#[cfg(feature = "ipv6")]
const REDIRECT: u8 = 137;

/// Flags of a neighbor advertisement.
#[cfg(feature = "ipv6")]
const SOLICITED: u8 = 0x40;
#[cfg(feature = "ipv6")]
const OVERRIDE: u8 = 0x20;

/// The hardware address in a target link-layer address option.
#[cfg(feature = "ipv6")]
fn target_hardware(option: &[u8]) -> Option<EthernetAddress> {
    match *option {
        [2, 1, a, b, c, d, e, f] => Some(EthernetAddress([a, b, c, d, e, f])),
        _ => None,
    }
}
