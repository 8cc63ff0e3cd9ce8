//! The workload: one read of many names, answered by the server's machine or by a minimal loop.

use core::hint::black_box;

use greet_core::{Framing, Instant, Machine, NAME_CAPACITY, Server, ServerSettings};

/// Number of names in one read.
pub(crate) const NAMES_IN_FLIGHT: usize = 64;

/// One read of [`NAMES_IN_FLIGHT`] names under framing `line`, and a buffer for the replies.
pub(crate) struct Workload {
    pub(crate) input: Vec<u8>,
    output: Vec<u8>,
}

impl Workload {
    /// Creates lines of `line_length` bytes, including the LF.
    pub(crate) fn new(line_length: usize) -> Self {
        let mut line = vec![b'n'; line_length - 1];
        line.push(b'\n');
        let reply_length = b"Hello, !".len() + line_length;
        Self { input: line.repeat(NAMES_IN_FLIGHT), output: vec![0; reply_length * NAMES_IN_FLIGHT] }
    }

    /// Answers the input with `server`, calling `receive` and `transmit` alternately. Returns the length of the replies.
    pub(crate) fn core(&mut self, server: &mut Server<NAME_CAPACITY>) -> usize {
        // Hides the time and the bytes from the optimizer.
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

    /// Answers the input with a search for the LF and three copies, without limits, UTF-8 check, `exit` or time. Returns the
    /// length of the replies.
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

    /// Asserts that both give the same replies.
    pub(crate) fn check(&mut self) {
        let length = self.plain();
        assert_eq!(length, self.output.len());
        let expected = core::mem::replace(&mut self.output, vec![0; length]);
        assert_eq!(self.core(&mut listening_server()), length);
        assert!(self.output == expected, "the machine's replies are not those of the plain loop");
    }
}

/// A server with framing `line` that has sent its greeting.
pub(crate) fn listening_server() -> Server<NAME_CAPACITY> {
    let settings = ServerSettings { framing: Framing::Line, ..ServerSettings::DEFAULT };
    let mut server = Server::new(settings, Instant::ZERO);
    let mut greeting = [0; 9];
    assert_eq!(server.transmit(Instant::ZERO, &mut greeting), greeting.len());
    server
}
