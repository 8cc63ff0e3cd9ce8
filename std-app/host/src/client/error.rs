//! The errors of a chat: each is one line that says what is wrong, where, and what to do.

use core::{fmt, net::SocketAddr, time::Duration};
use std::io;

use greet_core::{Escaped, Expected, Framing, Mismatch, NameError, Outcome, WaitingFor};
use thiserror::Error;

use crate::{
    connect::ConnectError,
    exit::{self, Fatal},
};

/// Bytes of a name or of a server's data that a message shows.
const SHOWN: usize = 64;

/// Why a chat failed.
#[derive(Debug, Error)]
pub enum ChatError {
    /// A name cannot be sent.
    #[error("the name `{name}` is not sent: {reason}")]
    Name {
        /// The name, or how it begins.
        name: String,
        /// Why not.
        reason: NameError,
    },
    /// A line of standard input cannot be sent as a name.
    #[error("line {number} of standard input is not sent: {reason}")]
    Line {
        /// Counted from 1.
        number: u64,
        /// Why not.
        reason: NameError,
    },
    /// There is no connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The connection was lost.
    #[error("the connection to {peer} broke {during} ({error}): see the log of the server, and try again")]
    Broken {
        /// The server.
        peer: SocketAddr,
        /// What the client was waiting for.
        during: Broken,
        /// The error of the system.
        error: io::Error,
    },
    /// The server ended the conversation too early.
    #[error("{peer} ended the conversation {}", early(.waiting_for))]
    EndedEarly {
        /// The server.
        peer: SocketAddr,
        /// What the client was waiting for.
        waiting_for: Option<WaitingFor>,
    },
    /// The server did not answer in time.
    #[error("{peer} {} within {}: {}", missed(.waiting_for), humantime::format_duration(*.limit), advice(.waiting_for))]
    TimedOut {
        /// The server.
        peer: SocketAddr,
        /// What the client was waiting for.
        waiting_for: WaitingFor,
        /// The time limit.
        limit: Duration,
    },
    /// The server departed from the protocol.
    #[error("{0}; is it a greeting server, and does --framing fit it?")]
    Mismatch(Departure),
    /// Names cannot be read.
    #[error("standard input cannot be read ({0}): give the names on the command line")]
    Input(io::Error),
    /// Replies cannot be written.
    #[error("standard output cannot be written ({0}): see whether the disk is full")]
    Output(io::Error),
    /// The terminal does not work.
    #[error("the terminal cannot be used ({0}): give the names on the command line or through a pipe")]
    Terminal(io::Error),
}

impl ChatError {
    /// This name is not sent.
    #[must_use]
    pub fn name(name: &[u8], reason: NameError) -> Self {
        Self::Name { name: excerpt(name), reason }
    }

    /// The server sent what no server owes (rule K1).
    #[must_use]
    pub fn mismatch(peer: SocketAddr, mismatch: &Mismatch<'_>, framing: Framing) -> Self {
        Self::Mismatch(Departure::new(peer, mismatch, framing))
    }

    /// How a conversation ended that is over; a mismatch was told when it was met. `limit` is how long each answer was
    /// waited for.
    ///
    /// # Errors
    /// The server did not send everything that was expected.
    pub fn of_outcome(peer: SocketAddr, outcome: Option<Outcome>, limit: Option<Duration>) -> Result<(), Self> {
        match outcome {
            Some(Outcome::EndedEarly(waiting_for)) => Err(Self::EndedEarly { peer, waiting_for }),
            Some(Outcome::TimedOut(waiting_for)) => {
                Err(Self::TimedOut { peer, waiting_for, limit: limit.unwrap_or_default() })
            }
            Some(Outcome::Complete | Outcome::Mismatch) | None => Ok(()),
        }
    }
}

impl Fatal for ChatError {
    fn status(&self) -> u8 {
        match self {
            Self::Connect(error) => error.status(),
            Self::Mismatch(_) => exit::PROTOCOL,
            Self::Input(_) | Self::Output(_) => exit::FILE,
            _ => exit::FAILURE,
        }
    }

    fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}

/// Where a server departed from the protocol, in one line without advice (rule K1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Departure {
    peer: SocketAddr,
    /// At which byte.
    offset: usize,
    /// Of what.
    what: String,
    /// What was to come there.
    expected: String,
    /// What came instead.
    received: String,
}

impl Departure {
    /// What this server sent, and what it owed in this framing.
    #[must_use]
    pub fn new(peer: SocketAddr, mismatch: &Mismatch<'_>, framing: Framing) -> Self {
        let &Mismatch { expected, offset, owed, received } = mismatch;
        let (what, text) = match expected {
            Expected::Greeting => ("the greeting".to_owned(), b"Welcome!".to_vec()),
            Expected::Reply(name) => {
                let line_end = if framing == Framing::Line { &b"\n"[..] } else { b"" };
                (format!("the reply to `{}`", excerpt(name)), [b"Hello, ", name, b"!", line_end].concat())
            }
            Expected::Error => ("an error reply".to_owned(), b"Error: ".to_vec()),
            Expected::Nothing => ("data that nothing asked for".to_owned(), Vec::new()),
        };
        // Behind the greeting's own text its line may end; then only the byte that was owed is known.
        let rest = text.get(offset..).filter(|rest| !rest.is_empty()).or(owed.as_ref().map(core::slice::from_ref));
        let expected = rest.map_or("nothing".to_owned(), |rest| format!("`{}`", excerpt(rest)));
        Self { peer, offset, what, expected, received: excerpt(received) }
    }
}

