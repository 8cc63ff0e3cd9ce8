//! The client's state machine: sends names, and compares every received byte with what the server has to send.

mod event;
mod expectation;
mod name_error;
mod names;

use core::time::Duration;

use memchr::memchr;

pub use self::{
    event::{Event, Expected, Mismatch, Outcome, WaitingFor},
    name_error::NameError,
};
use self::{
    expectation::{Compared, Expectation, Expecting},
    names::Names,
};
use crate::{
    Framing, Instant, Machine, Received, State,
    text::{ERROR, EXIT, Text},
    time::Timeout,
};

/// What a server does with the bytes that it receives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Service {
    /// It greets, and answers each name with `Hello, NAME!`: a [`Server`](crate::Server).
    #[default]
    Greet,
    /// It sends back what it receives: an [`Echo`](crate::Echo) server, or any other one (RFC 862).
    Echo,
}

/// The settings of a client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Settings {
    /// What the server does, and so what it owes for a name.
    pub service: Service,
    /// How names are sent. `Auto`: in lines if a line feed follows the greeting (rule G1), else one write each. An echo server
    /// sends no greeting: there `Auto` is the same as `Chunk`.
    pub framing: Framing,
    /// How long the client waits for the next byte while it expects one; `None` for no timeout.
    pub timeout: Option<Duration>,
}

/// The client's side of one conversation. The names that are not answered yet need at most `N` bytes, with two bytes each for
/// their length.
///
/// It stores no replies: every byte of a reply is known from the name (rule K1), and received bytes are compared where they are.
/// With framing `line`, or with an echo server, any number of names may be in flight; else only one, because a read is a name.
///
/// With [`Service::Echo`] a name may have any bytes (with framing `line` no LF), and it is the reply to itself. The client ends the
/// conversation by its FIN instead of `exit`, and needs not wait for the replies before (rules B4 and B6).
///
/// ```
/// use greet_core::{Client, ClientEvent, ClientSettings, Framing, Instant, Machine, Outcome};
///
/// let now = Instant::ZERO;
/// let settings = ClientSettings { framing: Framing::Line, ..ClientSettings::default() };
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
/// # Ok::<(), greet_core::NameError>(())
/// ```
///
/// The client of an echo server, which loses a byte:
///
/// ```
/// use greet_core::{Client, ClientEvent, ClientSettings, Expected, Instant, Machine, Mismatch, Service};
///
/// let now = Instant::ZERO;
/// let mut client: Client<64> = Client::new(ClientSettings { service: Service::Echo, ..ClientSettings::default() }, now);
/// client.say(b"\0\xFFab")?;
/// client.say(b"cd")?;
/// let mut output = [0; 64];
/// assert_eq!(client.transmit(now, &mut output), 4);
/// assert_eq!(client.transmit(now, &mut output), 2);
///
/// let received = client.receive(now, b"\0\xFFabd");
/// assert_eq!((received.taken, received.event), (4, Some(ClientEvent::Reply(b"\0\xFFab"))));
/// let mismatch = Mismatch { expected: Expected::Reply(b"cd"), offset: 0, owed: Some(b'c'), received: b"d" };
/// assert_eq!(client.receive(now, b"d").event, Some(ClientEvent::Mismatch(mismatch)));
/// assert_eq!(client.verified(), 4); // bytes before the wrong one
/// # Ok::<(), greet_core::NameError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Client<const N: usize> {
    /// The names that are not answered yet.
    names: Names<N>,
    expectation: Expectation,
    exit: Exit,
    /// A name was given to this client before.
    spoken: bool,
    outcome: Option<Outcome>,
    service: Service,
    framing: Framing,
    timeout: Timeout,
    /// How many bytes were sent.
    sent: u64,
    /// How many bytes were received that are as expected.
    verified: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
/// Whether this side has to end the conversation: by `exit`, or with an echo server by its FIN.
enum Exit {
    No,
    /// `exit` is sent when every name is answered; `sent` of its bytes are. The FIN is sent when every name is sent.
    Wanted {
        sent: usize,
    },
    Sent,
}

