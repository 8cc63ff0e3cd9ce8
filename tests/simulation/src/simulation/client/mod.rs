//! A simulated client: a host with its own stack, which opens connections to the server one after the other.

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

use self::talk::{Next, Talk};
use super::{
    ledger::Ledger,
    link::Link,
    random::Random,
    script::Script,
    settings::Settings,
    tap::{Tap, hardware, ipv4, ipv6},
};

/// Host number of the server.
pub(super) const SERVER: u8 = 1;
/// Host number of the first client.
pub(super) const CLIENT: u8 = 10;

/// The keep-alive interval of a client's socket.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// The timeout of a client's socket.
const SOCKET_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a client that has stopped reading waits for progress before it gives up.
const STALL_TIMEOUT: Duration = Duration::from_secs(20);

/// A stack and its device.
pub(super) struct Station<'w> {
    pub(super) stack: stack::Stack<'static>,
    pub(super) tap: Tap<Link<'w>>,
}

/// Creates the stack of a host.
pub(super) fn new_stack(host: u8, seed: u64, tap: &mut Tap<Link<'_>>, now: Instant) -> stack::Stack<'static> {
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
    random: Random,
    scripts: vec::IntoIter<Script>,
    phase: Phase,
    port: u16,
    /// Sockets of ended conversations that are not closed yet.
    old: Vec<SocketHandle>,
    /// When to poll the stack, and when the client acts next.
    next: Option<Instant>,
    wake: Option<Instant>,
    pub(super) figures: Figures,
}

/// Number of conversations by result.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Figures {
    /// The conversation was complete.
    pub(super) completed: usize,
    /// The connection was lost, for an acceptable reason.
    pub(super) lost: usize,
    /// The connection was refused, or its handshake failed. The client tries again.
    pub(super) refused: usize,
}

enum Phase {
    /// Waits until then, and then connects.
    Waiting(Instant, Box<Script>),
    /// Has a connection.
    Talking(Box<Talk>),
    /// Its host is off until then.
    PoweredOff(Instant),
    /// Its host is off, and stays off.
    Removed,
    /// All its conversations are over.
    Finished,
}

impl<'w> Client<'w> {
    pub(super) fn new(
        number: usize,
        settings: &Rc<Settings>,
        ledger: &Rc<RefCell<Ledger>>,
        mut tap: Tap<Link<'w>>,
        mut random: Random,
        now: Instant,
    ) -> Self {
        let stack = new_stack(host(number), random.number(), &mut tap, now);
        let count = random.within(1..=4);
        let scripts: Vec<Script> = (0..count).map(|_| Script::draw(settings, &mut random)).collect();
        let mut client = Self {
            number,
            settings: Rc::clone(settings),
            ledger: Rc::clone(ledger),
            station: Station { stack, tap },
            port: 1024 + u16::try_from(random.within(0..=60_000)).unwrap_or(0),
            random,
            scripts: scripts.into_iter(),
            phase: Phase::Finished,
            old: Vec::new(),
            next: Some(now),
            wake: None,
            figures: Figures::default(),
        };
        client.schedule_next(now);
        client
    }

    /// Whether all its conversations are over, and all its sockets closed.
    pub(super) fn is_done(&self) -> bool {
        match self.phase {
            Phase::Removed => true,
            Phase::Finished => self.old.is_empty(),
            _ => false,
        }
    }

    /// When to poll it, even if no frame arrives.
    pub(super) fn due(&self) -> Option<Instant> {
        match self.phase {
            Phase::Removed => None,
            Phase::PoweredOff(until) => Some(until),
            _ => self.next.into_iter().chain(self.wake).min(),
        }
    }

    /// When its link changes state next.
    pub(super) fn link_due(&self) -> Option<Instant> {
        self.station.tap.inner.due()
    }

