//! Bounded and exhaustive: every short input over the bytes that matter, in every cut, is answered as the oracle says.
//!
//! A machine can be cloned, so conversations that begin alike share their beginning: the tree of all reads is walked once.

use greet_core::{Connection, Framing, Instant, Server, ServerSettings, State};
use greet_tests::oracle::{Said, serve};

/// The letters of `exit`, the ends of a line, the parts of a two-byte and of a three-byte character, an illegal byte.
const EVERYTHING: &[u8] = b"exit\n\r\xC3\xA9\xE2\xFF";
const EXIT_AND_LINES: &[u8] = b"exit\n\r";

/// One point in a conversation: after so many whole reads.
#[derive(Clone)]
struct Point<const N: usize> {
    server: Server<N>,
    output: Vec<u8>,
}

impl<const N: usize> Point<N> {
    fn new(framing: Framing) -> Self {
        let settings = ServerSettings { framing, ..ServerSettings::DEFAULT };
        let mut point = Self { server: Server::new(settings, Instant::ZERO), output: Vec::new() };
        point.transmit();
        point
    }

    fn transmit(&mut self) {
        let mut buffer = [0; 64];
        loop {
            let given = self.server.transmit(Instant::ZERO, &mut buffer);
            if given == 0 {
                break;
            }
            self.output.extend_from_slice(&buffer[..given]);
        }
    }

    fn read(&mut self, read: &[u8]) {
        let mut rest = read;
        while !rest.is_empty() {
            let taken = self.server.receive(Instant::ZERO, rest).taken;
            assert!(taken > 0, "nothing is owed, and nothing taken");
            rest = &rest[taken..];
            self.transmit();
        }
    }
}

/// The walk through all inputs and cuts.
struct Walk<'a> {
    framing: Framing,
    alphabet: &'a [u8],
    longest: usize,
    /// The bytes of all reads so far.
    input: Vec<u8>,
    /// Where each of them ends.
    ends: Vec<usize>,
    conversations: u64,
}

/// Walks through all inputs of up to `longest` bytes; the number of conversations.
fn walk<const N: usize>(framing: Framing, alphabet: &[u8], longest: usize) -> u64 {
    let mut walk = Walk { framing, alphabet, longest, input: Vec::new(), ends: Vec::new(), conversations: 0 };
    walk.visit(&Point::<N>::new(framing));
    walk.conversations
}

impl Walk<'_> {
    /// Checks this point, and goes on to every read that may follow.
    fn visit<const N: usize>(&mut self, point: &Point<N>) {
        self.check(point);
        self.extend(point);
    }

    /// Makes the next read longer by every byte, and both ends it there and goes on with it.
    fn extend<const N: usize>(&mut self, point: &Point<N>) {
        if self.input.len() == self.longest {
            return;
        }
        for &byte in self.alphabet {
            self.input.push(byte);
            let start = self.ends.last().copied().unwrap_or(0);
            let mut next = point.clone();
            next.read(&self.input[start..]);
            self.ends.push(self.input.len());
            self.visit(&next);
            self.ends.pop();
            self.extend(point);
            self.input.pop();
        }
    }

    fn check<const N: usize>(&mut self, point: &Point<N>) {
        let mut reads = Vec::with_capacity(self.longest);
        let mut start = 0;
        for &end in &self.ends {
            reads.push(&self.input[start..end]);
            start = end;
        }
        self.conversations += 2;
        let said = Said { output: point.output.clone(), ended: point.server.state() != State::Open };
        assert_eq!(said, serve(self.framing, N, &reads, false), "{:?} {reads:x?}", self.framing);

        let mut end = point.clone();
        end.server.receive_end(Instant::ZERO);
        end.transmit();
        let said = Said { output: end.output, ended: end.server.state() != State::Open };
        assert_eq!(said, serve(self.framing, N, &reads, true), "{:?} {reads:x?}, end", self.framing);
        assert_eq!(end.server.state(), State::Over);
    }
}

/// How many conversations there are: each input of a length has 2^(length - 1) cuts, and two ends.
fn number(alphabet: &[u8], longest: usize) -> u64 {
    let inputs = |length| (alphabet.len() as u64).pow(length);
    2 + (1..=longest as u32).map(|length| 2 * inputs(length) * 2_u64.pow(length - 1)).sum::<u64>()
}

macro_rules! exhaustive {
    ($($name:ident: $framing:ident, $capacity:literal, $alphabet:ident, $longest:literal;)*) => {$(
        #[test]
        fn $name() {
            assert_eq!(walk::<$capacity>(Framing::$framing, $alphabet, $longest), number($alphabet, $longest));
        }
    )*};
}

exhaustive! {
    every_input_of_up_to_6_bytes_in_every_cut_under_chunk: Chunk, 3, EVERYTHING, 6;
    every_input_of_up_to_6_bytes_in_every_cut_under_line: Line, 3, EVERYTHING, 6;
    every_input_of_up_to_6_bytes_in_every_cut_under_auto: Auto, 3, EVERYTHING, 6;
    every_input_of_up_to_7_bytes_where_exit_fits_under_chunk: Chunk, 4, EXIT_AND_LINES, 7;
    every_input_of_up_to_7_bytes_where_exit_fits_under_line: Line, 4, EXIT_AND_LINES, 7;
    every_input_of_up_to_7_bytes_where_exit_fits_under_auto: Auto, 4, EXIT_AND_LINES, 7;
}
