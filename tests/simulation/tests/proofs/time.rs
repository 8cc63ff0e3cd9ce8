//! Virtual time: the delay, the idle timeout, the end, and the client's timeout (rules T1, T2, C1, C2).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "in a test a panic is how a failure is reported"
)]

use core::time::Duration;

use greet_core::{
    Client, ClientEvent, ClientSettings, Framing, Instant, LINGER, LINGER_BYTES, Machine, Outcome, Server, ServerEnd,
    ServerSettings, State, WaitingFor,
};
use proptest::prelude::*;

use crate::virtual_time::{self, at};

const SECOND: Duration = Duration::from_secs(1);

const fn settings(framing: Framing) -> ServerSettings {
    ServerSettings { framing, ..ServerSettings::DEFAULT }
}

/// All output that is due at `now`, as text.
fn owed<M: Machine>(machine: &mut M, now: Instant) -> String {
    String::from_utf8(virtual_time::owed(machine, now)).unwrap()
}

/// A server that has sent its greeting at time 0.
fn greeted(settings: ServerSettings) -> Server<64> {
    let mut server = Server::new(settings, Instant::ZERO);
    assert!(owed(&mut server, Instant::ZERO).starts_with("Welcome!"));
    server
}

/// Offers `input` as a driver does, at every deadline, until all input is taken and all output sent. Returns the output with
/// its times.
fn timetable(server: &mut Server<64>, input: &[u8]) -> Vec<(Instant, String)> {
    let mut now = Instant::ZERO;
    let mut rest = input;
    let mut said = Vec::new();
    while server.state() == State::Open {
        let output = owed(server, now);
        if !output.is_empty() {
            said.push((now, output));
        }
        let taken = server.receive(now, rest).taken;
        rest = &rest[taken..];
        if taken > 0 || server.state() != State::Open {
            continue;
        }
        if rest.is_empty() && server.end().is_none() {
            return said;
        }
        now = server.deadline().unwrap();
    }
    said.push((now, "FIN".to_owned()));
    said
}

#[test]
fn t1_names_received_together_and_exit_are_answered_one_delay_apart() {
    let mut server = greeted(ServerSettings { delay: SECOND, ..settings(Framing::Line) });
    let expected = [(at(1), "Hello, a!\n"), (at(2), "Hello, b!\n"), (at(3), "Hello, c!\n"), (at(4), "FIN")];
    assert_eq!(timetable(&mut server, b"a\nb\nc\nexit\n"), expected.map(|(when, said)| (when, said.to_owned())));
    assert_eq!(server.end(), Some(ServerEnd::Exit));
}

#[test]
fn t1_errors_are_delayed_like_any_other_reply() {
    let mut server = greeted(ServerSettings { delay: SECOND, ..settings(Framing::Line) });
    let said = timetable(&mut server, b"\xFF\nb\nexit\n");
    assert_eq!(said.iter().map(|(when, _)| *when).collect::<Vec<_>>(), [at(1), at(2), at(3)]);
}

#[test]
fn t1_during_a_delay_nothing_is_sent_and_no_input_is_taken() {
    let mut server = greeted(ServerSettings { delay: SECOND, ..settings(Framing::Chunk) });
    assert_eq!(server.receive(Instant::ZERO, b"a").taken, 1);
    assert_eq!(server.deadline(), Some(at(1)));
    let just_before = Instant::from_micros(999_999);
    assert_eq!(owed(&mut server, just_before), "");
    assert_eq!(server.receive(just_before, b"b").taken, 0);
    assert_eq!(owed(&mut server, at(1)), "Hello, a!");
    assert_eq!(server.receive(at(1), b"b").taken, 1);
    assert_eq!(server.deadline(), Some(at(2)));
}

#[test]
fn t1_without_a_delay_the_reply_is_due_at_once() {
    let mut server = greeted(settings(Framing::Chunk));
    assert_eq!(server.receive(at(5), b"a").taken, 1);
    assert_eq!(owed(&mut server, at(5)), "Hello, a!");
}

#[test]
fn t1_names_received_before_the_clients_fin_keep_their_delays() {
    let mut server = greeted(ServerSettings { delay: SECOND, ..settings(Framing::Line) });
    assert_eq!(server.receive(Instant::ZERO, b"a\n").taken, 2);
    assert_eq!(owed(&mut server, at(1)), "Hello, a!\n");
    assert_eq!(server.receive(at(1), b"b").taken, 1);
    server.receive_end(at(1));
    assert_eq!((owed(&mut server, at(1)), server.deadline()), (String::new(), Some(at(2))));
    assert_eq!(owed(&mut server, at(2)), "Hello, b!\n");
    assert_eq!(server.state(), State::Over);
}

