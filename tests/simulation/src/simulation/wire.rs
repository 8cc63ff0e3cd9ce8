//! The wire between the clients and the server, and its weather.

use core::{num::NonZeroU64, time::Duration};

use greet_core::Instant;
use greet_smoltcp::{
    impair::{Directions, Frame, Impaired, Impairments, Probability},
    time::{from_smoltcp, to_smoltcp},
};
use smoltcp::{
    phy::{Device, DeviceCapabilities},
    time,
};

use super::{chance::Chance, segment::Side};
use crate::ether::Port;

/// For so many frames there is room under way: at a client, and at the server.
pub(super) const CLIENT_FRAMES: usize = 512;
pub(super) const SERVER_FRAMES: usize = 512;

/// What the wire does to frames.
#[derive(Clone, Debug)]
pub(super) struct Weather {
    /// It does nothing but take its time, always the same.
    pub(super) calm: bool,
    /// Every frame arrives, though perhaps late, twice, or out of order.
    pub(super) lossless: bool,
    /// The longest that a frame is under way.
    pub(super) latency: Duration,
    place: Place,
    to_server: Impairments,
    to_clients: Impairments,
}

/// Where the wire is bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Where frames come from.
    Senders,
    /// At the server, both ways.
    Server,
    /// At each client, both ways.
    Clients,
}

impl Weather {
    pub(super) fn draw(chance: &mut Chance) -> Self {
        let kind = chance.within(0..=9);
        let (calm, lossless) = (kind < 3, kind < 6);
        let (to_server, to_clients) = (one_way(calm, lossless, chance), one_way(calm, lossless, chance));
        let latency = |wire: &Impairments| wire.delay + wire.jitter + wire.reorder_by;
        Self {
            calm,
            lossless,
            latency: latency(&to_server).max(latency(&to_clients)),
            place: chance.pick(&[Place::Senders, Place::Server, Place::Clients]),
            to_server,
            to_clients,
        }
    }

    /// The wire that ends at this port, with room for the frames under way.
    pub(super) fn wire<'w>(&self, port: Port, side: Side, chance: &mut Chance, frames: &'w mut [Frame]) -> Wire<'w> {
        let (to, from) = match side {
            Side::Server => (self.to_server, self.to_clients),
            Side::Client(_) => (self.to_clients, self.to_server),
        };
        let impairments = match (self.place, side) {
            (Place::Senders, _) => Directions { receive: Impairments::NONE, transmit: from },
            (Place::Server, Side::Server) | (Place::Clients, Side::Client(_)) => {
                Directions { receive: to, transmit: from }
            }
            _ => Impairments::NONE.into(),
        };
        let (receive, transmit) = frames.split_at_mut(frames.len() / 2);
        Wire(Impaired::new(port, impairments, chance.number(), Directions { receive, transmit }))
    }
}

/// What happens to the frames that go one way. At most every fifth is lost, those among them that are corrupted.
fn one_way(calm: bool, lossless: bool, chance: &mut Chance) -> Impairments {
    let mut percent = |most, never| if never { Probability::NEVER } else { up_to(most, chance) };
    let (loss, corruption) = (percent(16, lossless), percent(4, lossless));
    let (duplication, reordering) = (percent(15, calm), percent(15, calm));
    let mut span = |most, never| if never || chance.percent(30) { Duration::ZERO } else { chance.millis(0..=most) };
    let (delay, jitter, reorder_by) = (span(80, false), span(60, calm), span(120, calm));
    let rate = (!lossless && chance.percent(20)).then(|| chance.within(1_000_000..=20_000_000));
    let rate = rate.and_then(|rate| NonZeroU64::new(rate as u64));
    Impairments { loss, duplication, reordering, reorder_by, corruption, delay, jitter, rate }
}

fn up_to(most: usize, chance: &mut Chance) -> Probability {
    Probability::percent(u32::try_from(chance.within(0..=most)).unwrap_or(0))
}

/// A device at the end of a wire.
pub(super) struct Wire<'w>(Impaired<'w, Port>);

impl Wire<'_> {
    /// When something happens on it by itself.
    pub(super) fn due(&self) -> Option<Instant> {
        self.0.next_due().map(from_smoltcp)
    }

    /// Lets frames go on that are to.
    pub(super) fn advance(&mut self, now: Instant) {
        self.0.advance(to_smoltcp(now));
    }

    /// Whether frames have come that are to be taken in, though perhaps to arrive later.
    pub(super) fn has_come(&self, now: Instant) -> bool {
        self.0.inner().has_frame() || (self.0.held().receive > 0 && self.due().is_some_and(|due| due <= now))
    }

    /// How many frames found no room, though the wire was to lose none.
    pub(super) const fn dropped(&self) -> u64 {
        let Directions { receive, transmit } = self.0.counters();
        receive.dropped + transmit.dropped
    }
}

impl<'w> Device for Wire<'w> {
    type RxToken<'t>
        = <Impaired<'w, Port> as Device>::RxToken<'t>
    where
        Self: 't;
    type TxToken<'t>
        = <Impaired<'w, Port> as Device>::TxToken<'t>
    where
        Self: 't;

    fn receive(&mut self, now: time::Instant) -> Option<(Self::RxToken<'_>, Self::TxToken<'_>)> {
        self.0.receive(now)
    }

    fn transmit(&mut self, now: time::Instant) -> Option<Self::TxToken<'_>> {
        self.0.transmit(now)
    }

    fn capabilities(&self) -> DeviceCapabilities {
        self.0.capabilities()
    }
}
