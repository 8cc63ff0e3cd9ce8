//! The settings of a simulation, derived from its seed: the server, the link, and the number of clients.

use core::time::Duration;

use greet_core::{Framing, ServerSettings};
use greet_smoltcp::pool::{self, Limits};

use super::{link::LinkSettings, random::Random};

/// Capacities of simulated servers. They are fixed because the capacity is a const generic.
pub(super) const CAPACITIES: [usize; 4] = [1, 5, 16, 64];

/// Maximum number of clients.
const CLIENTS: usize = 32;

/// smoltcp sends at most one neighbor request per second.
const NEIGHBOR: Duration = Duration::from_millis(1_100);

/// The settings of a simulation.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) seed: u64,
    /// One of [`CAPACITIES`].
    pub(super) capacity: usize,
    pub(super) pool: pool::Settings,
    pub(super) slots: usize,
    /// Buffer sizes of the server's sockets, in bytes.
    pub(super) receive_buffer: usize,
    pub(super) transmit_buffer: usize,
    /// Maximum number of bytes per read.
    pub(super) read_buffer: usize,
    /// Minimum time between two polls of the server, as if its processor were busy.
    pub(super) pause: Duration,
    pub(super) clients: usize,
    pub(super) link: LinkSettings,
}

/// Until a SYN was sent three times again: after 1 s, 2 s and 4 s.
const SYN_REPEATS: Duration = Duration::from_secs(7);

impl Settings {
    pub(super) fn draw(seed: u64, random: &mut Random) -> Self {
        let capacity = random.pick(&CAPACITIES);
        let clients = match random.within(0..=9) {
            0..=4 => random.within(1..=4),
            5..=8 => random.within(3..=10),
            _ => random.within(8..=CLIENTS),
        };
        // Sometimes more than clients, sometimes far fewer.
        let slots = random.within(1..=clients + 2).min(random.within(1..=clients + 2));
        let framing = random.pick(&[Framing::Line, Framing::Line, Framing::Chunk, Framing::Auto]);
        let delay = match random.within(0..=9) {
            0..=5 => Duration::ZERO,
            6..=8 => random.millis(1..=60),
            _ => random.millis(200..=1500),
        };
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        let idle_timeout = random.pick(&[None, seconds(300), seconds(30), seconds(5)]);
        let keep_alive = random.millis(2_000..=15_000);
        let handshake = random.millis(2_000..=8_000);
        let vanished = keep_alive * 3 + random.millis(5_000..=20_000);
        let limits = Limits {
            handshake,
            half_open: Limits::DEFAULT.half_open,
            keep_alive,
            vanished,
            unacknowledged: vanished,
            delivery: random.millis(4_000..=15_000),
        };
        let server = ServerSettings { framing, delay, idle_timeout };
        Self {
            seed,
            capacity,
            pool: pool::Settings { server, limits, ..pool::Settings::DEFAULT },
            slots,
            receive_buffer: random.pick(&[8, 32, 128, 600, 2048]),
            transmit_buffer: random.pick(&[1, 8, 32, 128, 600, 2048]),
            read_buffer: random.pick(&[1, 7, 64, 600, 2048]),
            pause: match random.within(0..=9) {
                0..=6 => Duration::ZERO,
                7..=8 => random.millis(0..=3),
                _ => random.millis(5..=80),
            },
            clients,
            link: LinkSettings::draw(random),
        }
    }

    /// Maximum time that a client may wait without progress.
    ///
    /// With a constant delay, a name is answered after the server's delay and a few round trips: for neighbor resolution, which
    /// may have to wait for other requests, for the handshake, and for a window update. With reordering, frames may be
    /// considered lost, and are retransmitted after 1 s, 2 s, 4 s and so on. Or smoltcp fails to retransmit, and one side times
    /// out (`SOCKET_TIMEOUT` of a client is 60 s, `vanished` of the server at most 65 s), which is checked separately. With loss,
    /// at most one frame in five in each direction, the reset may be lost too; a client that sends a keep-alive every 10 s
    /// has 17 attempts in 300 s.
    pub(super) fn bound(&self) -> Duration {
        let round_trip = self.link.latency * 2 + self.pause + Duration::from_millis(10);
        // With more clients than slots, the pool drops SYNs.
        let repeated_syn = if self.clients > self.slots { SYN_REPEATS } else { Duration::ZERO };
        let delay_only = self.pool.server.delay + round_trip * 6 + NEIGHBOR + repeated_syn;
        match (self.link.delay_only, self.link.lossless) {
            (true, _) => delay_only,
            (_, true) => delay_only + Duration::from_secs(130),
            _ => delay_only + Duration::from_secs(300),
        }
    }

    /// Maximum time that a slot may be busy with a client that has disappeared or is idle.
    pub(super) fn longest_hold(&self) -> Duration {
        let Limits { handshake, keep_alive, vanished, delivery, half_open: _, unacknowledged: _ } = self.pool.limits;
        handshake
            + keep_alive
            + vanished
            + delivery
            + greet_core::LINGER * 2
            + self.pool.server.delay * 2
            + self.pool.server.idle_timeout.unwrap_or_default()
    }
}
