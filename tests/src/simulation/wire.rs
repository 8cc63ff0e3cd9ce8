//! The wire between the clients and the server, and its weather.

use core::time::Duration;
use std::collections::BTreeMap;

use greet_core::Instant;
use greet_smoltcp::time::from_smoltcp;
use smoltcp::{
    phy::{Device, DeviceCapabilities, RxToken},
    time,
};

use super::{
    chance::Chance,
    tap::{Frame, Side},
};
use crate::ether::{Port, Sending};

/// What the wire does to the frames that one station receives. Chances are in percent.
#[derive(Clone, Copy, Debug, Default)]
struct Impairments {
    loss: usize,
    repetition: usize,
    damage: usize,
    delay: Duration,
    /// So much longer a frame may take, and so overtake another.
    jitter: Duration,
}

/// What the wire does to frames.
#[derive(Clone, Debug)]
pub(super) struct Weather {
    /// It does nothing but take its time, always the same.
    pub(super) calm: bool,
    /// Every frame arrives, though perhaps late, twice, or out of order.
    pub(super) lossless: bool,
    /// The longest that a frame is under way.
    pub(super) latency: Duration,
    to_server: Impairments,
    to_clients: Impairments,
}

impl Weather {
    pub(super) fn draw(chance: &mut Chance) -> Self {
        let kind = chance.within(0..=9);
        let (calm, lossless) = (kind < 3, kind < 6);
        let mut one_way = || Impairments {
            loss: if lossless { 0 } else { chance.within(0..=16) },
            damage: if lossless { 0 } else { chance.within(0..=4) },
            repetition: if calm { 0 } else { chance.within(0..=15) },
            delay: if chance.percent(30) { Duration::ZERO } else { chance.millis(0..=80) },
            jitter: if calm || chance.percent(30) { Duration::ZERO } else { chance.millis(0..=120) },
        };
        let (to_server, to_clients) = (one_way(), one_way());
        let latency = (to_server.delay + to_server.jitter).max(to_clients.delay + to_clients.jitter);
        Self { calm, lossless, latency, to_server, to_clients }
    }

    /// The wire that ends at this port.
    pub(super) const fn wire(&self, port: Port, side: Side, chance: &mut Chance) -> Wire {
        let impairments = match side {
            Side::Server => self.to_server,
            Side::Client(_) => self.to_clients,
        };
        Wire { port, impairments, chance: chance.another(), frames: BTreeMap::new(), count: 0 }
    }
}

/// A device at the end of a wire.
pub(super) struct Wire {
    port: Port,
    impairments: Impairments,
    chance: Chance,
    /// By when they arrive, and in which order they came.
    frames: BTreeMap<(Instant, u64), Vec<u8>>,
    count: u64,
}

impl Wire {
    /// When the next frame arrives.
    pub(super) fn due(&self) -> Option<Instant> {
        self.frames.keys().next().map(|&(due, _)| due)
    }

    /// Takes on the frames that were sent to here at this moment.
    pub(super) fn take_on(&mut self, now: Instant) {
        while self.port.has_frame() {
            let Some((token, _)) = self.port.receive(time::Instant::ZERO) else { return };
            let frame = token.consume(<[u8]>::to_vec);
            let Impairments { loss, repetition, damage, delay, jitter } = self.impairments;
            let copies = 1 + usize::from(self.chance.percent(repetition));
            for _ in 0..copies {
                if self.chance.percent(loss) {
                    continue;
                }
                let mut frame = frame.clone();
                if self.chance.percent(damage) {
                    let index = self.chance.within(0..=frame.len() - 1);
                    frame[index] ^= 1 << self.chance.within(0..=7);
                }
                let late = self.chance.within(0..=usize::try_from(jitter.as_micros()).unwrap_or(0));
                let due = now + delay + Duration::from_micros(late as u64);
                self.frames.insert((due, self.count), frame);
                self.count += 1;
            }
        }
    }
}

impl Device for Wire {
    type RxToken<'a> = Frame;
    type TxToken<'a> = Sending<'a>;

    fn receive(&mut self, now: time::Instant) -> Option<(Frame, Sending<'_>)> {
        self.due().filter(|due| *due <= from_smoltcp(now))?;
        let (_, frame) = self.frames.pop_first()?;
        Some((Frame(frame), self.port.transmit(now)?))
    }

    fn transmit(&mut self, now: time::Instant) -> Option<Sending<'_>> {
        self.port.transmit(now)
    }

    fn capabilities(&self) -> DeviceCapabilities {
        self.port.capabilities()
    }
}
