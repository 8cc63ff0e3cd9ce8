//! The server's state machine: sends the greeting, answers names, ends the conversation.

use core::time::Duration;

use crate::{
    Framing, Instant, Machine, Received, ServerMachine, State,
    framing::{Assembly, Found},
    text::{Decimal, ERROR, EXIT, GREETING, Text, write_hello},
    time::Micros,
};

/// How long a server continues to read after its FIN (rule C1).
pub const LINGER: Duration = Duration::from_secs(2);
/// How many bytes a server reads and drops after its FIN (rule C1).
pub const LINGER_BYTES: u32 = 64 * 1024;

/// Whether a short line and its reply take a path of their own. A board has smaller words and less flash.
const HAS_SHORT_PATH: bool = size_of::<usize>() >= 8;

/// The settings of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Settings {
    /// Where a name ends (rules F1 to F3).
    pub framing: Framing,
    /// The delay before each reply (rule T1); none by default.
    pub delay: Duration,
    /// The idle timeout (rule T2); 300 s by default, `None` for no timeout.
    pub idle_timeout: Option<Duration>,
}

impl Settings {
    /// The defaults of the protocol.
    pub const DEFAULT: Self =
        Self { framing: Framing::Auto, delay: Duration::ZERO, idle_timeout: Some(Duration::from_secs(300)) };
}

impl Default for Settings {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// What a server reports to its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Event<'a> {
    /// A name was received. The reply `Hello, NAME!` follows (rule R1).
    Name(&'a [u8]),
    /// A name was received that is not UTF-8. The error reply follows (rule U1).
    NotUtf8(&'a [u8]),
    /// A name was received that is longer than the server's capacity. The error reply follows (rule L3).
    TooLong,
    /// The client sent `exit` (rule R3).
    Exit,
}

/// Why a conversation ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum End {
    /// The client sent `exit` (rule R3).
    Exit = 1, // so that none of these is zero, as all of a vacant server is
    /// The client sent its FIN (rule R4).
    ByPeer,
    /// The idle timeout expired (rule T2).
    Idle,
    /// The owner called [`Machine::close`].
    Closed,
}

/// The server's side of one conversation. A name has at most `N` bytes; `N` is 1 to 65,535 (rule L1).
///
/// There is no queue of replies. A reply is written from the name's buffer straight into the driver's, and the server takes no
/// other name until then. So a server needs its capacity and 48 bytes at most.
///
/// ```text
///              sent               a name            delay over
///  Greeting ─────────▶ Listening ─────────▶ Held ──────────────▶ Answering
///                        │   ▲               │                       │
///  the peer ended,       │   └───────────────┼──────── sent ─────────┤
///  or close              │              exit │                       │ sent, and it was
///                        ▼                   │                       │ the idle timeout's error
///                     Leaving ◀──────────────┴───────────────────────┘
///                        │
///                        │ all delivered: FIN
///                        ▼       the peer ended, LINGER, LINGER_BYTES
///                    Lingering ───────────────────────────────────────▶ Over
/// ```
///
/// A whole session, as the driver sees it:
///
/// ```
/// use greet_core::{Instant, Machine, Server, ServerSettings, State};
///
/// let now = Instant::ZERO;
/// let mut server: Server<1024> = Server::new(ServerSettings::default(), now);
/// let mut output = [0; 64];
///
/// let length = server.transmit(now, &mut output);
/// assert_eq!(&output[..length], b"Welcome!");
///
/// let input = b"haha\nexit\n"; // one read, with a line feed in it: so this client uses framing `line`
/// let first = server.receive(now, input).taken;
/// assert_eq!(first, 5); // one name at a time; the rest is offered again
/// let length = server.transmit(now, &mut output);
/// assert_eq!(&output[..length], b"Hello, haha!\n");
///
/// let second = server.receive(now, &input[first..]).taken;
/// assert_eq!((second, server.state()), (5, State::Ending));
/// server.delivered(now); // the driver has sent its FIN
/// server.receive_end(now); // and here is the client's
/// assert_eq!(server.state(), State::Over);
/// ```
#[derive(Clone, Debug)]
pub struct Server<const N: usize> {
    name: Assembly<N>,
    phase: Phase,
    /// Why the conversation has to end. It takes effect in `Listening`, when no reply is owed.
    end: Option<End>,
    /// The client's FIN was received: the server need not linger.
    peer_ended: bool,
    /// How many bytes of the greeting or reply are written; in `Lingering`, how many bytes were read and dropped.
    position: u32,
    /// When the last byte was received or sent. In `Held` it is in the future, the end of the delay: the delay does not count as
    /// the client's idle time.
    since: Instant,
    delay: Micros,
    idle: Micros,
}

/// The phase of a conversation. `Over` comes first and is zero, because all bytes of a vacant server are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Over,
    Greeting,
    Listening,
    /// A name was taken, and the delay is running (rule T1).
    Held(Next),
    Answering(Reply),
    Leaving,
    Lingering,
}

