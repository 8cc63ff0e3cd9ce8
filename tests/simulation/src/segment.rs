//! TCP segments that a test writes, and a host without a stack that sends them.

use smoltcp::{
    phy::{ChecksumCapabilities, Device, RxToken, TxToken},
    time::Instant,
    wire::{
        ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr, IpAddress,
        IpProtocol, IpRepr, Ipv4Address, Ipv4Packet, Ipv6Packet, TcpControl, TcpPacket, TcpRepr, TcpSeqNumber,
    },
};

use crate::ether::Port;

/// A host without a stack. A test sends each of its segments.
#[derive(Debug)]
pub struct RawHost {
    port: Port,
    hardware: EthernetAddress,
    address: Ipv4Address,
    server_hardware: EthernetAddress,
    server: Ipv4Address,
}

impl RawHost {
    /// A host at `port` with these addresses, and the server's.
    #[must_use]
    pub const fn new(
        port: Port,
        hardware: EthernetAddress,
        address: Ipv4Address,
        server_hardware: EthernetAddress,
        server: Ipv4Address,
    ) -> Self {
        Self { port, hardware, address, server_hardware, server }
    }

    /// Sends an ARP request, so that the server knows this host's hardware address.
    pub fn introduce(&mut self) {
        let request = ArpRepr::EthernetIpv4 {
            operation: ArpOperation::Request,
            source_hardware_addr: self.hardware,
            source_protocol_addr: self.address,
            target_hardware_addr: EthernetAddress([0; 6]),
            target_protocol_addr: self.server,
        };
        self.send_frame(EthernetProtocol::Arp, request.buffer_len(), |payload| {
            request.emit(&mut ArpPacket::new_unchecked(payload));
        });
    }

    /// Sends a segment.
    pub fn send(&mut self, segment: &TcpRepr<'_>) {
        self.send_changed(segment, |_| {});
    }

    /// Sends a segment whose last byte is damaged: its checksum is wrong.
    pub fn send_damaged(&mut self, segment: &TcpRepr<'_>) {
        self.send_changed(segment, |packet| {
            if let Some(last) = packet.last_mut() {
                *last ^= 1;
            }
        });
    }

    fn send_changed(&mut self, segment: &TcpRepr<'_>, change: impl FnOnce(&mut [u8])) {
        let (source, destination) = (IpAddress::Ipv4(self.address), IpAddress::Ipv4(self.server));
        let header = IpRepr::new(source, destination, IpProtocol::Tcp, segment.buffer_len(), 64);
        let checksums = ChecksumCapabilities::default();
        self.send_frame(EthernetProtocol::Ipv4, header.buffer_len(), |payload| {
            header.emit(&mut *payload, &checksums);
            let mut packet = TcpPacket::new_unchecked(&mut payload[header.header_len()..]);
            segment.emit(&mut packet, &source, &destination, &checksums);
            change(payload);
        });
    }

    fn send_frame(&mut self, ethertype: EthernetProtocol, length: usize, write: impl FnOnce(&mut [u8])) {
        let header = EthernetRepr { src_addr: self.hardware, dst_addr: self.server_hardware, ethertype };
        let Some(token) = self.port.transmit(Instant::ZERO) else { return };
        token.consume(header.buffer_len() + length, |buffer| {
            let mut frame = EthernetFrame::new_unchecked(buffer);
            header.emit(&mut frame);
            write(frame.payload_mut());
        });
    }

    /// The segments received since the last call.
    pub fn received(&mut self) -> Vec<Segment> {
        let mut segments = Vec::new();
        while let Some((token, _)) = self.port.receive(Instant::ZERO) {
            segments.extend(token.consume(Segment::read));
        }
        segments
    }
}

/// A received segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The destination port.
    pub destination_port: u16,
    /// SYN, FIN, RST, or PSH.
    pub control: TcpControl,
    /// The sequence number.
    pub sequence: TcpSeqNumber,
    /// The acknowledgement number, if any.
    pub acknowledged: Option<TcpSeqNumber>,
    /// Its data.
    pub payload: Vec<u8>,
}

impl Segment {
    /// The TCP segment in this frame, if it has a valid one.
    #[must_use]
    pub fn read(frame: &[u8]) -> Option<Self> {
        let frame = EthernetFrame::new_checked(frame).ok()?;
        let (source, destination, payload): (IpAddress, IpAddress, _) = match frame.ethertype() {
            EthernetProtocol::Ipv4 => {
                let packet = Ipv4Packet::new_checked(frame.payload()).ok()?;
                let payload = (packet.next_header() == IpProtocol::Tcp).then(|| packet.payload().to_vec());
                (packet.src_addr().into(), packet.dst_addr().into(), payload?)
            }
            EthernetProtocol::Ipv6 => {
                let packet = Ipv6Packet::new_checked(frame.payload()).ok()?;
                let payload = (packet.next_header() == IpProtocol::Tcp).then(|| packet.payload().to_vec());
                (packet.src_addr().into(), packet.dst_addr().into(), payload?)
            }
            _ => return None,
        };
        let segment = TcpPacket::new_checked(&payload[..]).ok()?;
        let repr = TcpRepr::parse(&segment, &source, &destination, &ChecksumCapabilities::default()).ok()?;
        Some(Self {
            destination_port: repr.dst_port,
            control: repr.control,
            sequence: repr.seq_number,
            acknowledged: repr.ack_number,
            payload: repr.payload.to_vec(),
        })
    }
}

/// An empty segment from that port to the server.
#[must_use]
pub const fn segment(source_port: u16, sequence: i32) -> TcpRepr<'static> {
    TcpRepr {
        src_port: source_port,
        dst_port: 9999,
        control: TcpControl::None,
        seq_number: TcpSeqNumber(sequence),
        ack_number: None,
        window_len: 4096,
        window_scale: None,
        max_seg_size: None,
        sack_permitted: false,
        sack_ranges: [None; 3],
        timestamp: None,
        payload: &[],
    }
}
