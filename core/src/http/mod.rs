//! One HTTP request and its response: the third state machine, for a protocol of others.

mod body;
mod head;
mod request;

use core::time::Duration;

use heapless::Vec;

use self::{
    body::{Body, Decoded},
    head::{HeadError, Line},
};
pub use self::{
    head::{Head, HeadProblem, Version},
    request::{Method, Request, RequestError},
};
use crate::{Instant, Machine, Received, State, time::Timeout};

/// What a [`Get`] reports to its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Event<'a> {
    /// The head of the final response was received, after any informational ones (status 1xx).
    Head {
        /// The head.
        head: Head<'a>,
        /// The length of the body in bytes, if the head contains it.
        length: Option<u64>,
    },
    /// The next bytes of the body were received; at least one.
    Body(&'a [u8]),
    /// The bytes that arrived are not a valid response; the conversation is over.
    Wrong {
        /// What is wrong.
        failure: Failure,
        /// The offset of the first wrong byte, counted from the first byte that the server sent.
        offset: u64,
        /// For [`Failure::NotHttp`] the first bytes that the server sent, as far as they have arrived and at most `N`; else
        /// empty. They are the peer's: escape them before they are shown (rule K3).
        seen: &'a [u8],
    },
}

/// Why a response is not complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Failure {
    /// The first bytes cannot begin a response, whatever follows: they are not a prefix of `HTTP/`.
    NotHttp,
    /// The head is longer than the limit of [`Settings::max_head`], or than this machine's capacity.
    HeadTooLong {
        /// The limit, in bytes.
        limit: usize,
    },
    /// Informational responses and empty lines before the head exceed the limit.
    TooMuchBefore {
        /// The limit, in bytes.
        limit: u64,
    },
    /// The head is malformed.
    Head(HeadProblem),
    /// The server switches to another protocol without a request to do so (status 101).
    Switched,
    /// The head has both `Content-Length` and `Transfer-Encoding`.
    LengthAndEncoding,
    /// The head has two values of `Content-Length` that differ.
    UnequalLengths,
    /// `Content-Length` is not a number, or does not fit into 64 bits.
    Length,
    /// `Transfer-Encoding` is not `chunked`.
    Encoding,
    /// The head has `Transfer-Encoding`, which HTTP/1.0 does not define.
    EncodingTooEarly,
    /// The size of a chunk is not a hexadecimal number, or does not fit into 64 bits.
    ChunkSize,
    /// A chunk is not followed by CR LF.
    ChunkEnd,
    /// The line of a chunk size, or a trailer, does not end with CR LF, or exceeds its limit.
    ChunkLine,
    /// The server sent its FIN before the response was complete.
    EndedEarly(Missing),
    /// No byte was received within the timeout.
    TimedOut(Missing),
    /// The owner called [`Machine::close`].
    Closed,
}

/// The part of a response that is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Missing {
    /// The head, or the end of it.
    Head,
    /// This many bytes of the body; `None` if its length is not known.
    Body(Option<u64>),
}

/// Limits of a [`Get`]. The default has none but the capacity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Time without any byte sent or received after which the request fails; `None` for no limit.
    pub timeout: Option<Duration>,
    /// Longest head that is accepted, in bytes; `None`, and anything larger than it, stands for the capacity `N`.
    pub max_head: Option<usize>,
}

/// The limit of the bytes before the final head: a server must not keep a client reading forever.
const BEFORE: u64 = 64 * 1024;

/// Fetches one page: sends the request, and takes the response apart as it comes. Request and head have at most `N` bytes
/// each; the body streams through, however long it is.
///
/// ```
/// use greet_core::{Machine, Get, GetEvent, GetRequest, GetSettings, HttpMethod, Instant, State};
///
/// let now = Instant::ZERO;
/// let request = GetRequest { method: HttpMethod::Get, host: "example.org", target: "/", fields: &[] };
/// let mut get: Get<256> = Get::new(request, GetSettings::default(), now)?;
///
/// let mut output = [0; 256];
/// let length = get.transmit(now, &mut output);
/// assert_eq!(&output[..length], b"GET / HTTP/1.1\r\nHost: example.org\r\nConnection: close\r\n\r\n");
///
/// let input = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhaha";
/// let received = get.receive(now, input);
/// let taken = received.taken;
/// assert!(matches!(received.event, Some(GetEvent::Head { head, length: Some(4) }) if head.status() == 200));
/// assert_eq!(get.receive(now, &input[taken..]).event, Some(GetEvent::Body(b"haha")));
/// assert_eq!((get.state(), get.outcome()), (State::Over, Some(Ok(()))));
/// # Ok::<(), greet_core::RequestError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Get<const N: usize> {
    /// The request, until it is sent; then the head, as far as it has come.
    buffer: Vec<u8, N>,
    /// Longest head that is accepted, in bytes; at most `N`.
    max_head: usize,
    method: Method,
    phase: Phase,
    /// How many bytes the server has sent.
    position: u64,
    outcome: Option<Result<(), Failure>>,
    timeout: Timeout,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// So much of the request is sent.
    Sending(usize),
    /// In the head; what of its current line has come.
    Head(Line),
    Body(Body),
}

