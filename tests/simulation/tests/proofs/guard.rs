//! SYN and RST for an existing connection, answered as RFC 9293 and RFC 5961 require: after a restart of the client, from an
//! attacker who guesses, and during a SYN flood.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "in a test a panic is how a failure is reported"
)]

use core::time::Duration;

use greet_core::{Framing, ServerSettings};
use greet_smoltcp::pool::{Limits, Settings};
use greet_tests::{
    frontend::{Connection, Frontend},
    memory::Memory,
    segment::{RawHost, Segment, segment},
};
use smoltcp::wire::{EthernetAddress, IpAddress, Ipv4Address, TcpControl, TcpRepr, TcpSeqNumber};

const SECOND: Duration = Duration::from_secs(1);
const PORT: u16 = 1000;

fn server(sockets: usize) -> Memory {
    let server = ServerSettings { framing: Framing::Line, ..ServerSettings::DEFAULT };
    Memory::with(Settings { server, ..Settings::DEFAULT }, sockets)
}

fn raw_host(server: &Memory, number: u8) -> RawHost {
    let hardware = EthernetAddress([2, 0, 0, 0, 1, number]);
    let (server_hardware, IpAddress::Ipv4(address)) = Memory::server() else { panic!("it has an IPv4 address") };
    let mut host =
        RawHost::new(server.port(hardware), hardware, Ipv4Address::new(10, 0, 0, number), server_hardware, address);
    host.introduce();
    host
}

fn syn(port: u16, sequence: i32) -> TcpRepr<'static> {
    TcpRepr { control: TcpControl::Syn, ..segment(port, sequence) }
}

fn reset(sequence: i32) -> TcpRepr<'static> {
    TcpRepr { control: TcpControl::Rst, ..segment(PORT, sequence) }
}

/// Sends a segment. Returns the immediate answers.
fn exchange(server: &Memory, host: &mut RawHost, segment: &TcpRepr<'_>) -> Vec<Segment> {
    host.send(segment);
    server.pass(Duration::ZERO);
    host.received()
}

/// Opens a connection whose next sequence number is 8. Returns the acknowledgement number after the greeting.
fn connected(server: &Memory, host: &mut RawHost) -> TcpSeqNumber {
    let answer = exchange(server, host, &syn(PORT, 7)).pop().unwrap();
    assert_eq!(answer.control, TcpControl::Syn);
    let acknowledged = TcpRepr { ack_number: Some(answer.sequence + 1), ..segment(PORT, 8) };
    let greeting = exchange(server, host, &acknowledged).pop().unwrap();
    assert_eq!(greeting.payload, b"Welcome!\n");
    let all = greeting.sequence + greeting.payload.len();
    host.send(&TcpRepr { ack_number: Some(all), ..acknowledged });
    server.pass(Duration::ZERO);
    all
}

#[track_caller]
fn is_served(server: &Memory, host: &mut RawHost, sent: TcpSeqNumber) {
    let name = TcpRepr { ack_number: Some(sent), payload: b"haha\n", ..segment(PORT, 8) };
    let answer = exchange(server, host, &name).pop().expect("an answer");
    assert_eq!(answer.payload, b"Hello, haha!\n");
}

#[test]
fn a_restarted_client_with_the_same_port_is_accepted_when_it_repeats_its_syn() {
    let server = server(4);
    let mut host = raw_host(&server, 9);
    connected(&server, &mut host);
    let challenge = exchange(&server, &mut host, &syn(PORT, 5_000_000)).pop().expect("a challenge ACK");
    assert_eq!((challenge.control, challenge.acknowledged), (TcpControl::None, Some(TcpSeqNumber(8))));
    // A client in SYN-SENT answers an unacceptable ACK with this reset (RFC 9293, 3.10.7.3).
    assert!(exchange(&server, &mut host, &reset(8)).is_empty());
    assert_eq!((server.busy(), server.counters().reset), (0, 1));
    server.pass(SECOND);
    let answer = exchange(&server, &mut host, &syn(PORT, 5_000_000)).pop().unwrap();
    assert_eq!((answer.control, answer.acknowledged), (TcpControl::Syn, Some(TcpSeqNumber(5_000_001))));
}

