//! The links of the clients and the server, and their impairments.

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

use super::{random::Random, segment::Side};
use crate::ether::Port;

/// Maximum number of frames in flight on a client's link.
pub(super) const CLIENT_FRAMES: usize = 512;
/// The same on the server's link.
pub(super) const SERVER_FRAMES: usize = 512;

/// The impairments of all links.
#[derive(Clone, Debug)]
pub(super) struct LinkSettings {
    /// No impairment except a constant delay.
    pub(super) delay_only: bool,
    /// No loss or corruption. Frames may be delayed, duplicated or reordered.
    pub(super) lossless: bool,
    /// Maximum delay of a frame.
    pub(super) latency: Duration,
    impaired: ImpairedLinks,
    to_server: Impairments,
    to_clients: Impairments,
}

/// Which links are impaired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ImpairedLinks {
    /// The sender's link, for each frame.
    Senders,
    /// The server's link, in both directions.
    Server,
    /// Each client's link, in both directions.
    Clients,
}

impl LinkSettings {
    pub(super) fn draw(random: &mut Random) -> Self {
        let kind = random.within(0..=9);
        let (delay_only, lossless) = (kind < 3, kind < 6);
        let (to_server, to_clients) = (one_way(delay_only, lossless, random), one_way(delay_only, lossless, random));
        let latency = |link: &Impairments| link.delay + link.jitter + link.reorder_by;
        Self {
            delay_only,
            lossless,
            latency: latency(&to_server).max(latency(&to_clients)),
            impaired: random.pick(&[ImpairedLinks::Senders, ImpairedLinks::Server, ImpairedLinks::Clients]),
            to_server,
            to_clients,
        }
    }

    /// Creates the link at this port. `frames` holds the frames in flight.
    pub(super) fn link<'w>(&self, port: Port, side: Side, random: &mut Random, frames: &'w mut [Frame]) -> Link<'w> {
        let (to, from) = match side {
            Side::Server => (self.to_server, self.to_clients),
            Side::Client(_) => (self.to_clients, self.to_server),
        };
        let impairments = match (self.impaired, side) {
            (ImpairedLinks::Senders, _) => Directions { receive: Impairments::NONE, transmit: from },
            (ImpairedLinks::Server, Side::Server) | (ImpairedLinks::Clients, Side::Client(_)) => {
                Directions { receive: to, transmit: from }
            }
            _ => Impairments::NONE.into(),
        };
        let (receive, transmit) = frames.split_at_mut(frames.len() / 2);
        Link(Impaired::new(port, impairments, random.number(), Directions { receive, transmit }))
    }
}

/// The impairments of one direction. At most one frame in five is lost, including corrupted ones.
fn one_way(delay_only: bool, lossless: bool, random: &mut Random) -> Impairments {
    let mut percent = |most, never| if never { Probability::NEVER } else { up_to(most, random) };
    let (loss, corruption) = (percent(16, lossless), percent(4, lossless));
    let (duplication, reordering) = (percent(15, delay_only), percent(15, delay_only));
    let mut span = |most, never| if never || random.percent(30) { Duration::ZERO } else { random.millis(0..=most) };
    let (delay, jitter, reorder_by) = (span(80, false), span(60, delay_only), span(120, delay_only));
    let rate = (!lossless && random.percent(20)).then(|| random.within(1_000_000..=20_000_000));
    let rate = rate.and_then(|rate| NonZeroU64::new(rate as u64));
    Impairments { loss, duplication, reordering, reorder_by, corruption, delay, jitter, rate }
}

fn up_to(most: usize, random: &mut Random) -> Probability {
    Probability::percent(u32::try_from(random.within(0..=most)).unwrap_or(0))
}

/// A device with an impaired link.
pub(super) struct Link<'w>(Impaired<'w, Port>);

impl Link<'_> {
    /// When the next held frame is due.
    pub(super) fn due(&self) -> Option<Instant> {
        self.0.next_due().map(from_smoltcp)
    }

    /// Forwards the frames that are due.
    pub(super) fn advance(&mut self, now: Instant) {
        self.0.advance(to_smoltcp(now));
    }

    /// Whether the device must be polled to receive a frame, or to hold it.
    pub(super) fn has_frame(&self, now: Instant) -> bool {
        self.0.inner().has_frame() || (self.0.held().receive > 0 && self.due().is_some_and(|due| due <= now))
    }

    /// Number of frames dropped for lack of buffers.
    pub(super) const fn dropped(&self) -> u64 {
        let Directions { receive, transmit } = self.0.counters();
        receive.dropped + transmit.dropped
    }
}

impl<'w> Device for Link<'w> {
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