/// What follows a name after its delay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Answer(Reply),
    Leave,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reply {
    Hello,
    NotUtf8,
    TooLong,
    Idle,
}

/// The cause of a transition from one phase to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    /// A name was taken.
    Taken(Next),
    /// The delay is over.
    Due,
    /// The greeting or the reply is completely written.
    Sent,
    /// The idle timeout expired, and no reply is owed.
    Idle,
    /// This side ends the conversation.
    Leave,
    /// Everything was delivered to the transport, and the FIN is sent.
    Delivered,
    /// The connection is released: the peer sent its FIN, or a limit is reached.
    LetGo,
}

impl Phase {
    /// A name was taken, and there is no delay.
    const ANSWERING: Self = Self::Listening.after(Cause::Taken(Next::Answer(Reply::Hello))).after(Cause::Due);

    /// All transitions.
    const fn after(self, cause: Cause) -> Self {
        match (self, cause) {
            (Self::Greeting, Cause::Sent) => Self::Listening,
            (Self::Listening, Cause::Taken(next)) => Self::Held(next),
            (Self::Held(Next::Answer(reply)), Cause::Due) => Self::Answering(reply),
            (Self::Held(Next::Leave), Cause::Due) => Self::Leaving,
            (Self::Listening, Cause::Idle) => Self::Answering(Reply::Idle),
            (Self::Answering(Reply::Idle), Cause::Sent) => Self::Leaving,
            (Self::Answering(_), Cause::Sent) => Self::Listening,
            (Self::Listening, Cause::Leave) => Self::Leaving,
            (Self::Leaving, Cause::Delivered) => Self::Lingering,
            (_, Cause::LetGo) => Self::Over,
            (phase, _) => phase,
        }
    }
}

impl<const N: usize> Server<N> {
    /// A server whose conversation begins at `now`: it owes its greeting.
    #[must_use]
    pub const fn new(settings: Settings, now: Instant) -> Self {
        let idle = Micros::limit(settings.idle_timeout);
        Self {
            name: Assembly::new(settings.framing),
            phase: Phase::Greeting,
            end: None,
            peer_ended: false,
            position: 0,
            since: now,
            delay: Micros::new(settings.delay),
            idle,
        }
    }

    /// A server without a conversation, in [`State::Over`]. All its bytes are zero, so a static array of them needs no flash.
    #[must_use]
    pub const fn vacant() -> Self {
        Self {
            name: Assembly::new(Framing::Auto),
            phase: Phase::Over,
            end: None,
            peer_ended: false,
            position: 0,
            since: Instant::ZERO,
            delay: Micros::ZERO,
            idle: Micros::ZERO,
        }
    }

    /// Why the conversation ends, once it does.
    #[must_use]
    pub const fn end(&self) -> Option<End> {
        self.end
    }

    /// The framing in force; under [`Framing::Auto`] what the first read decided (rule F3).
    #[must_use]
    pub const fn framing(&self) -> Framing {
        self.name.framing()
    }

    fn advance(&mut self, cause: Cause) {
        self.phase = self.phase.after(cause);
    }