#[test]
fn a_syn_does_not_end_an_open_connection() {
    let server = server(1);
    let mut host = raw_host(&server, 9);
    let sent = connected(&server, &mut host);
    let mut challenges = 0;
    for number in 0..50 {
        challenges += exchange(&server, &mut host, &syn(PORT, 8 + number)).len();
        server.pass(SECOND / 10);
    }
    assert!((1..=6).contains(&challenges), "{challenges} in 5 s");
    is_served(&server, &mut host, sent);
}

/// Makes a connection in TIME-WAIT: the server has closed first. Returns the client's next sequence number.
fn in_time_wait(server: &Memory, host: &mut RawHost) -> i32 {
    let all = connected(server, host);
    let exit = TcpRepr { ack_number: Some(all), payload: b"exit\n", ..segment(PORT, 8) };
    let fin = exchange(server, host, &exit).pop().unwrap();
    assert_eq!(fin.control, TcpControl::Fin);
    let end = TcpRepr { control: TcpControl::Fin, ack_number: Some(fin.sequence + 1), ..segment(PORT, 13) };
    exchange(server, host, &end);
    assert_eq!((server.busy(), server.counters().completed), (0, 1));
    14
}

#[test]
fn in_time_wait_a_syn_with_a_new_sequence_number_is_accepted_at_once() {
    let server = server(4);
    let mut host = raw_host(&server, 9);
    let next = in_time_wait(&server, &mut host);
    let answer = exchange(&server, &mut host, &syn(PORT, next + 1000)).pop().expect("an answer");
    assert_eq!((answer.control, answer.acknowledged), (TcpControl::Syn, Some(TcpSeqNumber(next + 1001))));
    let acknowledged = TcpRepr { ack_number: Some(answer.sequence + 1), ..segment(PORT, next + 1001) };
    let greeting = exchange(&server, &mut host, &acknowledged).pop().unwrap();
    assert_eq!((greeting.payload.as_slice(), server.busy()), (&b"Welcome!\n"[..], 1));
}

#[test]
fn in_time_wait_an_old_syn_is_answered_by_an_acknowledgement() {
    let server = server(4);
    let mut host = raw_host(&server, 9);
    let next = in_time_wait(&server, &mut host);
    server.pass(SECOND); // since smoltcp acknowledged the FIN
    let answer = exchange(&server, &mut host, &syn(PORT, 7)).pop().expect("an answer");
    assert_eq!((answer.control, answer.acknowledged), (TcpControl::None, Some(TcpSeqNumber(next))));
    assert_eq!(server.busy(), 0);
}

#[test]
fn a_reset_ends_a_connection_at_exactly_the_next_sequence_number() {
    let server = server(1);
    let mut host = raw_host(&server, 9);
    connected(&server, &mut host);
    assert!(exchange(&server, &mut host, &reset(8)).is_empty());
    assert_eq!((server.busy(), server.counters().reset), (0, 1));
}

#[test]
fn guessed_resets_end_no_connection_and_are_challenged_once_a_second() {
    let server = server(1);
    let mut host = raw_host(&server, 9);
    let sent = connected(&server, &mut host);
    let mut challenges = Vec::new();
    for number in 0..1000 {
        challenges.extend(exchange(&server, &mut host, &reset(9 + number * 7)));
        server.pass(SECOND / 100);
    }
    assert!((9..=11).contains(&challenges.len()), "{} in 10 s", challenges.len());
    assert!(challenges.iter().all(|challenge| challenge.acknowledged == Some(TcpSeqNumber(8))));
    is_served(&server, &mut host, sent);
}

#[test]
fn a_reset_out_of_the_window_gets_no_answer() {
    let server = server(1);
    let mut host = raw_host(&server, 9);
    let sent = connected(&server, &mut host);
    for far in [7, -1000, 1_000_000, i32::MAX, i32::MIN] {
        assert!(exchange(&server, &mut host, &reset(far)).is_empty(), "{far}");
        server.pass(SECOND);
    }
    is_served(&server, &mut host, sent);
}

#[test]
fn a_valid_reset_directly_after_a_guessed_reset_is_accepted() {
    let server = server(1);
    let mut host = raw_host(&server, 9);
    connected(&server, &mut host);
    exchange(&server, &mut host, &reset(100));
    exchange(&server, &mut host, &reset(8));
    assert_eq!((server.busy(), server.counters().reset), (0, 1));
}

