//! A conversation: what was said, what was answered, and in which pieces it was read.

use greet_core::Instant;
use greet_smoltcp::pool::Outcome;
use smoltcp::wire::IpEndpoint;

/// A conversation as its client knows it, and as the server does.
#[derive(Debug)]
pub(in crate::simulation) struct Conversation {
    pub(in crate::simulation) client: usize,
    pub(super) endpoint: IpEndpoint,
    /// All that the client has given to its socket.
    pub(in crate::simulation) said: Vec<u8>,
    /// The client has ended its side.
    pub(in crate::simulation) ended: bool,
    /// All that the client was answered.
    pub(in crate::simulation) heard: Vec<u8>,
    /// A reset came to the client.
    pub(in crate::simulation) reset: bool,
    pub(in crate::simulation) served: Option<Served>,
}

/// A conversation as the server knows it.
#[derive(Debug)]
pub(in crate::simulation) struct Served {
    /// Where each read ended, counted in what the client said.
    pub(super) reads: Vec<usize>,
    /// How many bytes the machine has taken.
    pub(in crate::simulation) taken: usize,
    /// When that was, the last time before the server ended its side.
    pub(super) taken_at: Instant,
    pub(in crate::simulation) closed: Option<(Instant, Outcome)>,
}

impl Served {
    /// So much could have been read now, and so much was taken. One read is what is there when all of the last one is
    /// taken, as far as it fits into the buffer.
    pub(super) fn read(&mut self, there: usize, taken: usize, buffer: usize) {
        let (end, taken_end) = (self.taken + there, self.taken + taken);
        let mut boundary = self.reads.last().copied().unwrap_or(0);
        while boundary <= taken_end && boundary < end {
            boundary = end.min(boundary + buffer);
            self.reads.push(boundary);
        }
        self.taken = taken_end;
    }
}

impl Conversation {
    /// What the client said, in the pieces in which the server read it.
    pub(in crate::simulation) fn reads(&self) -> Vec<&[u8]> {
        let boundaries = self.served.as_ref().map_or(&[][..], |served| &served.reads);
        let mut start = 0;
        let piece = |&end: &usize| self.said.get(core::mem::replace(&mut start, end)..end).unwrap_or_default();
        boundaries.iter().map(piece).collect()
    }
}
