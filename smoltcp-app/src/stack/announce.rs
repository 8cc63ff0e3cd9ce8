//! ARP messages of this host: requests, replies, probes and announcements.

use smoltcp::{
    phy::TxToken,
    wire::{
        ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr, Ipv4Address,
    },
};

/// The length of a frame with an ARP message.
pub(super) const ARP: usize = 14 + 28;

/// Asks whether another host has `address` (ARP probe, RFC 5227, 2.1.1).
pub(super) fn probe(token: impl TxToken, hardware: EthernetAddress, address: Ipv4Address) {
    request(token, (hardware, Ipv4Address::UNSPECIFIED), address);
}

/// Asks for the hardware address of `target` (RFC 826).
pub(super) fn request(token: impl TxToken, from: (EthernetAddress, Ipv4Address), target: Ipv4Address) {
    token.consume(ARP, |frame| write(frame, ArpOperation::Request, from, (EthernetAddress::BROADCAST, target)));
}

/// Tells the neighbors that `address` is here (gratuitous ARP request, RFC 5227, 3): those who knew another hardware
/// address for it learn this one.
pub(super) fn announce(token: impl TxToken, hardware: EthernetAddress, address: Ipv4Address) {
    request(token, (hardware, address), address);
}

/// Answers a request of `to` for the address `from` has.
pub(super) fn reply(token: impl TxToken, from: (EthernetAddress, Ipv4Address), to: (EthernetAddress, Ipv4Address)) {
    token.consume(ARP, |frame| write_reply(frame, from, to));
}

/// Writes the answer of `from` to `to`; `frame` is [`ARP`] bytes long.
pub(super) fn write_reply(frame: &mut [u8], from: (EthernetAddress, Ipv4Address), to: (EthernetAddress, Ipv4Address)) {
    write(frame, ArpOperation::Reply, from, to);
}

fn write(
    frame: &mut [u8],
    operation: ArpOperation,
    (source_hardware_addr, source_protocol_addr): (EthernetAddress, Ipv4Address),
    (destination, target_protocol_addr): (EthernetAddress, Ipv4Address),
) {
    // What is asked for is not known: zero (RFC 5227, 2.1.1).
    let target_hardware_addr = if operation == ArpOperation::Request { EthernetAddress([0; 6]) } else { destination };
    let mut frame = EthernetFrame::new_unchecked(frame);
    EthernetRepr { src_addr: source_hardware_addr, dst_addr: destination, ethertype: EthernetProtocol::Arp }
        .emit(&mut frame);
    let message = ArpRepr::EthernetIpv4 {
        operation,
        source_hardware_addr,
        source_protocol_addr,
        target_hardware_addr,
        target_protocol_addr,
    };
    message.emit(&mut ArpPacket::new_unchecked(frame.payload_mut()));
}
