//! The impairments of a link, and what happened to the frames on it.

use core::{num::NonZeroU64, time::Duration};

use super::Probability;

/// The impairments of one direction of a link.
///
/// Whether a frame is lost, duplicated, held back or corrupted is drawn for every frame, even where the probability is 0: so
/// with the same seed the same frames are lost, whatever else is set.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Impairments {
    /// A frame is lost. It takes no time on the link.
    pub loss: Probability,
    /// A frame arrives twice. The copy follows at once, corrupted or held back like the frame.
    pub duplication: Probability,
    /// A frame is held back for [`Impairments::reorder_by`], so that later ones overtake it.
    pub reordering: Probability,
    /// The additional delay of such a frame. It works on a link without delay too, if frames follow each other within this
    /// time. A frame arrives after this time even if no other has overtaken it. With zero, nothing is held back.
    pub reorder_by: Duration,
    /// One to eight bits of a frame are flipped, all in one byte; each byte is equally likely.
    ///
    /// In one byte, because the checksums of IP, TCP and UDP always detect that, while flips in two bytes can cancel out; on
    /// a real link the check of Ethernet would detect those. What has no checksum, such as ARP and the Ethernet header,
    /// arrives corrupted and undetected.
    pub corruption: Probability,
    /// The delay of a frame.
    pub delay: Duration,
    /// The maximum deviation from the delay, uniformly distributed in both directions; the delay is never below zero.
    ///
    /// The order is kept, as in the queue of a router: a frame that would overtake the one before it arrives right behind
    /// it. So if frames follow each other faster than this, long delays prevail and the mean is above the delay.
    pub jitter: Duration,
    /// The bandwidth in bits per second; `None` is unlimited. Only the bits of the frames count, not the preamble, check and
    /// gap of Ethernet.
    pub rate: Option<NonZeroU64>,
}

impl Impairments {
    /// A perfect link; [`Impairments::reorder_by`] is 10 ms, in case reordering is set.
    pub const NONE: Self = Self {
        loss: Probability::NEVER,
        duplication: Probability::NEVER,
        reordering: Probability::NEVER,
        reorder_by: Duration::from_millis(10),
        corruption: Probability::NEVER,
        delay: Duration::ZERO,
        jitter: Duration::ZERO,
        rate: None,
    };

    /// Whether every frame arrives at once and unchanged.
    pub(super) fn is_none(&self) -> bool {
        *self == Self { reorder_by: self.reorder_by, ..Self::NONE }
    }
}

impl Default for Impairments {
    fn default() -> Self {
        Self::NONE
    }
}

/// The counters of one direction.
///
/// Every frame is accounted for: `frames + duplicated` is `lost + dropped + delivered` and the frames still held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Counters {
    /// Frames that entered.
    pub frames: u64,
    /// Frames that were lost by impairment.
    pub lost: u64,
    /// Copies that were made.
    pub duplicated: u64,
    /// Frames that were held back.
    pub reordered: u64,
    /// Frames that were corrupted, without their copies.
    pub corrupted: u64,
    /// Frames that left.
    pub delivered: u64,
    /// Frames and copies that were dropped because the queue was full.
    pub dropped: u64,
}

/// One value for each direction, as seen by the device's user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Directions<T> {
    /// For received frames.
    pub receive: T,
    /// For sent frames.
    pub transmit: T,
}

impl From<Impairments> for Directions<Impairments> {
    /// The same in both directions.
    fn from(both: Impairments) -> Self {
        Self { receive: both, transmit: both }
    }
}
