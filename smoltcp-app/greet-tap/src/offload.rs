//! Segmentation offload: the header that Linux puts before each frame (`struct virtio_net_hdr`), and the checksums that it and
//! this program leave to each other.
//!
//! With it a TCP segment may be longer than the link's MTU, up to 64 KB. Linux splits it only where it leaves the computer, and
//! computes its checksum there. So only a segment in a frame that is too long for a usual Ethernet lacks its checksum; every
//! other frame has it, as on any link.

use core::num::NonZeroU16;

use smoltcp::wire::{
    EthernetFrame, EthernetProtocol, IpAddress, IpProtocol, Ipv4Packet, Ipv6Packet, TcpPacket, checksum,
};

/// Length of the header in bytes.
pub(crate) const HEADER: usize = 10;
/// The longest frame with an IP packet: the length of IPv4 counts to 65,535.
pub(crate) const LONGEST: usize = ETHERNET + 65_535;

const ETHERNET: usize = 14;
/// The longest frame that has its checksum in any case: that of an Ethernet with the usual MTU.
const USUAL: usize = ETHERNET + 1500;

/// The flag that says that the checksum field has the sum of the pseudo-header alone (`VIRTIO_NET_HDR_F_NEEDS_CSUM`).
const NEEDS_CHECKSUM: u8 = 1;
/// The kind of a segment of TCP over IPv4 that is to be split (`VIRTIO_NET_HDR_GSO_TCPV4`); 0 is a frame that is not.
const TCP_IPV4: u8 = 1;
/// The offset of the checksum in a TCP header.
const TCP_CHECKSUM: u16 = 16;

/// Reads the header of a received frame, and completes its checksum; that of a long TCP segment is left out. Returns the size of
/// the parts that such a segment is to be split into, the largest number if it is not to be split.
pub(crate) fn receive(header: &[u8; HEADER], frame: &mut [u8]) -> Option<NonZeroU16> {
    let &[flags, kind, _, _, size_low, size_high, start_low, start_high, offset_low, offset_high] = header;
    if kind != 0 {
        return NonZeroU16::new(u16::from_le_bytes([size_low, size_high]));
    }
    if flags & NEEDS_CHECKSUM == 0 {
        return None;
    }
    let start = u16::from_le_bytes([start_low, start_high]);
    let offset = u16::from_le_bytes([offset_low, offset_high]);
    if frame.len() > USUAL && offset == TCP_CHECKSUM {
        return Some(NonZeroU16::MAX);
    }
    complete(frame.get_mut(start.into()..).unwrap_or_default(), offset.into());
    None
}

/// Completes the checksum at `offset` in the TCP segment or UDP datagram.
fn complete(content: &mut [u8], offset: usize) {
    let sum = match !checksum::data(content) {
        0 => u16::MAX, // in UDP 0 means that there is no checksum; in TCP both are the same
        sum => sum,
    };
    if let Some(field) = content.get_mut(offset..).and_then(<[u8]>::first_chunk_mut) {
        *field = sum.to_be_bytes();
    }
}

/// Writes the checksum of a TCP segment that is sent; that of a long one, or one to be split into parts of `size` bytes, is left to
/// Linux. Returns the header for the frame.
pub(crate) fn transmit(frame: &mut [u8], size: Option<NonZeroU16>) -> [u8; HEADER] {
    let is_long = frame.len() > USUAL;
    let header = tcp(frame).and_then(|(start, segment, source, destination)| {
        let length = u32::try_from(segment.len()).ok()?;
        let mut segment = TcpPacket::new_checked(segment).ok()?;
        let (kind, size) = match size {
            Some(size) => (TCP_IPV4, size.get()),
            None if is_long => (0, 0),
            None => {
                segment.fill_checksum(&source, &destination);
                return None;
            }
        };
        segment.set_checksum(checksum::pseudo_header(&source, &destination, IpProtocol::Tcp, length));
        let headers = u16::try_from(start).ok()?.checked_add(segment.header_len().into())?;
        let [headers, size, start] = [headers, size, u16::try_from(start).ok()?].map(u16::to_le_bytes);
        let offset = TCP_CHECKSUM.to_le_bytes();
        let [[a, b], [c, d], [e, f], [g, h]] = [headers, size, start, offset];
        Some([NEEDS_CHECKSUM, kind, a, b, c, d, e, f, g, h])
    });
    header.unwrap_or_default()
}