#[test]
fn a_valid_reset_is_accepted_within_the_second_after_a_challenge_ack() {
    type Challenge = fn(&Memory, &mut RawHost, TcpSeqNumber) -> i32;
    let challenges: [(&str, Challenge); 3] = [
        ("by smoltcp itself", |server, host, sent| {
            let wrong = TcpRepr { ack_number: Some(sent + 1000), ..segment(PORT, 8) };
            assert_eq!(exchange(server, host, &wrong).len(), 1);
            8
        }),
        ("and more data", |server, host, sent| {
            assert_eq!(exchange(server, host, &syn(PORT, 9)).len(), 1);
            is_served(server, host, sent);
            13
        }),
        ("and those of other connections", |server, host, _| {
            assert_eq!(exchange(server, host, &syn(PORT, 9)).len(), 1);
            for number in 10..16 {
                let mut other = raw_host(server, number);
                connected(server, &mut other);
                assert_eq!(exchange(server, &mut other, &syn(PORT, 9)).len(), 1);
            }
            8
        }),
    ];
    for (what, challenge) in challenges {
        let server = server(8);
        let mut host = raw_host(&server, 9);
        let sent = connected(&server, &mut host);
        let next = challenge(&server, &mut host, sent);
        let all = if next == 8 { sent } else { sent + 13 };
        exchange(&server, &mut host, &TcpRepr { ack_number: Some(all), ..reset(next) });
        assert_eq!(server.counters().reset, 1, "{what}");
    }
}

#[test]
fn a_segment_without_flags_gets_an_answer_from_a_closed_port_only() {
    let server = server(1);
    let mut host = raw_host(&server, 9);
    for (control, length) in [(TcpControl::None, 0), (TcpControl::Fin, 1)] {
        let to_listener = TcpRepr { control, ..segment(PORT, 70) };
        assert!(exchange(&server, &mut host, &to_listener).is_empty(), "RFC 9293, 3.10.7.2");
        let to_closed = TcpRepr { dst_port: 80, ..to_listener };
        let answer = exchange(&server, &mut host, &to_closed).pop().expect("RFC 9293, 3.10.7.1");
        let expected = (TcpControl::Rst, TcpSeqNumber(0), Some(TcpSeqNumber(70 + length)));
        assert_eq!((answer.control, answer.sequence, answer.acknowledged), expected);
    }
}

#[test]
fn twenty_syns_per_second_without_a_handshake_do_not_block_clients() {
    let mut server = server(8);
    let mut flood = raw_host(&server, 9);
    for number in 0..200 {
        flood.send(&syn(2000 + number, 7));
        server.pass(SECOND / 20);
        if number % 4 == 0 {
            let mut client = server.connect(Framing::Line).expect("a socket listens");
            client.send(b"haha\nexit\n").unwrap();
            client.half_close().unwrap();
            let mut received = Vec::new();
            client.receive(22, &mut received).unwrap();
            assert_eq!(received, b"Welcome!\nHello, haha!\n");
        }
    }
    assert_eq!((server.counters().completed, server.frames().refused), (50, 0));
}

#[test]
fn a_burst_of_more_syns_than_slots_resets_no_handshake() {
    let server = server(8);
    let mut host = raw_host(&server, 9);
    for number in 0..32 {
        host.send(&syn(2000 + number, 7));
    }
    server.pass(Duration::ZERO);
    let answers = host.received();
    assert_eq!(answers.len(), 8, "the others are repeated by their clients");
    for answer in &answers {
        assert_eq!(answer.control, TcpControl::Syn);
        let finished = TcpRepr { ack_number: Some(answer.sequence + 1), ..segment(answer.destination_port, 8) };
        assert_eq!(exchange(&server, &mut host, &finished).pop().unwrap().payload, b"Welcome!\n");
    }
    // Now every socket has a connection.
    assert_eq!(exchange(&server, &mut host, &syn(2031, 7)).pop().unwrap().control, TcpControl::Rst);
    assert_eq!((server.counters().accepted, server.counters().unfinished, server.frames().refused), (8, 0, 1));
}

#[test]
fn a_repeated_syn_is_answered_by_the_same_syn_ack() {
    let server = server(2);
    let mut host = raw_host(&server, 9);
    let first = exchange(&server, &mut host, &syn(PORT, 7)).pop().unwrap();
    for _ in 0..2 {
        let again = exchange(&server, &mut host, &syn(PORT, 7)).pop().expect("an answer");
        let expected = (TcpControl::Syn, first.sequence, first.acknowledged);
        assert_eq!((again.control, again.sequence, again.acknowledged), expected);
    }
    let finished = TcpRepr { ack_number: Some(first.sequence + 1), ..segment(PORT, 8) };
    assert_eq!(exchange(&server, &mut host, &finished).pop().unwrap().payload, b"Welcome!\n");
    assert_eq!(server.counters().accepted, 1);
}

