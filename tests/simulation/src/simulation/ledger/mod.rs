//! The ledger: records all segments between the clients and the server, and checks the pool against them.

mod connection;
mod conversation;
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

use self::{
    connection::{Connection, FAR, advance, outcome_error},
    conversation::Served,
    shown::Shown,
};
pub(super) use self::{conversation::Conversation, shown::seconds};
use super::{
    segment::{Segment, Side},
    settings::Settings,
};

/// How long the server keeps a closed connection unless another client needs the socket. If the acknowledgement of the
/// client's FIN was lost, the FIN is retransmitted, and the server must not answer it with a reset (C1).
const TIME_WAIT: Duration = Duration::from_secs(2);

/// The record of a simulation.
#[derive(Debug)]
pub(super) struct Ledger {
    settings: Settings,
    pub(super) conversations: Vec<Conversation>,
    /// Index of the conversation, by the client's endpoint and initial sequence number.
    by_syn: HashMap<(IpEndpoint, i32), usize>,
    connections: HashMap<IpEndpoint, Connection>,
    /// The right edge of the advertised window, by the endpoints that advertised and received it.
    edges: HashMap<(IpEndpoint, IpEndpoint), TcpSeqNumber>,
    /// Clients whose connections are accepted and not closed.
    live: Vec<IpEndpoint>,
    /// Connections that the server must keep in TIME-WAIT, and when they were closed.
    waiting: HashMap<IpEndpoint, Instant>,
    /// For each client, the conversation of its next SYN.
    current: Vec<Option<usize>>,
    /// Number of bytes in each socket's receive buffer before the pool is served.
    queued: Vec<(IpEndpoint, usize)>,
    /// Half-open connections, and since when.
    handshakes: Vec<(IpEndpoint, Instant)>,
    /// Number of listening sockets when the pool was first served in this poll.
    listening: Option<usize>,
    /// In this poll: whether a connection was refused, and whether a reset was received.
    refused: bool,
    reset_received: bool,
    /// Number of frames and events in this poll.
    pub(super) happened: usize,
    /// Counters derived from the pool's events.
    pub(super) tally: Counters,
    pub(super) frames: u64,
    /// The first failure.
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
            connections: HashMap::new(),
            edges: HashMap::new(),
            live: Vec::new(),
            waiting: HashMap::new(),
            current,
            queued: Vec::new(),
            handshakes: Vec::new(),
            listening: None,
            refused: false,
            reset_received: false,
            happened: 0,
            tally: Counters::default(),
            frames: 0,
            failure: None,
            trace: DefaultHasher::new(),
            verbose,
        }
    }

    /// Records a failure, if it is the first one.
    pub(super) fn fail(&mut self, now: Instant, who: impl core::fmt::Display, what: impl core::fmt::Display) {
        if self.failure.is_none() {
            let seed = self.settings.seed;
            self.failure = Some(format!("seed {seed}, {} s, {who}: {what}", seconds(now)));
        }
    }

    /// Prints a line to standard error if verbose.
    pub(super) fn log(&self, now: Instant, what: impl core::fmt::Display) {
        #[allow(clippy::print_stderr, reason = "only with --verbose")]
        if self.verbose {
            eprintln!("{:>12} {what}", seconds(now));
        }
    }

    /// A hash of all frames and events of the server. The same seed gives the same value.
    pub(super) fn trace(&self) -> u64 {
        self.trace.finish()
    }

    /// Records a new conversation from this endpoint. Returns its index.
    pub(super) fn begin(&mut self, client: usize, endpoint: IpEndpoint) -> usize {
        let index = self.conversations.len();
        self.conversations.push(Conversation {
            client,
            endpoint,
            sent: Vec::new(),
            ended: false,
            received: Vec::new(),
            reset: false,
            served: None,
        });
        if let Some(current) = self.current.get_mut(client) {
            *current = Some(index);
        }
        index
    }

    // --- Frames, from the taps ----------------------------------------------------------------------------------------

    /// A stack received (`incoming`) or sent a frame.
    pub(super) fn frame(&mut self, side: Side, incoming: bool, frame: &[u8]) {
        if side == Side::Server {
            self.happened += 1;
            self.frames += 1;
            (incoming, frame).hash(&mut self.trace);
        }
    }

    /// A stack received a segment.
    pub(super) fn delivered(&mut self, side: Side, now: Instant, segment: Segment) {
        match side {
            Side::Server => self.received_by_server(now, segment),
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

    /// Whether a segment exceeds its receiver's window, which TCP forbids.
    ///
    /// smoltcp's fast retransmission can send one. If it has a FIN, smoltcp as a receiver drops the excess bytes but accepts the
    /// FIN. Other stacks do neither, so the simulation drops such a segment.
    pub(super) fn exceeds(&self, segment: &Segment) -> bool {
        let edge = self.edges.get(&(segment.destination, segment.source));
        segment.length > 1 && edge.is_some_and(|&edge| segment.sequence + segment.length > edge)
    }

    /// A stack sent a segment.
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
            Side::Server => self.sent_by_server(now, segment),
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
            self.log(now, format_args!("client {client} {arrow} {}", Shown(segment)));
        }
    }

    fn received_by_server(&mut self, now: Instant, segment: Segment) {
        if self.verbose {
            self.log(now, format_args!("  => server {}", Shown(&segment)));
        }
        if segment.control == TcpControl::Rst {
            self.reset_received = true;
            self.waiting.remove(&segment.source);
        }
        let Some(connection) = self.connections.get_mut(&segment.source).filter(|connection| connection.owns(&segment))
        else {
            return;
        };
        let end = segment.sequence + segment.length;
        match segment.control {
            TcpControl::Syn => return,
            TcpControl::Rst => {
                connection.reset_by_client = true;
                return;
            }
            TcpControl::Fin => connection.client_fin = Some(end),
            _ => {}
        }
        // The segment is neither old nor beyond the window, so the server accepts it.
        let acknowledged = segment.acknowledged.unwrap_or(connection.server);
        let edge = self.edges.get(&(segment.destination, segment.source));
        let next = segment.length == 0 && segment.sequence == connection.acknowledged_by_server;
        let ready = next || edge.is_some_and(|edge| segment.sequence < *edge);
        if ready && segment.sequence >= connection.arrived && acknowledged >= connection.acknowledged_by_client {
            connection.current_at = now;
            advance(&mut connection.surely_acknowledged, acknowledged);
        }
        advance(&mut connection.arrived, end);
        advance(&mut connection.acknowledged_by_client, acknowledged);
        if connection.server_fin.is_some_and(|fin| connection.acknowledged_by_client > fin) {
            connection.delivered_at.get_or_insert(now);
        }
    }

    fn sent_by_server(&mut self, now: Instant, segment: Segment) {
        if self.verbose {
            self.log(now, format_args!("  <- server {}", Shown(&segment)));
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
        if let Some(connection) = self.connections.get_mut(&endpoint) {
            if let Some(acknowledged) = segment.acknowledged {
                advance(&mut connection.acknowledged_by_server, acknowledged);
            }
            if segment.control == TcpControl::Fin {
                connection.server_ends_first |=
                    connection.server_fin.is_none() && !connection.client_fin_acknowledged();
                connection.server_fin = Some(segment.sequence + segment.length);
            }
        }
    }

    /// The server sent a reset: for a connection, or for a segment without one.
    fn reset(&mut self, now: Instant, endpoint: IpEndpoint) {
        if self.waiting.get(&endpoint).is_some_and(|&since| now < since + TIME_WAIT) {
            self.fail(
                now,
                endpoint,
                "a late segment is answered with a reset, though no other client needed the socket",
            );
        }
        let Some(connection) = self.connections.get_mut(&endpoint) else { return };
        connection.reset_by_server = true;
        // C1: the client may still be reading, and has the linger time to send its FIN.
        let early =
            connection.delivered_at.is_some_and(|since| now < since + LINGER) && connection.server_fin_acknowledged();
        if early && connection.server_ends_first && !connection.reset_by_client {
            self.fail(now, endpoint, "reset within the linger time after all output was delivered");
        }
    }

    /// The server sent a SYN ACK.
    fn handshake(&mut self, now: Instant, endpoint: IpEndpoint, segment: &Segment) {
        let Some(client) = segment.acknowledged else { return };
        let live = self.live.contains(&endpoint);
        if let Some(connection) = self.connections.get(&endpoint) {
            if connection.server == segment.sequence && connection.client == client {
                return; // a retransmission
            }
            let young = now < connection.began + self.settings.pool.limits.handshake;
            let doubled =
                connection.client == client && young && !connection.reset_by_client && !connection.reset_by_server;
            if live || doubled {
                self.fail(now, endpoint, "a second socket is used for the same connection");
            }
        }
        let connection = Connection {
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
        self.connections.insert(endpoint, connection);
        self.waiting.remove(&endpoint);
    }

    // --- The pool ---------------------------------------------------------------------------------------

    /// Call it before the pool is served: records the sockets' states and receive buffers.
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
            if self.refused && listening + waiting + half_open > 0 && !self.reset_received {
                let sockets = format_args!(
                    "{listening} sockets listen, {waiting} are in TIME-WAIT and {half_open} are half-open"
                );
                self.fail(now, "the server", format_args!("refuses a connection while {sockets}"));
            }
        }
    }

    /// Whether this socket is in TIME-WAIT, and its slot free.
    fn only_waits(&self, socket: &Socket<'_>) -> bool {
        let endpoint = socket.remote_endpoint().filter(|_| socket.state() == State::TimeWait);
        endpoint.is_some_and(|endpoint| !self.live.contains(&endpoint))
    }

    /// Call it after the pool was served: records what was taken, and checks the age of handshakes and the number of `busy`
    /// slots.
    pub(super) fn after(&mut self, now: Instant, sockets: &SocketSet<'_>, busy: usize, reason: Reason) {
        let all = || sockets.iter().filter_map(|(_, socket)| Socket::downcast(socket));
        let listening = all().filter(|socket| socket.state() == State::Listen).count();
        // A socket in TIME-WAIT may have been reused to keep one listening.
        if listening <= 1 {
            self.waiting.clear();
        }
        let serving = all().count() - listening - all().filter(|socket| self.only_waits(socket)).count();
        if busy != serving {
            self.fail(now, "the server", format_args!("reports {busy} busy sockets, but {serving} are busy"));
        }
        let known = core::mem::take(&mut self.handshakes);
        for (_, socket) in sockets.iter() {
            let Some(socket) = Socket::downcast(socket).filter(|socket| socket.state() == State::SynReceived) else {
                continue;
            };
            let Some(endpoint) = socket.remote_endpoint() else { continue };
            let since = known.iter().find(|(known, _)| *known == endpoint).map_or(now, |&(_, since)| since);
            if now >= since + self.settings.pool.limits.handshake {
                self.fail(now, endpoint, "a handshake occupies a slot for longer than its limit");
            }
            self.handshakes.push((endpoint, since));
        }
        for (endpoint, before) in core::mem::take(&mut self.queued) {
            let is_gone = all().all(|socket| socket.remote_endpoint() != Some(endpoint));
            if reason == Reason::NoListener && is_gone && !self.live.contains(&endpoint) {
                self.connections.remove(&endpoint); // half-open, and its socket reused for another client's SYN
                continue;
            }
            let Some(index) = self.connections.get(&endpoint).and_then(|connection| connection.conversation) else {
                continue;
            };
            let Some(conversation) = self.conversations.get_mut(index) else { continue };
            let Some(served) = &mut conversation.served else { continue };
            let socket = all().find(|socket| socket.remote_endpoint() == Some(endpoint));
            // Unread bytes of a socket that listens again do not matter.
            let taken = before.saturating_sub(socket.map_or(0, Socket::recv_queue));
            served.read(before, taken, self.settings.read_buffer);
            // Bytes after the server's FIN are discarded, and do not reset the idle timeout.
            if taken > 0 && socket.is_some_and(|socket| matches!(socket.state(), State::Established | State::CloseWait))
            {
                served.taken_at = now;
            }
        }
    }

    /// The pool reports an event.
    pub(super) fn event(&mut self, now: Instant, event: Event<'_>) {
        self.happened += 1;
        if self.verbose {
            self.log(now, format_args!("     server {event:?}"));
        }
        match event {
            Event::Accepted(endpoint) => self.accepted(now, endpoint),
            Event::Heard(..) | Event::Moved(..) => {}
            Event::Closed(endpoint, outcome) => self.closed(now, endpoint, outcome),
        }
    }

    fn accepted(&mut self, now: Instant, endpoint: IpEndpoint) {
        self.tally.accepted += 1;
        (now, "accepted").hash(&mut self.trace);
        self.live.push(endpoint);
        let conversation = self.connections.get(&endpoint).and_then(|connection| connection.conversation);
        let Some(conversation) = conversation.and_then(|index| self.conversations.get_mut(index)) else {
            return self.fail(now, endpoint, "accepted, but no client has connected from this endpoint");
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
        let Some(connection) = self.connections.remove(&endpoint) else {
            return self.fail(now, endpoint, "closed, but it was not open");
        };
        // If the client sent its FIN first, the client is in TIME-WAIT instead.
        let ended = connection.server_ends_first && connection.client_fin_acknowledged() && !connection.reset_by_client;
        if ended && matches!(outcome, Outcome::Completed(_)) {
            self.waiting.insert(endpoint, now);
        }
        let Some(conversation) = connection.conversation.and_then(|index| self.conversations.get_mut(index)) else {
            return;
        };
        let client = conversation.client;
        let Some(served) = &mut conversation.served else { return };
        served.closed = Some((now, outcome));
        if let Some(wrong) = outcome_error(now, &connection, served, outcome, &self.settings) {
            self.fail(now, format_args!("client {client}, {endpoint}, as {outcome:?}"), wrong);
        }
    }

    /// Call it after each poll of the server.
    pub(super) fn settled(&mut self, now: Instant) {
        (self.listening, self.refused, self.reset_received) = (None, false, false);
        if !self.settings.link.delay_only {
            return; // an acknowledgement may have been in a segment that the server must ignore
        }
        let held = self
            .live
            .iter()
            .find(|endpoint| self.connections.get(endpoint).is_some_and(Connection::is_closed))
            .copied();
        if let Some(endpoint) = held {
            self.fail(now, endpoint, "both FINs are acknowledged, but the slot is still busy");
        }
    }

    /// Number of open connections, by the pool's events.
    pub(super) const fn live(&self) -> usize {
        self.live.len()
    }
}
