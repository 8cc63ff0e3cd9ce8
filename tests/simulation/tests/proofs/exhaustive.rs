//! Exhaustive up to a length: the output for every short input, in reads of any size, is that of the oracle. Under
//! `tests/run full` the inputs are one byte longer.
//!
//! A machine can be cloned: the common beginning of conversations is run once.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "in a test a panic is how a failure is reported"
)]

use greet_core::{Framing, Instant, Machine, Server, ServerSettings, State};
use greet_tests::{
    is_full,
    oracle::{Said, serve},
};

/// The letters of `exit`, the ends of a line, the parts of a two-byte and of a three-byte character, an illegal byte.
const EVERYTHING: &[u8] = b"exit\n\r\xC3\xA9\xE2\xFF";
const EXIT_AND_LINES: &[u8] = b"exit\n\r";

/// A machine after some complete reads, with all its output.
#[derive(Clone)]
struct Point<const N: usize> {
    server: Server<N>,
    output: [u8; 256],
    length: usize,
}

impl<const N: usize> Point<N> {
    fn new(framing: Framing) -> Self {
        let settings = ServerSettings { framing, ..ServerSettings::DEFAULT };
        let mut point = Self { server: Server::new(settings, Instant::ZERO), output: [0; 256], length: 0 };
        point.transmit();
        point
    }

    fn output(&self) -> &[u8] {
        &self.output[..self.length]
    }

    fn transmit(&mut self) {
        loop {
            let given = self.server.transmit(Instant::ZERO, &mut self.output[self.length..]);
            if given == 0 {
                break;
            }
            self.length += given;
        }
        self.server.delivered(Instant::ZERO);
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

    /// Asserts that this is the output due after these reads, and then the output due after the client's half-close.
    fn check(&self, said: &Said, reads: impl Fn() -> Vec<Vec<u8>>) {
        assert!(self.output() == said.output, "{:x?}: {said:x?}, not {:x?}", reads(), self.output());
        assert_eq!(self.server.state() == State::Ending, said.exit, "{:x?}", reads());
        let mut end = self.clone();
        end.server.receive_end(Instant::ZERO);
        end.transmit();
        let farewell = &end.output()[self.length..];
        assert!(farewell == said.farewell, "{:x?} and the end: {said:x?}, not {farewell:x?}", reads());
        assert_eq!(end.server.state(), State::Over, "{:x?} and the end", reads());
    }
}

/// A position, and the ends of the reads before it.
#[derive(Clone)]
struct Branch<const N: usize> {
    point: Point<N>,
    ends: Vec<usize>,
}

/// The walk through all inputs, byte by byte.
struct Walk<'a, const N: usize> {
    framing: Framing,
    alphabet: &'a [u8],
    longest: usize,
    input: Vec<u8>,
    /// Under each length of the input the branches whose last read ends there: one for every cut.
    branches: Vec<Vec<Branch<N>>>,
    conversations: u64,
}

/// Walks through all inputs of up to `longest` bytes. Returns the number of conversations.
fn walk<const N: usize>(framing: Framing, alphabet: &[u8], longest: usize) -> u64 {
    let root: Branch<N> = Branch { point: Point::new(framing), ends: Vec::new() };
    let mut walk = Walk { framing, alphabet, longest, input: Vec::new(), branches: vec![vec![root]], conversations: 0 };
    walk.lengthen();
    walk.conversations
}

