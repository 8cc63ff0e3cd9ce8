//! The ledger: what really passed between each client and the server, and what follows from it for the pool.

mod conversation;
mod link;
mod shown;

use core::{
    hash::{Hash, Hasher},
    time::Duration,
};
use std::{collections::HashMap, hash::DefaultHasher};

use greet_core::{Instant, LINGER};
use greet_smoltcp::{
    pool::{Counters, Event, Outcome},
    stack::Reason,
};
use smoltcp::{
    iface::SocketSet,
    socket::{
        AnySocket,
        tcp::{Socket, State},
    },
    wire::{IpEndpoint, TcpControl, TcpSeqNumber},
};

pub(super) use self::{conversation::Conversation, shown::seconds};
use self::{
    conversation::Served,
    link::{FAR, Link, advance, wrong_outcome},
    shown::Shown,
};
use super::{
    segment::{Segment, Side},
    settings::Settings,
};

/// For so long the server knows a closed connection, unless another client needs the socket: if the acknowledgement of the
/// client's FIN was lost, the FIN comes again, and no reset is to answer it (C1).
const TIME_WAIT: Duration = Duration::from_secs(2);

/// All that happened.
#[derive(Debug)]
pub(super) struct Ledger {
    settings: Settings,
    pub(super) conversations: Vec<Conversation>,
    /// By the endpoint of the client and its initial sequence number.
    by_syn: HashMap<(IpEndpoint, i32), usize>,
    links: HashMap<IpEndpoint, Link>,
    /// How far one end has allowed the other to send: by the sender and the receiver of that permission.
    edges: HashMap<(IpEndpoint, IpEndpoint), TcpSeqNumber>,
    /// Those that are accepted and not closed.
    live: Vec<IpEndpoint>,
    /// Those that are closed, that the server is still to know of all the same, and since when they are.
    waiting: HashMap<IpEndpoint, Instant>,
    /// For each client: what its next SYN belongs to.
    current: Vec<Option<usize>>,
    /// What the socket of each busy slot has received, before it is served.
    queued: Vec<(IpEndpoint, usize)>,
    /// The handshakes that are not finished, and since when.
    handshakes: Vec<(IpEndpoint, Instant)>,
    /// How many sockets listened when the server was served first in this poll.
    listening: Option<usize>,
    /// In this poll: a connection was refused; a reset came.
    refused: bool,
    reset_came: bool,
    /// How much has happened in this poll: frames and events.
    pub(super) happened: usize,
    pub(super) tally: Counters,
    pub(super) frames: u64,
    pub(super) failure: Option<String>,
    trace: DefaultHasher,
    pub(super) verbose: bool,
}

impl Ledger {
    pub(super) fn new(settings: Settings, verbose: bool) -> Self {
        let current = vec![None; settings.clients];
        Self {
            settings,
            conversations: Vec::new(),
            by_syn: HashMap::new(),
            links: HashMap::new(),
            edges: HashMap::new(),
            live: Vec::new(),
            waiting: HashMap::new(),
            current,
            queued: Vec::new(),
            handshakes: Vec::new(),
            listening: None,
            refused: false,
            reset_came: false,
            happened: 0,
            tally: Counters::default(),
            frames: 0,
            failure: None,
            trace: DefaultHasher::new(),
            verbose,
        }
    }

    /// Something is wrong: the first such thing is kept.
    pub(super) fn fail(&mut self, now: Instant, who: impl core::fmt::Display, what: impl core::fmt::Display) {
        if self.failure.is_none() {
            let seed = self.settings.seed;
            self.failure = Some(format!("seed {seed}, {} s, {who}: {what}", seconds(now)));
        }
    }

    pub(super) fn say(&self, now: Instant, what: impl core::fmt::Display) {
        #[allow(clippy::print_stderr, reason = "asked for")]
        if self.verbose {
            eprintln!("{:>12} {what}", seconds(now));
        }
    }

    /// What identifies this run: the same seed gives the same.
    pub(super) fn trace(&self) -> u64 {
        self.trace.finish()
    }

    /// A client begins a conversation from there.
    pub(super) fn begin(&mut self, client: usize, endpoint: IpEndpoint) -> usize {
        let index = self.conversations.len();
        self.conversations.push(Conversation {
            client,
            endpoint,
            said: Vec::new(),
            ended: false,
            heard: Vec::new(),
            reset: false,
            served: None,
        });
        if let Some(current) = self.current.get_mut(client) {
            *current = Some(index);
        }
        index
    }

    // --- What the taps see ----------------------------------------------------------------------------------------

