//! Data that comes with an older acknowledgement number than the peer has sent since: the network has reordered segments.
//!
//! RFC 9293, 3.10.7.4 ignores the number alone; smoltcp 0.14 drops the whole segment, and the peer has to send the data again
//! after its timeout. Here such a segment gets the newest number and its window before smoltcp sees it.

use smoltcp::wire::{IpAddress, IpEndpoint, TcpPacket, TcpSeqNumber};

use super::lengths::{ETHERNET, LONGEST_FRAME};

/// How many connections are remembered, those that were heard last. Each takes 28 bytes of RAM, or 40 with IPv6.
const REMEMBERED: usize = 4;

/// What is remembered of connections.
#[derive(Default)]
pub(super) struct Acknowledgements {
    remembered: [Option<Latest>; REMEMBERED],
    /// The oldest of them.
    oldest: usize,
}

/// The newest acknowledgement of a peer. It may be wrong: its segment was not verified.
#[derive(Clone, Copy)]
pub(super) struct Latest {
    peer: IpEndpoint,
    port: u16,
    pub(super) number: TcpSeqNumber,
    window: u16,
}

impl Acknowledgements {
    /// Takes note of a segment with this source address. If it has data and an older number than another one before, returns
    /// that one.
    pub(super) fn newer(&mut self, source: IpAddress, segment: &TcpPacket<&[u8]>) -> Option<Latest> {
        let latest = Latest {
            peer: IpEndpoint::new(source, segment.src_port()),
            port: segment.dst_port(),
            number: segment.ack_number(),
            window: segment.window_len(),
        };
        let known =
            self.remembered.iter_mut().flatten().find(|known| known.port == latest.port && known.peer == latest.peer);
        match known {
            Some(known) if latest.number < known.number => (segment.segment_len() > 0).then_some(*known),
            Some(known) => {
                *known = latest;
                None
            }
            None => {
                if let Some(oldest) = self.remembered.get_mut(self.oldest) {
                    *oldest = Some(latest);
                }
                self.oldest = (self.oldest + 1) % REMEMBERED;
                None
            }
        }
    }

    /// The newest number from this peer to this port.
    pub(super) fn newest(&self, peer: IpEndpoint, port: u16) -> Option<TcpSeqNumber> {
        let is_known = |known: &&Latest| known.port == port && known.peer == peer;
        self.remembered.iter().flatten().find(is_known).map(|known| known.number)
    }

    /// Forgets a number that turned out to be wrong.
    pub(super) fn forget(&mut self, wrong: &Latest) {
        let is_wrong = |known: &Latest| known.port == wrong.port && known.peer == wrong.peer;
        if let Some(known) = self.remembered.iter_mut().find(|known| known.as_ref().is_some_and(is_wrong)) {
            *known = None;
        }
    }
}

impl Latest {
    /// Passes `frame` to `receive` with this acknowledgement in its segment, which has these addresses and this length. Not inlined:
    /// the copy takes stack only while it is needed.
    #[inline(never)]
    pub(super) fn replace(
        &self,
        frame: &[u8],
        (source, destination): (IpAddress, IpAddress),
        length: usize,
        receive: impl FnOnce(&[u8]),
    ) {
        let header = match source {
            #[cfg(feature = "ipv4")]
            IpAddress::Ipv4(_) => usize::from(frame.get(ETHERNET).copied().unwrap_or_default() & 15) * 4,
            #[cfg(feature = "ipv6")]
            IpAddress::Ipv6(_) => 40,
        };
        let mut copy = [0; LONGEST_FRAME];
        // Only segmentation offload makes longer ones.
        let Some(copy) = copy.get_mut(..frame.len()) else { return receive(frame) };
        copy.copy_from_slice(frame);
        let start = ETHERNET + header;
        let segment = copy.get_mut(start..start + length).unwrap_or_default();
        let Ok(mut segment) = TcpPacket::new_checked(segment) else { return };
        segment.set_ack_number(self.number);
        segment.set_window_len(self.window);
        segment.fill_checksum(&source, &destination);
        receive(copy);
    }
}
