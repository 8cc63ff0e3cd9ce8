//! The two drivers over a transport that fragments, stalls, times out, interrupts and fails.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "in a test a panic is how a failure is reported"
)]

mod echo;
mod mock;
mod page;

use core::time::Duration;

use self::mock::{Incoming, Mock, Report, Style, drive};
use embedded_io::ErrorKind;
use greet_core::{
    Client, ClientSettings, Framing, Instant, Machine, Outcome, Server, ServerEnd, ServerSettings, State,
};
use greet_tests::oracle::serve;
use proptest::prelude::*;

use crate::virtual_time::at;

const STYLES: [Style; 2] = [Style::Blocking, Style::Asynchronous];
const SECOND: Duration = Duration::from_secs(1);

const fn settings(framing: Framing) -> ServerSettings {
    ServerSettings { framing, ..ServerSettings::DEFAULT }
}

fn server(settings: ServerSettings) -> Server<64> {
    Server::new(settings, Instant::ZERO)
}

fn reads(reads: &[&[u8]]) -> Vec<Incoming> {
    reads.iter().map(|read| Incoming::Read(read.to_vec())).chain([Incoming::End]).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_drivers_write_the_same_bytes_as_the_oracle_and_end_once(
        framing in prop::sample::select(vec![Framing::Chunk, Framing::Line, Framing::Auto]),
        delay in prop::sample::select(vec![Duration::ZERO, Duration::from_micros(3), SECOND]),
        tick in 0..6_u64,
        input in prop::collection::vec(
            prop::sample::select(vec!["a", "exit", "\n", "haha\n", "é", "\r\n", "exit\n", "a\nb\nc\n", "12345678901234567890"]),
            0..12,
        ),
        write_sizes in prop::collection::vec(1..30_usize, 0..4),
        output_size in 1..200_usize,
        interruption in 1..60_usize,
        early_waits in 0..4_usize,
        prompt: bool,
    ) {
        let input: Vec<&[u8]> = input.iter().map(|read| read.as_bytes()).collect();
        let said = serve(framing, 16, &input);
        let expected = [said.output, said.farewell].concat();
        for style in STYLES {
            let mut server: Server<16> = Server::new(ServerSettings { delay, ..settings(framing) }, Instant::ZERO);
            let mut mock = Mock::new(reads(&input));
            mock.write_sizes = write_sizes.iter().copied().collect();
            mock.fault = Some((interruption, ErrorKind::Interrupted));
            mock.early_waits = early_waits;
            mock.prompt = prompt;
            mock.clock.tick = tick;
            let report = drive(style, &mut server, &mut mock, output_size);
            prop_assert_eq!(report.result, Ok(()));
            prop_assert_eq!(mock.written(), &expected[..]);
            prop_assert_eq!((mock.shutdowns, server.state()), (1, State::Over));
            let bytes: usize = input.iter().map(|read| read.len()).sum();
            prop_assert!(report.turns <= 4 * (bytes + expected.len()) + 16, "{} turns", report.turns);
        }
    }
}

#[test]
fn replies_to_names_of_one_read_are_sent_in_one_write() {
    for style in STYLES {
        let mut server = server(settings(Framing::Line));
        let mut mock = Mock::new(reads(&[b"a\nb\nc\nexit\n"]));
        let report = drive(style, &mut server, &mut mock, 1024);
        let writes: Vec<_> = mock.writes.iter().map(|(_, bytes)| bytes.as_slice()).collect();
        assert_eq!(writes, [&b"Welcome!\n"[..], b"Hello, a!\nHello, b!\nHello, c!\n"]);
        assert_eq!(report.events, ["Name([97])", "Name([98])", "Name([99])", "Exit"]);
        assert!(report.turns <= 10, "{report:?}");
    }
}

#[test]
fn replies_to_all_input_available_without_waiting_are_sent_in_one_write() {
    for style in STYLES {
        let mut server = server(settings(Framing::Line));
        let mut mock = Mock::new(reads(&[b"a\nb", b"b\nc\n", b"d\n", b"exit\n"]));
        mock.prompt = true;
        drive(style, &mut server, &mut mock, 45);
        let writes: Vec<_> = mock.writes.iter().map(|(_, bytes)| bytes.as_slice()).collect();
        // Replies that do not fit into the output are in the next write, with all others due by then.
        assert_eq!(writes, [&b"Welcome!\n"[..], b"Hello, a!\nHello, bb!\nHello, c!\nHello, d!\n"], "{style:?}");
    }
}

#[test]
fn input_without_a_complete_name_does_not_delay_outstanding_replies() {
    for style in STYLES {
        let mut server = server(settings(Framing::Line));
        let mut script = vec![Incoming::Read(b"haha\n".to_vec())];
        script.extend((0..1000).map(|_| Incoming::Read(vec![b'a'; 40])));
        let mut mock = Mock::new(script);
        mock.prompt = true;
        mock.incoming.push_back(Incoming::End);
        mock.fault = Some((12, ErrorKind::ConnectionReset)); // long before the flood is over
        drive(style, &mut server, &mut mock, 1024);
        let error = "Error: name longer than 64 bytes\n"; // L3
        assert_eq!(mock.written(), ["Welcome!\nHello, haha!\n", error].concat().as_bytes(), "{style:?}");
    }
}

