//! The echo server's machine: the table, every short sequence of calls, random conversations, and virtual time (rules B1 to B5).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "in a test a panic is how a failure is reported"
)]

use core::time::Duration;

use greet_core::{Echo, EchoSettings, Instant, LINGER, LINGER_BYTES, Machine, ServerEnd, State};
use greet_tests::{
    frontend::{Connection, Cut, run, run_table},
    is_full,
    machine::{BareConversation, BareEcho},
    vectors::echo,
};
use proptest::prelude::*;

use crate::virtual_time::{at, owed};

const NOW: Instant = Instant::ZERO;
const IDLE: Duration = Duration::from_secs(300);

fn new<const N: usize>() -> Echo<N> {
    Echo::new(EchoSettings::DEFAULT, NOW)
}

// --- The table ---------------------------------------------------------------------------------------------------

/// Every case, with its writes unchanged and cut at every position, with these sizes of the output buffer.
fn holds<const N: usize>(output_sizes: impl Iterator<Item = usize> + Clone) {
    for case in echo().unwrap() {
        let script = case.script(N).unwrap();
        let length: usize = script.talk.iter().map(|step| step.input.len()).sum();
        let cuts = (1..length).map(Cut::At).chain((1..=8).map(Cut::Every)).chain([Cut::Steps, Cut::Whole]);
        for cut in cuts {
            for output_size in output_sizes.clone() {
                let framing = case.framings().next().unwrap();
                if let Err(fault) = run(&mut BareEcho::<N> { output_size }, &script, framing, cut) {
                    panic!("{} ({cut:?}, output of {output_size}): {fault}", case.name);
                }
            }
        }
    }
}

#[test]
fn every_case_passes_in_reads_of_any_size_with_every_output_buffer_size() {
    holds::<16>((1..=40).chain([4096]));
    holds::<64>([1, 7, 63, 64, 65, 4096].into_iter());
}

#[test]
fn every_case_passes_at_the_smallest_and_largest_capacity() {
    for output_size in [1, 100, 4096] {
        for cut in [Cut::Steps, Cut::Whole, Cut::Every(7)] {
            let table = echo().unwrap();
            let failures = run_table(&mut BareEcho::<1024> { output_size }, &table, cut);
            assert!(failures.is_empty(), "{}", failures[0]);
            // With the texts of a larger capacity, which this one cannot hold.
            for case in &table {
                let script = case.script(16).unwrap();
                for fault in [
                    run(&mut BareEcho::<1> { output_size }, &script, case.framings().next().unwrap(), cut).err(),
                    run(&mut BareEcho::<65_535> { output_size }, &script, case.framings().next().unwrap(), cut).err(),
                ] {
                    assert!(fault.is_none(), "{}: {}", case.name, fault.unwrap());
                }
            }
        }
    }
}

// --- Every short sequence of calls -------------------------------------------------------------------------------

/// A call by a driver or by the program that owns the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    /// Input of this number of bytes.
    Receive(usize),
    /// Output of this number of bytes.
    Transmit(usize),
    ReceiveEnd,
    Delivered,
    /// Time passes until the deadline.
    Deadline,
    /// A second passes.
    Wait,
    Close,
}

const CALLS: [Call; 10] = [
    Call::Receive(1),
    Call::Receive(2),
    Call::Receive(3),
    Call::Transmit(1),
    Call::Transmit(4),
    Call::ReceiveEnd,
    Call::Delivered,
    Call::Deadline,
    Call::Wait,
    Call::Close,
];

/// A machine after some calls, and what it has done.
#[derive(Clone)]
struct Point<const N: usize> {
    echo: Echo<N>,
    now: Instant,
    /// When a byte last moved, or the FIN was sent.
    moved: Instant,
    taken: u8,
    given: u8,
    end: Option<ServerEnd>,
    peer_ended: bool,
    fin_sent: bool,
}