impl fmt::Display for Departure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { peer, offset, what, expected, received } = self;
        write!(
            formatter,
            "{peer} departed from the protocol at byte {offset} of {what}: expected {expected}, received `{received}`"
        )
    }
}

/// The beginning of bytes, as they may be shown (rule K3).
fn excerpt(bytes: &[u8]) -> String {
    let Some((shown, [next, ..])) = bytes.split_at_checked(SHOWN) else { return Escaped(bytes).to_string() };
    // Not in the middle of a character, where it is one: its first byte is at most three bytes back.
    let is_continuation = |byte: &u8| byte & 0xC0 == 0x80;
    let inside = if is_continuation(next) {
        shown.iter().rev().take(3).position(|byte| !is_continuation(byte)).map_or(0, |back| back.saturating_add(1))
    } else {
        0
    };
    let shown = shown.get(..shown.len().saturating_sub(inside)).unwrap_or(shown);
    format!("{}...", Escaped(shown))
}

/// What a broken connection interrupted.
#[derive(Clone, Copy, Debug)]
pub struct Broken(pub Option<WaitingFor>);

impl fmt::Display for Broken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self.0 {
            Some(WaitingFor::Greeting) => "before the greeting",
            Some(WaitingFor::Reply) => "before the reply",
            Some(WaitingFor::End) => "after `exit`, before the server ended its side",
            None => "while no reply was due",
        })
    }
}

const fn early(waiting_for: &Option<WaitingFor>) -> &'static str {
    match waiting_for {
        Some(WaitingFor::Greeting) => {
            "before its greeting: is it a greeting server? It may have too many connections; try again"
        }
        Some(WaitingFor::Reply) => "before its reply: see its log, and whether --framing fits it",
        Some(WaitingFor::End) | None => {
            "although the client had not sent `exit`: an idle timeout, or the server was stopped; try again"
        }
    }
}

const fn missed(waiting_for: &WaitingFor) -> &'static str {
    match waiting_for {
        WaitingFor::Greeting => "sent no greeting",
        WaitingFor::Reply => "sent no whole reply",
        WaitingFor::End => "did not end the conversation after `exit`",
    }
}

const fn advice(waiting_for: &WaitingFor) -> &'static str {
    match waiting_for {
        WaitingFor::Greeting => {
            "is it a greeting server? It may have too many connections; --timeout sets a longer limit"
        }
        WaitingFor::Reply | WaitingFor::End => "--timeout sets a longer limit; or --framing does not fit the server",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_is_short_escaped_and_never_cuts_a_character() {
        assert_eq!(excerpt(b"a\x1b[2J"), "a\\u{1b}[2J");
        assert_eq!(excerpt(&[b'a'; 64]), "a".repeat(64));
        assert_eq!(excerpt(&[b'a'; 65]), "a".repeat(64) + "...");
        let text = "a".repeat(63) + "\u{e9}";
        assert_eq!(excerpt(text.as_bytes()), "a".repeat(63) + "...");
        let text = "\u{20ac}".repeat(22);
        assert_eq!(excerpt(text.as_bytes()), "\u{20ac}".repeat(21) + "...");
        assert_eq!(excerpt(&[0x80; 65]), "\\x80".repeat(64) + "...");
    }

    #[test]
    fn a_mismatch_shows_what_was_owed_from_its_offset_on() {
        let peer = SocketAddr::from(([127, 0, 0, 1], 9999));
        for (expected, offset, owed, framing, shown) in [
            (Expected::Greeting, 3, Some(b'c'), Framing::Chunk, "byte 3 of the greeting: expected `come!`, "),
            (Expected::Greeting, 9, Some(b'\n'), Framing::Chunk, "byte 9 of the greeting: expected `\\n`, "),
            (Expected::Reply(b"ha"), 8, Some(b'a'), Framing::Line, "byte 8 of the reply to `ha`: expected `a!\\n`, "),
            (Expected::Error, 1, Some(b'r'), Framing::Line, "byte 1 of an error reply: expected `rror: `, "),
            (Expected::Nothing, 0, None, Framing::Chunk, "byte 0 of data that nothing asked for: expected nothing, "),
        ] {
            let mismatch = Mismatch { expected, offset, owed, received: b"\x07?" };
            let message = ChatError::mismatch(peer, &mismatch, framing).to_string();
            assert!(message.contains(shown), "{message}");
            assert!(message.contains("received `\\u{7}?`"), "{message}");
        }
    }
}
