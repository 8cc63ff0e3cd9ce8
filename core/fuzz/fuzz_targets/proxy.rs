//! Any bytes as the header of the PROXY protocol that `greet serve --proxy-protocol require` reads: cut in any way they come to
//! the same, and never is a byte read that does not belong to the header.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ppp::HeaderResult;

#[path = "../../../std-app/src/serve/proxy/header.rs"]
mod header;

use header::{Client, Step, next};

/// The longest header of version 2 that is read: 16 bytes, and 4,096 of addresses and extensions.
const LONGEST: usize = 16 + 4096;

fuzz_target!(|case: (&[u8], &[u8])| {
    let (cuts, input) = case;
    let whole = read(input, std::iter::repeat(usize::MAX));
    let pieces = cuts.iter().map(|&cut| usize::from(cut) + 1);
    assert_eq!(read(input, pieces.chain(std::iter::repeat(1))), whole);
    let Some((client, length)) = whole else { return };
    assert!(length <= LONGEST);
    // What follows the header changes nothing, and no part of it is a header.
    let header = &input[..length];
    assert_eq!(read(header, std::iter::repeat(usize::MAX)), Some((client, length)));
    assert_eq!(read(&header[..length - 1], std::iter::repeat(usize::MAX)), None);
    assert!(matches!(HeaderResult::parse(header), HeaderResult::V1(Ok(_)) | HeaderResult::V2(Ok(_))));
});

/// The client, and how many bytes were read for it; `None` if there is no header. Each read is at most this long.
fn read(input: &[u8], reads: impl Iterator<Item = usize>) -> Option<(Client, usize)> {
    let mut length = 0;
    for read in reads {
        match next(&input[..length]) {
            Step::Read(missing) => {
                assert!(missing > 0 && length < LONGEST);
                let count = missing.min(read).min(input.len() - length);
                if count == 0 {
                    return None;
                }
                length += count;
            }
            Step::Done(client) => return Some((client, length)),
            Step::Refuse => return None,
        }
    }
    None
}
