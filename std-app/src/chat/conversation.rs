//! One conversation as the client: says names, shows what comes, and tells how it ended.

use core::net::SocketAddr;
use std::{
    io::{self, ErrorKind, Write},
    net::TcpStream,
};

use greet_core::{
    Client, ClientEvent, ClientSettings, Connection, Escaped, Framing, Instant, Outcome,
    drive::{Turn, blocking::Driver},
};

use super::{CAPACITY, ChatError, error::Broken};
use crate::transport::TcpTransport;

/// The driver of such a conversation.
pub(super) type ClientDriver<'a> = Driver<'a, Client<CAPACITY>, TcpTransport<'a>, &'a dyn Fn() -> Instant>;

/// A conversation, to be had in this order: the greeting, names, the end.
pub(super) struct Conversation<'a> {
    driver: ClientDriver<'a>,
    stream: &'a TcpStream,
    peer: SocketAddr,
    settings: ClientSettings,
    /// An error reply is shown as far as it has come, and the rest of its line is still to come.
    inside_error: bool,
}

impl<'a> Conversation<'a> {
    /// A conversation that `driver` carries over `stream`.
    pub(super) const fn new(
        driver: ClientDriver<'a>,
        stream: &'a TcpStream,
        peer: SocketAddr,
        settings: ClientSettings,
    ) -> Self {
        Self { driver, stream, peer, settings, inside_error: false }
    }

    pub(super) const fn framing(&self) -> Framing {
        self.settings.framing
    }

    /// Waits for the greeting.
    pub(super) fn await_greeting(&mut self) -> Result<(), ChatError> {
        self.drive_until_idle()
    }

    /// Sends a name and waits for its reply.
    pub(super) fn say(&mut self, name: &[u8]) -> Result<(), ChatError> {
        self.notice()?;
        self.driver.machine().say(name).map_err(|reason| ChatError::name(name, reason))?;
        self.drive_until_idle()
    }

    /// Says `exit` and waits for the server's end (rule K2).
    pub(super) fn end(&mut self) -> Result<(), ChatError> {
        self.notice()?;
        self.driver.machine().close(crate::clock::now());
        while !self.turn()? {}
        Ok(())
    }

    /// Takes in what the server sent while nothing was asked of it: an error for a silence too long, or its end.
    fn notice(&mut self) -> Result<(), ChatError> {
        while self.has_news().map_err(|error| self.broken(error))? {
            if self.turn()? {
                break;
            }
        }
        Ok(())
    }

    /// Whether a read would not have to wait.
    fn has_news(&self) -> io::Result<bool> {
        self.stream.set_nonblocking(true)?;
        let peeked = self.stream.peek(&mut [0]);
        self.stream.set_nonblocking(false)?;
        match peeked {
            Ok(_) => Ok(true),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Goes on until everything said is answered.
    fn drive_until_idle(&mut self) -> Result<(), ChatError> {
        loop {
            let client = self.driver.machine();
            if client.outcome().is_none() && client.is_idle() || self.turn()? {
                return Ok(());
            }
        }
    }

    /// One turn of the driver; whether the conversation is over, and in good order.
    fn turn(&mut self) -> Result<bool, ChatError> {
        match self.driver.turn() {
            Ok(Turn::Event(ClientEvent::Mismatch(mismatch))) => {
                Err(ChatError::mismatch(self.peer, &mismatch, self.settings.framing))
            }
            Ok(Turn::Event(event)) => {
                show(&event, &mut self.inside_error).map_err(ChatError::Output)?;
                Ok(false)
            }
            Ok(Turn::Quiet) => Ok(false),
            Ok(Turn::Over) => self.over(),
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(false), // by a signal; nothing is lost
            Err(error) => Err(self.broken(error)),
        }
    }

    /// How it ended; a mismatch was told when it was met.
    fn over(&mut self) -> Result<bool, ChatError> {
        let peer = self.peer;
        if self.inside_error {
            // Its line will not be ended any more: what comes next on a terminal begins on a new one.
            writeln!(io::stdout().lock()).map_err(ChatError::Output)?;
        }
        match self.driver.machine().outcome() {
            Some(Outcome::EndedEarly(awaited)) => Err(ChatError::EndedEarly { peer, awaited }),
            Some(Outcome::TimedOut(awaited)) => {
                Err(ChatError::TimedOut { peer, awaited, limit: self.settings.timeout.unwrap_or_default() })
            }
            Some(Outcome::Complete | Outcome::Mismatch) | None => Ok(true),
        }
    }

    fn broken(&mut self, error: io::Error) -> ChatError {
        ChatError::Broken { peer: self.peer, during: Broken(self.driver.machine().awaited()), error }
    }
}

/// Prints what came, each reply on a line of its own and at once (rule K3).
fn show(event: &ClientEvent<'_>, inside_error: &mut bool) -> io::Result<()> {
    let mut output = io::stdout().lock();
    match event {
        ClientEvent::Greeted => writeln!(output, "Welcome!")?,
        ClientEvent::Reply(name) => writeln!(output, "Hello, {}!", Escaped(name))?,
        ClientEvent::Error { text, complete } => {
            let begin = if *inside_error { "" } else { "Error: " };
            write!(output, "{begin}{}", Escaped(text))?;
            if *complete {
                writeln!(output)?;
            }
            *inside_error = !complete;
        }
        ClientEvent::Mismatch(_) => {} // an error of this program, not a reply
    }
    output.flush()
}