impl<const N: usize> Walk<'_, N> {
    /// Makes the input longer by every byte.
    fn lengthen(&mut self) {
        for &byte in self.alphabet {
            self.input.push(byte);
            self.visit();
            self.input.pop();
        }
    }

    /// All the cuts of this input: its last read begins where any branch of a shorter input ends.
    fn visit(&mut self) {
        let length = self.input.len();
        // Under `line` the output depends only on the bytes (rule F4).
        let alike = (self.framing == Framing::Line).then(|| serve(self.framing, N, &[&self.input]));
        let mut here = Vec::with_capacity(1 << length);
        for (start, branches) in self.branches.iter().enumerate() {
            for branch in branches {
                let mut point = branch.point.clone();
                point.read(&self.input[start..]);
                let reads = || self.reads(&branch.ends);
                match &alike {
                    Some(said) => point.check(said, || reads().map(<[u8]>::to_vec).collect()),
                    None => {
                        let reads: Vec<_> = reads().collect();
                        let said = serve(self.framing, N, &reads);
                        point.check(&said, || reads.iter().map(|read| read.to_vec()).collect());
                    }
                }
                self.conversations += 1;
                if length < self.longest {
                    let mut ends = branch.ends.clone();
                    ends.push(length);
                    here.push(Branch { point, ends });
                }
            }
        }
        if length < self.longest {
            self.branches.push(here);
            self.lengthen();
            self.branches.pop();
        }
    }

    fn reads<'a>(&'a self, ends: &'a [usize]) -> impl Iterator<Item = &'a [u8]> {
        let starts = core::iter::once(0).chain(ends.iter().copied());
        let ends = ends.iter().copied().chain([self.input.len()]);
        starts.zip(ends).map(|(start, end)| &self.input[start..end])
    }
}

/// How many conversations there are: each input of a length has 2^(length - 1) cuts.
fn number(alphabet: &[u8], longest: u32) -> u64 {
    (1..=longest).map(|length| (alphabet.len() as u64).pow(length) * 2_u64.pow(length - 1)).sum()
}

macro_rules! exhaustive {
    ($($name:ident: $framing:ident, $capacity:literal, $alphabet:ident, $longest:literal;)*) => {$(
        #[test]
        fn $name() {
            let longest: u32 = if is_full() { $longest } else { $longest - 1 };
            assert_eq!(walk::<$capacity>(Framing::$framing, $alphabet, longest as usize), number($alphabet, longest));
        }
    )*};
}

exhaustive! {
    every_short_input_in_reads_of_any_size_with_chunk_framing: Chunk, 3, EVERYTHING, 6;
    every_short_input_in_reads_of_any_size_with_line_framing: Line, 3, EVERYTHING, 6;
    every_short_input_in_reads_of_any_size_with_auto_framing: Auto, 3, EVERYTHING, 6;
    every_short_input_where_exit_fits_in_reads_of_any_size_with_chunk_framing: Chunk, 4, EXIT_AND_LINES, 7;
    every_short_input_where_exit_fits_in_reads_of_any_size_with_line_framing: Line, 4, EXIT_AND_LINES, 7;
    every_short_input_where_exit_fits_in_reads_of_any_size_with_auto_framing: Auto, 4, EXIT_AND_LINES, 7;
}

#[test]
fn a_line_of_every_length_has_the_same_reply_in_one_read_and_byte_by_byte() {
    const N: usize = 64;
    let ends: [&[u8]; 6] = [b"\n", b"\r\n", b"\r\r\n", b"\n\r", b"\xFF\n", b"\n\n"];
    for (length, byte, end) in
        (0..70).flat_map(|length| [b'e', b'\r', 0xC3].map(|byte| ends.map(|end| (length, byte, end)))).flatten()
    {
        let line = if (length, byte) == (4, b'e') { b"exit".to_vec() } else { vec![byte; length] };
        // The bytes that follow let the machine look at a whole block.
        let input = [&line, end, &b"name\n".repeat(10)].concat();
        for framing in [Framing::Line, Framing::Auto] {
            let said = serve(framing, N, &[&input]);
            for size in [input.len(), 1].into_iter().filter(|&size| size > 1 || framing == Framing::Line) {
                let mut point: Point<N> = Point::new(framing);
                input.chunks(size).for_each(|read| point.read(read));
                point.check(&said, || input.chunks(size).map(<[u8]>::to_vec).collect());
            }
        }
    }
}
