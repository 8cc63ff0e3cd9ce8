//! `greet-tap chat`: one conversation as the client, from inside the stack.

use std::{ffi::OsString, io, os::unix::ffi::OsStrExt, process::ExitCode};

use greet_core::{Client, ClientEvent, ClientSettings, Machine as _, NAME_CAPACITY};
use greet_host::{
    args::Verbosity,
    client::{Broken, CAPACITY, ChatError, HostPort, Replies, check},
    clock, log,
};
use greet_smoltcp::drive::{Driver, Status};
use smoltcp::socket::tcp::Socket;

use crate::{
    connection::{BUFFER, Connection},
    network::{Failure, Network},
    options::ChatOptions,
};

const _: () = assert!(BUFFER >= NAME_CAPACITY, "a name of framing chunk goes out in one");

/// Holds the conversation that `options` ask for.
pub(crate) fn run(options: &ChatOptions) -> Result<ExitCode, Failure> {
    // All of them before anything is sent: half a conversation helps nobody.
    for (position, name) in options.names.iter().enumerate() {
        check(options.framing, name.as_bytes(), position == 0)
            .map_err(|reason| ChatError::name(name.as_bytes(), reason))?;
    }
    let (_, _written_at_the_end) = log::start(Verbosity::default());
    let mut network = Network::new(&options.network, options.server.port())?;
    let outcome = converse(&mut network, options);
    if options.network.stats {
        network.report(format_args!(""));
    }
    outcome.map(|()| ExitCode::SUCCESS)
}

fn converse(network: &mut Network, options: &ChatOptions) -> Result<(), Failure> {
    let host = HostPort { host: options.server.ip().to_string(), port: options.server.port() };
    let connection = Connection::open(network, &host, &[options.server], options.timeout.timeout.0)?;
    let outcome = talk(network, &connection, options);
    connection.part(network, outcome.is_ok())?;
    outcome
}

/// Says one name after the other, each when the one before is answered, and then `exit`.
fn talk(network: &mut Network, connection: &Connection, options: &ChatOptions) -> Result<(), Failure> {
    let settings = ClientSettings { framing: options.framing, timeout: options.timeout.timeout.0 };
    let mut conversation = Conversation {
        client: Client::new(settings, clock::now()),
        driver: Driver::new(),
        names: options.names.iter(),
        ending: false,
        replies: Replies::default(),
        read: vec![0; BUFFER],
        options,
    };
    loop {
        let mut over = None;
        let next = network.poll(|sockets, _| {
            if over.is_none() {
                over = conversation.step(sockets.get_mut(connection.handle));
            }
            conversation.client.deadline()
        })?;
        if let Some(outcome) = over {
            return outcome.map_err(Failure::Chat);
        }
        network.pause(next)?;
    }
}

/// The client's end, and what it still has to say.
struct Conversation<'a> {
    client: Client<CAPACITY>,
    driver: Driver,
    names: core::slice::Iter<'a, OsString>,
    /// All names are said, and the end too.
    ending: bool,
    replies: Replies,
    read: Vec<u8>,
    options: &'a ChatOptions,
}

impl Conversation<'_> {
    /// Goes on as far as it goes; how it ended, if it did.
    fn step(&mut self, socket: &mut Socket<'_>) -> Option<Result<(), ChatError>> {
        let peer = self.options.server;
        loop {
            let now = clock::now();
            let mut failure = None;
            let Self { client, driver, replies, read, .. } = self;
            let progress = driver.drive(client, socket, now, read, |event| match event {
                ClientEvent::Mismatch(mismatch) => {
                    failure = failure.take().or(Some(ChatError::mismatch(peer, &mismatch, self.options.framing)));
                }
                event => {
                    if let Err(error) = replies.show(&event) {
                        failure = failure.take().or(Some(ChatError::Output(error)));
                    }
                }
            });
            if let Some(failure) = failure {
                return Some(Err(failure));
            }
            match progress.status {
                Status::Over => return Some(self.outcome()),
                Status::Lost => {
                    let during = Broken(self.client.waiting_for());
                    return Some(Err(ChatError::Broken { peer, during, error: io::ErrorKind::ConnectionReset.into() }));
                }
                Status::Waiting => {}
            }
            if !self.client.is_idle() || self.client.outcome().is_some() {
                return None;
            }
            match self.names.next() {
                Some(name) => {
                    if let Err(reason) = self.client.say(name.as_bytes()) {
                        return Some(Err(ChatError::name(name.as_bytes(), reason)));
                    }
                }
                None if self.ending => return None,
                None => {
                    self.ending = true;
                    self.client.close(now);
                }
            }
        }
    }

    fn outcome(&self) -> Result<(), ChatError> {
        self.replies.end().map_err(ChatError::Output)?;
        ChatError::of_outcome(self.options.server, self.client.outcome(), self.options.timeout.timeout.0)
    }
}
