//! What comes after a machine is over: the last replies and the FIN are delivered before the connection is released (rules
//! R3, R4 and C1).

use core::time::Duration;

use crate::{Instant, LINGER};

/// The delivery of the last bytes and the FIN, from the moment that a machine is over ([`Step::Over`](super::Step::Over))
/// until its connection may be released.
///
/// A machine knows which bytes it gave, not which of them the peer has. A driver that released the connection at once would
/// discard what its network stack still holds, or have it reset while the peer has not read everything. So the driver keeps
/// the connection, and asks:
///
/// - **What must be acknowledged?** Everything that was written, and this side's FIN, which counts as one byte. As long as
///   some of it is not, the driver does not read: input that is not needed would only make the peer send more.
/// - **For how long?** Until the peer has acknowledged nothing for the driver's limit. That is at least [`LINGER`], and the
///   time of a few retransmissions; each acknowledgement starts it again.
/// - **And then?** What was acknowledged only now, the peer may not have read: for [`LINGER`] the driver reads and discards,
///   until the peer's FIN. What was acknowledged when the machine ended, the machine has waited for: it has lingered itself.
///
/// A driver that knows that its stack delivers the rest of a *closed* connection by itself, without a reset, may close it at
/// any time: a system with sockets does so when there is no unread input and the peer's FIN is received.
///
/// A driver whose stack **cannot tell** what is acknowledged uses no `Delivery`. When the machine is over it discards the
/// input that it has, and closes the connection in order (never by a reset): most stacks then deliver the rest by themselves.
/// The machine's own time to linger is all that such a peer gets.
///
/// ```
/// use core::time::Duration;
/// use greet_core::{Instant, LINGER, drive::{Delivery, Release}};
///
/// let limit = Duration::from_secs(10);
/// let over = Instant::ZERO; // the machine is over, and 8 bytes and the FIN are not acknowledged
/// let mut delivery = Delivery::new(over, 9);
/// assert_eq!(delivery.look(over, 9, limit), Release::Wait(over + limit));
///
/// let later = over + Duration::from_secs(4); // the 8 bytes were lost, sent again, and are acknowledged
/// assert_eq!(delivery.look(later, 1, limit), Release::Wait(later + limit));
///
/// let at_last = over + Duration::from_secs(5); // and so is the FIN
/// assert_eq!(delivery.look(at_last, 0, limit), Release::Discard(at_last + LINGER));
/// assert_eq!(delivery.look(at_last + LINGER, 0, limit), Release::Close);
/// ```
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Delivery {
    /// How much was not acknowledged at the last look.
    unacknowledged: usize,
    /// When the peer last acknowledged something, or the machine ended.
    since: Instant,
    /// Something was not acknowledged yet when the machine ended.
    late: bool,
}

/// What a driver does with the connection of a machine that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Release {
    /// Keep it, and do not read. Look again when the peer has acknowledged something, and at this time.
    Wait(Instant),
    /// Everything was delivered, but late: read and discard. Close it at the peer's FIN; otherwise look again at this time.
    Discard(Instant),
    /// Everything is delivered: close it, whether the peer has ended its side or not.
    Close,
    /// The rest cannot be delivered: reset it.
    Reset,
}

impl Delivery {
    /// The machine is over at `now`, and this much is not acknowledged: the bytes that were written, and one for the FIN.
    #[must_use]
    pub const fn new(now: Instant, unacknowledged: usize) -> Self {
        Self { unacknowledged, since: now, late: unacknowledged > 0 }
    }

    /// What to do at `now`, when this much is not acknowledged. `limit` is how long the peer may acknowledge nothing.
    pub fn look(&mut self, now: Instant, unacknowledged: usize, limit: Duration) -> Release {
        if core::mem::replace(&mut self.unacknowledged, unacknowledged) != unacknowledged {
            self.since = now;
        }
        match unacknowledged {
            1.. if now < self.since + limit => Release::Wait(self.since + limit),
            1.. => Release::Reset,
            0 if self.late && now < self.since + LINGER => Release::Discard(self.since + LINGER),
            0 => Release::Close,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);
    const INSTANT: Duration = Duration::from_micros(1);

    fn at(micros: u64) -> Instant {
        Instant::from_micros(micros)
    }

    #[test]
    fn what_was_acknowledged_when_the_machine_ended_is_not_waited_for() {
        assert_eq!(Delivery::new(at(7), 0).look(at(7), 0, LIMIT), Release::Close);
    }

    #[test]
    fn each_acknowledgement_starts_the_limit_again() {
        let mut delivery = Delivery::new(at(0), 100);
        for left in (1..100).rev() {
            let now = delivery.since + (LIMIT - INSTANT);
            assert_eq!(delivery.look(now, left, LIMIT), Release::Wait(now + LIMIT));
        }
        let end = delivery.since + LIMIT;
        assert_eq!(delivery.look(delivery.since + (LIMIT - INSTANT), 1, LIMIT), Release::Wait(end));
        assert_eq!(delivery.look(end, 1, LIMIT), Release::Reset);
    }

    #[test]
    fn after_a_late_acknowledgement_it_lingers_once() {
        let mut delivery = Delivery::new(at(0), 1);
        let late = at(5_000_000);
        assert_eq!(delivery.look(late, 0, LIMIT), Release::Discard(late + LINGER));
        let end = late + LINGER;
        assert_eq!(delivery.look(late + (LINGER - INSTANT), 0, LIMIT), Release::Discard(end));
        assert_eq!(delivery.look(end, 0, LIMIT), Release::Close);
    }

    #[test]
    fn an_acknowledgement_at_the_limit_is_in_time() {
        let mut delivery = Delivery::new(at(0), 2);
        let end = at(0) + LIMIT;
        assert_eq!(delivery.look(end, 1, LIMIT), Release::Wait(end + LIMIT));
        assert_eq!(delivery.look(end + LIMIT, 0, LIMIT), Release::Discard(end + LIMIT + LINGER));
    }
}
