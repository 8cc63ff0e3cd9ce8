//! The protocol once more, naively, over a whole conversation: what the machines are compared with.
//!
//! It shares no code with them, and has all the input before it says a word. Time has no part in it.

use std::{collections::HashSet, sync::LazyLock};

use greet_core::Framing;

/// What a server has to say to a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// All its bytes, from the greeting on.
    pub output: Vec<u8>,
    /// It ends its side then.
    pub ended: bool,
}

/// What a server of that framing and capacity says to a client that sends these reads, and then ends its side or not.
#[must_use]
pub fn serve(framing: Framing, capacity: usize, reads: &[&[u8]], client_ends: bool) -> Said {
    let mut output = b"Welcome!".to_vec();
    if framing == Framing::Line {
        output.push(b'\n'); // G1
    }
    let line = match framing {
        Framing::Line => true,
        Framing::Chunk => false,
        Framing::Auto => reads.iter().find(|read| !read.is_empty()).is_some_and(|read| read.contains(&b'\n')), // F3
    };
    let names = if line { lines(&reads.concat(), capacity, client_ends) } else { chunks(reads, capacity, client_ends) };
    for name in names {
        if name == b"exit" && capacity >= 4 {
            return Said { output, ended: true }; // R3
        }
        match core::str::from_utf8(&name) {
            _ if name.len() > capacity => {
                output.extend(format!("Error: name longer than {capacity} bytes").bytes()); // L3
            }
            Err(_) => output.extend(b"Error: name is not valid UTF-8"), // U1
            Ok(name) => output.extend(format!("Hello, {name}!").bytes()), // R1
        }
        if line {
            output.push(b'\n'); // R1, E1
        }
    }
    Said { output, ended: client_ends } // R4
}

/// The names in a text of lines; those that are too long have more than `capacity` bytes, and need not be whole.
fn lines(input: &[u8], capacity: usize, client_ends: bool) -> Vec<Vec<u8>> {
    let mut names = Vec::new();
    let mut rest = input;
    while let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
        let line = &rest[..end];
        names.push(line.strip_suffix(b"\r").unwrap_or(line).to_vec()); // F2
        rest = &rest[end + 1..];
    }
    let too_long = rest.strip_suffix(b"\r").unwrap_or(rest).len() > capacity; // L3: as soon as byte N+1 is seen
    if too_long || (client_ends && !rest.is_empty()) {
        names.push(rest.to_vec()); // R4
    }
    names
}

/// The names in a row of reads.
///
/// Of a read longer than the capacity each piece is as a read of its own. A character longer than the capacity can never
/// be put together: its first bytes, when they fill the capacity, are a name.
fn chunks(reads: &[&[u8]], capacity: usize, client_ends: bool) -> Vec<Vec<u8>> {
    let mut names = Vec::new();
    let mut waiting = Vec::new();
    for read in reads {
        let mut rest = *read;
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(rest.len().min(capacity - waiting.len())); // L2
            rest = after;
            let mut name = core::mem::take(&mut waiting);
            name.extend(piece);
            let unfinished = unfinished_character(&name);
            if unfinished < capacity {
                waiting = name.split_off(name.len() - unfinished); // U2
            }
            if !name.is_empty() {
                names.push(name); // F1
            }
        }
    }
    if client_ends && !waiting.is_empty() {
        names.push(waiting); // U2
    }
    names
}

/// How many bytes at the end are the beginning of a character, and not the whole of it.
fn unfinished_character(bytes: &[u8]) -> usize {
    static BEGINNINGS: LazyLock<HashSet<Vec<u8>>> = LazyLock::new(|| {
        let every = ('\0'..=char::MAX).map(|character| character.to_string().into_bytes());
        every.flat_map(|bytes| (1..bytes.len()).map(move |length| bytes[..length].to_vec())).collect()
    });
    match bytes.last() {
        None | Some(0..0x80) => 0, // an ASCII byte is a whole character: this only saves the look-up
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
                    let mut expected = b"Welcome!".to_vec();
                    expected.extend((framing == Framing::Line).then_some(b'\n'));
                    for step in &script.talk {
                        reads.push(&step.input[..]);
                        expected.extend(&step.output);
                        let said = serve(framing, capacity, &reads, false);
                        assert_eq!(said.output, expected, "{}", case.name);
                    }
                    assert_eq!(serve(framing, capacity, &reads, false).ended, script.end == End::Exit, "{}", case.name);
                    expected.extend(&script.farewell);
                    let said = serve(framing, capacity, &reads, true);
                    assert_eq!(said, Said { output: expected, ended: true }, "{}", case.name);
                }
            }
        }
    }
}
