//! A wire that fails on purpose: it loses, repeats, reorders, damages and delays frames, by numbers and by a seed.
//!
//! [`Impaired`] is a device around another one. What passes it is impaired in both directions, each by its own
//! [`Impairments`] and its own dice; all dice come from one seed. The same seed, frames and times make the same fate,
//! on every machine.
//!
//! ```
//! use core::time::Duration;
//! use greet_smoltcp::impair::{Directions, Frame, Impaired, Impairments, Probability};
//! use smoltcp::{phy::Device, time::Instant};
//! # use smoltcp::phy::{DeviceCapabilities, RxToken, TxToken};
//! # struct Card(u32);
//! # impl Device for Card {
//! #     type RxToken<'a> = Never;
//! #     type TxToken<'a> = Permit<'a>;
//! #     fn receive(&mut self, _: Instant) -> Option<(Never, Permit<'_>)> { None }
//! #     fn transmit(&mut self, _: Instant) -> Option<Permit<'_>> { Some(Permit(self)) }
//! #     fn capabilities(&self) -> DeviceCapabilities { DeviceCapabilities::default() }
//! # }
//! # struct Never;
//! # impl RxToken for Never {
//! #     fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R { read(&[]) }
//! # }
//! # struct Permit<'a>(&'a mut Card);
//! # impl TxToken for Permit<'_> {
//! #     fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, write: F) -> R {
//! #         self.0.0 += 1;
//! #         write(&mut vec![0; length])
//! #     }
//! # }
//! # let card = Card(0);
//!
//! let satellite = Impairments {
//!     loss: Probability::percent(1),
//!     delay: Duration::from_millis(300),
//!     jitter: Duration::from_millis(20),
//!     ..Impairments::NONE
//! };
//! let (mut received, mut sent) = ([Frame::EMPTY; 16], [Frame::EMPTY; 16]);
//! let storage = Directions { receive: &mut received[..], transmit: &mut sent[..] };
//! let mut device = Impaired::new(card, satellite, 42, storage);
//!
//! device.transmit(Instant::ZERO).unwrap().consume(60, |frame| frame.fill(0xFF));
//! assert_eq!(device.counters().transmit.delivered, 0);
//!
//! let due = device.next_due().unwrap(); // whoever waits for frames waits no longer than this,
//! assert!((280..=320).contains(&due.total_millis()));
//! device.advance(due); // and polls again; a poll does it too, if it has anything to send
//! assert_eq!(device.counters().transmit.delivered, 1);
//! ```
//!
//! # The wire
//!
//! A frame that enters is lost, or takes one of the places in the caller's storage; is perhaps damaged, and followed by
//! a copy; waits until those before it are on the wire, takes its own time at the wire's rate, and travels for the
//! delay. Where there is no place left it is dropped: the storage is the queue, one for each direction. It needs one
//! place at least; a wire without impairments needs none, and copies nothing.
//!
//! Frames leave in the order they came in, whatever the jitter, but for those that are held back to be reordered.
//!
//! # What to keep in mind
//!
//! - Damage must be found by the checksums. The capabilities are those of the device inside, so where these leave
//!   checksums to the hardware, which had looked before the damage was done, it goes unnoticed.
//! - Frames that go move on whenever the device is called. Where nobody calls, [`Impaired::advance`] does it.
//! - A frame that is held loses its [`PacketMeta`].

mod lane;
mod probability;
mod settings;

use fastrand::Rng;
use smoltcp::{
    phy::{self, Device, DeviceCapabilities, PacketMeta},
    time::Instant,
};

use self::lane::Lane;
pub use self::{
    lane::{FRAME_CAPACITY, Frame},
    probability::{Probability, ProbabilityError},
    settings::{Counters, Directions, Impairments},
};

/// How many frames one call takes from the device inside: that all are lost or late must not make it endless.
const FRAMES_A_CALL: usize = 64;

/// A device, behind a wire that fails on purpose.
#[derive(Debug)]
pub struct Impaired<'a, D> {
    inner: D,
    lanes: Directions<Lane<'a>>,
    /// Where a frame is written that has no place.
    spare: Frame,
    /// There was more to take from the device inside, at that time.
    more: Option<Instant>,
}

impl<'a, D: Device> Impaired<'a, D> {
    /// Impairs what `inner` receives and transmits; one [`Impairments`] is for both directions.
    ///
    /// `storage` is for the frames under way. What it held before is forgotten.
    pub fn new(
        inner: D,
        impairments: impl Into<Directions<Impairments>>,
        seed: u64,
        storage: Directions<&'a mut [Frame]>,
    ) -> Self {
        let impairments = impairments.into();
        let mut random = Rng::with_seed(seed);
        let lanes = Directions {
            receive: Lane::new(impairments.receive, random.fork(), storage.receive),
            transmit: Lane::new(impairments.transmit, random.fork(), storage.transmit),
        };
        Self { inner, lanes, spare: Frame::EMPTY, more: None }
    }

    /// Changes the wire, for the frames that enter from now on: those under way arrive when they would have.
    pub fn set_impairments(&mut self, impairments: impl Into<Directions<Impairments>>) {
        let impairments = impairments.into();
        self.lanes.receive.impairments = impairments.receive;
        self.lanes.transmit.impairments = impairments.transmit;
    }

    /// What the wire is like.
    #[must_use]
    pub const fn impairments(&self) -> Directions<Impairments> {
        Directions { receive: self.lanes.receive.impairments, transmit: self.lanes.transmit.impairments }
    }