/// What has to be sent next.
struct Next<'a> {
    /// A name, or `exit`.
    word: &'a [u8],
    /// How many bytes of it, and of the LF after it, are sent.
    sent: usize,
    is_exit: bool,
}

impl<const N: usize> Client<N> {
    /// The length of the longest name that a client of this capacity can send.
    pub const LONGEST_NAME: usize = Names::<N>::LONGEST;

    /// A client whose connection was opened at `now`. It waits for the greeting.
    #[must_use]
    pub const fn new(settings: Settings, now: Instant) -> Self {
        Self {
            names: Names::new(),
            expectation: Expectation::new(settings.service),
            exit: Exit::No,
            spoken: false,
            outcome: None,
            service: settings.service,
            framing: settings.framing,
            timeout: Timeout::new(settings.timeout, now),
            sent: 0,
            verified: 0,
        }
    }

    /// Takes a name, and sends it as soon as the protocol allows.
    ///
    /// # Errors
    /// The framing or this client's capacity does not allow the name. Nothing of it is sent.
    pub fn say(&mut self, name: &[u8]) -> Result<(), NameError> {
        if self.exit != Exit::No || self.outcome.is_some() {
            return Err(NameError::Closed);
        }
        NameError::check(name, self.service, self.framing, !self.spoken)?;
        self.names.push(name)?;
        self.spoken = true;
        Ok(())
    }

    /// What the client waits for; `None` if it is this side's turn to send.
    #[must_use]
    pub fn waiting_for(&self) -> Option<WaitingFor> {
        match self.expectation.next {
            _ if self.outcome.is_some() => None,
            Expecting::Greeting => Some(WaitingFor::Greeting),
            _ if self.names.await_answer() => Some(WaitingFor::Reply),
            // A name is sent in part: the peer takes no more bytes, and the timeout applies to that too.
            _ if self.names.is_one_partly_sent() => Some(WaitingFor::Reply),
            _ if matches!(self.exit, Exit::Wanted { sent: 1.. } | Exit::Sent) => Some(WaitingFor::End),
            Expecting::Error | Expecting::ErrorText | Expecting::GreetingLineFeed => Some(WaitingFor::Reply),
            Expecting::GreetingEnd | Expecting::Reply => None,
        }
    }

