//! A client's conversation: sends and reads by its script, and checks that the replies are correct and in time.

use core::time::Duration;
use std::rc::Rc;

use greet_core::{Instant, LINGER};
use greet_smoltcp::pool::Outcome;
use smoltcp::{
    iface::SocketHandle,
    socket::tcp::{RecvError, Socket, State},
};

use super::{Client, STALL_TIMEOUT};
use crate::simulation::{
    judge::Expected,
    script::{End, Reading, Script, Step},
};

/// A conversation and its progress.
pub(super) struct Talk {
    pub(super) script: Script,
    pub(super) conversation: usize,
    pub(super) handle: SocketHandle,
    /// The current step, and how many bytes of it are sent.
    step: usize,
    sent: usize,
    /// When this step began.
    step_since: Instant,
    /// The last observed progress (bytes received, bytes queued to send, bytes sent, bytes taken by the server, state), and
    /// when it changed.
    seen: (usize, usize, usize, usize, State),
    seen_at: Instant,
    /// When to read again, if reading is paused.
    read_again: Option<Instant>,
    /// This side has sent its FIN.
    pub(super) ended: bool,
    /// The server's FIN was received.
    pub(super) finished: bool,
    /// It does not read, and has given up waiting for progress.
    gave_up: bool,
}

/// What the client does after a round of the conversation.
pub(super) enum Next {
    /// Continues the conversation.
    Continue,
    /// Ends it.
    Done,
    /// Connects again with the same script.
    Retry,
    /// Switches its host off, for this long.
    PowerOff(Duration),
}

