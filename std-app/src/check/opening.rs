//! How a conversation of the check begins: it is let in and greeted, also where the wire loses segments, or a place is free only
//! in a moment.

use core::time::Duration;
use std::{
    io::{self, Read, Write},
    net::TcpStream,
    thread,
    time::Instant,
};

use greet_core::Framing;

use super::{
    probe::{Failure, Kind, kind_of},
    talk::{GREETING, Talk},
    target::Target,
    wire::{HANDSHAKE_LOST, LEAVING, is_of_the_wire},
};

impl<'a> Talk<'a> {
    /// Opens a connection.
    pub(super) fn open(target: &'a Target) -> Result<Self, Failure> {
        let number = target.count_connection();
        let begin = Instant::now();
        let connect = || -> io::Result<TcpStream> {
            let stream = TcpStream::connect_timeout(&target.address, target.timeout)?;
            stream.set_nodelay(true)?; // what is one write is to be one segment, and at once
            stream.set_read_timeout(Some(target.timeout))?;
            stream.set_write_timeout(Some(target.timeout))?;
            Ok(stream)
        };
        loop {
            let tried = Instant::now();
            match connect() {
                Ok(stream) => {
                    target.note_way(tried.elapsed());
                    return Ok(Self::new(stream, target));
                }
                Err(error) if is_of_the_wire(&error, tried.elapsed()) && begin.elapsed() < target.timeout => {}
                Err(error) => return Err(target.no_connection(&error, number)),
            }
        }
    }

    /// Opens a connection, and is greeted.
    pub(super) fn greeted(target: &'a Target) -> Result<Self, Failure> {
        let begin = Instant::now();
        let mut forgotten = false;
        loop {
            let tried = Instant::now();
            let mut talk = Self::open(target)?;
            let failure = match talk.be_greeted() {
                Ok(()) => return Ok(talk),
                Err(failure) if talk.offset > 0 => return Err(failure),
                Err(failure) => failure,
            };
            // The last segment of the handshake was lost, each time, and the server has given it up.
            let given_up = match failure.kind {
                Kind::Reset => tried.elapsed() >= HANDSHAKE_LOST && begin.elapsed() < target.timeout,
                // Once, so that this comes to an end.
                Kind::Late if !forgotten => {
                    forgotten = talk.is_forgotten();
                    forgotten
                }
                _ => false,
            };
            if !given_up {
                return Err(failure);
            }
        }
    }

    /// Whether the server knows nothing of this connection: the reset that told so may have been lost. It answers a segment of
    /// no connection by another one.
    fn is_forgotten(&mut self) -> bool {
        const SAID: Duration = Duration::from_secs(2);
        if self.stream.write_all(b"\n").is_err() {
            return true;
        }
        self.wait_at_most(SAID);
        self.stream.read(&mut [0]).is_err_and(|error| kind_of(&error) == Kind::Reset)
    }

    /// Opens a connection, and is greeted, at once or as soon as there is a place: for how long that took.
    pub(super) fn greeted_patiently(target: &'a Target) -> Result<(Self, Duration), Failure> {
        Self::greeted_within(target, target.timeout)
    }

    fn greeted_within(target: &'a Target, patience: Duration) -> Result<(Self, Duration), Failure> {
        const PAUSE: Duration = Duration::from_millis(20);
        let begin = Instant::now();
        loop {
            match Self::greeted(target) {
                Ok(talk) => return Ok((talk, begin.elapsed())),
                Err(failure) if begin.elapsed() >= patience => return Err(failure),
                Err(_) => thread::sleep(PAUSE),
            }
        }
    }

    /// Opens a connection, is greeted, and has made it clear that names are lines, where they can be.
    pub(super) fn settled(target: &'a Target) -> Result<Self, Failure> {
        let (mut talk, _) = Self::greeted_within(target, LEAVING)?;
        if target.framing() == Framing::Auto {
            talk.say(b"greet")?;
        }
        Ok(talk)
    }

    pub(super) fn be_greeted(&mut self) -> Result<(), Failure> {
        self.expect("the greeting", GREETING).map_err(|failure| match failure.kind {
            Kind::Late if self.offset == 0 => failure.because(
                "the connection is open, but nobody serves it: it waits in a backlog, or its task was not started or is stuck",
            ),
            _ => failure,
        })?;
        if self.target.framing() == Framing::Line { self.expect("the greeting's end", b"\n") } else { Ok(()) }
    }
}
