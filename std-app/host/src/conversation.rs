//! What a server records of one conversation, in its log and its counters.

use core::net::SocketAddr;

use greet_core::{Instant, ServerEvent};

use crate::{
    clock,
    counters::{Counters, EndReason, Tally},
    log::Log,
};

/// One conversation, from the accepted connection to its end.
#[must_use = "its end is to be recorded too"]
#[derive(Debug)]
pub struct Conversation<'a> {
    log: &'a Log,
    peer: SocketAddr,
    start: Instant,
    tally: Tally<'a>,
}

impl<'a> Conversation<'a> {
    /// A connection from `peer` was accepted.
    pub fn begin(log: &'a Log, counters: &'a Counters, peer: SocketAddr) -> Self {
        log.accepted(peer);
        Self { log, peer, start: clock::now(), tally: counters.begin() }
    }

    /// When it began.
    #[must_use]
    pub const fn start(&self) -> Instant {
        self.start
    }

    /// Its machine reports an event. `now` is called only if latencies are measured.
    pub fn on_event(&mut self, event: ServerEvent<'_>, now: impl FnOnce() -> Instant) {
        self.tally.on_event(&event, now);
        self.log.on_event(self.peer, event);
    }

    /// It has received and sent this many bytes so far. `now` is called only if latencies are measured.
    pub fn moved(&mut self, received: u64, sent: u64, now: impl FnOnce() -> Instant) {
        self.tally.moved(received, sent, now);
    }

    /// As [`moved`](Self::moved), with the number of bytes since the last call.
    pub fn moved_more(&mut self, received: usize, sent: usize, now: impl FnOnce() -> Instant) {
        let traffic = self.tally.traffic();
        let (received, sent) =
            (traffic.received.saturating_add(received as u64), traffic.sent.saturating_add(sent as u64));
        self.tally.moved(received, sent, now);
    }

    /// It has ended.
    pub fn end(self, reason: EndReason) {
        let duration = clock::now().since(self.start);
        let traffic = self.tally.end(reason);
        self.log.closed(self.peer, duration, &traffic, reason);
    }
}
