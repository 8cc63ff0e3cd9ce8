//! The client's machine: expects exactly what a server owes.

use core::{fmt, time::Duration};

use memchr::memchr;

use crate::{
    Connection, Framing, Instant, Received, State,
    framing::Buffer,
    text::{ERROR, EXIT, GREETING, Text},
    time::Micros,
};

/// What the owner of a client chooses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Settings {
    /// How names are sent. `Auto` is for a server to offer: a client that asks for it speaks `chunk`.
    pub framing: Framing,
    /// For how long nothing may move while something is awaited; `None` for ever.
    pub timeout: Option<Duration>,
}

/// What a client tells its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Event<'a> {
    /// `Welcome!` came.
    Greeted,
    /// `Hello, NAME!` came, right to the last byte, for this name: the oldest that was not answered.
    Reply(&'a [u8]),
    /// The other legal answer came: a stretch of its text, after `Error: `. It answers the oldest name that was not
    /// answered, if there is one.
    Error {
        /// The bytes of this stretch.
        text: &'a [u8],
        /// This stretch is the last.
        complete: bool,
    },
    /// Something came that no server owes (rule K1); the conversation is over.
    Mismatch(Mismatch<'a>),
}

/// Where what came departs from what was owed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Mismatch<'a> {
    /// What the bytes were to be.
    pub expected: Expected<'a>,
    /// The offset in it of the first byte that differs.
    pub offset: usize,
    /// The byte owed at that offset; `None` where nothing more was owed.
    pub owed: Option<u8>,
    /// What came instead, from that byte on.
    pub received: &'a [u8],
}

/// What a client is looking at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Expected<'a> {
    /// `Welcome!`, and the end of its line.
    Greeting,
    /// `Hello, NAME!` for this name, and under `line` LF.
    Reply(&'a [u8]),
    /// `Error: `, because that is how it began.
    Error,
    /// Nothing, for nothing was asked.
    Nothing,
}

/// What a client waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Awaited {
    /// The greeting.
    Greeting,
    /// The reply to a name.
    Reply,
    /// The server's FIN, after `exit` (rule K2).
    End,
}

/// How a conversation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Outcome {
    /// In good order: everything was answered, `exit` said, and the server ended its side (rule K2).
    Complete,
    /// The server ended its side before it should have. What was awaited, if anything.
    EndedEarly(Option<Awaited>),
    /// This did not come in time.
    TimedOut(Awaited),
    /// Something came that no server owes (rule K1).
    Mismatch,
}

/// Why a name is not sent: it could not come back as it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Refused {
    /// Under `chunk` there is no empty name (rule R2).
    Empty,
    /// `exit` is how a conversation ends (rule R3): close the client instead.
    Exit,
    /// Under `line` a name ends at LF (rule F2): the LF in this one is at `offset`.
    LineFeed {
        /// Where it is.
        offset: usize,
    },
    /// Under `chunk` the first name must not have a line feed: a server whose framing is `auto` takes that for lines (rule F3).
    LineFeedFirst {
        /// Where it is.
        offset: usize,
    },
    /// Under `line` a CR at the end belongs to the line's end (rule F2).
    CarriageReturnAtEnd,
    /// Under `chunk` a name's end inside a character makes the server wait for the rest (rule U2).
    IncompleteCharacter,
    /// It is longer than this client can ever hold.
    TooLong {
        /// How many bytes a name may have.
        limit: usize,
    },
    /// There is no room until an earlier name is answered: say it again then.
    Full,
    /// The conversation is ending.
    Closed,
}

impl fmt::Display for Refused {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => formatter.write_str("framing chunk has no empty name: give it a byte, or use framing line"),
            Self::Exit => formatter.write_str("`exit` is no name but the end of the conversation"),
            Self::LineFeed { offset } => {
                write!(formatter, "the line feed at byte {offset} would end the name: use framing chunk")
            }
            Self::LineFeedFirst { offset } => write!(
                formatter,
                "the line feed at byte {offset} of the first name would make the server take names for lines: say another \
                 name first"
            ),
            Self::CarriageReturnAtEnd => formatter
                .write_str("the carriage return at the end would be taken for the line's end: use framing chunk"),
            Self::IncompleteCharacter => {
                formatter.write_str("it ends inside a UTF-8 character, whose rest the server would wait for")
            }
            Self::TooLong { limit } => write!(formatter, "it is longer than {limit} bytes, the limit here"),
            Self::Full => {
                formatter.write_str("too many names wait for their replies: say it again after the next reply")
            }
            Self::Closed => formatter.write_str("the conversation is ending"),
        }
    }
}

