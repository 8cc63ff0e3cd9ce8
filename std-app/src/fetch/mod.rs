//! `greet fetch`: a page from a web server, over as many connections as there are redirects.

mod encryption;
mod transport;
mod wire;

use core::cell::Cell;
use std::{
    io::{self, ErrorKind, Write},
    process::ExitCode,
};

use greet::{
    clock,
    page::{CAPACITY, Next, Page, PageError, PageFailure},
};
use greet_core::{
    Connection, Get, GetFailure, GetMissing, Instant,
    drive::{Turn, blocking::Driver},
};

use self::{transport::PageTransport, wire::Wire};
use crate::{connect::connect, options::FetchOptions};

/// Fetches the page that `options` ask for.
pub(crate) fn run(options: &FetchOptions) -> ExitCode {
    match fetch(options) {
        Err(failure) if !failure.is_enough() => {
            // Standard error may be gone as well; then the exit status has to say it alone.
            let _ = writeln!(io::stderr(), "greet: {failure}");
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}

fn fetch(options: &FetchOptions) -> Result<(), PageFailure> {
    let mut page = Page::new(&options.page)?;
    let outcome = page.end_on_signals("greet").and_then(|()| {
        while converse(options, &mut page)? == Next::Again {}
        Ok(())
    });
    outcome.map_err(|error| page.failed(error))
}

/// Asks for the page where it is as far as is known, and takes what comes.
fn converse(options: &FetchOptions, page: &mut Page<'_>) -> Result<Next, PageError> {
    page.request(clock::now())?; // what cannot be asked for needs no connection
    let (stream, _) = connect(&page.place().server(), options.page.ipv4, options.page.ipv6, options.page.timeout)?;
    let moved = Cell::new(false);
    let wire = Wire::new(stream, &moved).map_err(PageError::Broken)?;
    let mut transport = PageTransport::new(wire, page.place())?;
    let mut get = page.request(clock::now())?;
    let mut output = [0; CAPACITY];
    let mut driver = Driver::new(&mut get, &mut transport, clock::now as fn() -> Instant, output.as_mut_slice());
    loop {
        let has_news = match driver.turn() {
            Ok(Turn::Event(event)) => {
                match page.take(event)? {
                    Next::More if !driver.holds_input() => page.rest()?,
                    Next::More => {}
                    next => return Ok(next),
                }
                true
            }
            Ok(Turn::Quiet) => false,
            Ok(Turn::Over) => return page.end(driver.machine().outcome()),
            Err(error) => return Err(lost(page, driver.machine(), error)),
        };
        // Writing may have taken long, and what is encrypted may come slowly: the server's time begins with the last byte.
        if moved.take() || has_news {
            driver.machine().progress(clock::now());
        }
    }
}

/// Why the connection is of no use any more.
fn lost(page: &Page<'_>, get: &mut Get<CAPACITY>, error: io::Error) -> PageError {
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
