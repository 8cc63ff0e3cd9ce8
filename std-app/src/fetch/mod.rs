//! `greet fetch`: a page from a web server, over as many connections as there are redirects.

mod encryption;
mod transport;
mod wire;

use std::{
    io::{self, ErrorKind, Write},
    net::TcpStream,
    os::{fd::AsFd, unix::net::UnixStream},
    process::ExitCode,
    thread,
};

use greet::{
    clock,
    page::{CAPACITY, Next, Page, PageError, PageFailure},
    stop::Stop,
};
use greet_core::{
    Connection, Get, GetFailure, GetMissing, Instant,
    drive::{Turn, blocking::Driver},
};

use nix::poll::{PollFd, PollFlags};

use self::{transport::PageTransport, wire::Wire};
use crate::{connect::connect, options::FetchOptions};

/// What a shell says of a program that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

/// Fetches the page that `options` ask for.
pub(crate) fn run(options: &FetchOptions) -> ExitCode {
    let Err(failure) = fetch(options) else { return ExitCode::SUCCESS };
    if failure.is_enough() {
        return ExitCode::SUCCESS;
    }
    // Standard error may be gone as well; then the exit status has to say it alone.
    let _ = writeln!(io::stderr(), "greet: {failure}");
    if failure.is_interruption() { INTERRUPTED.into() } else { ExitCode::FAILURE }
}

fn fetch(options: &FetchOptions) -> Result<(), PageFailure> {
    let mut page = Page::new(&options.page)?;
    let outcome = Stop::on_signals().map_err(PageError::Signals).and_then(|stop| {
        while converse(options, &mut page, &stop)? == Next::Again {}
        Ok(())
    });
    outcome.map_err(|error| page.failed(error))
}

/// Asks for the page where it is as far as is known, and takes what comes.
fn converse(options: &FetchOptions, page: &mut Page<'_>, stop: &Stop) -> Result<Next, PageError> {
    let stream = reach(options, page, stop)?;
    let mut get = page.request(clock::now())?;
    let mut transport = PageTransport::new(Wire::new(stream, stop).map_err(PageError::Broken)?, page.place())?;
    let mut output = [0; CAPACITY];
    let mut driver = Driver::new(&mut get, &mut transport, clock::now as fn() -> Instant, &mut output);
    loop {
        match driver.turn() {
            Ok(Turn::Event(event)) => match page.take(event)? {
                Next::More if !driver.holds_input() => page.rest()?,
                Next::More => {}
                next => return Ok(next),
            },
            Ok(Turn::Quiet) => {}
            Ok(Turn::Over) => return page.end(driver.machine().outcome()),
            Err(error) => return Err(lost(page, driver.machine(), error)),
        }
    }
}

/// Why the connection is of no use any more.
fn lost(page: &Page<'_>, get: &mut Get<CAPACITY>, error: io::Error) -> PageError {
    if wire::is_stopped(&error) {
        return PageError::Interrupted;
    }
    match error.kind() {
        // Of what the library for encryption held back; the machine has given it all, and does not wait for it.
        ErrorKind::TimedOut => {
            get.transmit(clock::now(), &mut []);
            let failure = get.outcome().and_then(Result::err).unwrap_or(GetFailure::TimedOut(GetMissing::Head));
            page.response(failure, None)
        }
        ErrorKind::UnexpectedEof => PageError::Cut,
        _ => match encryption::reason(&error) {
            Some(reason) => PageError::Encryption { place: page.place().to_string(), reason },
            None => PageError::Broken(error),
        },
    }
}

/// A connection to the server. Names and connections are waited for elsewhere, as the system cannot be told to leave off
/// when the wish to stop comes: then both are left to the end of the program.
fn reach(options: &FetchOptions, page: &Page<'_>, stop: &Stop) -> Result<TcpStream, PageError> {
    let (done, telling) = UnixStream::pair().map_err(PageError::Signals)?;
    let (server, ipv4, ipv6, limit) = (page.place().server(), options.ipv4, options.ipv6, options.page.timeout);
    let connecting = thread::spawn(move || {
        let _telling = telling; // closed, it tells
        connect(&server, ipv4, ipv6, limit)
    });
    wire::wait(stop, PollFd::new(done.as_fd(), PollFlags::POLLIN), None)
        .map_err(|error| if wire::is_stopped(&error) { PageError::Interrupted } else { PageError::Broken(error) })?;
    match connecting.join() {
        Ok(outcome) => Ok(outcome.map(|(stream, _)| stream)?),
        Err(_) => Err(PageError::Broken(ErrorKind::Other.into())), // it said why on standard error
    }
}
