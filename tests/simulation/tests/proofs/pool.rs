//! The pool of sockets in situations in which other servers on smoltcp fail: one test for each, on a virtual clock.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "in a test a panic is how a failure is reported"
)]

use core::time::Duration;
use std::io;

use greet_core::{Framing, LINGER, ServerSettings};
use greet_smoltcp::pool::{Limits, Settings};
use greet_tests::{
    frontend::{Connection, Frontend},
    memory::{Memory, MemoryConnection},
    segment::{RawHost, Segment, segment},
};
use smoltcp::wire::{EthernetAddress, IpAddress, Ipv4Address, TcpControl, TcpRepr, TcpSeqNumber};

const SECOND: Duration = Duration::from_secs(1);
const LIMITS: Limits = Limits::DEFAULT;
/// Delay of the client's acknowledgement of the FIN.
const ACK_DELAY: Duration = Duration::from_millis(10);

fn line() -> Settings {
    Settings { server: ServerSettings { framing: Framing::Line, ..ServerSettings::DEFAULT }, ..Settings::DEFAULT }
}

/// Opens a connection and receives the greeting.
fn greeted(server: &mut Memory) -> MemoryConnection {
    let mut client = server.connect(Framing::Line).expect("a socket listens");
    expect(&mut client, b"Welcome!\n");
    client
}

#[track_caller]
fn expect(client: &mut MemoryConnection, expected: &[u8]) {
    let mut received = Vec::new();
    client.receive(expected.len(), &mut received).unwrap();
    assert_eq!(received, expected);
}

#[track_caller]
fn answers(client: &mut MemoryConnection, name: &str) {
    client.send(format!("{name}\n").as_bytes()).unwrap();
    expect(client, format!("Hello, {name}!\n").as_bytes());
}

fn raw_host(server: &Memory, number: u8) -> RawHost {
    let hardware = EthernetAddress([2, 0, 0, 0, 1, number]);
    let (server_hardware, IpAddress::Ipv4(address)) = Memory::server() else { panic!("it has an IPv4 address") };
    RawHost::new(server.port(hardware), hardware, Ipv4Address::new(10, 0, 0, number), server_hardware, address)
}

fn syn(port: u16, sequence: i32) -> TcpRepr<'static> {
    TcpRepr { control: TcpControl::Syn, ..segment(port, sequence) }
}

#[test]
fn with_all_slots_busy_a_client_is_refused_at_once_and_served_when_a_slot_is_free() {
    let mut server = Memory::with(line(), 2);
    let mut first = greeted(&mut server);
    let mut second = greeted(&mut server);
    let before = server.now();
    let refused = server.connect(Framing::Line).map(drop).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    assert_eq!(server.now(), before, "it took no time");
    assert_eq!(server.frames().refused, 1);

    first.send(b"exit\n").unwrap();
    first.half_close().unwrap();
    let mut third = greeted(&mut server);
    assert_eq!(server.now(), before, "the socket listened again in the poll in which it was done");
    answers(&mut second, "second");
    answers(&mut third, "third");
}

#[test]
fn a_client_that_connects_while_another_closes_is_served() {
    let server = Memory::with(line(), 1);
    let mut leaving = raw_host(&server, 9);
    leaving.introduce();
    leaving.send(&syn(1000, 7));
    server.pass(Duration::ZERO);
    let answer = leaving.received().pop().unwrap();
    let acknowledged = TcpRepr { ack_number: Some(answer.sequence + 1), ..segment(1000, 8) };
    leaving.send(&acknowledged);
    server.pass(Duration::ZERO);
    let reset = TcpRepr { control: TcpControl::Rst, ..acknowledged };
    // Both arrive before the server is polled.
    leaving.send(&reset);
    leaving.send(&syn(1001, 7));
    server.pass(Duration::ZERO);
    assert_eq!(leaving.received().pop().unwrap().control, TcpControl::Syn);
    assert_eq!((server.counters().reset, server.frames().refused), (1, 0));
}

#[test]
fn an_unfinished_handshake_frees_its_slot() {
    let mut server = Memory::with(line(), 1);
    let mut silent = raw_host(&server, 9);
    silent.introduce();
    silent.send(&syn(1000, 7));
    server.pass(LIMITS.handshake - SECOND);
    assert_eq!(server.busy(), 1);
    server.pass(SECOND);
    assert_eq!(server.busy(), 0);
    assert_eq!(silent.received().last().unwrap().control, TcpControl::Rst);
    assert_eq!((server.counters().unfinished, server.counters().accepted), (1, 0));
    answers(&mut greeted(&mut server), "haha");
}

