//! Any frames against a stack with DHCP, SLAAC and DNS, and a pool: each is a valid frame with changes, or any bytes.

#![no_main]

use core::time::Duration;

use arbitrary::Arbitrary;
use greet_tests::{
    mutation::{fix_checksums, frames},
    storm::storm,
};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
struct Frame {
    base: Base,
    /// Positions, and what is written there.
    changes: Vec<(u8, u8)>,
    /// Checksums are corrected, so that the frame is parsed.
    is_intact: bool,
    /// Time without a frame after it, in steps of 100 ms.
    wait: u8,
}

#[derive(Arbitrary, Debug)]
enum Base {
    /// A valid frame of the kind with this index.
    Valid(u8),
    Bytes(Vec<u8>),
}

fuzz_target!(|case: (u64, Vec<Frame>)| {
    let (seed, frames_to_send) = case;
    let kinds = frames();
    let mut frames_to_send = frames_to_send.into_iter();
    storm(seed, |_| {
        let Frame { base, changes, is_intact, wait } = frames_to_send.next()?;
        let mut bytes = match base {
            Base::Valid(kind) => kinds[usize::from(kind) % kinds.len()].clone(),
            Base::Bytes(bytes) => bytes,
        };
        for (position, value) in changes {
            if let Some(byte) = bytes.get_mut(usize::from(position)) {
                *byte = value;
            }
        }
        if is_intact {
            fix_checksums(&mut bytes);
        }
        Some((bytes, Duration::from_millis(100) * u32::from(wait)))
    });
});
