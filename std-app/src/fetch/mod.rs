//! `greet fetch`: a page from a web server, over as many connections as there are redirects.

mod encryption;
mod transport;
mod wire;

use core::cell::Cell;
use std::{
    io::{self, ErrorKind},
    process::ExitCode,
};

use greet_core::{
    Get, GetFailure, GetMissing, Instant, Machine,
    drive::{Turn, blocking::Driver},
};
use greet_host::{
    clock,
    download::{CAPACITY, Download, DownloadError, DownloadFailure, Next},
};

use self::{transport::WebTransport, wire::Wire};
use crate::options::FetchOptions;
use greet_host::connect::connect;

/// Fetches the page that `options` ask for.
pub(crate) fn run(options: &FetchOptions) -> Result<ExitCode, DownloadFailure> {
    let mut download = Download::new(&options.download)?;
    let outcome = download.end_on_signals("greet").and_then(|()| {
        while converse(options, &mut download)? == Next::Again {}
        Ok(ExitCode::SUCCESS)
    });
    outcome.map_err(|error| download.failed(error))
}

/// Asks for the page where it is as far as is known, and takes what comes.
fn converse(options: &FetchOptions, download: &mut Download<'_>) -> Result<Next, DownloadError> {
    download.request(clock::now())?; // what cannot be asked for needs no connection
    let (stream, _) = connect(&download.url().server(), options.download.ip, options.download.timeout)?;
    let moved = Cell::new(false);
    let wire = Wire::new(stream, &moved).map_err(DownloadError::Broken)?;
    let mut transport = WebTransport::new(wire, download.url())?;
    let mut get = download.request(clock::now())?;
    let mut output = [0; CAPACITY];
    let mut driver = Driver::new(&mut get, &mut transport, clock::now as fn() -> Instant, output.as_mut_slice());
    loop {
        let has_news = match driver.turn() {
            Ok(Turn::Event(event)) => {
                match download.take(event)? {
                    Next::More if !driver.holds_input() => download.rest()?,
                    Next::More => {}
                    next => return Ok(next),
                }
                true
            }
            Ok(Turn::Quiet) => false,
            Ok(Turn::Over) => return download.end(driver.machine().outcome()),
            Err(error) => return Err(lost(download, driver.machine(), error)),
        };
        // Writing may have taken long, and what is encrypted may come slowly: the server's time begins with the last byte.
        if moved.take() || has_news {
            driver.machine().progress(clock::now());
        }
    }
}

/// Why the connection is of no use any more.
fn lost(download: &Download<'_>, get: &mut Get<CAPACITY>, error: io::Error) -> DownloadError {
    match error.kind() {
        // Of what the library for encryption held back; the machine has given it all, and does not wait for it.
        ErrorKind::TimedOut => {
            get.handle_timeout(clock::now());
            let failure = get.outcome().and_then(Result::err).unwrap_or(GetFailure::TimedOut(GetMissing::Head));
            download.response(failure, None)
        }
        ErrorKind::UnexpectedEof => DownloadError::Cut,
        _ => match encryption::reason(&error) {
            Some(reason) => DownloadError::Encryption { url: download.url().to_string(), reason },
            None => DownloadError::Broken(error),
        },
    }
}