#[test]
fn t2_an_idle_conversation_ends_with_an_error_reply_and_then_lingers() {
    for (framing, error) in [(Framing::Chunk, "Error: idle for 300 s"), (Framing::Line, "Error: idle for 300 s\n")] {
        let mut server = greeted(settings(framing));
        assert_eq!(server.deadline(), Some(at(300)));
        assert_eq!(owed(&mut server, Instant::from_micros(299_999_999)), "");
        assert_eq!((server.state(), server.end()), (State::Open, None));
        assert_eq!(owed(&mut server, at(300)), error);
        assert_eq!((server.state(), server.end()), (State::Ending, Some(ServerEnd::Idle)));
        assert_eq!(server.deadline(), Some(at(300) + LINGER));
        assert_eq!(server.receive(at(301), b"haha").taken, 4);
        assert_eq!(owed(&mut server, at(301)), "");
        assert_eq!(owed(&mut server, at(302)), "");
        assert_eq!(server.state(), State::Over);
    }
}

#[test]
fn t2_the_error_reply_states_the_timeout_without_trailing_zeros() {
    let cases = [(500, "0.5"), (1_000, "1"), (1_250, "1.25"), (90_001, "90.001"), (3_600_000, "3600")];
    for (millis, shown) in cases {
        let idle = Duration::from_millis(millis);
        let mut server = greeted(ServerSettings { idle_timeout: Some(idle), ..settings(Framing::Chunk) });
        assert_eq!(owed(&mut server, Instant::ZERO + idle), format!("Error: idle for {shown} s"));
    }
}

#[test]
fn t2_without_an_idle_timeout_an_idle_conversation_stays_open() {
    let mut server = greeted(ServerSettings { idle_timeout: None, ..settings(Framing::Chunk) });
    assert_eq!(server.deadline(), None);
    assert_eq!(owed(&mut server, Instant::from_micros(u64::MAX - 1)), "");
    assert_eq!(server.state(), State::Open);
    assert_eq!(server.receive(Instant::from_micros(u64::MAX - 1), b"haha").taken, 4);
}

#[test]
fn t2_a_received_byte_restarts_the_idle_timeout_even_if_it_completes_no_name() {
    let mut server = greeted(settings(Framing::Line));
    assert_eq!(server.receive(at(200), b"h").taken, 1);
    assert_eq!(server.deadline(), Some(at(500)));
    assert_eq!(owed(&mut server, at(400)), "");
    assert_eq!(server.state(), State::Open);
    assert_eq!(owed(&mut server, at(500)), "Error: idle for 300 s\n");
}

#[test]
fn t2_a_sent_byte_restarts_the_idle_timeout() {
    let mut server = greeted(settings(Framing::Chunk));
    assert_eq!(server.receive(Instant::ZERO, b"haha").taken, 4);
    assert_eq!(server.transmit(at(200), &mut [0; 5]), 5);
    assert_eq!(server.deadline(), Some(at(500)));
    assert_eq!(owed(&mut server, at(499)), ", haha!");
    assert_eq!(server.deadline(), Some(at(799)));
}

#[test]
fn t2_the_delay_does_not_count_as_idle_time() {
    let delay = Duration::from_secs(1_000);
    let mut server = greeted(ServerSettings { delay, ..settings(Framing::Chunk) });
    assert_eq!(server.receive(Instant::ZERO, b"haha").taken, 4);
    assert_eq!(owed(&mut server, at(999)), "");
    assert_eq!((server.state(), server.end()), (State::Open, None));
    assert_eq!(owed(&mut server, at(1_000)), "Hello, haha!");
    assert_eq!(server.deadline(), Some(at(1_300)));
}

#[test]
fn t2_a_client_that_reads_nothing_is_disconnected_after_the_idle_timeout_and_the_linger_time() {
    for received in [&b""[..], b"haha"] {
        let mut server: Server<64> = Server::new(settings(Framing::Chunk), Instant::ZERO);
        if !received.is_empty() {
            owed(&mut server, Instant::ZERO);
            assert_eq!(server.receive(Instant::ZERO, received).taken, 4);
        }
        server.handle_timeout(at(300));
        assert_eq!((server.state(), server.deadline()), (State::Open, Some(at(302))));
        server.handle_timeout(at(302));
        assert_eq!(server.state(), State::Over);
    }
}

