//! Any reads, cut in any way, against the oracle: the server's machine says what the protocol says, and not a byte else.

#![no_main]

use core::time::Duration;

use arbitrary::Arbitrary;
use greet_core::{Framing, Instant, Machine, Server, ServerSettings, State};
use greet_tests::oracle;
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
struct Conversation<'a> {
    framing: AnyFraming,
    capacity: Capacity,
    delayed: bool,
    client_ends: bool,
    /// How much room each `transmit` has, over and over.
    rooms: &'a [u8],
    reads: Vec<&'a [u8]>,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum AnyFraming {
    Auto,
    Line,
    Chunk,
}

/// The small ones are where everything happens at once: a full buffer, a character across its end, a name that is `exit`.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Capacity {
    One,
    Two,
    Three,
    Four,
    Five,
    Sixteen,
    Large,
}

fuzz_target!(|conversation: Conversation<'_>| {
    match conversation.capacity {
        Capacity::One => check::<1>(&conversation),
        Capacity::Two => check::<2>(&conversation),
        Capacity::Three => check::<3>(&conversation),
        Capacity::Four => check::<4>(&conversation),
        Capacity::Five => check::<5>(&conversation),
        Capacity::Sixteen => check::<16>(&conversation),
        Capacity::Large => check::<300>(&conversation),
    }
});

fn check<const N: usize>(conversation: &Conversation<'_>) {
    let framing = match conversation.framing {
        AnyFraming::Auto => Framing::Auto,
        AnyFraming::Line => Framing::Line,
        AnyFraming::Chunk => Framing::Chunk,
    };
    // A read delivers something; nothing at all is how a transport tells the end.
    let reads: Vec<&[u8]> = conversation.reads.iter().copied().filter(|read| !read.is_empty()).collect();

    let delay = if conversation.delayed { Duration::from_secs(1) } else { Duration::ZERO };
    let server = Server::<N>::new(ServerSettings { framing, delay, idle_timeout: None }, Instant::ZERO);
    let mut driven =
        Driven { server, now: Instant::ZERO, rooms: conversation.rooms.iter().cycle(), output: Vec::new() };
    driven.drain();
    for mut input in reads.iter().copied() {
        while !input.is_empty() && driven.server.state() == State::Open {
            let taken = driven.server.receive(driven.now, input).taken;
            assert!(taken > 0, "an open server that owes nothing takes something");
            input = &input[taken..];
            driven.drain();
        }
    }
    let said = oracle::serve(framing, N, &reads);
    assert_eq!(driven.output.escape_ascii().to_string(), said.output.escape_ascii().to_string());
    assert_eq!(driven.server.state() != State::Open, said.exit);

    if conversation.client_ends {
        driven.output.clear();
        driven.server.receive_end(driven.now);
        driven.drain();
        assert_eq!(driven.output.escape_ascii().to_string(), said.farewell.escape_ascii().to_string());
        assert_ne!(driven.server.state(), State::Open);
    }

    // A server that is over takes nothing and says nothing more.
    if driven.server.state() != State::Open {
        driven.server.receive_end(driven.now);
        assert_eq!(driven.server.state(), State::Over);
        assert_eq!(driven.server.receive(driven.now, b"more\n").taken, 0);
        assert_eq!(driven.server.transmit(driven.now, &mut [0; 64]), 0);
        assert_eq!(driven.server.deadline(), None);
    }
}

/// A server and what it said.
struct Driven<R, const N: usize> {
    server: Server<N>,
    now: Instant,
    rooms: R,
    output: Vec<u8>,
}

impl<'a, R: Iterator<Item = &'a u8>, const N: usize> Driven<R, N> {
    /// Lets the server say all it owes, also what it owes later.
    fn drain(&mut self) {
        loop {
            self.server.handle_timeout(self.now);
            let mut room = [0; 256];
            let room = &mut room[..usize::from(*self.rooms.next().unwrap_or(&255)).max(1)];
            let length = self.server.transmit(self.now, room);
            self.output.extend_from_slice(&room[..length]);
            if length > 0 {
                continue;
            }
            match self.server.deadline() {
                Some(due) if self.server.state() == State::Open => {
                    assert!(due > self.now, "what was due has been said");
                    self.now = due;
                }
                _ => return self.server.delivered(self.now),
            }
        }
    }
}
