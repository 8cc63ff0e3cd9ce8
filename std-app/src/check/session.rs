//! One conversation of the check. Every byte that comes is compared with the byte that is expected.

mod open;

use core::time::Duration;
use std::{
    io::{self, Read, Write},
    net::{Shutdown, TcpStream},
    time::Instant,
};

use crate::{export::number::Time, socket};

use super::{
    context::Context,
    counts::Counts,
    difference,
    evidence::{self, Evidence},
    explain::{describe, kind_of},
    failure::{Failure, Kind},
    service::{Conversation, Service},
};

/// The cause of a missing FIN.
pub(crate) const NEVER_CLOSES: &str = "the server never closes, or its FIN is lost: send a FIN after the last reply";

/// Number of correct bytes that are kept, to find out where wrong bytes come from.
const HISTORY: usize = 4096;
/// How long to wait for the bytes behind a wrong one.
const AFTER_MISMATCH: Duration = Duration::from_millis(200);
/// A shorter wait may be the scheduling delay of a busy host.
const PAUSE: Duration = Duration::from_millis(30);
/// Additional timeout for each byte of a long answer.
const PER_BYTE: Duration = Duration::from_millis(1);
/// Bytes in a segment on Ethernet, over IPv4.
const ETHERNET_MSS: usize = 1460;

/// A connection, and the position in its conversation.
#[derive(Debug)]
pub(crate) struct Session<'a> {
    pub(crate) stream: TcpStream,
    pub(crate) context: Context<'a>,
    /// How long an answer may take.
    timeout: Duration,
    /// The socket's read timeout.
    read_timeout: Duration,
    /// Number of correct bytes received.
    pub(crate) offset: u64,
    /// The last of them.
    history: Vec<u8>,
    sent: u64,
    /// The kernel's number of acknowledged bytes when it was asked last.
    acknowledged: u64,
    /// The kernel's number of retransmitted segments when it was asked last.
    retransmitted: u32,
    /// The waits of [`PAUSE`] or longer.
    pub(crate) pauses: Vec<Duration>,
}

impl<'a> Session<'a> {
    /// A connection whose timeouts are the context's, and over which nothing has come yet.
    pub(crate) fn new(stream: TcpStream, context: Context<'a>) -> Self {
        let timeout = context.timeout();
        Self {
            stream,
            context,
            timeout,
            read_timeout: timeout,
            offset: 0,
            history: Vec::new(),
            sent: 0,
            acknowledged: 0,
            retransmitted: 0,
            pauses: Vec::new(),
        }
    }

    pub(crate) fn conversation(&self) -> Conversation {
        self.context.facts.conversation()
    }

    /// The bytes to send for a message.
    pub(crate) fn request(&self, message: &[u8]) -> Vec<u8> {
        self.conversation().request(message)
    }

    /// The reply to a message.
    pub(crate) fn reply(&self, message: &[u8]) -> Vec<u8> {
        self.conversation().owed(message)
    }

    /// Sends a message and receives its reply.
    pub(crate) fn exchange(&mut self, message: &[u8]) -> Result<(), Failure> {
        self.ask(message)?;
        self.hear(message)
    }

    /// Sends a message.
    pub(crate) fn ask(&mut self, message: &[u8]) -> Result<(), Failure> {
        self.send(&self.request(message))
    }

    /// Receives the reply to a message that was sent.
    pub(crate) fn hear(&mut self, message: &[u8]) -> Result<(), Failure> {
        self.expect("the reply", &self.reply(message))
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.context.target.count_bytes(bytes.len());
        self.sent += bytes.len() as u64;
        let until = Instant::now() + self.context.timeout() + time_for_bytes(bytes.len());
        let mut left = bytes;
        while !left.is_empty() {
            match self.stream.write(left) {
                Ok(count) => left = left.get(count..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    let what = match kind_of(&error) {
                        Kind::Timeout => format!(
                            "the server accepts no more bytes: {} of {} were not sent within {}",
                            left.len(),
                            bytes.len(),
                            Time::from(self.context.timeout())
                        ),
                        _ => format!("sending failed: {}", describe(&error)),
                    };
                    return Err(self.with_evidence(Failure {
                        offset: Some(self.offset),
                        ..Failure::new(what).with_kind(kind_of(&error))
                    }));
                }
            }
            if !left.is_empty() && Instant::now() >= until {
                let what =
                    format!("the server accepts bytes too slowly: {} of {} were not sent", left.len(), bytes.len());
                return Err(self.with_evidence(Failure {
                    offset: Some(self.offset),
                    ..Failure::new(what).with_kind(Kind::Timeout)
                }));
            }
        }
        Ok(())
    }

