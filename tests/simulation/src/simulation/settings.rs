//! What a seed decides before anything happens: the server, the wire, and how many clients there are.

use core::time::Duration;

use greet_core::{Framing, ServerSettings};
use greet_smoltcp::pool::{self, Limits};

use super::{chance::Chance, wire::Weather};

/// The capacities that a simulated server may have: the type needs them before a seed is known.
pub(super) const CAPACITIES: [usize; 4] = [1, 5, 16, 64];

/// The most clients there are.
const CLIENTS: usize = 32;

/// smoltcp asks for the address of one neighbour in a second.
const NEIGHBOUR: Duration = Duration::from_millis(1_100);

/// What a seed decides.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) seed: u64,
    /// One of [`CAPACITIES`].
    pub(super) capacity: usize,
    pub(super) pool: pool::Settings,
    pub(super) slots: usize,
    /// The buffers of each of the server's sockets.
    pub(super) receive_buffer: usize,
    pub(super) transmit_buffer: usize,
    /// The most that one read delivers.
    pub(super) read_buffer: usize,
    /// The server's processor has other things to do: so much time passes from one poll to the next.
    pub(super) pause: Duration,
    pub(super) clients: usize,
    pub(super) weather: Weather,
}

impl Settings {
    pub(super) fn draw(seed: u64, chance: &mut Chance) -> Self {
        let capacity = chance.pick(&CAPACITIES);
        let clients = match chance.within(0..=9) {
            0..=4 => chance.within(1..=4),
            5..=8 => chance.within(3..=10),
            _ => chance.within(8..=CLIENTS),
        };
        // Now there are more than there are clients, now far fewer.
        let slots = chance.within(1..=clients + 2).min(chance.within(1..=clients + 2));
        let framing = chance.pick(&[Framing::Line, Framing::Line, Framing::Chunk, Framing::Auto]);
        let delay = match chance.within(0..=9) {
            0..=5 => Duration::ZERO,
            6..=8 => chance.millis(1..=60),
            _ => chance.millis(200..=1500),
        };
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        let idle_timeout = chance.pick(&[None, seconds(300), seconds(30), seconds(5)]);
        let keep_alive = chance.millis(2_000..=15_000);
        let handshake = chance.millis(2_000..=8_000);
        let vanished = keep_alive * 3 + chance.millis(5_000..=20_000);
        let limits = Limits {
            handshake,
            keep_alive,
            vanished,
            unacknowledged: vanished,
            delivery: chance.millis(4_000..=15_000),
        };
        let server = ServerSettings { framing, delay, idle_timeout };
        Self {
            seed,
            capacity,
            pool: pool::Settings { server, limits, ..pool::Settings::DEFAULT },
            slots,
            receive_buffer: chance.pick(&[8, 32, 128, 600, 2048]),
            transmit_buffer: chance.pick(&[1, 8, 32, 128, 600, 2048]),
            read_buffer: chance.pick(&[1, 7, 64, 600, 2048]),
            pause: match chance.within(0..=9) {
                0..=6 => Duration::ZERO,
                7..=8 => chance.millis(0..=3),
                _ => chance.millis(5..=80),
            },
            clients,
            weather: Weather::draw(chance),
        }
    }

    /// How long a client may wait without anything changing for it.
    ///
    /// On a calm wire a name is answered after its delay and a few round trips: for the neighbour's address, which may
    /// have to wait for its turn, for the handshake, for an acknowledgement that opens the window. Frames that overtake each
    /// other may be taken for lost, and are sent again after 1 s, 2 s, 4 s and so on; or smoltcp forgets that they are to be
    /// sent again, and then one side gives up the other (`PATIENCE` of a client is 60 s, `vanished` of the server 65 s at
    /// most), which is looked into by itself. Where frames are lost, at most every fifth on each of the two ways, the news
    /// of that may be lost too: a client that asks every 10 s has 17 times until 300 s are over.
    pub(super) fn bound(&self) -> Duration {
        let round_trip = self.weather.latency * 2 + self.pause + Duration::from_millis(10);
        let calm = self.pool.server.delay + round_trip * 6 + NEIGHBOUR;
        match (self.weather.calm, self.weather.lossless) {
            (true, _) => calm,
            (_, true) => calm + Duration::from_secs(130),
            _ => calm + Duration::from_secs(300),
        }
    }

    /// How long a slot may be busy with a client that is no more, or that does nothing any more.
    pub(super) fn longest_hold(&self) -> Duration {
        let Limits { handshake, keep_alive, vanished, unacknowledged: _, delivery } = self.pool.limits;
        handshake
            + keep_alive
            + vanished
            + delivery
            + greet_core::LINGER * 2
            + self.pool.server.delay * 2
            + self.pool.server.idle_timeout.unwrap_or_default()
    }
}
