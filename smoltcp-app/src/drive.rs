//! The driver for a smoltcp socket: what moves bytes between a machine and the socket's two buffers.

use greet_core::{Instant, Machine, Received, State};
use smoltcp::socket::tcp::{Socket, State as TcpState};

/// Moves bytes between one machine and one socket, as far as they go without waiting.
///
/// What is owed goes from the machine straight into the socket's send buffer; what came is looked at where the
/// socket's receive buffer has it, and stays there until the machine has taken it. So a driver is a few words.
///
/// The socket belongs to an interface that somebody polls. It is driven after each poll that may have changed it and when
/// the machine's deadline has come, once its connection is established.
#[derive(Clone, Copy, Debug, Default)]
pub struct Driver {
    /// So much of the last read is not taken yet: it is offered again before anything that came later.
    left: usize,
    /// So much of what was given was not acknowledged when it was looked at last.
    queued: usize,
    /// The machine has heard of the peer's FIN.
    peer_ended: bool,
    /// This side is ended.
    ended: bool,
    /// The peer has acknowledged that.
    end_delivered: bool,
}

/// What driving a conversation came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Progress {
    /// How the conversation stands.
    pub status: Status,
    /// How many bytes the machine took.
    pub received: usize,
    /// How many bytes it gave.
    pub sent: usize,
}

/// How a conversation stands when nothing moves any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Status {
    /// The next step is the peer's, or time's.
    Waiting,
    /// The machine is over. What it gave may still be on its way: let the socket deliver it before it is used again.
    Over,
    /// The connection was lost under the machine: reset, or timed out.
    Lost,
}

impl Driver {
    /// A driver for a connection that was just established.
    #[must_use]
    pub const fn new() -> Self {
        Self { left: 0, queued: 0, peer_ended: false, ended: false, end_delivered: false }
    }

    /// Goes on with the conversation until nothing moves; `tell` hears the machine's events.
    ///
    /// `read` is scratch memory, of at least one byte: what one read delivers to the machine has at most its length. A
    /// socket's own slices would not do: they end where its ring wraps, and would cut a name of framing `chunk` in two.
    /// A client of that framing needs a send buffer that holds its longest name.
    pub fn drive<M: Machine + 'static>(
        &mut self,
        machine: &mut M,
        socket: &mut Socket<'_>,
        now: Instant,
        read: &mut [u8],
        mut tell: impl FnMut(M::Event<'_>),
    ) -> Progress {
        let mut progress = Progress { status: Status::Waiting, received: 0, sent: 0 };
        // What is left of a read is copied once in a call, however many names are in it.
        let mut offered = 0..0;
        if self.has_moved(socket) {
            machine.progress(now);
        }
        loop {
            let sent = self.give(machine, socket, now);
            progress.sent = progress.sent.saturating_add(sent);
            self.queued = self.queued.saturating_add(sent);
            if machine.state() == State::Over {
                progress.status = Status::Over;
                return progress;
            }
            if socket.state() == TcpState::Closed {
                progress.status = Status::Lost;
                return progress;
            }
            if offered.is_empty() {
                if self.left == 0 {
                    self.left = socket.recv_queue().min(read.len());
                }
                offered = 0..self.left;
                // Never fails, and fills it all: no more is asked for than is there.
                let _ = socket.peek_slice(read.get_mut(offered.clone()).unwrap_or_default());
            }
            if offered.is_empty() {
                if self.peer_ended || !has_ended(socket) {
                    return progress;
                }
                self.peer_ended = true;
                machine.receive_end(now);
                continue;
            }
            let Received { taken, event } = machine.receive(now, read.get(offered.clone()).unwrap_or_default());
            if let Some(event) = event {
                tell(event);
            }
            if taken == 0 {
                return progress;
            }
            discard(socket, taken);
            offered.start = offered.start.saturating_add(taken);
            self.left = self.left.saturating_sub(taken);
            progress.received = progress.received.saturating_add(taken);
        }
    }

    /// Whether nothing has come or gone since the socket was driven last: before the machine's deadline there is no need to
    /// drive it again.
    #[must_use]
    pub fn is_idle(&self, socket: &Socket<'_>) -> bool {
        socket.state() == TcpState::Established && !socket.can_recv() && socket.send_queue() == self.queued
    }

    /// Whether the peer has acknowledged something of what was given, or this side's end, since this was asked last.
    pub(crate) fn has_moved(&mut self, socket: &Socket<'_>) -> bool {
        let queued = core::mem::replace(&mut self.queued, socket.send_queue());
        let end_delivered = core::mem::replace(&mut self.end_delivered, socket.state() == TcpState::FinWait2);
        self.queued < queued || (self.end_delivered && !end_delivered)
    }

    /// Lets the machine fill the send buffer with what it owes, and sends the FIN when that is due. How many bytes it gave.
    fn give<M: Machine>(&mut self, machine: &mut M, socket: &mut Socket<'_>, now: Instant) -> usize {
        machine.handle_timeout(now);
        let mut sent = 0_usize;
        loop {
            let mut room = 0;
            let given = socket.send(|buffer| {
                room = buffer.len();
                let given = machine.transmit(now, buffer);
                (given, given)
            });
            match given {
                Ok(0) => {
                    // C1: with a full send buffer the client still has much to read, and its time has not begun.
                    if room > 0 && machine.state() != State::Open && !self.ended {
                        self.ended = true;
                        // The acknowledgement of the peer's FIN shall not wait: the socket is to be free soon.
                        socket.set_ack_delay(None);
                        socket.close(); // the FIN follows what is in the buffer
                        machine.delivered(now);
                    }
                    return sent;
                }
                Ok(given) => sent = sent.saturating_add(given),
                Err(_) => return sent, // this side is ended, or the connection is gone
            }
        }
    }
}

/// Whether the peer has ended its side, and all that came before that was taken.
fn has_ended(socket: &Socket<'_>) -> bool {
    use TcpState::{CloseWait, Closing, LastAck, TimeWait};
    matches!(socket.state(), CloseWait | LastAck | Closing | TimeWait) && !socket.can_recv()
}

/// Takes so many bytes out of the receive buffer, whose ring may wrap among them.
pub(crate) fn discard(socket: &mut Socket<'_>, count: usize) {
    let mut rest = count;
    while rest > 0 {
        let taken = socket.recv(|buffer| {
            let taken = buffer.len().min(rest);
            (taken, taken)
        });
        match taken {
            Ok(taken @ 1..) => rest = rest.saturating_sub(taken),
            _ => return, // cannot be: they were there
        }
    }
}