#[test]
fn c1_after_exit_the_server_half_closes_and_discards_input_until_the_clients_fin() {
    let mut server = greeted(settings(Framing::Chunk));
    assert_eq!(server.receive(at(1), b"exit").taken, 4);
    assert_eq!(server.state(), State::Ending);
    assert_eq!(owed(&mut server, at(1)), "");
    assert_eq!(server.deadline(), Some(at(1) + LINGER));
    assert_eq!(server.receive(at(2), b"haha").taken, 4);
    assert_eq!((owed(&mut server, at(2)), server.state()), (String::new(), State::Ending));
    assert_eq!(server.deadline(), Some(at(1) + LINGER)); // received bytes do not extend it
    server.receive_end(at(2));
    assert_eq!((server.state(), server.deadline()), (State::Over, None));
}

#[test]
fn c1_the_linger_time_begins_when_everything_is_delivered() {
    let mut server = greeted(settings(Framing::Line));
    assert_eq!(server.receive(at(1), b"exit\n").taken, 5);
    assert_eq!(owed(&mut server, at(10)), "");
    assert_eq!(server.deadline(), Some(at(12)));
    assert_eq!((owed(&mut server, at(11)), server.state()), (String::new(), State::Ending));
    assert_eq!((owed(&mut server, at(12)), server.state()), (String::new(), State::Over));
}

#[test]
fn c1_a_client_that_continues_to_send_is_disconnected_after_64_kib() {
    let mut server = greeted(settings(Framing::Chunk));
    assert_eq!(server.receive(at(1), b"exit").taken, 4);
    assert_eq!(owed(&mut server, at(1)), "");
    let all = LINGER_BYTES as usize;
    assert_eq!(all, 64 * 1024);
    assert_eq!(server.receive(at(1), &vec![b'a'; all - 1]).taken, all - 1);
    assert_eq!(server.state(), State::Ending);
    assert_eq!(server.receive(at(1), b"a").taken, 1);
    assert_eq!(server.state(), State::Over);
}

#[test]
fn c1_after_the_clients_fin_the_server_does_not_linger() {
    let mut server = greeted(settings(Framing::Line));
    assert_eq!(server.receive(at(1), b"haha").taken, 4);
    server.receive_end(at(1));
    assert_eq!(owed(&mut server, at(1)), "Hello, haha!\n");
    assert_eq!((server.state(), server.end()), (State::Over, Some(ServerEnd::ByPeer)));
}

#[test]
fn close_sends_the_outstanding_replies_and_takes_no_new_input() {
    let mut server = greeted(settings(Framing::Chunk));
    assert_eq!(server.receive(at(1), b"haha").taken, 4);
    server.close(at(1));
    assert_eq!(owed(&mut server, at(1)), "Hello, haha!");
    assert_eq!((server.state(), server.end()), (State::Ending, Some(ServerEnd::Closed)));
    assert_eq!(server.receive(at(1), b"byebye").taken, 6); // discarded
    assert_eq!(owed(&mut server, at(1)), "");
}

#[test]
fn a_server_that_is_over_accepts_nothing_and_sends_nothing() {
    let mut over = greeted(settings(Framing::Auto));
    over.receive_end(at(1));
    owed(&mut over, at(1));
    for mut server in [over, Server::vacant()] {
        for _ in 0..2 {
            assert_eq!((server.state(), server.deadline()), (State::Over, None));
            assert_eq!(server.receive(at(1), b"haha\n").taken, 0);
            server.receive_end(at(1));
            server.close(at(1));
            assert_eq!(owed(&mut server, at(1_000)), "");
        }
    }
}

#[test]
fn the_size_of_a_server_is_its_capacity_and_at_most_48_bytes() {
    macro_rules! check {
        ($($capacity:literal)*) => {$(
            assert!(size_of::<Server<$capacity>>() <= $capacity + 48, "{}: {}", $capacity, size_of::<Server<$capacity>>());
        )*};
    }
    check!(1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32 33 34 35 36 37 38 39 40);
    check!(63 64 65 127 128 255 256 512 1000 1024 2048 65535);
}

/// An input of a machine.
#[derive(Clone, Debug)]
enum Happening {
    Wait(u64),
    /// Waits for the deadline, or a little less or more.
    Deadline(i64),
    Receive(Vec<u8>),
    ReceiveEnd,
    Close,
    Transmit(usize),
    Delivered,
}