#[test]
fn a_client_that_restarts_during_its_handshake_is_accepted_at_once() {
    let server = server(1);
    let mut host = raw_host(&server, 9);
    assert_eq!(exchange(&server, &mut host, &syn(PORT, 7)).len(), 1);
    // The answer acknowledges the SYN of before: the client resets that connection (RFC 9293, 3.10.7.3).
    let old = exchange(&server, &mut host, &syn(PORT, 5_000_000)).pop().expect("its SYN-ACK");
    assert_eq!((old.control, old.acknowledged), (TcpControl::Syn, Some(TcpSeqNumber(8))));
    assert!(exchange(&server, &mut host, &reset(8)).is_empty());
    let answer = exchange(&server, &mut host, &syn(PORT, 5_000_000)).pop().unwrap();
    assert_eq!((answer.control, answer.acknowledged), (TcpControl::Syn, Some(TcpSeqNumber(5_000_001))));
    // Neither is it answered by what was sent for the connection of before.
    let again = exchange(&server, &mut host, &syn(PORT, 5_000_000)).pop().unwrap();
    assert_eq!((again.sequence, again.acknowledged), (answer.sequence, answer.acknowledged));
}

/// The replies to `data` that comes with an acknowledgement number `age` bytes older than the newest.
fn with_old_acknowledgement(age: usize, damaged: bool) -> Vec<Segment> {
    let server = server(1);
    let mut host = raw_host(&server, 9);
    let sent = connected(&server, &mut host);
    let name = TcpRepr { ack_number: Some(sent), payload: b"haha\n", ..segment(PORT, 8) };
    let answer = exchange(&server, &mut host, &name).pop().unwrap();
    let all = answer.sequence + answer.payload.len();
    exchange(&server, &mut host, &TcpRepr { ack_number: Some(all), ..segment(PORT, 13) });
    let late = TcpRepr { ack_number: Some(all - age), payload: b"hoho\n", ..segment(PORT, 13) };
    if !damaged {
        return exchange(&server, &mut host, &late);
    }
    host.send_damaged(&late);
    server.pass(Duration::ZERO);
    host.received()
}

#[test]
fn data_with_an_old_acknowledgement_number_is_answered() {
    // It was on the way while the server sent 13 bytes, which the client has acknowledged meanwhile.
    let answer = with_old_acknowledgement(13, false).pop().expect("an answer");
    assert_eq!(answer.payload, b"Hello, hoho!\n");
    assert_eq!(with_old_acknowledgement(0, false).pop().unwrap().payload, b"Hello, hoho!\n");
}

#[test]
fn data_with_an_acknowledgement_number_that_cannot_be_under_way_is_not_taken() {
    // RFC 5961, 5.2: it is answered by an acknowledgement.
    let answer = with_old_acknowledgement(1_000_000, false).pop().expect("an answer");
    assert_eq!((answer.payload.len(), answer.acknowledged), (0, Some(TcpSeqNumber(13))));
}

#[test]
fn data_with_an_old_acknowledgement_number_and_a_wrong_checksum_is_dropped() {
    assert!(with_old_acknowledgement(13, true).is_empty());
}

#[test]
fn an_acknowledgement_of_what_was_never_sent_does_not_harm_the_data_after_it() {
    let server = server(1);
    let mut host = raw_host(&server, 9);
    let sent = connected(&server, &mut host);
    for _ in 0..2 {
        let wrong = TcpRepr { ack_number: Some(sent + 1000), ..segment(PORT, 8) };
        exchange(&server, &mut host, &wrong);
    }
    is_served(&server, &mut host, sent);
}

