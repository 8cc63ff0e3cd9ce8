//! A client's conversation: how it reads and talks, and that it is answered rightly and in time.

use core::time::Duration;
use std::rc::Rc;

use greet_core::{Instant, LINGER};
use greet_smoltcp::pool::Outcome;
use smoltcp::{
    iface::SocketHandle,
    socket::tcp::{RecvError, Socket, State},
};

use super::{Client, SULK};
use crate::simulation::{
    judge::Owed,
    script::{End, Reading, Step, Visit},
};

/// A conversation, as far as it is.
pub(super) struct Talk {
    pub(super) visit: Visit,
    pub(super) conversation: usize,
    pub(super) handle: SocketHandle,
    /// The step that it is at, and how much of what is to be said there is said.
    step: usize,
    said: usize,
    /// Since when it is at this step.
    step_since: Instant,
    /// What had changed when something changed last, and when that was.
    seen: (usize, usize, usize, usize, State),
    seen_at: Instant,
    /// When it reads again.
    read_again: Option<Instant>,
    pub(super) ended: bool,
    pub(super) finished: bool,
    /// It has waited for long enough, without reading.
    sulks: bool,
}

/// What becomes of a conversation.
pub(super) enum Fate {
    GoesOn,
    Over,
    /// The client comes again with the same.
    Again,
    Off(Duration),
}