impl Client<'_> {
    /// One round: reads, checks the replies, and sends. Returns whether bytes were moved, and what to do next.
    pub(super) fn talk(&mut self, now: Instant, talk: &mut Talk) -> (bool, Next) {
        let ledger = Rc::clone(&self.ledger);
        let mut ledger = ledger.borrow_mut();
        let Some(conversation) = ledger.conversations.get_mut(talk.conversation) else { return (false, Next::Done) };
        let socket = self.station.stack.sockets().get_mut::<Socket<'_>>(talk.handle);

        // A late reset of an earlier connection does not close the socket.
        conversation.reset &= socket.state() == State::Closed;

        match talk.script.end {
            End::PowerOffAtSyn(span) => return (true, Next::PowerOff(span)),
            End::ResetAtSyn => return (true, Next::Done),
            _ => {}
        }
        if matches!(socket.state(), State::SynSent | State::SynReceived) {
            drop(ledger);
            return (false, self.watch(now, talk));
        }

        // Read.
        let before = conversation.received.len();
        let mut closed = false;
        while !talk.finished {
            // At the end of TIME-WAIT smoltcp discards unread input.
            let last_chance = matches!(socket.state(), State::TimeWait | State::Closed);
            let room = if last_chance { usize::MAX } else { talk.room(now, conversation.received.len()) };
            if room == 0 {
                break;
            }
            let mut buffer = [0; 512];
            match socket.recv_slice(&mut buffer[..room.min(512)]) {
                Ok(0) => break,
                Ok(length) => {
                    conversation.received.extend_from_slice(&buffer[..length]);
                    if let Reading::Slow(_, pause) = talk.script.reading {
                        talk.read_again = Some(now + pause);
                    }
                }
                Err(RecvError::Finished) => talk.finished = true,
                Err(RecvError::InvalidState) => {
                    closed = true;
                    break;
                }
            }
        }
        let mut moved = conversation.received.len() > before;

        // Check.
        let expected = Expected::new(conversation, &self.settings);
        if let Some(wrong) = expected.wrong(conversation, talk.finished) {
            ledger.fail(now, format_args!("client {}", self.number), wrong);
            return (false, Next::Done);
        }
        if closed || (socket.state() == State::Closed && !talk.finished && !socket.can_recv()) {
            drop(ledger);
            return (true, self.lost(now, talk));
        }
        if talk.finished {
            if talk.script.end == End::NeverFin && !talk.ended && socket.state() != State::Closed {
                drop(ledger);
                return (false, self.watch(now, talk));
            }
            if !talk.ended {
                socket.close();
                talk.ended = true;
                conversation.ended = true;
            }
            self.figures.completed += 1;
            return (true, Next::Done);
        }

        // Send.
        while !talk.ended {
            let Some(step) = talk.script.steps.get(talk.step).filter(|_| !talk.gave_up) else { break };
            match step {
                Step::Send(bytes) => {
                    let rest = bytes.get(talk.sent..).unwrap_or_default();
                    let Ok(length @ 1..) = socket.send_slice(rest) else { break };
                    conversation.sent.extend(rest.iter().take(length));
                    talk.sent += length;
                    moved = true;
                    if talk.sent < bytes.len() {
                        break;
                    }
                }
                Step::Pause(span) if now < talk.step_since + *span => {
                    self.wake = Some(talk.step_since + *span);
                    break;
                }
                Step::AwaitReplies if !Expected::new(conversation, &self.settings).is_answered(conversation) => break,
                Step::Pause(_) | Step::AwaitReplies => {}
            }
            talk.step += 1;
            talk.sent = 0;
            talk.step_since = now;
        }
        if (talk.step == talk.script.steps.len() || talk.gave_up) && !talk.ended {
            let end = match talk.script.end {
                End::Reset => return (true, Next::Done),
                End::PowerOff(span) => return (true, Next::PowerOff(span)),
                End::HalfClose => true,
                // `exit` may have arrived split, joined, or longer than the capacity, so that it is not an exit.
                End::Exit | End::NeverFin => {
                    let expected = Expected::new(conversation, &self.settings);
                    expected.all_read && !expected.exit()
                }
                End::Silent(span) => {
                    self.wake = Some(talk.step_since + span);
                    now >= talk.step_since + span
                }
                End::ResetAtSyn | End::PowerOffAtSyn(_) => false,
            };
            if end {
                socket.close();
                talk.ended = true;
                conversation.ended = true;
                moved = true;
            }
        }
        drop(ledger);
        (moved, self.watch(now, talk))
    }

    /// The connection was lost before the server's FIN. It is a failure unless there is an acceptable reason.
    fn lost(&mut self, now: Instant, talk: &Talk) -> Next {
        let mut ledger = self.ledger.borrow_mut();
        let Some(conversation) = ledger.conversations.get(talk.conversation) else { return Next::Done };
        let link = &self.settings.link;
        let wrong = match (&conversation.served, conversation.reset) {
            (None, true) => return Next::Retry,
            // smoltcp ignores a SYN from an endpoint with which it has a connection. That can last longer than the client's
            // timeout.
            (None, false) if !link.lossless || talk.script.same_port => return Next::Retry,
            (None, false) => Some("the server does not answer"),
            (Some(served), reset) => match served.closed {
                None if reset => Some("reset, while the server continues the conversation"),
                None => link.lossless.then_some("the server does not answer any more"),
                // If the FIN was lost repeatedly, the client sees only the reset.
                Some((_, Outcome::Completed(_))) => (link.delay_only
                    || Expected::new(conversation, &self.settings).wrong(conversation, true).is_some())
                .then_some("a reset destroyed the end of the conversation"),
                Some((_, Outcome::Reset)) => Some("the server considers it reset"),
                // With reordering, smoltcp may fail to retransmit.
                Some((_, Outcome::Vanished)) => (link.delay_only && talk.script.reading == Reading::Eager)
                    .then_some("the server considers the client lost, though every frame arrives"),
            },
        };
        if let Some(wrong) = wrong {
            let received = conversation.received.len();
            let who = format!("client {}", self.number);
            ledger.fail(
                now,
                who,
                format_args!("the connection is lost after {received} bytes of the replies: {wrong}"),
            );
        }
        self.figures.lost += 1;
        Next::Done
    }

    /// Checks that the conversation makes progress within the bound, and sets the time of the next check.
    fn watch(&mut self, now: Instant, talk: &mut Talk) -> Next {
        let ledger = Rc::clone(&self.ledger);
        let mut ledger = ledger.borrow_mut();
        let Some(conversation) = ledger.conversations.get(talk.conversation) else { return Next::Done };
        let socket = self.station.stack.sockets().get::<Socket<'_>>(talk.handle);
        let taken = conversation.served.as_ref().map_or(0, |served| served.taken);
        let seen = (conversation.received.len(), socket.send_queue(), conversation.sent.len(), taken, socket.state());
        if seen != talk.seen {
            (talk.seen, talk.seen_at) = (seen, now);
        }
        let from = talk.seen_at.max(talk.step_since).max(talk.read_again.unwrap_or(Instant::ZERO));
        let limit = match talk.script.reading {
            Reading::Never(_) => STALL_TIMEOUT,
            _ if talk.script.end == End::NeverFin && talk.finished => {
                LINGER + self.settings.pool.limits.delivery + self.settings.bound()
            }
            // smoltcp ignores a SYN from an endpoint with which it has a connection. The old one must end first, and the SYN
            // is retransmitted after twice the time.
            _ if talk.script.same_port && socket.state() == State::SynSent => {
                self.settings.longest_hold() * 2 + self.settings.bound()
            }
            Reading::Eager => self.settings.bound(),
            // smoltcp in LAST-ACK ignores window updates. It notices when it retransmits, after 1 s, 2 s, 4 s.
            _ => self.settings.bound() + Duration::from_secs(8),
        };
        let waits = match (talk.script.steps.get(talk.step), talk.script.end) {
            (Some(Step::Pause(_)), _) => socket.state() == State::SynSent,
            (None, End::Silent(_)) => talk.ended,
            _ => true,
        };
        if waits && now >= from + limit {
            if matches!(talk.script.reading, Reading::Never(_)) && !talk.gave_up {
                talk.gave_up = true;
                self.wake = Some(now);
                return Next::Continue;
            }
            if !talk.gave_up {
                let what = match (talk.finished, socket.state()) {
                    (true, _) => "for a reset, as it has not sent a FIN".into(),
                    (_, State::SynSent) => "for the connection".to_owned(),
                    _ => format!("after {} bytes of the replies to {} bytes", seen.0, seen.2),
                };
                let span = now.since(from);
                ledger.fail(now, format_args!("client {}", self.number), format_args!("waits {span:?} {what}"));
            }
            return Next::Done;
        }
        let wake = if waits { Some(from + limit) } else { None };
        self.wake = self.wake.into_iter().chain(wake).chain(talk.read_again.filter(|&again| again > now)).min();
        Next::Continue
    }
}

impl Talk {
    pub(super) const fn new(script: Script, conversation: usize, handle: SocketHandle, now: Instant) -> Self {
        Self {
            script,
            conversation,
            handle,
            step: 0,
            sent: 0,
            step_since: now,
            seen: (0, 0, 0, 0, State::SynSent),
            seen_at: now,
            read_again: None,
            ended: false,
            finished: false,
            gave_up: false,
        }
    }

    /// Maximum number of bytes to read now.
    fn room(&mut self, now: Instant, received: usize) -> usize {
        match self.script.reading {
            Reading::Eager => usize::MAX,
            Reading::Slow(count, _) => {
                if self.read_again.is_none_or(|again| now >= again) {
                    count
                } else {
                    0
                }
            }
            Reading::Stops(count, _) if received < count => count - received,
            Reading::Stops(_, span) => {
                let again = *self.read_again.get_or_insert(now + span);
                if now >= again { usize::MAX } else { 0 }
            }
            Reading::Never(count) => count.saturating_sub(received),
        }
    }
}
