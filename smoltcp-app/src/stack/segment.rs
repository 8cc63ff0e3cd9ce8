//! TCP segments without data, in frames: parsed before smoltcp receives them, and written.

use smoltcp::{
    phy::{ChecksumCapabilities, TxToken},
    wire::{
        EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr, IpAddress, IpEndpoint, IpProtocol, IpRepr,
        IpVersion, TcpControl, TcpPacket, TcpRepr, TcpSeqNumber,
    },
};

/// Ethernet, IPv6 and TCP headers without options.
const HEADERS: usize = 14 + 40 + 20;
/// The same with as many TCP options as there can be.
const LONGEST: usize = HEADERS + 40;

/// The header of a received segment, with its addresses.
#[derive(Clone, Copy)]
pub(super) struct Segment {
    /// The hardware address of the host that sent it.
    pub(super) hardware: EthernetAddress,
    pub(super) source: IpEndpoint,
    pub(super) destination: IpEndpoint,
    pub(super) control: TcpControl,
    pub(super) sequence: TcpSeqNumber,
    pub(super) acknowledgement: Option<TcpSeqNumber>,
    /// Its length in sequence numbers: SYN and FIN count.
    length: usize,
}

impl Segment {
    /// Reads a segment that begins or ends a connection, or that acknowledges nothing. `None` for all others, and where it is
    /// malformed: no decision but smoltcp's is needed then.
    pub(super) fn read(
        hardware: EthernetAddress,
        (source, destination): (IpAddress, IpAddress),
        payload: &[u8],
    ) -> Option<Self> {
        let packet = TcpPacket::new_checked(payload).ok()?;
        if packet.ack() && !packet.syn() && !packet.rst() {
            return None;
        }
        Self::parse(hardware, (source, destination), &packet)
    }

    /// Reads a segment. `None` where it is malformed.
    pub(super) fn parse(
        hardware: EthernetAddress,
        (source, destination): (IpAddress, IpAddress),
        packet: &TcpPacket<&[u8]>,
    ) -> Option<Self> {
        let repr = TcpRepr::parse(packet, &source, &destination, &ChecksumCapabilities::default()).ok()?;
        Some(Self {
            hardware,
            source: IpEndpoint::new(source, repr.src_port),
            destination: IpEndpoint::new(destination, repr.dst_port),
            control: repr.control,
            sequence: repr.seq_number,
            acknowledgement: repr.ack_number,
            length: repr.segment_len(),
        })
    }

    /// A segment from the same host of the same connection, with this data.
    pub(super) fn next_from_peer(
        &self,
        sequence: TcpSeqNumber,
        acknowledgement: TcpSeqNumber,
        data: &'static [u8],
    ) -> Frame {
        let empty = empty(self.source.port, self.destination.port, TcpControl::None, sequence, acknowledgement);
        let repr = TcpRepr { payload: data, ..empty };
        // smoltcp does not look at the hardware address that a frame was sent to, if it is a group's.
        Frame::new((self.hardware, EthernetAddress::BROADCAST), (self.source.addr, self.destination.addr), &repr)
    }

    /// The reset that answers a segment without acknowledgement to no connection (RFC 9293, 3.10.7.1).
    pub(super) fn refusal(&self, own: EthernetAddress) -> Frame {
        let (sequence, acknowledgement) = (TcpSeqNumber(0), self.sequence + self.length);
        let repr = empty(self.destination.port, self.source.port, TcpControl::Rst, sequence, acknowledgement);
        Frame::new((own, self.hardware), (self.destination.addr, self.source.addr), &repr)
    }
}

const fn empty(
    src_port: u16,
    dst_port: u16,
    control: TcpControl,
    seq_number: TcpSeqNumber,
    acknowledgement: TcpSeqNumber,
) -> TcpRepr<'static> {
    TcpRepr {
        src_port,
        dst_port,
        control,
        seq_number,
        ack_number: Some(acknowledgement),
        window_len: 0,
        window_scale: None,
        max_seg_size: None,
        sack_permitted: false,
        sack_ranges: [None; 3],
        timestamp: None,
        payload: &[],
    }
}