    /// A frame came to a stack, or went.
    pub(super) fn frame(&mut self, side: Side, came: bool, frame: &[u8]) {
        if side == Side::Server {
            self.happened += 1;
            self.frames += 1;
            (came, frame).hash(&mut self.trace);
        }
    }

    /// A segment came to a stack.
    pub(super) fn delivered(&mut self, side: Side, now: Instant, segment: Segment) {
        match side {
            Side::Server => self.came_to_server(now, segment),
            Side::Client(client) => {
                let current = self.current.get(client).copied().flatten();
                if let Some(conversation) = current.and_then(|index| self.conversations.get_mut(index))
                    && segment.control == TcpControl::Rst
                    && segment.destination == conversation.endpoint
                {
                    conversation.reset = true;
                }
                self.show(now, "=>", client, &segment);
            }
        }
    }

    /// Whether a segment is longer than its receiver has allowed, which TCP forbids.
    ///
    /// A fast retransmission of smoltcp's is; and what smoltcp makes of one with a FIN at its end is to drop what is too
    /// much, and to take the FIN. No other stack does either, so that such a segment is as good as lost.
    pub(super) fn exceeds(&self, segment: &Segment) -> bool {
        let edge = self.edges.get(&(segment.destination, segment.source));
        segment.length > 1 && edge.is_some_and(|&edge| segment.sequence + segment.length > edge)
    }

    /// A segment went from a stack.
    pub(super) fn emitted(&mut self, side: Side, now: Instant, segment: Segment) {
        if let Some(acknowledged) = segment.acknowledged
            && segment.control != TcpControl::Rst
        {
            let edge = acknowledged + usize::from(segment.window);
            let known = self.edges.entry((segment.source, segment.destination)).or_insert(edge);
            if segment.control == TcpControl::Syn || edge.0.wrapping_sub(known.0).unsigned_abs() > FAR.unsigned_abs() {
                *known = edge;
            }
            advance(known, edge);
        }
        match side {
            Side::Server => self.went_from_server(now, segment),
            Side::Client(client) => {
                if segment.control == TcpControl::Syn
                    && let Some(index) = self.current.get(client).copied().flatten()
                {
                    self.by_syn.insert((segment.source, segment.sequence.0), index);
                }
                self.show(now, "->", client, &segment);
            }
        }
    }

    fn show(&self, now: Instant, arrow: &str, client: usize, segment: &Segment) {
        if self.verbose {
            self.say(now, format_args!("client {client} {arrow} {}", Shown(segment)));
        }
    }

    fn came_to_server(&mut self, now: Instant, segment: Segment) {
        if self.verbose {
            self.say(now, format_args!("  => server {}", Shown(&segment)));
        }
        if segment.control == TcpControl::Rst {
            self.reset_came = true;
            self.waiting.remove(&segment.source);
        }
        let Some(link) = self.links.get_mut(&segment.source).filter(|link| link.owns(&segment)) else { return };
        let end = segment.sequence + segment.length;
        match segment.control {
            TcpControl::Syn => return,
            TcpControl::Rst => {
                link.reset_by_client = true;
                return;
            }
            TcpControl::Fin => link.client_fin = Some(end),
            _ => {}
        }
        // Not from the past, and not further on than the server is ready for: then it has heard of its client.
        let acknowledged = segment.acknowledged.unwrap_or(link.server);
        let edge = self.edges.get(&(segment.destination, segment.source));
        let next = segment.length == 0 && segment.sequence == link.acknowledged_by_server;
        let ready = next || edge.is_some_and(|edge| segment.sequence < *edge);
        if ready && segment.sequence >= link.arrived && acknowledged >= link.acknowledged_by_client {
            link.current_at = now;
            advance(&mut link.surely_acknowledged, acknowledged);
        }
        advance(&mut link.arrived, end);
        advance(&mut link.acknowledged_by_client, acknowledged);
        if link.server_fin.is_some_and(|fin| link.acknowledged_by_client > fin) {
            link.delivered_at.get_or_insert(now);
        }
    }

    fn went_from_server(&mut self, now: Instant, segment: Segment) {
        if self.verbose {
            self.say(now, format_args!("  <- server {}", Shown(&segment)));
        }
        let endpoint = segment.destination;
        match segment.control {
            TcpControl::Syn => self.handshake(now, endpoint, &segment),
            TcpControl::Rst => {
                self.refused |= segment.sequence == TcpSeqNumber(0) && segment.length == 0;
                self.reset(now, endpoint);
                return;
            }
            _ => {}
        }
        if let Some(link) = self.links.get_mut(&endpoint) {
            if let Some(acknowledged) = segment.acknowledged {
                advance(&mut link.acknowledged_by_server, acknowledged);
            }
            if segment.control == TcpControl::Fin {
                link.server_ends_first |= link.server_fin.is_none() && !link.client_fin_acknowledged();
                link.server_fin = Some(segment.sequence + segment.length);
            }
        }
    }

