//! The errors of a chat: each is one line that says what is wrong, where, and what to do.

use core::{fmt, net::SocketAddr, time::Duration};
use std::io;

use greet_core::{ClientSettings, Escaped, Expected, Framing, Mismatch, NameError, Outcome, Service, WaitingFor};
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
    #[error("{peer} ended the conversation {}", early(*.service, .waiting_for))]
    EndedEarly {
        /// The server.
        peer: SocketAddr,
        /// What it was taken for.
        service: Service,
        /// What the client was waiting for.
        waiting_for: Option<WaitingFor>,
    },
    /// The server did not answer in time.
    #[error(
        "{peer} {} within {}: {}",
        missed(*.service, .waiting_for),
        humantime::format_duration(*.limit),
        advice(*.service, .waiting_for)
    )]
    TimedOut {
        /// The server.
        peer: SocketAddr,
        /// What it was taken for.
        service: Service,
        /// What the client was waiting for.
        waiting_for: WaitingFor,
        /// The time limit.
        limit: Duration,
    },
    /// The server departed from the protocol.
    #[error("{0}; {advice}", advice = .0.advice())]
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

    /// The server sent bytes that no correct server sends (rules K1 and B6).
    #[must_use]
    pub fn mismatch(peer: SocketAddr, mismatch: &Mismatch<'_>, settings: ClientSettings) -> Self {
        Self::Mismatch(Departure::new(peer, mismatch, settings))
    }

    /// How a finished conversation with these settings ended; a mismatch was reported when it was received.
    ///
    /// # Errors
    /// The server did not send everything that was expected.
    pub fn of_outcome(
        peer: SocketAddr,
        outcome: Option<Outcome>,
        ClientSettings { service, timeout, .. }: ClientSettings,
    ) -> Result<(), Self> {
        match outcome {
            Some(Outcome::EndedEarly(waiting_for)) => Err(Self::EndedEarly { peer, service, waiting_for }),
            Some(Outcome::TimedOut(waiting_for)) => {
                Err(Self::TimedOut { peer, service, waiting_for, limit: timeout.unwrap_or_default() })
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
    /// What it was taken for.
    service: Service,
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
    /// The bytes that the server sent, and those that were expected with these settings.
    #[must_use]
    pub fn new(
        peer: SocketAddr,
        mismatch: &Mismatch<'_>,
        ClientSettings { service, framing, .. }: ClientSettings,
    ) -> Self {
        let &Mismatch { expected, offset, owed, received } = mismatch;
        let line_end = if framing == Framing::Line { &b"\n"[..] } else { b"" };
        let (what, text) = match (expected, service) {
            (Expected::Greeting, _) => ("the greeting".to_owned(), b"Welcome!".to_vec()),
            (Expected::Reply(name), Service::Greet) => {
                (format!("the reply to `{}`", excerpt(name)), [b"Hello, ", name, b"!", line_end].concat())
            }
            (Expected::Reply(name), Service::Echo) => {
                (format!("the echo of `{}`", excerpt(name)), [name, line_end].concat())
            }
            (Expected::Error, _) => ("an error reply".to_owned(), b"Error: ".to_vec()),
            (Expected::Nothing, _) => ("data that nothing asked for".to_owned(), Vec::new()),
        };
        // Behind the greeting's own text its line may end; then only the byte that was owed is known.
        let rest = text.get(offset..).filter(|rest| !rest.is_empty()).or(owed.as_ref().map(core::slice::from_ref));
        let expected = rest.map_or("nothing".to_owned(), |rest| format!("`{}`", excerpt(rest)));
        Self { peer, service, offset, what, expected, received: excerpt(received) }
    }

    const fn advice(&self) -> &'static str {
        match self.service {
            Service::Greet => "is it a greeting server, and does --framing fit it?",
            Service::Echo => "is it an echo server? `greet check` tells what is wrong with it",
        }
    }
}

impl fmt::Display for Departure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { peer, offset, what, expected, received, .. } = self;
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

/// What a broken connection interrupted: the server was taken for this, and the client was waiting for that.
#[derive(Clone, Copy, Debug)]
pub struct Broken(pub Service, pub Option<WaitingFor>);

impl fmt::Display for Broken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match (self.1, self.0) {
            (Some(WaitingFor::Greeting), _) => "before the greeting",
            (Some(WaitingFor::Reply), _) => "before the reply",
            (Some(WaitingFor::End), Service::Greet) => "after `exit`, before the server ended its side",
            (Some(WaitingFor::End), Service::Echo) => "after the client's FIN, before the server's",
            (None, _) => "while no reply was due",
        })
    }
}

