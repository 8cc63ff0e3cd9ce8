//! A conversation as the ledger records it: the bytes sent and received, and how the server's reads divided them.

use greet_core::Instant;
use greet_smoltcp::pool::Outcome;
use smoltcp::wire::IpEndpoint;

/// A conversation, as the client and the server see it.
#[derive(Debug)]
pub(in crate::simulation) struct Conversation {
    pub(in crate::simulation) client: usize,
    /// The client's endpoint.
    pub(super) endpoint: IpEndpoint,
    /// All bytes that the client has passed to its socket.
    pub(in crate::simulation) sent: Vec<u8>,
    /// The client has sent its FIN.
    pub(in crate::simulation) ended: bool,
    /// All bytes that the client has received.
    pub(in crate::simulation) received: Vec<u8>,
    /// The client has received a reset.
    pub(in crate::simulation) reset: bool,
    /// The server's view, once it has accepted the connection.
    pub(in crate::simulation) served: Option<Served>,
}

/// The server's view of a conversation.
#[derive(Debug)]
pub(in crate::simulation) struct Served {
    /// The end of each read, as an offset in the bytes that the client sent.
    pub(super) reads: Vec<usize>,
    /// Number of bytes that the machine has taken.
    pub(in crate::simulation) taken: usize,
    /// When it last took bytes before the server's FIN.
    pub(super) taken_at: Instant,
    pub(in crate::simulation) closed: Option<(Instant, Outcome)>,
}

impl Served {
    /// Records that `there` bytes were available and `taken` were taken. When the last read is taken completely, the next
    /// read is all available bytes that fit in the buffer.
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
    /// The bytes that the client sent, split as the server has read them.
    pub(in crate::simulation) fn reads(&self) -> Vec<&[u8]> {
        let boundaries = self.served.as_ref().map_or(&[][..], |served| &served.reads);
        let mut start = 0;
        let piece = |&end: &usize| self.sent.get(core::mem::replace(&mut start, end)..end).unwrap_or_default();
        boundaries.iter().map(piece).collect()
    }
}