impl core::error::Error for Refused {}

/// The client's end of one conversation; the names that are not answered yet, with two bytes each, fill at most `N` bytes.
///
/// It holds no replies: what a server owes is known byte by byte from the name (rule K1), and what comes is compared
/// where it lies. Under `line` any number of names may be under way; under `chunk` one at a time, as a read is a name.
///
/// ```
/// use greet_core::{Client, ClientEvent, ClientSettings, Connection, Framing, Instant, Outcome};
///
/// let now = Instant::ZERO;
/// let settings = ClientSettings { framing: Framing::Line, timeout: None };
/// let mut client: Client<64> = Client::new(settings, now);
/// client.say(b"haha")?;
/// client.say(b"byebye")?;
///
/// let mut output = [0; 64];
/// assert_eq!(client.transmit(now, &mut output), 0); // first the greeting
/// assert_eq!(client.receive(now, b"Welcome!").event, Some(ClientEvent::Greeted));
///
/// assert_eq!(client.transmit(now, &mut output), 5);
/// assert_eq!(client.transmit(now, &mut output[5..]), 7);
/// assert_eq!(&output[..12], b"haha\nbyebye\n");
///
/// let input = b"Hello, haha!\nHello, byebye!\n";
/// let received = client.receive(now, input); // one event at a time; the rest is offered again
/// assert_eq!((received.taken, received.event), (13, Some(ClientEvent::Reply(b"haha"))));
/// let received = client.receive(now, &input[13..]);
/// assert_eq!((received.taken, received.event), (15, Some(ClientEvent::Reply(b"byebye"))));
///
/// client.close(now);
/// assert_eq!(client.transmit(now, &mut output), 5);
/// assert_eq!(&output[..5], b"exit\n");
/// client.receive_end(now);
/// assert_eq!(client.outcome(), Some(Outcome::Complete));
/// # Ok::<(), greet_core::Refused>(())
/// ```
#[derive(Clone, Debug)]
pub struct Client<const N: usize> {
    /// The names under way, oldest first, each behind its length in two bytes.
    names: Buffer<N>,
    /// Where the oldest name that is not answered begins, in `names`. It is past `unsent` where a name was answered by an
    /// error before it was wholly sent.
    unanswered: usize,
    /// Where the first name that is not wholly sent begins.
    unsent: usize,
    /// How much of that name, or of `exit`, is sent.
    sent: usize,
    expecting: Expecting,
    /// How much of what is expected has come.
    matched: usize,
    leaving: Leaving,
    /// A name was taken before.
    spoken: bool,
    outcome: Option<Outcome>,
    framing: Framing,
    /// Since when nothing has moved.
    since: Instant,
    timeout: Micros,
}

/// What the next byte belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expecting {
    Greeting,
    /// An LF or CR LF right after the greeting, or a reply (rule K1).
    GreetingEnd,
    /// The LF after the greeting's CR.
    GreetingLineFeed,
    Reply,
    /// `Error: `.
    Error,
    ErrorText,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leaving {
    No,
    /// `exit` comes when every name is answered.
    Wanted,
    ExitSent,
}

/// How many bytes stand before each name in [`Client::names`].
const LENGTH_BYTES: usize = 2;

impl<const N: usize> Client<N> {
    /// The longest name a client of this capacity can say.
    pub const LONGEST_NAME: usize = N.saturating_sub(LENGTH_BYTES);

    /// A client whose connection was opened at `now`: it waits for the greeting.
    #[must_use]
    pub const fn new(settings: Settings, now: Instant) -> Self {
        const { assert!(LENGTH_BYTES < N && N <= u16::MAX as usize, "a client's capacity is 3 to 65,535 bytes") };
        Self {
            names: Buffer::EMPTY,
            unanswered: 0,
            unsent: 0,
            sent: 0,
            expecting: Expecting::Greeting,
            matched: 0,
            leaving: Leaving::No,
            spoken: false,
            outcome: None,
            framing: settings.framing,
            since: now,
            timeout: match settings.timeout {
                Some(limit) => Micros::new(limit),
                None => Micros::FOREVER,
            },
        }
    }