const fn early(service: Service, waiting_for: &Option<WaitingFor>) -> &'static str {
    match (service, waiting_for) {
        (_, Some(WaitingFor::Greeting)) => {
            "before its greeting: is it a greeting server? It may have too many connections; try again"
        }
        (Service::Greet, Some(WaitingFor::Reply)) => "before its reply: see its log, and whether --framing fits it",
        (Service::Greet, Some(WaitingFor::End) | None) => {
            "although the client had not sent `exit`: an idle timeout, or the server was stopped; try again"
        }
        (Service::Echo, Some(WaitingFor::Reply)) => {
            "before everything came back: is it an echo server? `greet check` tells what is wrong with it"
        }
        (Service::Echo, Some(WaitingFor::End) | None) => {
            "although the client had not ended its side: an idle timeout, too many connections, or the server was stopped; \
             try again"
        }
    }
}

const fn missed(service: Service, waiting_for: &WaitingFor) -> &'static str {
    match (service, waiting_for) {
        (_, WaitingFor::Greeting) => "sent no greeting",
        (Service::Greet, WaitingFor::Reply) => "sent no whole reply",
        (Service::Greet, WaitingFor::End) => "did not end the conversation after `exit`",
        (Service::Echo, WaitingFor::Reply) => "did not send back everything",
        (Service::Echo, WaitingFor::End) => "did not end the connection after the client's FIN",
    }
}

const fn advice(service: Service, waiting_for: &WaitingFor) -> &'static str {
    match (service, waiting_for) {
        (_, WaitingFor::Greeting) => {
            "is it a greeting server? It may have too many connections; --timeout sets a longer limit"
        }
        (Service::Greet, WaitingFor::Reply | WaitingFor::End) => {
            "--timeout sets a longer limit; or --framing does not fit the server"
        }
        (Service::Echo, WaitingFor::Reply | WaitingFor::End) => {
            "--timeout sets a longer limit; `greet check` tells what is wrong with the server"
        }
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
    fn a_mismatch_shows_the_expected_bytes_from_its_offset() {
        let peer = SocketAddr::from(([127, 0, 0, 1], 9999));
        let (greet, echo) = (Service::Greet, Service::Echo);
        let reply = Expected::Reply(b"ha");
        for (service, expected, offset, owed, framing, shown) in [
            (greet, Expected::Greeting, 3, Some(b'c'), Framing::Chunk, "byte 3 of the greeting: expected `come!`, "),
            (greet, Expected::Greeting, 9, Some(b'\n'), Framing::Chunk, "byte 9 of the greeting: expected `\\n`, "),
            (greet, reply, 8, Some(b'a'), Framing::Line, "byte 8 of the reply to `ha`: expected `a!\\n`, "),
            (greet, Expected::Error, 1, Some(b'r'), Framing::Line, "byte 1 of an error reply: expected `rror: `, "),
            (
                greet,
                Expected::Nothing,
                0,
                None,
                Framing::Chunk,
                "byte 0 of data that nothing asked for: expected nothing, ",
            ),
            (echo, reply, 1, Some(b'a'), Framing::Line, "byte 1 of the echo of `ha`: expected `a\\n`, "),
            (echo, reply, 0, Some(b'h'), Framing::Chunk, "byte 0 of the echo of `ha`: expected `ha`, "),
        ] {
            let mismatch = Mismatch { expected, offset, owed, received: b"\x07?" };
            let settings = ClientSettings { framing, service, ..ClientSettings::default() };
            let message = ChatError::mismatch(peer, &mismatch, settings).to_string();
            assert!(message.contains(shown), "{message}");
            assert!(message.contains("received `\\u{7}?`"), "{message}");
        }
    }
}
