//! The server under check: opens connections to it, and counts what the check used.

use core::{
    net::SocketAddr,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};
use std::{io, net::TcpStream, time::Instant};

use socket2::{Domain, Type};

use super::measured::Measured;
use crate::socket::set_mss;

/// An address, and the traffic with it so far.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    connections: AtomicU64,
    bytes: AtomicU64,
    /// The shortest handshake so far, in nanoseconds.
    handshake: AtomicU64,
    /// Segments with data that this host sent, and how many of them it had sent before.
    segments: AtomicU64,
    retransmissions: AtomicU64,
    pub(crate) measured: Measured,
}

impl Target {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self {
            address,
            connections: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            handshake: AtomicU64::new(u64::MAX),
            segments: AtomicU64::new(0),
            retransmissions: AtomicU64::new(0),
            measured: Measured::default(),
        }
    }

    /// Opens a connection, all of whose operations have this timeout.
    pub(crate) fn connect(&self, timeout: Duration) -> io::Result<TcpStream> {
        let begin = Instant::now();
        let stream = TcpStream::connect_timeout(&self.address, timeout)?;
        self.measured.standstills.note_handshake(begin, begin.elapsed());
        self.handshake.fetch_min(u64::try_from(begin.elapsed().as_nanos()).unwrap_or(u64::MAX), Relaxed);
        Self::prepared(stream, timeout)
    }

    /// The same, with segments of at most `size` bytes to the server.
    pub(crate) fn connect_with_segments(&self, timeout: Duration, size: u32) -> io::Result<TcpStream> {
        let socket = socket2::Socket::new(Domain::for_address(self.address), Type::STREAM, None)?;
        set_mss(&socket, size)?; // counts before the handshake only
        socket.connect_timeout(&self.address.into(), timeout)?;
        Self::prepared(socket.into(), timeout)
    }

    fn prepared(stream: TcpStream, timeout: Duration) -> io::Result<TcpStream> {
        stream.set_nodelay(true)?; // one write is to be one segment, sent at once
        stream.set_read_timeout(Some(timeout))?;
        stream.set_write_timeout(Some(timeout))?;
        Ok(stream)
    }

    /// The network's own share of a round trip: the shortest handshake. Zero before the first connection.
    pub(crate) fn handshake(&self) -> Duration {
        match self.handshake.load(Relaxed) {
            u64::MAX => Duration::ZERO,
            nanoseconds => Duration::from_nanos(nanoseconds),
        }
    }

    /// Counts one more connection; returns its number, from 1.
    pub(crate) fn count_connection(&self) -> u64 {
        self.connections.fetch_add(1, Relaxed) + 1
    }

    /// Counts bytes that were sent or received.
    pub(crate) fn count_bytes(&self, count: usize) {
        self.bytes.fetch_add(count as u64, Relaxed);
    }

    /// Counts the segments of a connection that ends.
    pub(crate) fn count_segments(&self, segments: u64, retransmissions: u64) {
        self.segments.fetch_add(segments, Relaxed);
        self.retransmissions.fetch_add(retransmissions, Relaxed);
    }

    /// The segments that were counted, and how many of them had been sent before.
    pub(crate) fn segments(&self) -> (u64, u64) {
        (self.segments.load(Relaxed), self.retransmissions.load(Relaxed))
    }

    /// Whether many segments were sent so far, and none of them again: what does not come is not lost.
    pub(crate) fn has_lost_nothing(&self) -> bool {
        const ENOUGH: u64 = 200;
        let (segments, retransmissions) = self.segments();
        segments >= ENOUGH && retransmissions == 0
    }

    /// The number of connections so far.
    pub(crate) fn connections(&self) -> u64 {
        self.connections.load(Relaxed)
    }

    /// The number of bytes so far, in both directions.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }
}
