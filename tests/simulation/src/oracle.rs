//! A second, naive implementation of the protocol, to compare the machines with.
//!
//! It shares no code with them, and computes the output from the complete input. It has no notion of time.

use std::{collections::HashSet, sync::LazyLock};

use greet_core::Framing;

/// The output of a server for a sequence of reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// All output, from the greeting on.
    pub output: Vec<u8>,
    /// The server then half-closes, because of `exit`.
    pub exit: bool,
    /// The further output if the client half-closes now.
    pub farewell: Vec<u8>,
}

/// The output of a server with that framing and capacity for these reads.
#[must_use]
pub fn serve(framing: Framing, capacity: usize, reads: &[&[u8]]) -> Said {
    let line = match framing {
        Framing::Line => true,
        Framing::Chunk => false,
        Framing::Auto => reads.iter().find(|read| !read.is_empty()).is_some_and(|read| read.contains(&b'\n')), // F3
    };
    let greeting: &[u8] = if framing == Framing::Line { b"Welcome!\n" } else { b"Welcome!" }; // G1
    let input = reads.concat();
    let (names, rest) = if line { lines(&input, capacity) } else { chunks(&input, reads, capacity) };

    let mut said = Said { output: Vec::with_capacity(256), exit: false, farewell: Vec::new() };
    said.output.extend(greeting);
    for name in names {
        said.exit = answer(name, line, capacity, &mut said.output);
        if said.exit {
            return said; // R3
        }
    }
    if !rest.is_empty() {
        answer(rest, line, capacity, &mut said.farewell); // R4
    }
    said
}

/// Appends the reply to a name. Returns true, without a reply, if the name is `exit`.
fn answer(name: &[u8], line: bool, capacity: usize, output: &mut Vec<u8>) -> bool {
    if name.len() > capacity {
        output.extend(format!("Error: name longer than {capacity} bytes").bytes()); // L3
    } else if name == b"exit" {
        return true; // R3
    } else if core::str::from_utf8(name).is_err() {
        output.extend(b"Error: name is not valid UTF-8"); // U1
    } else {
        output.extend(b"Hello, "); // R1
        output.extend(name);
        output.push(b'!');
    }
    output.extend(line.then_some(b'\n')); // R1, E1
    false
}

/// The names in a text of lines, and the unfinished last line.
///
/// A name that is too long has more than `capacity` bytes, and may be incomplete.
fn lines(input: &[u8], capacity: usize) -> (Vec<&[u8]>, &[u8]) {
    let mut names = Vec::new();
    let mut rest = input;
    while let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
        let line = &rest[..end];
        names.push(line.strip_suffix(b"\r").unwrap_or(line)); // F2
        rest = &rest[end + 1..];
    }
    if rest.strip_suffix(b"\r").unwrap_or(rest).len() > capacity {
        names.push(rest); // L3: as soon as byte N+1 is seen
        rest = b"";
    }
    (names, rest)
}

/// The names in a sequence of reads, which together are `input`, and the bytes of an incomplete character at the end.
///
/// A read longer than the capacity is split, and each piece treated as a read. A character longer than the capacity can never
/// be completed: its first bytes are a name when they fill the capacity.
fn chunks<'a>(input: &'a [u8], reads: &[&[u8]], capacity: usize) -> (Vec<&'a [u8]>, &'a [u8]) {
    let mut names = Vec::new();
    let (mut start, mut end, mut read_end) = (0, 0, 0);
    for read in reads {
        read_end += read.len();
        while end < read_end {
            end = read_end.min(start + capacity); // L2
            let unfinished = unfinished_character(&input[start..end]);
            let name_end = if unfinished < capacity { end - unfinished } else { end }; // U2
            if start < name_end {
                names.push(&input[start..name_end]); // F1
            }
            start = name_end;
        }
    }
    (names, &input[start..])
}

/// The number of bytes at the end that are an incomplete character.
fn unfinished_character(bytes: &[u8]) -> usize {
    static BEGINNINGS: LazyLock<HashSet<Vec<u8>>> = LazyLock::new(|| {
        let every = ('\0'..=char::MAX).map(|character| character.to_string().into_bytes());
        every.flat_map(|bytes| (1..bytes.len()).map(move |length| bytes[..length].to_vec())).collect()
    });
    match bytes.last() {
        None | Some(0..0x80) => 0, // an ASCII byte is a complete character: this saves the look-up
        _ => (1..=bytes.len().min(3))
            .rev()
            .find(|&length| BEGINNINGS.contains(&bytes[bytes.len() - length..]))
            .unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vectors::{End, protocol};

    #[test]
    fn the_oracle_and_the_table_agree() {
        for case in protocol().unwrap() {
            for framing in case.framings() {
                for capacity in [16, 64, 1024] {
                    let script = case.script(capacity).unwrap();
                    let mut reads = Vec::new();
                    let mut output = b"Welcome!".to_vec();
                    output.extend((framing == Framing::Line).then_some(b'\n'));
                    for step in &script.talk {
                        reads.push(&step.input[..]);
                        output.extend(&step.output);
                        assert_eq!(serve(framing, capacity, &reads).output, output, "{}", case.name);
                    }
                    let expected = Said { output, exit: script.end == End::Exit, farewell: script.farewell };
                    assert_eq!(serve(framing, capacity, &reads), expected, "{}", case.name);
                }
            }
        }
    }
}
