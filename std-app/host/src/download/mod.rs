//! A page that is fetched, whatever carries it: what is asked for, what the response means, and where the body goes.

mod error;
mod failure;
mod head;
mod http_url;
mod interruption;
mod options;
mod output;
mod peer;
mod progress;
mod save;
mod unnamed;

use core::time::Duration;
use std::{
    io::{self, IsTerminal, Write},
    path::Path,
};

use greet_core::{Get, GetEvent, GetFailure, GetRequest, GetSettings, HttpHead, HttpMethod, Instant};

pub use self::{
    error::DownloadError,
    failure::DownloadFailure,
    http_url::{HttpUrl, UrlError},
    options::{DownloadArgs, Field},
};
use self::{
    interruption::Shared,
    progress::Progress,
    save::{Destination, Saving},
};
use crate::{client::HostPort, clock, closed_output, values::Limit};

/// The longest head and the longest request in bytes.
pub const CAPACITY: usize = 256 * 1024;

/// The largest number of redirects that are followed.
const REDIRECTS: usize = 10;

/// The longest delay between two attempts.
const LONGEST_DELAY: Duration = Duration::from_secs(600);

/// A download, over as many connections as there are redirects and attempts.
///
/// A program calls [`run`](Self::run) with a function that makes one connection: it asks for [`server`](Self::server),
/// drives the state machine of [`request`](Self::request), and passes its events to [`take`](Self::take) and its outcome to
/// [`end`](Self::end).
#[derive(Debug)]
pub struct Download<'a> {
    args: &'a DownloadArgs,
    url: HttpUrl,
    redirects: usize,
    attempts: u32,
    /// The end of `--max-time`.
    deadline: Option<Instant>,
    destination: Destination,
    saving: Option<Saving>,
    state: Shared,
    /// The error to report after the body is saved: `--keep-errors`.
    kept: Option<DownloadError>,
}

/// The next step of a download.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Continue with this connection.
    More,
    /// Close this connection, and make the next: the page is at another URL.
    Again,
    /// Close this connection: the download is complete.
    Done,
}

impl<'a> Download<'a> {
    /// The download that `args` ask for.
    ///
    /// # Errors
    /// The body cannot be written to its destination.
    pub fn new(args: &'a DownloadArgs) -> Result<Self, DownloadError> {
        let file = |path: &Path| {
            let path = args.output_dir.as_deref().unwrap_or(Path::new("")).join(path);
            if args.resume.is_some() { Destination::resume(&path) } else { Destination::at(&path, args.force) }
        };
        if args.resume.is_some() && asks_for_range(args) {
            return Err(DownloadError::TwoRanges);
        }
        let destination = match &args.output {
            _ if args.head => Destination::Nowhere,
            Some(path) if path.as_os_str() == "-" && closed_output::was_closed() => {
                return Err(DownloadError::OutputClosed);
            }
            Some(path) if path.as_os_str() == "-" && args.resume.is_some() => return Err(DownloadError::ResumedOutput),
            Some(path) if path.as_os_str() == "-" => Destination::Output,
            Some(path) => file(path)?,
            None => file(Path::new(args.url.file_name()))?,
        };
        let state = Shared::default();
        if let Destination::File { path, replace: true } = &destination
            && path.exists()
        {
            state.lock().untouched = Some(destination.name());
        }
        Ok(Self {
            args,
            url: args.url.clone(),
            redirects: 0,
            attempts: 0,
            deadline: args.max_time.map(|limit| clock::now() + limit),
            destination,
            saving: None,
            state,
            kept: None,
        })
    }

    /// From now on SIGINT, SIGTERM and SIGHUP end the program at once, with exit status 130: it prints, as `program`, how
    /// much of the page had arrived, and removes an incomplete file. (Not SIGHUP if it was ignored at the start.)
    ///
    /// # Errors
    /// The signal handlers cannot be installed.
    pub fn end_on_signals(&self, program: &'static str) -> Result<(), DownloadError> {
        self.state.end_on_signals(program).map_err(DownloadError::Signals)
    }