    /// Receives these bytes, which `what` names.
    pub(crate) fn expect(&mut self, what: &str, expected: &[u8]) -> Result<(), Failure> {
        let until = Instant::now() + self.timeout + time_for_bytes(expected.len());
        let outcome = self.expect_until(until, what, expected);
        self.set_read_timeout(self.timeout);
        outcome
    }

    /// Receives `count` replies. A slow server has time for each.
    pub(crate) fn expect_replies(&mut self, count: usize, expected: &[u8]) -> Result<(), Failure> {
        let timeout = self.timeout;
        let each = 2 * self.context.facts.rtt();
        self.set_timeout(timeout.saturating_add(each.saturating_mul(u32::try_from(count).unwrap_or(u32::MAX))));
        let outcome = self.expect("a reply", expected);
        self.set_timeout(timeout);
        outcome
    }

    fn expect_until(&mut self, until: Instant, what: &str, expected: &[u8]) -> Result<(), Failure> {
        let mut matched = 0;
        let mut buffer = [0; 16 * 1024];
        let mut waiting = Instant::now();
        let mut is_early = self.offset > 0; // a greeting may take longer than any answer
        if is_early {
            self.set_read_timeout(self.context.timeout_without_loss(self.timeout));
        }
        while let Some(rest) = expected.get(matched..).filter(|rest| !rest.is_empty()) {
            let space = rest.len().min(buffer.len());
            let space = buffer.get_mut(..space).unwrap_or_default();
            let begin = Instant::now();
            let outcome = self.stream.read(space);
            self.pauses.extend(Some(begin.elapsed()).filter(|waited| *waited >= PAUSE));
            self.note_wait(waiting, outcome.is_ok());
            let received = match outcome {
                Ok(0) => return Err(self.missing(what, rest, Kind::Closed, "the server closed the connection")),
                Ok(count) => space.get(..count).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                // Bytes queued on this host are still being sent: the network is slow.
                Err(error) if kind_of(&error) == Kind::Timeout && self.is_sending() => continue,
                Err(error) if kind_of(&error) == Kind::Timeout && is_early && !self.has_lost_nothing() => {
                    is_early = false;
                    self.set_read_timeout(self.timeout.saturating_sub(begin.elapsed()));
                    continue;
                }
                Err(error) => {
                    let why = match kind_of(&error) {
                        Kind::Timeout if matched > 0 => incomplete(matched, expected.len()),
                        Kind::Timeout => format!("nothing was received within {}", Time::from(waiting.elapsed())),
                        _ => describe(&error),
                    };
                    return Err(self.missing(what, rest, kind_of(&error), &why));
                }
            };
            waiting = Instant::now();
            self.context.target.count_bytes(received.len());
            let same = rest.iter().zip(received).take_while(|(expected, received)| expected == received).count();
            self.remember(rest.get(..same).unwrap_or_default());
            matched += same;
            if same < received.len() {
                let wrong = received.get(same..).unwrap_or_default().to_vec();
                return Err(self.mismatch(what, expected.get(matched..).unwrap_or_default(), wrong));
            }
            if matched < expected.len() {
                // All the pieces together have one timeout.
                let left = until.saturating_duration_since(Instant::now());
                if left.is_zero() && !self.is_sending() {
                    let why = incomplete(matched, expected.len());
                    return Err(self.missing(what, expected.get(matched..).unwrap_or_default(), Kind::Timeout, &why));
                }
                self.set_read_timeout(left.min(if is_early {
                    self.context.timeout_without_loss(self.timeout)
                } else {
                    self.timeout
                }));
            }
        }
        Ok(())
    }

