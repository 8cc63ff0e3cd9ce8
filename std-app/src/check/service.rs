//! The services that a check supports: what the server sends first, how a message is sent, the expected reply, and how a
//! conversation ends. Probes use only this, and so run on every service.

use greet_core::Framing;

/// A service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    /// The greeting protocol.
    Greet,
    /// Echo over TCP (RFC 862).
    Echo,
}

/// The form of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Conversation {
    /// What the server sends before the client sends anything.
    pub(crate) greeting: &'static [u8],
    /// What ends a message.
    pub(crate) terminator: &'static [u8],
    /// What comes before and after a message in its reply.
    pub(crate) reply: (&'static [u8], &'static [u8]),
    /// The message after which the server closes its side. Without one it closes after the client has.
    pub(crate) farewell: Option<&'static [u8]>,
}

/// The greeting of the protocol, without the line feed of framing `line`.
pub(crate) const GREETING: &[u8] = b"Welcome!";

impl Service {
    /// The name, as options and reports write it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Greet => "greet",
            Self::Echo => "echo",
        }
    }

    /// The server, with its article.
    pub(crate) const fn server(self) -> &'static str {
        match self {
            Self::Greet => "a greeting server",
            Self::Echo => "an echo server (RFC 862)",
        }
    }

    /// What a client sends, in the plural.
    pub(crate) const fn messages(self) -> &'static str {
        match self {
            Self::Greet => "names",
            Self::Echo => "messages",
        }
    }

    /// The form of its conversations, of which an echo has one for all framings.
    pub(crate) const fn conversation(self, framing: Framing) -> Conversation {
        match (self, framing) {
            (Self::Echo, _) => Conversation { greeting: b"", terminator: b"", reply: (b"", b""), farewell: None },
            (Self::Greet, Framing::Chunk) => {
                Conversation { greeting: GREETING, terminator: b"", reply: (b"Hello, ", b"!"), farewell: Some(b"exit") }
            }
            (Self::Greet, Framing::Line | Framing::Auto) => Conversation {
                greeting: if matches!(framing, Framing::Line) { b"Welcome!\n" } else { GREETING },
                terminator: b"\n",
                reply: (b"Hello, ", b"!\n"),
                farewell: Some(b"exit"),
            },
        }
    }
}

impl Conversation {
    /// The bytes to send for a message.
    pub(crate) fn request(&self, message: &[u8]) -> Vec<u8> {
        [message, self.terminator].concat()
    }

    /// The expected reply to a message.
    pub(crate) fn owed(&self, message: &[u8]) -> Vec<u8> {
        [self.reply.0, message, self.reply.1].concat()
    }
}