    /// A name is complete, or is known to be invalid.
    fn found(&mut self, now: Instant, found: Found) -> Event<'_> {
        let exit = found == Found::Name && self.name.name() == EXIT;
        if exit {
            self.end = Some(End::Exit);
        }
        self.advance(Cause::Taken(match found {
            Found::Name if exit => Next::Leave, // R3
            Found::Name => Next::Answer(Reply::Hello),
            Found::NotUtf8 => Next::Answer(Reply::NotUtf8),
            Found::TooLong => Next::Answer(Reply::TooLong),
        }));
        self.since = now.after(self.delay); // T1
        if self.delay == Micros::ZERO {
            self.advance(Cause::Due);
        }
        match found {
            Found::Name if exit => Event::Exit,
            Found::Name => Event::Name(self.name.name()),
            Found::NotUtf8 => Event::NotUtf8(self.name.name()),
            Found::TooLong => Event::TooLong,
        }
    }

    /// If no reply is owed and the conversation has to end, it ends now.
    fn settle(&mut self, now: Instant) {
        if let (Phase::Listening, Some(end)) = (self.phase, self.end) {
            self.settle_end(now, end);
        }
    }

    // A function of its own, like the other rare cases: the path of a name stays short.
    #[cold]
    fn settle_end(&mut self, now: Instant, end: End) {
        match end {
            End::Idle => self.advance(Cause::Idle), // T2
            End::Exit | End::Closed => self.advance(Cause::Leave),
            End::ByPeer => match self.name.take_end() {
                Some(found) => _ = self.found(now, found), // R4: everything received is answered
                None => self.advance(Cause::Leave),
            },
        }
    }

    /// When the delay, the idle timeout or the time to linger ends.
    fn due(&self) -> Instant {
        match self.phase {
            Phase::Held(_) => self.since,
            Phase::Lingering => self.since.after(Micros::new(LINGER)), // C1
            // T2: the peer may not read the error at all, so it gets no longer than a peer in `Lingering`.
            _ if self.end == Some(End::Idle) => self.since.after(Micros::new(LINGER)),
            _ => self.since.after(self.idle), // T2
        }
    }

    /// The time from [`due`](Self::due) is reached.
    fn expire(&mut self, now: Instant) {
        match self.phase {
            Phase::Held(_) => self.advance(Cause::Due), // T1
            Phase::Over => {}
            Phase::Lingering => self.advance(Cause::LetGo), // C1
            // C2: not even the last bytes can be delivered.
            _ if self.end.is_some() => self.advance(Cause::LetGo),
            _ => {
                self.end = Some(End::Idle); // T2; a reply that was owed comes before the error (R1)
                self.settle(now);
            }
        }
        self.since = now;
    }

    /// Writes the greeting or the reply, from where the last call stopped.
    fn write(&mut self, now: Instant, reply: Option<Reply>, output: &mut [u8]) -> usize {
        let line_end = self.name.framing().reply_end();
        // The common case: this reply, and all of it fits.
        if (reply, self.position) == (Some(Reply::Hello), 0)
            && let Some(written) = write_hello(self.name.name(), line_end, output)
        {
            self.since = now;
            self.wrote_all(now, reply);
            return written;
        }
        self.write_part(now, line_end, reply, output)
    }

    /// Writes as much of the greeting or the reply as fits into `output`.
    #[cold]
    fn write_part(&mut self, now: Instant, line_end: &[u8], reply: Option<Reply>, output: &mut [u8]) -> usize {
        let limit;
        let text = match reply {
            None => Text([GREETING, line_end, b"", b""]),
            Some(Reply::Hello) => Text::hello(self.name.name(), line_end),
            Some(Reply::NotUtf8) => Text([ERROR, b"name is not valid UTF-8", b"", line_end]),
            Some(Reply::TooLong) => {
                let capacity = const { &Decimal::new(N as u64) };
                Text([b"Error: name longer than ", capacity.as_bytes(), b" bytes", line_end])
            }
            Some(Reply::Idle) => {
                limit = Decimal::seconds(self.idle.get());
                Text([b"Error: idle for ", limit.as_bytes(), b" s", line_end])
            }
        };
        let position = self.position as usize;
        let written = text.copy(position, output);
        if written == 0 {
            return 0;
        }
        self.since = now;
        let position = position.saturating_add(written);
        if position < text.len() {
            // Cannot truncate: no text is longer than a name and a few words.
            #[expect(clippy::cast_possible_truncation)]
            let position = position as u32;
            self.position = position;
        } else {
            self.wrote_all(now, reply);
        }
        written
    }

    /// The greeting or the reply is completely written.
    fn wrote_all(&mut self, now: Instant, reply: Option<Reply>) {
        self.position = 0;
        if reply.is_some() {
            self.name.next();
        }
        self.advance(Cause::Sent);
        self.settle(now);
    }

    /// Does the work of [`receive`](Machine::receive) in every case.
    #[cfg_attr(target_pointer_width = "64", inline(never))]
    fn receive_any<'a>(&'a mut self, now: Instant, input: &'a [u8]) -> Received<Event<'a>> {
        match self.phase {
            Phase::Listening => {
                let (taken, found) = self.name.take(input);
                if taken > 0 {
                    self.since = now;
                }
                Received { taken, event: found.map(|found| self.found(now, found)) }
            }
            Phase::Lingering => {
                let more = u32::try_from(input.len()).unwrap_or(u32::MAX);
                self.position = self.position.saturating_add(more); // R3, C1: read and dropped
                if self.position >= LINGER_BYTES {
                    self.advance(Cause::LetGo);
                }
                Received { taken: input.len(), event: None }
            }
            _ => Received { taken: 0, event: None },
        }
    }

    /// Does the work of [`transmit`](Machine::transmit) in every case.
    #[cfg_attr(target_pointer_width = "64", inline(never))]
    fn transmit_any(&mut self, now: Instant, output: &mut [u8]) -> usize {
        match self.phase {
            Phase::Greeting => self.write(now, None, output),
            Phase::Answering(reply) => self.write(now, Some(reply), output),
            _ => 0,
        }
    }
}