#[test]
fn with_chunk_framing_the_machine_gets_each_read_complete() {
    for style in STYLES {
        let mut server = server(settings(Framing::Chunk));
        let mut mock = Mock::new(reads(&[b"ha\nha", b"by", b"ebye", b"exit"]));
        drive(style, &mut server, &mut mock, 7);
        assert_eq!(mock.written(), b"Welcome!Hello, ha\nha!Hello, by!Hello, ebye!");
    }
}

#[test]
fn the_last_reply_is_sent_completely_after_a_partial_write() {
    for style in STYLES {
        for (input, reply) in
            [(&b"haha\nbyebye"[..], &b"Hello, haha!\nHello, byebye!\n"[..]), (b"a\nexit\n", b"Hello, a!\n")]
        {
            for size in 1..reply.len() {
                let mut server = server(settings(Framing::Line));
                let mut mock = Mock::new(reads(&[input]));
                mock.write_sizes = [9, size, 100].into(); // the greeting, a part of the replies, the rest
                drive(style, &mut server, &mut mock, 64);
                assert_eq!(mock.written(), [b"Welcome!\n", reply].concat(), "{style:?} {size}"); // R4, C1
                assert_eq!(mock.shutdowns, 1);
            }
        }
    }
}

/// A conversation in which everything occurs: fragments, a stall, a held reply, the end.
fn eventful(style: Style, fault: Option<(usize, ErrorKind)>) -> (Report, Mock, Server<64>) {
    let mut server = server(ServerSettings { delay: SECOND, ..settings(Framing::Line) });
    let script = [
        Incoming::Read(b"ha".to_vec()),
        Incoming::Silence(10 * SECOND),
        Incoming::Read(b"ha\nbyebye\n\xFF\n".to_vec()),
        Incoming::Read(b"last".to_vec()),
        Incoming::End,
    ];
    let mut mock = Mock::new(script);
    mock.write_sizes = [5, 2].into();
    mock.fault = fault;
    let report = drive(style, &mut server, &mut mock, 16);
    (report, mock, server)
}

const EVENTFUL: &[u8] = b"Welcome!\nHello, haha!\nHello, byebye!\nError: name is not valid UTF-8\nHello, last!\n";

#[test]
fn an_interruption_at_any_call_loses_nothing() {
    for style in STYLES {
        let (undisturbed, mock, _) = eventful(style, None);
        assert_eq!((undisturbed.result, mock.written(), mock.shutdowns), (Ok(()), EVENTFUL.to_vec(), 1));
        for number in 1..=mock.calls {
            let (report, mock, server) = eventful(style, Some((number, ErrorKind::Interrupted)));
            assert_eq!((report.result, report.interrupted), (Ok(()), 1), "{style:?} {number}");
            assert_eq!((mock.written(), mock.shutdowns), (EVENTFUL.to_vec(), 1), "{style:?} {number}");
            assert_eq!((report.events, server.state()), (undisturbed.events.clone(), State::Over));
        }
    }
}

#[test]
fn an_error_of_any_call_ends_the_conversation_and_is_returned() {
    for style in STYLES {
        let (_, mock, _) = eventful(style, None);
        for number in 1..=mock.calls {
            let (report, mock, _) = eventful(style, Some((number, ErrorKind::ConnectionReset)));
            assert_eq!(report.result, Err(ErrorKind::ConnectionReset), "{style:?} {number}"); // C2
            assert_eq!(mock.calls, number, "{style:?}: it goes on after the error");
            assert!(EVENTFUL.starts_with(&mock.written()));
        }
    }
}

#[test]
fn both_drivers_make_the_same_calls() {
    let [(one, one_mock, _), (other, other_mock, _)] = STYLES.map(|style| eventful(style, None));
    assert_eq!(one, other);
    assert_eq!((one_mock.writes, one_mock.calls), (other_mock.writes, other_mock.calls));
}

#[test]
fn delayed_replies_are_sent_when_due_even_if_waits_end_early() {
    for style in STYLES {
        for early_waits in 0..8 {
            let mut server = server(ServerSettings { delay: SECOND, ..settings(Framing::Line) });
            let mut mock = Mock::new([Incoming::Read(b"a\nb\nc\nexit\n".to_vec())]);
            mock.early_waits = early_waits;
            let report = drive(style, &mut server, &mut mock, 64);
            let times: Vec<_> = mock.writes.iter().map(|(when, _)| *when).collect();
            assert_eq!(times, [at(0), at(1), at(2), at(3)]); // T1
            assert_eq!((mock.clock.now(), mock.shutdowns), (at(6), 1)); // T1, and C1: nobody answers the FIN
            assert!(report.turns <= 24 + early_waits, "{report:?}");
        }
    }
}

