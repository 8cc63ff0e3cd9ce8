//! A device that records the frames and TCP segments that one stack receives and sends.

use core::cell::RefCell;
use std::{collections::VecDeque, rc::Rc};

use greet_core::Instant;
use greet_smoltcp::time::{from_smoltcp, to_smoltcp};
use smoltcp::{
    phy::{ChecksumCapabilities, Device, DeviceCapabilities, PacketMeta, RxToken, TxToken},
    time,
    wire::{
        ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol, IpAddress, IpEndpoint, IpProtocol,
        Ipv4Packet, Ipv4Repr, Ipv6Packet, Ipv6Repr, TcpPacket, TcpRepr,
    },
};

use super::{
    ledger::Ledger,
    segment::{Segment, Side},
};

/// A device that wraps another, and reports to the ledger.
pub(super) struct Tap<D> {
    pub(super) inner: D,
    pub(super) side: Side,
    pub(super) hardware: EthernetAddress,
    ledger: Rc<RefCell<Ledger>>,
    /// Received frames. There is more than one only if the inner device had no transmit token for the reply.
    frames: VecDeque<Vec<u8>>,
}

impl<D> Tap<D> {
    pub(super) const fn new(inner: D, side: Side, hardware: EthernetAddress, ledger: Rc<RefCell<Ledger>>) -> Self {
        Self { inner, side, hardware, ledger, frames: VecDeque::new() }
    }
}

impl<D: Device> Tap<D> {
    /// Discards received frames, as the host is off.
    pub(super) fn drain(&mut self, now: Instant) {
        self.frames.clear();
        while let Some((token, _)) = self.inner.receive(to_smoltcp(now)) {
            token.consume(|_| {});
        }
    }
}

impl<D: Device> Device for Tap<D> {
    type RxToken<'t>
        = Frame
    where
        Self: 't;
    type TxToken<'t>
        = Token<'t, D::TxToken<'t>>
    where
        Self: 't;

    fn receive(&mut self, now: time::Instant) -> Option<(Frame, Self::TxToken<'_>)> {
        while self.frames.is_empty() {
            let (token, _) = self.inner.receive(now)?;
            let frame = token.consume(<[u8]>::to_vec);
            let mut ledger = self.ledger.borrow_mut();
            ledger.frame(self.side, true, &frame);
            // Real Ethernet has a frame checksum. Here the checksums of IP, TCP and UDP take its impaired, but ARP has none, and a
            // corrupted packet would be in the neighbor cache for a minute. So drop it.
            if is_false_arp(&frame) {
                continue;
            }
            if let Some(segment) = segment(&frame, self.hardware) {
                if ledger.exceeds(&segment) {
                    continue;
                }
                ledger.delivered(self.side, from_smoltcp(now), segment);
            }
            self.frames.push_back(frame);
        }
        let token = self.inner.transmit(now)?;
        let token = Token { token, side: self.side, now: from_smoltcp(now), ledger: &self.ledger };
        Some((Frame(self.frames.pop_front()?), token))
    }

    fn transmit(&mut self, now: time::Instant) -> Option<Self::TxToken<'_>> {
        let token = self.inner.transmit(now)?;
        Some(Token { token, side: self.side, now: from_smoltcp(now), ledger: &self.ledger })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        self.inner.capabilities()
    }
}

/// A received frame.
pub(super) struct Frame(Vec<u8>);

impl RxToken for Frame {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(&self.0)
    }
}

/// A transmit token that reports the frame to the ledger.
pub(super) struct Token<'a, T> {
    token: T,
    side: Side,
    now: Instant,
    ledger: &'a RefCell<Ledger>,
}

impl<T: TxToken> TxToken for Token<'_, T> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, write: F) -> R {
        let Self { token, side, now, ledger } = self;
        token.consume(length, |frame| {
            let result = write(frame);
            let mut ledger = ledger.borrow_mut();
            ledger.frame(side, false, frame);
            if let Ok(header) = EthernetFrame::new_checked(&*frame)
                && let Some(segment) = segment(frame, header.dst_addr())
            {
                ledger.emitted(side, now, segment);
            }
            result
        })
    }

    fn set_meta(&mut self, meta: PacketMeta) {
        self.token.set_meta(meta);
    }
}

/// The TCP segment in this frame, if it is valid and addressed to this hardware address.
fn segment(frame: &[u8], hardware: EthernetAddress) -> Option<Segment> {
    let frame = EthernetFrame::new_checked(frame).ok()?;
    // A corrupted address may be a multicast address: then the stack accepts the frame.
    if frame.dst_addr() != hardware && frame.dst_addr().is_unicast() {
        return None;
    }
    match frame.ethertype() {
        EthernetProtocol::Ipv4 => {
            let packet = Ipv4Packet::new_checked(frame.payload()).ok()?;
            let header = Ipv4Repr::parse(&packet, &ChecksumCapabilities::default()).ok()?;
            (header.next_header == IpProtocol::Tcp)
                .then(|| tcp(header.src_addr.into(), header.dst_addr.into(), packet.payload()))?
        }
        EthernetProtocol::Ipv6 => {
            let packet = Ipv6Packet::new_checked(frame.payload()).ok()?;
            let header = Ipv6Repr::parse(&packet).ok()?;
            (header.next_header == IpProtocol::Tcp)
                .then(|| tcp(header.src_addr.into(), header.dst_addr.into(), packet.payload()))?
        }
        _ => None,
    }
}

fn tcp(source: IpAddress, destination: IpAddress, payload: &[u8]) -> Option<Segment> {
    let packet = TcpPacket::new_checked(payload).ok()?;
    let repr = TcpRepr::parse(&packet, &source, &destination, &ChecksumCapabilities::default()).ok()?;
    Some(Segment {
        source: IpEndpoint::new(source, repr.src_port),
        destination: IpEndpoint::new(destination, repr.dst_port),
        control: repr.control,
        sequence: repr.seq_number,
        acknowledged: repr.ack_number,
        length: repr.payload.len(),
        window: repr.window_len,
    })
}

/// Whether this is an ARP packet with an incorrect pair of addresses.
fn is_false_arp(frame: &[u8]) -> bool {
    let Ok(frame) = EthernetFrame::new_checked(frame) else { return false };
    if frame.ethertype() != EthernetProtocol::Arp {
        return false;
    }
    let Ok(ArpRepr::EthernetIpv4 { source_hardware_addr, source_protocol_addr, .. }) =
        ArpPacket::new_checked(frame.payload()).and_then(|packet| ArpRepr::parse(&packet))
    else {
        return false;
    };
    source_hardware_addr != hardware(source_protocol_addr.octets()[3])
        || IpAddress::Ipv4(source_protocol_addr) != ipv4(source_protocol_addr.octets()[3])
}

/// The hardware address of the host with that number.
pub(super) const fn hardware(host: u8) -> EthernetAddress {
    EthernetAddress([2, 0, 0, 0, 0, host])
}

/// Its IPv4 address.
pub(super) const fn ipv4(host: u8) -> IpAddress {
    IpAddress::v4(10, 0, 0, host)
}

/// Its IPv6 address.
pub(super) fn ipv6(host: u8) -> IpAddress {
    IpAddress::v6(0xfdaa, 0, 0, 0, 0, 0, 0, host.into())
}
