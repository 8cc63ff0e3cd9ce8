//! A simulated client: a host with a stack of its own, and somebody at it who visits the server.

use core::{cell::RefCell, time::Duration};
use std::{rc::Rc, vec};

use greet_core::{Instant, LINGER};
use greet_smoltcp::{pool::Outcome, stack};
use smoltcp::{
    iface::{SocketHandle, SocketSet},
    socket::tcp::{RecvError, Socket, SocketBuffer, State},
    wire::{IpCidr, IpEndpoint},
};

use super::{
    chance::Chance,
    judge::Owed,
    ledger::Ledger,
    script::{End, Reading, Step, Visit},
    settings::Settings,
    tap::{Tap, hardware, ipv4, ipv6},
    wire::Wire,
};

/// The server's host.
pub(super) const SERVER: u8 = 1;
/// The first client's.
pub(super) const CLIENT: u8 = 10;

/// A client asks so often whether the server is still there, and gives up after so long a silence.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(60);
/// So long it bears a server to which it does not listen any more.
const SULK: Duration = Duration::from_secs(20);

/// A stack at the end of a wire.
pub(super) struct Station<'w> {
    pub(super) stack: stack::Stack<'static>,
    pub(super) tap: Tap<Wire<'w>>,
}

/// The stack of a host that was just switched on.
pub(super) fn switch_on(host: u8, seed: u64, tap: &mut Tap<Wire<'_>>, now: Instant) -> stack::Stack<'static> {
    let addresses = [IpCidr::new(ipv4(host), 24), IpCidr::new(ipv6(host), 64)];
    let settings = stack::Settings { addresses: &addresses, ..stack::Settings::new(hardware(host), seed) };
    #[allow(clippy::expect_used, reason = "the settings are written here, and right")]
    stack::Stack::new(settings, tap, SocketSet::new(Vec::new()), now).expect("the settings are right")
}

pub(super) struct Client<'w> {
    number: usize,
    settings: Rc<Settings>,
    ledger: Rc<RefCell<Ledger>>,
    station: Station<'w>,
    chance: Chance,
    visits: vec::IntoIter<Visit>,
    phase: Phase,
    port: u16,
    /// Sockets of conversations that are over for the client, but not quite for its stack.
    old: Vec<SocketHandle>,
    /// When the stack wants to be polled, and when somebody wants to do something.
    next: Option<Instant>,
    wake: Option<Instant>,
    pub(super) figures: Figures,
}

/// What became of the visits.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Figures {
    /// The conversation ended in good order.
    pub(super) completed: usize,
    /// It was lost, and there is an excuse.
    pub(super) lost: usize,
    /// The client was refused, or its handshake came to nothing; it came again.
    pub(super) refused: usize,
}

enum Phase {
    /// Until then it is somewhere else; then comes the visit.
    Away(Instant, Box<Visit>),
    Talking(Box<Talk>),
    /// Without power until then.
    Off(Instant),
    /// Without power for ever.
    Dead,
    /// It has made all its visits.
    Home,
}

struct Talk {
    visit: Visit,
    conversation: usize,
    handle: SocketHandle,
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
    ended: bool,
    finished: bool,
    /// It has waited for long enough, without reading.
    sulks: bool,
}

/// What becomes of a conversation.
enum Fate {
    GoesOn,
    Over,
    /// The client comes again with the same.
    Again,
    Off(Duration),
}

impl<'w> Client<'w> {
    pub(super) fn new(
        number: usize,
        settings: &Rc<Settings>,
        ledger: &Rc<RefCell<Ledger>>,
        mut tap: Tap<Wire<'w>>,
        mut chance: Chance,
        now: Instant,
    ) -> Self {
        let stack = switch_on(host(number), chance.number(), &mut tap, now);
        let count = chance.within(1..=4);
        let visits: Vec<Visit> = (0..count).map(|_| Visit::draw(settings, &mut chance)).collect();
        let mut client = Self {
            number,
            settings: Rc::clone(settings),
            ledger: Rc::clone(ledger),
            station: Station { stack, tap },
            port: 1024 + u16::try_from(chance.within(0..=60_000)).unwrap_or(0),
            chance,
            visits: visits.into_iter(),
            phase: Phase::Home,
            old: Vec::new(),
            next: Some(now),
            wake: None,
            figures: Figures::default(),
        };
        client.go_on(now);
        client
    }

    /// Nothing of it is left: neither a visit, nor a socket that has something to do.
    pub(super) fn is_done(&self) -> bool {
        match self.phase {
            Phase::Dead => true,
            Phase::Home => self.old.is_empty(),
            _ => false,
        }
    }

    /// When it is to be polled, even if no frame comes.
    pub(super) fn due(&self) -> Option<Instant> {
        match self.phase {
            Phase::Dead => None,
            Phase::Off(until) => Some(until),
            _ => self.next.into_iter().chain(self.wake).min(),
        }
    }

    /// When something happens on its wire.
    pub(super) fn wire_due(&self) -> Option<Instant> {
        self.station.tap.inner.due()
    }

