//! A TCP socket of embassy-net as the transport of greet-core's async driver.

use core::{fmt, ops::Range};

use embassy_net::tcp::{State, TcpSocket};
use embedded_io::ErrorKind;
use embedded_io_async::{BufRead, ErrorType, Read, ReadReady, Write};
use greet_core::{Instant, drive::asynchronous};

use crate::time::{in_time, sleep_until};

/// A connected TCP socket, and a buffer for what was read from it.
///
/// The size of the buffer is the largest read that a machine gets. It is needed because a machine may take a read in part, and
/// embassy-net's socket has no buffered reads.
pub struct Transport<'t, 's> {
    socket: &'t mut TcpSocket<'s>,
    input: &'t mut [u8],
    /// The range of `input` that is not consumed yet.
    unread: Range<usize>,
    deadline: Option<Instant>,
}

impl fmt::Debug for Transport<'_, '_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { socket: _, input: _, unread, deadline } = self;
        formatter.debug_struct("Transport").field("unread", unread).field("deadline", deadline).finish_non_exhaustive()
    }
}

/// Why a connection cannot continue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Error {
    /// It was reset by the client, or timed out.
    Lost,
    /// The deadline has passed. The driver handles this itself.
    TimedOut,
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Lost => "the connection was reset or timed out",
            Self::TimedOut => "the deadline has passed",
        })
    }
}

impl core::error::Error for Error {}

impl embedded_io::Error for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Lost => ErrorKind::ConnectionReset,
            Self::TimedOut => ErrorKind::TimedOut,
        }
    }
}

impl<'t, 's> Transport<'t, 's> {
    /// A transport over a connected socket. `input` has at least one byte.
    pub const fn new(socket: &'t mut TcpSocket<'s>, input: &'t mut [u8]) -> Self {
        Self { socket, input, unread: 0..0, deadline: None }
    }
}

/// How many bytes the peer has not acknowledged yet; this side's FIN counts as one.
pub(crate) fn unacknowledged(socket: &TcpSocket<'_>) -> usize {
    let fin = matches!(socket.state(), State::FinWait1 | State::Closing | State::LastAck);
    socket.send_queue().saturating_add(fin.into())
}

impl ErrorType for Transport<'_, '_> {
    type Error = Error;
}

impl ReadReady for Transport<'_, '_> {
    fn read_ready(&mut self) -> Result<bool, Error> {
        Ok(!self.unread.is_empty() || self.socket.can_recv() || !self.socket.may_recv())
    }
}

impl BufRead for Transport<'_, '_> {
    async fn fill_buf(&mut self) -> Result<&[u8], Error> {
        if self.unread.is_empty() {
            let read = in_time(self.deadline, self.socket.read(self.input)).await;
            self.unread = 0..read.ok_or(Error::TimedOut)?.map_err(|_| Error::Lost)?; // 0: the peer's FIN
        }
        Ok(self.input.get(self.unread.clone()).unwrap_or_default())
    }

    fn consume(&mut self, count: usize) {
        self.unread.start = self.unread.start.saturating_add(count).min(self.unread.end);
    }
}

impl Read for Transport<'_, '_> {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        let input = self.fill_buf().await?;
        let count = input.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..count), input.get(..count)) {
            to.copy_from_slice(from);
        }
        self.consume(count);
        Ok(count)
    }
}

impl Write for Transport<'_, '_> {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Error> {
        let written = in_time(self.deadline, self.socket.write(bytes)).await;
        written.ok_or(Error::TimedOut)?.map_err(|_| Error::Lost)
    }

    /// Does nothing: the stack sends by itself. The socket's own `flush` waits for the peer's acknowledgement, which a
    /// transport must not do.
    async fn flush(&mut self) -> Result<(), Error> {
        Ok(())
    }
}

impl asynchronous::Transport for Transport<'_, '_> {
    fn set_deadline(&mut self, deadline: Option<Instant>) -> Result<(), Error> {
        self.deadline = deadline;
        Ok(())
    }

    async fn sleep_until(&mut self, deadline: Option<Instant>) -> Result<(), Error> {
        sleep_until(deadline).await;
        Ok(())
    }

    async fn shutdown(&mut self) -> Result<(), Error> {
        self.socket.close(); // only this side; the FIN follows the bytes in the send buffer
        Ok(())
    }
}
