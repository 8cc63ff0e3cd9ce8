//! One conversation as the client: says names, shows what comes, and tells how it ended.

use core::net::SocketAddr;
use std::{
    io::{self, ErrorKind},
    net::TcpStream,
};

use greet_core::{
    Client, ClientEvent, ClientSettings, Framing, Instant, Machine,
    drive::{Turn, blocking::Driver},
};
use greet_host::{
    client::{Broken, CAPACITY, ChatError, Replies},
    clock,
};

use crate::transport::TcpTransport;

/// The driver of such a conversation.
pub(super) type ClientDriver<'a> = Driver<'a, Client<CAPACITY>, TcpTransport<'a>, &'a dyn Fn() -> Instant>;

/// A conversation, to be had in this order: the greeting, names, the end.
pub(super) struct Conversation<'a> {
    driver: ClientDriver<'a>,
    stream: &'a TcpStream,
    peer: SocketAddr,
    settings: ClientSettings,
    replies: Replies,
}

impl<'a> Conversation<'a> {
    /// A conversation that `driver` carries over `stream`.
    pub(super) fn new(
        driver: ClientDriver<'a>,
        stream: &'a TcpStream,
        peer: SocketAddr,
        settings: ClientSettings,
    ) -> Self {
        Self { driver, stream, peer, settings, replies: Replies::default() }
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
        self.driver.machine().close(clock::now());
        while !self.turn()? {}
        Ok(())
    }

    /// Takes in what the server sent while nothing was asked of it: an error for a silence too long, its end, or what no
    /// server owes, like the reply to a name before it was said.
    fn notice(&mut self) -> Result<(), ChatError> {
        while self.driver.holds_input() || self.has_news().map_err(|error| self.broken(error))? {
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
                self.replies.show(&event).map_err(ChatError::Output)?;
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
        self.replies.end().map_err(ChatError::Output)?;
        let outcome = self.driver.machine().outcome();
        ChatError::of_outcome(self.peer, outcome, self.settings.timeout)?;
        Ok(true)
    }

    fn broken(&mut self, error: io::Error) -> ChatError {
        ChatError::Broken { peer: self.peer, during: Broken(self.driver.machine().waiting_for()), error }
    }
}