impl<const N: usize> Machine for Server<N> {
    type Event<'a> = Event<'a>;

    fn receive<'a>(&'a mut self, now: Instant, input: &'a [u8]) -> Received<Event<'a>> {
        // The common case, with few instructions.
        if HAS_SHORT_PATH
            && self.phase == Phase::Listening
            && self.delay == Micros::ZERO
            && let Some(taken) = self.name.take_short_line(input)
        {
            (self.phase, self.since) = (Phase::ANSWERING, now);
            return Received { taken, event: Some(Event::Name(self.name.short_line())) };
        }
        self.receive_any(now, input)
    }

    fn receive_end(&mut self, now: Instant) {
        self.peer_ended = true;
        self.end = self.end.or(Some(End::ByPeer));
        match self.phase {
            Phase::Lingering => self.advance(Cause::LetGo), // C1
            _ => self.settle(now),                          // R4
        }
    }

    fn transmit(&mut self, now: Instant, output: &mut [u8]) -> usize {
        // The common case, with few instructions.
        if HAS_SHORT_PATH
            && self.phase == Phase::ANSWERING
            && self.position == 0
            && self.end.is_none()
            && let Some(written) = self.name.answer_short_line(output)
        {
            (self.phase, self.since) = (Phase::ANSWERING.after(Cause::Sent), now);
            return written;
        }
        self.transmit_any(now, output)
    }

    fn progress(&mut self, now: Instant) {
        match self.phase {
            Phase::Held(_) | Phase::Over => {} // no idle timeout is running
            _ => self.since = now,             // T2; C1, where the last bytes or the FIN were lost at first
        }
    }

    fn delivered(&mut self, now: Instant) {
        if self.phase == Phase::Leaving {
            self.advance(Cause::Delivered);
            if self.peer_ended {
                self.advance(Cause::LetGo); // C1: the client's FIN is here already
            }
            self.since = now;
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        if now >= self.due() {
            self.expire(now);
        }
    }

    fn deadline(&self) -> Option<Instant> {
        self.due().deadline().filter(|_| self.phase != Phase::Over)
    }

    fn state(&self) -> State {
        match self.phase {
            Phase::Over => State::Over,
            Phase::Leaving | Phase::Lingering => State::Ending,
            _ => State::Open,
        }
    }

    fn close(&mut self, now: Instant) {
        self.end = self.end.or(Some(End::Closed));
        self.settle(now);
    }
}

impl<const N: usize> ServerMachine for Server<N> {
    type Settings = Settings;

    const VACANT: Self = Self::vacant();

    fn begin(settings: Settings, now: Instant) -> Self {
        Self::new(settings, now)
    }

    fn end(&self) -> Option<End> {
        self.end
    }
}

#[cfg(feature = "defmt")]
impl<const N: usize> defmt::Format for Server<N> {
    fn format(&self, formatter: defmt::Formatter<'_>) {
        defmt::write!(formatter, "Server<{=usize}> {{ {}, end: {} }}", N, self.state(), self.end);
    }
}
