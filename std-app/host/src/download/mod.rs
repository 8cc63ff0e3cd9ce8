//! A page that is fetched, whatever brings it: what is asked for, what comes of it, and where that goes.

mod error;
mod http_url;
mod interruption;
mod options;
mod progress;
mod save;

use core::fmt;
use std::{
    io::{self, ErrorKind, IsTerminal, Write},
    path::Path,
};

use crate::exit::{self, Fatal};
use greet_core::{Escaped, Get, GetEvent, GetFailure, GetRequest, GetSettings, HttpHead, HttpMethod, Instant};

pub use self::{
    error::DownloadError,
    http_url::{HttpUrl, UrlError},
    options::{DownloadArgs, Field},
};
use self::{
    interruption::Shared,
    progress::Progress,
    save::{Destination, Saving},
};

/// The longest head, and the longest request.
pub const CAPACITY: usize = 8192;

/// How many redirects are followed.
const REDIRECTS: usize = 10;

/// A page on its way, over as many connections as there are redirects.
///
/// Whoever has the connections asks for [`url`](Self::url), drives the machine of [`request`](Self::request), and hands
/// its events to [`take`](Self::take) and its outcome to [`end`](Self::end).
#[derive(Debug)]
pub struct Download<'a> {
    options: &'a DownloadArgs,
    url: HttpUrl,
    redirects: usize,
    destination: Destination,
    saving: Option<Saving>,
    state: Shared,
    /// The body is wanted, and this is to be told when it is saved.
    kept: Option<DownloadError>,
}

/// What is to be done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Go on with this connection.
    More,
    /// Leave this connection, and ask again: the page is elsewhere.
    Again,
    /// Leave this connection: all is there that was wanted.
    Done,
}

impl<'a> Download<'a> {
    /// The page that is asked for.
    ///
    /// # Errors
    /// Where its body cannot go where it is to.
    pub fn new(options: &'a DownloadArgs) -> Result<Self, DownloadError> {
        let destination = match &options.output {
            Some(path) if path.as_os_str() == "-" => Destination::Output,
            Some(path) => Destination::at(path, options.force)?,
            None => Destination::at(Path::new(options.url.file_name()), options.force)?,
        };
        let state = Shared::default();
        if let Destination::File { path, replace: true } = &destination
            && path.exists()
        {
            state.lock().untouched = Some(destination.name());
        }
        Ok(Self { options, url: options.url.clone(), redirects: 0, destination, saving: None, state, kept: None })
    }

    /// From now on SIGINT, SIGTERM and SIGHUP end the program at once, with exit status 130: it says, as `program`, how far
    /// the page had come, and removes what is not whole. (Not SIGHUP where the program was started with it ignored.)
    ///
    /// # Errors
    /// Where the system has no room for what it takes.
    pub fn end_on_signals(&self, program: &'static str) -> Result<(), DownloadError> {
        self.state.end_on_signals(program).map_err(DownloadError::Signals)
    }

    /// Where it is, as far as is known.
    #[must_use]
    pub const fn url(&self) -> &HttpUrl {
        &self.url
    }

    /// The machine that asks for it, on a connection that was opened at `now`.
    ///
    /// # Errors
    /// Why it cannot be asked for.
    pub fn request(&self, now: Instant) -> Result<Get<CAPACITY>, DownloadError> {
        let is_known = self.url.is_of_same_server(&self.options.url);
        let sent = self.options.fields.iter().filter(|field| is_known || !field.is_secret());
        let mut fields: Vec<_> = sent.map(|field| (field.name.as_str(), field.value.as_str())).collect();
        if !fields.iter().any(|(name, _)| name.eq_ignore_ascii_case("user-agent")) {
            fields.push(("User-Agent", concat!("greet/", env!("CARGO_PKG_VERSION"))));
        }
        let host = self.url.host_field();
        let request = GetRequest { method: HttpMethod::Get, host: &host, target: self.url.target(), fields: &fields };
        Ok(Get::new(request, GetSettings { timeout: self.options.timeout.0, max_head: None }, now)?)
    }

    /// Does what an event of the machine asks for.
    ///
    /// # Errors
    /// Why this is the end of it.
    pub fn take(&mut self, event: GetEvent<'_>) -> Result<Next, DownloadError> {
        match event {
            GetEvent::Head { head, length } => self.take_head(&head, length),
            GetEvent::Body(bytes) => self.take_body(bytes).map(|()| Next::More),
            GetEvent::Wrong { failure, offset, .. } => Err(self.response(failure, Some(offset))),
        }
    }

