//! One socket of a pool, and what it is busy with: from a client's SYN until it can listen again.

use greet_core::{Instant, LINGER, Machine, Server, ServerEnd, ServerEvent};
use smoltcp::{
    iface::{SocketHandle, SocketSet},
    socket::tcp::{Socket, State},
    time::Duration,
    wire::IpEndpoint,
};

use super::{Closing, Counters, Event, Outcome, Settings};
use crate::{
    drive::{Driver, Status, discard},
    time::earliest,
};

/// How long an acknowledgement may wait for a reply to travel with.
const ACK_DELAY: Duration = Duration::from_millis(10);
/// For so long a client's FIN may come again, because its acknowledgement was lost: a few times as long as it takes clients to
/// send it again.
const TIME_WAIT: core::time::Duration = core::time::Duration::from_secs(2);

/// The place of one conversation in a [`Pool`](super::Pool).
#[derive(Debug)]
pub struct Slot<const N: usize> {
    handle: Option<SocketHandle>,
    stage: Stage,
    /// Whom the connection is with, once it is established.
    peer: Option<IpEndpoint>,
    /// Since when it is in this stage; in a conversation, since when nothing has come or gone.
    since: Instant,
    /// The machine's deadline, where a glance finds it.
    deadline: Option<Instant>,
    driver: Driver,
    server: Server<N>,
}

/// What a busy socket is busy with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// A SYN came.
    Handshake,
    /// The connection is established.
    Conversation,
    /// The conversation ended like this (a handshake came to nothing); the connection is still to be closed.
    Closing(Option<Outcome>),
    /// So it ended, and only then the client got the last bytes and the FIN; now it may end its side.
    Delivered(Outcome),
    /// The connection is closed. What came last was acknowledged, and will be again (TIME-WAIT).
    Waiting,
}

/// What a pool hands to each slot in turn.
pub(super) struct Desk<'a> {
    pub(super) settings: &'a Settings,
    pub(super) now: Instant,
    pub(super) sent: bool,
    pub(super) closing: Closing,
    pub(super) read: &'a mut [u8],
    pub(super) counters: &'a mut Counters,
}

/// What a step came to.
pub(super) enum Step {
    /// The socket is busy, until then at least.
    Busy(Option<Instant>),
    /// The socket can listen again.
    Done,
}

