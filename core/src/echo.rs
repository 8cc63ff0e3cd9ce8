//! The echo server's state machine: sends back what it received (RFC 862, over TCP).

use core::time::Duration;

use crate::{
    Instant, Machine, Received, ServerMachine, State,
    framing::{Bytes, append},
    server::{End, Event, LINGER, LINGER_BYTES, Settings as ServerSettings},
    text::Text,
    time::Micros,
};

/// The settings of an echo server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Settings {
    /// The idle timeout (rule B5); 300 s by default, `None` for no timeout.
    pub idle_timeout: Option<Duration>,
}

impl Settings {
    /// The same defaults as those of a [`Server`](crate::Server).
    pub const DEFAULT: Self = Self { idle_timeout: ServerSettings::DEFAULT.idle_timeout };
}

impl Default for Settings {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// The server's side of one echo connection. It holds at most `N` bytes; `N` is 1 to 65,535 (rule B3).
///
/// It sends every received byte back, in order, and nothing else (rule B1). While it holds bytes it takes no more, so a peer that
/// does not read is slowed down by TCP's flow control, and no byte is lost. It reports no events.
///
/// ```text
///            the peer ended, close,          all delivered: FIN
///            or idle; and nothing is held                            the peer ended, LINGER, LINGER_BYTES
///  Echoing ──────────────────────────▶ Leaving ──────────▶ Lingering ─────────────────────────────────────▶ Over
/// ```
///
/// A whole connection, as the driver sees it:
///
/// ```
/// use greet_core::{Echo, EchoSettings, Instant, Machine, State};
///
/// let now = Instant::ZERO;
/// let mut echo: Echo<4> = Echo::new(EchoSettings::default(), now);
/// let mut output = [0; 64];
/// assert_eq!(echo.transmit(now, &mut output), 0); // there is no greeting
///
/// let input = b"haha\0";
/// assert_eq!(echo.receive(now, input).taken, 4); // as many as it can hold
/// assert_eq!(echo.receive(now, &input[4..]).taken, 0); // the rest is offered again
/// let length = echo.transmit(now, &mut output);
/// assert_eq!(&output[..length], b"haha");
///
/// assert_eq!(echo.receive(now, &input[4..]).taken, 1);
/// echo.receive_end(now); // the client's FIN
/// assert_eq!(echo.state(), State::Open); // one byte is still to be sent
/// assert_eq!(echo.transmit(now, &mut output), 1);
/// assert_eq!(echo.state(), State::Ending);
/// echo.delivered(now); // the driver has sent its FIN
/// assert_eq!(echo.state(), State::Over);
/// ```
#[derive(Clone, Debug)]
pub struct Echo<const N: usize> {
    /// The bytes to send back.
    held: Bytes<N>,
    /// How many of them are sent.
    sent: u16,
    phase: Phase,
    /// Why the conversation has to end. It takes effect when nothing is held.
    end: Option<End>,
    /// The client's FIN was received: the server need not linger.
    peer_ended: bool,
    /// In `Lingering`, how many bytes were read and dropped.
    dropped: u32,
    /// When the last byte was received or sent.
    since: Instant,
    idle: Micros,
}

/// The phase of a conversation. `Over` comes first and is zero, because all bytes of a vacant machine are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Over,
    Echoing,
    Leaving,
    Lingering,
}

impl<const N: usize> Echo<N> {
    /// An echo server whose connection was opened at `now`.
    #[must_use]
    pub const fn new(settings: Settings, now: Instant) -> Self {
        Self::in_phase(Phase::Echoing, now, Micros::limit(settings.idle_timeout))
    }

    /// An echo server without a connection, in [`State::Over`]. All its bytes are zero, so a static array of them needs no flash.
    #[must_use]
    pub const fn vacant() -> Self {
        Self::in_phase(Phase::Over, Instant::ZERO, Micros::ZERO)
    }

    const fn in_phase(phase: Phase, since: Instant, idle: Micros) -> Self {
        const { assert!(0 < N && N <= u16::MAX as usize, "an echo server's capacity is 1 to 65,535 bytes") };
        Self { held: Bytes::new(), sent: 0, phase, end: None, peer_ended: false, dropped: 0, since, idle }
    }

