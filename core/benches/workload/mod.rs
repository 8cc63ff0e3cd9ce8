//! What is measured: one read of many names, answered by the server's machine, and by the least that could answer it.

use core::hint::black_box;

use greet_core::{Framing, Instant, Machine, NAME_CAPACITY, Server, ServerSettings};

/// How many names one read holds.
pub(crate) const NAMES_IN_FLIGHT: usize = 64;

/// One read of [`NAMES_IN_FLIGHT`] names under framing `line`, and room for the replies.
pub(crate) struct Workload {
    pub(crate) input: Vec<u8>,
    output: Vec<u8>,
}

impl Workload {
    /// `line_length` counts the LF.
    pub(crate) fn new(line_length: usize) -> Self {
        let mut line = vec![b'n'; line_length - 1];
        line.push(b'\n');
        let reply_length = b"Hello, !".len() + line_length;
        Self { input: line.repeat(NAMES_IN_FLIGHT), output: vec![0; reply_length * NAMES_IN_FLIGHT] }
    }

    /// The replies by `server`, receiving and transmitting by turns; their length.
    pub(crate) fn core(&mut self, server: &mut Server<NAME_CAPACITY>) -> usize {
        // Neither the time nor the bytes are the compiler's to know in advance.
        let now = black_box(Instant::ZERO);
        let mut rest = black_box(self.input.as_slice());
        let mut written = 0;
        while !rest.is_empty() {
            rest = &rest[server.receive(now, rest).taken..];
            written += server.transmit(now, &mut self.output[written..]);
        }
        black_box(&self.output);
        written
    }

    /// The replies by a search for the LF and three copies: no limit, no UTF-8, no `exit`, no time; their length.
    pub(crate) fn plain(&mut self) -> usize {
        let mut rest = black_box(self.input.as_slice());
        let mut written = 0;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            for piece in [b"Hello, ", &rest[..end], b"!\n"] {
                self.output[written..written + piece.len()].copy_from_slice(piece);
                written += piece.len();
            }
            rest = &rest[end + 1..];
        }
        black_box(&self.output);
        written
    }

    /// That both answer, and the same.
    pub(crate) fn check(&mut self) {
        let length = self.plain();
        assert_eq!(length, self.output.len());
        let expected = core::mem::replace(&mut self.output, vec![0; length]);
        assert_eq!(self.core(&mut listening_server()), length);
        assert!(self.output == expected, "the machine's replies are not those of the plain loop");
    }
}

/// A server that has greeted and speaks in lines.
pub(crate) fn listening_server() -> Server<NAME_CAPACITY> {
    let settings = ServerSettings { framing: Framing::Line, ..ServerSettings::DEFAULT };
    let mut server = Server::new(settings, Instant::ZERO);
    let mut greeting = [0; 9];
    assert_eq!(server.transmit(Instant::ZERO, &mut greeting), greeting.len());
    server
}
