//! The trait that adapts a server to the conformance table, and the code that runs the table against it.

use core::fmt;
use std::io;

use bstr::ByteSlice;
use greet_core::{Framing, Service};

use crate::vectors::{Case, CaseError, End, Script};

/// A server under test, over any transport: the bare machine, a socket, a board in QEMU.
pub trait Frontend {
    /// The client's end of a connection to the server.
    type Connection: Connection;

    /// The maximum length of a name in bytes (rule L1).
    fn capacity(&self) -> usize;

    /// Whether the server can be run with this framing.
    fn can(&self, framing: Framing) -> bool;

    /// Connects to the server with the given framing.
    ///
    /// # Errors
    /// If the connection fails.
    fn connect(&mut self, framing: Framing) -> io::Result<Self::Connection>;
}

/// The client's end of one connection. Every wait has a timeout.
pub trait Connection {
    /// Sends all bytes in one write.
    ///
    /// # Errors
    /// Those of the connection.
    fn send(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Waits until the server should have read what was sent. Used where it sends no reply to wait for.
    fn settle(&mut self);

    /// Appends bytes to `received` until there are `count` more, or until the server's FIN.
    ///
    /// # Errors
    /// Those of the connection; of kind [`TimedOut`](io::ErrorKind::TimedOut) if neither arrives in time. `received` then
    /// has the bytes that arrived before.
    fn receive(&mut self, count: usize, received: &mut Vec<u8>) -> io::Result<()>;

    /// Sends a FIN. The connection can still receive.
    ///
    /// # Errors
    /// Those of the connection.
    fn half_close(&mut self) -> io::Result<()>;

    /// Call it after both FINs: waits briefly, and checks that no reset arrives (rule C1).
    ///
    /// # Errors
    /// The reset, or another connection error.
    fn check_closed(&mut self) -> io::Result<()>;
}

/// How the input of a conversation under `line` is split into writes. Under `chunk` and `auto` the writes are those of the
/// table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// The writes of the table; each waits for the reply to the one before.
    Steps,
    /// All input in one write.
    Whole,
    /// All input in two writes, the first with this many bytes.
    At(usize),
    /// All input in writes of this many bytes; the last one may be shorter.
    Every(usize),
}

/// A failed conversation.
#[derive(Debug)]
pub struct Failure {
    /// The case's name.
    pub case: String,
    /// The rules that the case covers.
    pub rules: Vec<String>,
    /// The server's framing.
    pub framing: Framing,
    /// How the input was split.
    pub cut: Cut,
    /// What went wrong.
    pub fault: Fault,
}

/// Why a conversation failed.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The case is invalid.
    #[error("in the table: {0}")]
    Table(#[from] CaseError),
    /// The connection failed.
    #[error("cannot connect: {0}")]
    Connect(io::Error),
    /// The bytes could not be sent.
    #[error("cannot send after {offset} bytes of output: {error}")]
    Send {
        /// Number of bytes received before.
        offset: usize,
        /// The connection's error.
        error: io::Error,
    },
    /// The server sent other bytes than expected, or fewer, or more.
    #[error(
        "at byte {offset} of the output:\n  expected {}\n  received {}{}",
        Shown(expected),
        Shown(received),
        Because(error)
    )]
    Output {
        /// Offset of the first difference, from the first byte of the greeting.
        offset: usize,
        /// The bytes expected from there on.
        expected: Vec<u8>,
        /// The bytes received from there on.
        received: Vec<u8>,
        /// The error that ended the input, if it was not the server's FIN.
        error: Option<io::Error>,
    },
    /// The connection was not closed properly.
    #[error("at the end: {0}")]
    End(io::Error),
}

/// Displays bytes escaped, shortened to `LONGEST`.
struct Shown<'a>(&'a [u8]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LONGEST: usize = 160;
        match self.0.get(..LONGEST) {
            _ if self.0.is_empty() => formatter.write_str("the end"),
            Some(beginning) if self.0.len() > LONGEST => {
                write!(formatter, "'{}'... ({} bytes)", beginning.escape_bytes(), self.0.len())
            }
            _ => write!(formatter, "'{}'", self.0.escape_bytes()),
        }
    }
}

/// Displays the error that ended the input, if any.
struct Because<'a>(&'a Option<io::Error>);

impl fmt::Display for Because<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(error) => write!(formatter, " and then: {error}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { case, rules, framing, cut, fault } = self;
        write!(formatter, "{} ({}; {framing:?}, {cut:?}): {fault}", case, rules.join(", "))
    }
}

