//! How a head is printed to standard output.

use std::io::{self, Write};

use greet_core::Escaped;

/// The bytes of a head as they arrived; on a terminal with its control characters escaped (rule K3).
pub(super) fn write_head(output: &mut impl Write, head: &[u8], is_terminal: bool) -> io::Result<()> {
    if is_terminal {
        for line in head.strip_suffix(b"\n").unwrap_or(head).split(|byte| *byte == b'\n') {
            writeln!(output, "{}", Escaped(line.strip_suffix(b"\r").unwrap_or(line)))?;
        }
    } else {
        output.write_all(head)?;
    }
    output.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_gets_an_escaped_head_and_a_pipe_the_bytes() {
        let head = b"HTTP/1.1 200 OK\r\nA: \x1b[2J\xc2\x9b\r\n\r\n";
        for (is_terminal, shown) in [(true, &b"HTTP/1.1 200 OK\nA: \\u{1b}[2J\\u{9b}\n\n"[..]), (false, head)] {
            let mut output = Vec::new();
            write_head(&mut output, head, is_terminal).unwrap();
            assert_eq!(String::from_utf8_lossy(&output), String::from_utf8_lossy(shown));
        }
    }
}
