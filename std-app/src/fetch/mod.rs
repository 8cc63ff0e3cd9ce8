//! `greet fetch`: a page from a web server, over as many connections as there are redirects.

pub(crate) mod encryption;
mod socket;
mod transport;

use core::cell::Cell;
use std::{
    io::{self, ErrorKind, Write},
    process::ExitCode,
    thread,
};

use greet_core::{
    Get, GetFailure, GetMissing, Instant, Machine,
    drive::{Turn, blocking::Driver},
};
use greet_host::{
    clock,
    download::{CAPACITY, Download, DownloadError, DownloadFailure, Next},
};

use self::{socket::TimedSocket, transport::WebTransport};
use crate::options::FetchOptions;
use greet_host::connect::connect;

/// Size of the buffer for the request in bytes; a longer request leaves in several writes.
const OUTPUT: usize = 8192;

/// Fetches the page that `options` ask for.
pub(crate) fn run(options: &FetchOptions) -> Result<ExitCode, DownloadFailure> {
    let mut download = Download::new(&options.download)?;
    if options.tls.is_insecure() && download.url().is_encrypted() {
        let _ = writeln!(io::stderr(), "greet: warning: --insecure: the server's certificate is not verified");
    }
    let outcome = download.end_on_signals("greet").and_then(|()| {
        let pause = |_: &mut (), delay| {
            thread::sleep(delay);
            Ok(())
        };
        download.run(&mut (), |(), download| converse(options, download), pause)
    });
    outcome.map(|()| ExitCode::SUCCESS).map_err(|error| download.failed(error))
}

/// Makes one connection for the current URL, and handles the response.
fn converse(options: &FetchOptions, download: &mut Download<'_>) -> Result<Next, DownloadError> {
    download.request(clock::now())?; // a request that is not valid needs no connection
    let (stream, _) = connect(&download.server(), options.download.ip, download.limit()?)?;
    let moved = Cell::new(false);
    let socket = TimedSocket::new(stream, &moved, download.deadline()).map_err(DownloadError::Broken)?;
    let mut transport = WebTransport::new(socket, download.url(), &options.tls)?;
    let mut get = download.request(clock::now())?;
    let mut output = [0; OUTPUT];
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
            Err(error) => {
                download.check_time()?;
                return Err(lost(download, driver.machine(), error));
            }
        };
        download.check_time()?;
        // A slow destination or a slow TLS record is not the server's silence: its time starts with the last byte.
        if moved.take() || has_news {
            driver.machine().progress(clock::now());
        }
    }
}

/// The error for a connection that failed.
fn lost(download: &Download<'_>, get: &mut Get<CAPACITY>, error: io::Error) -> DownloadError {
    match error.kind() {
        // The TLS library waited to send what it had buffered; the state machine has sent everything.
        ErrorKind::TimedOut => {
            get.handle_timeout(clock::now());
            let failure = get.outcome().and_then(Result::err).unwrap_or(GetFailure::TimedOut(GetMissing::Head));
            download.response(failure, None)
        }
        ErrorKind::UnexpectedEof => DownloadError::Cut,
        _ if encryption::is_stalled(&error) => download.handshake_stalled(),
        _ => match encryption::reason(&error) {
            Some(reason) => DownloadError::Encryption { url: download.url().to_string(), reason },
            None => DownloadError::Broken(error),
        },
    }
}
