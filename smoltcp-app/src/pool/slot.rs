//! One socket of a pool and its connection: from a client's SYN until the socket can listen again.

use greet_core::{
    Instant, LINGER, ServerEnd, ServerEvent, ServerMachine,
    drive::{Delivery, Release},
};
use smoltcp::{
    iface::{SocketHandle, SocketSet},
    socket::tcp::{Socket, State},
    time::Duration,
    wire::IpEndpoint,
};

use super::{Closing, Counters, Event, Limits, Outcome};
use crate::{
    drive::{Driver, Status, discard, unacknowledged},
    time::earliest,
};

/// How long an acknowledgement may wait for a reply to travel with.
const ACK_DELAY: Duration = Duration::from_millis(10);
/// How long a client's FIN is acknowledged again, because the acknowledgement was lost: a few times as long as clients take
/// to retransmit it.
const TIME_WAIT: core::time::Duration = core::time::Duration::from_secs(2);

/// The memory of one connection in a [`Pool`](super::Pool).
#[derive(Debug)]
pub struct Slot<S> {
    handle: Option<SocketHandle>,
    phase: Phase,
    /// The client, once the connection is established.
    peer: Option<IpEndpoint>,
    /// When this phase began; in a conversation, when something was last received or sent.
    since: Instant,
    /// While the connection is being closed: what is not acknowledged yet.
    delivery: Delivery,
    /// The deadline of the state machine, or of the keep-alive.
    deadline: Option<Instant>,
    driver: Driver,
    server: S,
}

/// The phases of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// A SYN was received.
    Handshake,
    /// The connection is established.
    Conversation,
    /// The conversation ended like this (`None`: the handshake was not finished); the connection is still to be closed.
    Closing(Option<Outcome>),
    /// The connection is closed. The client's FIN is acknowledged again if it is repeated.
    TimeWait,
}

/// What a slot needs of its pool.
pub(super) struct Context<'a> {
    pub(super) limits: &'a Limits,
    pub(super) now: Instant,
    /// Every socket had the chance to send a segment since the last step.
    pub(super) sent: bool,
    pub(super) closing: Closing,
    pub(super) read: &'a mut [u8],
    pub(super) counters: &'a mut Counters,
}

/// The result of a step.
pub(super) enum Step {
    /// The socket is busy, at least until this deadline.
    Busy(Option<Instant>),
    /// The socket can listen again.
    Done,
}

