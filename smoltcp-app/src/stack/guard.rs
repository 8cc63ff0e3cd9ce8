//! The rules of RFC 9293 and RFC 5961 for SYN and RST that smoltcp 0.14 lacks, applied to each segment before smoltcp gets it.
//!
//! | segment | in state | smoltcp alone | here |
//! | --- | --- | --- | --- |
//! | SYN | synchronized | is ignored | challenge ACK (RFC 5961, 4.2): a client that restarted can reset its old connection |
//! | SYN with a new sequence number | TIME-WAIT | is ignored | accepted (RFC 9293, 3.10.7.4) |
//! | SYN | every socket is in use | reset | the oldest half-open connection is given up for it; dropped if that has just begun |
//! | RST in the window, not at its start | synchronized | resets | challenge ACK (RFC 5961, 3.2) |
//! | neither SYN, ACK nor RST | closed | RST without ACK | RST with ACK (RFC 9293, 3.10.7.1) |
//!
//! A socket of smoltcp does not tell which sequence number it expects. But its own challenge ACK does: a segment that is far
//! from the window makes it send one, once a second at most. That is the rate limit of RFC 5961, 7, too. What was learned
//! is remembered for that second.

use greet_core::Instant;
use smoltcp::{
    iface::{Interface, SocketSet},
    phy::TxToken,
    socket::{
        AnySocket,
        tcp::{Socket, State},
    },
    wire::{HardwareAddress, IpEndpoint, TcpControl, TcpSeqNumber},
};

use super::{
    Reason,
    ingress::OneFrame,
    meter,
    segment::{Frame, Keep, Segment},
};
use crate::time::to_smoltcp;

/// How often smoltcp sends a challenge ACK for one connection.
const CHALLENGE_INTERVAL: core::time::Duration = core::time::Duration::from_secs(1);
/// How many connections are remembered. Each takes 48 bytes of RAM.
const REMEMBERED: usize = 4;

/// What is remembered of recent challenge ACKs.
#[derive(Default)]
pub(super) struct Guard {
    remembered: [Option<Expected>; REMEMBERED],
    /// The oldest of them.
    oldest: usize,
}

/// The sequence number that a connection expects next.
struct Expected {
    local: IpEndpoint,
    remote: IpEndpoint,
    sequence: TcpSeqNumber,
    until: Instant,
}

