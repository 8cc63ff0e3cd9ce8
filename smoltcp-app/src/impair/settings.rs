//! What is wrong with a wire, and what became of the frames on it.

use core::{num::NonZeroU64, time::Duration};

use super::Probability;

/// What a wire does to the frames in one direction.
///
/// Which frames are lost, repeated, held back or damaged is decided by dice that are thrown for every frame, whether
/// they are asked for or not: so with the same seed, the same frames are lost whatever else is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Impairments {
    /// A frame never arrives. It takes no time on the wire.
    pub loss: Probability,
    /// A frame arrives twice; the copy is right behind it, damaged or late as it is.
    pub duplication: Probability,
    /// A frame is held back for [`Impairments::reorder_by`], so that later ones overtake it.
    pub reordering: Probability,
    /// By how much, above what delays it otherwise: so it works on a wire without delay too, as long as frames follow
    /// one another sooner than this. A frame arrives after this time even if none came to overtake it. With zero,
    /// nothing is held back.
    pub reorder_by: Duration,
    /// One to eight bits of a frame are flipped, all in one byte, and each byte is as likely as any other.
    ///
    /// In one byte, because that is always found by the checksums of IP, TCP and UDP, while in two bytes the flips can
    /// make up for each other; on a real wire, Ethernet's own check would have found those. What has no checksum, as
    /// ARP and the header of Ethernet, arrives damaged and nobody can tell.
    pub damage: Probability,
    /// How long a frame travels.
    pub delay: Duration,
    /// By how much that is less or more, each as likely as any other in between, but never below zero.
    ///
    /// Jitter alone reorders nothing, as in the queue of a router: a frame that would overtake the one before it
    /// arrives right behind it. So where frames follow one another faster than this, the long delays prevail.
    pub jitter: Duration,
    /// How many bits a second the wire takes; `None` is any number. Counted are the bits of the frames alone, without
    /// the preamble, check and gap of Ethernet.
    pub rate: Option<NonZeroU64>,
}

impl Impairments {
    /// A good wire; [`Impairments::reorder_by`] is 10 ms, should reordering be set.
    pub const NONE: Self = Self {
        loss: Probability::NEVER,
        duplication: Probability::NEVER,
        reordering: Probability::NEVER,
        reorder_by: Duration::from_millis(10),
        damage: Probability::NEVER,
        delay: Duration::ZERO,
        jitter: Duration::ZERO,
        rate: None,
    };

    /// Whether all frames come through, as they are and at once.
    pub(super) fn is_none(&self) -> bool {
        *self == Self { reorder_by: self.reorder_by, ..Self::NONE }
    }
}

impl Default for Impairments {
    fn default() -> Self {
        Self::NONE
    }
}

/// What became of the frames in one direction.
///
/// No frame is forgotten: `frames` and `duplicated` together are `lost`, `dropped`, `delivered` and those still held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Counters {
    /// Frames that entered.
    pub frames: u64,
    /// Frames that were lost on purpose.
    pub lost: u64,
    /// Copies that were made.
    pub duplicated: u64,
    /// Frames that were held back to be overtaken.
    pub reordered: u64,
    /// Frames that were damaged; a copy does not count.
    pub damaged: u64,
    /// Frames that came out.
    pub delivered: u64,
    /// Frames, and copies, for which there was no room.
    pub dropped: u64,
}

/// Something for each direction, as the device's user sees them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Directions<T> {
    /// For frames that come.
    pub receive: T,
    /// For frames that go.
    pub transmit: T,
}

impl From<Impairments> for Directions<Impairments> {
    /// The same in both directions.
    fn from(both: Impairments) -> Self {
        Self { receive: both, transmit: both }
    }
}
