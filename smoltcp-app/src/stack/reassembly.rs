//! Reassembly of IPv4 fragments (RFC 791, 3.2; RFC 1122, 3.3.2) and IPv6 fragments (RFC 8200, 4.5) before the filter, which then sees
//! whole packets only.
//!
//! smoltcp 0.14 reassembles IPv4 alone, behind the filter, and refuses further packets for 60 s once its buffers hold incomplete ones
//! (`iface/fragmentation.rs`, `PacketAssemblerSet::get`). Here a new packet replaces the oldest incomplete one.

use core::time::Duration;

use greet_core::Instant;
#[cfg(feature = "ipv6")]
use smoltcp::wire::Ipv6Packet;
use smoltcp::wire::{EthernetFrame, EthernetProtocol, IpAddress, IpProtocol, Ipv4Packet};

use super::lengths::{ETHERNET, LONGEST_FRAME};

/// Packets that can be incomplete at the same time.
const SLOTS: usize = 8;
/// How long the fragments of a packet are kept after the first one arrived, as long as Linux keeps them.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Length of the Ethernet header and the longest IPv4 header.
const HEADERS: usize = ETHERNET + 60;
/// The longest frame with a reassembled packet, which is as long as one that an Ethernet carries whole.
pub(super) const FRAME: usize = LONGEST_FRAME;
/// The longest payload of such a packet.
const PAYLOAD: usize = FRAME - ETHERNET - 20;
/// Fragments begin at multiples of this.
const BLOCK: usize = 8;

/// A fragment.
pub(super) struct Fragment<'f> {
    key: Key,
    /// The frame's headers but the fragment header.
    headers: &'f [u8],
    /// What the whole packet carries.
    protocol: IpProtocol,
    /// Where its data begins in the payload of the packet.
    offset: usize,
    data: &'f [u8],
    is_last: bool,
}

/// What the fragments of one packet have in common: addresses, identification, and in IPv4 the protocol. Numbers, because an
/// `Option` of them is all zero when it is `None`.
type Key = (u128, u128, u32, u8);

/// The key of a packet; IPv6 has no protocol in it.
fn key(source: IpAddress, destination: IpAddress, identification: u32, protocol: u8) -> Key {
    let number = |address| match address {
        IpAddress::Ipv4(address) => address.to_bits().into(),
        #[cfg(feature = "ipv6")]
        IpAddress::Ipv6(address) => address.to_bits(),
    };
    (number(source), number(destination), identification, protocol)
}

/// Whether this packet is a fragment.
pub(super) fn is_fragment(packet: &Ipv4Packet<&[u8]>) -> bool {
    packet.more_frags() || packet.frag_offset() != 0
}

/// Whether this packet is a fragment: one that is a whole packet (RFC 6946) is none, and neither is one with other extension headers
/// before the fragment header.
#[cfg(feature = "ipv6")]
pub(super) fn is_fragment_ipv6(packet: &Ipv6Packet<&[u8]>) -> bool {
    packet.next_header() == IpProtocol::Ipv6Frag
        && matches!(packet.payload(), [_, _, high, low, _, _, _, _, ..] if (high, low & !6) != (&0, 0))
}

/// Whether this frame has a fragment of a packet.
pub(super) fn has_fragment(frame: &[u8]) -> bool {
    EthernetFrame::new_checked(frame).is_ok_and(|frame| match frame.ethertype() {
        EthernetProtocol::Ipv4 => Ipv4Packet::new_checked(frame.payload()).is_ok_and(|packet| is_fragment(&packet)),
        #[cfg(feature = "ipv6")]
        EthernetProtocol::Ipv6 => {
            Ipv6Packet::new_checked(frame.payload()).is_ok_and(|packet| is_fragment_ipv6(&packet))
        }
        _ => false,
    })
}

