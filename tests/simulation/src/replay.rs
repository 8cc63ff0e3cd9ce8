//! Recorded frames, replayed with their times to a stack with a pool that is like the one they were recorded from: it sends what
//! that one sent, as far as the frames are the same. `std-app/frames/examples/record-frames.rs` records the frames of each probe.

#![allow(clippy::unwrap_used, reason = "in a test a panic is how a failure is reported")]

use core::time::Duration;

use greet_core::{Framing, Instant, NAME_CAPACITY, Server, ServerSettings};
use greet_smoltcp::{
    pool::{self, Pool, Slot},
    stack::{Fragments, Settings, Stack},
};
use smoltcp::{
    iface::SocketSet,
    socket::tcp::SocketBuffer,
    wire::{IpAddress, IpCidr},
};

use crate::{
    ether::Ether,
    scene::{OTHER, OWN},
    storm::{ends_well, send},
};

/// The stack and the pool are those of `std-app/frames/tests/devices/device.rs`.
const ADDRESSES: [IpCidr; 2] =
    [IpCidr::new(IpAddress::v4(192, 168, 69, 1), 24), IpCidr::new(IpAddress::v6(0xfdaa, 0, 0, 0, 0, 0, 0, 1), 64)];
const SEED: u64 = 7;
const SOCKETS: usize = 8;
const BUFFER: usize = 4096;

/// Replays a recording: for each frame the microseconds since the one before (4 bytes, little-endian), its length (2 bytes), and
/// its bytes. What is cut off at the end is left out. Returns how many connections were accepted.
///
/// # Panics
/// If the stack does, if a slot stays occupied, or if a client that connects afterwards is not served.
#[must_use]
pub fn replay(mut recording: &[u8]) -> u32 {
    let ether = Ether::default();
    let (mut port, mut other) = (ether.port(OWN), ether.port(OTHER));
    let settings = Settings { addresses: &ADDRESSES, slaac: true, ..Settings::new(OWN, SEED) };
    let mut now = Instant::ZERO;
    let mut fragments = Box::new(Fragments::new());
    let mut stack = Stack::new(settings, &mut port, SocketSet::new(Vec::new()), now).unwrap();
    stack.reassemble(&mut fragments);
    let mut slots: Vec<Slot<Server<NAME_CAPACITY>>> = (0..SOCKETS).map(|_| Slot::new()).collect();
    let mut read = vec![0; BUFFER];
    let server = ServerSettings { framing: Framing::Line, ..ServerSettings::DEFAULT };
    let mut pool = Pool::new(pool::Settings { server, ..pool::Settings::DEFAULT }, &mut slots, &mut read);
    for _ in 0..SOCKETS {
        pool.open(stack.sockets(), SocketBuffer::new(vec![0; BUFFER]), SocketBuffer::new(vec![0; BUFFER]));
    }
    while let Some((wait, frame, rest)) = next_frame(recording) {
        recording = rest;
        let until = now + wait;
        let mut polls = 0;
        loop {
            polls += 1;
            assert!(polls < 20_000, "more than 20,000 polls without a frame");
            let next = stack.poll(now, &mut port, |sockets, reason| pool.serve(now, sockets, reason, |_| {}));
            other.clear();
            if !port.is_quiet() || next.is_some_and(|next| next <= now) {
                continue;
            }
            if now >= until {
                break;
            }
            now = next.map_or(until, |next| next.min(until));
        }
        send(&mut other, frame);
    }
    ends_well(now, &mut stack, (&mut port, &mut other), &mut pool);
    pool.counters().accepted
}

fn next_frame(recording: &[u8]) -> Option<(Duration, &[u8], &[u8])> {
    let (&wait, rest) = recording.split_first_chunk::<4>()?;
    let (&length, rest) = rest.split_first_chunk::<2>()?;
    let (frame, rest) = rest.split_at_checked(u16::from_le_bytes(length).into())?;
    Some((Duration::from_micros(u32::from_le_bytes(wait).into()), frame, rest))
}
