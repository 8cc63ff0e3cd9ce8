//! `greet-tap fetch`: a page from a web server, over as many connections as there are redirects.

use core::time::Duration;
use std::{io::ErrorKind, process::ExitCode};

use greet_core::{Get, GetEvent, Instant, Machine as _, Received, State};
use greet_host::{
    args::Verbosity,
    client::HostPort,
    clock,
    download::{CAPACITY, Download, DownloadError, DownloadFailure, HttpUrl, Next},
    exit, log,
};
use greet_smoltcp::drive::{Driver, Status};
use smoltcp::socket::tcp::Socket;

use crate::{
    connection::{BUFFER, Connection},
    error::Error,
    lookup,
    network::Network,
    options::FetchOptions,
};

/// Fetches the page that `options` ask for.
pub(crate) fn run(options: &FetchOptions) -> Result<ExitCode, Error> {
    let (_, _written_at_the_end) = log::start(Verbosity::default(), None);
    let mut download = Download::new(&options.download).map_err(DownloadFailure::from)?;
    check_plain(download.url()).map_err(DownloadFailure::from)?;
    let mut network = Network::new(&options.network, download.url().server().port)?;
    let converse = |network: &mut Network, download: &mut Download<'_>| converse(network, download, options);
    let outcome = download.run(&mut network, converse, wait).map_err(|error| download.failed(error));
    if options.network.stats {
        network.report(format_args!(""));
    }
    outcome?;
    Ok(ExitCode::SUCCESS)
}

/// Waits before another attempt; the host stays reachable.
fn wait(network: &mut Network, delay: Duration) -> Result<(), DownloadError> {
    let end = clock::now() + delay;
    while clock::now() < end {
        let next = network.poll(|_, _| Some(end))?;
        network.pause(next)?;
    }
    Ok(())
}

/// Makes one connection for the current URL, and handles the response.
fn converse(network: &mut Network, download: &mut Download<'_>, options: &FetchOptions) -> Result<Next, DownloadError> {
    check_plain(download.url())?;
    let server = download.server();
    download.check_time()?;
    let connection = match connect(network, &server, options, download.deadline()) {
        Ok(connection) => connection,
        Err(error) => {
            download.check_time()?; // --max-time may be why
            return Err(error.into());
        }
    };
    let outcome = talk(network, &connection, download);
    let closed = connection.close(network, outcome.is_ok());
    match outcome? {
        // The download is complete; whether the server sees the end does not matter.
        Next::Done => Ok(Next::Done),
        next => Ok(closed.map(|()| next)?),
    }
}

/// Looks `server` up and connects to it, until `end`.
fn connect(
    network: &mut Network,
    server: &HostPort,
    options: &FetchOptions,
    end: Option<Instant>,
) -> Result<Connection, Error> {
    let addresses = lookup::addresses(network, options, server, end)?;
    Connection::open(network, server, &addresses, options.download.timeout.0, end)
}

fn check_plain(url: &HttpUrl) -> Result<(), DownloadError> {
    if url.is_encrypted() {
        let what = "greet-tap has no TLS: use an http:// URL, or `greet fetch`";
        return Err(DownloadError::Carrier(format!("{url}: {what}"), exit::TLS));
    }
    Ok(())
}

fn talk(network: &mut Network, connection: &Connection, download: &mut Download<'_>) -> Result<Next, DownloadError> {
    let get = download.request(clock::now())?;
    let end = download.deadline();
    let mut conversation =
        Conversation { get, driver: Driver::new(), download, read: vec![0; BUFFER], is_at_rest: true };
    loop {
        let mut over = None;
        let next = network.poll(|sockets, _| {
            if over.is_none() {
                over = conversation.step(sockets.get_mut(connection.handle));
            }
            conversation.get.deadline().into_iter().chain(end).min()
        })?;
        conversation.download.check_time()?;
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
    download: &'a mut Download<'p>,
    read: Vec<u8>,
    /// All that came is handed on.
    is_at_rest: bool,
}

impl Conversation<'_, '_> {
    /// Goes on as far as it goes; what is to be done next, unless that is to wait.
    fn step(&mut self, socket: &mut Socket<'_>) -> Option<Result<Next, DownloadError>> {
        let mut told = Ok(Next::More);
        let Self { get, driver, download, read, .. } = self;
        let mut tell = |event: GetEvent<'_>| {
            if matches!(told, Ok(Next::More)) {
                told = download.take(event);
            }
        };
        let progress = driver.drive(get, socket, clock::now(), read, &mut tell);
        if progress.status == Status::Lost {
            take_rest(get, socket, tell);
        }
        if progress.received > 0 {
            self.is_at_rest = false;
            self.was_written();
        }
        match (told, progress.status) {
            (Ok(Next::More), Status::Waiting) => None,
            (Ok(Next::More), _) if self.get.state() == State::Over => Some(self.download.end(self.get.outcome())),
            (Ok(Next::More), _) => Some(Err(DownloadError::Broken(ErrorKind::ConnectionReset.into()))),
            (told, _) => {
                if self.get.state() != State::Over {
                    socket.abort(); // the rest of what it sends is not wanted
                }
                Some(told)
            }
        }
    }

    /// Nothing comes for the moment.
    fn rest(&mut self) -> Result<(), DownloadError> {
        if !self.is_at_rest {
            self.download.rest()?;
            self.is_at_rest = true;
            self.was_written();
        }
        Ok(())
    }

    /// A slow destination is not the server's silence: its time starts now.
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