impl<S: ServerMachine> Slot<S> {
    /// A slot without a socket.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            handle: None,
            phase: Phase::Handshake,
            peer: None,
            since: Instant::ZERO,
            delivery: Delivery::new(Instant::ZERO, 0),
            deadline: None,
            driver: Driver::new(),
            server: S::VACANT,
        }
    }

    pub(super) const fn handle(&self) -> Option<SocketHandle> {
        self.handle
    }

    /// Sets the slot's socket.
    pub(super) const fn set_handle(&mut self, handle: SocketHandle) {
        self.handle = Some(handle);
    }

    /// When TIME-WAIT began, if the connection is in that state.
    pub(super) fn time_wait_since(&self) -> Option<Instant> {
        (self.phase == Phase::TimeWait).then_some(self.since)
    }

    /// When the SYN was received, if the handshake is not finished yet.
    pub(super) fn half_open_since(&self) -> Option<Instant> {
        (self.phase == Phase::Handshake).then_some(self.since)
    }

    pub(super) fn socket<'s, 'b>(&self, sockets: &'s mut SocketSet<'b>) -> Option<&'s mut Socket<'b>> {
        self.handle.map(|handle| sockets.get_mut(handle))
    }

    /// A SYN was received.
    pub(super) const fn begin(&mut self, now: Instant) {
        self.phase = Phase::Handshake;
        self.peer = None;
        self.since = now;
    }

    /// Whether the connection of this client is established, and not closed yet.
    pub(super) fn is_connected_to(&self, peer: IpEndpoint) -> bool {
        self.peer == Some(peer) && !matches!(self.phase, Phase::Handshake | Phase::TimeWait)
    }

    /// Closes the conversation. It ends in the next step, or when its state machine lets it.
    pub(super) fn close_conversation(&mut self, now: Instant) {
        if self.phase == Phase::Conversation {
            self.server.close(now);
            self.deadline = Some(now);
        }
    }

    /// Resets the connection.
    pub(super) fn reset_connection(&mut self, sockets: &mut SocketSet<'_>) {
        let end = self.server.end().unwrap_or(ServerEnd::Closed);
        if let Some(socket) = self.socket(sockets) {
            self.abort(socket, Some(Outcome::Completed(end)));
        }
    }

    /// Drives the connection as far as possible.
    pub(super) fn step(
        &mut self,
        sockets: &mut SocketSet<'_>,
        settings: S::Settings,
        context: &mut Context<'_>,
        tell: &mut impl FnMut(Event<'_>),
    ) -> Step {
        let Some(socket) = self.socket(sockets) else { return Step::Done };
        if self.phase == Phase::Handshake {
            match socket.state() {
                State::SynReceived => {
                    let until = self.since + context.limits.handshake;
                    if context.now < until {
                        return Step::Busy(Some(until));
                    }
                    self.begin_close(None, socket, context);
                }
                // The client reset it, or the local address was removed.
                State::Listen | State::Closed => self.begin_close(None, socket, context),
                // Its data may have been received already, and its FIN too.
                _ => self.accept(socket, settings, context, tell),
            }
        }
        if self.phase == Phase::Conversation {
            // Of many connections few have changed since the last step.
            let due = self.deadline.is_some_and(|deadline| deadline <= context.now) || context.closing != Closing::No;
            if !due && self.driver.is_idle(socket) {
                return Step::Busy(self.deadline);
            }
            let (status, moved) = self.converse(socket, context, tell);
            let probe = self.keep_alive(socket, context, moved);
            self.deadline = earliest(self.server.deadline(), probe);
            match status {
                Status::Waiting => return Step::Busy(self.deadline),
                Status::Over => {
                    let end = self.server.end().unwrap_or(ServerEnd::Closed);
                    self.begin_close(Some(Outcome::Completed(end)), socket, context);
                }
                Status::Lost => self.begin_close(Some(lost_by(context)), socket, context),
            }
        }
        self.close(socket, context, tell)
    }

    /// The connection is established.
    fn accept(
        &mut self,
        socket: &Socket<'_>,
        settings: S::Settings,
        context: &mut Context<'_>,
        tell: &mut impl FnMut(Event<'_>),
    ) {
        self.phase = Phase::Conversation;
        self.peer = socket.remote_endpoint();
        self.since = context.now;
        self.driver = Driver::new();
        self.server = S::begin(settings, context.now);
        self.deadline = Some(context.now); // the greeting is due
        context.counters.accepted = context.counters.accepted.wrapping_add(1);
        if let Some(peer) = self.peer {
            tell(Event::Accepted(peer));
        }
    }

    /// Drives the state machine. Returns how it stands, and whether a byte was received or sent.
    fn converse(
        &mut self,
        socket: &mut Socket<'_>,
        context: &mut Context<'_>,
        tell: &mut impl FnMut(Event<'_>),
    ) -> (Status, bool) {
        let Context { now, closing, read, counters, .. } = context;
        let mut moved = false;
        loop {
            let progress = self.driver.drive(&mut self.server, socket, *now, read, |event| {
                if event != ServerEvent::Exit {
                    counters.names = counters.names.wrapping_add(1);
                }
                if let Some(peer) = self.peer {
                    tell(Event::Heard(peer, event));
                }
            });
            counters.bytes_received = counters.bytes_received.wrapping_add(progress.received as u64);
            counters.bytes_sent = counters.bytes_sent.wrapping_add(progress.sent as u64);
            if progress.received > 0 || progress.sent > 0 {
                moved = true;
                if let Some(peer) = self.peer {
                    tell(Event::Moved(peer, progress));
                }
            }
            let ends = match closing {
                Closing::No => false,
                Closing::AtPause => !socket.can_recv(),
                Closing::Now => true,
            };
            if progress.status != Status::Waiting || !ends || self.server.end().is_some() {
                return (progress.status, moved);
            }
            self.server.close(*now);
        }
    }

    /// Switches keep-alive probes on after a silence, and off again; sets the timeout. Returns when the first probe is due.
    ///
    /// A probe of smoltcp has one byte of garbage right before the first byte that it has not sent yet. While something sent
    /// is not acknowledged that byte lies within it, and the client might take it for a part of a reply: so until then there
    /// is no probe.
    fn keep_alive(&mut self, socket: &mut Socket<'_>, context: &Context<'_>, moved: bool) -> Option<Instant> {
        let interval = context.limits.keep_alive;
        let delivered = socket.send_queue() == 0 && matches!(socket.state(), State::Established | State::CloseWait);
        if moved || !delivered {
            self.since = context.now;
        }
        let limits = &context.limits;
        let silence = if delivered { limits.vanished } else { limits.unacknowledged };
        socket.set_timeout(Some(silence.into()));
        if !delivered {
            socket.set_keep_alive(None);
        } else if socket.keep_alive().is_none() {
            let due = self.since + interval;
            if context.now < due {
                return Some(due);
            }
            socket.set_keep_alive(Some(interval.into())); // and at once
        }
        None
    }

    /// The conversation is over, or the handshake was not finished: closes the connection from now on.
    fn begin_close(&mut self, outcome: Option<Outcome>, socket: &Socket<'_>, context: &Context<'_>) {
        self.phase = Phase::Closing(outcome);
        self.delivery = Delivery::new(context.now, unacknowledged(socket));
    }

    /// Closes the connection: what is in the send buffer is delivered first, if the client takes it.
    fn close(&mut self, socket: &mut Socket<'_>, context: &mut Context<'_>, tell: &mut impl FnMut(Event<'_>)) -> Step {
        let outcome = match self.phase {
            Phase::Closing(outcome) => outcome,
            Phase::TimeWait if socket.state() == State::TimeWait && context.now < self.since + TIME_WAIT => {
                return Step::Busy(Some(self.since + TIME_WAIT));
            }
            Phase::TimeWait => return Step::Done,
            Phase::Handshake | Phase::Conversation => return Step::Busy(None),
        };
        let limit = context.limits.delivery;
        let limit = match outcome {
            // T2: a client that was silent for that long already gets little more time, unless it acknowledges something.
            Some(Outcome::Completed(ServerEnd::Idle)) => limit.min(LINGER),
            _ => limit,
        };
        match socket.state() {
            // Reset by the client in its handshake.
            State::Listen => {}
            // smoltcp sends a reset to the client first, if it still has its endpoint. That gets one chance to go out.
            State::Closed if socket.remote_endpoint().is_none() || context.sent => {
                // The connection may have been lost before everything was delivered.
                let lost = socket.send_queue() > 0 && matches!(outcome, Some(Outcome::Completed(_)));
                return self.end(if lost { Some(lost_by(context)) } else { outcome }, context, tell);
            }
            // The acknowledgement of the client's FIN goes out first. If that is lost, the client repeats its FIN; without a
            // connection it would be answered by a reset, on which the client may lose what it has not read (C1). So the
            // socket stays in TIME-WAIT until it is needed.
            State::TimeWait if context.sent => {
                let done = self.end(outcome, context, tell);
                if context.closing != Closing::No {
                    return done;
                }
                self.phase = Phase::TimeWait;
                self.since = context.now;
                return Step::Busy(Some(self.since + TIME_WAIT));
            }
            // The acknowledgement or the reset goes out with the next segments.
            State::Closed | State::TimeWait => return Step::Busy(None),
            State::FinWait1 | State::FinWait2 | State::Closing | State::LastAck => {
                match self.delivery.look(context.now, unacknowledged(socket), limit) {
                    Release::Wait(until) => return Step::Busy(Some(until)),
                    Release::Discard(until) => {
                        discard(socket, socket.recv_queue());
                        return Step::Busy(Some(until));
                    }
                    // Everything is delivered, but the client does not end its side (C1).
                    Release::Close => return self.abort(socket, outcome),
                    Release::Reset => return self.abort(socket, outcome.map(|_| Outcome::Vanished)),
                }
            }
            // There is no FIN to deliver.
            _ => return self.abort(socket, outcome.map(|_| Outcome::Vanished)),
        }
        self.end(outcome, context, tell)
    }

    /// The connection is closed.
    fn end(&self, outcome: Option<Outcome>, context: &mut Context<'_>, tell: &mut impl FnMut(Event<'_>)) -> Step {
        self.count(outcome, context.counters);
        if let (Some(peer), Some(outcome)) = (self.peer, outcome) {
            tell(Event::Closed(peer, outcome));
        }
        Step::Done
    }

    /// Resets the connection. The reset goes out with the next segments.
    fn abort(&mut self, socket: &mut Socket<'_>, outcome: Option<Outcome>) -> Step {
        socket.abort();
        self.phase = Phase::Closing(outcome);
        Step::Busy(None)
    }

    fn count(&self, outcome: Option<Outcome>, counters: &mut Counters) {
        let counter = match outcome {
            None => &mut counters.unfinished,
            Some(Outcome::Completed(_)) => &mut counters.completed,
            Some(Outcome::Reset) => &mut counters.reset,
            Some(Outcome::Vanished) => &mut counters.timed_out,
        };
        *counter = counter.wrapping_add(1);
    }
}

impl<S: ServerMachine> Default for Slot<S> {
    fn default() -> Self {
        Self::new()
    }
}

/// How a lost connection ended: a reset changes the socket when frames are received, a timeout when they are sent.
const fn lost_by(context: &Context<'_>) -> Outcome {
    if context.sent { Outcome::Vanished } else { Outcome::Reset }
}

/// Lets a socket listen, whatever its state; a connection that it has is forgotten without a reset.
pub(super) fn listen(socket: &mut Socket<'_>, port: u16, limits: &Limits) {
    socket.abort();
    socket.set_ack_delay(Some(ACK_DELAY));
    socket.set_keep_alive(None);
    socket.set_timeout(Some(limits.vanished.into()));
    // Fails for port 0 only, which no client can connect to.
    let _ = socket.listen(port);
}
