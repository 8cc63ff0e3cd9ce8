//! Defects that the simulation has found, each reduced to a minimal case.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "in a test a panic is how a failure is reported"
)]

use core::time::Duration;

use greet_core::{Framing, Instant, ServerSettings};
use greet_smoltcp::{
    pool::{Limits, Settings},
    stack::{self, Stack},
};
use greet_tests::{
    ether::Ether,
    memory::Memory,
    segment::{RawHost, segment},
};
use smoltcp::{
    iface::SocketSet,
    socket::tcp::{Socket, SocketBuffer, State},
    wire::{EthernetAddress, IpAddress, IpCidr, Ipv4Address, TcpControl, TcpRepr, TcpSeqNumber},
};

fn line(limits: Limits) -> Settings {
    let server = ServerSettings { framing: Framing::Line, ..ServerSettings::DEFAULT };
    Settings { server, limits, ..Settings::DEFAULT }
}

fn raw_host(server: &Memory) -> RawHost {
    let (hardware, IpAddress::Ipv4(address)) = Memory::server() else { panic!("it has an IPv4 address") };
    let own = EthernetAddress([2, 0, 0, 0, 1, 9]);
    let mut raw_host = RawHost::new(server.port(own), own, Ipv4Address::new(10, 0, 0, 9), hardware, address);
    raw_host.introduce();
    raw_host
}

/// A server, and a client that has sent two names, has half-closed, and accepts four bytes. Returns its next segment.
fn with_a_client_that_takes_nothing(limits: Limits) -> (Memory, RawHost, TcpRepr<'static>) {
    let server = Memory::with(line(limits), 1);
    let mut client = raw_host(&server);
    client.send(&TcpRepr { control: TcpControl::Syn, window_len: 4, ..segment(1000, 7) });
    server.pass(Duration::ZERO);
    let answer = client.received().pop().unwrap();
    let next = TcpRepr { ack_number: Some(answer.sequence + 1), window_len: 4, ..segment(1000, 8) };
    client.send(&TcpRepr { control: TcpControl::Fin, payload: b"haha\nbyebye\n", ..next });
    server.pass(Duration::ZERO);
    (server, client, TcpRepr { seq_number: TcpSeqNumber(8 + 13), ..next })
}

#[test]
fn a_connection_reset_before_the_last_reply_is_not_counted_as_completed() {
    let (server, mut client, next) = with_a_client_that_takes_nothing(Limits::DEFAULT);
    client.send(&TcpRepr { control: TcpControl::Rst, ..next });
    server.pass(Duration::ZERO);
    let counters = server.counters();
    assert_eq!((server.busy(), counters.completed, counters.reset), (0, 0, 1));
}

#[test]
fn a_connection_lost_before_the_last_reply_is_not_counted_as_completed() {
    let limits = Limits { unacknowledged: Duration::from_secs(5), ..Limits::DEFAULT };
    let (server, _, _) = with_a_client_that_takes_nothing(limits);
    server.pass(Duration::from_secs(6));
    let counters = server.counters();
    assert_eq!((server.busy(), counters.completed, counters.timed_out), (0, 0, 1));
}

#[test]
fn a_client_is_greeted_after_an_earlier_handshake_is_reset_in_the_same_poll() {
    let server = Memory::with(line(Limits::DEFAULT), 3);
    let mut client = raw_host(&server);
    client.send(&TcpRepr { control: TcpControl::Syn, ..segment(1000, 7) });
    client.send(&TcpRepr { control: TcpControl::Syn, ..segment(1001, 7) });
    client.send(&TcpRepr { control: TcpControl::Rst, ..segment(1000, 8) });
    server.pass(Duration::ZERO);
    assert_eq!(server.busy(), 1);
    let answer = client.received().pop().unwrap();
    assert_eq!((answer.control, answer.destination_port), (TcpControl::Syn, 1001));
    // A repeated SYN does not use a second socket.
    client.send(&TcpRepr { control: TcpControl::Syn, ..segment(1001, 7) });
    server.pass(Duration::ZERO);
    assert_eq!(server.busy(), 1);
    client.send(&TcpRepr { ack_number: Some(answer.sequence + 1), ..segment(1001, 8) });
    server.pass(Duration::ZERO);
    assert_eq!(client.received().pop().unwrap().payload, b"Welcome!\n");
}