#[test]
fn only_half_open_connections_are_dropped_for_a_new_syn() {
    let mut server = server(2);
    let mut talking = server.connect(Framing::Line).unwrap();
    let mut host = raw_host(&server, 9);
    let first = exchange(&server, &mut host, &syn(2000, 7)).pop().unwrap();
    server.pass(Limits::DEFAULT.half_open);
    let second = exchange(&server, &mut host, &syn(2001, 7)).pop().unwrap();
    assert_eq!(second.control, TcpControl::Syn, "though the socket was taken");
    assert_eq!(server.counters().unfinished, 1);
    // The first client was slow: it gets a reset.
    let late = TcpRepr { ack_number: Some(first.sequence + 1), ..segment(2000, 8) };
    assert_eq!(exchange(&server, &mut host, &late).pop().unwrap().control, TcpControl::Rst);
    let finished = TcpRepr { ack_number: Some(second.sequence + 1), ..segment(2001, 8) };
    assert_eq!(exchange(&server, &mut host, &finished).pop().unwrap().payload, b"Welcome!\n");
    // Now both sockets are in use.
    assert_eq!(exchange(&server, &mut host, &syn(2002, 7)).pop().unwrap().control, TcpControl::Rst);
    assert_eq!(server.frames().refused, 1);
    talking.send(b"haha\n").unwrap();
    let mut received = Vec::new();
    talking.receive(22, &mut received).unwrap();
    assert_eq!(received, b"Welcome!\nHello, haha!\n");
}

/// Opens a connection and closes the window, so that the reply to a line waits. Returns the acknowledgement number before it.
fn waiting(server: &Memory, host: &mut RawHost) -> TcpSeqNumber {
    let all = connected(server, host);
    let line = TcpRepr { ack_number: Some(all), window_len: 0, payload: b"haha\n", ..segment(PORT, 8) };
    let answers = exchange(server, host, &line);
    assert!(answers.iter().all(|answer| answer.payload.is_empty()), "{answers:?}");
    all
}

#[test]
fn an_acknowledgement_of_bytes_that_wait_behind_a_closed_window_loses_none_of_them() {
    const REPLY: &[u8] = b"Hello, haha!\n";
    for count in 1..=REPLY.len() {
        let server = server(4);
        let mut host = raw_host(&server, 9);
        let all = waiting(&server, &mut host);
        let unsent = TcpRepr { ack_number: Some(all + count), ..segment(PORT, 13) };
        let answer = exchange(&server, &mut host, &unsent).pop().expect("an acknowledgement");
        assert_eq!(
            (answer.control, answer.sequence, answer.acknowledged),
            (TcpControl::None, all, Some(TcpSeqNumber(13)))
        );
        let answer =
            exchange(&server, &mut host, &TcpRepr { ack_number: Some(all), ..unsent }).pop().expect("the reply");
        assert_eq!(
            (answer.sequence, answer.payload.as_slice()),
            (all, REPLY),
            "after an acknowledgement of {count} bytes"
        );
    }
}

#[test]
fn an_acknowledgement_of_a_probe_of_the_closed_window_is_taken() {
    let server = server(4);
    let mut host = raw_host(&server, 9);
    let all = waiting(&server, &mut host);
    server.pass(5 * SECOND);
    let probe = host.received().pop().expect("a probe");
    assert_eq!((probe.sequence, probe.payload.as_slice()), (all, &b"H"[..]));
    let opens = TcpRepr { ack_number: Some(all + 1), ..segment(PORT, 13) };
    let answer = exchange(&server, &mut host, &opens).pop().expect("the rest of the reply");
    assert_eq!((answer.sequence, answer.payload.as_slice()), (all + 1, &b"ello, haha!\n"[..]));
}

#[test]
fn an_acknowledgement_of_bytes_that_were_sent_before_the_window_shrank_is_taken_after_a_timeout() {
    let server = server(4);
    let mut host = raw_host(&server, 9);
    let all = connected(&server, &mut host);
    let line = TcpRepr { ack_number: Some(all), payload: b"haha\n", ..segment(PORT, 8) };
    let reply = exchange(&server, &mut host, &line).pop().expect("the reply");
    let closed = TcpRepr { ack_number: Some(all), window_len: 0, ..segment(PORT, 13) };
    exchange(&server, &mut host, &closed);
    server.pass(5 * SECOND);
    host.received();
    let end = reply.sequence + reply.payload.len();
    let line = TcpRepr { ack_number: Some(end), payload: b"byebye\n", ..segment(PORT, 13) };
    let answer = exchange(&server, &mut host, &line).pop().expect("the next reply");
    assert_eq!((answer.sequence, answer.payload.as_slice()), (end, &b"Hello, byebye!\n"[..]));
}