    /// Makes connections by `converse` until the download is complete, and waits with `pause` before another attempt.
    /// An attempt that failed is reported on standard error.
    ///
    /// # Errors
    /// Those of `converse` and `pause`, where another attempt is of no use or not wanted.
    pub fn run<Context>(
        &mut self,
        context: &mut Context,
        mut converse: impl FnMut(&mut Context, &mut Self) -> Result<Next, DownloadError>,
        mut pause: impl FnMut(&mut Context, Duration) -> Result<(), DownloadError>,
    ) -> Result<(), DownloadError> {
        loop {
            match converse(context, self) {
                Ok(Next::Again) => {}
                Ok(Next::More | Next::Done) => return Ok(()),
                Err(error) => {
                    let Some(delay) = self.delay_after(&error) else { return Err(error) };
                    self.attempts += 1;
                    let time = humantime::format_duration(delay);
                    let _ = writeln!(io::stderr(), "{error}\nretry {} of {} in {time}", self.attempts, self.args.retry);
                    self.start_again();
                    pause(context, delay)?;
                }
            }
        }
    }

    /// The delay before another attempt, if that is wanted, possible and useful: 1 s, doubled with each attempt, or longer
    /// if the server says so (RFC 9110, 10.2.3).
    fn delay_after(&self, error: &DownloadError) -> Option<Duration> {
        let has_arrived = self.state.lock().received.is_some_and(|received| received > 0);
        if self.attempts >= self.args.retry
            || !error.is_transient()
            || (has_arrived && !self.destination.can_start_again())
        {
            return None;
        }
        let wanted = match error {
            DownloadError::Status { retry_after, .. } => retry_after.unwrap_or_default(),
            _ => Duration::ZERO,
        };
        let backoff = Duration::from_secs(1).saturating_mul(1_u32.checked_shl(self.attempts).unwrap_or(u32::MAX));
        let delay = backoff.min(LONGEST_DELAY).max(wanted);
        let is_in_time = self.deadline.is_none_or(|deadline| deadline.since(clock::now()) > delay);
        is_in_time.then_some(delay)
    }

    /// Forgets an attempt that failed. A file that is continued keeps what has arrived.
    fn start_again(&mut self) {
        self.saving = None; // closes the file, and removes a temporary one
        if let Destination::Resume { path, .. } = &self.destination
            && let Ok(destination) = Destination::resume(path)
        {
            self.destination = destination;
        }
        let mut state = self.state.lock();
        state.progress.clear();
        (state.received, state.length, state.temporary) = (None, None, None);
        self.kept = None;
        self.url = self.args.url.clone();
        self.redirects = 0;
    }

    /// The URL to fetch next.
    #[must_use]
    pub const fn url(&self) -> &HttpUrl {
        &self.url
    }

    /// The server to connect to: the host of the URL, or the address that `--resolve` gives for it.
    #[must_use]
    pub fn server(&self) -> HostPort {
        let server = self.url.server();
        match self.args.resolve.iter().find(|rule| rule.matches(&server)) {
            Some(rule) => HostPort { host: rule.address.clone(), port: server.port },
            None => server,
        }
    }

    /// The time limit for connecting: `--timeout`, and what is left of `--max-time`.
    ///
    /// # Errors
    /// `--max-time` is over.
    pub fn limit(&self) -> Result<Limit, DownloadError> {
        self.check_time()?;
        let rest = self.deadline.map(|deadline| deadline.since(clock::now()));
        Ok(Limit(match (self.args.timeout.0, rest) {
            (Some(limit), Some(rest)) => Some(limit.min(rest)),
            (limit, rest) => limit.or(rest),
        }))
    }

    /// The error for a TLS handshake in which no byte arrived for `--timeout`.
    #[must_use]
    pub fn handshake_stalled(&self) -> DownloadError {
        DownloadError::HandshakeStalled { url: self.url.to_string(), limit: self.args.timeout.0.unwrap_or_default() }
    }

    /// The end of `--max-time`.
    #[must_use]
    pub const fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Checks that `--max-time` is not over.
    ///
    /// # Errors
    /// It is.
    pub fn check_time(&self) -> Result<(), DownloadError> {
        match (self.deadline, self.args.max_time) {
            (Some(deadline), Some(limit)) if clock::now() >= deadline => Err(DownloadError::MaxTime(limit)),
            _ => Ok(()),
        }
    }