impl<const N: usize> Get<N> {
    /// A request, on a connection that was opened at `now`.
    ///
    /// # Errors
    /// The request is not valid, or longer than `N` bytes. No byte of it is sent then.
    pub fn new(request: Request<'_>, settings: Settings, now: Instant) -> Result<Self, RequestError> {
        Ok(Self {
            buffer: request.written()?,
            max_head: settings.max_head.map_or(N, |limit| limit.min(N)),
            method: request.method,
            phase: Phase::Sending(0),
            position: 0,
            outcome: None,
            timeout: Timeout::new(settings.timeout, now),
        })
    }

    /// How it ended, once it has.
    #[must_use]
    pub const fn outcome(&self) -> Option<Result<(), Failure>> {
        self.outcome
    }

    /// What is still to come.
    fn missing(&self) -> Missing {
        match &self.phase {
            Phase::Sending(_) | Phase::Head(_) => Missing::Head,
            Phase::Body(body) => Missing::Body(body.length()),
        }
    }

    fn due(&self) -> Instant {
        if self.outcome.is_some() { Instant::NEVER } else { self.timeout.due() }
    }

    /// Takes of the head what is there.
    fn take_head(&mut self, mut line: Line, input: &[u8]) -> Received<Event<'_>> {
        for (offset, &byte) in input.iter().enumerate() {
            if line == Line::Before && self.position.saturating_add(offset as u64) >= BEFORE {
                return self.wrong(Failure::TooMuchBefore { limit: BEFORE }, offset);
            }
            let next = line.after(byte).filter(|next| next.is_before_head() || self.may_follow(byte));
            let Some(next) = next else {
                return self.not_http(input, offset);
            };
            line = next;
            if line.is_before_head() {
                continue;
            }
            if self.buffer.len() >= self.max_head || self.buffer.push(byte).is_err() {
                return self.wrong(Failure::HeadTooLong { limit: self.max_head }, offset);
            }
            if line == Line::End {
                return self.end_head(offset.saturating_add(1));
            }
        }
        self.phase = Phase::Head(line);
        self.took(input.len())
    }

    /// Whether `byte` may be the next one of the head: the first five are `HTTP/`, and a peer that sends others is no web
    /// server. The failure is reported at once, as such a peer may stay silent and open.
    fn may_follow(&self, byte: u8) -> bool {
        b"HTTP/".get(self.buffer.len()).is_none_or(|&expected| expected == byte)
    }

    /// The byte at `offset` of `input` cannot belong to a head.
    fn not_http(&mut self, input: &[u8], offset: usize) -> Received<Event<'_>> {
        for &byte in input.get(offset..).unwrap_or_default() {
            if self.buffer.push(byte).is_err() {
                break;
            }
        }
        let (failure, offset) = self.fail(Failure::NotHttp, offset);
        Received { taken: 0, event: Some(Event::Wrong { failure, offset, seen: &self.buffer }) }
    }

    /// The head is there, `taken` bytes from the front of the input.
    fn end_head(&mut self, taken: usize) -> Received<Event<'_>> {
        head::replace_folds(&mut self.buffer);
        let begin = taken.wrapping_sub(self.buffer.len()); // before the input, perhaps
        let body = match Head::parse(&self.buffer) {
            Err(HeadError { problem, offset }) => {
                return self.wrong(Failure::Head(problem), begin.wrapping_add(offset));
            }
            Ok(head) if head.status() == 101 => {
                return self.wrong(Failure::Switched, begin.wrapping_add(head::STATUS));
            }
            Ok(head) if head.status() < 200 => {
                // RFC 9110, 15.2: the response is still to come.
                self.buffer.clear();
                self.phase = Phase::Head(Line::Before);
                return self.took(taken);
            }
            Ok(_) if self.method == Method::Head => None, // RFC 9112, 6.3, 1
            Ok(head) => match Body::behind(&head) {
                Ok(body) => body,
                Err((failure, offset)) => return self.wrong(failure, begin.wrapping_add(offset)),
            },
        };
        self.position = self.position.saturating_add(taken as u64);
        match body {
            Some(body) => self.phase = Phase::Body(body),
            None => self.outcome = Some(Ok(())),
        }
        let length = body.map_or(Some(0), |body| body.length());
        // It was in order a moment ago.
        let head = Head::parse(&self.buffer).ok();
        Received { taken, event: head.map(|head| Event::Head { head, length }) }
    }

    /// Takes of the body what is there, up to the end of a chunk.
    fn take_body<'a>(&'a mut self, mut body: Body, input: &'a [u8]) -> Received<Event<'a>> {
        match body.decode(input) {
            Err((failure, offset)) => self.wrong(failure, offset),
            Ok(Decoded { taken, data, complete }) => {
                self.phase = Phase::Body(body);
                if complete {
                    self.outcome = Some(Ok(()));
                }
                self.position = self.position.saturating_add(taken as u64);
                Received { taken, event: (!data.is_empty()).then_some(Event::Body(data)) }
            }
        }
    }

    /// So much of the input was in order, and nothing to tell.
    fn took<'a>(&mut self, taken: usize) -> Received<Event<'a>> {
        self.position = self.position.saturating_add(taken as u64);
        Received { taken, event: None }
    }

    /// The byte at `offset` of the input makes the response invalid.
    fn wrong<'a>(&mut self, failure: Failure, offset: usize) -> Received<Event<'a>> {
        let (failure, offset) = self.fail(failure, offset);
        Received { taken: 0, event: Some(Event::Wrong { failure, offset, seen: &[] }) }
    }

    /// Ends the conversation. The second value is the offset in all that the server sent.
    fn fail(&mut self, failure: Failure, offset: usize) -> (Failure, u64) {
        self.outcome = Some(Err(failure));
        // Of a head that came in several reads the offset is before the input.
        #[expect(clippy::cast_possible_wrap, reason = "no read is half as long as all memory")]
        let offset = self.position.saturating_add_signed(offset as isize as i64);
        (failure, offset)
    }
}