    /// The machine is at its end.
    ///
    /// # Errors
    /// Why the page did not come.
    pub fn end(&mut self, outcome: Option<Result<(), GetFailure>>) -> Result<Next, DownloadError> {
        if let Some(Err(failure)) = outcome {
            return Err(self.response(failure, None));
        }
        self.state.lock().progress.clear();
        if let Some(mut saving) = self.saving.take() {
            saving.flush_all()?; // which may take as long as whoever reads it
            let mut state = self.state.lock();
            saving.end()?;
            (state.temporary, state.untouched) = (None, None);
            let came = state.came.take().unwrap_or_default();
            if self.destination != Destination::Output {
                // Whoever closed it does not want to know.
                let _ = writeln!(io::stderr(), "{} saved as {}", bytes(came), self.destination.name());
            }
        }
        self.kept.take().map_or(Ok(Next::Done), Err)
    }

    /// Nothing comes for the moment: what came is handed on.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn rest(&mut self) -> Result<(), DownloadError> {
        self.saving.as_mut().map_or(Ok(()), Saving::flush)
    }

    /// The failure with which fetching ended, with how far it had come. What was not whole is removed.
    #[must_use]
    pub fn failed(self, error: DownloadError) -> DownloadFailure {
        let state = self.state.lock();
        state.progress.clear();
        // Whoever read the body of an error has seen enough of it; that it is one is to be told all the same.
        let error = if is_enough(&error) { self.kept.unwrap_or(error) } else { error };
        state.failure(error)
    }

    fn take_head(&mut self, head: &HttpHead<'_>, length: Option<u64>) -> Result<Next, DownloadError> {
        self.show_head(head)?;
        let status = head.status();
        let verdict = match status {
            200..=299 => None,
            304 => {
                let _ = writeln!(io::stderr(), "status 304: the page is as it was, and nothing is saved");
                return Ok(Next::Done);
            }
            301 | 302 | 303 | 307 | 308 => match head.field("location") {
                Some(target) => {
                    let target = encoded(target);
                    if self.options.location {
                        return self.follow(status, &target);
                    }
                    Some(DownloadError::Moved { status, target: self.resolved(target) })
                }
                None => Some(self.no_page(head, "it sends us elsewhere and does not say where")),
            },
            400..=499 => Some(self.no_page(head, "check the URL")),
            500..=599 => Some(self.no_page(head, "try again later")),
            _ => Some(self.no_page(head, "that is no page")),
        };
        match verdict {
            Some(error) if !self.options.keep_errors => return Err(error),
            verdict => self.kept = verdict,
        }
        self.check_size(length.unwrap_or(0))?;
        self.open()?;
        let mut state = self.state.lock();
        (state.came, state.length) = (Some(0), length);
        // On a terminal the body is its own progress.
        if self.destination != Destination::Output || !io::stdout().is_terminal() {
            state.progress = Progress::new(length);
        }
        Ok(Next::More)
    }

    /// Begins to write.
    fn open(&mut self) -> Result<(), DownloadError> {
        // Nothing may be made of which a signal would not know. What is no file may wait for its reader, and makes nothing.
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
        let came = state.came.unwrap_or_default().saturating_add(bytes.len() as u64);
        self.check_size(came)?;
        state.came = Some(came);
        state.progress.show(came);
        drop(state); // a signal does not wait until it is written
        self.saving.as_mut().map_or(Ok(()), |saving| saving.write(bytes))
    }

    fn check_size(&self, size: u64) -> Result<(), DownloadError> {
        match self.options.max_size {
            Some(limit) if size > limit => Err(DownloadError::TooLarge { limit }),
            _ => Ok(()),
        }
    }

    /// The next connection goes there.
    fn follow(&mut self, status: u16, target: &str) -> Result<Next, DownloadError> {
        if self.redirects == REDIRECTS {
            return Err(DownloadError::Redirects(REDIRECTS));
        }
        let url = self.url.join(target).map_err(|reason| {
            let target = target.to_owned();
            DownloadError::Nowhere { status, target, reason }
        })?;
        if self.url.is_encrypted() && !url.is_encrypted() {
            return Err(DownloadError::Unencrypted(url.to_string()));
        }
        self.redirects += 1;
        self.url = url;
        Ok(Next::Again)
    }

    /// The whole URL, where the server wrote only what differs.
    fn resolved(&self, target: String) -> String {
        self.url.join(&target).map_or(target, |url| url.to_string())
    }

    fn show_head(&self, head: &HttpHead<'_>) -> Result<(), DownloadError> {
        if self.destination == Destination::Output {
            // Where nobody can see it, the body is wanted all the same.
            let _ = write_head(&mut io::stderr().lock(), head.bytes(), io::stderr().is_terminal());
            return Ok(());
        }
        match write_head(&mut io::stdout().lock(), head.bytes(), io::stdout().is_terminal()) {
            // Whoever read it has seen enough; the body is wanted all the same.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
            outcome => outcome.map_err(DownloadError::Output),
        }
    }

    fn no_page(&self, head: &HttpHead<'_>, advice: &'static str) -> DownloadError {
        let reason = String::from_utf8_lossy(head.reason()).into_owned();
        DownloadError::Status { status: head.status(), reason, advice, kept: self.options.keep_errors }
    }

    /// What came is no response, or not all of one.
    #[must_use]
    pub fn response(&self, failure: GetFailure, offset: Option<u64>) -> DownloadError {
        DownloadError::Response { failure, offset, timeout: self.options.timeout.0 }
    }
}

