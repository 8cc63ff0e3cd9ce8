//! One direction of the wire: what becomes of each frame, and the frames that are under way.

use core::{num::NonZeroU64, time::Duration};

use fastrand::Rng;
use smoltcp::time::Instant;

use super::{Counters, Impairments};

/// The longest frame that can be held: what Ethernet carries without tags, from the addresses to the payload's end.
pub const FRAME_CAPACITY: usize = 1514;

/// Room for one frame under way.
#[derive(Clone)]
pub struct Frame {
    /// When it leaves the wire; nothing is held here where there is none.
    due: Option<Instant>,
    /// Which of the frames it was: at one time they leave in that order.
    number: u64,
    length: usize,
    bytes: [u8; FRAME_CAPACITY],
}

impl Frame {
    /// Room in which nothing is held.
    pub const EMPTY: Self = Self { due: None, number: 0, length: 0, bytes: [0; FRAME_CAPACITY] };

    fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or(&self.bytes)
    }

    /// Makes it so long, and gives it to be written.
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
    /// When the last one leaves of those that were not held back: none may overtake it.
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

    /// Whether a frame may go by, as none is under way and nothing would happen to it.
    pub(super) fn is_clear(&self) -> bool {
        self.held == 0 && self.impairments.is_none()
    }

    /// Counts a frame that goes by.
    pub(super) const fn pass(&mut self) {
        self.counters.frames += 1;
        self.counters.delivered += 1;
    }

    /// A frame has come.
    pub(super) fn take(&mut self, now: Instant, frame: &[u8], spare: &mut Frame) {
        if frame.len() > FRAME_CAPACITY {
            self.counters.frames += 1;
            self.counters.dropped += 1;
            return;
        }
        self.enter(now, frame.len(), spare, |buffer| copy(frame, buffer));
    }

    /// A frame of at most [`FRAME_CAPACITY`] bytes enters. It is written where it will be held, or into `spare` where
    /// it will not.
    pub(super) fn enter<R>(
        &mut self,
        now: Instant,
        length: usize,
        spare: &mut Frame,
        write: impl FnOnce(&mut [u8]) -> R,
    ) -> R {
        self.counters.frames += 1;
        let fate = Fate::draw(&self.impairments, self.random.fork(), length);
        let place = if fate.lost { None } else { self.free_place() };
        let frame = place.and_then(|place| self.frames.get_mut(place)).unwrap_or(spare);
        let result = write(frame.buffer(length));
        if let Some((offset, flips)) = fate.damage
            && let Some(byte) = frame.bytes.get_mut(offset)
        {
            *byte ^= flips; // only now: whoever writes a frame writes all of it
        }
        match place {
            Some(place) => self.send_off(now, place, length, &fate),
            None if fate.lost => self.counters.lost += 1,
            None => self.counters.dropped += 1,
        }
        result
    }

    /// The frame that was written in `place` is under way.
    fn send_off(&mut self, now: Instant, place: usize, length: usize, fate: &Fate) {
        self.counters.reordered += u64::from(fate.held_back);
        self.counters.damaged += u64::from(fate.damage.is_some());
        self.hold(now, place, length, fate);
        if fate.duplicated {
            self.counters.duplicated += 1;
            match self.free_place() {
                Some(copy_place) => {
                    if let Ok([frame, second]) = self.frames.get_disjoint_mut([place, copy_place]) {
                        copy(frame.as_slice(), second.buffer(length));
                    }
                    self.hold(now, copy_place, length, fate);
                }
                None => self.counters.dropped += 1,
            }
        }
    }

    /// Gives the frame in `place` its time and its number.
    fn hold(&mut self, now: Instant, place: usize, length: usize, fate: &Fate) {
        let Impairments { delay, jitter, reorder_by, rate, .. } = self.impairments;
        let on_the_wire = self.line.end_of(now, length, rate);
        let travels = micros(delay).saturating_add(fate.jitter).saturating_sub(micros(jitter));
        self.latest = self.latest.max(after(on_the_wire, travels));
        if let Some(frame) = self.frames.get_mut(place) {
            frame.due = Some(if fate.held_back { after(self.latest, micros(reorder_by)) } else { self.latest });
            frame.number = self.next;
            self.next += 1;
            self.held += 1;
        }
    }

    fn free_place(&self) -> Option<usize> {
        if self.held == self.frames.len() {
            return None;
        }
        self.frames.iter().position(|frame| frame.due.is_none())
    }

    /// The frame that is due first: its time and its place.
    fn first(&self) -> Option<(Instant, usize)> {
        if self.held == 0 {
            return None;
        }
        let held = self.frames.iter().enumerate().filter_map(|(place, frame)| Some((frame.due?, frame.number, place)));
        held.min().map(|(due, _, place)| (due, place))
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        self.first().map(|(due, _)| due)
    }

    /// The place of the frame that leaves next, if it is time.
    pub(super) fn due(&self, now: Instant) -> Option<usize> {
        self.first().filter(|&(due, _)| due <= now).map(|(_, place)| place)
    }

    /// The length of the frame in `place`.
    pub(super) fn length(&self, place: usize) -> usize {
        self.frames.get(place).map_or(0, |frame| frame.length)
    }

    /// Gives the frame in `place` to be read, and holds it no longer.
    pub(super) fn deliver<R>(&mut self, place: usize, read: impl FnOnce(&[u8]) -> R) -> R {
        let Some(frame) = self.frames.get_mut(place) else { return read(&[]) };
        if frame.due.take().is_some() {
            self.held -= 1;
            self.counters.delivered += 1;
        }
        read(frame.as_slice())
    }
}

