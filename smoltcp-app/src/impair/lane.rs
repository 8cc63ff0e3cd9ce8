//! One direction of the link: what happens to each frame, and the queue of the frames that are held.

use core::{num::NonZeroU64, time::Duration};

use fastrand::Rng;
use smoltcp::time::Instant;

use super::{Counters, Impairments};

/// The longest frame that can be held: an untagged Ethernet frame without its check sequence.
pub const FRAME_CAPACITY: usize = 1514;

/// A slot of the queue: room for one frame.
#[derive(Clone)]
pub struct Frame {
    /// When the frame leaves the link; `None` if the slot is free.
    due: Option<Instant>,
    /// The number of the frame: those that are due at the same time leave in this order.
    number: u64,
    length: usize,
    bytes: [u8; FRAME_CAPACITY],
}

impl Frame {
    /// A free slot.
    pub const EMPTY: Self = Self { due: None, number: 0, length: 0, bytes: [0; FRAME_CAPACITY] };

    fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or(&self.bytes)
    }

    /// Sets the length, and returns the bytes to write.
    fn buffer(&mut self, length: usize) -> &mut [u8] {
        self.length = length.min(FRAME_CAPACITY);
        self.bytes.get_mut(..length).unwrap_or_default()
    }
}

impl core::fmt::Debug for Frame {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter.debug_struct("Frame").field("due", &self.due).field("length", &self.length).finish_non_exhaustive()
    }
}

/// One direction.
#[derive(Debug)]
pub(super) struct Lane<'a> {
    pub(super) impairments: Impairments,
    pub(super) counters: Counters,
    random: Rng,
    frames: &'a mut [Frame],
    held: usize,
    /// The number of the next frame.
    next: u64,
    line: Line,
    /// When the last frame leaves that was not held back: none may overtake it.
    latest: Instant,
}

impl<'a> Lane<'a> {
    pub(super) fn new(impairments: Impairments, random: Rng, frames: &'a mut [Frame]) -> Self {
        for frame in &mut *frames {
            frame.due = None;
        }
        Self {
            impairments,
            counters: Counters::default(),
            random,
            frames,
            held: 0,
            next: 0,
            line: Line::FREE,
            latest: BEGINNING,
        }
    }

    pub(super) const fn held(&self) -> usize {
        self.held
    }

    /// Whether there is a slot for a frame.
    pub(super) const fn can_hold(&self) -> bool {
        !self.frames.is_empty()
    }

    /// Whether a frame may pass directly: none is held, and there are no impairments.
    pub(super) fn is_clear(&self) -> bool {
        self.held == 0 && self.impairments.is_none()
    }

    /// Counts a frame that passes directly.
    pub(super) const fn pass(&mut self) {
        self.counters.frames += 1;
        self.counters.delivered += 1;
    }

    /// A frame enters.
    pub(super) fn take(&mut self, now: Instant, frame: &[u8], spare: &mut Frame) {
        if frame.len() > FRAME_CAPACITY {
            self.counters.frames += 1;
            self.counters.dropped += 1;
            return;
        }
        self.enter(now, frame.len(), spare, |buffer| copy(frame, buffer));
    }

    /// A frame of at most [`FRAME_CAPACITY`] bytes enters. It is written into a slot of the queue, or into `spare` if it will
    /// not be held.
    pub(super) fn enter<R>(
        &mut self,
        now: Instant,
        length: usize,
        spare: &mut Frame,
        write: impl FnOnce(&mut [u8]) -> R,
    ) -> R {
        self.counters.frames += 1;
        let fate = Fate::draw(&self.impairments, self.random.fork(), length);
        let slot = if fate.lost { None } else { self.free_slot() };
        let frame = slot.and_then(|slot| self.frames.get_mut(slot)).unwrap_or(spare);
        let result = write(frame.buffer(length));
        if let Some((offset, flips)) = fate.corruption
            && let Some(byte) = frame.bytes.get_mut(offset)
        {
            *byte ^= flips; // after the frame was written
        }
        match slot {
            Some(slot) => self.queue(now, slot, length, &fate),
            None if fate.lost => self.counters.lost += 1,
            None => self.counters.dropped += 1,
        }
        result
    }

    /// Queues the frame in `slot`, and its copy.
    fn queue(&mut self, now: Instant, slot: usize, length: usize, fate: &Fate) {
        self.counters.reordered += u64::from(fate.held_back);
        self.counters.corrupted += u64::from(fate.corruption.is_some());
        self.hold(now, slot, length, fate);
        if fate.duplicated {
            self.counters.duplicated += 1;
            match self.free_slot() {
                Some(copy_slot) => {
                    if let Ok([frame, second]) = self.frames.get_disjoint_mut([slot, copy_slot]) {
                        copy(frame.as_slice(), second.buffer(length));
                    }
                    self.hold(now, copy_slot, length, fate);
                }
                None => self.counters.dropped += 1,
            }
        }
    }

