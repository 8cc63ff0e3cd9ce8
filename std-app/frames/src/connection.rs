//! A TCP connection whose every segment a probe sends.

use core::{cell::Cell, time::Duration};

use crate::{
    board::LINE,
    host::Host,
    stop::Stop,
    tcp::{Tcp, flags},
};

/// The window that probes offer if it does not matter.
pub(crate) const WINDOW: u16 = 16_384;
/// The maximum segment size that probes offer if it does not matter.
pub(crate) const MSS: u16 = 1460;

/// A connection. It is reset when it is dropped.
pub(crate) struct Connection<'h, 'a> {
    host: &'h Host<'a>,
    /// This host's port.
    pub(crate) port: u16,
    /// The sequence number of the next byte to send.
    pub(crate) next: Cell<u32>,
    /// The sequence number of the next byte to receive.
    pub(crate) expected: Cell<u32>,
    /// The window to offer, while it has no edge.
    pub(crate) window: Cell<u16>,
    /// Where the window ends: it closes as data comes. A peer never takes back what it has offered (RFC 9293, SHLD-14).
    edge: Cell<Option<u32>>,
    /// The highest acknowledgement number that was received.
    pub(crate) acknowledged: Cell<u32>,
    /// The window in the last segment.
    pub(crate) peer_window: Cell<u16>,
    /// The SYN-ACK.
    pub(crate) syn_ack: Tcp,
    /// The time from the SYN to it.
    pub(crate) rtt: Duration,
}

impl<'a> Host<'a> {
    /// A SYN from a new port with a random sequence number.
    pub(crate) fn syn(&self) -> Tcp {
        let [a, b] = MSS.to_be_bytes();
        Tcp {
            source_port: self.port(),
            destination_port: self.board.port,
            sequence: self.random(),
            flags: flags::SYN,
            window: WINDOW,
            options: vec![2, 4, a, b],
            ..Tcp::default()
        }
    }

    /// Waits for a segment to this port.
    pub(crate) fn segment(
        &self,
        port: u16,
        within: Duration,
        wanted: impl Fn(&Tcp) -> bool,
    ) -> Result<Option<(Duration, Tcp)>, Stop> {
        let is_wanted = |tcp: &Tcp| tcp.destination_port == port && wanted(tcp);
        let frame = self.receive(within, |frame| {
            frame.tcp().is_some_and(is_wanted) && frame.ip().is_some_and(|ip| ip.destination == self.identity().address)
        })?;
        Ok(frame.and_then(|frame| frame.tcp().map(|tcp| (frame.time, tcp.clone()))))
    }

    /// Sends a SYN until it is answered, at most three times.
    pub(crate) fn handshake(&self, syn: &Tcp) -> Result<Option<(Duration, Tcp)>, Stop> {
        for _ in 0..3 {
            let begin = self.now();
            self.send_tcp(syn)?;
            let is_answer = |tcp: &Tcp| tcp.has(flags::ACK) && tcp.acknowledgement == syn.sequence.wrapping_add(1);
            if let Some((time, answer)) = self.segment(syn.source_port, self.board.reply_time(), is_answer)? {
                return Ok(Some((time.saturating_sub(begin), answer)));
            }
        }
        Ok(None)
    }

    /// Opens a connection. `change` changes the SYN before it is sent.
    pub(crate) fn open_with(&self, change: impl FnOnce(&mut Tcp)) -> Result<Connection<'_, 'a>, Stop> {
        let mut syn = self.syn();
        change(&mut syn);
        let Some((rtt, answer)) = self.handshake(&syn)? else {
            return Err(Stop::failed("no answer to three SYNs"));
        };
        if !answer.has(flags::SYN) || answer.has(flags::RST) {
            return Err(Stop::failed(format!("a SYN is answered by: {answer}")));
        }
        let next = syn.sequence.wrapping_add(1);
        let connection = Connection {
            host: self,
            port: syn.source_port,
            next: Cell::new(next),
            expected: Cell::new(answer.sequence.wrapping_add(1)),
            window: Cell::new(syn.window),
            edge: Cell::new(None),
            acknowledged: Cell::new(next),
            peer_window: Cell::new(answer.window),
            syn_ack: answer,
            rtt,
        };
        connection.acknowledge()?;
        Ok(connection)
    }

