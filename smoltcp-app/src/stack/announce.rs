//! Telling the neighbours who is here: those who knew another card at this address learn the new one.

use greet_core::Instant;
use smoltcp::{
    iface::Interface,
    phy::{Device, TxToken},
    wire::{
        ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr,
        HardwareAddress, Ipv4Address,
    },
};

use crate::time::to_smoltcp;

/// Sends a gratuitous ARP request (RFC 5227, 3); whether the device had room for it.
pub(super) fn announce<D: Device + ?Sized>(
    address: Ipv4Address,
    interface: &Interface,
    device: &mut D,
    now: Instant,
) -> bool {
    let HardwareAddress::Ethernet(hardware) = interface.hardware_addr();
    let request = ArpRepr::EthernetIpv4 {
        operation: ArpOperation::Request,
        source_hardware_addr: hardware,
        source_protocol_addr: address,
        target_hardware_addr: EthernetAddress([0; 6]),
        target_protocol_addr: address,
    };
    let frame =
        EthernetRepr { src_addr: hardware, dst_addr: EthernetAddress::BROADCAST, ethertype: EthernetProtocol::Arp };
    let Some(token) = device.transmit(to_smoltcp(now)) else { return false };
    token.consume(frame.buffer_len().saturating_add(request.buffer_len()), |buffer| {
        let mut packet = EthernetFrame::new_unchecked(buffer);
        frame.emit(&mut packet);
        request.emit(&mut ArpPacket::new_unchecked(packet.payload_mut()));
    });
    true
}