    /// Takes a name, to be sent as soon as the protocol allows.
    ///
    /// # Errors
    /// The reason, where the framing or this client's capacity cannot carry the name; nothing is sent of it then.
    pub fn say(&mut self, name: &[u8]) -> Result<(), Refused> {
        if self.leaving != Leaving::No || self.outcome.is_some() {
            return Err(Refused::Closed);
        }
        if name == EXIT {
            return Err(Refused::Exit);
        }
        match self.framing {
            Framing::Line => {
                if let Some(offset) = memchr(b'\n', name) {
                    return Err(Refused::LineFeed { offset });
                }
                if name.last() == Some(&b'\r') {
                    return Err(Refused::CarriageReturnAtEnd);
                }
            }
            Framing::Chunk | Framing::Auto => {
                if name.is_empty() {
                    return Err(Refused::Empty);
                }
                if let Some(offset) = memchr(b'\n', name)
                    && !self.spoken
                {
                    return Err(Refused::LineFeedFirst { offset });
                }
                if crate::framing::incomplete_character(name) > 0 {
                    return Err(Refused::IncompleteCharacter);
                }
            }
        }
        let length = match u16::try_from(name.len()) {
            Ok(length) if name.len() <= Self::LONGEST_NAME => length.to_le_bytes(),
            _ => return Err(Refused::TooLong { limit: Self::LONGEST_NAME }),
        };
        let needed = name.len().saturating_add(LENGTH_BYTES);
        if self.names.room() < needed {
            self.forget_answered();
        }
        if self.names.room() < needed {
            return Err(Refused::Full);
        }
        self.spoken = true;
        // Neither can fail: there is room.
        let _ = self.names.extend(&length);
        let _ = self.names.extend(name);
        Ok(())
    }

    /// What is awaited now; `None` where the next word is this side's.
    #[must_use]
    pub fn awaited(&self) -> Option<Awaited> {
        match self.expecting {
            _ if self.outcome.is_some() => None,
            Expecting::Greeting => Some(Awaited::Greeting),
            _ if self.unanswered < self.unsent => Some(Awaited::Reply),
            // Begun and not finished: the peer takes nothing, and that has its limit too.
            _ if self.sent > 0 && self.unsent < self.names.len() => Some(Awaited::Reply),
            _ if self.sent > 0 || self.leaving == Leaving::ExitSent => Some(Awaited::End),
            Expecting::Error | Expecting::ErrorText | Expecting::GreetingLineFeed => Some(Awaited::Reply),
            Expecting::GreetingEnd | Expecting::Reply => None,
        }
    }

