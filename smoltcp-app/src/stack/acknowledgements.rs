//! Acknowledgement numbers that smoltcp 0.14 judges otherwise than RFC 9293, 3.10.7.4.
//!
//! Data that comes with an older number than the peer has sent since, because the network has reordered segments: the RFC ignores the
//! number alone; smoltcp drops the whole segment, and the peer has to send the data again after its timeout. Here such a segment
//! gets the newest number and its window before smoltcp sees it.
//!
//! A number beyond what was sent: the RFC answers and drops the segment; smoltcp compares the number with the end of its transmit
//! buffer, and frees bytes that wait behind a closed window and were never sent. Here what is sent is followed.

use smoltcp::wire::{IpAddress, IpEndpoint, TcpPacket, TcpSeqNumber};

use super::lengths::{ETHERNET, LONGEST_FRAME};

/// How many connections are remembered, those that were heard last. Each takes 36 bytes of RAM, or 64 with IPv6.
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
    own: IpEndpoint,
    pub(super) number: TcpSeqNumber,
    window: u16,
    /// The end of what was sent to the peer, if that was followed since the SYN.
    sent: Option<TcpSeqNumber>,
}

/// What an acknowledgement number is.
pub(super) enum Judgement {
    /// One that smoltcp judges rightly.
    Fine,
    /// Older than this one, in a segment with data.
    Old(Latest),
    /// Beyond what was sent; this one came before.
    Unsent(Latest),
}

impl Acknowledgements {
    /// Takes note of a segment that is sent between these addresses.
    pub(super) fn sent(&mut self, (source, destination): (IpAddress, IpAddress), segment: &TcpPacket<&[u8]>) {
        let own = IpEndpoint::new(source, segment.src_port());
        let peer = IpEndpoint::new(destination, segment.dst_port());
        let end = segment.seq_number() + segment.segment_len();
        if segment.syn() {
            return self.insert(Latest { peer, own, number: end, window: 0, sent: Some(end) });
        }
        if let Some(Latest { sent: Some(sent), .. }) = self.find(peer, own)
            && *sent < end
        {
            *sent = end;
        }
    }

    /// Takes note of a segment that was received with these addresses, unless it acknowledges what was not sent.
    pub(super) fn judge(
        &mut self,
        (source, destination): (IpAddress, IpAddress),
        segment: &TcpPacket<&[u8]>,
    ) -> Judgement {
        let peer = IpEndpoint::new(source, segment.src_port());
        let own = IpEndpoint::new(destination, segment.dst_port());
        let (number, window) = (segment.ack_number(), segment.window_len());
        match self.find(peer, own) {
            Some(known) if number < known.number && segment.segment_len() > 0 => return Judgement::Old(*known),
            Some(known) if number < known.number => {}
            Some(known) if known.sent.is_some_and(|sent| sent < number) => return Judgement::Unsent(*known),
            Some(known) => *known = Latest { number, window, ..*known },
            None => self.insert(Latest { peer, own, number, window, sent: None }),
        }
        Judgement::Fine
    }

    fn find(&mut self, peer: IpEndpoint, own: IpEndpoint) -> Option<&mut Latest> {
        self.remembered.iter_mut().flatten().find(|known| known.peer == peer && known.own == own)
    }

    /// In the place of what was remembered of this connection, or of the oldest one.
    fn insert(&mut self, latest: Latest) {
        if let Some(known) = self.find(latest.peer, latest.own) {
            *known = latest;
            return;
        }
        if let Some(oldest) = self.remembered.get_mut(self.oldest) {
            *oldest = Some(latest);
        }
        self.oldest = (self.oldest + 1) % REMEMBERED;
    }

    /// The newest number of this connection.
    pub(super) fn newest(&mut self, peer: IpEndpoint, own: IpEndpoint) -> Option<TcpSeqNumber> {
        self.find(peer, own).map(|known| known.number)
    }

    /// Forgets a number that turned out to be wrong.
    pub(super) fn forget(&mut self, wrong: &Latest) {
        let is_wrong = |known: &Latest| known.peer == wrong.peer && known.own == wrong.own;
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