#[test]
fn a_keep_alive_probe_never_adds_a_byte_to_a_reply() {
    let server = Memory::with(line(Limits::DEFAULT), 1);
    let mut client = raw_host(&server);
    client.send(&TcpRepr { control: TcpControl::Syn, window_len: 16, ..segment(1000, 7) });
    server.pass(Duration::ZERO);
    let start = client.received().pop().unwrap().sequence + 1;
    let acknowledgement =
        |count: usize, window_len| TcpRepr { ack_number: Some(start + count), window_len, ..segment(1000, 8) };
    client.send(&acknowledgement(0, 16));
    server.pass(Duration::ZERO);
    assert_eq!(client.received().pop().unwrap().payload, b"Welcome!\n");
    // The window accepts a part of the reply, closes, and opens again: smoltcp does not retransmit the rest.
    client.send(&acknowledgement(6, 0));
    client.send(&acknowledgement(6, 16));
    for _ in 0..200 {
        server.pass(Duration::from_secs(1));
        for segment in client.received().iter().filter(|segment| !segment.payload.is_empty()) {
            let offset = segment.sequence - start;
            let owed = b"Welcome!\n".get(offset..).unwrap_or_default();
            assert!(owed.starts_with(&segment.payload), "at {offset}: {:?}", segment.payload);
        }
    }
    assert_eq!(server.busy(), 0);
}

#[test]
fn a_poll_ends_even_if_a_socket_in_fin_wait_2_always_asks_to_send() {
    let (mut now, ether) = (Instant::ZERO, Ether::default());
    let hardware = [1, 9].map(|number| EthernetAddress([2, 0, 0, 0, 0, number]));
    let address = [1, 9].map(|number| Ipv4Address::new(10, 0, 0, number));
    let mut port = ether.port(hardware[0]);
    let addresses = [IpCidr::new(address[0].into(), 24)];
    let settings = stack::Settings { addresses: &addresses, ..stack::Settings::new(hardware[0], 1) };
    let mut stack = Stack::new(settings, &mut port, SocketSet::new(Vec::new()), now).unwrap();
    let mut socket = Socket::new(SocketBuffer::new(vec![0; 64]), SocketBuffer::new(vec![0; 64]));
    socket.listen(9999).unwrap();
    let handle = stack.sockets().add(socket);

    let mut peer = RawHost::new(ether.port(hardware[1]), hardware[1], address[1], hardware[0], address[0]);
    peer.introduce();
    peer.send(&TcpRepr { control: TcpControl::Syn, window_len: 1, ..segment(1000, 7) });
    stack.poll(now, &mut port, |_, _| None);
    let start = peer.received().pop().unwrap().sequence;
    let acknowledgement =
        |count: usize, window_len| TcpRepr { ack_number: Some(start + count), window_len, ..segment(1000, 8) };
    peer.send(&acknowledgement(1, 1));
    stack.poll(now, &mut port, |_, _| None);
    stack.sockets().get_mut::<Socket<'_>>(handle).send_slice(b"ab").unwrap();
    stack.poll(now, &mut port, |_, _| None);
    peer.send(&acknowledgement(2, 0)); // one byte is accepted, and the window is closed
    stack.poll(now, &mut port, |_, _| None);
    stack.sockets().get_mut::<Socket<'_>>(handle).close();
    now = now + Duration::from_secs(1);
    stack.poll(now, &mut port, |_, _| None); // the other is sent all the same, to see whether there is room now
    peer.send(&acknowledgement(4, 0)); // so it is, and its FIN is taken too
    stack.poll(now, &mut port, |_, _| None);
    assert_eq!(stack.sockets().get_mut::<Socket<'_>>(handle).state(), State::FinWait2);
    peer.received();
    now = now + Duration::from_secs(2);
    let next = stack.poll(now, &mut port, |_, _| None);
    assert!(next.is_some_and(|next| next > now), "{next:?}");
    assert!(peer.received().len() <= stack::PASSES + 2);
}