impl<const N: usize> Point<N> {
    fn call(&mut self, call: Call) {
        let before = self.echo.state();
        match call {
            Call::Receive(length) => self.receive(length),
            Call::Transmit(room) => self.transmit(room),
            Call::ReceiveEnd => {
                self.echo.receive_end(self.now);
                self.peer_ended = true;
                self.end = self.end.or(Some(ServerEnd::ByPeer));
            }
            Call::Delivered => {
                if before == State::Ending && !self.fin_sent {
                    self.fin_sent = true;
                    self.moved = self.now;
                }
                self.echo.delivered(self.now);
            }
            Call::Deadline => {
                if let Some(due) = self.echo.deadline() {
                    assert!(due >= self.now || self.now.since(due) <= Duration::from_secs(9), "{due:?}");
                    self.now = due.max(self.now);
                }
                self.handle_timeout();
            }
            Call::Wait => {
                self.now = self.now + Duration::from_secs(1);
                self.handle_timeout();
            }
            Call::Close => {
                self.echo.close(self.now);
                self.end = self.end.or(Some(ServerEnd::Closed));
            }
        }
        if before == State::Over {
            assert_eq!(self.echo.state(), State::Over, "it begins again");
        }
        if self.echo.state() == State::Ending {
            assert_eq!(self.taken, self.given, "it ends its side, and owes bytes"); // B4
        }
        if self.echo.state() == State::Over {
            assert_eq!(self.echo.deadline(), None);
        } else {
            assert_eq!(self.echo.end(), self.end);
            assert_eq!(self.echo.state() == State::Open, self.end.is_none() || self.taken > self.given);
        }
    }

    fn receive(&mut self, length: usize) {
        // The bytes are numbered, so a lost, repeated or misplaced one is noticed.
        let input = [self.taken, self.taken.wrapping_add(1), self.taken.wrapping_add(2)];
        let taken = self.echo.receive(self.now, &input[..length]).taken;
        match self.echo.state() {
            State::Open if self.end.is_none() && self.taken == self.given => assert_eq!(taken, length.min(N)), // B3
            State::Ending if self.fin_sent => assert_eq!(taken, length), // C1: discarded
            _ => assert_eq!(taken, 0),
        }
        if self.echo.state() == State::Open && taken > 0 {
            self.taken += taken as u8;
            self.moved = self.now;
        }
    }

    fn transmit(&mut self, room: usize) {
        let mut output = [0; 4];
        let over = self.echo.state() == State::Over;
        let given = self.echo.transmit(self.now, &mut output[..room]);
        if over {
            assert_eq!(given, 0);
            return;
        }
        assert_eq!(given, room.min((self.taken - self.given).into()));
        for byte in &output[..given] {
            assert_eq!(*byte, self.given); // B1
            self.given += 1;
            self.moved = self.now;
        }
    }

    fn handle_timeout(&mut self) {
        let before = self.echo.state();
        self.echo.handle_timeout(self.now);
        let quiet = self.now.since(self.moved);
        if before == State::Open && self.echo.end() == Some(ServerEnd::Idle) && self.end.is_none() {
            assert!(quiet >= IDLE, "after {quiet:?}"); // B5
            self.end = Some(ServerEnd::Idle);
            self.moved = self.now;
        } else if before != State::Over && self.echo.state() == State::Over {
            let limit = if self.fin_sent || self.end == Some(ServerEnd::Idle) { LINGER } else { IDLE };
            assert!(quiet >= limit, "after {quiet:?}"); // C1, C2
        }
    }

    /// From every state a client that reads receives all outstanding bytes, and the connection ends.
    fn finish(mut self) {
        let was_over = self.echo.state() == State::Over;
        for _ in 0..8 {
            self.call(Call::Transmit(4));
        }
        if !was_over {
            assert_eq!(self.taken, self.given, "it keeps bytes");
        }
        self.call(Call::ReceiveEnd);
        self.call(Call::Delivered);
        assert_eq!(self.echo.state(), State::Over);
    }
}

/// Walks through all sequences of up to `longest` calls. Returns their number.
fn walk<const N: usize>(point: &Point<N>, longest: usize) -> u64 {
    if longest == 0 {
        return 0;
    }
    let mut sequences = 0;
    for call in CALLS {
        if call == Call::ReceiveEnd && point.peer_ended {
            continue; // a driver calls it once
        }
        let mut next = point.clone();
        next.call(call);
        next.clone().finish_if_open();
        sequences += 1 + walk(&next, longest - 1);
    }
    sequences
}

impl<const N: usize> Point<N> {
    fn finish_if_open(self) {
        if !self.peer_ended {
            self.finish();
        }
    }
}

fn start<const N: usize>() -> Point<N> {
    let (end, peer_ended, fin_sent) = (None, false, false);
    Point { echo: new(), now: NOW, moved: NOW, taken: 0, given: 0, end, peer_ended, fin_sent }
}

#[test]
fn every_short_sequence_of_calls_keeps_all_bytes_and_ends_correctly() {
    let longest = if is_full() { 7 } else { 6 };
    assert!(walk::<1>(&start(), longest) > 100_000);
    assert!(walk::<2>(&start(), longest) > 100_000);
    assert!(walk::<3>(&start(), longest) > 100_000);
}

// --- Random conversations ----------------------------------------------------------------------------------------

