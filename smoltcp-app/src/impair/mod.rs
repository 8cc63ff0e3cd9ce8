//! A device whose link is impaired on purpose: it loses, duplicates, reorders, corrupts and delays frames, by
//! probabilities and a seed.
//!
//! [`Impaired`] wraps another device. Each direction has its own [`Impairments`] and its own random numbers; all of these
//! come from one seed. The same seed, frames and times have the same result on every host.
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
//! let due = device.next_due().unwrap(); // wait for frames no longer than this,
//! assert!((280..=320).contains(&due.total_millis()));
//! device.advance(due); // and poll again; a poll that sends does this too
//! assert_eq!(device.counters().transmit.delivered, 1);
//! ```
//!
//! # The link
//!
//! A frame that enters is lost, or takes a slot in the caller's storage; is perhaps corrupted, and followed by a copy; waits
//! until the frames before it have entered, takes its own time at the link's rate, and is delayed. Where no slot is free it
//! is dropped: the storage is the queue, one for each direction. It needs at least one slot; a link without impairments needs
//! none, and copies nothing.
//!
//! Frames leave in the order in which they entered, whatever the jitter, except those that are held back to be reordered.
//!
//! # Limits
//!
//! - Checksums must detect corruption. The capabilities are those of the inner device: if these leave checksums to the
//!   hardware, which verified them before the corruption, it stays undetected.
//! - Held frames that are sent leave whenever the device is called. [`Impaired::advance`] does it too.
//! - A held frame loses its [`PacketMeta`].

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

/// How many frames one call takes from the inner device: it ends even if all of them are lost or late.
const FRAMES_A_CALL: usize = 64;

/// A device behind an impaired link.
#[derive(Debug)]
pub struct Impaired<'a, D> {
    inner: D,
    lanes: Directions<Lane<'a>>,
    /// Where a frame is written that has no slot.
    spare: Frame,
    /// The inner device had more frames at that time.
    more: Option<Instant>,
}

impl<'a, D: Device> Impaired<'a, D> {
    /// Impairs what `inner` receives and transmits; one [`Impairments`] is for both directions.
    ///
    /// `storage` is the queue of each direction. Its content is discarded.
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

    /// Changes the impairments of frames that enter from now on; held frames keep their time.
    pub fn set_impairments(&mut self, impairments: impl Into<Directions<Impairments>>) {
        let impairments = impairments.into();
        self.lanes.receive.impairments = impairments.receive;
        self.lanes.transmit.impairments = impairments.transmit;
    }

    /// The impairments.
    #[must_use]
    pub const fn impairments(&self) -> Directions<Impairments> {
        Directions { receive: self.lanes.receive.impairments, transmit: self.lanes.transmit.impairments }
    }

    /// The counters so far.
    #[must_use]
    pub const fn counters(&self) -> Directions<Counters> {
        Directions { receive: self.lanes.receive.counters, transmit: self.lanes.transmit.counters }
    }

    /// How many frames are held, including copies.
    #[must_use]
    pub const fn held(&self) -> Directions<usize> {
        Directions { receive: self.lanes.receive.held(), transmit: self.lanes.transmit.held() }
    }

    /// When to poll at the latest, even if no frame is received: when the first held frame is due; `None` if none is held.
    ///
    /// A time in the past means that the inner device has no room for a frame that is due, or has more frames than one call
    /// takes.
    #[must_use]
    pub fn next_due(&self) -> Option<Instant> {
        [self.lanes.receive.next_due(), self.lanes.transmit.next_due(), self.more].into_iter().flatten().min()
    }

    /// Gives the frames that are due to the inner device, as long as it has room; [`Device::receive`] and
    /// [`Device::transmit`] do this first.
    pub fn advance(&mut self, now: Instant) {
        while let Some(slot) = self.lanes.transmit.due(now) {
            let Some(token) = self.inner.transmit(now) else { return };
            send(token, &mut self.lanes.transmit, slot);
        }
    }

    /// The inner device.
    #[must_use]
    pub const fn inner(&self) -> &D {
        &self.inner
    }

    /// The inner device; what is sent there is not impaired.
    pub const fn inner_mut(&mut self) -> &mut D {
        &mut self.inner
    }

    /// The inner device; held frames are lost.
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
        // Frames are received now: the rest may stay in the inner device only while no frame is due.
        let mut taken = 0;
        let slot = loop {
            if let Some(slot) = lane.due(now) {
                break slot;
            }
            if taken == FRAMES_A_CALL {
                *more = Some(now);
                return None;
            }
            let (token, _) = inner.receive(now)?;
            phy::RxToken::consume(token, |frame| lane.take(now, frame, spare));
            taken += 1;
        };
        let reply = inner.transmit(now)?; // without room for a reply, the frame waits
        let received = RxToken { source: Source::Held(slot), lane };
        Some((received, TxToken { token: reply, lane: reply_lane, spare, now }))
    }

    fn transmit(&mut self, now: Instant) -> Option<Self::TxToken<'_>> {
        self.advance(now);
        let token = self.inner.transmit(now)?;
        Some(TxToken { token, lane: &mut self.lanes.transmit, spare: &mut self.spare, now })
    }

    /// The capabilities of the inner device; if frames can be held, for those that fit into a [`Frame`].
    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = self.inner.capabilities();
        if self.lanes.receive.can_hold() || self.lanes.transmit.can_hold() {
            capabilities.max_transmission_unit = capabilities.max_transmission_unit.min(FRAME_CAPACITY);
        }
        capabilities
    }
}

/// A received frame. If it is not read, it stays in its slot.
#[derive(Debug)]
pub struct RxToken<'t, 'a, T> {
    source: Source<T>,
    lane: &'t mut Lane<'a>,
}

/// Where a frame is read from.
#[derive(Debug)]
enum Source<T> {
    /// From the inner device.
    Through(T),
    /// From this slot of the queue.
    Held(usize),
}

impl<T: phy::RxToken> phy::RxToken for RxToken<'_, '_, T> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        match self.source {
            Source::Through(token) => {
                self.lane.pass();
                token.consume(read)
            }
            Source::Held(slot) => self.lane.deliver(slot, read),
        }
    }

    fn meta(&self) -> PacketMeta {
        match &self.source {
            Source::Through(token) => token.meta(),
            Source::Held(_) => PacketMeta::default(),
        }
    }
}

/// The right to send one frame over the link.
#[derive(Debug)]
pub struct TxToken<'t, 'a, T> {
    /// The inner device's token.
    token: T,
    lane: &'t mut Lane<'a>,
    spare: &'t mut Frame,
    now: Instant,
}

impl<T: phy::TxToken> phy::TxToken for TxToken<'_, '_, T> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, write: F) -> R {
        let Self { token, lane, spare, now } = self;
        // smoltcp sends no frame longer than the capabilities allow, but it must be written somewhere.
        if lane.is_clear() || length > FRAME_CAPACITY {
            lane.pass();
            return token.consume(length, write);
        }
        let result = lane.enter(now, length, spare, write);
        if let Some(slot) = lane.due(now) {
            send(token, lane, slot);
        }
        result
    }

    fn set_meta(&mut self, meta: PacketMeta) {
        self.token.set_meta(meta);
    }
}

/// Sends the frame in `slot`.
fn send(token: impl phy::TxToken, lane: &mut Lane<'_>, slot: usize) {
    token.consume(lane.length(slot), |buffer| lane.deliver(slot, |frame| lane::copy(frame, buffer)));
}
