//! Where the header of the PROXY protocol ends, and which client it names.
//!
//! The crate `ppp` reads complete headers. Here is how many bytes of the connection belong to the header, so that none of what
//! follows it is read with it. The fuzz target `proxy` compiles this file too.

use core::net::SocketAddr;

use ppp::{HeaderResult, v1, v2};

/// A header of version 1 has at least this many bytes: `PROXY UNKNOWN` and a line end. One of version 2 has more.
const SHORTEST: usize = 15;
/// A header of version 1 has at most this many bytes.
const LONGEST_V1: usize = 107;
/// A header of version 2 has this many bytes before its addresses, and the last two are the length of the rest.
const FIXED_V2: usize = 16;
/// Maximum length of the addresses and extensions of version 2. Certificates would be longer, and are of no use here.
const LONGEST_V2: usize = 4096;

/// The client that a header names; `None` if the connection is the proxy's own, like a health check.
pub(crate) type Client = Option<SocketAddr>;

/// What to do after the bytes that were received so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Read at most this many bytes: they belong to the header.
    Read(usize),
    /// The header is complete.
    Done(Client),
    /// This is no header.
    Refuse,
}

/// What to do after these bytes.
pub(crate) fn next(received: &[u8]) -> Step {
    let length = received.len();
    if has_prefix(received, v2::PROTOCOL_PREFIX) {
        let Some(fixed) = received.first_chunk::<FIXED_V2>() else {
            return Step::Read(SHORTEST.max(length.saturating_add(1)).min(FIXED_V2).saturating_sub(length));
        };
        let [.., high, low] = *fixed;
        let rest = usize::from(u16::from_be_bytes([high, low]));
        return match rest.saturating_add(FIXED_V2).saturating_sub(length) {
            _ if rest > LONGEST_V2 => Step::Refuse,
            0 => parse(received),
            missing => Step::Read(missing),
        };
    }
    if !has_prefix(received, v1::PROTOCOL_PREFIX.as_bytes()) {
        return Step::Refuse;
    }
    match received {
        // A line feed before the end, in one read with it, is as wrong as alone: the result must not depend on the reads.
        [before @ .., _] if before.contains(&b'\n') => Step::Refuse,
        [.., b'\r', b'\n'] => parse(received),
        [.., b'\n'] => Step::Refuse, // `ppp` takes a space for the carriage return
        _ if length >= LONGEST_V1 => Step::Refuse,
        _ if length < SHORTEST => Step::Read(SHORTEST.saturating_sub(length)),
        [.., b'\r'] => Step::Read(1),
        _ => Step::Read(LONGEST_V1.saturating_sub(length).min(2)),
    }
}

/// Whether the bytes begin with `prefix`, as far as they go.
fn has_prefix(received: &[u8], prefix: &[u8]) -> bool {
    let length = received.len().min(prefix.len());
    received.get(..length) == prefix.get(..length)
}

