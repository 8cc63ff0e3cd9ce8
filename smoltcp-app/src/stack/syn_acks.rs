//! The last SYN-ACKs that were sent, to answer a repeated SYN (RFC 9293, 3.10.7.4): smoltcp 0.14 does not answer it.

use smoltcp::wire::IpEndpoint;

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
    in_frame(frame.bytes()).is_some_and(|(segment, (source, destination))| {
        IpEndpoint::new(source, segment.src_port()) == syn.destination
            && IpEndpoint::new(destination, segment.dst_port()) == syn.source
    })
}