/// A reference with what is not ASCII encoded, as a URL has it: no byte of it gets lost.
fn encoded(reference: &[u8]) -> String {
    let mut text = String::new();
    for &byte in reference {
        if byte.is_ascii() { text.push(byte.into()) } else { text.push_str(&format!("%{byte:02X}")) }
    }
    text
}

fn bytes(count: u64) -> String {
    if count == 1 { "1 byte".to_owned() } else { format!("{count} bytes") }
}

/// Whoever read the body has seen enough: there is nobody left to tell.
fn is_enough(error: &DownloadError) -> bool {
    matches!(error, DownloadError::Output(error) if error.kind() == ErrorKind::BrokenPipe)
}

/// The bytes as they came; on a terminal without what would move it.
fn write_head(output: &mut impl Write, head: &[u8], is_terminal: bool) -> io::Result<()> {
    if is_terminal {
        for line in head.strip_suffix(b"\n").unwrap_or(head).split(|byte| *byte == b'\n') {
            writeln!(output, "{}", Escaped(line.strip_suffix(b"\r").unwrap_or(line)))?;
        }
    } else {
        output.write_all(head)?;
    }
    output.flush()
}

/// An error, and how far the body had come.
#[derive(Debug)]
pub struct DownloadFailure {
    error: Box<DownloadError>,
    /// So many bytes, of so many.
    came: Option<(u64, Option<u64>)>,
    /// The file that is as it was.
    untouched: Option<String>,
}

impl DownloadFailure {
    /// A signal ended it.
    #[must_use]
    pub fn is_interruption(&self) -> bool {
        matches!(*self.error, DownloadError::Interrupted)
    }
}

impl From<DownloadError> for DownloadFailure {
    /// Nothing had come.
    fn from(error: DownloadError) -> Self {
        Self { error: error.into(), came: None, untouched: None }
    }
}

impl fmt::Display for DownloadFailure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.error)?;
        match self.came {
            Some((came, Some(length))) => write!(formatter, "; {came} of {} had come", bytes(length))?,
            Some((came, None)) => write!(formatter, "; {} had come", bytes(came))?,
            None => {}
        }
        match &self.untouched {
            Some(name) => write!(formatter, "; {name} is as it was"),
            None => Ok(()),
        }
    }
}

impl core::error::Error for DownloadFailure {}

impl Fatal for DownloadFailure {
    fn status(&self) -> u8 {
        if self.is_interruption() { exit::INTERRUPTED } else { exit::FAILURE }
    }

    fn is_broken_pipe(&self) -> bool {
        is_enough(&self.error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn on_a_terminal_a_head_moves_nothing_and_elsewhere_it_is_as_it_came() {
        let head = b"HTTP/1.1 200 OK\r\nA: \x1b[2J\xc2\x9b\r\n\r\n";
        for (is_terminal, shown) in [(true, &b"HTTP/1.1 200 OK\nA: \\u{1b}[2J\\u{9b}\n\n"[..]), (false, head)] {
            let mut output = Vec::new();
            write_head(&mut output, head, is_terminal).unwrap();
            assert_eq!(String::from_utf8_lossy(&output), String::from_utf8_lossy(shown));
        }
    }

    #[test]
    fn of_a_reference_no_byte_gets_lost() {
        assert_eq!(encoded(b"/a?b#c"), "/a?b#c");
        assert_eq!(encoded(b"/\xfc\xc3\xbc"), "/%FC%C3%BC");
    }
}