/// The TCP segment in this frame, where it begins, and its addresses.
fn tcp(frame: &mut [u8]) -> Option<(usize, &mut [u8], IpAddress, IpAddress)> {
    let frame = EthernetFrame::new_checked(frame).ok()?;
    let ethertype = frame.ethertype();
    let packet = frame.into_inner().get_mut(ETHERNET..)?;
    let (protocol, bounds, source, destination) = match ethertype {
        EthernetProtocol::Ipv4 => {
            let packet = Ipv4Packet::new_checked(&*packet).ok()?;
            if packet.more_frags() || packet.frag_offset() != 0 {
                return None;
            }
            let bounds = packet.header_len().into()..packet.total_len().into();
            (packet.next_header(), bounds, packet.src_addr().into(), packet.dst_addr().into())
        }
        EthernetProtocol::Ipv6 => {
            let packet = Ipv6Packet::new_checked(&*packet).ok()?;
            let bounds = packet.header_len()..packet.total_len();
            (packet.next_header(), bounds, packet.src_addr().into(), packet.dst_addr().into())
        }
        _ => return None,
    };
    let start = ETHERNET.checked_add(bounds.start)?;
    (protocol == IpProtocol::Tcp).then_some((start, packet.get_mut(bounds)?, source, destination))
}

#[cfg(test)]
mod tests {
    use smoltcp::wire::{Ipv4Address, Ipv6Address};

    use super::*;

    const IPV4: (IpAddress, IpAddress) =
        (IpAddress::Ipv4(Ipv4Address::new(192, 168, 69, 1)), IpAddress::Ipv4(Ipv4Address::new(192, 168, 69, 100)));
    const IPV6: (IpAddress, IpAddress) = (
        IpAddress::Ipv6(Ipv6Address::new(0xfdaa, 0, 0, 0, 0, 0, 0, 1)),
        IpAddress::Ipv6(Ipv6Address::new(0xfdaa, 0, 0, 0, 0, 0, 0, 0x100)),
    );
    const TCP: IpProtocol = IpProtocol::Tcp;

    /// A frame with a segment of `length` bytes without options, whose checksum is 0.
    fn frame((source, destination): (IpAddress, IpAddress), length: usize) -> Vec<u8> {
        let (mut packet, ethertype) = match (source, destination) {
            (IpAddress::Ipv4(source), IpAddress::Ipv4(destination)) => {
                let mut bytes = vec![0; 20 + length];
                let mut packet = Ipv4Packet::new_unchecked(&mut bytes);
                packet.set_version(4);
                packet.set_header_len(20);
                packet.set_total_len((20 + length).try_into().unwrap());
                packet.set_next_header(TCP);
                packet.set_src_addr(source);
                packet.set_dst_addr(destination);
                (bytes, [8, 0])
            }
            (IpAddress::Ipv6(source), IpAddress::Ipv6(destination)) => {
                let mut bytes = vec![0; 40 + length];
                let mut packet = Ipv6Packet::new_unchecked(&mut bytes);
                packet.set_version(6);
                packet.set_payload_len(length.try_into().unwrap());
                packet.set_next_header(TCP);
                packet.set_src_addr(source);
                packet.set_dst_addr(destination);
                (bytes, [0x86, 0xdd])
            }
            _ => unreachable!(),
        };
        let start = packet.len() - length;
        TcpPacket::new_unchecked(&mut packet[start..]).set_header_len(20);
        for (number, byte) in packet[start + 20..].iter_mut().enumerate() {
            *byte = u8::try_from(number % 251).unwrap();
        }
        [&[2; 12][..], &ethertype, &packet].concat()
    }

    fn is_whole(frame: &[u8], (source, destination): (IpAddress, IpAddress), length: usize) -> bool {
        TcpPacket::new_checked(&frame[frame.len() - length..]).unwrap().verify_checksum(&source, &destination)
    }