#[test]
fn a_silent_peer_causes_few_iterations_and_ends_by_the_idle_timeout() {
    for style in STYLES {
        for early_waits in 0..8 {
            let mut server = server(settings(Framing::Chunk));
            let mut mock = Mock::new([]);
            mock.early_waits = early_waits;
            let report = drive(style, &mut server, &mut mock, 64);
            assert_eq!(mock.written(), b"Welcome!Error: idle for 300 s"); // T2
            assert_eq!((mock.clock.now(), mock.shutdowns, server.end()), (at(302), 1, Some(ServerEnd::Idle))); // C1
            assert!(report.turns <= 8 + early_waits, "{report:?}");
        }
    }
}

#[test]
fn a_peer_that_never_reads_causes_a_timeout() {
    for style in STYLES {
        for input in [vec![], reads(&[b"haha\n", b"exit\n"])] {
            let mut server = server(settings(Framing::Line));
            let mut mock = Mock::new(input);
            mock.stuck = at(0)..at(1_000_000);
            let report = drive(style, &mut server, &mut mock, 64);
            assert_eq!((report.result, server.state()), (Ok(()), State::Over)); // C2
            assert_eq!((mock.clock.now(), mock.writes.len()), (at(302), 0));
            assert!(report.turns <= 8, "{} turns", report.turns);
        }
    }
}

#[test]
fn a_peer_that_reads_slowly_but_steadily_is_not_idle() {
    for style in STYLES {
        let idle_timeout = Some(SECOND);
        let mut server = server(ServerSettings { idle_timeout, ..settings(Framing::Line) });
        let mut mock = Mock::new(reads(&[b"haha\nbyebye\nexit\n"]));
        mock.write_sizes = [1].into();
        mock.pace = Duration::from_millis(400);
        drive(style, &mut server, &mut mock, 1024);
        assert_eq!(mock.written(), b"Welcome!\nHello, haha!\nHello, byebye!\n"); // T2
    }
}

#[test]
fn a_peer_that_reads_late_gets_every_reply_even_after_exit() {
    for style in STYLES {
        for delay in [Duration::ZERO, Duration::from_micros(1)] {
            let mut server = server(ServerSettings { delay, ..settings(Framing::Line) });
            let mut mock = Mock::new([Incoming::Silence(10 * SECOND), Incoming::Read(b"a\nexit\n".to_vec())]);
            mock.clock.tick = 1;
            mock.stuck = at(10)..at(100);
            drive(style, &mut server, &mut mock, 64);
            assert_eq!((mock.written(), mock.shutdowns), (b"Welcome!\nHello, a!\n".to_vec(), 1), "{delay:?}"); // R3
        }
    }
}

#[test]
fn input_after_exit_is_read_and_discarded_up_to_the_limit() {
    for style in STYLES {
        let mut server = server(settings(Framing::Line));
        let flood = core::iter::repeat_n(Incoming::Read(vec![b'\n'; 1000]), 1000);
        let mut mock = Mock::new([Incoming::Read(b"a\nexit\n".to_vec())].into_iter().chain(flood));
        let report = drive(style, &mut server, &mut mock, 64);
        assert_eq!((mock.written(), mock.shutdowns), (b"Welcome!\nHello, a!\n".to_vec(), 1)); // R3
        assert_eq!(mock.incoming.len(), 1000 - 66); // C1: 64 KiB
        assert_eq!(report.result, Ok(()));
    }
}

#[test]
fn a_client_machine_is_driven_like_a_server_machine() {
    for style in STYLES {
        let settings =
            ClientSettings { framing: Framing::Chunk, timeout: Some(5 * SECOND), ..ClientSettings::default() };
        let mut client: Client<64> = Client::new(settings, Instant::ZERO);
        client.say(b"haha").unwrap();
        client.say(b"byebye").unwrap();
        client.close(Instant::ZERO);
        let mut mock = Mock::new(reads(&[b"Welc", b"ome!", b"Hello, ha", b"ha!", b"Hello, byebye!"]));
        let report = drive(style, &mut client, &mut mock, 64);
        let writes: Vec<_> = mock.writes.iter().map(|(_, bytes)| bytes.as_slice()).collect();
        assert_eq!(writes, [&b"haha"[..], b"byebye", b"exit"]); // K1: a name a write
        assert_eq!((report.result, client.outcome()), (Ok(()), Some(Outcome::Complete))); // K2
        assert_eq!(report.events.len(), 3, "{report:?}");
    }
}

#[test]
fn a_client_with_a_silent_server_times_out() {
    for style in STYLES {
        let settings =
            ClientSettings { framing: Framing::Line, timeout: Some(5 * SECOND), ..ClientSettings::default() };
        let mut client: Client<64> = Client::new(settings, Instant::ZERO);
        let mut mock = Mock::new([Incoming::Read(b"Welcome!\n".to_vec())]);
        client.say(b"haha").unwrap();
        drive(style, &mut client, &mut mock, 64);
        assert_eq!(client.outcome(), Some(Outcome::TimedOut(greet_core::WaitingFor::Reply)));
        assert_eq!((mock.written(), mock.clock.now()), (b"haha\n".to_vec(), at(5)));
    }
}