/// Runs every case in every framing that the frontend supports. Returns all failures.
pub fn run_table<F: Frontend>(frontend: &mut F, table: &[Case], cut: Cut) -> Vec<Failure> {
    let mut failures = Vec::new();
    for case in table {
        for framing in case.framings().filter(|&framing| frontend.can(framing)).collect::<Vec<_>>() {
            let script = case.script(frontend.capacity()).map_err(Fault::Table);
            if let Err(fault) = script.and_then(|script| run(frontend, &script, framing, cut)) {
                failures.push(Failure { case: case.name.clone(), rules: case.rules.clone(), framing, cut, fault });
            }
        }
    }
    failures
}

/// Runs one case.
///
/// # Errors
/// The first failure.
pub fn run<F: Frontend>(frontend: &mut F, script: &Script, framing: Framing, cut: Cut) -> Result<(), Fault> {
    let connection = frontend.connect(framing).map_err(Fault::Connect)?;
    let mut client = Client { connection, offset: 0 };
    let greeting: &[u8] = match (script.service, framing) {
        (Service::Echo, _) => b"",
        (Service::Greet, Framing::Line) => b"Welcome!\n",
        (Service::Greet, Framing::Chunk | Framing::Auto) => b"Welcome!",
    };
    client.expect(greeting)?; // G1, B1
    if framing == Framing::Line && cut != Cut::Steps {
        let input: Vec<u8> = script.talk.iter().flat_map(|step| step.input.iter().copied()).collect();
        for write in pieces(&input, cut) {
            client.send(write)?;
        }
        let output: Vec<u8> = script.talk.iter().flat_map(|step| step.output.iter().copied()).collect();
        client.expect(&output)?; // F4
    } else {
        for (index, step) in script.talk.iter().enumerate() {
            client.send(&step.input)?;
            // After `exit` the server's FIN shows that it has read it, and the linger time starts with the FIN (C1).
            let is_exit = script.end == End::Exit && index + 1 == script.talk.len();
            if step.output.is_empty() && framing != Framing::Line && !is_exit {
                client.connection.settle(); // F1: the next write must be a separate read
            }
            client.expect(&step.output)?;
        }
    }
    if script.end == End::Client {
        client.connection.half_close().map_err(Fault::End)?;
    }
    client.expect_end(&script.farewell)?; // R3, R4
    if script.end == End::Exit {
        client.send(&script.late)?;
        client.connection.half_close().map_err(Fault::End)?;
        client.expect_end(b"")?;
    }
    client.connection.check_closed().map_err(Fault::End)
}

/// Splits `input` into writes, none of which is empty.
fn pieces(input: &[u8], cut: Cut) -> impl Iterator<Item = &[u8]> {
    let (first, rest) = match cut {
        Cut::At(position) => input.split_at_checked(position).unwrap_or((input, b"")),
        Cut::Every(size) => input.split_at_checked(size).unwrap_or((input, b"")),
        Cut::Steps | Cut::Whole => (input, &b""[..]),
    };
    let size = match cut {
        Cut::Every(size) => size.max(1),
        _ => rest.len().max(1),
    };
    core::iter::once(first).chain(rest.chunks(size)).filter(|piece| !piece.is_empty())
}

struct Client<C> {
    connection: C,
    /// Number of bytes received so far.
    offset: usize,
}

impl<C: Connection> Client<C> {
    fn send(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.connection.send(bytes).map_err(|error| Fault::Send { offset: self.offset, error })
    }

    /// Receives as many bytes and compares them.
    fn expect(&mut self, expected: &[u8]) -> Result<(), Fault> {
        self.compare(expected, expected.len())
    }

    /// Receives until the server's FIN, and compares.
    fn expect_end(&mut self, expected: &[u8]) -> Result<(), Fault> {
        const SOME_MORE: usize = 200; // of unexpected output, for the message
        self.compare(expected, expected.len().saturating_add(SOME_MORE))
    }

    /// Receives up to `count` bytes, and compares them with `expected`.
    fn compare(&mut self, expected: &[u8], count: usize) -> Result<(), Fault> {
        let mut received = Vec::new();
        let error = self.connection.receive(count, &mut received).err();
        if error.is_none() && received == expected {
            self.offset = self.offset.saturating_add(received.len());
            return Ok(());
        }
        let same = expected.iter().zip(&received).take_while(|(expected, received)| expected == received).count();
        Err(Fault::Output {
            offset: self.offset.saturating_add(same),
            expected: expected[same..].to_vec(),
            received: received[same..].to_vec(),
            error,
        })
    }
}
