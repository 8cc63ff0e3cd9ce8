//! Names from a pipe or a file: one a line.

use std::io::{BufRead, Read};

use greet_core::{Client, ClientSettings, Service};
use greet_host::{
    chat::{Input, NameSource},
    client::{CAPACITY, ChatError, check},
};

/// Whether a line ends the conversation, as `exit` does in the greeting protocol (rule R3).
pub(super) fn ends(service: Service, line: &[u8]) -> bool {
    service == Service::Greet && line == b"exit"
}

/// The longest line that is read: the longest name, CR and LF, and one byte more to notice a longer one.
const LINE_LIMIT: u64 = (Client::<CAPACITY>::LONGEST_NAME + 3) as u64;

/// Reads a name when the one before is answered, until the input ends, or a line is `exit` for a greeting server.
#[derive(Debug)]
pub(super) struct Pipe<R> {
    input: R,
    /// Number of the line that was read last, from 1.
    number: u64,
}

impl<R: BufRead> Pipe<R> {
    pub(super) const fn new(input: R) -> Self {
        Self { input, number: 0 }
    }
}

impl<R: BufRead> NameSource for Pipe<R> {
    fn next(&mut self, settings: ClientSettings) -> Result<Input, ChatError> {
        let mut line = Vec::new();
        self.input.by_ref().take(LINE_LIMIT).read_until(b'\n', &mut line).map_err(ChatError::Input)?;
        self.number = self.number.saturating_add(1);
        let name = without_end(&line);
        if line.is_empty() || ends(settings.service, name) {
            return Ok(Input::Exit);
        }
        check(settings, name, true).map_err(|reason| ChatError::Line { number: self.number, reason })?;
        Ok(Input::Name(name.to_vec()))
    }
}

/// A line without its LF or CR LF (rule F2).
fn without_end(line: &[u8]) -> &[u8] {
    match line.strip_suffix(b"\n") {
        Some(name) => name.strip_suffix(b"\r").unwrap_or(name),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_loses_its_end_and_nothing_else() {
        for (line, name) in [
            (&b"haha\n"[..], &b"haha"[..]),
            (b"haha\r\n", b"haha"),
            (b"haha\r\r\n", b"haha\r"),
            (b"haha", b"haha"),
            (b"haha\r", b"haha\r"),
            (b"\n", b""),
            (b"\r\n", b""),
        ] {
            assert_eq!(without_end(line), name);
        }
    }
}
