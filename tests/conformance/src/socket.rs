//! A frontend for a server at a TCP address.

use core::{net::SocketAddr, time::Duration};
use std::{
    io::{self, Read, Write},
    net::{Shutdown, TcpStream},
    thread,
    time::Instant,
};

use greet_core::Framing;

use crate::frontend::{Connection, Frontend};

/// A server that listens on TCP, with one framing.
#[derive(Clone, Copy, Debug)]
pub struct Socket {
    /// Its address.
    pub address: SocketAddr,
    /// The framing that it was started with.
    pub framing: Framing,
    /// The maximum length of a name in bytes.
    pub capacity: usize,
    /// Timeout to connect, for each `send`, and for each `receive` as a whole.
    pub timeout: Duration,
    /// How long [`settle`](Connection::settle) waits.
    pub settling: Duration,
}

impl Socket {
    /// Timeouts for a server on this host or in its local network.
    #[must_use]
    pub const fn new(address: SocketAddr, framing: Framing) -> Self {
        Self {
            address,
            framing,
            capacity: greet_core::NAME_CAPACITY,
            timeout: Duration::from_secs(5),
            settling: Duration::from_millis(50),
        }
    }
}

impl Socket {
    /// A new connection. A server without a backlog refuses clients while all its sockets are busy, for example for some
    /// milliseconds after many clients have left at once.
    fn connected(&self) -> io::Result<TcpStream> {
        let until = Instant::now() + self.timeout;
        loop {
            match TcpStream::connect_timeout(&self.address, self.timeout) {
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused && Instant::now() < until => {
                    thread::sleep(Duration::from_millis(10));
                }
                result => return result,
            }
        }
    }
}

impl Frontend for Socket {
    type Connection = SocketConnection;

    fn capacity(&self) -> usize {
        self.capacity
    }

    fn can(&self, framing: Framing) -> bool {
        framing == self.framing
    }

    fn connect(&mut self, _framing: Framing) -> io::Result<SocketConnection> {
        let stream = self.connected()?;
        stream.set_write_timeout(Some(self.timeout))?;
        stream.set_nodelay(true)?; // so that a write arrives as one read
        Ok(SocketConnection { stream, timeout: self.timeout, settling: self.settling })
    }
}

/// A connection over a TCP socket.
#[derive(Debug)]
pub struct SocketConnection {
    stream: TcpStream,
    timeout: Duration,
    settling: Duration,
}

impl SocketConnection {
    /// The socket.
    #[must_use]
    pub const fn stream(&self) -> &TcpStream {
        &self.stream
    }
}

impl Connection for SocketConnection {
    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    fn settle(&mut self) {
        thread::sleep(self.settling);
    }

    fn receive(&mut self, count: usize, received: &mut Vec<u8>) -> io::Result<()> {
        // One timeout for all pieces together.
        let until = Instant::now() + self.timeout;
        let mut buffer = [0; 16 * 1024];
        let mut left = count;
        while left > 0 {
            let wait = until.saturating_duration_since(Instant::now());
            if wait.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            self.stream.set_read_timeout(Some(wait))?;
            let room = left.min(buffer.len());
            match self.stream.read(&mut buffer[..room]) {
                Ok(0) => break,
                Ok(count) => {
                    received.extend_from_slice(&buffer[..count]);
                    left -= count;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Some systems report an expired timeout like this.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(io::ErrorKind::TimedOut.into()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn half_close(&mut self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)
    }

    fn check_closed(&mut self) -> io::Result<()> {
        thread::sleep(Duration::from_millis(10));
        self.stream.take_error()?.map_or(Ok(()), Err)
    }
}