    /// Sets the time and number of the frame in `slot`.
    fn hold(&mut self, now: Instant, slot: usize, length: usize, fate: &Fate) {
        let Impairments { delay, jitter, reorder_by, rate, .. } = self.impairments;
        let entered = self.line.end_of(now, length, rate);
        let travels = micros(delay).saturating_add(fate.jitter).saturating_sub(micros(jitter));
        self.latest = self.latest.max(after(entered, travels));
        if let Some(frame) = self.frames.get_mut(slot) {
            frame.due = Some(if fate.held_back { after(self.latest, micros(reorder_by)) } else { self.latest });
            frame.number = self.next;
            self.next += 1;
            self.held += 1;
        }
    }

    fn free_slot(&self) -> Option<usize> {
        if self.held == self.frames.len() {
            return None;
        }
        self.frames.iter().position(|frame| frame.due.is_none())
    }

    /// The frame that is due first: its time and slot.
    fn first(&self) -> Option<(Instant, usize)> {
        if self.held == 0 {
            return None;
        }
        let held = self.frames.iter().enumerate().filter_map(|(slot, frame)| Some((frame.due?, frame.number, slot)));
        held.min().map(|(due, _, slot)| (due, slot))
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        self.first().map(|(due, _)| due)
    }

    /// The slot of the next frame, if it is due.
    pub(super) fn due(&self, now: Instant) -> Option<usize> {
        self.first().filter(|&(due, _)| due <= now).map(|(_, slot)| slot)
    }

    /// The length of the frame in `slot`.
    pub(super) fn length(&self, slot: usize) -> usize {
        self.frames.get(slot).map_or(0, |frame| frame.length)
    }

    /// Passes the frame in `slot` to `read`, and frees the slot.
    pub(super) fn deliver<R>(&mut self, slot: usize, read: impl FnOnce(&[u8]) -> R) -> R {
        let Some(frame) = self.frames.get_mut(slot) else { return read(&[]) };
        if frame.due.take().is_some() {
            self.held -= 1;
            self.counters.delivered += 1;
        }
        read(frame.as_slice())
    }
}

/// The random decisions about one frame.
struct Fate {
    lost: bool,
    duplicated: bool,
    held_back: bool,
    /// The byte that is corrupted, and its bits that are flipped.
    corruption: Option<(usize, u8)>,
    /// Microseconds, up to twice the jitter.
    jitter: u64,
}

impl Fate {
    /// Each frame has a generator of its own, and draws everything: no impairment changes another one, or another frame.
    fn draw(impairments: &Impairments, mut random: Rng, length: usize) -> Self {
        let lost = impairments.loss.happens(&mut random);
        let duplicated = impairments.duplication.happens(&mut random);
        let held_back = impairments.reordering.happens(&mut random) && !impairments.reorder_by.is_zero();
        let corrupted = impairments.corruption.happens(&mut random) && length > 0;
        let jitter = random.fork().u64(0..=micros(impairments.jitter).saturating_mul(2));
        // A `usize` would be drawn differently on other hosts.
        let length = u16::try_from(length).unwrap_or(u16::MAX);
        let corruption = corrupted.then(|| (random.u16(0..length).into(), random.u8(1..)));
        Self { lost, duplicated, held_back, corruption, jitter }
    }
}

/// The entry of a link with limited bandwidth: one frame at a time.
#[derive(Debug)]
struct Line {
    /// When the last frame has entered, in microseconds,
    free: Instant,
    /// and the rest of that: a fraction of a microsecond, in units of one divided by the rate.
    rest: u64,
}

impl Line {
    const FREE: Self = Self { free: BEGINNING, rest: 0 };

    /// When the last bit of a frame has entered that is sent now.
    fn end_of(&mut self, now: Instant, length: usize, rate: Option<NonZeroU64>) -> Instant {
        let Some(rate) = rate else { return now };
        if self.free < now {
            *self = Self { free: now, rest: 0 };
        }
        let bits = u64::try_from(length).unwrap_or(u64::MAX).saturating_mul(8);
        let work = bits.saturating_mul(1_000_000).saturating_add(self.rest);
        *self = Self { free: after(self.free, work / rate), rest: work % rate };
        self.free
    }
}

/// The earliest instant.
const BEGINNING: Instant = Instant::from_micros_const(i64::MIN);

/// The instant `micros` microseconds later, or the last possible one.
fn after(instant: Instant, micros: u64) -> Instant {
    Instant::from_micros(instant.total_micros().saturating_add_unsigned(micros))
}

fn micros(span: Duration) -> u64 {
    span.as_secs().saturating_mul(1_000_000).saturating_add(span.subsec_micros().into())
}

/// Copies as many bytes as both have.
pub(super) fn copy(from: &[u8], to: &mut [u8]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = *from;
    }
}