    pub(super) const fn link(&mut self) -> &mut Link<'w> {
        &mut self.station.tap.inner
    }

    /// Receives frames, and performs the actions that are due.
    pub(super) fn poll(&mut self, now: Instant) {
        if matches!(self.phase, Phase::Removed | Phase::PoweredOff(_)) {
            self.station.tap.drain(now);
        }
        match self.phase {
            Phase::Removed => return,
            Phase::PoweredOff(until) if now < until => return,
            Phase::PoweredOff(_) => {
                self.station.stack = new_stack(host(self.number), self.random.number(), &mut self.station.tap, now);
                self.old.clear();
                self.schedule_next(now);
            }
            _ => {}
        }
        for _ in 0..10_000 {
            let Station { stack, tap } = &mut self.station;
            self.next = stack.poll(now, tap, |_, _| None);
            if !self.act(now) || matches!(self.phase, Phase::Removed | Phase::PoweredOff(_)) {
                return;
            }
        }
        self.fail(now, "wants to be polled again and again at the same time");
    }

    fn fail(&self, now: Instant, what: impl core::fmt::Display) {
        self.ledger.borrow_mut().fail(now, format_args!("client {}", self.number), what);
    }

    /// Schedules the next conversation, if there is one.
    fn schedule_next(&mut self, now: Instant) {
        self.phase = match self.scripts.next() {
            Some(script) => Phase::Waiting(now + script.pause, Box::new(script)),
            None => Phase::Finished,
        };
    }

    /// Performs the actions that are due. Returns whether the stack must be polled again.
    fn act(&mut self, now: Instant) -> bool {
        let sockets = self.station.stack.sockets();
        self.old.retain(|&handle| {
            let over = sockets.get::<Socket<'_>>(handle).state() == State::Closed;
            if over {
                sockets.remove(handle);
            }
            !over
        });
        match core::mem::replace(&mut self.phase, Phase::Finished) {
            Phase::Waiting(until, script) if now >= until => {
                self.connect(now, *script);
                true
            }
            Phase::Waiting(until, script) => {
                self.wake = Some(until);
                self.phase = Phase::Waiting(until, script);
                false
            }
            Phase::Talking(talk) => self.continue_talk(now, talk),
            phase => {
                self.wake = None;
                self.phase = phase;
                false
            }
        }
    }

    /// Opens a connection.
    fn connect(&mut self, now: Instant, script: Script) {
        if !script.same_port {
            self.port = self.port.checked_add(1).unwrap_or(1024);
        }
        let sockets = self.station.stack.sockets();
        if script.same_port {
            // The old socket uses the same port.
            for handle in self.old.drain(..) {
                sockets.remove(handle);
            }
        }
        let buffer = |size| SocketBuffer::new(vec![0; size]);
        let mut socket = Socket::new(buffer(script.receive_buffer), buffer(script.transmit_buffer));
        socket.set_nagle_enabled(script.nagle);
        socket.set_keep_alive(Some(KEEP_ALIVE.into()));
        socket.set_timeout(Some(SOCKET_TIMEOUT.into()));
        let handle = sockets.add(socket);
        let address = if script.ipv6 { ipv6 } else { ipv4 };
        let server = IpEndpoint::new(address(SERVER), self.settings.pool.port);
        let connected = self.station.stack.connect(handle, server, self.port);
        if let Err(error) = connected {
            return self.fail(now, format_args!("cannot connect: {error:?}"));
        }
        let endpoint = IpEndpoint::new(address(host(self.number)), self.port);
        let conversation = self.ledger.borrow_mut().begin(self.number, endpoint);
        self.ledger.borrow().log(now, format_args!("client {} connects from {endpoint}: {script:?}", self.number));
        let talk = Talk::new(script, conversation, handle, now);
        self.phase = Phase::Talking(Box::new(talk));
    }

    /// Runs one round of the conversation. Returns whether the stack must be polled again.
    fn continue_talk(&mut self, now: Instant, mut talk: Box<Talk>) -> bool {
        self.wake = None;
        let (moved, next) = self.talk(now, &mut talk);
        let over = |client: &mut Self, talk: &Talk| {
            let socket = client.station.stack.sockets().get_mut::<Socket<'_>>(talk.handle);
            if !talk.ended || !talk.finished {
                socket.abort();
            }
            client.old.push(talk.handle);
        };
        match next {
            Next::Continue => {
                self.phase = Phase::Talking(talk);
                return moved;
            }
            Next::Done => {
                over(self, &talk);
                self.schedule_next(now);
            }
            Next::Retry => {
                over(self, &talk);
                self.figures.refused += 1;
                let until = now + self.random.millis(50..=2_000);
                self.phase = Phase::Waiting(until, Box::new(talk.script));
            }
            Next::PowerOff(span) => {
                self.ledger.borrow().log(now, format_args!("the host of client {} is switched off", self.number));
                self.phase = if self.scripts.len() == 0 { Phase::Removed } else { Phase::PoweredOff(now + span) };
            }
        }
        true
    }
}

fn host(number: usize) -> u8 {
    CLIENT + u8::try_from(number).unwrap_or(0)
}