impl<const N: usize> Machine for Get<N> {
    type Event<'a> = Event<'a>;

    fn receive<'a>(&'a mut self, now: Instant, input: &'a [u8]) -> Received<Event<'a>> {
        if self.outcome.is_some() || input.is_empty() {
            return Received { taken: 0, event: None };
        }
        match self.phase {
            // The buffer of the head still holds the request: input waits until it is sent.
            Phase::Sending(_) => Received { taken: 0, event: None },
            Phase::Head(line) => {
                self.timeout.moved(now);
                self.take_head(line, input)
            }
            Phase::Body(body) => {
                self.timeout.moved(now);
                self.take_body(body, input)
            }
        }
    }

    fn receive_end(&mut self, _now: Instant) {
        let outcome = match self.phase {
            Phase::Body(Body::UntilEnd) => Ok(()), // RFC 9112, 6.3, 8
            _ => Err(Failure::EndedEarly(self.missing())),
        };
        self.outcome = self.outcome.or(Some(outcome));
    }

    fn transmit(&mut self, now: Instant, output: &mut [u8]) -> usize {
        let (Phase::Sending(sent), None) = (self.phase, self.outcome) else { return 0 };
        let rest = self.buffer.get(sent..).unwrap_or_default();
        let count = rest.len().min(output.len());
        let (Some(to), Some(from)) = (output.get_mut(..count), rest.get(..count)) else { return 0 };
        to.copy_from_slice(from);
        if count > 0 {
            self.timeout.moved(now);
        }
        let sent = sent.saturating_add(count);
        if sent < self.buffer.len() {
            self.phase = Phase::Sending(sent);
        } else {
            self.buffer.clear();
            self.phase = Phase::Head(Line::Before);
        }
        count
    }

    fn progress(&mut self, now: Instant) {
        self.timeout.moved(now);
    }

    fn delivered(&mut self, _now: Instant) {} // it is never in `Ending`

    fn handle_timeout(&mut self, now: Instant) {
        if now >= self.due() {
            self.outcome = Some(Err(Failure::TimedOut(self.missing())));
        }
    }

    fn deadline(&self) -> Option<Instant> {
        self.due().deadline()
    }

    fn state(&self) -> State {
        if self.outcome.is_some() { State::Over } else { State::Open }
    }

    fn close(&mut self, _now: Instant) {
        self.outcome = self.outcome.or(Some(Err(Failure::Closed)));
    }
}