/// What the dice say of one frame.
struct Fate {
    lost: bool,
    duplicated: bool,
    held_back: bool,
    /// Which byte is damaged, and the bits of it that flip.
    damage: Option<(usize, u8)>,
    /// Microseconds of twice the jitter.
    jitter: u64,
}

impl Fate {
    /// Each frame has dice of its own, and throws them all: what one impairment does changes no other one, and no other
    /// frame.
    fn draw(impairments: &Impairments, mut random: Rng, length: usize) -> Self {
        let lost = impairments.loss.happens(&mut random);
        let duplicated = impairments.duplication.happens(&mut random);
        let held_back = impairments.reordering.happens(&mut random) && !impairments.reorder_by.is_zero();
        let damaged = impairments.damage.happens(&mut random) && length > 0;
        let jitter = random.fork().u64(0..=micros(impairments.jitter).saturating_mul(2));
        // Not as a `usize`, which is drawn differently where it has another size.
        let length = u16::try_from(length).unwrap_or(u16::MAX);
        let damage = damaged.then(|| (random.u16(0..length).into(), random.u8(1..)));
        Self { lost, duplicated, held_back, damage, jitter }
    }
}

/// The end of the wire at which frames go in, one after the other.
#[derive(Debug)]
struct Line {
    /// When the last frame was on the wire, in microseconds,
    free: Instant,
    /// and what that left out: a part of a microsecond, in units of one divided by the rate.
    rest: u64,
}

impl Line {
    const FREE: Self = Self { free: BEGINNING, rest: 0 };

    /// When the last bit of a frame is on the wire, that is to be sent now.
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

/// Before all time.
const BEGINNING: Instant = Instant::from_micros_const(i64::MIN);

/// The instant so many microseconds later; the last one there is where that would be past the end of time.
fn after(instant: Instant, micros: u64) -> Instant {
    Instant::from_micros(instant.total_micros().saturating_add_unsigned(micros))
}

fn micros(span: Duration) -> u64 {
    span.as_secs().saturating_mul(1_000_000).saturating_add(span.subsec_micros().into())
}

/// Copies as much as both have.
pub(super) fn copy(from: &[u8], to: &mut [u8]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = *from;
    }
}