    /// Whether every name that was said has been sent and answered, and nothing else is awaited.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.awaited().is_none() && self.unsent >= self.names.len()
    }

    /// How the conversation ended, once it has.
    #[must_use]
    pub const fn outcome(&self) -> Option<Outcome> {
        self.outcome
    }

    /// The name that begins at `position`, and where the next one does.
    fn name_at(&self, position: usize) -> Option<(&[u8], usize)> {
        let (length, names) = self.names.as_slice().get(position..)?.split_first_chunk::<LENGTH_BYTES>()?;
        let name = names.get(..u16::from_le_bytes(*length).into())?;
        Some((name, position.saturating_add(LENGTH_BYTES).saturating_add(name.len())))
    }

    /// Makes room at the end of `names` by moving what is not answered to its front.
    fn forget_answered(&mut self) {
        let answered = self.unanswered.min(self.unsent); // a name may be answered before it is wholly sent
        self.names.drop_first(answered);
        self.unanswered = self.unanswered.saturating_sub(answered);
        self.unsent = self.unsent.saturating_sub(answered);
    }

    /// What is to be sent next, and where the name after it begins; for `exit` there is none.
    fn owed(&self) -> Option<(Text<'_>, Option<usize>)> {
        let line_end = self.framing.reply_end();
        if self.expecting == Expecting::Greeting || self.outcome.is_some() {
            return None; // K1
        }
        if let Some((name, next)) = self.name_at(self.unsent) {
            // Under `chunk` a second name would run into the first (rule F1).
            let alone = self.unsent <= self.unanswered;
            return (alone || self.framing == Framing::Line).then_some((Text([name, line_end, b"", b""]), Some(next)));
        }
        let answered = self.unanswered == self.unsent;
        // K2
        (answered && self.leaving == Leaving::Wanted).then_some((Text([EXIT, line_end, b"", b""]), None))
    }

    /// The oldest name that is not answered, and where the next one begins; it must have been sent.
    fn oldest(&self) -> Option<(&[u8], usize)> {
        if self.unanswered < self.unsent { self.name_at(self.unanswered) } else { None }
    }

    /// How much of `input` is right, and whether that completes what is expected now.
    fn compare(&mut self, input: &[u8]) -> Compared {
        let line_end = self.framing.reply_end();
        let text = match self.expecting {
            Expecting::Greeting => Text([GREETING, b"", b"", b""]),
            Expecting::GreetingLineFeed => Text([b"\n", b"", b"", b""]),
            Expecting::Error => Text([ERROR, b"", b"", b""]),
            _ => match self.oldest() {
                Some((name, _)) => Text::hello(name, line_end),
                None => Text([b"", b"", b"", b""]),
            },
        };
        let same = text.matching(self.matched, input);
        let matched = self.matched.saturating_add(same);
        let complete = text.len() > 0 && matched >= text.len();
        self.matched = if complete { 0 } else { matched };
        Compared { same, complete }
    }

    /// The bytes from here on are not what is owed (rule K1).
    fn mismatch<'a>(&'a mut self, received: &'a [u8]) -> Event<'a> {
        self.outcome = Some(Outcome::Mismatch);
        let line_end = self.framing.reply_end();
        let (expected, owed) = match (self.expecting, self.oldest()) {
            (Expecting::Greeting, _) => (Expected::Greeting, GREETING.get(self.matched).copied()),
            (Expecting::GreetingLineFeed, _) => (Expected::Greeting, Some(b'\n')),
            (Expecting::Error, _) => (Expected::Error, ERROR.get(self.matched).copied()),
            (_, Some((name, _))) => (Expected::Reply(name), Text::hello(name, line_end).at(self.matched)),
            (_, None) => (Expected::Nothing, None),
        };
        let offset = match self.expecting {
            Expecting::GreetingLineFeed => GREETING.len().saturating_add(1), // behind the CR
            _ => self.matched,
        };
        Event::Mismatch(Mismatch { expected, offset, owed, received })
    }

    /// The oldest name is answered.
    fn answered(&mut self) -> &[u8] {
        self.expecting = Expecting::Reply;
        let from = self.unanswered;
        // L3: the error for a name that is too long may come while the name is still being sent.
        let under_way = self.unanswered == self.unsent && self.sent > 0;
        if self.unanswered < self.unsent || under_way {
            self.unanswered = self.name_at(from).map_or(from, |(_, next)| next);
        }
        self.name_at(from).map(|(name, _)| name).unwrap_or_default()
    }

    /// When the patience is over; never while nothing is awaited.
    fn due(&self) -> Instant {
        match self.awaited() {
            Some(_) => self.since.after(self.timeout),
            None => Instant::NEVER,
        }
    }
}

/// What a comparison came to.
struct Compared {
    same: usize,
    complete: bool,
}

impl<const N: usize> Connection for Client<N> {
    type Event<'a> = Event<'a>;

    fn receive<'a>(&'a mut self, now: Instant, input: &'a [u8]) -> Received<Event<'a>> {
        let Some(&first) = input.first() else { return Received { taken: 0, event: None } };
        if self.outcome.is_some() {
            return Received { taken: 0, event: None };
        }
        self.since = now;
        match (self.expecting, first) {
            (Expecting::GreetingEnd, b'\r') => {
                self.expecting = Expecting::GreetingLineFeed;
                return Received { taken: 1, event: None };
            }
            (Expecting::GreetingEnd, b'\n') => {
                self.expecting = Expecting::Reply;
                return Received { taken: 1, event: None };
            }
            (Expecting::GreetingEnd, _) => self.expecting = Expecting::Reply,
            _ => {}
        }
        if self.expecting == Expecting::Reply && self.matched == 0 && ERROR.first() == Some(&first) {
            self.expecting = Expecting::Error; // K1: the other legal answer
        }
        if self.expecting == Expecting::ErrorText {
            // K1: up to LF, or to the end of the read
            let end = memchr(b'\n', input).filter(|_| self.framing == Framing::Line);
            let (text, _) = input.split_at_checked(end.unwrap_or(input.len())).unwrap_or((input, b""));
            let complete = end.is_some() || self.framing != Framing::Line;
            if complete {
                self.answered();
            }
            let taken = text.len().saturating_add(usize::from(end.is_some()));
            return Received { taken, event: Some(Event::Error { text, complete }) };
        }
        let Compared { same, complete } = self.compare(input);
        let event = match (self.expecting, complete) {
            (Expecting::Greeting, true) => {
                self.expecting = Expecting::GreetingEnd;
                Some(Event::Greeted)
            }
            (Expecting::GreetingLineFeed, true) => {
                self.expecting = Expecting::Reply;
                None
            }
            (Expecting::Error, true) => {
                self.expecting = Expecting::ErrorText;
                None
            }
            (_, true) => Some(Event::Reply(self.answered())),
            (_, false) => match input.get(same..) {
                None | Some([]) => None,
                Some(wrong) => Some(self.mismatch(wrong)),
            },
        };
        Received { taken: same, event }
    }