    /// Opens a connection.
    pub(crate) fn open(&self) -> Result<Connection<'_, 'a>, Stop> {
        self.open_with(|_| {})
    }

    /// Opens a connection, receives the banner, and exchanges one line: nothing is left to send on either side.
    pub(crate) fn connect(&self) -> Result<Connection<'_, 'a>, Stop> {
        self.connect_with(|_| {})
    }

    /// The same with another SYN, and the window is closed then: exactly the banner and the reply fitted.
    pub(crate) fn connect_with_closed_window(&self, change: impl FnOnce(&mut Tcp)) -> Result<Connection<'_, 'a>, Stop> {
        let service = &self.board.service;
        if service.reply == 0 {
            return Err(Stop::undecided("the service does not reply to a line: use an echo service"));
        }
        let room = u16::try_from(service.banner.len() + service.reply).unwrap_or(WINDOW);
        let connection = self.open_with(|syn| {
            change(syn);
            syn.window = room;
        })?;
        connection.edge.set(Some(connection.expected.get().wrapping_add(room.into())));
        connection.read(service.banner.len())?;
        connection.exchange(LINE)?;
        self.clear();
        Ok(connection)
    }

    /// The same with another SYN.
    pub(crate) fn connect_with(&self, change: impl FnOnce(&mut Tcp)) -> Result<Connection<'_, 'a>, Stop> {
        if self.board.service.reply == 0 {
            return Err(Stop::undecided("the service does not reply to a line: use an echo service"));
        }
        let connection = self.open_with(change)?;
        connection.read(self.board.service.banner.len())?;
        connection.exchange(LINE)?;
        self.clear(); // acknowledgements that came before the reply
        Ok(connection)
    }
}

impl Connection<'_, '_> {
    fn offered(&self) -> u16 {
        let left = |edge: u32| u16::try_from(edge.wrapping_sub(self.expected.get())).unwrap_or(0);
        self.edge.get().map_or(self.window.get(), left)
    }

    /// Opens a closed window.
    pub(crate) fn open_window(&self) -> Result<(), Stop> {
        self.offer(WINDOW)
    }

    /// Opens a closed window by this many bytes.
    pub(crate) fn offer(&self, room: u16) -> Result<(), Stop> {
        self.edge.set(None);
        self.window.set(room);
        self.acknowledge()
    }

    /// An empty segment with ACK, at the next sequence number.
    pub(crate) fn segment(&self) -> Tcp {
        Tcp {
            source_port: self.port,
            destination_port: self.host.board.port,
            sequence: self.next.get(),
            acknowledgement: self.expected.get(),
            flags: flags::ACK,
            window: self.offered(),
            ..Tcp::default()
        }
    }

    /// Sends an empty segment, changed by `change`.
    pub(crate) fn send_with(&self, change: impl FnOnce(&mut Tcp)) -> Result<(), Stop> {
        let mut segment = self.segment();
        change(&mut segment);
        self.host.send_tcp(&segment)
    }

    /// Acknowledges all that was received.
    pub(crate) fn acknowledge(&self) -> Result<(), Stop> {
        self.send_with(|_| {})
    }

    /// Sends data in one segment.
    pub(crate) fn push(&self, data: &[u8]) -> Result<(), Stop> {
        self.send_with(|segment| {
            segment.flags |= flags::PSH;
            segment.payload = data.to_vec();
        })?;
        self.advance(data.len());
        Ok(())
    }

    /// Counts bytes as sent.
    pub(crate) fn advance(&self, count: usize) {
        self.next.set(self.next.get().wrapping_add(u32::try_from(count).unwrap_or_default()));
    }

    /// Waits for a segment of this connection.
    pub(crate) fn receive(
        &self,
        within: Duration,
        wanted: impl Fn(&Tcp) -> bool,
    ) -> Result<Option<(Duration, Tcp)>, Stop> {
        let received = self.host.segment(self.port, within, wanted)?;
        if let Some((_, tcp)) = &received {
            if tcp.has(flags::ACK) && !before(tcp.acknowledgement, self.acknowledged.get()) {
                self.acknowledged.set(tcp.acknowledgement);
            }
            self.peer_window.set(tcp.window);
        }
        Ok(received)
    }