#[test]
fn a_reset_handshake_frees_its_slot_at_once() {
    let mut server = Memory::with(line(), 1);
    let mut fickle = raw_host(&server, 9);
    fickle.introduce();
    fickle.send(&syn(1000, 7));
    server.pass(Duration::ZERO);
    let answer = fickle.received().pop().unwrap();
    assert_eq!(answer.control, TcpControl::Syn);
    let reset = TcpRepr { control: TcpControl::Rst, ..segment(1000, 8) };
    fickle.send(&TcpRepr { ack_number: Some(answer.sequence + 1), ..reset });
    server.pass(Duration::ZERO);
    assert_eq!(server.busy(), 0);
    answers(&mut greeted(&mut server), "haha");
}

#[test]
fn an_open_conversation_continues_during_a_syn_flood_and_the_slots_are_free_afterwards() {
    let mut server = Memory::with(line(), 8);
    let mut client = greeted(&mut server);
    let mut flood = raw_host(&server, 9);
    flood.introduce();
    for number in 0..1000 {
        flood.send(&syn(1000 + number, 7));
        server.pass(LIMITS.half_open);
        if number % 100 == 0 {
            answers(&mut client, "haha");
        }
    }
    answers(&mut client, "still");
    assert_eq!(server.busy(), 8);
    // Each of the other half-open connections was dropped for the next one, without a segment.
    assert!(flood.received().iter().all(|segment| segment.control == TcpControl::Syn));
    assert_eq!((server.frames().refused, server.counters().unfinished), (0, 1000 - 7));
    server.pass(LIMITS.handshake);
    assert_eq!(server.busy(), 1);
    answers(&mut client, "and still");
}

#[test]
fn an_open_conversation_continues_during_a_flood_of_frames() {
    let mut server = Memory::with(line(), 2);
    let mut client = greeted(&mut server);
    let mut flood = raw_host(&server, 9);
    flood.introduce();
    for _ in 0..10_000 {
        // An ACK without a connection: it is answered by a reset.
        flood.send(&TcpRepr { ack_number: Some(TcpSeqNumber(1)), ..segment(999, 1) });
    }
    let before = server.now();
    answers(&mut client, "haha");
    assert_eq!(server.now(), before);
}

#[test]
fn a_repeated_syn_belongs_to_its_own_connection() {
    // The first socket is free again when the second is still busy: a SYN for the latter must not go to the former.
    let mut server = Memory::with(line(), 2);
    let mut first = greeted(&mut server);
    let mut host = raw_host(&server, 9);
    host.introduce();
    host.send(&syn(1000, 7));
    server.pass(Duration::ZERO);
    let answer = host.received().pop().unwrap();
    first.send(b"exit\n").unwrap();
    first.half_close().unwrap();
    server.pass(Duration::ZERO);
    assert_eq!(server.busy(), 1);

    host.send(&syn(1000, 7));
    server.pass(Duration::ZERO);
    assert_eq!(server.busy(), 1, "no second socket is taken");
    host.received();
    host.send(&TcpRepr { ack_number: Some(answer.sequence + 1), ..segment(1000, 8) });
    server.pass(Duration::ZERO);
    assert_eq!(server.counters().accepted, 2);
    let greeting = host.received().pop().unwrap();
    assert_eq!(greeting.payload, b"Welcome!\n");
}

#[test]
fn input_received_with_the_fin_before_the_accept_is_answered() {
    let server = Memory::with(line(), 1);
    let mut host = raw_host(&server, 9);
    host.introduce();
    host.send(&syn(1000, 7));
    server.pass(Duration::ZERO);
    let answer = host.received().pop().unwrap();
    let acknowledged = TcpRepr { ack_number: Some(answer.sequence + 1), ..segment(1000, 8) };
    // All three arrive before the server is polled.
    host.send(&acknowledged);
    host.send(&TcpRepr { payload: b"haha\nbyebye", ..acknowledged });
    host.send(&TcpRepr { control: TcpControl::Fin, seq_number: TcpSeqNumber(8 + 11), ..acknowledged });
    server.pass(Duration::ZERO);
    let came = host.received();
    let text: Vec<u8> = came.iter().flat_map(|segment| segment.payload.iter().copied()).collect();
    assert_eq!(text, b"Welcome!\nHello, haha!\nHello, byebye!\n");
    let Segment { control, sequence, payload, .. } = came.last().unwrap().clone();
    assert_eq!(control, TcpControl::Fin);
    let end = Some(sequence + payload.len() + 1);
    host.send(&TcpRepr { seq_number: TcpSeqNumber(8 + 12), ack_number: end, ..acknowledged });
    server.pass(Duration::ZERO);
    assert_eq!((server.busy(), server.counters().completed), (0, 1));
}

