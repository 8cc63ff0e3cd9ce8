//! The last SYN-ACKs that were sent, to answer a repeated SYN (RFC 9293, 3.10.7.4): smoltcp 0.14 does not answer it.

use smoltcp::wire::{IpAddress, IpEndpoint};

use super::segment::{Frame, Segment, in_frame};

/// How many are remembered. Each takes 120 bytes of RAM.
const REMEMBERED: usize = 2;

#[derive(Default)]
pub(super) struct SynAcks {
    remembered: [Option<Frame>; REMEMBERED],
    /// The oldest of them.
    oldest: usize,
}

impl SynAcks {
    /// Takes note of a frame that is sent.
    pub(super) fn remember(&mut self, frame: &[u8]) {
        if let Some(oldest) = self.remembered.get_mut(self.oldest) {
            *oldest = Frame::copy(frame);
        }
        self.oldest = (self.oldest + 1) % REMEMBERED;
    }

    /// The SYN-ACK to the host and port that this SYN comes from.
    pub(super) fn find(&self, syn: &Segment) -> Option<&Frame> {
        // The newest first.
        let (newer, older) = self.remembered.split_at(self.oldest);
        newer.iter().rev().chain(older.iter().rev()).flatten().find(|frame| answers(frame, syn))
    }

    /// A new connection begins with this SYN: those of older ones are forgotten.
    pub(super) fn forget(&mut self, syn: &Segment) {
        for frame in &mut self.remembered {
            if frame.as_ref().is_some_and(|frame| answers(frame, syn)) {
                *frame = None;
            }
        }
    }
}

/// Whether this frame is of the connection of this SYN.
fn answers(frame: &Frame, syn: &Segment) -> bool {
    let (Some(segment), Some((source, destination))) = (in_frame(frame.bytes()), addresses(frame.bytes())) else {
        return false;
    };
    IpEndpoint::new(source, segment.src_port()) == syn.destination
        && IpEndpoint::new(destination, segment.dst_port()) == syn.source
}

/// The IP addresses of this frame.
fn addresses(frame: &[u8]) -> Option<(IpAddress, IpAddress)> {
    let (header, packet) = frame.split_first_chunk::<14>()?;
    match header {
        #[cfg(feature = "ipv4")]
        [.., 8, 0] => {
            let packet = smoltcp::wire::Ipv4Packet::new_checked(packet).ok()?;
            Some((packet.src_addr().into(), packet.dst_addr().into()))
        }
        #[cfg(feature = "ipv6")]
        [.., 0x86, 0xdd] => {
            let packet = smoltcp::wire::Ipv6Packet::new_checked(packet).ok()?;
            Some((packet.src_addr().into(), packet.dst_addr().into()))
        }
        _ => None,
    }
}