fn converse<const N: usize>(reads: &[Vec<u8>], output_size: usize) -> Vec<u8> {
    let mut conversation = BareConversation::new(new::<N>(), output_size).unwrap();
    for read in reads {
        conversation.send(read).unwrap();
    }
    conversation.half_close().unwrap();
    let mut received = Vec::new();
    conversation.receive(usize::MAX, &mut received).unwrap();
    conversation.check_closed().unwrap();
    received
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 5_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn all_bytes_are_sent_back_and_then_the_fin(
        reads in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..200), 0..20), output_size in 1..100_usize,
    ) {
        let sent = reads.concat();
        prop_assert_eq!(&converse::<1>(&reads, output_size), &sent);
        prop_assert_eq!(&converse::<5>(&reads, output_size), &sent);
        prop_assert_eq!(&converse::<64>(&reads, output_size), &sent);
        prop_assert_eq!(&converse::<1024>(&reads, output_size), &sent);
    }
}

// --- Time --------------------------------------------------------------------------------------------------------

#[test]
fn b5_an_idle_connection_is_half_closed_without_an_error_reply_and_then_lingers() {
    let mut echo: Echo<16> = new();
    assert_eq!(echo.deadline(), Some(at(300)));
    assert_eq!(echo.receive(at(100), b"haha").taken, 4);
    assert_eq!(owed(&mut echo, at(150)), b"haha");
    assert_eq!(echo.deadline(), Some(at(450)));
    assert_eq!(owed(&mut echo, Instant::from_micros(449_999_999)), b"");
    assert_eq!((echo.state(), echo.end()), (State::Open, None));
    assert_eq!(owed(&mut echo, at(450)), b"");
    assert_eq!((echo.state(), echo.end()), (State::Ending, Some(ServerEnd::Idle)));
    assert_eq!(echo.receive(at(451), b"late").taken, 4);
    assert_eq!(owed(&mut echo, at(451)), b"", "it is discarded");
    assert_eq!(owed(&mut echo, at(452)), b"");
    assert_eq!(echo.state(), State::Over);
}

#[test]
fn b5_bytes_that_the_client_does_not_read_are_discarded_after_two_seconds() {
    for reads_in_time in [false, true] {
        let mut echo: Echo<16> = new();
        assert_eq!(echo.receive(at(0), b"haha").taken, 4);
        echo.handle_timeout(at(300));
        assert_eq!((echo.state(), echo.end(), echo.deadline()), (State::Open, Some(ServerEnd::Idle), Some(at(302))));
        assert_eq!(echo.receive(at(300), b"byebye").taken, 0);
        if reads_in_time {
            assert_eq!(owed(&mut echo, at(301)), b"haha");
            assert_eq!((echo.state(), echo.deadline()), (State::Ending, Some(at(303))));
        } else {
            assert_eq!(owed(&mut echo, at(302)), b"");
            assert_eq!(echo.state(), State::Over);
        }
    }
}

#[test]
fn b5_a_slow_reader_is_not_idle_and_without_an_idle_timeout_no_client_is() {
    let mut echo: Echo<16> = new();
    assert_eq!(echo.receive(at(0), b"haha").taken, 4);
    echo.progress(at(250));
    assert_eq!(echo.deadline(), Some(at(550)));
    let mut endless: Echo<16> = Echo::new(EchoSettings { idle_timeout: None }, NOW);
    assert_eq!(endless.deadline(), None);
    endless.handle_timeout(at(1_000_000_000));
    assert_eq!(endless.state(), State::Open);
}

#[test]
fn b4_a_closed_server_sends_the_bytes_it_has_taken_and_discards_later_input() {
    let mut echo: Echo<16> = new();
    assert_eq!(echo.receive(at(1), b"haha").taken, 4);
    echo.close(at(1));
    assert_eq!((echo.state(), echo.receive(at(1), b"no").taken), (State::Open, 0));
    assert_eq!(owed(&mut echo, at(2)), b"haha");
    assert_eq!((echo.state(), echo.end()), (State::Ending, Some(ServerEnd::Closed)));
    assert_eq!(echo.deadline(), Some(at(2) + LINGER));
    let flood = vec![0; LINGER_BYTES as usize - 1];
    assert_eq!((echo.receive(at(3), &flood).taken, echo.state()), (flood.len(), State::Ending));
    assert_eq!((echo.receive(at(3), b"!").taken, echo.state()), (1, State::Over)); // C1
}

#[test]
fn the_size_is_the_capacity_and_at_most_48_bytes() {
    assert!(size_of::<Echo<1>>() <= 1 + 48);
    assert!(size_of::<Echo<64>>() <= 64 + 48);
    assert!(size_of::<Echo<1024>>() <= 1024 + 48);
    assert!(size_of::<Echo<65_535>>() <= 65_535 + 48);
}