impl<const N: usize> Slot<N> {
    /// A slot without a socket.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            handle: None,
            stage: Stage::Handshake,
            peer: None,
            since: Instant::ZERO,
            deadline: None,
            driver: Driver::new(),
            server: Server::vacant(),
        }
    }

    pub(super) const fn handle(&self) -> Option<SocketHandle> {
        self.handle
    }

    /// This slot's socket is that one, from now on.
    pub(super) const fn place(&mut self, handle: SocketHandle) {
        self.handle = Some(handle);
    }

    /// Since when nothing but a FIN that comes again is waited for, if that is so.
    pub(super) fn waits_since(&self) -> Option<Instant> {
        (self.stage == Stage::Waiting).then_some(self.since)
    }

    pub(super) fn socket<'s, 'b>(&self, sockets: &'s mut SocketSet<'b>) -> Option<&'s mut Socket<'b>> {
        self.handle.map(|handle| sockets.get_mut(handle))
    }

    /// A SYN came.
    pub(super) const fn begin(&mut self, now: Instant) {
        self.stage = Stage::Handshake;
        self.peer = None;
        self.since = now;
    }

    /// Goes on as far as it goes.
    pub(super) fn step(
        &mut self,
        sockets: &mut SocketSet<'_>,
        desk: &mut Desk<'_>,
        tell: &mut impl FnMut(Event<'_>),
    ) -> Step {
        let Some(socket) = self.socket(sockets) else { return Step::Done };
        if self.stage == Stage::Handshake {
            match socket.state() {
                State::SynReceived => {
                    let until = self.since + desk.settings.limits.handshake;
                    if desk.now < until {
                        return Step::Busy(Some(until));
                    }
                    self.leave(None, desk);
                }
                // The client reset it, or our address is gone.
                State::Listen | State::Closed => self.leave(None, desk),
                // Its data may be there already, and its FIN too.
                _ => self.accept(socket, desk, tell),
            }
        }
        if self.stage == Stage::Conversation {
            // Of many conversations few have moved since the last look.
            let due = self.deadline.is_some_and(|deadline| deadline <= desk.now) || desk.closing != Closing::No;
            if !due && self.driver.is_idle(socket) {
                return Step::Busy(self.deadline);
            }
            let (status, moved) = self.converse(socket, desk, tell);
            let ask = self.ask(socket, desk, moved);
            self.deadline = earliest(self.server.deadline(), ask);
            match status {
                Status::Waiting => return Step::Busy(self.deadline),
                Status::Over => {
                    let end = self.server.end().unwrap_or(ServerEnd::Closed);
                    self.leave(Some(Outcome::Completed(end)), desk);
                }
                Status::Lost => self.leave(Some(lost_by(desk)), desk),
            }
        }
        self.part(socket, desk, tell)
    }

    /// The connection is established.
    fn accept(&mut self, socket: &Socket<'_>, desk: &mut Desk<'_>, tell: &mut impl FnMut(Event<'_>)) {
        self.stage = Stage::Conversation;
        self.peer = socket.remote_endpoint();
        self.since = desk.now;
        self.driver = Driver::new();
        self.server = Server::new(desk.settings.server, desk.now);
        self.deadline = Some(desk.now); // it owes its greeting
        desk.counters.accepted = desk.counters.accepted.wrapping_add(1);
        if let Some(peer) = self.peer {
            tell(Event::Accepted(peer));
        }
    }

    /// Goes on with the conversation. How it stands, and whether a byte came or went.
    fn converse(
        &mut self,
        socket: &mut Socket<'_>,
        desk: &mut Desk<'_>,
        tell: &mut impl FnMut(Event<'_>),
    ) -> (Status, bool) {
        let Desk { now, closing, read, counters, .. } = desk;
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
            moved |= progress.received > 0 || progress.sent > 0;
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

    /// Has the client asked whether it is still there, after a silence. When to come back for that.
    ///
    /// smoltcp asks by a byte that is nobody's, right before what it has not sent yet. While something sent is not
    /// acknowledged that byte is in its midst, and the client might take it for a part of a reply: so until then it does
    /// not ask.
    fn ask(&mut self, socket: &mut Socket<'_>, desk: &Desk<'_>, moved: bool) -> Option<Instant> {
        let interval = desk.settings.limits.keep_alive;
        let delivered = socket.send_queue() == 0 && matches!(socket.state(), State::Established | State::CloseWait);
        if moved || !delivered {
            self.since = desk.now;
        }
        let limits = &desk.settings.limits;
        let silence = if delivered { limits.vanished } else { limits.unacknowledged };
        socket.set_timeout(Some(silence.into()));
        if !delivered {
            socket.set_keep_alive(None);
        } else if socket.keep_alive().is_none() {
            let due = self.since + interval;
            if desk.now < due {
                return Some(due);
            }
            socket.set_keep_alive(Some(interval.into())); // and at once
        }
        None
    }

    /// The conversation is over, or never came about.
    fn leave(&mut self, outcome: Option<Outcome>, desk: &mut Desk<'_>) {
        self.stage = Stage::Closing(outcome);
        self.since = desk.now;
    }

    /// Closes the connection: what was given is delivered first, if the client takes it.
    fn part(&mut self, socket: &mut Socket<'_>, desk: &mut Desk<'_>, tell: &mut impl FnMut(Event<'_>)) -> Step {
        if self.driver.has_moved(socket) {
            self.since = desk.now; // slowly, but it takes what it is owed
            if let (Stage::Closing(Some(outcome)), State::FinWait2) = (self.stage, socket.state()) {
                self.stage = Stage::Delivered(outcome);
            }
        }
        let outcome = match self.stage {
            Stage::Closing(outcome) => outcome,
            Stage::Delivered(outcome) => Some(outcome),
            Stage::Waiting if socket.state() == State::TimeWait && desk.now < self.since + TIME_WAIT => {
                return Step::Busy(Some(self.since + TIME_WAIT));
            }
            Stage::Waiting => return Step::Done,
            Stage::Handshake | Stage::Conversation => return Step::Busy(None),
        };
        let limit = desk.settings.limits.delivery;
        let until = match outcome {
            // T2: whoever was silent for so long already has little more, as long as nothing moves.
            Some(Outcome::Completed(ServerEnd::Idle)) => self.since + limit.min(LINGER),
            _ => self.since + limit,
        };
        match socket.state() {
            // Reset by the client in its handshake.
            State::Listen => {}
            // If there is a client still, a reset goes out to it first. It is a courtesy: it gets one chance.
            State::Closed if socket.remote_endpoint().is_none() || desk.sent => {
                // It may have been lost before all that was given was delivered.
                let lost = socket.send_queue() > 0 && matches!(outcome, Some(Outcome::Completed(_)));
                return self.end(if lost { Some(lost_by(desk)) } else { outcome }, desk, tell);
            }
            // The acknowledgement of the client's FIN goes out first. If it is lost, the FIN comes again; would it find no
            // connection, it were answered by a reset, in which the client might lose what it has not read (C1). So the
            // socket waits for that, as long as it is not needed.
            State::TimeWait if desk.sent => {
                let done = self.end(outcome, desk, tell);
                if desk.closing != Closing::No {
                    return done;
                }
                self.stage = Stage::Waiting;
                self.since = desk.now;
                return Step::Busy(Some(self.since + TIME_WAIT));
            }
            State::Closed | State::TimeWait => return Step::Busy(Some(until)),
            State::FinWait1 | State::Closing | State::LastAck if desk.now < until => return Step::Busy(Some(until)),
            // What was sent again, for it had been lost, has come only now: the client has its time from now on (C1).
            State::FinWait2 if matches!(self.stage, Stage::Delivered(_)) && desk.now < self.since + LINGER => {
                discard(socket, socket.recv_queue());
                return Step::Busy(Some(self.since + LINGER));
            }
            // All is delivered, but the client never ends its side (C1).
            State::FinWait2 => return self.abort(socket, outcome),
            // The rest cannot be delivered.
            _ => return self.abort(socket, outcome.map(|_| Outcome::Vanished)),
        }
        self.end(outcome, desk, tell)
    }

    /// The connection is closed.
    fn end(&self, outcome: Option<Outcome>, desk: &mut Desk<'_>, tell: &mut impl FnMut(Event<'_>)) -> Step {
        self.count(outcome, desk.counters);
        if let (Some(peer), Some(outcome)) = (self.peer, outcome) {
            tell(Event::Closed(peer, outcome));
        }
        Step::Done
    }

    /// Resets the connection. The reset goes out with the next segments.
    fn abort(&mut self, socket: &mut Socket<'_>, outcome: Option<Outcome>) -> Step {
        socket.abort();
        self.stage = Stage::Closing(outcome);
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

impl<const N: usize> Default for Slot<N> {
    fn default() -> Self {
        Self::new()
    }
}

/// How a connection ended that is gone: a reset comes in; that nothing comes in any more is found before something is to
/// go out.
const fn lost_by(desk: &Desk<'_>) -> Outcome {
    if desk.sent { Outcome::Vanished } else { Outcome::Reset }
}

/// Lets a socket listen that is closed, or may be closed without a word.
pub(super) fn listen(socket: &mut Socket<'_>, port: u16) {
    socket.abort();
    socket.set_ack_delay(Some(ACK_DELAY));
    socket.set_keep_alive(None);
    // Fails for port 0 only: then nobody can be served, and nobody is.
    let _ = socket.listen(port);
}