    /// Whether every name has been sent and answered, and the client waits for nothing else.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.waiting_for().is_none() && self.names.are_sent()
    }

    /// The outcome of the conversation, once it is over.
    #[must_use]
    pub const fn outcome(&self) -> Option<Outcome> {
        self.outcome
    }

    /// How many bytes were received that are as expected: the offset of the next one in all that the server sends.
    #[must_use]
    pub const fn verified(&self) -> u64 {
        self.verified
    }

    /// How names are sent: as set, or for `Auto` as the greeting told, once its first following byte has arrived.
    #[must_use]
    pub const fn framing(&self) -> Framing {
        self.framing
    }

    /// The byte behind the greeting has told the server's framing (rules G1 and K1).
    fn settle(&mut self, framing: Framing) {
        if self.framing != Framing::Auto {
            return;
        }
        self.framing = framing;
        if framing == Framing::Line {
            // A name or `exit` that was sent before that lacks its line feed.
            self.names.reopen_line();
            if self.exit == Exit::Sent {
                self.exit = Exit::Wanted { sent: EXIT.len() };
            }
        }
    }

    /// What has to be sent next.
    fn next(&self) -> Option<Next<'_>> {
        if self.expectation.next == Expecting::Greeting || self.outcome.is_some() {
            return None; // K1
        }
        match (self.names.next_to_send(), self.exit) {
            // F1: with `chunk`, two names in flight could arrive in one read.
            (Some(_), _) if self.names.await_answer() && !self.may_pipeline() => None,
            (Some((word, sent)), _) => Some(Next { word, sent, is_exit: false }),
            (None, Exit::Wanted { sent }) if !self.names.await_answer() && self.service == Service::Greet => {
                Some(Next { word: EXIT, sent, is_exit: true }) // K2
            }
            (None, _) => None,
        }
    }

    /// Whether a name may be sent while another is not answered.
    fn may_pipeline(&self) -> bool {
        self.framing == Framing::Line || self.service == Service::Echo
    }

    /// The name whose reply is received next. An echo server, which owes so many bytes, may reply to the first bytes of a name
    /// before the others are sent.
    fn next_name(names: &Names<N>, service: Service, owed: u64) -> Option<&[u8]> {
        match service {
            Service::Greet => names.oldest_unanswered(),
            Service::Echo => names.oldest_begun().filter(|_| owed > 0),
        }
    }

    /// How many bytes an echo server owes: those that were sent and did not come back.
    const fn owed(&self) -> u64 {
        self.sent.saturating_sub(self.verified)
    }

    /// As much of the input as may belong to what is expected: an echo server owes no byte before it is sent.
    fn limit<'a>(&self, input: &'a [u8]) -> &'a [u8] {
        match (self.service, usize::try_from(self.owed())) {
            (Service::Echo, Ok(owed @ 1..)) => input.get(..owed).unwrap_or(input),
            _ => input,
        }
    }

    /// These bytes were received, and are as expected.
    const fn verify(&mut self, count: usize) {
        self.verified = self.verified.saturating_add(count as u64);
    }

    /// The oldest name is answered.
    fn answered(&mut self) -> &[u8] {
        self.expectation.next = Expecting::Reply;
        self.names.answered()
    }

    /// When the timeout expires; never while the client waits for nothing.
    fn due(&self) -> Instant {
        match self.waiting_for() {
            Some(_) => self.timeout.due(),
            None => Instant::NEVER,
        }
    }
}

impl<const N: usize> Machine for Client<N> {
    type Event<'a> = Event<'a>;

    fn receive<'a>(&'a mut self, now: Instant, input: &'a [u8]) -> Received<Event<'a>> {
        let Some(&first) = input.first() else { return Received { taken: 0, event: None } };
        if self.outcome.is_some() {
            return Received { taken: 0, event: None };
        }
        self.timeout.moved(now);
        match (self.expectation.next, first) {
            (Expecting::GreetingEnd, b'\r') => {
                self.expectation.next = Expecting::GreetingLineFeed;
                self.verify(1);
                return Received { taken: 1, event: None };
            }
            (Expecting::GreetingEnd, b'\n') => {
                self.expectation.next = Expecting::Reply;
                self.settle(Framing::Line);
                self.verify(1);
                return Received { taken: 1, event: None };
            }
            (Expecting::GreetingEnd, _) => {
                self.expectation.next = Expecting::Reply;
                self.settle(Framing::Chunk);
            }
            _ => {}
        }
        if self.expectation.next == Expecting::Reply
            && self.service == Service::Greet
            && !self.expectation.is_begun()
            && ERROR.first() == Some(&first)
        {
            self.expectation.next = Expecting::Error; // K1: an error reply
        }
        if self.expectation.next == Expecting::ErrorText {
            // K1: up to LF, or to the end of the read
            let end = memchr(b'\n', input).filter(|_| self.framing == Framing::Line);
            let (text, _) = input.split_at_checked(end.unwrap_or(input.len())).unwrap_or((input, b""));
            let complete = end.is_some() || self.framing != Framing::Line;
            if complete {
                self.answered();
            }
            let taken = text.len().saturating_add(usize::from(end.is_some()));
            self.verify(taken);
            return Received { taken, event: Some(Event::Error { text, complete }) };
        }
        let line_end = self.framing.reply_end();
        let possible = self.limit(input);
        let name = Self::next_name(&self.names, self.service, self.owed());
        let Compared { same, complete } = self.expectation.compare(name, line_end, possible);
        self.verify(same);
        let event = match (self.expectation.next, complete) {
            (Expecting::Greeting, true) => {
                self.expectation.next = Expecting::GreetingEnd;
                Some(Event::Greeted)
            }
            (Expecting::GreetingLineFeed, true) => {
                self.expectation.next = Expecting::Reply;
                self.settle(Framing::Line);
                None
            }
            (Expecting::Error, true) => {
                self.expectation.next = Expecting::ErrorText;
                None
            }
            (_, true) => Some(Event::Reply(self.answered())),
            (_, false) if same == possible.len() => None,
            (_, false) => {
                self.outcome = Some(Outcome::Mismatch);
                let wrong = input.get(same..).unwrap_or_default();
                let name = Self::next_name(&self.names, self.service, self.owed());
                Some(Event::Mismatch(self.expectation.mismatch(name, line_end, wrong)))
            }
        };
        Received { taken: same, event }
    }

