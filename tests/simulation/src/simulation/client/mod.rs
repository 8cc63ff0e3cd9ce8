//! A simulated client: a host with a stack of its own, and somebody at it who visits the server.

mod talk;

use core::{cell::RefCell, time::Duration};
use std::{rc::Rc, vec};

use greet_core::Instant;
use greet_smoltcp::stack;
use smoltcp::{
    iface::{SocketHandle, SocketSet},
    socket::tcp::{Socket, SocketBuffer, State},
    wire::{IpCidr, IpEndpoint},
};

use self::talk::{Fate, Talk};
use super::{
    chance::Chance,
    ledger::Ledger,
    script::Visit,
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
        let talk = Talk::new(visit, conversation, handle, now);
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
}

fn host(number: usize) -> u8 {
    CLIENT + u8::try_from(number).unwrap_or(0)
}
