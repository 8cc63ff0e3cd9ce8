//! One conversation of the check: every byte that comes is compared with the one that was due.

use core::time::Duration;
use std::{
    io::{self, Read, Write},
    net::{Shutdown, TcpStream},
    time::Instant,
};

use crate::export::number::Time;

use super::{
    difference,
    probe::{Failure, Kind, kind_of, of},
    target::Target,
};

pub(super) const GREETING: &[u8] = b"Welcome!";

/// So much of what was compared is remembered, to tell where wrong bytes may be from.
const REMEMBERED: usize = 4096;
/// So long after a wrong byte the bytes behind it are waited for.
const AFTERMATH: Duration = Duration::from_millis(200);

/// A shorter wait may be that of a busy machine.
pub(super) const A_PAUSE: Duration = Duration::from_millis(30);

/// An answer of many bytes may take so much longer for each.
const A_BYTE: Duration = Duration::from_millis(1);

/// How many bytes a segment has on Ethernet, over IPv4.
const ON_ETHERNET: usize = 1460;

/// A connection, and how far its conversation is.
#[derive(Debug)]
pub(super) struct Talk<'a> {
    pub(super) stream: TcpStream,
    pub(super) target: &'a Target,
    /// How long an answer may take.
    patience: Duration,
    /// How long a read waits just now.
    waits: Duration,
    /// How many bytes have come and were right.
    pub(super) offset: u64,
    /// The last of them.
    before: Vec<u8>,
    /// How many were sent.
    sent: u64,
    /// How long those reads waited that waited for at least [`A_PAUSE`].
    pub(super) pauses: Vec<Duration>,
}

impl<'a> Talk<'a> {
    /// Nothing has come yet over this connection, whose time limits are the target's.
    pub(super) const fn new(stream: TcpStream, target: &'a Target) -> Self {
        let patience = target.timeout;
        Self { stream, target, patience, waits: patience, offset: 0, before: Vec::new(), sent: 0, pauses: Vec::new() }
    }

    /// The name as it is sent.
    pub(super) fn asked(&self, name: &[u8]) -> Vec<u8> {
        if self.target.takes_lines() { [name, b"\n"].concat() } else { name.to_vec() }
    }

    /// The reply that is owed for a name.
    pub(super) fn owed(&self, name: &[u8]) -> Vec<u8> {
        let end: &[u8] = if self.target.takes_lines() { b"!\n" } else { b"!" };
        [b"Hello, ", name, end].concat()
    }

    /// Says a name and takes the reply.
    pub(super) fn say(&mut self, name: &[u8]) -> Result<(), Failure> {
        self.send(&self.asked(name))?;
        self.expect("a reply", &self.owed(name))
    }

    pub(super) fn send(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.target.count_bytes(bytes.len());
        self.sent += bytes.len() as u64;
        let until = Instant::now() + self.target.timeout + in_bytes(bytes.len());
        let mut left = bytes;
        while !left.is_empty() {
            match self.stream.write(left) {
                Ok(count) => left = left.get(count..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    return Err(Failure {
                        offset: Some(self.offset),
                        ..Failure::new(format!("nothing more can be sent: {}", of(&error))).of_kind(kind_of(&error))
                    });
                }
            }
            if !left.is_empty() && Instant::now() >= until {
                return Err(Failure {
                    offset: Some(self.offset),
                    ..Failure::new(format!(
                        "the server takes bytes too slowly: of {} some {} were left in the end",
                        bytes.len(),
                        left.len()
                    ))
                    .of_kind(Kind::Late)
                });
            }
        }
        Ok(())
    }

    /// These bytes come next.
    pub(super) fn expect(&mut self, what: &str, expected: &[u8]) -> Result<(), Failure> {
        let until = Instant::now() + self.patience + in_bytes(expected.len());
        let answer = self.expect_until(until, what, expected);
        self.wait_at_most(self.patience);
        answer
    }

    /// So many replies come next; a slow server has the time for each.
    pub(super) fn expect_replies(&mut self, count: usize, expected: &[u8]) -> Result<(), Failure> {
        let patience = self.patience;
        let each = 2 * self.target.trip();
        self.set_patience(patience.saturating_add(each.saturating_mul(u32::try_from(count).unwrap_or(u32::MAX))));
        let outcome = self.expect("a reply", expected);
        self.set_patience(patience);
        outcome
    }