    pub(super) const fn wire(&mut self) -> &mut Wire<'w> {
        &mut self.station.tap.inner
    }

    /// Takes in what came and does what it wants to do.
    pub(super) fn poll(&mut self, now: Instant) {
        if matches!(self.phase, Phase::Dead | Phase::Off(_)) {
            self.station.tap.drain(now);
        }
        match self.phase {
            Phase::Dead => return,
            Phase::Off(until) if now < until => return,
            Phase::Off(_) => {
                self.station.stack = switch_on(host(self.number), self.chance.number(), &mut self.station.tap, now);
                self.old.clear();
                self.go_on(now);
            }
            _ => {}
        }
        for _ in 0..10_000 {
            let Station { stack, tap } = &mut self.station;
            self.next = stack.poll(now, tap, |_, _| None);
            if !self.act(now) || matches!(self.phase, Phase::Dead | Phase::Off(_)) {
                return;
            }
        }
        self.fail(now, "is busy for ever without a moment passing");
    }

    fn fail(&self, now: Instant, what: impl core::fmt::Display) {
        self.ledger.borrow_mut().fail(now, format_args!("client {}", self.number), what);
    }

    /// On to the next visit.
    fn go_on(&mut self, now: Instant) {
        self.phase = match self.visits.next() {
            Some(visit) => Phase::Away(now + visit.pause, Box::new(visit)),
            None => Phase::Home,
        };
    }

    /// Does what it wants to do now; whether that is anything that its stack has to know of.
    fn act(&mut self, now: Instant) -> bool {
        let sockets = self.station.stack.sockets();
        self.old.retain(|&handle| {
            let over = sockets.get::<Socket<'_>>(handle).state() == State::Closed;
            if over {
                sockets.remove(handle);
            }
            !over
        });
        match core::mem::replace(&mut self.phase, Phase::Home) {
            Phase::Away(until, visit) if now >= until => {
                self.connect(now, *visit);
                true
            }
            Phase::Away(until, visit) => {
                self.wake = Some(until);
                self.phase = Phase::Away(until, visit);
                false
            }
            Phase::Talking(talk) => self.go_on_talking(now, talk),
            phase => {
                self.wake = None;
                self.phase = phase;
                false
            }
        }
    }

    fn connect(&mut self, now: Instant, visit: Visit) {
        if !visit.same_port {
            self.port = self.port.checked_add(1).unwrap_or(1024);
        }
        let sockets = self.station.stack.sockets();
        if visit.same_port {
            // Nobody is at that port any more.
            for handle in self.old.drain(..) {
                sockets.remove(handle);
            }
        }
        let buffer = |size| SocketBuffer::new(vec![0; size]);
        let mut socket = Socket::new(buffer(visit.receive_buffer), buffer(visit.transmit_buffer));
        socket.set_nagle_enabled(visit.nagle);
        socket.set_keep_alive(Some(KEEP_ALIVE.into()));
        socket.set_timeout(Some(PATIENCE.into()));
        let handle = sockets.add(socket);
        let address = if visit.ipv6 { ipv6 } else { ipv4 };
        let server = IpEndpoint::new(address(SERVER), self.settings.pool.port);
        let connected = self.station.stack.connect(handle, server, self.port);
        if let Err(error) = connected {
            return self.fail(now, format_args!("cannot connect: {error:?}"));
        }
        let endpoint = IpEndpoint::new(address(host(self.number)), self.port);
        let conversation = self.ledger.borrow_mut().begin(self.number, endpoint);
        self.ledger.borrow().say(now, format_args!("client {} comes from {endpoint}: {visit:?}", self.number));
        let talk = Talk {
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
        };
        self.phase = Phase::Talking(Box::new(talk));
    }

    fn go_on_talking(&mut self, now: Instant, mut talk: Box<Talk>) -> bool {
        self.wake = None;
        let (moved, fate) = self.talk(now, &mut talk);
        let over = |client: &mut Self, talk: &Talk| {
            let socket = client.station.stack.sockets().get_mut::<Socket<'_>>(talk.handle);
            if !talk.ended || !talk.finished {
                socket.abort();
            }
            client.old.push(talk.handle);
        };
        match fate {
            Fate::GoesOn => {
                self.phase = Phase::Talking(talk);
                return moved;
            }
            Fate::Over => {
                over(self, &talk);
                self.go_on(now);
            }
            Fate::Again => {
                over(self, &talk);
                self.figures.refused += 1;
                let until = now + self.chance.millis(50..=2_000);
                self.phase = Phase::Away(until, Box::new(talk.visit));
            }
            Fate::Off(span) => {
                self.ledger.borrow().say(now, format_args!("client {} loses its power", self.number));
                self.phase = if self.visits.len() == 0 { Phase::Dead } else { Phase::Off(now + span) };
            }
        }
        true
    }

    /// One round: reads, checks, says. Whether something moved, and what becomes of the conversation.
    fn talk(&mut self, now: Instant, talk: &mut Talk) -> (bool, Fate) {
        let ledger = Rc::clone(&self.ledger);
        let mut ledger = ledger.borrow_mut();
        let Some(conversation) = ledger.conversations.get_mut(talk.conversation) else { return (false, Fate::Over) };
        let socket = self.station.stack.sockets().get_mut::<Socket<'_>>(talk.handle);

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
            (None, false) if !weather.lossless => return Fate::Again,
            (None, false) => Some("the server does not answer"),
            (Some(served), reset) => match served.closed {
                None if reset => Some("reset, while the server goes on with it"),
                None => weather.lossless.then_some("the server does not answer any more"),
                Some((_, Outcome::Completed(_))) => Some("a reset destroyed the end of the conversation"),
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
            // smoltcp ignores a SYN from where it knows a connection: the old one has to be over first.
            _ if talk.visit.same_port && socket.state() == State::SynSent => {
                self.settings.longest_hold() + self.settings.bound()
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

fn host(number: usize) -> u8 {
    CLIENT + u8::try_from(number).unwrap_or(0)
}