    fn receive_end(&mut self, _now: Instant) {
        if self.outcome.is_none() {
            self.outcome = Some(match self.awaited() {
                Some(Awaited::End) if self.leaving == Leaving::ExitSent => Outcome::Complete, // K2
                awaited => Outcome::EndedEarly(awaited),
            });
        }
    }

    fn transmit(&mut self, now: Instant, output: &mut [u8]) -> usize {
        if now >= self.due()
            && let Some(awaited) = self.awaited()
        {
            self.outcome = Some(Outcome::TimedOut(awaited));
        }
        let Some((text, next)) = self.owed() else { return 0 };
        let written = text.copy(self.sent, output);
        let sent = self.sent.saturating_add(written);
        let complete = sent >= text.len();
        if written == 0 {
            return 0;
        }
        self.since = now;
        self.sent = if complete { 0 } else { sent };
        match next {
            _ if !complete => {}
            Some(next) => self.unsent = next,
            None => self.leaving = Leaving::ExitSent,
        }
        written
    }

    fn progress(&mut self, now: Instant) {
        self.since = now;
    }

    fn deadline(&self) -> Option<Instant> {
        let due = self.due();
        (due < Instant::NEVER).then_some(due)
    }

    fn state(&self) -> State {
        if self.outcome.is_some() { State::Over } else { State::Open }
    }

    fn close(&mut self, _now: Instant) {
        if self.leaving == Leaving::No {
            self.leaving = Leaving::Wanted;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_that_comes_before_its_name_is_wholly_sent_answers_that_name() {
        let now = Instant::ZERO;
        let mut client: Client<16> = Client::new(Settings { framing: Framing::Line, timeout: None }, now);
        let error = Event::Error { text: b"name longer than 2 bytes", complete: true };
        client.say(b"byebye").unwrap();
        assert_eq!(client.receive(now, b"Welcome!").event, Some(Event::Greeted));
        assert_eq!(client.transmit(now, &mut [0; 4]), 4);
        assert_eq!(client.receive(now, b"\nError: name longer than 2 bytes\n").taken, 1);
        assert_eq!(client.receive(now, b"Error: name longer than 2 bytes\n").taken, 7);
        assert_eq!(client.receive(now, b"name longer than 2 bytes\n").event, Some(error));

        client.say(b"haha").unwrap(); // the first name is still needed: its end is not sent
        let mut output = [0; 16];
        assert_eq!(client.transmit(now, &mut output), 3);
        assert_eq!(client.transmit(now, &mut output[3..]), 5);
        assert_eq!(&output[..8], b"ye\nhaha\n");
        assert_eq!(client.receive(now, b"Hello, haha!\n").event, Some(Event::Reply(b"haha")));
        assert!(client.is_idle());
    }

    #[test]
    fn a_peer_that_takes_nothing_runs_into_the_timeout() {
        let timeout = Some(Duration::from_secs(1));
        for exit in [false, true] {
            let now = Instant::ZERO;
            let mut client: Client<16> = Client::new(Settings { framing: Framing::Line, timeout }, now);
            assert_eq!(client.receive(now, b"Welcome!").event, Some(Event::Greeted));
            let awaited = if exit {
                client.close(now);
                Awaited::End
            } else {
                client.say(b"byebye").unwrap();
                Awaited::Reply
            };
            assert_eq!(client.transmit(now, &mut [0; 4]), 4);
            let mut ended = client.clone();
            assert_eq!(client.deadline(), Some(now + Duration::from_secs(1)));
            client.transmit(now + Duration::from_secs(1), &mut []);
            assert_eq!(client.outcome(), Some(Outcome::TimedOut(awaited)));
            // Nor is its FIN the end that was asked for.
            ended.receive_end(now);
            assert_eq!(ended.outcome(), Some(Outcome::EndedEarly(Some(awaited))));
        }
    }
}