    fn expect_until(&mut self, until: Instant, what: &str, expected: &[u8]) -> Result<(), Failure> {
        let mut matched = 0;
        let mut buffer = [0; 16 * 1024];
        while let Some(rest) = expected.get(matched..).filter(|rest| !rest.is_empty()) {
            let room = rest.len().min(buffer.len());
            let piece = buffer.get_mut(..room).unwrap_or_default();
            let begin = Instant::now();
            let outcome = self.stream.read(piece);
            self.pauses.extend(Some(begin.elapsed()).filter(|waited| *waited >= A_PAUSE));
            let received = match outcome {
                Ok(0) => return Err(self.missing(what, rest, Kind::Ended, "the server ended the conversation")),
                Ok(count) => piece.get(..count).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    let why = match kind_of(&error) {
                        Kind::Late if matched > 0 => too_slow(matched, expected.len()),
                        Kind::Late => format!("nothing more came within {}", Time::from(self.patience)),
                        _ => of(&error),
                    };
                    return Err(self.missing(what, rest, kind_of(&error), &why));
                }
            };
            self.target.count_bytes(received.len());
            let same = rest.iter().zip(received).take_while(|(expected, received)| expected == received).count();
            self.remember(rest.get(..same).unwrap_or_default());
            matched += same;
            if same < received.len() {
                let wrong = received.get(same..).unwrap_or_default().to_vec();
                return Err(self.wrong(what, expected.get(matched..).unwrap_or_default(), wrong));
            }
            if matched < expected.len() {
                // It came in pieces; together they may not take longer than an answer may.
                let left = until.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    let why = too_slow(matched, expected.len());
                    return Err(self.missing(what, expected.get(matched..).unwrap_or_default(), Kind::Late, &why));
                }
                self.wait_at_most(left.min(self.patience));
            }
        }
        Ok(())
    }

    /// What one read delivers, if something comes until then; else why nothing does.
    pub(super) fn read_until(&mut self, until: Instant, buffer: &mut [u8]) -> Result<usize, Kind> {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Kind::Late);
            }
            self.wait_at_most(left);
            match self.stream.read(buffer) {
                Ok(0) => return Err(Kind::Ended),
                Ok(count) => {
                    self.target.count_bytes(count);
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(kind_of(&error)),
            }
        }
    }

    /// An answer up to its last byte, which is this one, if it is no longer than `limit` and comes in time.
    pub(super) fn take_answer(&mut self, last: u8, limit: usize) -> Option<Vec<u8>> {
        let until = Instant::now() + self.patience + in_bytes(limit);
        let mut answer = Vec::new();
        let mut buffer = [0; 4096];
        while answer.last() != Some(&last) {
            let count = self.read_until(until, &mut buffer).ok()?;
            answer.extend_from_slice(buffer.get(..count)?);
            if answer.len() > limit {
                return None;
            }
        }
        Some(answer)
    }

    /// What is owed has come, and nothing else does until the server ends its side.
    pub(super) fn expect_end(&mut self) -> Result<(), Failure> {
        let mut buffer = [0; 1024];
        loop {
            return match self.stream.read(&mut buffer) {
                Ok(0) => Ok(()),
                Ok(count) => {
                    let received = buffer.get(..count).unwrap_or_default().to_vec();
                    let cause = match received.as_slice() {
                        [b'W', ..] => Some("the greeting comes again"),
                        [0, ..] => Some("NULs behind a reply: a C string's end, or writes that are filled up to whole words"),
                        _ if received.starts_with(b"Hello, exit") => Some("`exit` is answered as a name"),
                        _ => None,
                    };
                    let failure = Failure {
                        offset: Some(self.offset),
                        expected: Some(Vec::new()),
                        received: Some(received),
                        ..Failure::new("more came than is owed")
                    };
                    Err(cause.map_or(failure.clone(), |cause| failure.because(cause)))
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if kind_of(&error) == Kind::Late => {
                    Err(Failure::new(format!(
                        "the server does not end its side within {}",
                        Time::from(self.patience)
                    ))
                    .of_kind(Kind::Late)
                    .because("the server never closes, or its FIN is lost: see that it is sent behind the last reply"))
                }
                Err(error) => Err(Failure::new(format!("at the end {}", of(&error))).of_kind(kind_of(&error)).because(
                    "the server closes its socket while bytes of the client are unread or replies are under way: end the \
                     sending side first, and read on until the client's FIN",
                )),
            };
        }
    }

    /// Ends the conversation as the protocol has it: `exit`, and the server ends first.
    pub(super) fn leave(mut self) -> Result<(), Failure> {
        let exit = self.asked(b"exit");
        self.send(&exit)?;
        self.expect_end().map_err(|failure| failure.during("after `exit`"))
    }

    /// How many bytes a segment to the server has.
    pub(super) fn segment(&self) -> usize {
        socket2::SockRef::from(&self.stream).tcp_mss().map_or(ON_ETHERNET, |size| size as usize)
    }

    /// The same, but at most what Ethernet gives: a loopback device has far longer ones.
    pub(super) fn segment_on_ethernet(&self) -> usize {
        self.segment().clamp(100, ON_ETHERNET)
    }

    /// Ends this side. Receiving goes on.
    pub(super) fn half_close(&self) -> Result<(), Failure> {
        self.stream
            .shutdown(Shutdown::Write)
            .map_err(|error| Failure::new(format!("this side cannot be ended: {}", of(&error))))
    }

    /// Ends the connection with a reset.
    pub(super) fn reset(self) {
        // Where the system refuses, it is a plain close.
        let _ = socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
    }

    /// So long an answer may take from now on.
    pub(super) fn set_patience(&mut self, patience: Duration) {
        self.patience = patience.max(Duration::from_millis(1));
        self.wait_at_most(self.patience);
    }

    /// So long the next reads wait.
    pub(super) fn wait_at_most(&mut self, wait: Duration) {
        let wait = wait.max(Duration::from_millis(1));
        // It is a call of the system, and most answers come whole.
        if wait != self.waits {
            self.waits = wait;
            // Fails for a time of nothing only.
            let _ = self.stream.set_read_timeout(Some(wait));
        }
    }

    fn remember(&mut self, bytes: &[u8]) {
        self.offset += bytes.len() as u64;
        self.before.extend_from_slice(bytes);
        let surplus = self.before.len().saturating_sub(REMEMBERED);
        if surplus > REMEMBERED {
            self.before.drain(..surplus);
        }
    }

    fn missing(&self, what: &str, rest: &[u8], kind: Kind, why: &str) -> Failure {
        let mut causes = Vec::new();
        if matches!(kind, Kind::Reset | Kind::Ended) && self.offset > GREETING.len() as u64 {
            causes.push(format!(
                "that was {} bytes to the server and {} from it. If it is about as many each time, look for a limit, or a \
                 counter that overflows; if not, for what ends the task, a time limit, or memory that is used up",
                self.sent, self.offset
            ));
        }
        Failure {
            causes,
            offset: Some(self.offset),
            expected: Some(rest.get(..rest.len().min(REMEMBERED)).unwrap_or_default().to_vec()),
            received: Some(Vec::new()),
            ..Failure::new(format!("{why}, where {what} was due")).of_kind(kind)
        }
    }

    /// What comes within that time, though nothing is owed.
    pub(super) fn more_within(&mut self, time: Duration) -> Vec<u8> {
        let mut more = Vec::new();
        self.gather(time, &mut more);
        more
    }

    /// Adds what comes within that time, up to a limit.
    fn gather(&mut self, time: Duration, received: &mut Vec<u8>) {
        let until = Instant::now() + time;
        let mut buffer = [0; 4096];
        while received.len() < REMEMBERED
            && let Ok(count) = self.read_until(until, &mut buffer)
        {
            received.extend_from_slice(buffer.get(..count).unwrap_or_default());
        }
        self.wait_at_most(self.patience);
    }

    /// Waits for the bytes behind the wrong one too: what they are tells what has happened.
    fn wrong(&mut self, what: &str, expected: &[u8], mut received: Vec<u8>) -> Failure {
        self.gather(AFTERMATH, &mut received);
        let expected = expected.get(..expected.len().min(REMEMBERED)).unwrap_or_default();
        let offset = self.offset;
        let causes = difference::causes(&self.before, expected, &received, offset);
        Failure {
            kind: Kind::Other,
            offset: Some(offset),
            expected: Some(expected.to_vec()),
            received: Some(received),
            causes,
            what: format!(
                "{what} is wrong from byte {offset} of the conversation on (modulo 4: {}, 32: {}, 64: {})",
                offset % 4,
                offset % 32,
                offset % 64
            ),
        }
    }
}

fn too_slow(came: usize, of: usize) -> String {
    format!("of {of} bytes only the first {came} came in time")
}

/// So much longer an answer of so many bytes may take.
fn in_bytes(count: usize) -> Duration {
    A_BYTE * u32::try_from(count).unwrap_or(u32::MAX)
}