fn happening() -> impl Strategy<Value = Happening> {
    let reads = ["a", "a\n", "exit", "exit\n", "\n\n\n", "\u{e9}", "abcdefghijklmnopqrst\n"];
    prop_oneof![
        2 => (0..3_000_000_u64).prop_map(Happening::Wait),
        3 => (-1..=1_i64).prop_map(Happening::Deadline),
        6 => prop::sample::select(reads.to_vec()).prop_map(|read| Happening::Receive(read.into())),
        1 => Just(Happening::ReceiveEnd),
        1 => Just(Happening::Close),
        8 => prop_oneof![Just(0_usize), 1..4_usize, Just(64_usize)].prop_map(Happening::Transmit),
        4 => Just(Happening::Delivered),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// A deadline in the past would make a driver spin.
    #[test]
    fn after_a_timeout_the_deadline_is_in_the_future_and_over_is_final(
        line in any::<bool>(),
        delay in prop::sample::select(vec![0_u64, 1, 1_000_000]),
        idle in prop::sample::select(vec![Some(1_u64), Some(500_000), Some(10_000_000), None]),
        happenings in prop::collection::vec(happening(), 1..60),
    ) {
        let settings = ServerSettings {
            framing: if line { Framing::Line } else { Framing::Chunk },
            delay: Duration::from_micros(delay),
            idle_timeout: idle.map(Duration::from_micros),
        };
        let mut server: Server<8> = Server::new(settings, Instant::ZERO);
        let mut now = Instant::ZERO;
        let mut ended = false;
        for happening in happenings {
            let over = server.state() == State::Over;
            match happening {
                Happening::Wait(micros) => now = now + Duration::from_micros(micros),
                Happening::Deadline(off) => {
                    let due = server.deadline().unwrap_or(now).as_micros().saturating_add_signed(off);
                    now = now.max(Instant::from_micros(due));
                }
                Happening::Receive(read) if !ended => {
                    let taken = server.receive(now, &read).taken;
                    prop_assert!(taken <= read.len());
                    prop_assert!(!over || taken == 0);
                }
                Happening::Receive(_) => {}
                Happening::ReceiveEnd if !ended => {
                    server.receive_end(now);
                    ended = true;
                }
                Happening::ReceiveEnd => {}
                Happening::Close => server.close(now),
                Happening::Delivered => server.delivered(now),
                Happening::Transmit(size) => {
                    server.handle_timeout(now);
                    let given = server.transmit(now, &mut vec![0; size]);
                    prop_assert!(given <= size);
                    prop_assert!(!over || given == 0);
                    if let Some(due) = server.deadline() {
                        prop_assert!(due > now, "{server:?} at {now:?}");
                    }
                }
            }
            prop_assert!(!over || (server.state() == State::Over && server.deadline().is_none()));
        }
    }
}

#[test]
fn the_clients_timeout_applies_to_the_greeting_a_reply_and_the_end() {
    let settings =
        ClientSettings { framing: Framing::Line, timeout: Some(Duration::from_secs(5)), ..ClientSettings::default() };
    let mut client: Client<64> = Client::new(settings, Instant::ZERO);
    assert_eq!((client.waiting_for(), client.deadline()), (Some(WaitingFor::Greeting), Some(at(5))));
    let mut silent = client.clone();
    assert_eq!(
        (owed(&mut silent, at(5)), silent.outcome()),
        (String::new(), Some(Outcome::TimedOut(WaitingFor::Greeting)))
    );
    assert_eq!((silent.state(), silent.deadline()), (State::Over, None));

    assert_eq!(client.receive(at(4), b"Welc").event, None);
    assert_eq!(client.deadline(), Some(at(9))); // a byte restarts the timeout
    assert_eq!(client.receive(at(8), b"ome!").event, Some(ClientEvent::Greeted));
    assert_eq!(client.receive(at(8), b"\n").event, None); // K1: the end of the greeting's line
    assert_eq!((client.waiting_for(), client.deadline()), (None, None)); // there is no timeout while no reply is due
    assert_eq!((owed(&mut client, at(1_000)), client.outcome()), (String::new(), None));

    client.say(b"haha").unwrap();
    assert_eq!(owed(&mut client, at(1_000)), "haha\n");
    assert_eq!((client.waiting_for(), client.deadline()), (Some(WaitingFor::Reply), Some(at(1_005))));
    let mut silent = client.clone();
    assert_eq!(owed(&mut silent, at(1_005)), "");
    assert_eq!(silent.outcome(), Some(Outcome::TimedOut(WaitingFor::Reply)));
    assert_eq!(client.receive(at(1_004), b"Hello, haha!\n").event, Some(ClientEvent::Reply(b"haha")));

    client.close(at(1_004));
    assert_eq!(owed(&mut client, at(1_004)), "exit\n");
    assert_eq!((client.waiting_for(), client.deadline()), (Some(WaitingFor::End), Some(at(1_009))));
    let mut silent = client.clone();
    assert_eq!(owed(&mut silent, at(1_009)), "");
    assert_eq!(silent.outcome(), Some(Outcome::TimedOut(WaitingFor::End)));
    client.receive_end(at(1_008));
    assert_eq!(client.outcome(), Some(Outcome::Complete));
}
