//! What a client expects next, and how much of it has come: what comes is compared where it lies.

use super::{Expected, Mismatch};
use crate::text::{ERROR, GREETING, Text};

/// What is expected, and how far that has come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expectation {
    pub(super) next: Expecting,
    /// How much of it has come.
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
    /// The reply to the oldest name that is not answered; nothing, where there is none.
    Reply,
    /// `Error: `.
    Error,
    ErrorText,
}

/// What a comparison came to.
pub(super) struct Compared {
    /// How much of the input is right.
    pub(super) same: usize,
    /// That is all that was expected.
    pub(super) complete: bool,
}

impl Expectation {
    /// What a conversation begins with.
    pub(super) const GREETING: Self = Self { next: Expecting::Greeting, matched: 0 };

    /// Whether some of it has come.
    pub(super) const fn is_begun(&self) -> bool {
        self.matched > 0
    }

    /// The bytes that are expected; `name` is the oldest that is not answered.
    fn bytes<'a>(&self, name: Option<&'a [u8]>, line_end: &'a [u8]) -> Text<'a> {
        match (self.next, name) {
            (Expecting::Greeting, _) => Text([GREETING, b"", b"", b""]),
            (Expecting::GreetingLineFeed, _) => Text([b"\n", b"", b"", b""]),
            (Expecting::Error, _) => Text([ERROR, b"", b"", b""]),
            (_, Some(name)) => Text::hello(name, line_end),
            (_, None) => Text([b"", b"", b"", b""]),
        }
    }

    /// How much of `input` is right, and whether that completes what is expected; then the next comparison is with the
    /// beginning of a text.
    pub(super) fn compare(&mut self, name: Option<&[u8]>, line_end: &[u8], input: &[u8]) -> Compared {
        let text = self.bytes(name, line_end);
        let same = text.matching(self.matched, input);
        let matched = self.matched.saturating_add(same);
        let complete = text.len() > 0 && matched >= text.len();
        self.matched = if complete { 0 } else { matched };
        Compared { same, complete }
    }

    /// What is to be told where the bytes from here on are not what is owed (rule K1).
    pub(super) fn mismatch<'a>(&self, name: Option<&'a [u8]>, line_end: &'a [u8], received: &'a [u8]) -> Mismatch<'a> {
        let expected = match (self.next, name) {
            (Expecting::Greeting | Expecting::GreetingLineFeed, _) => Expected::Greeting,
            (Expecting::Error, _) => Expected::Error,
            (_, Some(name)) => Expected::Reply(name),
            (_, None) => Expected::Nothing,
        };
        let offset = match self.next {
            Expecting::GreetingLineFeed => GREETING.len().saturating_add(1), // behind the CR
            _ => self.matched,
        };
        Mismatch { expected, offset, owed: self.bytes(name, line_end).at(self.matched), received }
    }
}