    /// Notes a wait in which segments were sent again.
    fn note_wait(&mut self, begin: Instant, is_over: bool) {
        /// No segment is sent again before.
        const SHORTEST: Duration = Duration::from_millis(190);
        let took = begin.elapsed();
        if took < SHORTEST || !is_over {
            return;
        }
        let Ok(info) = evidence::info(&self.stream) else { return };
        let again = info.all_retransmissions.saturating_sub(self.retransmitted);
        self.retransmitted = info.all_retransmissions;
        let rtt = self.context.target.handshake();
        self.context.target.measured.standstills.note(begin, took, again, rtt);
    }

    /// Whether the server's stack has all that was sent, over a network that has lost nothing during the whole check. Its answer
    /// is not lost then, and does not come later.
    fn has_lost_nothing(&self) -> bool {
        let is_acknowledged = evidence::info(&self.stream).is_ok_and(|info| {
            info.unacknowledged_segments == 0 && info.unsent == 0 && info.all_retransmissions == 0 && !info.has_gaps
        });
        self.context.target.has_lost_nothing() && is_acknowledged
    }

    /// Whether bytes that this host has queued were acknowledged since the last call, and others still are to be. Not for ever.
    fn is_sending(&mut self) -> bool {
        const LONGEST: Duration = Duration::from_secs(60);
        let Ok(info) = evidence::info(&self.stream) else { return false };
        let is_progress = info.acknowledged > self.acknowledged;
        self.acknowledged = info.acknowledged;
        let is_queued = info.unacknowledged_segments > 0 || info.unsent > 0;
        is_progress && is_queued && self.context.elapsed() < LONGEST
    }

