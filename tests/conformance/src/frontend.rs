//! The one trait behind which a server is put to be checked, and the run of the table against it.

use core::fmt;
use std::io;

use bstr::ByteSlice;
use greet_core::Framing;

use crate::vectors::{Case, CaseError, End, Script};

/// A server under test, whatever carries its bytes: the bare machine, a socket, a board on a wire.
pub trait Frontend {
    /// The client's end of a connection to it.
    type Wire: Wire;

    /// The longest name it takes (rule L1).
    fn capacity(&self) -> usize;

    /// Whether it can be had with this framing.
    fn can(&self, framing: Framing) -> bool;

    /// Opens a connection to it, of that framing.
    ///
    /// # Errors
    /// Whatever keeps it from that.
    fn connect(&mut self, framing: Framing) -> io::Result<Self::Wire>;
}

/// The client's end of one connection. Nothing waits for ever: what does not come in time is an error.
pub trait Wire {
    /// Sends all the bytes, as one write.
    ///
    /// # Errors
    /// Those of the connection.
    fn send(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Gives the server the time to read what was sent, where it answers nothing by which one could tell that it did.
    fn settle(&mut self);

    /// Waits for so many bytes, or for as many as come before the server's FIN.
    ///
    /// # Errors
    /// Those of the connection; of kind [`TimedOut`](io::ErrorKind::TimedOut) where neither came in time. What came
    /// until then is in `received` all the same.
    fn receive(&mut self, count: usize, received: &mut Vec<u8>) -> io::Result<()>;

    /// Ends this side (FIN). Receiving goes on.
    ///
    /// # Errors
    /// Those of the connection.
    fn half_close(&mut self) -> io::Result<()>;

    /// After both FINs: waits a little for the reset that must not come (rule C1).
    ///
    /// # Errors
    /// The reset.
    fn leave(&mut self) -> io::Result<()>;
}

/// How the bytes of a conversation under `line` are cut into writes; under the others a write is what the table says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// As the table says, and each answer is awaited before the next write.
    Steps,
    /// Everything in one write.
    Whole,
    /// Everything in two writes, cut behind so many bytes.
    At(usize),
    /// Everything, with so many bytes a write, but the last.
    Every(usize),
}

/// What went wrong in one conversation.
#[derive(Debug)]
pub struct Failure {
    /// The case's name.
    pub case: String,
    /// The rules it shows.
    pub rules: Vec<String>,
    /// The server's framing.
    pub framing: Framing,
    /// How the input was cut.
    pub cut: Cut,
    /// What it was.
    pub fault: Fault,
}

/// What can go wrong in a conversation.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The table is at fault.
    #[error("in the table: {0}")]
    Table(#[from] CaseError),
    /// No connection.
    #[error("cannot connect: {0}")]
    Connect(io::Error),
    /// The bytes could not be sent.
    #[error("cannot send after {offset} bytes of output: {error}")]
    Send {
        /// So many bytes had come until then.
        offset: usize,
        /// Why.
        error: io::Error,
    },
    /// Other bytes came than those that are owed, or fewer, or more.
    #[error(
        "at byte {offset} of the output:\n  expected {}\n  received {}{}",
        Shown(expected),
        Shown(received),
        Because(error)
    )]
    Output {
        /// Where the difference begins, counted from the greeting's first byte.
        offset: usize,
        /// What was owed from there on.
        expected: Vec<u8>,
        /// What came.
        received: Vec<u8>,
        /// Why nothing more came, where it was not the server's FIN.
        error: Option<io::Error>,
    },
    /// The end was not a clean one.
    #[error("at the end: {0}")]
    End(io::Error),
}

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

/// Runs every case that the frontend can be put to, in every framing; all that went wrong.
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
/// What went wrong.
pub fn run<F: Frontend>(frontend: &mut F, script: &Script, framing: Framing, cut: Cut) -> Result<(), Fault> {
    let wire = frontend.connect(framing).map_err(Fault::Connect)?;
    let mut client = Client { wire, offset: 0 };
    let greeting: &[u8] = if framing == Framing::Line { b"Welcome!\n" } else { b"Welcome!" };
    client.expect(greeting)?; // G1
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
            // The server's FIN, which comes next, tells that it has read `exit`; and its patience counts from there (C1).
            let leaves = script.end == End::Exit && index + 1 == script.talk.len();
            if step.output.is_empty() && framing != Framing::Line && !leaves {
                client.wire.settle(); // F1: the next write is to be the next read
            }
            client.expect(&step.output)?;
        }
    }
    if script.end == End::Client {
        client.wire.half_close().map_err(Fault::End)?;
    }
    client.expect_end(&script.farewell)?; // R3, R4
    if script.end == End::Exit {
        client.send(&script.late)?;
        client.wire.half_close().map_err(Fault::End)?;
        client.expect_end(b"")?;
    }
    client.wire.leave().map_err(Fault::End)
}

/// The writes that `cut` makes of `input`; none is empty.
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

struct Client<W> {
    wire: W,
    /// How much has come.
    offset: usize,
}

impl<W: Wire> Client<W> {
    fn send(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.wire.send(bytes).map_err(|error| Fault::Send { offset: self.offset, error })
    }

    /// These bytes come next.
    fn expect(&mut self, expected: &[u8]) -> Result<(), Fault> {
        self.compare(expected, expected.len())
    }

    /// These bytes come next, and then the server's FIN.
    fn expect_end(&mut self, expected: &[u8]) -> Result<(), Fault> {
        const SOME_MORE: usize = 200; // to show of what should not have come
        self.compare(expected, expected.len().saturating_add(SOME_MORE))
    }

    fn compare(&mut self, expected: &[u8], count: usize) -> Result<(), Fault> {
        let mut received = Vec::new();
        let error = self.wire.receive(count, &mut received).err();
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