    /// Waits for a segment of this connection as long as a reply may take.
    pub(crate) fn reply(&self, wanted: impl Fn(&Tcp) -> bool) -> Result<Option<(Duration, Tcp)>, Stop> {
        self.receive(self.host.board.reply_time(), wanted)
    }

    /// Waits for an acknowledgement of exactly this byte, and nothing more.
    pub(crate) fn acknowledgement(&self, of: u32) -> Result<Option<(Duration, Tcp)>, Stop> {
        self.reply(|tcp| tcp.has(flags::ACK) && !tcp.has(flags::RST) && tcp.acknowledgement == of)
    }

    /// Receives and acknowledges this many bytes.
    pub(crate) fn read(&self, count: usize) -> Result<Vec<u8>, Stop> {
        let mut data = Vec::new();
        while data.len() < count {
            // A lost segment comes again after a timeout of 1 s or more.
            let within = self.host.board.reply_time() * 3;
            let Some((_, tcp)) = self.receive(within, |tcp| !tcp.payload.is_empty() || tcp.has(flags::RST))? else {
                return Err(Stop::failed(format!("{} of {count} bytes came within {within:?}", data.len())));
            };
            if tcp.has(flags::RST) {
                return Err(Stop::failed(format!("the connection was reset: {tcp}")));
            }
            data.extend(self.take(&tcp));
            self.acknowledge()?;
        }
        Ok(data)
    }

    /// The new data of a segment, which then counts as received.
    pub(crate) fn take(&self, tcp: &Tcp) -> Vec<u8> {
        let old = self.expected.get().wrapping_sub(tcp.sequence);
        let new = usize::try_from(old).ok().and_then(|old| tcp.payload.get(old..)).unwrap_or_default();
        self.expected.set(self.expected.get().wrapping_add(u32::try_from(new.len()).unwrap_or_default()));
        new.to_vec()
    }

    /// Sends a line and receives its reply. A line as long as [`LINE`].
    pub(crate) fn exchange(&self, line: &[u8]) -> Result<Vec<u8>, Stop> {
        self.push(line)?;
        self.read(self.host.board.service.reply)
    }

    /// Fails unless a line is still answered.
    pub(crate) fn is_alive(&self, after: &str) -> Result<(), Stop> {
        self.exchange(LINE).map(drop).map_err(|stop| match stop {
            Stop::Failed(what) => Stop::Failed(format!("the connection is not usable after {after}: {what}")),
            other => other,
        })
    }

    /// Resets the connection, and makes sure of it: a segment afterwards is answered by a reset. The board may expect another
    /// byte than this host knows, and a stack that limits the rate of its challenge ACKs may not look at the first reset.
    fn reset(&self) -> Result<(), Stop> {
        let reset = |sequence| {
            self.send_with(|segment| {
                segment.flags = flags::RST | flags::ACK;
                segment.sequence = sequence;
            })
        };
        for attempt in 0..3 {
            if attempt > 0 {
                self.host.wait(Duration::from_millis(1050))?;
            }
            let expected = self.acknowledged.get();
            reset(expected)?;
            if self.next.get() != expected {
                reset(self.next.get())?;
            }
            self.host.clear();
            self.send_with(|segment| segment.sequence = expected)?;
            let within = Duration::from_millis(20) + self.host.board.rtt * 4;
            match self.host.segment(self.port, within, |tcp| tcp.has(flags::RST) || tcp.flags == flags::ACK)? {
                Some((_, tcp)) if tcp.has(flags::RST) => return Ok(()),
                Some((_, tcp)) => self.acknowledged.set(tcp.acknowledgement),
                None => {}
            }
        }
        Ok(())
    }
}

impl Drop for Connection<'_, '_> {
    fn drop(&mut self) {
        let _ = self.reset();
    }
}

/// Whether one sequence number is before another.
pub(crate) const fn before(one: u32, other: u32) -> bool {
    one.wrapping_sub(other) > u32::MAX / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequence_numbers_wrap() {
        assert!(before(u32::MAX, 0) && !before(0, u32::MAX) && !before(7, 7));
    }
}