impl<'f> Fragment<'f> {
    /// The fragment that this packet is, the one of the frame.
    pub(super) fn ipv4(frame: &'f [u8], packet: &Ipv4Packet<&'f [u8]>) -> Option<Self> {
        let protocol = packet.next_header();
        let fragment = Self {
            key: key(packet.src_addr().into(), packet.dst_addr().into(), packet.ident().into(), protocol.into()),
            headers: frame.get(..ETHERNET + usize::from(packet.header_len()))?,
            protocol,
            offset: packet.frag_offset().into(),
            data: packet.payload(),
            is_last: !packet.more_frags(),
        };
        Some(fragment).filter(|fragment| packet.verify_checksum() && fragment.is_valid())
    }

    /// The fragment that this packet is, the one of the frame.
    #[cfg(feature = "ipv6")]
    pub(super) fn ipv6(frame: &'f [u8], packet: &Ipv6Packet<&'f [u8]>) -> Option<Self> {
        let (&[next, _, high, low, ref identification @ ..], data) = packet.payload().split_first_chunk::<8>()?;
        let identification = u32::from_be_bytes(*identification.first_chunk()?);
        let fragment = Self {
            key: key(packet.src_addr().into(), packet.dst_addr().into(), identification, 0),
            headers: frame.get(..ETHERNET + 40)?,
            protocol: next.into(),
            offset: usize::from(u16::from_be_bytes([high, low & !7])),
            data,
            is_last: low & 1 == 0,
        };
        Some(fragment).filter(Self::is_valid)
    }

    fn is_valid(&self) -> bool {
        !self.data.is_empty() && (self.is_last || self.data.len().is_multiple_of(BLOCK))
    }
}

/// Memory for the packets of which fragments are missing: about 14 KB. [`Stack::reassemble`](super::Stack::reassemble) takes it.
///
/// It is all zero in the beginning: a static one takes no flash.
pub struct Fragments {
    slots: [Slot; SLOTS],
}

impl core::fmt::Debug for Fragments {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let packets = self.slots.iter().filter(|slot| slot.key.is_some()).count();
        formatter.debug_struct("Fragments").field("packets", &packets).finish_non_exhaustive()
    }
}

impl Default for Fragments {
    fn default() -> Self {
        Self::new()
    }
}

impl Fragments {
    /// Memory without packets.
    #[must_use]
    pub const fn new() -> Self {
        Self { slots: [const { Slot::new() }; SLOTS] }
    }

    /// Adds a fragment. Once its packet is complete, returns a frame with the whole packet, in `whole`.
    pub(super) fn add<'w>(
        &mut self,
        fragment: &Fragment<'_>,
        now: Instant,
        whole: &'w mut [u8; FRAME],
    ) -> Option<&'w [u8]> {
        let slot = self.slot(fragment.key, now)?;
        match slot.add(fragment) {
            Progress::Incomplete => None,
            Progress::Contradiction => {
                slot.key = None;
                None
            }
            Progress::Complete(total) => {
                slot.key = None;
                slot.write(total, whole)
            }
        }
    }

    /// The slot of the packet with this key: its own, one that is free, or that of the oldest packet.
    fn slot(&mut self, key: Key, now: Instant) -> Option<&mut Slot> {
        for slot in &mut self.slots {
            if slot.key.is_some() && now.since(slot.started) >= TIMEOUT {
                slot.key = None;
            }
        }
        let own = self.slots.iter().position(|slot| slot.key == Some(key));
        if let Some(own) = own {
            return self.slots.get_mut(own);
        }
        let slot = self.slots.iter_mut().min_by_key(|slot| slot.key.map(|_| slot.started))?;
        slot.begin(key, now);
        Some(slot)
    }
}

/// What a packet lacks after a fragment was added.
enum Progress {
    Incomplete,
    /// All of it is there: the length of its payload.
    Complete(usize),
    /// The fragment does not fit those before, or the packet is too long: the packet is dropped. Overlaps are only used in
    /// attacks (RFC 5722 forbids them in IPv6); a repeated fragment is ignored.
    Contradiction,
}