    #[test]
    fn a_frame_of_the_link_is_sent_with_its_checksum_and_an_empty_header() {
        for (addresses, length) in [(IPV4, 20), (IPV4, 1001), (IPV6, 20), (IPV6, 1001)] {
            let mut frame = frame(addresses, length);
            assert!(!is_whole(&frame, addresses, length));
            assert_eq!(transmit(&mut frame, None), [0; HEADER]);
            assert!(is_whole(&frame, addresses, length), "{addresses:?}, {length} bytes");
        }
        let mut other = [vec![2; 12], vec![8, 6], vec![7; 28]].concat(); // ARP
        let unchanged = other.clone();
        assert_eq!(transmit(&mut other, None), [0; HEADER]);
        assert_eq!(other, unchanged);
    }

    #[test]
    fn a_fragment_is_sent_unchanged() {
        let mut frame = frame(IPV4, 100);
        Ipv4Packet::new_unchecked(&mut frame[14..]).set_more_frags(true);
        let unchanged = frame.clone();
        assert_eq!(transmit(&mut frame, None), [0; HEADER]);
        assert_eq!(frame, unchanged);
    }

    #[test]
    fn the_checksum_of_a_long_segment_is_completed_by_whoever_splits_it() {
        let length = 20 + 5000;
        let mut frame = frame(IPV4, length);
        let header = transmit(&mut frame, NonZeroU16::new(1460));
        let [size, headers, start] = [1460, 54, 34].map(u16::to_le_bytes);
        assert_eq!(header, [1, 1, headers[0], headers[1], size[0], size[1], start[0], start[1], 16, 0]);
        assert!(!is_whole(&frame, IPV4, length));
        complete(&mut frame[34..], 16);
        assert!(is_whole(&frame, IPV4, length));
    }

    #[test]
    fn the_checksum_of_a_received_frame_is_completed_if_linux_has_left_it_out() {
        let complete_it = [1, 0, 0, 0, 0, 0, 34, 0, 16, 0];
        for length in [20, 21, 1480] {
            let mut frame = frame(IPV4, length);
            let pseudo_header = checksum::pseudo_header(&IPV4.0, &IPV4.1, TCP, length.try_into().unwrap());
            frame[50..52].copy_from_slice(&pseudo_header.to_be_bytes());
            let sent = frame.clone();
            assert_eq!(receive(&[0; HEADER], &mut frame), None);
            assert_eq!(frame, sent, "it is complete, or wrong");
            assert_eq!(receive(&complete_it, &mut frame), None);
            assert!(is_whole(&frame, IPV4, length));
        }
    }

    #[test]
    fn the_checksum_of_a_long_frame_is_left_out_also_if_it_is_not_to_be_split() {
        for (addresses, start) in [(IPV4, 34), (IPV6, 54)] {
            let mut frame = frame(addresses, 20 + 5000);
            let header = transmit(&mut frame, None);
            assert_eq!(header, [1, 0, start + 20, 0, 0, 0, start, 0, 16, 0]);
            let sent = frame.clone();
            assert_eq!(receive(&header, &mut frame), Some(NonZeroU16::MAX));
            assert_eq!(frame, sent);
            complete(&mut frame[start.into()..], 16);
            assert!(is_whole(&frame, addresses, 20 + 5000));
        }
    }

    #[test]
    fn a_received_segment_that_is_not_split_says_so_and_is_not_touched() {
        let mut frame = frame(IPV4, 20 + 30_000);
        let sent = frame.clone();
        assert_eq!(receive(&[1, 1, 54, 0, 0xb4, 5, 34, 0, 16, 0], &mut frame), NonZeroU16::new(1460));
        assert_eq!(frame, sent);
    }

    #[test]
    fn a_header_that_names_bytes_outside_of_its_frame_changes_nothing() {
        for [start, offset] in [[255, 16], [0, 255], [99, 1], [100, 0], [101, 0]] {
            let mut frame = vec![7; 100];
            receive(&[1, 0, 0, 0, 0, 0, start, 0, offset, 0], &mut frame);
            assert_eq!(frame, [7; 100]);
        }
    }
}
