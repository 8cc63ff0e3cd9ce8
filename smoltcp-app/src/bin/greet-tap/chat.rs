//! `greet-tap chat`: one conversation as the client, from inside the stack.

use core::time::Duration;
use std::{ffi::OsString, io, os::unix::ffi::OsStrExt};

use greet::{
    client::{Broken, CAPACITY, ChatError, HostPort, Replies, check},
    clock, journal,
};
use greet_core::{Client, ClientEvent, ClientSettings, Connection, Instant, NAME_CAPACITY};
use greet_smoltcp::drive::{Driver, Standing};
use smoltcp::{
    iface::SocketHandle,
    socket::tcp::{ConnectError, Socket, SocketBuffer, State},
    wire::IpAddress,
};

use crate::{
    network::{Failure, Network},
    options::ChatOptions,
};

/// What each direction of the connection holds; under `chunk` a whole name, as it must go out in one.
const BUFFER: usize = 64 * 1024;
const _: () = assert!(BUFFER >= NAME_CAPACITY, "a name of framing chunk goes out in one");

/// The first of the ports that are for whoever needs one, and how many they are (RFC 6335, 6).
const FIRST_PORT: u16 = 49152;
const PORTS: u16 = 16384;

/// How long a server that has ended the conversation may take to acknowledge that we did.
const FAREWELL: Duration = Duration::from_secs(1);

/// How soon to look again whether there is an address to speak from.
const ADDRESS_RETRY: Duration = Duration::from_millis(50);

/// Holds the conversation that `options` ask for.
pub(crate) fn run(options: &ChatOptions) -> Result<(), Failure> {
    // All of them before anything is sent: half a conversation helps nobody.
    for (position, name) in options.names.iter().enumerate() {
        check(options.framing, name.as_bytes(), position == 0)
            .map_err(|reason| ChatError::name(name.as_bytes(), reason))?;
    }
    let (_, _written_at_the_end) = journal::start(0, false);
    let mut network = Network::new(&options.network, options.server.port())?;
    let outcome = converse(&mut network, options);
    if options.network.stats {
        network.report(format_args!(""));
    }
    match outcome {
        // Whoever read the replies has seen enough: there is nobody left to tell.
        Err(Failure::Chat(ChatError::Output(error))) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        outcome => outcome,
    }
}

fn converse(network: &mut Network, options: &ChatOptions) -> Result<(), Failure> {
    let buffer = || SocketBuffer::new(vec![0; BUFFER]);
    let mut socket = Socket::new(buffer(), buffer());
    socket.set_nagle_enabled(false); // a name goes out as soon as it is said
    let handle = network.stack.sockets().add(socket);
    let outcome = connect(network, handle, options).and_then(|()| talk(network, handle, options));
    part(network, handle, outcome.is_ok())?;
    outcome
}

/// Connects, once there is an address to speak from.
fn connect(network: &mut Network, handle: SocketHandle, options: &ChatOptions) -> Result<(), Failure> {
    let failed = |kind: io::ErrorKind| {
        let host = HostPort { host: options.server.ip().to_string(), port: options.server.port() };
        Failure::Chat(ChatError::Connect { host, failures: vec![(options.server, kind.into())] })
    };
    let local_port = FIRST_PORT.saturating_add(u16::try_from(getrandom::u32()? % u32::from(PORTS)).unwrap_or(0));
    let deadline = options.timeout.0.map(|limit| clock::now() + limit);
    let learns_addresses = options.network.dhcp || options.network.slaac;
    let mut asked = false;
    loop {
        if !asked && may_ask(network, options) {
            match network.stack.connect(handle, options.server.into(), local_port) {
                Ok(()) if !learns_addresses && !has_way(network, options) => {
                    return Err(failed(io::ErrorKind::NetworkUnreachable));
                }
                Ok(()) => asked = true,
                Err(ConnectError::Unaddressable) if learns_addresses => {}
                Err(_) => return Err(failed(io::ErrorKind::NetworkUnreachable)),
            }
        }
        let mut state = State::Closed;
        let mut next = network.poll(|sockets, _| {
            state = sockets.get::<Socket<'_>>(handle).state();
            None
        })?;
        match state {
            State::SynSent | State::SynReceived => {}
            State::Closed if !asked => next = earlier(next, Some(clock::now() + ADDRESS_RETRY)),
            State::Closed => return Err(failed(io::ErrorKind::ConnectionRefused)),
            _ => return Ok(()),
        }
        if deadline.is_some_and(|deadline| clock::now() >= deadline) {
            return Err(failed(io::ErrorKind::TimedOut));
        }
        wait(network, earlier(next, deadline))?;
    }
}

/// Whether the address to speak from is there. For IPv4 there is none until it is; for IPv6 there always is some, and where
/// routers are to name another it is worth waiting for.
fn may_ask(network: &mut Network, options: &ChatOptions) -> bool {
    let server = options.server.ip().into();
    !options.network.slaac
        || options.server.is_ipv4()
        || has_way(network, options)
        || network.stack.router(server).is_some()
}

/// Whether the server is in a network of ours, or a router is known that may know it.
fn has_way(network: &Network, options: &ChatOptions) -> bool {
    let server = options.server.ip().into();
    network.stack.addresses().iter().any(|ours| ours.contains_addr(&server))
        || options.network.gateway.iter().any(|gateway| gateway.version() == IpAddress::version(&server))
}

/// Says one name after the other, each when the one before is answered, and then `exit`.
fn talk(network: &mut Network, handle: SocketHandle, options: &ChatOptions) -> Result<(), Failure> {
    let settings = ClientSettings { framing: options.framing, timeout: options.timeout.0 };
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
                over = conversation.step(sockets.get_mut(handle));
            }
            conversation.client.deadline()
        })?;
        if let Some(outcome) = over {
            return outcome.map_err(Failure::Chat);
        }
        wait(network, next)?;
    }
}

/// Ends the connection: in good order, or by a reset. When this program is gone, nobody answers for it.
fn part(network: &mut Network, handle: SocketHandle, in_good_order: bool) -> Result<(), Failure> {
    let socket = network.stack.sockets().get_mut::<Socket<'_>>(handle);
    if in_good_order {
        socket.close();
    } else {
        socket.abort();
    }
    let until = clock::now() + FAREWELL;
    loop {
        let mut state = State::Closed;
        let next = network.poll(|sockets, _| {
            state = sockets.get::<Socket<'_>>(handle).state();
            None
        })?;
        if matches!(state, State::Closed | State::TimeWait) || clock::now() >= until {
            return Ok(());
        }
        wait(network, earlier(next, Some(until)))?;
    }
}

fn wait(network: &mut Network, deadline: Option<Instant>) -> Result<(), Failure> {
    let signalled = network.wait(deadline)?;
    if signalled.report {
        network.report(format_args!(""));
    }
    if signalled.stop { Err(Failure::Interrupted) } else { Ok(()) }
}

fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
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
            match progress.standing {
                Standing::Over => return Some(self.outcome()),
                Standing::Lost => {
                    let during = Broken(self.client.awaited());
                    return Some(Err(ChatError::Broken { peer, during, error: io::ErrorKind::ConnectionReset.into() }));
                }
                Standing::Waiting => {}
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
        ChatError::of_outcome(self.options.server, self.client.outcome(), self.options.timeout.0)
    }
}
