//! Neighbor discovery messages of this host (RFC 4861): written into frames.

use smoltcp::{
    phy::{ChecksumCapabilities, TxToken},
    wire::{
        EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr, Icmpv6Packet, Icmpv6Repr, IpProtocol,
        Ipv6Address, Ipv6Packet, Ipv6Repr, NdiscNeighborFlags, NdiscRepr, RawHardwareAddress,
    },
};

/// All nodes on the link.
pub(super) const ALL_NODES: Ipv6Address = Ipv6Address::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// All routers on the link.
const ALL_ROUTERS: Ipv6Address = Ipv6Address::new(0xff02, 0, 0, 0, 0, 0, 0, 2);

/// The longest message here: a neighbor message with one option of 8 bytes.
pub(super) const LONGEST: usize = 14 + 40 + 24 + 8;

/// One message, with its source and destination.
pub(super) struct Message<'m> {
    pub(super) hardware_source: EthernetAddress,
    pub(super) hardware_destination: EthernetAddress,
    pub(super) source: Ipv6Address,
    pub(super) destination: Ipv6Address,
    pub(super) body: NdiscRepr<'m>,
}

impl<'m> Message<'m> {
    /// Asks all routers for an advertisement (RFC 4861, 6.3.7).
    pub(super) fn router_solicitation(hardware: EthernetAddress, source: Ipv6Address) -> Self {
        Self::to_group(hardware, source, ALL_ROUTERS, NdiscRepr::RouterSolicit { lladdr: Some(hardware.into()) })
    }

    /// Asks whether another host has `target` (duplicate address detection, RFC 4862, 5.4.2).
    pub(super) fn probe(hardware: EthernetAddress, target: Ipv6Address) -> Self {
        Self::solicitation(hardware, Ipv6Address::UNSPECIFIED, target, None)
    }

    /// Asks for the hardware address of `target` (RFC 4861, 7.2.2).
    pub(super) fn neighbor_solicitation(hardware: EthernetAddress, source: Ipv6Address, target: Ipv6Address) -> Self {
        Self::solicitation(hardware, source, target, Some(hardware.into()))
    }

    fn solicitation(
        hardware: EthernetAddress,
        source: Ipv6Address,
        target: Ipv6Address,
        lladdr: Option<RawHardwareAddress>,
    ) -> Self {
        let mut group = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0, 0, 0];
        group[13..].copy_from_slice(&target.octets()[13..]); // the solicited-node address, RFC 4291, 2.7.1
        let body = NdiscRepr::NeighborSolicit { target_addr: target, lladdr };
        Self::to_group(hardware, source, group.into(), body)
    }

    /// Tells all nodes that `target` is here (RFC 4861, 7.2.6); also the answer to a probe (7.2.4).
    pub(super) fn announcement(hardware: EthernetAddress, target: Ipv6Address) -> Self {
        Self::to_group(hardware, target, ALL_NODES, advertisement(hardware, target, NdiscNeighborFlags::OVERRIDE))
    }

    fn to_group(
        hardware_source: EthernetAddress,
        source: Ipv6Address,
        destination: Ipv6Address,
        body: NdiscRepr<'m>,
    ) -> Self {
        let [.., a, b, c, d] = destination.octets();
        let hardware_destination = EthernetAddress([0x33, 0x33, a, b, c, d]); // RFC 2464, 7
        Self { hardware_source, hardware_destination, source, destination, body }
    }

    /// The frame's length.
    pub(super) const fn len(&self) -> usize {
        14 + 40 + self.body.buffer_len()
    }

    /// Sends the frame.
    pub(super) fn send(&self, token: impl TxToken) {
        token.consume(self.len(), |frame| self.write(frame));
    }

    /// Writes the frame; `frame` has its length.
    pub(super) fn write(&self, frame: &mut [u8]) {
        let Self { hardware_source, hardware_destination, source, destination, body } = *self;
        let message = Icmpv6Repr::Ndisc(body);
        let mut ethernet = EthernetFrame::new_unchecked(frame);
        EthernetRepr { src_addr: hardware_source, dst_addr: hardware_destination, ethertype: EthernetProtocol::Ipv6 }
            .emit(&mut ethernet);
        let mut packet = Ipv6Packet::new_unchecked(ethernet.payload_mut());
        Ipv6Repr {
            src_addr: source,
            dst_addr: destination,
            next_header: IpProtocol::Icmpv6,
            payload_len: message.buffer_len(),
            hop_limit: 255,
        }
        .emit(&mut packet);
        let mut icmp = Icmpv6Packet::new_unchecked(packet.payload_mut());
        message.emit(&source, &destination, &mut icmp, &ChecksumCapabilities::default());
    }
}

/// A neighbor advertisement of `target`.
pub(super) fn advertisement(
    hardware: EthernetAddress,
    target: Ipv6Address,
    flags: NdiscNeighborFlags,
) -> NdiscRepr<'static> {
    NdiscRepr::NeighborAdvert { flags, target_addr: target, lladdr: Some(hardware.into()) }
}

/// The options of a message, one at a time; `None` for one that is malformed, which is the last one.
pub(super) struct Options<'m>(pub(super) &'m [u8]);

impl<'m> Iterator for Options<'m> {
    type Item = Option<&'m [u8]>;

    fn next(&mut self) -> Option<Self::Item> {
        let (_, rest) = self.0.split_first()?;
        let length = rest.first().map_or(0, |&length| usize::from(length) * 8);
        let (option, rest) = self.0.split_at_checked(length).filter(|(option, _)| !option.is_empty()).unzip();
        self.0 = rest.unwrap_or_default();
        Some(option)
    }
}
