//! When a receiver that receives nothing is restarted.

use core::time::Duration;

use greet_core::Instant;

/// How long nothing may be received before the receiver is restarted.
const LIMIT: Duration = Duration::from_secs(10);

/// Watches how long nothing is received.
///
/// A network card can stop receiving without the loop or the watchdog noticing. That looks like a quiet network from here, but a
/// restart of the receiver costs nothing on a quiet network.
#[derive(Debug)]
pub(crate) struct Silence {
    /// The counter of received frames at the last look.
    received: u32,
    /// When the last frame was received, or the receiver was restarted.
    since: Instant,
    /// The receiver was restarted since the last frame.
    restarted: bool,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Fine,
    /// Restart the receiver, for the first time since the last frame.
    Restart,
    /// Restart it once more.
    RestartAgain,
}

impl Silence {
    pub(crate) const fn new(now: Instant) -> Self {
        Self { received: 0, since: now, restarted: false }
    }

    /// Judges by the counter of received frames, which may wrap.
    pub(crate) fn judge(&mut self, now: Instant, received: u32) -> Verdict {
        if received != self.received {
            *self = Self { received, since: now, restarted: false };
            return Verdict::Fine;
        }
        if now < self.since + LIMIT {
            return Verdict::Fine;
        }
        let verdict = if self.restarted { Verdict::RestartAgain } else { Verdict::Restart };
        *self = Self { received, since: now, restarted: true };
        verdict
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(seconds: u32) -> Instant {
        Instant::from_micros(u64::from(seconds) * 1_000_000)
    }

    #[test]
    fn a_frame_every_nine_seconds_is_no_silence() {
        let mut silence = Silence::new(Instant::ZERO);
        for second in 1..100 {
            assert_eq!(silence.judge(after(second), second / 9), Verdict::Fine);
        }
    }

    #[test]
    fn in_silence_the_receiver_is_restarted_every_ten_seconds() {
        let mut silence = Silence::new(Instant::ZERO);
        let verdicts: [_; 35] = core::array::from_fn(|second| silence.judge(after(u32::try_from(second).unwrap()), 0));
        assert_eq!(
            (verdicts[10], verdicts[20], verdicts[30]),
            (Verdict::Restart, Verdict::RestartAgain, Verdict::RestartAgain)
        );
        assert_eq!(verdicts.iter().filter(|verdict| **verdict != Verdict::Fine).count(), 3);
        assert_eq!(silence.judge(after(36), 1), Verdict::Fine);
        assert_eq!(silence.judge(after(46), 1), Verdict::Restart);
    }
}
