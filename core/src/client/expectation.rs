//! What a client expects to receive next, and the comparison of received bytes with it.

use super::{Expected, Mismatch, Service};
use crate::text::{ERROR, GREETING, Text};

/// What is expected, and how many bytes of it were received.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expectation {
    service: Service,
    pub(super) next: Expecting,
    /// How many bytes of it were received.
    matched: usize,
}

/// What the next byte belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expecting {
    Greeting,
    /// An LF or CR LF right after the greeting, or a reply (rule K1).
    GreetingEnd,
    /// The LF after the greeting's CR.
    GreetingLineFeed,
    /// The reply to the oldest unanswered name; no byte if there is none.
    Reply,
    /// `Error: `.
    Error,
    ErrorText,
}

/// The result of a comparison.
pub(super) struct Compared {
    /// How many bytes at the front of the input are as expected.
    pub(super) same: usize,
    /// Whether all expected bytes were received.
    pub(super) complete: bool,
}

impl Expectation {
    /// The expectation at the start of a conversation.
    pub(super) const fn new(service: Service) -> Self {
        let next = match service {
            Service::Greet => Expecting::Greeting,
            Service::Echo => Expecting::Reply,
        };
        Self { service, next, matched: 0 }
    }

    /// Whether a part of it was received.
    pub(super) const fn is_begun(&self) -> bool {
        self.matched > 0
    }

    /// The expected bytes; `name` is the oldest unanswered name.
    fn bytes<'a>(&self, name: Option<&'a [u8]>, line_end: &'a [u8]) -> Text<'a> {
        match (self.next, name) {
            (Expecting::Greeting, _) => Text([GREETING, b"", b"", b""]),
            (Expecting::GreetingLineFeed, _) => Text([b"\n", b"", b"", b""]),
            (Expecting::Error, _) => Text([ERROR, b"", b"", b""]),
            (_, Some(name)) => match self.service {
                Service::Greet => Text::hello(name, line_end),
                Service::Echo => Text([name, line_end, b"", b""]), // B1
            },
            (_, None) => Text([b"", b"", b"", b""]),
        }
    }

    /// Compares `input` with the expected bytes. If they are complete, the next comparison starts at the beginning of a text.
    pub(super) fn compare(&mut self, name: Option<&[u8]>, line_end: &[u8], input: &[u8]) -> Compared {
        let text = self.bytes(name, line_end);
        let same = text.matching(self.matched, input);
        let matched = self.matched.saturating_add(same);
        let complete = text.len() > 0 && matched >= text.len();
        self.matched = if complete { 0 } else { matched };
        Compared { same, complete }
    }

    /// The report of a mismatch: `received` begins with the first byte that differs (rule K1).
    pub(super) fn mismatch<'a>(&self, name: Option<&'a [u8]>, line_end: &'a [u8], received: &'a [u8]) -> Mismatch<'a> {
        let expected = match (self.next, name) {
            (Expecting::Greeting | Expecting::GreetingLineFeed, _) => Expected::Greeting,
            (Expecting::Error, _) => Expected::Error,
            (_, Some(name)) => Expected::Reply(name),
            (_, None) => Expected::Nothing,
        };
        let offset = match self.next {
            _ if expected == Expected::Nothing => 0, // behind the part of a name that is sent and came back (B6)
            Expecting::GreetingLineFeed => GREETING.len().saturating_add(1), // behind the CR
            _ => self.matched,
        };
        Mismatch { expected, offset, owed: self.bytes(name, line_end).at(self.matched), received }
    }
}