    /// The state machine for the next request, on a connection that was opened at `now`.
    ///
    /// # Errors
    /// The request is not valid.
    pub fn request(&self, now: Instant) -> Result<Get<CAPACITY>, DownloadError> {
        let is_known = self.url.is_of_same_server(&self.args.url);
        let sent = self.args.fields.iter().filter(|field| is_known || !field.is_secret());
        let mut fields: Vec<_> = sent.map(|field| (field.name.as_str(), field.value.as_str())).collect();
        if !fields.iter().any(|(name, _)| name.eq_ignore_ascii_case("user-agent")) {
            fields.push(("User-Agent", concat!("greet/", env!("CARGO_PKG_VERSION"))));
        }
        let range = format!("bytes={}-", self.destination.present());
        if self.destination.present() > 0 {
            fields.push(("Range", &range));
        }
        let host = self.url.host_field();
        let method = if self.args.head { HttpMethod::Head } else { HttpMethod::Get };
        let request = GetRequest { method, host: &host, target: self.url.target(), fields: &fields };
        let max_head = usize::try_from(self.args.max_head).ok();
        Ok(Get::new(request, GetSettings { timeout: self.args.timeout.0, max_head }, now)?)
    }

    /// Handles an event of the state machine.
    ///
    /// # Errors
    /// The download cannot be completed.
    pub fn take(&mut self, event: GetEvent<'_>) -> Result<Next, DownloadError> {
        match event {
            GetEvent::Head { head, length } => self.take_head(&head, length),
            GetEvent::Body(bytes) => self.take_body(bytes).map(|()| Next::More),
            GetEvent::Wrong { failure: GetFailure::NotHttp, seen, .. } => {
                Err(DownloadError::NotHttp { server: self.url.server().to_string(), seen: seen.to_vec() })
            }
            GetEvent::Wrong { failure, offset, .. } => Err(self.response(failure, Some(offset))),
        }
    }

    /// Handles the outcome of the state machine.
    ///
    /// # Errors
    /// The page did not arrive, or is an error page.
    pub fn end(&mut self, outcome: Option<Result<(), GetFailure>>) -> Result<Next, DownloadError> {
        if let Some(Err(failure)) = outcome {
            return Err(self.response(failure, None));
        }
        self.state.lock().progress.clear();
        if let Some(mut saving) = self.saving.take() {
            saving.flush_all()?; // which may take as long as its reader wants
            let mut state = self.state.lock();
            saving.end()?;
            (state.temporary, state.untouched) = (None, None);
            let received = state.received.take().unwrap_or_default();
            if !matches!(self.destination, Destination::Output | Destination::Nowhere) {
                // A closed standard error is no reason to fail.
                let _ = writeln!(io::stderr(), "{} saved as {}", failure::bytes(received), self.destination.name());
            }
        }
        self.kept.take().map_or(Ok(Next::Done), Err)
    }

