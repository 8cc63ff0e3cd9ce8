//! Limits a warning that may repeat quickly: printed at once, then at most once a minute with the number of repetitions.

use core::time::Duration;

use greet_core::Instant;

/// The least time between two lines.
const PERIOD: Duration = Duration::from_secs(60);

/// Counts the events that one warning is about, and tells when a line may be printed.
#[derive(Debug, Default)]
pub(crate) struct WarningLimit {
    /// When the next line may be printed; `None` if no line was printed yet.
    next_at: Option<Instant>,
    /// Events since the last line.
    repeated: u32,
}

impl WarningLimit {
    /// Counts an event. Returns whether to print its warning now.
    pub(crate) fn admit(&mut self, now: Instant) -> bool {
        let is_admitted = self.repeated == 0 && self.next_at.is_none_or(|at| now >= at);
        if is_admitted {
            self.next_at = Some(now + PERIOD);
        } else {
            self.repeated = self.repeated.saturating_add(1);
        }
        is_admitted
    }

    /// The number of events that had no line of their own, once a line about them may be printed. Each is returned once.
    pub(crate) fn take_repeated(&mut self, now: Instant) -> Option<u32> {
        self.deadline().filter(|&at| now >= at)?;
        self.next_at = Some(now + PERIOD);
        Some(core::mem::take(&mut self.repeated))
    }

    /// When a line about repeated events is due; `None` if there are none.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.next_at.filter(|_| self.repeated > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    #[test]
    fn a_burst_is_one_line_and_its_count_a_minute_later() {
        let mut limit = WarningLimit::default();
        assert!(limit.admit(at(10)));
        assert_eq!((limit.take_repeated(at(10)), limit.deadline()), (None, None));
        for _ in 0..300 {
            assert!(!limit.admit(at(12)));
            assert_eq!(limit.take_repeated(at(12)), None);
        }
        assert_eq!(limit.deadline(), Some(at(70)));
        assert_eq!(limit.take_repeated(at(69)), None);
        assert_eq!(limit.take_repeated(at(70)), Some(300));
        assert_eq!((limit.take_repeated(at(70)), limit.deadline()), (None, None));
    }

    #[test]
    fn a_link_that_flaps_for_an_hour_prints_at_most_one_line_a_minute_and_counts_every_event() {
        let mut limit = WarningLimit::default();
        let (mut lines, mut counted) = (0, 0);
        for second in 0..3660 {
            lines += u32::from(second < 3600 && limit.admit(at(second)));
            if let Some(repeated) = limit.take_repeated(at(second)) {
                lines += 1;
                counted += repeated;
            }
        }
        assert_eq!((lines, counted), (61, 3599));
    }

    #[test]
    fn events_that_are_more_than_a_minute_apart_have_a_line_each() {
        let mut limit = WarningLimit::default();
        for minute in 0..5 {
            assert!(limit.admit(at(minute * 61)));
            assert_eq!(limit.deadline(), None);
        }
    }

    #[test]
    fn an_event_that_comes_before_its_overdue_count_is_part_of_it() {
        let mut limit = WarningLimit::default();
        assert!(limit.admit(at(0)));
        assert!(!limit.admit(at(1)));
        assert!(!limit.admit(at(90)));
        assert_eq!(limit.take_repeated(at(90)), Some(2));
        assert!(!limit.admit(at(91)));
    }
}
