//! `greet-tap fetch`: a page from a web server, over as many connections as there are redirects.

use std::io::ErrorKind;

use greet::{
    clock, journal,
    page::{CAPACITY, Next, Page, PageError, PageFailure, Place},
};
use greet_core::{Connection as _, Get, GetEvent, Received, State};
use greet_smoltcp::drive::{Driver, Standing};
use smoltcp::socket::tcp::Socket;

use crate::{
    connection::{BUFFER, Connection},
    names,
    network::{Failure, Network},
    options::FetchOptions,
};

/// Fetches the page that `options` ask for.
pub(crate) fn run(options: &FetchOptions) -> Result<(), Failure> {
    let (_, _written_at_the_end) = journal::start(0, false);
    let mut page = Page::new(&options.page).map_err(PageFailure::from)?;
    check_plain(page.place()).map_err(PageFailure::from)?;
    let mut network = Network::new(&options.network, page.place().server().port)?;
    let outcome = fetch(&mut network, &mut page, options).map_err(|error| page.failed(error));
    if options.network.stats {
        network.report(format_args!(""));
    }
    match outcome {
        // Whoever read the body has seen enough: there is nobody left to tell.
        Err(failure) if failure.is_enough() => Ok(()),
        outcome => Ok(outcome?),
    }
}

fn fetch(network: &mut Network, page: &mut Page<'_>, options: &FetchOptions) -> Result<(), PageError> {
    while converse(network, page, options)? == Next::Again {}
    Ok(())
}

/// Asks for the page where it is as far as is known, and takes what comes.
fn converse(network: &mut Network, page: &mut Page<'_>, options: &FetchOptions) -> Result<Next, PageError> {
    check_plain(page.place())?;
    let server = page.place().server();
    let addresses = names::addresses(network, options, &server)?;
    let connection = Connection::open(network, &server, &addresses, options.page.timeout.0)?;
    let outcome = talk(network, &connection, page);
    let parted = connection.part(network, outcome.is_ok());
    match outcome? {
        // What was wanted is there: whether the server hears of the end is nobody's concern.
        Next::Done => Ok(Next::Done),
        next => Ok(parted.map(|()| next)?),
    }
}

fn check_plain(place: &Place) -> Result<(), PageError> {
    if place.is_encrypted() {
        let what = "greet-tap speaks http alone: ask for http://, or use `greet fetch`";
        return Err(PageError::Carrier(format!("{place}: {what}")));
    }
    Ok(())
}

fn talk(network: &mut Network, connection: &Connection, page: &mut Page<'_>) -> Result<Next, PageError> {
    let get = page.request(clock::now())?;
    let mut conversation = Conversation { get, driver: Driver::new(), page, read: vec![0; BUFFER], is_at_rest: true };
    loop {
        let mut over = None;
        let next = network.poll(|sockets, _| {
            if over.is_none() {
                over = conversation.step(sockets.get_mut(connection.handle));
            }
            conversation.get.deadline()
        })?;
        if let Some(outcome) = over {
            return outcome;
        }
        conversation.rest()?;
        network.pause(next)?;
    }
}

/// The client's end, and where the page goes.
struct Conversation<'a, 'p> {
    get: Get<CAPACITY>,
    driver: Driver,
    page: &'a mut Page<'p>,
    read: Vec<u8>,
    /// All that came is handed on.
    is_at_rest: bool,
}

impl Conversation<'_, '_> {
    /// Goes on as far as it goes; what is to be done next, unless that is to wait.
    fn step(&mut self, socket: &mut Socket<'_>) -> Option<Result<Next, PageError>> {
        let mut told = Ok(Next::More);
        let Self { get, driver, page, read, .. } = self;
        let mut tell = |event: GetEvent<'_>| {
            if matches!(told, Ok(Next::More)) {
                told = page.take(event);
            }
        };
        let progress = driver.drive(get, socket, clock::now(), read, &mut tell);
        if progress.standing == Standing::Lost {
            take_rest(get, socket, tell);
        }
        if progress.received > 0 {
            self.is_at_rest = false;
            self.was_written();
        }
        match (told, progress.standing) {
            (Ok(Next::More), Standing::Waiting) => None,
            (Ok(Next::More), _) if self.get.state() == State::Over => Some(self.page.end(self.get.outcome())),
            (Ok(Next::More), _) => Some(Err(PageError::Broken(ErrorKind::ConnectionReset.into()))),
            (told, _) => {
                if self.get.state() != State::Over {
                    socket.abort(); // the rest of what it sends is not wanted
                }
                Some(told)
            }
        }
    }

    /// Nothing comes for the moment.
    fn rest(&mut self) -> Result<(), PageError> {
        if !self.is_at_rest {
            self.page.rest()?;
            self.is_at_rest = true;
            self.was_written();
        }
        Ok(())
    }

    /// Writing may have taken long, and meanwhile nobody looked whether more came: the server's time begins now.
    fn was_written(&mut self) {
        self.get.progress(clock::now());
    }
}

/// What came before the connection was lost is there still, and may be all.
fn take_rest(get: &mut Get<CAPACITY>, socket: &mut Socket<'_>, mut tell: impl FnMut(GetEvent<'_>)) {
    loop {
        let taken = socket.recv(|buffer| {
            let Received { taken, event } = get.receive(clock::now(), buffer);
            if let Some(event) = event {
                tell(event);
            }
            (taken, taken)
        });
        if !matches!(taken, Ok(1..)) {
            return;
        }
    }
}

impl From<Failure> for PageError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Interrupted => Self::Interrupted,
            Failure::Chat(error) => Self::Connect(error),
            failure => Self::Carrier(failure.to_string()),
        }
    }
}