    /// Writes what is buffered, as no more bytes come for a while.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn rest(&mut self) -> Result<(), DownloadError> {
        self.saving.as_mut().map_or(Ok(()), Saving::flush)
    }

    /// The error with which the download ended, with the number of bytes that had arrived. An incomplete file is removed.
    #[must_use]
    pub fn failed(self, error: DownloadError) -> DownloadFailure {
        let state = self.state.lock();
        state.progress.clear();
        // The reader of the body has closed the pipe; that the page is an error page is reported all the same.
        let error = if failure::is_broken_pipe(&error) { self.kept.unwrap_or(error) } else { error };
        state.failure(error)
    }

    fn take_head(&mut self, head: &HttpHead<'_>, length: Option<u64>) -> Result<Next, DownloadError> {
        self.show_head(head)?;
        let status = head.status();
        let present = self.destination.present();
        let error = match status {
            206 if present == 0 && !asks_for_range(self.args) => Some(DownloadError::UnwantedPart),
            206 if present > 0 => {
                if !head::content_range(head).is_some_and(|range| range.completes(present, length)) {
                    return Err(DownloadError::WrongPart(present));
                }
                None
            }
            200..=299 if present > 0 => return Err(DownloadError::NoParts),
            200..=299 => None,
            304 => {
                let _ = writeln!(io::stderr(), "status 304: the page has not changed, and nothing is saved");
                return Ok(Next::Done);
            }
            416 if present > 0 && head::content_range(head).is_some_and(|range| range.total == Some(present)) => {
                let _ = writeln!(io::stderr(), "{} is complete already", self.destination.name());
                return Ok(Next::Done);
            }
            301 | 302 | 303 | 307 | 308 => match head.field("location") {
                Some(target) => {
                    let target = head::encoded(target);
                    let url = self.url.join(&target).map_err(|reason| DownloadError::BadRedirect {
                        status,
                        target: target.clone(),
                        reason,
                    })?;
                    if self.args.location {
                        return self.follow(url);
                    }
                    Some(DownloadError::Moved { status, target: url.to_string() })
                }
                None => Some(self.status_error(head, "a redirect without Location: check the server".to_owned())),
            },
            _ => Some(self.status_error(head, error::status_advice(status, head::retry_after(head)))),
        };
        if let Some(error) = error {
            // The body is saved if that is wanted, but not behind the first part of a page, and not if there is another attempt.
            if !self.args.keep_errors || present > 0 || self.delay_after(&error).is_some() {
                return Err(error);
            }
            self.kept = Some(error);
        }
        if self.args.head {
            return self.kept.take().map_or(Ok(Next::Done), Err);
        }
        let present = self.destination.present();
        self.check_size(length.unwrap_or(0).saturating_add(present))?;
        self.open()?;
        let mut state = self.state.lock();
        (state.received, state.length) = (Some(0), length);
        // On a terminal the body is its own progress.
        if self.destination != Destination::Output || !io::stdout().is_terminal() {
            state.progress = Progress::new(length);
        }
        Ok(Next::More)
    }

    /// Opens the destination.
    fn open(&mut self) -> Result<(), DownloadError> {
        // A file must not exist before the signal handler can know of it. A pipe may wait for its reader, and makes none.
        let state = matches!(self.destination, Destination::File { .. }).then(|| self.state.lock());
        let saving = self.destination.open()?;
        if let Some(mut state) = state {
            state.temporary = saving.temporary();
        }
        self.saving = Some(saving);
        Ok(())
    }

    fn take_body(&mut self, bytes: &[u8]) -> Result<(), DownloadError> {
        let mut state = self.state.lock();
        let received = state.received.unwrap_or_default().saturating_add(bytes.len() as u64);
        self.check_size(received.saturating_add(self.destination.present()))?;
        state.received = Some(received);
        state.progress.show(received);
        drop(state); // a signal does not wait for the write
        self.saving.as_mut().map_or(Ok(()), |saving| saving.write(bytes))
    }

    fn check_size(&self, size: u64) -> Result<(), DownloadError> {
        match self.args.max_size {
            Some(limit) if size > limit => Err(DownloadError::TooLarge { limit }),
            _ => Ok(()),
        }
    }

    /// The next connection is for `url`.
    fn follow(&mut self, url: HttpUrl) -> Result<Next, DownloadError> {
        if self.redirects == REDIRECTS {
            return Err(DownloadError::Redirects(REDIRECTS));
        }
        if self.url.is_encrypted() && !url.is_encrypted() {
            return Err(DownloadError::Unencrypted(url.to_string()));
        }
        self.redirects += 1;
        self.url = url;
        Ok(Next::Again)
    }

    fn show_head(&self, head: &HttpHead<'_>) -> Result<(), DownloadError> {
        if self.destination == Destination::Output {
            // A closed standard error is no reason to fail.
            let _ = output::write_head(&mut io::stderr().lock(), head.bytes(), io::stderr().is_terminal());
            return Ok(());
        }
        match output::write_head(&mut io::stdout().lock(), head.bytes(), io::stdout().is_terminal()) {
            // The reader of the head has closed the pipe; the body is wanted all the same.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            outcome => outcome.map_err(DownloadError::Output),
        }
    }

    fn status_error(&self, head: &HttpHead<'_>, advice: String) -> DownloadError {
        DownloadError::Status {
            status: head.status(),
            reason: String::from_utf8_lossy(head.reason()).into_owned(),
            advice,
            retry_after: head::retry_after(head),
            kept: self.args.keep_errors || self.args.head,
        }
    }

    /// The error for a failure of the state machine.
    #[must_use]
    pub fn response(&self, failure: GetFailure, offset: Option<u64>) -> DownloadError {
        DownloadError::Response { failure, offset, timeout: self.args.timeout.0 }
    }
}

/// Whether a field of the user asks for a part of the page.
fn asks_for_range(args: &DownloadArgs) -> bool {
    args.fields.iter().any(|field| field.name.eq_ignore_ascii_case("range"))
}