#[test]
fn a_client_that_stops_answering_loses_its_slot() {
    let mut server = Memory::with(line(), 1);
    let mut client = greeted(&mut server);
    answers(&mut client, "haha");
    server.pass(ACK_DELAY);
    server.cut(true);
    server.pass(LIMITS.vanished - SECOND);
    assert_eq!(server.busy(), 1);
    server.pass(2 * SECOND);
    assert_eq!((server.busy(), server.counters().timed_out), (0, 1));
}

/// A client that has closed its window, with replies waiting for it, and answers each probe with a window of 0 until `until`.
fn with_a_closed_window(until: Duration) -> (Memory, RawHost, TcpRepr<'static>) {
    let server = Memory::with(line(), 1);
    let mut host = raw_host(&server, 9);
    host.introduce();
    host.send(&syn(1000, 7));
    server.pass(Duration::ZERO);
    let start = host.received().pop().unwrap().sequence + 1;
    let mut closed = TcpRepr { ack_number: Some(start), window_len: 0, ..segment(1000, 8) };
    host.send(&closed);
    host.send(&TcpRepr { payload: b"haha\nbyebye\n", ..closed });
    closed.seq_number += 12;
    let end = server.now() + until;
    while server.now() < end {
        host.introduce(); // it answers no ARP request, and would be forgotten between two probes
        server.pass(Duration::from_millis(100));
        for probe in host.received() {
            assert_ne!(probe.control, TcpControl::Rst, "at {:?}", server.now());
            if !probe.payload.is_empty() {
                host.send(&closed);
            }
        }
    }
    (server, host, closed)
}

#[test]
fn a_client_with_a_closed_window_is_kept_as_long_as_it_answers_probes() {
    let (server, mut host, closed) = with_a_closed_window(250 * SECOND);
    let mut received = Vec::new();
    let start = closed.ack_number.unwrap();
    let mut open = TcpRepr { window_len: 4096, ..closed };
    host.send(&open);
    for _ in 0..10 {
        host.introduce();
        server.pass(SECOND);
        for segment in host.received() {
            let offset = segment.sequence - start;
            if offset == received.len() {
                received.extend_from_slice(&segment.payload);
            }
        }
        open.ack_number = Some(start + received.len());
        host.send(&open);
    }
    assert_eq!(received, b"Welcome!\nHello, haha!\nHello, byebye!\n");
    assert_eq!((server.busy(), server.counters().timed_out), (1, 0));
}

#[test]
fn a_client_with_a_closed_window_loses_its_slot_after_the_idle_timeout() {
    let idle = ServerSettings::DEFAULT.idle_timeout.unwrap();
    let (server, _, _) = with_a_closed_window(idle - SECOND);
    assert_eq!(server.busy(), 1);
    server.pass(LIMITS.delivery + 2 * SECOND);
    assert_eq!(server.busy(), 0);
}

#[test]
fn a_client_with_a_closed_window_that_stops_answering_loses_its_slot() {
    let (server, _, _) = with_a_closed_window(20 * SECOND);
    server.pass(LIMITS.unacknowledged);
    assert_eq!((server.busy(), server.counters().timed_out), (0, 1));
}

#[test]
fn a_silent_client_that_answers_keep_alive_probes_is_kept() {
    let settings = ServerSettings { framing: Framing::Line, idle_timeout: None, ..ServerSettings::DEFAULT };
    let mut server = Memory::with(Settings { server: settings, ..Settings::DEFAULT }, 1);
    let mut client = greeted(&mut server);
    server.pass(3600 * SECOND);
    answers(&mut client, "still here");
}

#[test]
fn an_idle_client_gets_an_error_reply_and_loses_its_slot() {
    let settings = ServerSettings { framing: Framing::Line, idle_timeout: Some(7 * SECOND), ..ServerSettings::DEFAULT };
    let mut server = Memory::with(Settings { server: settings, ..Settings::DEFAULT }, 1);
    let mut client = greeted(&mut server);
    server.pass(7 * SECOND);
    expect(&mut client, b"Error: idle for 7 s\n");
    server.pass(LINGER + ACK_DELAY);
    assert_eq!((server.busy(), server.counters().completed), (0, 1));
}