impl Guard {
    /// Decides about a received segment. Returns `reply` if smoltcp is to get the segment.
    ///
    /// `serve` is called if a socket is to listen first; `port` is the service's.
    pub(super) fn admit<'a, T: TxToken>(
        &mut self,
        segment: &Segment,
        (interface, sockets): (&mut Interface, &mut SocketSet<'a>),
        reply: T,
        (now, port): (Instant, u16),
        serve: &mut impl FnMut(&mut SocketSet<'a>, Reason) -> Option<Instant>,
    ) -> Option<T> {
        let state = connection(sockets, segment).map_or(State::Closed, |socket| socket.state());
        match (segment.control, state) {
            // smoltcp is right about these.
            (TcpControl::Syn | TcpControl::Rst, State::SynSent | State::SynReceived) => Some(reply),
            (TcpControl::Rst, State::Closed) => Some(reply),
            (TcpControl::Syn, State::Closed) => {
                if segment.acknowledgement.is_none() && segment.destination.port == port && !listens(sockets, port) {
                    serve(sockets, Reason::NoListener);
                    if !listens(sockets, port) && has_half_open(sockets, port) {
                        return None; // the client repeats it; then a socket may listen
                    }
                }
                Some(reply)
            }
            (TcpControl::Syn, _) => {
                let mut challenge = Frame::EMPTY;
                let expected = self.expected(segment, interface, sockets, now, &mut challenge);
                // Its initial sequence number shall be higher than all of the old connection: that one's are smoltcp's choice,
                // which is a random one. So an old segment is taken for a new one as rarely as with any two connections.
                let is_new = state == State::TimeWait && expected.is_some_and(|expected| segment.sequence > expected);
                if is_new
                    && segment.destination.port == port
                    && let Some(socket) = connection(sockets, segment)
                    && socket.listen(port).is_ok()
                {
                    serve(sockets, Reason::Received); // its pool learns that the connection is gone
                    return Some(reply);
                }
                send(&challenge, reply);
                None
            }
            (TcpControl::Rst, _) => {
                let mut challenge = Frame::EMPTY;
                let expected = self.expected(segment, interface, sockets, now, &mut challenge)?;
                if segment.sequence == expected {
                    return Some(reply);
                }
                let offset = segment.sequence.0.wrapping_sub(expected.0).cast_unsigned();
                let window = connection(sockets, segment).map_or(0, |socket| socket.recv_capacity());
                if usize::try_from(offset).is_ok_and(|offset| offset < window) {
                    send(&challenge, reply);
                }
                None
            }
            (_, State::Closed) if segment.acknowledgement.is_none() && !listens(sockets, segment.destination.port) => {
                let HardwareAddress::Ethernet(own) = interface.hardware_addr();
                segment.refusal(own).send(reply);
                None
            }
            _ => Some(reply),
        }
    }

    /// The sequence number that the segment's connection expects, if smoltcp tells, or told so within the last second.
    /// `reply` becomes what smoltcp sends in answer to the question: its challenge ACK, if it is due.
    fn expected(
        &mut self,
        segment: &Segment,
        interface: &mut Interface,
        sockets: &mut SocketSet<'_>,
        now: Instant,
        reply: &mut Frame,
    ) -> Option<TcpSeqNumber> {
        // A segment that acknowledges what was long acknowledged gets no answer. One of these two is ahead of all that was
        // sent. Neither can change the connection: their sequence number is half of all numbers away.
        for ahead in [1 << 30, (1 << 30) + i32::MIN] {
            let acknowledgement =
                TcpSeqNumber(segment.acknowledgement.map_or(0, |number| number.0).wrapping_add(ahead));
            let sequence = TcpSeqNumber(segment.sequence.0.wrapping_add(i32::MIN));
            let question = segment.next_from_peer(sequence, acknowledgement);
            let mut device = OneFrame::new(question.bytes(), Keep(reply));
            interface.poll_ingress_single(to_smoltcp(now), &mut device, sockets);
            if let Some(answer) = meter::segment(reply.bytes())
                && answer.ack()
                && !answer.rst()
            {
                let sequence = answer.ack_number();
                self.remember(segment, sequence, now + CHALLENGE_INTERVAL);
                return Some(sequence);
            }
        }
        let remembered = self.remembered.iter().flatten().find(|expected| {
            now < expected.until && expected.remote == segment.source && expected.local == segment.destination
        });
        remembered.map(|expected| expected.sequence)
    }

    fn remember(&mut self, segment: &Segment, sequence: TcpSeqNumber, until: Instant) {
        let (local, remote) = (segment.destination, segment.source);
        if let Some(oldest) = self.remembered.get_mut(self.oldest) {
            *oldest = Some(Expected { local, remote, sequence, until });
        }
        self.oldest = (self.oldest + 1) % REMEMBERED;
    }
}

/// Sends what smoltcp answered, if it did.
fn send(frame: &Frame, token: impl TxToken) {
    if !frame.is_empty() {
        frame.send(token);
    }
}

/// The socket whose connection the segment belongs to.
fn connection<'s, 'a>(sockets: &'s mut SocketSet<'a>, segment: &Segment) -> Option<&'s mut Socket<'a>> {
    let (local, remote) = (Some(segment.destination), Some(segment.source));
    let mut sockets = sockets.iter_mut().filter_map(|(_, socket)| Socket::downcast_mut(socket));
    sockets.find(|socket| {
        socket.state() != State::Closed && socket.remote_endpoint() == remote && socket.local_endpoint() == local
    })
}

/// Whether a socket listens on this port.
fn listens(sockets: &SocketSet<'_>, port: u16) -> bool {
    is_any(sockets, port, State::Listen)
}

/// Whether there is a half-open connection that began with a SYN to this port.
fn has_half_open(sockets: &SocketSet<'_>, port: u16) -> bool {
    is_any(sockets, port, State::SynReceived)
}

/// Whether a socket that listens on this port, or did, is in this state.
fn is_any(sockets: &SocketSet<'_>, port: u16, state: State) -> bool {
    let mut sockets = sockets.iter().filter_map(|(_, socket)| Socket::downcast(socket));
    sockets.any(|socket| socket.state() == state && socket.listen_endpoint().port == port)
}
