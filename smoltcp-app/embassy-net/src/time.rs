//! Embassy's clock as the time of a machine, and waits until such a time.

use core::future::{Future, pending};

use embassy_time::{Duration, Timer};
use greet_core::Instant;

/// The time, by the embassy clock that the firmware links.
#[must_use]
pub fn now() -> Instant {
    Instant::from_micros(embassy_time::Instant::now().as_micros())
}

/// `deadline` on embassy's clock, rounded up to a tick, so that [`now`] is not before `deadline` at that tick. `None` if it is beyond
/// the clock's range.
fn on_clock(deadline: Instant) -> Option<embassy_time::Instant> {
    embassy_time::Instant::try_from_micros(deadline.as_micros())?.checked_add(Duration::from_ticks(1))
}

/// Waits until `deadline`; forever without one.
pub(crate) async fn sleep_until(deadline: Option<Instant>) {
    match deadline.and_then(on_clock) {
        Some(deadline) => Timer::at(deadline).await,
        None => pending().await,
    }
}

/// Runs `operation` until `deadline` at the latest; `None` if it is not finished then.
pub(crate) async fn in_time<T>(deadline: Option<Instant>, operation: impl Future<Output = T>) -> Option<T> {
    match deadline.and_then(on_clock) {
        Some(deadline) => embassy_time::with_deadline(deadline, operation).await.ok(),
        None => Some(operation.await),
    }
}
