//! A conversation as the client, whatever carries its bytes: what is said when, what is printed, and how it ends.

use core::net::SocketAddr;
use std::{ffi::OsString, io, process::ExitCode};

use clap::Args;
use greet_core::{Client, ClientEvent, ClientSettings, Framing, Instant, Machine as _, Outcome, Service, WaitingFor};

use crate::{
    args::Timeout,
    client::{Broken, CAPACITY, ChatError, Replies, check},
    values::{framing, service},
};

/// How a client talks to its server.
#[derive(Clone, Copy, Debug, Args)]
pub struct ChatArgs {
    /// What the server does: answer each name with `Hello, NAME!` (greet), or send everything back (echo). Each byte is compared
    #[arg(long, value_name = "greet|echo", default_value = "greet", value_parser = service)]
    pub service: Service,

    /// How names are sent: one write each (chunk), one line each (line), or as the server's greeting indicates (auto). To an echo
    /// server auto sends lines
    #[arg(long, value_name = "chunk|line|auto", default_value = "auto", value_parser = framing)]
    pub framing: Framing,

    #[command(flatten)]
    #[expect(missing_docs, reason = "a comment here would be the help of every option")]
    pub timeout: Timeout,
}

impl ChatArgs {
    /// The same for the state machine.
    #[must_use]
    pub const fn settings(&self) -> ClientSettings {
        let framing = match (self.service, self.framing) {
            (Service::Echo, Framing::Auto) => Framing::Line, // there is no greeting to detect it from, and the input has lines
            (_, framing) => framing,
        };
        ClientSettings { service: self.service, framing, timeout: self.timeout.timeout.0 }
    }
}

/// What the user wants next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Send this name.
    Name(Vec<u8>),
    /// Send `exit`, to an echo server the FIN, and wait for the end of the conversation.
    Exit,
    /// Nothing yet: the server has sent something, or ended the conversation, while the user was asked.
    Nothing,
    /// Close the connection at once.
    Abort,
}

/// Where names come from.
pub trait NameSource {
    /// The next name, to be sent with these settings. It may wait for the user.
    ///
    /// # Errors
    /// The source cannot be read, or the name cannot be sent.
    fn next(&mut self, settings: ClientSettings) -> Result<Input, ChatError>;
}

/// The names on the command line.
#[derive(Clone, Debug)]
pub struct CommandLine<'a>(core::slice::Iter<'a, OsString>);

impl<'a> CommandLine<'a> {
    /// Checks all names before the first one is sent.
    ///
    /// # Errors
    /// A name cannot be sent.
    pub fn new(names: &'a [OsString], settings: ClientSettings) -> Result<Self, ChatError> {
        for (position, name) in names.iter().map(|name| name.as_encoded_bytes()).enumerate() {
            check(settings, name, position == 0).map_err(|reason| ChatError::name(name, reason))?;
        }
        Ok(Self(names.iter()))
    }
}

impl NameSource for CommandLine<'_> {
    fn next(&mut self, _: ClientSettings) -> Result<Input, ChatError> {
        Ok(self.0.next().map_or(Input::Exit, |name| Input::Name(name.as_encoded_bytes().to_vec())))
    }
}

/// One conversation: a name at a time, each after the reply to the one before; then `exit` (rule K2) or the FIN (rule B6).
///
/// The owner of the connection drives the state machine of [`client`](Self::client), hands its events to
/// [`event`](Self::event), calls [`proceed`](Self::proceed) whenever nothing moves, and [`end`](Self::end) when the machine
/// is over.
#[derive(Debug)]
pub struct Chat<N> {
    names: N,
    peer: SocketAddr,
    /// The framing is what is known of it.
    settings: ClientSettings,
    replies: Replies,
    /// What comes next, once the server has nothing more to say.
    next: Option<Input>,
    exiting: bool,
    /// A name was answered by an error.
    refused: bool,
}

impl<N: NameSource> Chat<N> {
    /// A conversation with `peer`.
    pub const fn new(args: &ChatArgs, peer: SocketAddr, names: N) -> Self {
        let replies = Replies::new(args.service);
        Self { names, peer, settings: args.settings(), replies, next: None, exiting: false, refused: false }
    }

    /// The state machine, for a connection opened at `now`.
    #[must_use]
    pub const fn client(&self, now: Instant) -> Client<CAPACITY> {
        Client::new(self.settings, now)
    }

    /// Prints what the server sent.
    ///
    /// # Errors
    /// It departs from the protocol, or cannot be printed.
    pub fn event(&mut self, event: &ClientEvent<'_>) -> Result<(), ChatError> {
        match event {
            ClientEvent::Mismatch(mismatch) => return Err(ChatError::mismatch(self.peer, mismatch, self.settings)),
            ClientEvent::Error { .. } => self.refused = true,
            ClientEvent::Greeted | ClientEvent::Reply(_) => {}
        }
        self.replies.show(event).map_err(ChatError::Output)
    }

    /// Whether it is the user's turn: the server owes nothing, and the conversation is open.
    #[must_use]
    pub fn is_users_turn(&self, client: &Client<CAPACITY>) -> bool {
        !self.exiting && client.outcome().is_none() && client.is_idle()
    }

    /// Takes one step if it is the user's turn: gets the next name, which may take long, or sends it. `has_news` tells
    /// whether the server has sent something meanwhile; that is received before anything is sent.
    ///
    /// # Errors
    /// The name cannot be had or sent.
    pub fn proceed(
        &mut self,
        client: &mut Client<CAPACITY>,
        now: impl FnOnce() -> Instant,
        has_news: impl FnOnce() -> io::Result<bool>,
    ) -> Result<Step, ChatError> {
        if !self.is_users_turn(client) {
            return Ok(Step::Drive);
        }
        if has_news().map_err(|error| self.lost(client.waiting_for(), error))? {
            return Ok(Step::Drive);
        }
        match self.next.take() {
            None => {
                let settings = ClientSettings { framing: client.framing(), ..self.settings };
                self.next = Some(self.names.next(settings)?);
            }
            Some(Input::Name(name)) => {
                self.settings.framing = client.framing();
                client.say(&name).map_err(|reason| ChatError::name(&name, reason))?;
            }
            Some(Input::Exit) => {
                self.exiting = true;
                client.close(now());
            }
            Some(Input::Nothing) => {}
            Some(Input::Abort) => return Ok(Step::Abort),
        }
        Ok(if self.is_users_turn(client) { Step::Again } else { Step::Drive })
    }

    /// The state machine is over: how the conversation ended. The status is 1 if a name was answered by an error.
    ///
    /// # Errors
    /// The server did not send all it owed.
    pub fn end(&self, outcome: Option<Outcome>) -> Result<ExitCode, ChatError> {
        self.replies.end().map_err(ChatError::Output)?;
        ChatError::of_outcome(self.peer, outcome, self.settings)?;
        Ok(if self.refused { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }

    /// The connection was lost while the client was waiting for this.
    #[must_use]
    pub const fn lost(&self, waiting_for: Option<WaitingFor>, error: io::Error) -> ChatError {
        ChatError::Broken { peer: self.peer, during: Broken(self.settings.service, waiting_for), error }
    }
}

/// What the owner of the connection does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Drive the state machine: there is something to send or to receive.
    Drive,
    /// Call [`Chat::proceed`] again.
    Again,
    /// Close the connection: the user wants no more.
    Abort,
}