    /// What became of the frames so far.
    #[must_use]
    pub const fn counters(&self) -> Directions<Counters> {
        Directions { receive: self.lanes.receive.counters, transmit: self.lanes.transmit.counters }
    }

    /// How many frames are under way, copies included.
    #[must_use]
    pub const fn held(&self) -> Directions<usize> {
        Directions { receive: self.lanes.receive.held(), transmit: self.lanes.transmit.held() }
    }

    /// When to come back at the latest, even if nothing arrives: when the first of the held frames is due; `None` where
    /// none is held.
    ///
    /// A time that is past says that the device inside has no room for a frame that is due, or has more frames than one
    /// call takes.
    #[must_use]
    pub fn next_due(&self) -> Option<Instant> {
        [self.lanes.receive.next_due(), self.lanes.transmit.next_due(), self.more].into_iter().flatten().min()
    }

    /// Gives the frames that are due to the device inside, as long as it has room for them; [`Device::receive`] and
    /// [`Device::transmit`] begin with this.
    pub fn advance(&mut self, now: Instant) {
        while let Some(place) = self.lanes.transmit.due(now) {
            let Some(token) = self.inner.transmit(now) else { return };
            send(token, &mut self.lanes.transmit, place);
        }
    }

    /// The device inside.
    #[must_use]
    pub const fn inner(&self) -> &D {
        &self.inner
    }

    /// The device inside; what is sent there is not impaired.
    pub const fn inner_mut(&mut self) -> &mut D {
        &mut self.inner
    }

    /// The device inside; the frames under way are lost.
    #[must_use]
    pub fn into_inner(self) -> D {
        self.inner
    }
}

impl<'a, D: Device> Device for Impaired<'a, D> {
    type RxToken<'t>
        = RxToken<'t, 'a, D::RxToken<'t>>
    where
        Self: 't;
    type TxToken<'t>
        = TxToken<'t, 'a, D::TxToken<'t>>
    where
        Self: 't;

    fn receive(&mut self, now: Instant) -> Option<(Self::RxToken<'_>, Self::TxToken<'_>)> {
        self.advance(now);
        self.more = None;
        let Self { inner, lanes: Directions { receive: lane, transmit: reply_lane }, spare, more } = self;
        if lane.is_clear() {
            let (token, reply) = inner.receive(now)?;
            let received = RxToken { source: Source::Through(token), lane };
            return Some((received, TxToken { token: reply, lane: reply_lane, spare, now }));
        }
        // All that came, came now: only so long as nothing is due may the rest stay where it is.
        let mut taken = 0;
        let place = loop {
            if let Some(place) = lane.due(now) {
                break place;
            }
            if taken == FRAMES_A_CALL {
                *more = Some(now);
                return None;
            }
            let (token, _) = inner.receive(now)?;
            phy::RxToken::consume(token, |frame| lane.take(now, frame, spare));
            taken += 1;
        };
        let reply = inner.transmit(now)?; // where there is no room for a reply, the frame waits
        let received = RxToken { source: Source::Held(place), lane };
        Some((received, TxToken { token: reply, lane: reply_lane, spare, now }))
    }

    fn transmit(&mut self, now: Instant) -> Option<Self::TxToken<'_>> {
        self.advance(now);
        let token = self.inner.transmit(now)?;
        Some(TxToken { token, lane: &mut self.lanes.transmit, spare: &mut self.spare, now })
    }

    /// The capabilities of the device inside, for frames that fit into a [`Frame`].
    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = self.inner.capabilities();
        capabilities.max_transmission_unit = capabilities.max_transmission_unit.min(FRAME_CAPACITY);
        capabilities
    }
}

/// A frame that came through. If nobody reads it, it stays where it is held.
#[derive(Debug)]
pub struct RxToken<'t, 'a, T> {
    source: Source<T>,
    lane: &'t mut Lane<'a>,
}

/// Where a frame is read.
#[derive(Debug)]
enum Source<T> {
    /// At the device inside.
    Through(T),
    /// At this place in the storage.
    Held(usize),
}

impl<T: phy::RxToken> phy::RxToken for RxToken<'_, '_, T> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        match self.source {
            Source::Through(token) => {
                self.lane.pass();
                token.consume(read)
            }
            Source::Held(place) => self.lane.deliver(place, read),
        }
    }

    fn meta(&self) -> PacketMeta {
        match &self.source {
            Source::Through(token) => token.meta(),
            Source::Held(_) => PacketMeta::default(),
        }
    }
}

/// The right to send one frame into the wire.
#[derive(Debug)]
pub struct TxToken<'t, 'a, T> {
    /// The right to send one out of it.
    token: T,
    lane: &'t mut Lane<'a>,
    spare: &'t mut Frame,
    now: Instant,
}

impl<T: phy::TxToken> phy::TxToken for TxToken<'_, '_, T> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, write: F) -> R {
        let Self { token, lane, spare, now } = self;
        // Longer than the capabilities say is no frame of smoltcp's, but it must be written somewhere.
        if lane.is_clear() || length > FRAME_CAPACITY {
            lane.pass();
            return token.consume(length, write);
        }
        let result = lane.enter(now, length, spare, write);
        if let Some(place) = lane.due(now) {
            send(token, lane, place);
        }
        result
    }

    fn set_meta(&mut self, meta: PacketMeta) {
        self.token.set_meta(meta);
    }
}

/// Sends the frame that is held in `place`.
fn send(token: impl phy::TxToken, lane: &mut Lane<'_>, place: usize) {
    token.consume(lane.length(place), |buffer| lane.deliver(place, |frame| lane::copy(frame, buffer)));
}