#[test]
fn a_client_that_reads_slowly_but_steadily_gets_everything() {
    let idle_timeout = Some(3 * SECOND);
    let settings = ServerSettings { framing: Framing::Line, idle_timeout, ..ServerSettings::DEFAULT };
    let mut server = Memory::with(Settings { server: settings, ..Settings::DEFAULT }, 1);
    let mut client = greeted(&mut server);
    let name = "n".repeat(1000);
    let mut expected = Vec::new();
    for _ in 0..20 {
        client.send(format!("{name}\n").as_bytes()).unwrap();
        expected.extend_from_slice(format!("Hello, {name}!\n").as_bytes());
    }
    client.send(b"exit\n").unwrap();
    let mut received = Vec::new();
    while received.len() < expected.len() {
        server.pass(2 * SECOND);
        client.receive(1000.min(expected.len() - received.len()), &mut received).unwrap();
    }
    assert_eq!(received, expected);
    client.half_close().unwrap();
    server.pass(Duration::ZERO);
    assert_eq!((server.busy(), server.counters().completed), (0, 1));
}

#[test]
fn a_client_that_sends_names_and_never_reads_loses_its_slot() {
    let server = ServerSettings { framing: Framing::Line, idle_timeout: Some(30 * SECOND), ..ServerSettings::DEFAULT };
    let mut server = Memory::with(Settings { server, ..Settings::DEFAULT }, 1);
    let mut client = greeted(&mut server);
    let names = "n\n".repeat(1000);
    while client.send(names.as_bytes()).is_ok() {
        assert!(server.now().as_micros() < 120_000_000, "it is answered without end");
        if server.busy() == 0 {
            break;
        }
        server.pass(SECOND);
    }
    // The idle timeout (T2) once for the machine, and once for the data in the socket.
    server.pass(30 * SECOND + 2 * LINGER);
    assert_eq!((server.busy(), server.counters().timed_out), (0, 1));
}

#[test]
fn a_client_that_never_sends_its_fin_loses_its_slot_after_the_linger_time() {
    let mut server = Memory::with(line(), 1);
    let mut client = greeted(&mut server);
    client.send(b"haha\nexit\n").unwrap();
    expect(&mut client, b"Hello, haha!\n");
    server.pass(LINGER);
    assert_eq!(server.busy(), 1);
    server.pass(ACK_DELAY);
    assert_eq!((server.busy(), server.counters().completed), (0, 1));
    answers(&mut greeted(&mut server), "next");
}

#[test]
fn no_slot_stays_in_time_wait_whichever_side_closes_first() {
    for server_first in [false, true] {
        let mut server = Memory::with(line(), 1);
        let mut client = greeted(&mut server);
        if server_first {
            client.send(b"exit\n").unwrap();
        }
        client.half_close().unwrap();
        server.pass(Duration::ZERO);
        assert_eq!(server.busy(), 0);
        client.check_closed().expect("no reset");
    }
}

#[test]
fn a_reset_by_one_client_does_not_affect_others() {
    let mut server = Memory::with(line(), 2);
    let mut client = greeted(&mut server);
    drop(greeted(&mut server));
    assert_eq!((server.busy(), server.counters().reset), (1, 1));
    answers(&mut client, "haha");
}

#[test]
fn a_reply_and_its_acknowledgement_are_one_frame() {
    let mut server = Memory::with(line(), 1);
    let mut client = greeted(&mut server);
    answers(&mut client, "warm");
    let before = server.frames();
    for number in 0..100 {
        answers(&mut client, &number.to_string());
    }
    assert_eq!(server.frames().frames_sent - before.frames_sent, 100);
}

#[test]
fn a_thousand_clients_in_sequence_are_greeted_without_delay() {
    let mut server = Memory::with(line(), 1);
    for number in 0..1000 {
        let before = server.now();
        let mut client = greeted(&mut server);
        answers(&mut client, "haha");
        client.send(b"exit\n").unwrap();
        client.half_close().unwrap();
        assert_eq!(server.now(), before, "client {number}");
    }
    assert_eq!(server.counters().completed, 1000);
}

#[test]
fn an_idle_server_requests_no_poll() {
    let server = Memory::with(line(), 8);
    server.pass(SECOND);
    assert_eq!(server.next(), None);
}

#[test]
fn a_stopping_service_sends_its_replies_and_a_fin_and_accepts_no_client() {
    let settings = ServerSettings { framing: Framing::Line, delay: SECOND, ..ServerSettings::DEFAULT };
    let mut server = Memory::with(Settings { server: settings, ..Settings::DEFAULT }, 2);
    let mut busy = greeted(&mut server);
    busy.send(b"haha\n").unwrap();
    server.close();
    assert_eq!(server.connect(Framing::Line).map(drop).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    let mut received = Vec::new();
    busy.receive(100, &mut received).unwrap();
    assert_eq!(received, b"Hello, haha!\n");
    busy.half_close().unwrap();
    server.pass(Duration::ZERO);
    assert_eq!((server.busy(), server.counters().completed), (0, 1));
}
