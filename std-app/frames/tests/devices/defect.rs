//! A defect: changes, drops or adds frames between a probe and a board that is right.

use core::time::Duration;
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use greet_frames::frame::Frame;

type Receive = Box<dyn FnMut(&Frame) -> Vec<Vec<u8>> + Send>;
type Transmit = Box<dyn FnMut(&Frame) -> Vec<(Duration, Vec<u8>)> + Send>;

/// A filter on both directions.
pub(crate) struct Defect {
    to_board: Receive,
    from_board: Transmit,
    /// Frames that are sent later, in the order of their times.
    later: VecDeque<(Duration, Vec<u8>)>,
    /// Frames that are sent when the board has received something.
    also: Arc<Mutex<Vec<Vec<u8>>>>,
}

fn unchanged(frame: &Frame) -> Vec<Vec<u8>> {
    vec![frame.bytes.clone()]
}

impl Defect {
    /// None.
    pub(crate) fn none() -> Self {
        Self {
            to_board: Box::new(unchanged),
            from_board: Box::new(at_once(unchanged)),
            later: VecDeque::new(),
            also: Arc::default(),
        }
    }

    /// What the board receives of each frame.
    pub(crate) fn receives(mut self, change: impl FnMut(&Frame) -> Vec<Vec<u8>> + Send + 'static) -> Self {
        self.to_board = Box::new(change);
        self
    }

    /// What the board sends for each frame that it would send.
    pub(crate) fn sends(self, change: impl FnMut(&Frame) -> Vec<Vec<u8>> + Send + 'static) -> Self {
        self.sends_later(at_once(change))
    }

    /// What the board sends for each frame that it would send, and how much later.
    pub(crate) fn sends_later(
        mut self,
        change: impl FnMut(&Frame) -> Vec<(Duration, Vec<u8>)> + Send + 'static,
    ) -> Self {
        self.from_board = Box::new(change);
        self
    }

    /// The board sends these frames, too, as they are put there.
    pub(crate) fn sends_also(mut self, frames: Arc<Mutex<Vec<Vec<u8>>>>) -> Self {
        self.also = frames;
        self
    }

    /// The board does not receive such frames.
    pub(crate) fn ignores(self, mut what: impl FnMut(&Frame) -> bool + Send + 'static) -> Self {
        self.receives(move |frame| if what(frame) { Vec::new() } else { unchanged(frame) })
    }

    /// The board does not send such frames.
    pub(crate) fn omits(self, mut what: impl FnMut(&Frame) -> bool + Send + 'static) -> Self {
        self.sends(move |frame| if what(frame) { Vec::new() } else { unchanged(frame) })
    }

    /// The board sends such frames later.
    pub(crate) fn delays(self, by: Duration, mut what: impl FnMut(&Frame) -> bool + Send + 'static) -> Self {
        self.sends_later(move |frame| vec![(if what(frame) { by } else { Duration::ZERO }, frame.bytes.clone())])
    }

    /// The board receives each frame changed.
    pub(crate) fn receives_changed(self, mut change: impl FnMut(&mut Vec<u8>) + Send + 'static) -> Self {
        self.receives(move |frame| {
            let mut bytes = frame.bytes.clone();
            change(&mut bytes);
            vec![bytes]
        })
    }

    /// The board sends each frame changed.
    pub(crate) fn sends_changed(self, mut change: impl FnMut(&mut Vec<u8>) + Send + 'static) -> Self {
        self.sends(move |frame| {
            let mut bytes = frame.bytes.clone();
            change(&mut bytes);
            vec![bytes]
        })
    }

    pub(crate) fn inbound(&mut self, frame: &Frame) -> Vec<Vec<u8>> {
        (self.to_board)(frame)
    }

    pub(crate) fn outbound(&mut self, frame: &Frame) -> Vec<Vec<u8>> {
        let (now, later): (Vec<_>, Vec<_>) =
            (self.from_board)(frame).into_iter().partition(|(delay, _)| delay.is_zero());
        self.later.extend(later.into_iter().map(|(delay, bytes)| (frame.time + delay, bytes)));
        self.later.make_contiguous().sort_by_key(|(time, _)| *time);
        now.into_iter().map(|(_, bytes)| bytes).collect()
    }

    pub(crate) fn deadline(&self) -> Option<Duration> {
        self.later.front().map(|(time, _)| *time)
    }

    pub(crate) fn due(&mut self, now: Duration) -> Vec<Vec<u8>> {
        let count = self.later.iter().take_while(|(time, _)| *time <= now).count();
        let also = core::mem::take(&mut *self.also.lock().unwrap());
        self.later.drain(..count).map(|(_, bytes)| bytes).chain(also).collect()
    }
}

fn at_once(
    mut change: impl FnMut(&Frame) -> Vec<Vec<u8>> + Send + 'static,
) -> impl FnMut(&Frame) -> Vec<(Duration, Vec<u8>)> + Send + 'static {
    move |frame| change(frame).into_iter().map(|bytes| (Duration::ZERO, bytes)).collect()
}
