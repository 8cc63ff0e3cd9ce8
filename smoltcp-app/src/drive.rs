//! The driver for a smoltcp socket: it moves bytes between a machine and the socket's two buffers.

use greet_core::{
    Instant, Machine, Received, State,
    drive::{Pump, Step},
};
use smoltcp::socket::tcp::{Socket, State as TcpState};

/// Moves bytes between one machine and one socket, as far as they go without waiting.
///
/// Bytes to send go from the machine straight into the socket's send buffer. Received bytes stay in the socket's receive
/// buffer until the machine has taken them. So a driver holds no buffer.
///
/// The socket belongs to an interface that the caller polls. Once the connection is established, the driver runs after each
/// poll that may have changed the socket, and at the machine's deadline.
#[derive(Clone, Copy, Debug, Default)]
pub struct Driver {
    pump: Pump,
    /// How many of the sent bytes were not acknowledged at the last look; the FIN counts as one.
    unacknowledged: usize,
}

/// The result of driving a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Progress {
    /// How far the conversation is.
    pub status: Status,
    /// How many bytes the machine took.
    pub received: usize,
    /// How many bytes it gave.
    pub sent: usize,
}

/// How far a conversation is when no byte can move without waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Status {
    /// It waits for the peer, or for the machine's deadline.
    Waiting,
    /// The machine is over. The socket may still have bytes to deliver: it must not be reused before
    /// [`Delivery`](greet_core::drive::Delivery) permits it.
    Over,
    /// The connection was lost: reset, or timed out.
    Lost,
}

impl Driver {
    /// A driver for a connection that was just established.
    #[must_use]
    pub const fn new() -> Self {
        Self { pump: Pump::new(), unacknowledged: 0 }
    }

    /// Drives the conversation until no byte can move without waiting, and passes the machine's events to `tell`.
    ///
    /// `read` is scratch memory of at least one byte, and its length the largest read that the machine gets. It is used for bytes
    /// that wrap in the socket's ring buffer: offered in two parts, they would cut a name of framing `chunk` in two.
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
        // What wraps in the ring buffer is copied, once in a call, however many names are in it.
        let (mut offered, mut copied) = (0..0, false);
        if self.has_moved(socket) {
            machine.progress(now);
        }
        loop {
            let sent = self.fill(machine, socket, now);
            progress.sent = progress.sent.saturating_add(sent);
            let step = self.pump.next_step(machine);
            // C1: with a full send buffer the client has much to read yet, and its time to do so has not begun.
            if step == Step::Shutdown && socket.can_send() {
                socket.set_ack_delay(None); // the acknowledgement of the peer's FIN must not wait: the socket shall be free soon
                socket.close(); // the FIN follows the bytes in the buffer
                self.unacknowledged = unacknowledged(socket);
                self.pump.shut_down(machine, now);
                continue;
            }
            if machine.state() == State::Over {
                progress.status = Status::Over;
                return progress;
            }
            if socket.state() == TcpState::Closed {
                progress.status = Status::Lost;
                return progress;
            }
            if !matches!(step, Step::Offer | Step::Read) {
                return progress;
            }
            if offered.is_empty() {
                let length = if step == Step::Offer { self.pump.left() } else { socket.recv_queue().min(read.len()) };
                offered = 0..length;
                copied = !socket.peek(length).is_ok_and(|bytes| bytes.len() == length);
                if copied {
                    // Never fails, and fills it all: no more is asked for than is there.
                    let _ = socket.peek_slice(read.get_mut(offered.clone()).unwrap_or_default());
                }
            }
            if offered.is_empty() && !has_ended(socket) {
                return progress;
            }
            let taken = {
                let input = if copied {
                    read.get(offered.clone()).unwrap_or_default()
                } else {
                    socket.peek(offered.len()).unwrap_or_default()
                };
                let Received { taken, event } = self.pump.offer(machine, now, input); // empty: the peer's FIN
                if let Some(event) = event {
                    tell(event);
                }
                taken
            };
            discard(socket, taken);
            offered.start = offered.start.saturating_add(taken);
            progress.received = progress.received.saturating_add(taken);
        }
    }

    /// Whether no byte has been received or acknowledged since the last [`drive`](Self::drive). If so, it need not be called
    /// before the machine's deadline.
    #[must_use]
    pub fn is_idle(&self, socket: &Socket<'_>) -> bool {
        socket.state() == TcpState::Established && !socket.can_recv() && socket.send_queue() == self.unacknowledged
    }

    /// Whether the peer has acknowledged sent bytes, or this side's FIN, since the last call.
    fn has_moved(&mut self, socket: &Socket<'_>) -> bool {
        let before = core::mem::replace(&mut self.unacknowledged, unacknowledged(socket));
        self.unacknowledged < before
    }

    /// Moves bytes from the machine into the send buffer; how many.
    fn fill<M: Machine>(&mut self, machine: &mut M, socket: &mut Socket<'_>, now: Instant) -> usize {
        let mut sent = 0_usize;
        loop {
            let given = socket.send(|room| {
                let given = self.pump.fill(machine, now, room);
                (given, given)
            });
            match given {
                Ok(given @ 1..) => sent = sent.saturating_add(given),
                Ok(0) => break,
                // This side is ended, or the connection is gone.
                Err(_) => {
                    machine.handle_timeout(now);
                    break;
                }
            }
        }
        self.unacknowledged = self.unacknowledged.saturating_add(sent);
        sent
    }
}

/// How many bytes the peer has not acknowledged yet; this side's FIN counts as one.
pub(crate) fn unacknowledged(socket: &Socket<'_>) -> usize {
    let fin = matches!(socket.state(), TcpState::FinWait1 | TcpState::Closing | TcpState::LastAck);
    socket.send_queue().saturating_add(fin.into())
}

/// Whether the peer has ended its side, and all bytes before its FIN were taken.
fn has_ended(socket: &Socket<'_>) -> bool {
    use TcpState::{CloseWait, Closing, LastAck, TimeWait};
    matches!(socket.state(), CloseWait | LastAck | Closing | TimeWait) && !socket.can_recv()
}

/// Removes `count` bytes from the receive buffer, whose ring may wrap among them.
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
