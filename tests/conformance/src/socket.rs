//! A frontend behind real sockets: a server that listens at a TCP address.

use core::{net::SocketAddr, time::Duration};
use std::{
    io::{self, Read, Write},
    net::{Shutdown, TcpStream},
    thread,
    time::Instant,
};

use greet_core::Framing;

use crate::frontend::{Frontend, Wire};

/// A server that listens somewhere, with one framing.
#[derive(Clone, Copy, Debug)]
pub struct Socket {
    /// Where.
    pub address: SocketAddr,
    /// What it was started with.
    pub framing: Framing,
    /// The longest name it takes.
    pub capacity: usize,
    /// How long an answer may take.
    pub patience: Duration,
    /// How long the server is given to read what it has no answer to.
    pub settling: Duration,
}

impl Socket {
    /// A server on this machine, or near it.
    #[must_use]
    pub const fn new(address: SocketAddr, framing: Framing) -> Self {
        Self {
            address,
            framing,
            capacity: greet_core::NAME_CAPACITY,
            patience: Duration::from_secs(5),
            settling: Duration::from_millis(50),
        }
    }
}

impl Frontend for Socket {
    type Wire = SocketWire;

    fn capacity(&self) -> usize {
        self.capacity
    }

    fn can(&self, framing: Framing) -> bool {
        framing == self.framing
    }

    fn connect(&mut self, _framing: Framing) -> io::Result<SocketWire> {
        let stream = TcpStream::connect_timeout(&self.address, self.patience)?;
        stream.set_write_timeout(Some(self.patience))?;
        stream.set_nodelay(true)?; // a write is to arrive as one read
        Ok(SocketWire { stream, patience: self.patience, settling: self.settling })
    }
}

/// One connection.
#[derive(Debug)]
pub struct SocketWire {
    stream: TcpStream,
    patience: Duration,
    settling: Duration,
}

impl Wire for SocketWire {
    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    fn settle(&mut self) {
        thread::sleep(self.settling);
    }

    fn receive(&mut self, count: usize, received: &mut Vec<u8>) -> io::Result<()> {
        // An answer that comes in pieces has no more time for that.
        let until = Instant::now() + self.patience;
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
                // How some systems say that the time is over.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(io::ErrorKind::TimedOut.into()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn half_close(&mut self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)
    }

    fn leave(&mut self) -> io::Result<()> {
        thread::sleep(Duration::from_millis(10));
        self.stream.take_error()?.map_or(Ok(()), Err)
    }
}