    /// Why the conversation ends, once it does; never [`End::Exit`].
    #[must_use]
    pub const fn end(&self) -> Option<End> {
        self.end
    }

    /// The conversation has to end, for this reason unless there was one before: as soon as nothing is held.
    fn end_for(&mut self, end: End) {
        self.end = self.end.or(Some(end));
        self.settle();
    }

    fn settle(&mut self) {
        if self.phase == Phase::Echoing && self.end.is_some() && self.held.is_empty() {
            self.phase = Phase::Leaving;
        }
    }

    /// When the idle timeout or the time to linger ends.
    fn due(&self) -> Instant {
        let is_short = self.phase == Phase::Lingering || self.end == Some(End::Idle); // C1, B5
        self.since.after(if is_short { Micros::new(LINGER) } else { self.idle })
    }
}

impl<const N: usize> Machine for Echo<N> {
    /// Never one: the type is that of every server.
    type Event<'a> = Event<'a>;

    fn receive<'a>(&'a mut self, now: Instant, input: &'a [u8]) -> Received<Event<'a>> {
        let taken = match self.phase {
            Phase::Echoing if self.held.is_empty() && self.end.is_none() => {
                let fits = input.len().min(N); // B3
                match append(&mut self.held, input, fits) {
                    Some(()) if fits > 0 => {
                        self.since = now;
                        fits
                    }
                    _ => 0,
                }
            }
            Phase::Lingering => {
                let more = u32::try_from(input.len()).unwrap_or(u32::MAX);
                self.dropped = self.dropped.saturating_add(more); // C1
                if self.dropped >= LINGER_BYTES {
                    self.phase = Phase::Over;
                }
                input.len()
            }
            _ => 0,
        };
        Received { taken, event: None }
    }

    fn receive_end(&mut self, _now: Instant) {
        self.peer_ended = true;
        if self.phase == Phase::Lingering {
            self.phase = Phase::Over; // C1
        }
        self.end_for(End::ByPeer); // B4
    }

    fn transmit(&mut self, now: Instant, output: &mut [u8]) -> usize {
        let count = match self.phase {
            Phase::Echoing => Text([&self.held, b"", b"", b""]).copy(self.sent.into(), output),
            Phase::Over | Phase::Leaving | Phase::Lingering => 0,
        };
        if count == 0 {
            return 0;
        }
        self.since = now;
        // Cannot saturate: no more bytes are held than a `u16` counts.
        self.sent = self.sent.saturating_add(u16::try_from(count).unwrap_or(u16::MAX));
        if usize::from(self.sent) >= self.held.len() {
            self.held.clear();
            self.sent = 0;
            self.settle();
        }
        count
    }

    fn progress(&mut self, now: Instant) {
        self.since = now; // B5, C1
    }

    fn delivered(&mut self, now: Instant) {
        if self.phase == Phase::Leaving {
            self.phase = if self.peer_ended { Phase::Over } else { Phase::Lingering }; // C1
            self.since = now;
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        if now < self.due() {
            return;
        }
        match self.phase {
            // B5: what is held is still sent.
            Phase::Echoing if self.end.is_none() => self.end_for(End::Idle),
            // C1, C2: the client does not read, or does not end its side.
            _ => self.phase = Phase::Over,
        }
        self.since = now;
    }

    fn deadline(&self) -> Option<Instant> {
        self.due().deadline().filter(|_| self.phase != Phase::Over)
    }

    fn state(&self) -> State {
        match self.phase {
            Phase::Over => State::Over,
            Phase::Echoing => State::Open,
            Phase::Leaving | Phase::Lingering => State::Ending,
        }
    }

    fn close(&mut self, _now: Instant) {
        self.end_for(End::Closed);
    }
}

impl<const N: usize> ServerMachine for Echo<N> {
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
impl<const N: usize> defmt::Format for Echo<N> {
    fn format(&self, formatter: defmt::Formatter<'_>) {
        defmt::write!(formatter, "Echo<{=usize}> {{ {}, end: {} }}", N, self.state(), self.end);
    }
}
