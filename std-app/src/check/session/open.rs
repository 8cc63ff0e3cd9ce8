//! How a conversation begins: connection and greeting, also on a network that loses packets, or when no slot is free yet.

use core::time::Duration;
use std::{
    io::{Read, Write},
    thread,
    time::Instant,
};

use greet_core::Framing;

use super::Session;
use crate::check::{
    context::Context,
    explain::{connect_error, kind_of},
    failure::{Failure, Kind},
    loss::{HANDSHAKE_LOST, LINGER, may_be_loss},
    service::Service,
};

/// Interval at which a server without a free slot is tried again.
const PAUSE: Duration = Duration::from_millis(20);
/// What is sent to a server that does not greet, to see that it serves the connection.
const FIRST_MESSAGE: &[u8] = b"greet check";

impl<'a> Session<'a> {
    /// Opens a connection.
    pub(crate) fn open(context: Context<'a>) -> Result<Self, Failure> {
        let (target, timeout) = (context.target, context.timeout());
        let number = target.count_connection();
        let begin = Instant::now();
        loop {
            let attempt = Instant::now();
            match target.connect(timeout) {
                Ok(stream) => return Ok(Self::new(stream, context)),
                Err(error) if may_be_loss(&error, attempt.elapsed()) && begin.elapsed() < timeout => {}
                Err(error) => return Err(connect_error(target.address, timeout, number, &error)),
            }
        }
    }

    /// The same as [`ready`](Self::ready), in segments of at most this many bytes in both directions.
    pub(crate) fn ready_with_segments(context: Context<'a>, size: u32) -> Result<Self, Failure> {
        let (target, timeout) = (context.target, context.timeout());
        let number = target.count_connection();
        let stream = target.connect_with_segments(timeout, size);
        let stream = stream.map_err(|error| connect_error(target.address, timeout, number, &error))?;
        let mut session = Self::new(stream, context);
        session.expect_service()?;
        session.decide_framing()?;
        Ok(session)
    }

    /// Opens a connection, at once or as soon as a slot is free. Returns how long that took, too.
    pub(crate) fn open_with_retries(context: Context<'a>) -> Result<(Self, Duration), Failure> {
        let begin = Instant::now();
        loop {
            match Self::open(context) {
                Ok(session) => return Ok((session, begin.elapsed())),
                Err(failure) if begin.elapsed() >= context.timeout() => return Err(failure),
                Err(_) => thread::sleep(PAUSE),
            }
        }
    }

    /// Opens a connection that the server serves: it has greeted, or answered a first message.
    pub(crate) fn served(context: Context<'a>) -> Result<Self, Failure> {
        let begin = Instant::now();
        let mut is_forgotten = false;
        loop {
            let attempt = Instant::now();
            let mut session = Self::open(context)?;
            let failure = match session.expect_service() {
                Ok(()) => return Ok(session),
                Err(failure) if session.offset > 0 => return Err(failure),
                Err(failure) => failure,
            };
            // The last segment of the handshake was lost each time, and the server gave the connection up.
            let is_given_up = match failure.kind {
                Kind::Reset => attempt.elapsed() >= HANDSHAKE_LOST && begin.elapsed() < context.timeout(),
                // Once, so that the loop ends.
                Kind::Timeout if !is_forgotten => {
                    is_forgotten = session.is_forgotten();
                    is_forgotten
                }
                _ => false,
            };
            if !is_given_up {
                return Err(failure);
            }
        }
    }

    /// Whether the server does not know this connection: the reset that said so may have been lost. It answers a segment
    /// of an unknown connection by another reset.
    fn is_forgotten(&mut self) -> bool {
        const RESET_COMES: Duration = Duration::from_secs(2);
        if self.stream.write_all(b"\n").is_err() {
            return true;
        }
        self.set_read_timeout(RESET_COMES);
        self.stream.read(&mut [0]).is_err_and(|error| kind_of(&error) == Kind::Reset)
    }

    /// The same, at once or as soon as a slot is free. Returns the time until the attempt that succeeded began, too.
    pub(crate) fn served_with_retries(context: Context<'a>) -> Result<(Self, Duration), Failure> {
        Self::served_within(context, context.timeout())
    }

    fn served_within(context: Context<'a>, timeout: Duration) -> Result<(Self, Duration), Failure> {
        let begin = Instant::now();
        loop {
            let waited = begin.elapsed();
            match Self::served(context) {
                Ok(session) => return Ok((session, waited)),
                Err(failure) if begin.elapsed() >= timeout => return Err(failure),
                Err(_) => thread::sleep(PAUSE),
            }
        }
    }

    /// Opens a connection that is served, and under framing `auto` sends a first line, so that names are lines.
    pub(crate) fn ready(context: Context<'a>) -> Result<Self, Failure> {
        let (mut session, _) = Self::served_within(context, LINGER)?;
        session.decide_framing()?;
        Ok(session)
    }

    /// Under framing `auto`: makes names lines.
    fn decide_framing(&mut self) -> Result<(), Failure> {
        let facts = self.context.facts;
        if facts.service() == Service::Greet && facts.framing() == Framing::Auto {
            self.exchange(b"greet")
        } else {
            Ok(())
        }
    }

    /// Makes sure that the server serves this connection.
    pub(crate) fn expect_service(&mut self) -> Result<(), Failure> {
        const NOT_SERVED: &str = "the connection is open, but nobody serves it: it waits in a backlog, or its task was not started or is stuck";
        let greeting = self.conversation().greeting;
        if greeting.is_empty() { self.exchange(FIRST_MESSAGE) } else { self.expect("the greeting", greeting) }.map_err(
            |failure| failure.clone().because_if(failure.kind == Kind::Timeout && self.offset == 0, NOT_SERVED),
        )
    }
}
