//! An Ethernet switch in memory. Its ports are smoltcp devices, for stacks in one process with one clock.

use core::cell::RefCell;
use std::{collections::VecDeque, rc::Rc};

use smoltcp::{
    phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken},
    time::Instant,
    wire::{EthernetAddress, EthernetFrame, EthernetProtocol, IpProtocol, Ipv4Packet, Ipv6Packet, TcpPacket},
};

/// Maximum length of a frame in bytes, without its checksum.
const FRAME: usize = 1514;

/// A switch. A sent frame is immediately in the queue of its destination.
#[derive(Clone, Debug, Default)]
pub struct Ether(Rc<RefCell<Switch>>);

#[derive(Debug, Default)]
struct Switch {
    queues: Vec<Queue>,
    resets: usize,
}

#[derive(Debug)]
struct Queue {
    address: EthernetAddress,
    frames: VecDeque<Vec<u8>>,
}

impl Ether {
    /// Adds a port, for the network card with that address.
    #[must_use]
    pub fn port(&self, address: EthernetAddress) -> Port {
        let queues = &mut self.0.borrow_mut().queues;
        queues.push(Queue { address, frames: VecDeque::new() });
        Port { ether: self.clone(), index: queues.len() - 1 }
    }

    /// Number of frames with an RST so far.
    #[must_use]
    pub fn resets(&self) -> usize {
        self.0.borrow().resets
    }

    fn send(&self, from: usize, frame: &[u8]) {
        let Ok(header) = EthernetFrame::new_checked(frame) else { return };
        let destination = header.dst_addr();
        let mut switch = self.0.borrow_mut();
        switch.resets += usize::from(is_reset(&header));
        for (index, queue) in switch.queues.iter_mut().enumerate() {
            if index != from && (queue.address == destination || !destination.is_unicast()) {
                queue.frames.push_back(frame.to_vec());
            }
        }
    }
}

/// Whether this frame has a TCP segment with an RST.
fn is_reset(frame: &EthernetFrame<&[u8]>) -> bool {
    let segment = match frame.ethertype() {
        EthernetProtocol::Ipv4 => Ipv4Packet::new_checked(frame.payload())
            .ok()
            .filter(|packet| packet.next_header() == IpProtocol::Tcp)
            .map(|packet| usize::from(packet.header_len())),
        EthernetProtocol::Ipv6 => Ipv6Packet::new_checked(frame.payload())
            .ok()
            .filter(|packet| packet.next_header() == IpProtocol::Tcp)
            .map(|packet| packet.header_len()),
        _ => None,
    };
    segment
        .and_then(|start| TcpPacket::new_checked(&frame.payload()[start..]).ok())
        .is_some_and(|segment| segment.rst())
}

/// A port of a switch, as a device.
#[derive(Debug)]
pub struct Port {
    ether: Ether,
    index: usize,
}

impl Port {
    /// Whether its queue is empty.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.ether.0.borrow().queues[self.index].frames.is_empty()
    }

    /// Empties its queue.
    pub fn clear(&mut self) {
        self.ether.0.borrow_mut().queues[self.index].frames.clear();
    }

    /// Whether its queue has a frame.
    #[must_use]
    pub fn has_frame(&self) -> bool {
        !self.ether.0.borrow().queues[self.index].frames.is_empty()
    }
}

impl Device for Port {
    type RxToken<'a> = Received;
    type TxToken<'a> = Sending<'a>;

    fn receive(&mut self, _now: Instant) -> Option<(Received, Sending<'_>)> {
        let frame = self.ether.0.borrow_mut().queues[self.index].frames.pop_front()?;
        Some((Received(frame), Sending(self)))
    }

    fn transmit(&mut self, _now: Instant) -> Option<Sending<'_>> {
        Some(Sending(self))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = FRAME;
        capabilities
    }
}

/// A received frame.
#[derive(Debug)]
pub struct Received(Vec<u8>);

impl RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(&self.0)
    }
}

/// A transmit token.
#[derive(Debug)]
pub struct Sending<'a>(&'a Port);

impl TxToken for Sending<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, write: F) -> R {
        let mut frame = vec![0; length];
        let result = write(&mut frame);
        self.0.ether.send(self.0.index, &frame);
        result
    }
}