/// The fragments of one packet.
struct Slot {
    /// `None` if the slot is free.
    key: Option<Key>,
    started: Instant,
    /// The headers of the first fragment; their length is 0 until it arrives.
    headers: [u8; HEADERS],
    headers_length: usize,
    /// Of the first fragment.
    #[cfg(feature = "ipv6")]
    protocol: u8,
    payload: [u8; PAYLOAD],
    /// Which blocks of the payload have arrived.
    arrived: [bool; PAYLOAD.div_ceil(BLOCK)],
    /// Length of the payload, known from the last fragment.
    total: Option<usize>,
}

impl Slot {
    const fn new() -> Self {
        Self {
            key: None,
            started: Instant::ZERO,
            headers: [0; HEADERS],
            headers_length: 0,
            #[cfg(feature = "ipv6")]
            protocol: 0,
            payload: [0; PAYLOAD],
            arrived: [false; PAYLOAD.div_ceil(BLOCK)],
            total: None,
        }
    }

    /// Starts the packet with this key.
    fn begin(&mut self, key: Key, now: Instant) {
        self.key = Some(key);
        self.started = now;
        self.headers_length = 0;
        self.arrived.fill(false);
        self.total = None;
    }

    fn add(&mut self, &Fragment { headers, protocol, offset: start, data, is_last, .. }: &Fragment<'_>) -> Progress {
        let end = start + data.len();
        let (first, last) = (start / BLOCK, end.div_ceil(BLOCK));
        let (Some(place), Some(blocks)) = (self.payload.get_mut(start..end), self.arrived.get_mut(first..last)) else {
            return Progress::Contradiction;
        };
        if blocks.iter().all(|&has_arrived| has_arrived) {
            return Progress::Incomplete;
        }
        if blocks.contains(&true) || self.total.is_some_and(|total| end > total) {
            return Progress::Contradiction;
        }
        place.copy_from_slice(data);
        blocks.fill(true);
        if is_last {
            let is_end = !self.arrived.iter().skip(last).any(|&has_arrived| has_arrived);
            if self.total.is_some() || !is_end {
                return Progress::Contradiction;
            }
            self.total = Some(end);
        }
        if start == 0 {
            // Of fragments of fragments each level would take the stack of a frame.
            let (Some(place), false) = (self.headers.get_mut(..headers.len()), protocol == IpProtocol::Ipv6Frag) else {
                return Progress::Contradiction;
            };
            place.copy_from_slice(headers);
            self.headers_length = headers.len();
            #[cfg(feature = "ipv6")]
            {
                self.protocol = protocol.into();
            }
        }
        match self.total {
            Some(total) if self.arrived.iter().take(total.div_ceil(BLOCK)).all(|&has_arrived| has_arrived) => {
                Progress::Complete(total)
            }
            _ => Progress::Incomplete,
        }
    }

    /// Writes the whole packet in a frame; `None` if it is too long with its options.
    fn write<'w>(&self, total: usize, whole: &'w mut [u8; FRAME]) -> Option<&'w [u8]> {
        let whole = whole.get_mut(..self.headers_length.checked_add(total)?)?;
        let (headers, payload) = whole.split_at_mut_checked(self.headers_length)?;
        headers.copy_from_slice(self.headers.get(..self.headers_length)?);
        payload.copy_from_slice(self.payload.get(..total)?);
        let packet = whole.get_mut(ETHERNET..)?;
        #[cfg(feature = "ipv6")]
        if packet.first()? >> 4 == 6 {
            let mut packet = Ipv6Packet::new_unchecked(packet);
            packet.set_next_header(self.protocol.into());
            packet.set_payload_len(u16::try_from(total).ok()?);
            return Some(whole);
        }
        let length = u16::try_from(packet.len()).ok()?;
        let mut packet = Ipv4Packet::new_unchecked(packet);
        packet.set_total_len(length);
        packet.clear_flags();
        packet.set_frag_offset(0);
        packet.fill_checksum();
        Some(whole)
    }
}
