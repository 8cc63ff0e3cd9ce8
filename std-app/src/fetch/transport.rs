//! A connection to a web server as the blocking driver sees it, encrypted or not.

use std::io::{self, BufRead, BufReader, Write};

use greet_core::{Instant, drive::blocking::Transport};
use greet_host::download::{DownloadError, HttpUrl};
use rustls::{ClientConnection, StreamOwned};

use super::{encryption, encryption::TlsArgs, socket::TimedSocket};

/// Size of one read in bytes: large enough for few system calls, small enough for the processor's cache.
const READ: usize = 128 * 1024;

/// The connection to one server.
#[derive(Debug)]
pub(super) enum WebTransport<'a> {
    Plain(BufReader<TimedSocket<'a>>),
    Encrypted(Box<StreamOwned<ClientConnection, TimedSocket<'a>>>),
}

impl<'a> WebTransport<'a> {
    /// A transport over `socket` to the server of `url`. Encryption begins with the first byte that is written.
    pub(super) fn new(socket: TimedSocket<'a>, url: &HttpUrl, tls: &TlsArgs) -> Result<Self, DownloadError> {
        if url.is_encrypted() {
            let connection = tls.connection(url)?;
            return Ok(Self::Encrypted(Box::new(StreamOwned::new(connection, socket))));
        }
        Ok(Self::Plain(BufReader::with_capacity(READ, socket)))
    }

    fn socket(&mut self) -> &mut TimedSocket<'a> {
        match self {
            Self::Plain(stream) => stream.get_mut(),
            Self::Encrypted(stream) => &mut stream.sock,
        }
    }
}

impl embedded_io::ErrorType for WebTransport<'_> {
    type Error = io::Error;
}

impl embedded_io::BufRead for WebTransport<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        match self {
            Self::Plain(stream) => stream.fill_buf(),
            Self::Encrypted(stream) => stream.fill_buf(),
        }
    }

    fn consume(&mut self, count: usize) {
        match self {
            Self::Plain(stream) => stream.consume(count),
            Self::Encrypted(stream) => stream.consume(count),
        }
    }
}

impl embedded_io::ReadReady for WebTransport<'_> {
    fn read_ready(&mut self) -> io::Result<bool> {
        Ok(false) // there is one request, and the response is never answered
    }
}

impl embedded_io::Read for WebTransport<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => io::Read::read(stream, buffer),
            Self::Encrypted(stream) => io::Read::read(stream.as_mut(), buffer),
        }
    }
}

impl embedded_io::Write for WebTransport<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.get_mut().write(bytes),
            // The handshake comes before the request.
            Self::Encrypted(stream) => {
                let outcome = stream.write(bytes);
                if stream.conn.is_handshaking() { outcome.map_err(encryption::in_handshake) } else { outcome }
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.get_mut().flush(),
            Self::Encrypted(stream) => stream.flush(),
        }
    }
}

impl Transport for WebTransport<'_> {
    fn set_deadline(&mut self, deadline: Option<Instant>) -> io::Result<()> {
        self.socket().set_deadline(deadline);
        Ok(())
    }

    fn sleep_until(&mut self, deadline: Option<Instant>) -> io::Result<()> {
        TimedSocket::sleep_until(deadline);
        Ok(())
    }

    fn shutdown(&mut self) -> io::Result<()> {
        if let Self::Encrypted(stream) = self {
            stream.conn.send_close_notify();
            // The download is complete or has failed; the server need not see the end.
            let _ = stream.flush();
        }
        self.socket().shutdown()
    }
}