/// A frame of at most the length of a segment without data.
pub(super) struct Frame {
    bytes: [u8; LONGEST],
    length: usize,
}

impl Frame {
    pub(super) const EMPTY: Self = Self { bytes: [0; LONGEST], length: 0 };

    fn new(
        (hardware_source, hardware_destination): (EthernetAddress, EthernetAddress),
        (source, destination): (IpAddress, IpAddress),
        segment: &TcpRepr<'_>,
    ) -> Self {
        let checksums = ChecksumCapabilities::default();
        let packet = IpRepr::new(source, destination, IpProtocol::Tcp, segment.buffer_len(), 64);
        let ethertype = match source.version() {
            #[cfg(feature = "ipv4")]
            IpVersion::Ipv4 => EthernetProtocol::Ipv4,
            #[cfg(feature = "ipv6")]
            IpVersion::Ipv6 => EthernetProtocol::Ipv6,
        };
        let header = EthernetRepr { src_addr: hardware_source, dst_addr: hardware_destination, ethertype };
        let mut frame = Self { length: header.buffer_len().saturating_add(packet.buffer_len()), ..Self::EMPTY };
        let mut ethernet = EthernetFrame::new_unchecked(&mut frame.bytes[..]);
        header.emit(&mut ethernet);
        let payload = ethernet.payload_mut();
        packet.emit(&mut *payload, &checksums);
        let content = payload.get_mut(packet.header_len()..packet.buffer_len()).unwrap_or_default();
        segment.emit(&mut TcpPacket::new_unchecked(content), &source, &destination, &checksums);
        frame
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    /// A copy of a frame that is not longer.
    pub(super) fn copy(bytes: &[u8]) -> Option<Self> {
        let mut frame = Self { length: bytes.len(), ..Self::EMPTY };
        frame.bytes.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(frame)
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.length == 0
    }

    pub(super) fn send(&self, token: impl TxToken) {
        token.consume(self.length, |buffer| buffer.copy_from_slice(self.bytes()));
    }
}

/// The right to send one frame, which is kept instead.
pub(super) struct Keep<'f>(pub(super) &'f mut Frame);

impl TxToken for Keep<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, write: F) -> R {
        self.0.length = length.min(LONGEST);
        write(self.0.bytes.get_mut(..length).unwrap_or_default())
    }
}

/// The source and the destination of a packet.
pub(super) type Addresses = (IpAddress, IpAddress);

/// The TCP segment in this frame, and its addresses.
pub(super) fn in_frame(frame: &[u8]) -> Option<(TcpPacket<&[u8]>, Addresses)> {
    let frame = EthernetFrame::new_checked(frame).ok()?;
    let packet = frame.payload();
    let (segment, addresses) = match frame.ethertype() {
        #[cfg(feature = "ipv4")]
        EthernetProtocol::Ipv4 => {
            let header = smoltcp::wire::Ipv4Packet::new_checked(packet).ok()?;
            if header.next_header() != IpProtocol::Tcp {
                return None;
            }
            let segment = packet.get(usize::from(header.header_len())..usize::from(header.total_len()))?;
            (segment, (header.src_addr().into(), header.dst_addr().into()))
        }
        #[cfg(feature = "ipv6")]
        EthernetProtocol::Ipv6 => {
            let header = smoltcp::wire::Ipv6Packet::new_checked(packet).ok()?;
            if header.next_header() != IpProtocol::Tcp {
                return None;
            }
            let segment = packet.get(header.header_len()..header.total_len())?;
            (segment, (header.src_addr().into(), header.dst_addr().into()))
        }
        _ => return None,
    };
    Some((TcpPacket::new_checked(segment).ok()?, addresses))
}