impl Client<'_> {
    /// One round: reads, checks, says. Whether something moved, and what becomes of the conversation.
    pub(super) fn talk(&mut self, now: Instant, talk: &mut Talk) -> (bool, Fate) {
        let ledger = Rc::clone(&self.ledger);
        let mut ledger = ledger.borrow_mut();
        let Some(conversation) = ledger.conversations.get_mut(talk.conversation) else { return (false, Fate::Over) };
        let socket = self.station.stack.sockets().get_mut::<Socket<'_>>(talk.handle);

        // A reset that came late, from before this connection, changes nothing.
        conversation.reset &= socket.state() == State::Closed;

        match talk.visit.end {
            End::VanishAtOnce(span) => return (true, Fate::Off(span)),
            End::ResetAtOnce => return (true, Fate::Over),
            _ => {}
        }
        if matches!(socket.state(), State::SynSent | State::SynReceived) {
            drop(ledger);
            return (false, self.watch(now, talk));
        }

        // Read.
        let before = conversation.heard.len();
        let mut closed = false;
        while !talk.finished {
            // When smoltcp has done with TIME-WAIT it forgets what was not read.
            let last_chance = matches!(socket.state(), State::TimeWait | State::Closed);
            let room = if last_chance { usize::MAX } else { talk.room(now, conversation.heard.len()) };
            if room == 0 {
                break;
            }
            let mut buffer = [0; 512];
            match socket.recv_slice(&mut buffer[..room.min(512)]) {
                Ok(0) => break,
                Ok(length) => {
                    conversation.heard.extend_from_slice(&buffer[..length]);
                    if let Reading::Slow(_, pause) = talk.visit.reading {
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
        let mut moved = conversation.heard.len() > before;

        // Check.
        let owed = Owed::new(conversation, &self.settings);
        if let Some(wrong) = owed.wrong(conversation, talk.finished) {
            ledger.fail(now, format_args!("client {}", self.number), wrong);
            return (false, Fate::Over);
        }
        if closed || (socket.state() == State::Closed && !talk.finished && !socket.can_recv()) {
            drop(ledger);
            return (true, self.lost(now, talk));
        }
        if talk.finished {
            if talk.visit.end == End::Stay && !talk.ended && socket.state() != State::Closed {
                drop(ledger);
                return (false, self.watch(now, talk));
            }
            if !talk.ended {
                socket.close();
                talk.ended = true;
                conversation.ended = true;
            }
            self.figures.completed += 1;
            return (true, Fate::Over);
        }

        // Say.
        while !talk.ended {
            let Some(step) = talk.visit.steps.get(talk.step).filter(|_| !talk.sulks) else { break };
            match step {
                Step::Say(bytes) => {
                    let rest = bytes.get(talk.said..).unwrap_or_default();
                    let Ok(length @ 1..) = socket.send_slice(rest) else { break };
                    conversation.said.extend(rest.iter().take(length));
                    talk.said += length;
                    moved = true;
                    if talk.said < bytes.len() {
                        break;
                    }
                }
                Step::Pause(span) if now < talk.step_since + *span => {
                    self.wake = Some(talk.step_since + *span);
                    break;
                }
                Step::Hear if !Owed::new(conversation, &self.settings).is_heard(conversation) => break,
                Step::Pause(_) | Step::Hear => {}
            }
            talk.step += 1;
            talk.said = 0;
            talk.step_since = now;
        }
        if (talk.step == talk.visit.steps.len() || talk.sulks) && !talk.ended {
            let end = match talk.visit.end {
                End::Reset => return (true, Fate::Over),
                End::Vanish(span) => return (true, Fate::Off(span)),
                End::HalfClose => true,
                // The good-bye may have arrived as something else: cut or joined, or longer than a name may be.
                End::Exit | End::Stay => {
                    let owed = Owed::new(conversation, &self.settings);
                    owed.all_read && !owed.exit()
                }
                End::Quiet(span) => {
                    self.wake = Some(talk.step_since + span);
                    now >= talk.step_since + span
                }
                End::ResetAtOnce | End::VanishAtOnce(_) => false,
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

    /// The connection is gone before the server has ended it: that needs an excuse.
    fn lost(&mut self, now: Instant, talk: &Talk) -> Fate {
        let mut ledger = self.ledger.borrow_mut();
        let Some(conversation) = ledger.conversations.get(talk.conversation) else { return Fate::Over };
        let weather = &self.settings.weather;
        let wrong = match (&conversation.served, conversation.reset) {
            (None, true) => return Fate::Again,
            // From where it knows a connection smoltcp ignores a SYN: that can take longer than a client's patience.
            (None, false) if !weather.lossless || talk.visit.same_port => return Fate::Again,
            (None, false) => Some("the server does not answer"),
            (Some(served), reset) => match served.closed {
                None if reset => Some("reset, while the server goes on with it"),
                None => weather.lossless.then_some("the server does not answer any more"),
                // Of a FIN that was lost again and again there is nothing left but the reset.
                Some((_, Outcome::Completed(_))) => (weather.calm
                    || Owed::new(conversation, &self.settings).wrong(conversation, true).is_some())
                .then_some("a reset destroyed the end of the conversation"),
                Some((_, Outcome::Reset)) => Some("the server takes it for reset"),
                // Where frames overtake each other, smoltcp may forget that it has something to send again.
                Some((_, Outcome::Vanished)) => (weather.calm && talk.visit.reading == Reading::Eager)
                    .then_some("the server takes it for vanished, though every frame arrives"),
            },
        };
        if let Some(wrong) = wrong {
            let heard = conversation.heard.len();
            let who = format!("client {}", self.number);
            ledger.fail(now, who, format_args!("the connection is lost after {heard} bytes of the replies: {wrong}"));
        }
        self.figures.lost += 1;
        Fate::Over
    }

    /// Nobody who stays waits for ever.
    fn watch(&mut self, now: Instant, talk: &mut Talk) -> Fate {
        let ledger = Rc::clone(&self.ledger);
        let mut ledger = ledger.borrow_mut();
        let Some(conversation) = ledger.conversations.get(talk.conversation) else { return Fate::Over };
        let socket = self.station.stack.sockets().get::<Socket<'_>>(talk.handle);
        let taken = conversation.served.as_ref().map_or(0, |served| served.taken);
        let seen = (conversation.heard.len(), socket.send_queue(), conversation.said.len(), taken, socket.state());
        if seen != talk.seen {
            (talk.seen, talk.seen_at) = (seen, now);
        }
        let from = talk.seen_at.max(talk.step_since).max(talk.read_again.unwrap_or(Instant::ZERO));
        let limit = match talk.visit.reading {
            Reading::Never(_) => SULK,
            _ if talk.visit.end == End::Stay && talk.finished => {
                LINGER + self.settings.pool.limits.delivery + self.settings.bound()
            }
            // smoltcp ignores a SYN from where it knows a connection: the old one has to be over first, and
            // the SYN comes again when twice the time has passed.
            _ if talk.visit.same_port && socket.state() == State::SynSent => {
                self.settings.longest_hold() * 2 + self.settings.bound()
            }
            Reading::Eager => self.settings.bound(),
            // smoltcp in LAST-ACK does not hear that a window is open again: it finds out when it tries, after 1 s, 2 s, 4 s.
            _ => self.settings.bound() + Duration::from_secs(8),
        };
        let waits = match (talk.visit.steps.get(talk.step), talk.visit.end) {
            (Some(Step::Pause(_)), _) => socket.state() == State::SynSent,
            (None, End::Quiet(_)) => talk.ended,
            _ => true,
        };
        if waits && now >= from + limit {
            if matches!(talk.visit.reading, Reading::Never(_)) && !talk.sulks {
                talk.sulks = true;
                self.wake = Some(now);
                return Fate::GoesOn;
            }
            if !talk.sulks {
                let what = match (talk.finished, socket.state()) {
                    (true, _) => "for a reset, as it does not end its side".into(),
                    (_, State::SynSent) => "for the connection".to_owned(),
                    _ => format!("after {} bytes of the replies to {} bytes", seen.0, seen.2),
                };
                let span = now.since(from);
                ledger.fail(now, format_args!("client {}", self.number), format_args!("waits {span:?} {what}"));
            }
            return Fate::Over;
        }
        let wake = if waits { Some(from + limit) } else { None };
        self.wake = self.wake.into_iter().chain(wake).chain(talk.read_again.filter(|&again| again > now)).min();
        Fate::GoesOn
    }
}

impl Talk {
    pub(super) const fn new(visit: Visit, conversation: usize, handle: SocketHandle, now: Instant) -> Self {
        Self {
            visit,
            conversation,
            handle,
            step: 0,
            said: 0,
            step_since: now,
            seen: (0, 0, 0, 0, State::SynSent),
            seen_at: now,
            read_again: None,
            ended: false,
            finished: false,
            sulks: false,
        }
    }

    /// How many bytes the client would read now.
    fn room(&mut self, now: Instant, heard: usize) -> usize {
        match self.visit.reading {
            Reading::Eager => usize::MAX,
            Reading::Slow(count, _) => {
                if self.read_again.is_none_or(|again| now >= again) {
                    count
                } else {
                    0
                }
            }
            Reading::Stops(count, _) if heard < count => count - heard,
            Reading::Stops(_, span) => {
                let again = *self.read_again.get_or_insert(now + span);
                if now >= again { usize::MAX } else { 0 }
            }
            Reading::Never(count) => count.saturating_sub(heard),
        }
    }
}
