//! The rules of RFC 9293 and RFC 5961 for SYN and RST that smoltcp 0.14 lacks, applied to each segment before smoltcp gets it.
//!
//! | segment | in state | smoltcp alone | here |
//! | --- | --- | --- | --- |
//! | SYN | synchronized | is ignored | challenge ACK (RFC 5961, 4.2): a client that restarted can reset its old connection |
//! | SYN with a new sequence number | TIME-WAIT | is ignored | accepted (RFC 9293, 3.10.7.4) |
//! | SYN | SYN-RECEIVED | is ignored | the SYN-ACK is sent again (RFC 9293, 3.10.7.4) |
//! | SYN | every socket is in use | reset | the oldest half-open connection is given up for it; dropped if that has just begun |
//! | RST in the window, not at its start | synchronized | resets | challenge ACK (RFC 5961, 3.2) |
//! | neither SYN, ACK nor RST | closed | RST without ACK | RST with ACK (RFC 9293, 3.10.7.1) |
//! | an acknowledgement of what was not sent, though it waits to be | synchronized | is taken, and bytes are lost | ACK (RFC 9293, 3.10.7.4) |
//! | data with an old acknowledgement number | synchronized | is dropped | accepted, if it is not older than all that can be under way; otherwise ACK (RFC 5961, 5.2) |
//!
//! A socket of smoltcp does not tell which sequence number it expects. But its own challenge ACK does: a segment that is far
//! from the window makes it send one, once a second at most. That is the rate limit of RFC 5961, 7, too. Within that second a
//! segment with data makes it send an acknowledgement, if its own acknowledgement number is right; otherwise what was learned is
//! remembered.

use greet_core::Instant;
use smoltcp::{
    iface::{Interface, SocketSet},
    phy::TxToken,
    socket::{
        AnySocket,
        tcp::{Socket, State},
    },
    wire::{EthernetAddress, HardwareAddress, IpAddress, IpEndpoint, TcpControl, TcpPacket, TcpSeqNumber},
};

use super::{
    Reason,
    acknowledgements::{Acknowledgements, Judgement, Latest},
    ingress::OneFrame,
    segment::{Frame, Keep, Segment, in_frame},
    syn_acks::SynAcks,
};
use crate::time::to_smoltcp;

/// How often smoltcp sends a challenge ACK for one connection.
const CHALLENGE_INTERVAL: core::time::Duration = core::time::Duration::from_secs(1);
/// How many connections are remembered. Each takes 48 bytes of RAM.
const REMEMBERED: usize = 4;

