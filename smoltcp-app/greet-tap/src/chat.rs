//! `greet-tap chat`: one conversation as the client, over the stack of this program.

use std::{io, process::ExitCode};

use greet_core::{Client, Machine as _, NAME_CAPACITY};
use greet_host::{
    args::Verbosity,
    chat::{Chat, CommandLine, Step},
    client::{CAPACITY, ChatError, HostPort},
    clock, log,
};
use greet_smoltcp::drive::{Driver, Status};
use smoltcp::socket::tcp::Socket;

use crate::{
    connection::{BUFFER, Connection},
    error::Error,
    network::Network,
    options::ChatOptions,
};

const _: () = assert!(BUFFER >= NAME_CAPACITY, "under chunk a name has to fit in one write");

/// Holds the conversation that `options` ask for.
pub(crate) fn run(options: &ChatOptions) -> Result<ExitCode, Error> {
    let names = CommandLine::new(&options.names, options.chat.settings())?;
    if options.network.ip.address() == options.server.ip().into()
        || options.network.ip6.iter().any(|own| own.address() == options.server.ip().into())
    {
        return Err(Error::Usage(
            "the server has the address of this program: give that of another host, or change --ip",
        ));
    }
    let (_, _written_at_the_end) = log::start(Verbosity::default(), None);
    let mut network = Network::new(&options.network, options.server.port())?;
    let outcome = converse(&mut network, options, Chat::new(&options.chat, options.server, names));
    if options.network.stats {
        network.report(format_args!(""));
    }
    outcome
}

fn converse(network: &mut Network, options: &ChatOptions, chat: Chat<CommandLine<'_>>) -> Result<ExitCode, Error> {
    let host = HostPort { host: options.server.ip().to_string(), port: options.server.port() };
    let connection = Connection::open(network, &host, &[options.server], options.chat.timeout.timeout.0, None)?;
    let outcome = talk(network, &connection, chat);
    connection.close(network, outcome.is_ok())?;
    outcome
}

fn talk(network: &mut Network, connection: &Connection, chat: Chat<CommandLine<'_>>) -> Result<ExitCode, Error> {
    let client = chat.client(clock::now());
    let mut conversation = Conversation { client, driver: Driver::new(), chat, read: vec![0; BUFFER] };
    loop {
        let mut over = None;
        let next = network.poll(|sockets, _| {
            if over.is_none() {
                over = conversation.step(sockets.get_mut(connection.handle)).transpose();
            }
            conversation.client.deadline()
        })?;
        if let Some(outcome) = over {
            return outcome.map_err(Error::Chat);
        }
        network.pause(next)?;
    }
}

/// The state machine with its driver, and the rest of the conversation.
struct Conversation<'a> {
    client: Client<CAPACITY>,
    driver: Driver,
    chat: Chat<CommandLine<'a>>,
    read: Vec<u8>,
}

impl Conversation<'_> {
    /// Moves on as far as possible without waiting. Returns the exit status when the conversation is over.
    fn step(&mut self, socket: &mut Socket<'_>) -> Result<Option<ExitCode>, ChatError> {
        let Self { client, driver, chat, read } = self;
        loop {
            let mut told = Ok(());
            let progress = driver.drive(client, socket, clock::now(), read, |event| {
                if told.is_ok() {
                    told = chat.event(&event);
                }
            });
            told?;
            match progress.status {
                Status::Over => return chat.end(client.outcome()).map(Some),
                Status::Lost => return Err(chat.lost(client.waiting_for(), io::ErrorKind::ConnectionReset.into())),
                Status::Waiting => {}
            }
            if !chat.is_users_turn(client) {
                return Ok(None);
            }
            // All that was received is with the client, so there is no news.
            while chat.proceed(client, clock::now, || Ok(false))? == Step::Again {}
        }
    }
}
