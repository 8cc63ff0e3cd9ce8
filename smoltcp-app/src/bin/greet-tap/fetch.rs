//! `greet-tap fetch`: a page from a web server, over as many connections as there are redirects.

use std::io::ErrorKind;

use greet::{
    clock, journal,
    page::{CAPACITY, Next, Page, PageError, PageFailure, Place},
};
use greet_core::{Connection as _, Get};
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
        let reason = "greet-tap speaks http alone: ask for http://, or use `greet fetch`".to_owned();
        return Err(PageError::Encryption { place: place.to_string(), reason });
    }
    Ok(())
}

fn talk(network: &mut Network, connection: &Connection, page: &mut Page<'_>) -> Result<Next, PageError> {
    let mut get = page.request(clock::now())?;
    let mut driver = Driver::new();
    let mut read = vec![0; BUFFER];
    loop {
        let mut over = None;
        let next = network.poll(|sockets, _| {
            if over.is_none() {
                over = step(&mut get, &mut driver, sockets.get_mut(connection.handle), &mut read, page);
            }
            get.deadline()
        })?;
        if let Some(outcome) = over {
            return outcome;
        }
        page.rest()?;
        network.pause(next)?;
    }
}

/// Goes on as far as it goes; what is to be done next, unless that is to wait.
fn step(
    get: &mut Get<CAPACITY>,
    driver: &mut Driver,
    socket: &mut Socket<'_>,
    read: &mut [u8],
    page: &mut Page<'_>,
) -> Option<Result<Next, PageError>> {
    let mut told = Ok(Next::More);
    let progress = driver.drive(get, socket, clock::now(), read, |event| {
        if matches!(told, Ok(Next::More)) {
            told = page.take(event);
        }
    });
    if progress.received > 0 {
        // Writing it may have taken long, in which nobody looked whether more came.
        get.progress(clock::now());
    }
    match (told, progress.standing) {
        (Ok(Next::More), Standing::Waiting) => None,
        (Ok(Next::More), Standing::Over) => Some(page.end(get.outcome())),
        (Ok(Next::More), Standing::Lost) => Some(Err(PageError::Broken(ErrorKind::ConnectionReset.into()))),
        (told, _) => Some(told),
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