/// Reads a complete header.
fn parse(header: &[u8]) -> Step {
    match HeaderResult::parse(header) {
        HeaderResult::V1(Ok(header)) => Step::Done(match header.addresses {
            v1::Addresses::Tcp4(ip) => Some((ip.source_address, ip.source_port).into()),
            v1::Addresses::Tcp6(ip) => Some((ip.source_address, ip.source_port).into()),
            v1::Addresses::Unknown => None,
        }),
        HeaderResult::V2(Ok(header)) => Step::Done(match (header.command, header.addresses) {
            (v2::Command::Local, _) => None,
            (_, v2::Addresses::IPv4(ip)) => Some((ip.source_address, ip.source_port).into()),
            (_, v2::Addresses::IPv6(ip)) => Some((ip.source_address, ip.source_port).into()),
            (_, v2::Addresses::Unspecified | v2::Addresses::Unix(_)) => None,
        }),
        HeaderResult::V1(Err(_)) | HeaderResult::V2(Err(_)) => Step::Refuse,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads what a connection begins with, in reads of at most `piece` bytes; the client, and how many bytes were read.
    fn read_in_pieces(input: &[u8], piece: usize) -> Option<(Client, usize)> {
        let mut length = 0;
        loop {
            match next(&input[..length]) {
                Step::Read(missing) => {
                    assert!(missing > 0);
                    let count = missing.min(piece).min(input.len() - length);
                    if count == 0 {
                        return None;
                    }
                    length += count;
                }
                Step::Done(client) => return Some((client, length)),
                Step::Refuse => return None,
            }
        }
    }

    fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [v2::PROTOCOL_PREFIX, &[0x20 | command, family], &length, rest].concat()
    }

    #[test]
    fn a_header_names_the_client_and_nothing_behind_it_is_read() {
        let ipv4 = [192, 0, 2, 1, 127, 0, 0, 1, 0x30, 0x39, 0x27, 0x0f];
        let mut ipv6 = [0; 36];
        (ipv6[0], ipv6[15], ipv6[31], ipv6[33]) = (0xfd, 1, 1, 9);
        let extended = [&ipv4[..], &[3, 0, 4, 1, 2, 3, 4]].concat();
        for (header, client) in [
            (b"PROXY TCP4 192.0.2.1 127.0.0.1 12345 9999\r\n".to_vec(), Some("192.0.2.1:12345")),
            (b"PROXY TCP6 2001:db8::1 ::1 1 9999\r\n".to_vec(), Some("[2001:db8::1]:1")),
            (b"PROXY UNKNOWN\r\n".to_vec(), None),
            (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n".to_vec(), None),
            (v2(1, 0x11, &ipv4), Some("192.0.2.1:12345")),
            (v2(1, 0x11, &extended), Some("192.0.2.1:12345")),
            (v2(1, 0x21, &ipv6), Some("[fd00::1]:9")),
            (v2(0, 0, &[]), None),
            (v2(0, 0x11, &ipv4), None),
            (v2(1, 0x31, &[0; 216]), None),
        ] {
            let client = client.map(|client| client.parse().unwrap());
            for behind in [&b""[..], b"haha\nexit\n", b"\r\n"] {
                let input = [&header, behind].concat();
                for piece in 1..=header.len() {
                    assert_eq!(read_in_pieces(&input, piece), Some((client, header.len())), "{header:?} {piece}");
                }
            }
            for length in 0..header.len() {
                assert_eq!(read_in_pieces(&header[..length], header.len()), None, "{header:?} {length}");
            }
        }
    }

    #[test]
    fn what_is_no_header_is_refused_as_soon_as_that_is_known() {
        for (input, known_after) in [
            (&b"haha\nexit\n"[..], 1),
            (b"PROXX TCP4", 5),
            (b"\r\n\r\n\0\r\nQUIX\n", 11),
            (b"PROXY TCP4 192.0.2.1 127.0.0.1 99999 9999\r\n", 43),
            (b"PROXY TCP4 ::1 ::1 1 2\r\n", 24),
            (b"PROXY HTTP 192.0.2.1 127.0.0.1 1 2\r\n", 36),
            (b"PROXY UNKNOWN\n", 14),
            (b"PROXY UNKNOWN\nhaha\r\n", 14),
            (b"PROXY UNKNOWN a \n", 17),
            (&[b"PROXY UNKNOWN ".as_slice(), &[b'a'; 100]].concat(), LONGEST_V1),
            (&[v2::PROTOCOL_PREFIX, &[0x21, 0x11, 0xff, 0xff]].concat(), FIXED_V2),
            (&[v2::PROTOCOL_PREFIX, &[0x31, 0x11, 0, 0]].concat(), FIXED_V2),
            (&v2(1, 0x11, &[0; 11]), FIXED_V2 + 11),
        ] {
            let refused = (1..=input.len()).find(|&length| next(&input[..length]) == Step::Refuse);
            assert_eq!(refused, Some(known_after), "{:?}", input.escape_ascii().to_string());
            assert_eq!(read_in_pieces(input, usize::MAX), None);
        }
    }

    #[test]
    fn no_bytes_make_it_panic_or_read_without_end() {
        // Valid beginnings, each byte of which is replaced by every other one.
        let header = v2(1, 0x11, &[192, 0, 2, 1, 127, 0, 0, 1, 0x30, 0x39, 0x27, 0x0f]);
        for header in [header, b"PROXY TCP4 192.0.2.1 127.0.0.1 12345 9999\r\n".to_vec()] {
            for position in 0..header.len() {
                for byte in 0..=u8::MAX {
                    let mut input = header.clone();
                    input[position] = byte;
                    let read = read_in_pieces(&input, usize::MAX);
                    assert!(read.is_none_or(|(_, length)| length <= input.len()));
                }
            }
        }
    }
}
