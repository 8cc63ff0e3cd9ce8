//! The one filter for received frames: what reaches smoltcp, and what is answered or dropped before it.
//!
//! smoltcp 0.14 stops the program on some frames, answers frames that must get no answer, and believes some that it must
//! not. `smoltcp-app/SMOLTCP.md` lists every such place and where it is kept out.

#[cfg(feature = "ipv6")]
use smoltcp::wire::{Ipv6Address, Ipv6Packet};
#[cfg(feature = "ipv4")]
use smoltcp::{
    iface::Interface,
    wire::{ArpPacket, ArpRepr, IpProtocol, Ipv4Address, Ipv4Packet, UdpPacket},
};
use smoltcp::{
    phy::{Device, DeviceCapabilities, RxToken, TxToken},
    time::Instant,
    wire::{EthernetAddress, EthernetFrame, EthernetProtocol},
};

/// A received frame that is well-formed and meant for this host.
pub(super) struct Received<'f> {
    /// The sender's hardware address; unicast and not this host's.
    pub(super) source: EthernetAddress,
    /// Whether the frame was sent to this host alone, not to a group.
    pub(super) to_us: bool,
    pub(super) packet: Packet<'f>,
}

/// What a frame carries.
pub(super) enum Packet<'f> {
    #[cfg(feature = "ipv4")]
    Arp(ArpRepr),
    #[cfg(feature = "ipv4")]
    Ipv4(Ipv4Packet<&'f [u8]>),
    #[cfg(feature = "ipv6")]
    Ipv6(Ipv6Packet<&'f [u8]>),
}

/// Reads the headers of `frame`; `None` where it is malformed, of an unknown protocol, or not for `own`.
pub(super) fn parse(frame: &[u8], own: EthernetAddress) -> Option<Received<'_>> {
    let frame = EthernetFrame::new_checked(frame).ok()?;
    let (source, destination) = (frame.src_addr(), frame.dst_addr());
    let to_us = destination == own;
    if !source.is_unicast() || source == own || (!to_us && destination.is_unicast()) {
        return None;
    }
    let packet = match frame.ethertype() {
        #[cfg(feature = "ipv4")]
        EthernetProtocol::Arp => Packet::Arp(ArpRepr::parse(&ArpPacket::new_checked(payload(frame)).ok()?).ok()?),
        #[cfg(feature = "ipv4")]
        EthernetProtocol::Ipv4 => Packet::Ipv4(Ipv4Packet::new_checked(payload(frame)).ok()?),
        #[cfg(feature = "ipv6")]
        EthernetProtocol::Ipv6 => Packet::Ipv6(Ipv6Packet::new_checked(payload(frame)).ok()?),
        _ => return None,
    };
    Some(Received { source, to_us, packet })
}

/// What follows the Ethernet header.
fn payload(frame: EthernetFrame<&[u8]>) -> &[u8] {
    frame.into_inner().get(EthernetFrame::<&[u8]>::header_len()..).unwrap_or_default()
}

/// Whether this IPv4 packet may reach smoltcp; `to_us` as in [`Received`].
#[cfg(feature = "ipv4")]
pub(super) fn passes_ipv4(packet: &Ipv4Packet<&[u8]>, to_us: bool, interface: &Interface) -> bool {
    let (source, destination) = (packet.src_addr(), packet.dst_addr());
    // RFC 1122, 3.2.1.3: 0/8 and 127/8 are never on the wire as a source but for a DHCP client, and this host is no DHCP
    // server. smoltcp would take a DHCP offer from 0.0.0.0 and stop the program when it renews the lease there.
    let first = source.octets()[0];
    if packet.version() != 4 || first == 0 || first == 127 || first >= 224 || interface.has_ip_addr(source) {
        return false;
    }
    if to_us && !is_group(destination, interface) {
        // ICMP errors and replies do nothing in smoltcp: only the echo request is of use.
        return packet.next_header() != IpProtocol::Icmp || packet.payload().first() == Some(&8);
    }
    // RFC 9293 MUST-57, RFC 1122 3.2.2: neither a reset nor an ICMP error answers a packet that was sent to a group. Of
    // those, only the DHCP server's are of use.
    packet.next_header() == IpProtocol::Udp
        && UdpPacket::new_checked(packet.payload())
            .is_ok_and(|datagram| (datagram.src_port(), datagram.dst_port()) == (67, 68))
}

/// Whether this is a broadcast or multicast address.
#[cfg(feature = "ipv4")]
fn is_group(address: Ipv4Address, interface: &Interface) -> bool {
    use smoltcp::wire::IpCidr;

    address.octets()[0] >= 224
        || interface.ip_addrs().iter().any(|network| match network {
            IpCidr::Ipv4(network) => network.broadcast() == Some(address),
            #[cfg(feature = "ipv6")]
            IpCidr::Ipv6(_) => false,
        })
}

/// Whether the addresses of this IPv6 packet are such as a packet on a link can have (RFC 4291, 2.5.2, 2.5.3 and 2.7).
#[cfg(feature = "ipv6")]
pub(super) fn has_possible_addresses(packet: &Ipv6Packet<&[u8]>) -> bool {
    let (source, destination) = (packet.src_addr(), packet.dst_addr());
    packet.version() == 6
        && !source.is_multicast()
        && !source.is_loopback()
        && !destination.is_loopback()
        && destination != Ipv6Address::UNSPECIFIED
}

/// A device that has one frame to give, and passes its reply on to `reply`.
pub(super) struct OneFrame<'f, T>(Option<(&'f [u8], T)>);

impl<'f, T> OneFrame<'f, T> {
    pub(super) const fn new(frame: &'f [u8], reply: T) -> Self {
        Self(Some((frame, reply)))
    }
}

impl<T: TxToken> Device for OneFrame<'_, T> {
    type RxToken<'t>
        = Given<'t>
    where
        Self: 't;
    type TxToken<'t>
        = T
    where
        Self: 't;

    fn receive(&mut self, _: Instant) -> Option<(Given<'_>, T)> {
        self.0.take().map(|(frame, reply)| (Given(frame), reply))
    }

    fn transmit(&mut self, _: Instant) -> Option<T> {
        None
    }

    fn capabilities(&self) -> DeviceCapabilities {
        // smoltcp asks for them when the interface is made, and not when a frame comes.
        DeviceCapabilities::default()
    }
}

/// The frame of a [`OneFrame`].
pub(super) struct Given<'f>(&'f [u8]);

impl RxToken for Given<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(self.0)
    }
}