    /// One read, or why nothing was received until then.
    pub(crate) fn read_until(&mut self, until: Instant, buffer: &mut [u8]) -> Result<usize, Kind> {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Kind::Timeout);
            }
            self.set_read_timeout(left);
            match self.stream.read(buffer) {
                Ok(0) => return Err(Kind::Closed),
                Ok(count) => {
                    self.context.target.count_bytes(count);
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(kind_of(&error)),
            }
        }
    }

    /// Everything up to this last byte, unless it is longer than `limit` or does not come within the timeout.
    pub(crate) fn read_answer(&mut self, last: u8, limit: usize) -> Option<Vec<u8>> {
        let last_moment = Instant::now() + self.timeout + time_for_bytes(limit);
        let mut answer = Vec::new();
        let mut buffer = [0; 4096];
        while answer.last() != Some(&last) {
            let until = last_moment.min(Instant::now() + self.timeout);
            let count = match self.read_until(until, &mut buffer) {
                Ok(count) => count,
                Err(Kind::Timeout) if until < last_moment && self.is_sending() => continue,
                Err(_) => return None,
            };
            answer.extend_from_slice(buffer.get(..count)?);
            if answer.len() > limit {
                return None;
            }
        }
        Some(answer)
    }

    /// Receives the server's FIN, and no byte before it.
    pub(crate) fn expect_end(&mut self) -> Result<(), Failure> {
        let is_echo = self.context.facts.service() == Service::Echo;
        let mut buffer = [0; 1024];
        loop {
            let begin = Instant::now();
            let outcome = self.stream.read(&mut buffer);
            self.note_wait(begin, outcome.is_ok());
            return match outcome {
                Ok(0) => Ok(()),
                Ok(count) => {
                    let received = buffer.get(..count).unwrap_or_default().to_vec();
                    let cause = match received.as_slice() {
                        [b'W', ..] if !is_echo => Some("the server sends its greeting again".to_owned()),
                        _ => difference::additional(&self.history, &received),
                    };
                    let failure = Failure {
                        offset: Some(self.offset),
                        expected: Some(Vec::new()),
                        received: Some(received),
                        ..Failure::new("more bytes were received than expected")
                    };
                    Err(cause.map_or(failure.clone(), |cause| failure.because(cause)))
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if kind_of(&error) == Kind::Timeout => {
                    let what = format!("the server did not close its side within {}", Time::from(self.timeout));
                    Err(self.with_evidence(Failure::new(what).with_kind(Kind::Timeout)).because(NEVER_CLOSES))
                }
                Err(error) => {
                    let what = format!("at the end of the conversation {}", describe(&error));
                    Err(Failure::new(what).with_kind(kind_of(&error)).because(
                        "the server calls close() while client bytes are unread or replies are in flight: shut down the \
                         sending side first, and read until the client's FIN",
                    ))
                }
            };
        }
    }

    /// Ends the conversation on the client's side: sends the message after which the server closes, or half-closes.
    pub(crate) fn leave(&mut self) -> Result<(), Failure> {
        match self.conversation().farewell {
            Some(farewell) => self.send(&self.request(farewell)),
            None => self.half_close(),
        }
    }

    /// Ends the conversation as the protocol says. If it is known that the server's FIN is late, it is not waited for.
    pub(crate) fn exit(mut self) -> Result<(), Failure> {
        if self.conversation().farewell.is_some() && self.context.settings.ends_late() {
            return self.leave();
        }
        self.exit_to_the_end()
    }

    /// The same, and always waits for the server's FIN after its farewell.
    pub(crate) fn exit_to_the_end(mut self) -> Result<(), Failure> {
        const LATE: Duration = Duration::from_secs(1);
        self.leave()?;
        if self.conversation().farewell.is_some() {
            let begin = Instant::now();
            let outcome = self.expect_end().map_err(|failure| failure.during("after `exit`"));
            let is_late = begin.elapsed() > LATE + 4 * self.context.facts.rtt();
            self.context.settings.note_end(is_late);
            return outcome;
        }
        // Once it is known that the server does not close, only the probes of that wait for it.
        if self.context.facts.closes_after_client() { self.expect_client_end() } else { Ok(()) }
    }

    /// Receives the server's FIN after the client's.
    pub(crate) fn expect_client_end(&mut self) -> Result<(), Failure> {
        self.expect_end().map_err(|failure| {
            let is_late = failure.kind == Kind::Timeout;
            failure.during("after the client's FIN").because_if(
                is_late,
                "the server does not close its side after the client's FIN (it stays in CLOSE-WAIT)",
            )
        })
    }

    /// The number of segments with data that came from the server so far; `None` if the kernel does not count them.
    pub(crate) fn data_segments(&self) -> Option<u32> {
        evidence::info(&self.stream).ok().map(|info| info.segments_received).filter(|segments| *segments > 0)
    }

    /// The maximum segment size towards the server, in bytes.
    pub(crate) fn mss(&self) -> usize {
        socket::mss(&self.stream).map_or(ETHERNET_MSS, |size| size as usize)
    }

    /// The same, but no more than Ethernet's: that of a loopback device is far larger.
    pub(crate) fn ethernet_mss(&self) -> usize {
        self.mss().clamp(100, ETHERNET_MSS)
    }

    /// Closes this side (FIN). Receiving continues.
    pub(crate) fn half_close(&self) -> Result<(), Failure> {
        self.stream
            .shutdown(Shutdown::Write)
            .map_err(|error| Failure::new(format!("cannot close the client's side: {}", describe(&error))))
    }

    /// Resets the connection.
    pub(crate) fn reset(self) {
        // If this fails, it is closed by a FIN instead.
        let _ = socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
    }

    /// The connection without its conversation.
    pub(crate) fn into_stream(self) -> io::Result<TcpStream> {
        self.stream.try_clone()
    }

    /// Changes how long an answer may take.
    pub(crate) fn set_timeout(&mut self, timeout: Duration) {
        self.timeout = timeout.max(Duration::from_millis(1));
        self.set_read_timeout(self.timeout);
    }

    fn set_read_timeout(&mut self, timeout: Duration) {
        let timeout = timeout.max(Duration::from_millis(1));
        // This is a system call, and most answers come in one piece.
        if timeout != self.read_timeout {
            self.read_timeout = timeout;
            // Fails for a duration of zero only.
            let _ = self.stream.set_read_timeout(Some(timeout));
        }
    }

    fn remember(&mut self, bytes: &[u8]) {
        self.offset += bytes.len() as u64;
        self.history.extend_from_slice(bytes);
        let surplus = self.history.len().saturating_sub(HISTORY);
        if surplus > HISTORY {
            self.history.drain(..surplus);
        }
    }

    /// What the kernel has counted: another thread may write, and bytes that were not acknowledged do not count.
    fn counts(&self) -> Counts {
        let connections = self.context.target.connections();
        evidence::info(&self.stream).map_or(Counts { sent: self.sent, received: self.offset, connections }, |info| {
            Counts { sent: info.acknowledged, received: info.received, connections }
        })
    }

    /// Adds what this connection had carried when it ended.
    pub(crate) fn with_counts(&self, failure: Failure) -> Failure {
        let cause = self.counts().cause(false);
        cause.map_or(failure.clone(), |cause| failure.because(cause))
    }

    fn missing(&self, what: &str, rest: &[u8], kind: Kind, why: &str) -> Failure {
        let mut causes = Vec::new();
        let counts = Counts { received: self.offset, ..self.counts() };
        if matches!(kind, Kind::Reset | Kind::Closed | Kind::Timeout)
            && self.offset > self.conversation().greeting.len() as u64
        {
            causes.extend(counts.cause(kind == Kind::Timeout));
        }
        self.with_evidence(Failure {
            causes,
            offset: Some(self.offset),
            expected: Some(rest.get(..rest.len().min(HISTORY)).unwrap_or_default().to_vec()),
            received: Some(Vec::new()),
            ..Failure::new(format!("{why}; {what} was expected")).with_kind(kind)
        })
    }

    /// Adds what the kernel knows, if an answer did not come.
    fn with_evidence(&self, failure: Failure) -> Failure {
        match Evidence::of(&self.stream).filter(|_| failure.kind == Kind::Timeout) {
            Some(evidence) => failure.with_evidence(evidence),
            None => failure,
        }
    }

    /// Whether an echo answers a further message. What is missing before it then never comes.
    pub(crate) fn answers_further(&mut self) -> bool {
        const TIME: Duration = Duration::from_millis(500);
        const MESSAGE: &[u8] = b"a further message";
        self.send(MESSAGE).is_ok() && self.read_for(TIME).windows(MESSAGE.len()).any(|received| received == MESSAGE)
    }

    /// Everything that comes within that time, up to a limit.
    pub(crate) fn read_for(&mut self, time: Duration) -> Vec<u8> {
        let mut received = Vec::new();
        self.append_for(time, &mut received);
        received
    }

    fn append_for(&mut self, time: Duration, received: &mut Vec<u8>) {
        let until = Instant::now() + time;
        let mut buffer = [0; 4096];
        while received.len() < HISTORY
            && let Ok(count) = self.read_until(until, &mut buffer)
        {
            received.extend_from_slice(buffer.get(..count).unwrap_or_default());
        }
        self.set_read_timeout(self.timeout);
    }

    /// Waits for the bytes behind the wrong one, too: they tell what has happened.
    fn mismatch(&mut self, what: &str, expected: &[u8], mut received: Vec<u8>) -> Failure {
        self.append_for(AFTER_MISMATCH, &mut received);
        let expected = expected.get(..expected.len().min(HISTORY)).unwrap_or_default();
        let offset = self.offset;
        let causes = difference::causes(&self.history, expected, &received, offset);
        Failure {
            offset: Some(offset),
            expected: Some(expected.to_vec()),
            received: Some(received),
            causes,
            ..Failure::new(format!(
                "{what} is wrong from byte {offset} of the conversation (modulo 4: {}, 32: {}, 64: {})",
                offset % 4,
                offset % 32,
                offset % 64
            ))
        }
    }
}

impl Drop for Session<'_> {
    /// Counts the segments of this connection.
    fn drop(&mut self) {
        if let Ok(info) = evidence::info(&self.stream) {
            self.context.target.count_segments(info.segments_sent.into(), info.all_retransmissions.into());
        }
    }
}

fn incomplete(received: usize, expected: usize) -> String {
    format!("only {received} of {expected} bytes were received within the timeout")
}

/// Additional timeout for an answer of `count` bytes.
fn time_for_bytes(count: usize) -> Duration {
    PER_BYTE * u32::try_from(count).unwrap_or(u32::MAX)
}
