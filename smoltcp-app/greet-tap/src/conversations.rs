//! The open conversations of `greet-tap serve`: what is recorded of each, and the limits that end some.

use core::time::Duration;
use std::collections::HashMap;

use greet_core::{Instant, ServerMachine};
use greet_host::{
    clock,
    conversation::Conversation,
    counters::{Counters, EndReason, Refusal},
    limits::{Admission, Demand, Peers, TimeLimit},
    log::Log,
};
use greet_smoltcp::{
    pool::{Event, Outcome, Pool},
    time::earliest,
};
use smoltcp::{iface::SocketSet, wire::IpEndpoint};

/// The conversations by client, and the limits.
#[derive(Debug)]
pub(crate) struct Conversations<'a> {
    log: &'a Log,
    counters: &'a Counters,
    peers: Option<&'a Peers>,
    max_duration: Option<Duration>,
    open: HashMap<IpEndpoint, Open<'a>>,
    /// Clients whose connections are to be reset.
    refused: Vec<IpEndpoint>,
}

/// An open conversation.
#[derive(Debug)]
struct Open<'a> {
    conversation: Conversation<'a>,
    limit: TimeLimit,
    _admission: Option<Admission<'a>>,
}

impl<'a> Conversations<'a> {
    pub(crate) fn new(
        log: &'a Log,
        counters: &'a Counters,
        peers: Option<&'a Peers>,
        max_duration: Option<Duration>,
    ) -> Self {
        Self { log, counters, peers, max_duration, open: HashMap::new(), refused: Vec::new() }
    }

    /// Records an event of the pool.
    pub(crate) fn record(&mut self, now: Instant, event: Event<'_>) {
        match event {
            Event::Accepted(peer) => self.accept(peer),
            Event::Heard(peer, event) => {
                if let Some(open) = self.open.get_mut(&peer) {
                    open.conversation.on_event(event, || now);
                }
            }
            Event::Moved(peer, progress) => {
                if let Some(open) = self.open.get_mut(&peer) {
                    open.conversation.moved_more(progress.received, progress.sent, clock::now);
                }
            }
            Event::Closed(peer, outcome) => {
                if let Some(Open { conversation, limit, .. }) = self.open.remove(&peer) {
                    conversation.end(match outcome {
                        _ if limit.has_expired() => EndReason::MaxDuration,
                        Outcome::Completed(end) => end.into(),
                        Outcome::Reset => EndReason::Reset,
                        Outcome::Vanished => EndReason::Vanished,
                    });
                }
            }
        }
    }

    fn accept(&mut self, peer: IpEndpoint) {
        let admission = self.peers.map(|peers| peers.admit(peer.addr.into()));
        if admission.as_ref().is_some_and(Option::is_none) {
            self.counters.refuse(Refusal::MaxPerPeer);
            self.log.refused(peer.into(), Refusal::MaxPerPeer);
            self.refused.push(peer);
            return;
        }
        let conversation = Conversation::begin(self.log, self.counters, peer.into());
        let limit = TimeLimit::new(conversation.start(), self.max_duration);
        self.open.insert(peer, Open { conversation, limit, _admission: admission.flatten() });
    }

    /// Resets refused connections, and ends the conversations that have lasted too long. Returns when to call it again.
    pub(crate) fn enforce_limits<S: ServerMachine>(
        &mut self,
        now: Instant,
        pool: &mut Pool<'_, S>,
        sockets: &mut SocketSet<'_>,
    ) -> Option<Instant> {
        for peer in self.refused.drain(..) {
            pool.reset_connection(sockets, peer);
        }
        self.max_duration?;
        let mut next = None;
        for (&peer, Open { limit, .. }) in &mut self.open {
            match limit.check(|| now) {
                Demand::Nothing => {}
                Demand::Close => pool.close_conversation(now, peer),
                Demand::CutOff => pool.reset_connection(sockets, peer),
            }
            next = earliest(next, limit.until());
        }
        next
    }
}