    /// The server resets a connection, or answers so what belongs to none that it knows.
    fn reset(&mut self, now: Instant, endpoint: IpEndpoint) {
        if self.waiting.get(&endpoint).is_some_and(|&since| now < since + TIME_WAIT) {
            self.fail(now, endpoint, "a reset answers what came late, though no other client needed the socket");
        }
        let Some(link) = self.links.get_mut(&endpoint) else { return };
        link.reset_by_server = true;
        // C1: it may still be reading, and has its time to end its side.
        let early = link.delivered_at.is_some_and(|since| now < since + LINGER) && link.server_fin_acknowledged();
        if early && link.server_ends_first && !link.reset_by_client {
            self.fail(now, endpoint, "reset, though it has only just got all that it was owed");
        }
    }

    /// The server answers a SYN.
    fn handshake(&mut self, now: Instant, endpoint: IpEndpoint, segment: &Segment) {
        let Some(client) = segment.acknowledged else { return };
        let live = self.live.contains(&endpoint);
        if let Some(link) = self.links.get(&endpoint) {
            if link.server == segment.sequence && link.client == client {
                return; // once more
            }
            let young = now < link.began + self.settings.pool.limits.handshake;
            let doubled = link.client == client && young && !link.reset_by_client && !link.reset_by_server;
            if live || doubled {
                self.fail(now, endpoint, "a second socket is taken for a connection that has one already");
            }
        }
        let link = Link {
            began: now,
            conversation: self.by_syn.get(&(endpoint, client.0.wrapping_sub(1))).copied(),
            client,
            server: segment.sequence,
            arrived: client,
            current_at: now,
            acknowledged_by_client: segment.sequence,
            surely_acknowledged: segment.sequence,
            acknowledged_by_server: client,
            client_fin: None,
            server_fin: None,
            server_ends_first: false,
            delivered_at: None,
            reset_by_client: false,
            reset_by_server: false,
        };
        self.links.insert(endpoint, link);
        self.waiting.remove(&endpoint);
    }

    // --- What the pool does ---------------------------------------------------------------------------------------

    /// Before the pool is served: what would be read now is noted.
    pub(super) fn before(&mut self, now: Instant, sockets: &SocketSet<'_>, reason: Reason) {
        self.queued.clear();
        let (mut listening, mut waiting, mut half_open) = (0, 0, 0);
        for (_, socket) in sockets.iter() {
            let Some(socket) = Socket::downcast(socket) else { continue };
            listening += usize::from(socket.state() == State::Listen);
            waiting += usize::from(self.only_waits(socket));
            half_open += usize::from(socket.state() == State::SynReceived);
            if let Some(endpoint) = socket.remote_endpoint() {
                self.queued.push((endpoint, socket.recv_queue()));
            }
        }
        if self.listening.is_none() && reason != Reason::NoListener {
            self.listening = Some(listening);
            if self.refused && listening + waiting + half_open > 0 && !self.reset_came {
                let sockets = format_args!(
                    "{listening} sockets listen, {waiting} are in TIME-WAIT and {half_open} are half-open"
                );
                self.fail(now, "the server", format_args!("refuses a client while {sockets}"));
            }
        }
    }

    /// Whether all that this socket is there for is a FIN that may come again (TIME-WAIT).
    fn only_waits(&self, socket: &Socket<'_>) -> bool {
        let endpoint = socket.remote_endpoint().filter(|_| socket.state() == State::TimeWait);
        endpoint.is_some_and(|endpoint| !self.live.contains(&endpoint))
    }

