//! The impaired link, between a device that records everything and a virtual clock.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "in a test a panic is how a failure is reported, and counts are small"
)]

mod chance;
mod device;
mod order;
mod timing;

use core::time::Duration;
use std::collections::VecDeque;

use greet_smoltcp::impair::{Counters, Directions, Frame, Impaired, Impairments};
use smoltcp::{
    phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken},
    time::Instant,
};

/// The inner device: received frames, sent frames, and the number of frames that it still accepts.
struct Card {
    came: VecDeque<Vec<u8>>,
    went: Vec<Vec<u8>>,
    room: usize,
    frame_limit: usize,
}

impl Default for Card {
    fn default() -> Self {
        Self { came: VecDeque::new(), went: Vec::new(), room: usize::MAX, frame_limit: 1514 }
    }
}

struct Arrival(Vec<u8>);
struct Permit<'a>(&'a mut Card);

impl RxToken for Arrival {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(&self.0)
    }
}

impl TxToken for Permit<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, write: F) -> R {
        let mut frame = vec![0; length];
        let result = write(&mut frame);
        self.0.room -= 1;
        self.0.went.push(frame);
        result
    }
}

impl Device for Card {
    type RxToken<'a> = Arrival;
    type TxToken<'a> = Permit<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Arrival, Permit<'_>)> {
        if self.room == 0 {
            return None;
        }
        Some((Arrival(self.came.pop_front()?), Permit(self)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Permit<'_>> {
        (self.room > 0).then_some(Permit(self))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = self.frame_limit;
        capabilities.max_burst_size = Some(3);
        capabilities
    }
}

/// The storage of a link.
struct Storage(Directions<Vec<Frame>>);

impl Storage {
    /// Room for this many frames in each direction.
    fn new(frames: usize) -> Self {
        Self(Directions { receive: vec![Frame::EMPTY; frames], transmit: vec![Frame::EMPTY; frames] })
    }

    fn wire(&mut self, impairments: impl Into<Directions<Impairments>>, seed: u64) -> Wire<'_> {
        let storage = Directions { receive: &mut self.0.receive[..], transmit: &mut self.0.transmit[..] };
        Impaired::new(Card::default(), impairments, seed, storage)
    }
}

type Wire<'a> = Impaired<'a, Card>;

/// A direction: most tests are made for both.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Direction {
    Receive,
    Transmit,
}

const DIRECTIONS: [Direction; 2] = [Direction::Receive, Direction::Transmit];
const SEEDS: [u64; 5] = [0, 1, 2, 0x5EED, u64::MAX];

impl Direction {
    fn of<T>(self, directions: Directions<T>) -> T {
        match self {
            Self::Receive => directions.receive,
            Self::Transmit => directions.transmit,
        }
    }

    /// Sends frames. Returns those that leave at once or were due.
    fn pass(self, wire: &mut Wire<'_>, now: Instant, frames: impl IntoIterator<Item = Vec<u8>>) -> Vec<Vec<u8>> {
        match self {
            Self::Receive => {
                wire.inner_mut().came.extend(frames);
                let mut left = Vec::new();
                loop {
                    left.extend(core::iter::from_fn(|| receive(wire, now)));
                    if wire.inner().came.is_empty() || wire.inner().room == 0 {
                        return left;
                    }
                }
            }
            Self::Transmit => {
                for frame in frames {
                    assert!(transmit(wire, now, &frame));
                }
                wire.advance(now);
                core::mem::take(&mut wire.inner_mut().went)
            }
        }
    }

    /// Advances the clock to `end`. Returns the frames that leave, with their times.
    fn until(self, wire: &mut Wire<'_>, end: Instant) -> Vec<(Instant, Vec<u8>)> {
        let mut left = Vec::new();
        while let Some(due) = wire.next_due().filter(|&due| due <= end) {
            let frames = self.pass(wire, due, []);
            assert!(!frames.is_empty(), "nothing left when it was due, at {due}");
            left.extend(frames.into_iter().map(|frame| (due, frame)));
        }
        left
    }

    /// Sends each frame at its time, and waits until all have left.
    fn travel(
        self,
        wire: &mut Wire<'_>,
        frames: impl IntoIterator<Item = (Instant, Vec<u8>)>,
    ) -> Vec<(Instant, Vec<u8>)> {
        let mut left = Vec::new();
        for (now, frame) in frames {
            left.extend(self.until(wire, now));
            left.extend(self.pass(wire, now, [frame]).into_iter().map(|frame| (now, frame)));
        }
        left.extend(self.until(wire, Instant::from_micros(i64::MAX)));
        assert_eq!(wire.next_due(), None);
        assert_accounted_for(wire);
        left
    }
}

fn receive(wire: &mut Wire<'_>, now: Instant) -> Option<Vec<u8>> {
    let (received, _) = wire.receive(now)?;
    Some(received.consume(<[u8]>::to_vec))
}

/// Sends the frame. Returns whether the device accepted it.
fn transmit(wire: &mut Wire<'_>, now: Instant, frame: &[u8]) -> bool {
    wire.transmit(now).map(|token| token.consume(frame.len(), |buffer| buffer.copy_from_slice(frame))).is_some()
}

/// A frame that contains its number.
fn numbered(number: usize, length: usize) -> Vec<u8> {
    let mut frame = vec![0xA5; length];
    frame[..8].copy_from_slice(&(number as u64).to_be_bytes());
    frame
}

fn number_of(frame: &[u8]) -> usize {
    u64::from_be_bytes(*frame.first_chunk().unwrap()) as usize
}

fn numbers(frames: &[(Instant, Vec<u8>)]) -> Vec<usize> {
    frames.iter().map(|(_, frame)| number_of(frame)).collect()
}

fn at_micros(micros: usize) -> Instant {
    Instant::from_micros(i64::try_from(micros).unwrap())
}

fn at_millis(millis: usize) -> Instant {
    at_micros(millis * 1000)
}

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Each frame and each copy is lost, dropped, delivered or held.
fn assert_accounted_for(wire: &Wire<'_>) {
    for direction in DIRECTIONS {
        let Counters { frames, lost, duplicated, delivered, dropped, .. } = direction.of(wire.counters());
        let held = u64::try_from(direction.of(wire.held())).unwrap();
        assert_eq!(frames + duplicated, lost + dropped + delivered + held, "{direction:?}: {:?}", wire.counters());
    }
}

/// Whether a count is one that `tries` with this probability make, within five standard deviations: of two million fair
/// counts one is not. The seeds are fixed, so it is always the same one.
fn assert_likely(count: usize, tries: usize, probability: f64) {
    let expected = tries as f64 * probability;
    let bound = 5.0 * (expected * (1.0 - probability)).sqrt();
    assert!((count as f64 - expected).abs() <= bound, "{count} of {tries}, expected {expected} +- {bound}");
}

/// Whether counts are spread evenly: their chi-square is within five standard deviations of what it is on the average.
fn assert_even(counts: &[usize]) {
    let expected = counts.iter().sum::<usize>() as f64 / counts.len() as f64;
    let chi_square: f64 = counts.iter().map(|&count| (count as f64 - expected).powi(2) / expected).sum();
    let freedom = (counts.len() - 1) as f64;
    assert!((chi_square - freedom).abs() <= 5.0 * (2.0 * freedom).sqrt(), "{chi_square} for {counts:?}");
}