/// What is remembered of connections.
#[derive(Default)]
pub(super) struct Guard {
    syn_acks: SynAcks,
    acknowledgements: Acknowledgements,
    /// Of recent challenge ACKs.
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
    /// Takes note of a segment that a socket sends.
    pub(super) fn sent(&mut self, frame: &[u8], addresses: (IpAddress, IpAddress), segment: &TcpPacket<&[u8]>) {
        if segment.syn() && segment.ack() {
            self.syn_acks.remember(frame);
        }
        self.acknowledgements.sent(addresses, segment);
    }

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
            (TcpControl::Syn, State::SynSent) => Some(reply),
            (TcpControl::Rst, State::SynSent | State::SynReceived | State::Closed) => Some(reply),
            (TcpControl::Syn, State::SynReceived) => {
                // If the client has restarted, it answers this by a reset.
                if let Some(frame) = self.syn_acks.find(segment) {
                    frame.send(reply);
                }
                None
            }
            (TcpControl::Syn, State::Closed) => {
                self.syn_acks.forget(segment);
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

    /// Decides about a segment of a connection that neither begins nor ends it. Returns `reply` and a newer acknowledgement, which
    /// the segment gets before smoltcp does, or `None` where it is as it should be.
    pub(super) fn acknowledge<T: TxToken>(
        &mut self,
        (hardware, addresses, payload): (EthernetAddress, (IpAddress, IpAddress), &[u8]),
        (interface, sockets): (&mut Interface, &mut SocketSet<'_>),
        reply: T,
        now: Instant,
    ) -> Option<(T, Option<Latest>)> {
        let Ok(packet) = TcpPacket::new_checked(payload) else { return Some((reply, None)) };
        let (newer, is_unsent) = match self.acknowledgements.judge(addresses, &packet) {
            Judgement::Fine => return Some((reply, None)),
            Judgement::Old(newer) => (newer, false),
            Judgement::Unsent(newer) => (newer, true),
        };
        let Some(segment) = Segment::parse(hardware, addresses, &packet) else { return Some((reply, None)) };
        let Some(socket) = connection(sockets, &segment) else { return Some((reply, None)) };
        if is_unsent && socket.state() == State::SynReceived {
            return Some((reply, None)); // smoltcp resets it
        }
        if is_unsent {
            let mut answer = Frame::EMPTY;
            ask(&segment, newer.number, &[0], (interface, sockets), now, &mut answer);
            send(&answer, reply);
            return None;
        }
        let most = socket.send_capacity();
        if !matches!(socket.state(), State::Established | State::FinWait1 | State::FinWait2) {
            return Some((reply, None));
        }
        // Data out of the window is answered if its acknowledgement number may be true, as often as it comes.
        let mut answer = Frame::EMPTY;
        ask(&segment, newer.number, &[0], (interface, sockets), now, &mut answer);
        let is_true = acknowledgement(&answer).is_some_and(|answer| newer.number <= answer.seq_number());
        if !is_true {
            self.acknowledgements.forget(&newer);
            return Some((reply, None));
        }
        let age = segment.acknowledgement.map_or(0, |number| newer.number.0.wrapping_sub(number.0));
        if usize::try_from(age).is_ok_and(|age| age <= most) {
            return Some((reply, Some(newer)));
        }
        send(&answer, reply);
        None
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
        let number = segment.acknowledgement.map_or(0, |number| number.0);
        for ahead in [1 << 30, (1 << 30) + i32::MIN] {
            ask(segment, TcpSeqNumber(number.wrapping_add(ahead)), &[], (interface, sockets), now, reply);
            if let Some(answer) = acknowledgement(reply) {
                let sequence = answer.ack_number();
                self.remember(segment, sequence, now + CHALLENGE_INTERVAL);
                return Some(sequence);
            }
        }
        // smoltcp has sent a challenge ACK within the last second. Data is answered all the same, if its acknowledgement is not
        // old or ahead.
        let newest = self.acknowledgements.newest(segment.source, segment.destination);
        for number in segment.acknowledgement.into_iter().chain(newest) {
            let mut told = Frame::EMPTY;
            ask(segment, number, &[0], (interface, sockets), now, &mut told);
            if let Some(answer) = acknowledgement(&told) {
                return Some(answer.ack_number());
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

/// Gives smoltcp a segment of the same connection as `segment` with this acknowledgement and data, out of the window. `reply`
/// becomes its answer.
fn ask(
    segment: &Segment,
    acknowledgement: TcpSeqNumber,
    data: &'static [u8],
    (interface, sockets): (&mut Interface, &mut SocketSet<'_>),
    now: Instant,
    reply: &mut Frame,
) {
    let sequence = TcpSeqNumber(segment.sequence.0.wrapping_add(i32::MIN));
    let question = segment.next_from_peer(sequence, acknowledgement, data);
    let mut device = OneFrame::new(question.bytes(), Keep(reply));
    interface.poll_ingress_single(to_smoltcp(now), &mut device, sockets);
}

/// The segment in this frame, if it is an acknowledgement.
fn acknowledgement(frame: &Frame) -> Option<TcpPacket<&[u8]>> {
    in_frame(frame.bytes()).map(|(segment, _)| segment).filter(|segment| segment.ack() && !segment.rst())
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