    /// After that: what was taken, whether a handshake takes too long, and how many sockets are `busy`.
    pub(super) fn after(&mut self, now: Instant, sockets: &SocketSet<'_>, busy: usize, reason: Reason) {
        let all = || sockets.iter().filter_map(|(_, socket)| Socket::downcast(socket));
        let listening = all().filter(|socket| socket.state() == State::Listen).count();
        // The last one that listens may have been taken from those that wait.
        if listening <= 1 {
            self.waiting.clear();
        }
        let serving = all().count() - listening - all().filter(|socket| self.only_waits(socket)).count();
        if busy != serving {
            self.fail(now, "the server", format_args!("says that {busy} sockets are busy, and {serving} are"));
        }
        let known = core::mem::take(&mut self.handshakes);
        for (_, socket) in sockets.iter() {
            let Some(socket) = Socket::downcast(socket).filter(|socket| socket.state() == State::SynReceived) else {
                continue;
            };
            let Some(endpoint) = socket.remote_endpoint() else { continue };
            let since = known.iter().find(|(known, _)| *known == endpoint).map_or(now, |&(_, since)| since);
            if now >= since + self.settings.pool.limits.handshake {
                self.fail(now, endpoint, "a handshake keeps a slot for longer than it may");
            }
            self.handshakes.push((endpoint, since));
        }
        for (endpoint, before) in core::mem::take(&mut self.queued) {
            let is_gone = all().all(|socket| socket.remote_endpoint() != Some(endpoint));
            if reason == Reason::NoListener && is_gone && !self.live.contains(&endpoint) {
                self.links.remove(&endpoint); // half-open, and given up for another client's SYN
                continue;
            }
            let Some(index) = self.links.get(&endpoint).and_then(|link| link.conversation) else { continue };
            let Some(conversation) = self.conversations.get_mut(index) else { continue };
            let Some(served) = &mut conversation.served else { continue };
            let socket = all().find(|socket| socket.remote_endpoint() == Some(endpoint));
            // What was left in a socket that listens again makes no difference to anybody any more.
            let taken = before.saturating_sub(socket.map_or(0, Socket::recv_queue));
            served.read(before, taken, self.settings.read_buffer);
            // What comes after the server's end is dropped, and says nothing about how idle the client was.
            if taken > 0 && socket.is_some_and(|socket| matches!(socket.state(), State::Established | State::CloseWait))
            {
                served.taken_at = now;
            }
        }
    }

    /// The pool tells something.
    pub(super) fn event(&mut self, now: Instant, event: Event<'_>) {
        self.happened += 1;
        if self.verbose {
            self.say(now, format_args!("     server {event:?}"));
        }
        match event {
            Event::Accepted(endpoint) => self.accepted(now, endpoint),
            Event::Heard(_, _) => {}
            Event::Closed(endpoint, outcome) => self.closed(now, endpoint, outcome),
        }
    }

    fn accepted(&mut self, now: Instant, endpoint: IpEndpoint) {
        self.tally.accepted += 1;
        (now, "accepted").hash(&mut self.trace);
        self.live.push(endpoint);
        let conversation = self.links.get(&endpoint).and_then(|link| link.conversation);
        let Some(conversation) = conversation.and_then(|index| self.conversations.get_mut(index)) else {
            return self.fail(now, endpoint, "accepted, but nobody there has asked for it");
        };
        if conversation.served.is_some() {
            return self.fail(now, endpoint, "accepted twice");
        }
        conversation.served = Some(Served { reads: Vec::new(), taken: 0, taken_at: now, closed: None });
    }

    fn closed(&mut self, now: Instant, endpoint: IpEndpoint, outcome: Outcome) {
        match outcome {
            Outcome::Completed(_) => self.tally.completed += 1,
            Outcome::Reset => self.tally.reset += 1,
            Outcome::Vanished => self.tally.timed_out += 1,
        }
        (now, "closed").hash(&mut self.trace);
        self.live.retain(|live| *live != endpoint);
        let Some(link) = self.links.remove(&endpoint) else {
            return self.fail(now, endpoint, "closed, but it was not open");
        };
        // The other end is TIME-WAIT where the client ended first.
        let ended = link.server_ends_first && link.client_fin_acknowledged() && !link.reset_by_client;
        if ended && matches!(outcome, Outcome::Completed(_)) {
            self.waiting.insert(endpoint, now);
        }
        let Some(conversation) = link.conversation.and_then(|index| self.conversations.get_mut(index)) else { return };
        let client = conversation.client;
        let Some(served) = &mut conversation.served else { return };
        served.closed = Some((now, outcome));
        if let Some(wrong) = wrong_outcome(now, &link, served, outcome, &self.settings) {
            self.fail(now, format_args!("client {client}, {endpoint}, as {outcome:?}"), wrong);
        }
    }

    /// After a poll of the server.
    pub(super) fn settled(&mut self, now: Instant) {
        (self.listening, self.refused, self.reset_came) = (None, false, false);
        if !self.settings.weather.calm {
            return; // an acknowledgement may have come in a segment that has to be ignored
        }
        let held = self.live.iter().find(|endpoint| self.links.get(endpoint).is_some_and(Link::is_closed)).copied();
        if let Some(endpoint) = held {
            self.fail(now, endpoint, "both sides are ended and acknowledged, but the slot is still busy");
        }
    }

    /// Whether a connection is open, as the pool has told.
    pub(super) const fn live(&self) -> usize {
        self.live.len()
    }
}