    fn receive_end(&mut self, _now: Instant) {
        if self.outcome.is_none() {
            self.outcome = Some(match self.waiting_for() {
                Some(WaitingFor::End) if self.exit == Exit::Sent => Outcome::Complete, // K2
                waiting_for => Outcome::EndedEarly(waiting_for),
            });
        }
    }

    fn transmit(&mut self, now: Instant, output: &mut [u8]) -> usize {
        let line_end = self.framing.reply_end();
        let Some(Next { word, sent, is_exit }) = self.next() else { return 0 };
        let text = Text([word, line_end, b"", b""]);
        let written = text.copy(sent, output);
        if written == 0 {
            return 0;
        }
        let sent = sent.saturating_add(written);
        let complete = sent >= text.len();
        self.sent = self.sent.saturating_add(written as u64);
        self.timeout.moved(now);
        match (is_exit, complete) {
            (false, false) => self.names.sent_part(sent),
            (false, true) => self.names.sent_whole(),
            (true, false) => self.exit = Exit::Wanted { sent },
            (true, true) => self.exit = Exit::Sent,
        }
        written
    }

    fn progress(&mut self, now: Instant) {
        self.timeout.moved(now);
    }

    fn delivered(&mut self, now: Instant) {
        if self.state() == State::Ending {
            self.exit = Exit::Sent; // B4
            self.timeout.moved(now);
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        if now >= self.due()
            && let Some(waiting_for) = self.waiting_for()
        {
            self.outcome = Some(Outcome::TimedOut(waiting_for));
        }
    }

    fn deadline(&self) -> Option<Instant> {
        self.due().deadline()
    }

    fn state(&self) -> State {
        match (self.outcome, self.service, self.exit) {
            (Some(_), ..) => State::Over,
            (None, Service::Echo, Exit::Wanted { .. } | Exit::Sent) if self.names.are_sent() => State::Ending, // B4
            (None, ..) => State::Open,
        }
    }

    fn close(&mut self, _now: Instant) {
        if self.exit == Exit::No {
            self.exit = Exit::Wanted { sent: 0 };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_before_its_name_is_completely_sent_answers_that_name() {
        let now = Instant::ZERO;
        let mut client: Client<16> = Client::new(Settings { framing: Framing::Line, ..Settings::default() }, now);
        let error = Event::Error { text: b"name longer than 2 bytes", complete: true };
        client.say(b"byebye").unwrap();
        assert_eq!(client.receive(now, b"Welcome!").event, Some(Event::Greeted));
        assert_eq!(client.transmit(now, &mut [0; 4]), 4);
        assert_eq!(client.receive(now, b"\nError: name longer than 2 bytes\n").taken, 1);
        assert_eq!(client.receive(now, b"Error: name longer than 2 bytes\n").taken, 7);
        assert_eq!(client.receive(now, b"name longer than 2 bytes\n").event, Some(error));

        client.say(b"haha").unwrap(); // the first name is still stored: its end is not sent
        let mut output = [0; 16];
        assert_eq!(client.transmit(now, &mut output), 3);
        assert_eq!(client.transmit(now, &mut output[3..]), 5);
        assert_eq!(&output[..8], b"ye\nhaha\n");
        assert_eq!(client.receive(now, b"Hello, haha!\n").event, Some(Event::Reply(b"haha")));
        assert!(client.is_idle());
    }

    #[test]
    fn under_auto_the_line_feed_behind_the_greeting_makes_it_line() {
        let now = Instant::ZERO;
        let settings = Settings::default();
        let mut output = [0; 16];
        for end in [&b"\n"[..], b"\r\n"] {
            let mut client: Client<16> = Client::new(settings, now);
            assert_eq!(client.receive(now, b"Welcome!").event, Some(Event::Greeted));
            // The rest of the line comes late: a name that was sent before gets its own line feed then.
            client.say(b"haha").unwrap();
            assert_eq!(client.transmit(now, &mut output), 4);
            for byte in end {
                assert_eq!(client.receive(now, &[*byte]).taken, 1);
            }
            assert_eq!(client.framing(), Framing::Line);
            assert_eq!((client.transmit(now, &mut output), output[0]), (1, b'\n'));
            assert_eq!(client.receive(now, b"Hello, haha!\n").event, Some(Event::Reply(b"haha")));
            client.say(b"").unwrap();
            assert_eq!((client.transmit(now, &mut output), output[0]), (1, b'\n'));

            let mut client: Client<16> = Client::new(settings, now);
            client.close(now);
            assert_eq!(client.receive(now, b"Welcome!").event, Some(Event::Greeted));
            assert_eq!(client.transmit(now, &mut output), 4);
            for byte in end {
                assert_eq!(client.receive(now, &[*byte]).taken, 1);
            }
            assert_eq!((client.transmit(now, &mut output), output[0]), (1, b'\n'));
            client.receive_end(now);
            assert_eq!(client.outcome(), Some(Outcome::Complete));
        }
    }

    #[test]
    fn under_auto_a_greeting_without_a_line_feed_makes_it_chunk() {
        let now = Instant::ZERO;
        let mut client: Client<16> = Client::new(Settings::default(), now);
        assert_eq!(client.say(b"a\nb"), Err(NameError::LineFeed { offset: 1 }));
        assert_eq!(client.say(b"ha\r"), Err(NameError::CarriageReturnAtEnd));
        client.say(b"haha").unwrap();
        assert_eq!(client.receive(now, b"Welcome!").event, Some(Event::Greeted));
        let mut output = [0; 16];
        assert_eq!(client.transmit(now, &mut output), 4);
        assert_eq!(client.receive(now, b"Hello, haha!").event, Some(Event::Reply(b"haha")));
        assert_eq!(client.framing(), Framing::Chunk);
        client.say(b"a\nb").unwrap();
        assert_eq!(client.transmit(now, &mut output), 3);
    }

    #[test]
    fn a_peer_that_does_not_read_causes_the_timeout() {
        let timeout = Some(Duration::from_secs(1));
        for exit in [false, true] {
            let now = Instant::ZERO;
            let mut client: Client<16> =
                Client::new(Settings { framing: Framing::Line, timeout, ..Settings::default() }, now);
            assert_eq!(client.receive(now, b"Welcome!").event, Some(Event::Greeted));
            let waiting_for = if exit {
                client.close(now);
                WaitingFor::End
            } else {
                client.say(b"byebye").unwrap();
                WaitingFor::Reply
            };
            assert_eq!(client.transmit(now, &mut [0; 4]), 4);
            let mut ended = client.clone();
            assert_eq!(client.deadline(), Some(now + Duration::from_secs(1)));
            client.handle_timeout(now + Duration::from_secs(1));
            assert_eq!(client.outcome(), Some(Outcome::TimedOut(waiting_for)));
            // Its FIN is too early as well.
            ended.receive_end(now);
            assert_eq!(ended.outcome(), Some(Outcome::EndedEarly(Some(waiting_for))));
        }
    }
}
