//! Embassy's clock on the dual timer: the time in microseconds, and one alarm for the first of all timers.

use core::{cell::RefCell, task::Waker};

use critical_section::{CriticalSection, Mutex};
use embassy_time_driver::Driver;
use embassy_time_queue_utils::Queue;
use greet_board::{clock::CounterClock, cortex_m::Timer};
use greet_parts::dual_timer::{self, DualTimer};

use crate::{FREQUENCY, TIMER};

/// The longest time between two readings of the counter; it wraps after 171 s.
const LONGEST: u64 = 60_000_000;

struct Clock {
    timer: DualTimer<TIMER>,
    clock: CounterClock,
    timers: Queue,
}

struct OnTimer(Mutex<RefCell<Option<Clock>>>);

embassy_time_driver::time_driver_impl!(static DRIVER: OnTimer = OnTimer(Mutex::new(RefCell::new(None))));

impl OnTimer {
    fn with<R>(&self, section: CriticalSection<'_>, operation: impl FnOnce(&mut Clock) -> R) -> Option<R> {
        self.0.borrow_ref_mut(section).as_mut().map(operation)
    }
}

impl Clock {
    fn now(&mut self) -> u64 {
        self.clock.read(self.timer.count()).as_micros()
    }

    /// Wakes the timers that are due, and sets the alarm to the next one.
    fn set_alarm(&mut self) {
        let now = self.now();
        let next = self.timers.next_expiration(now);
        let wait = next.saturating_sub(now).min(LONGEST);
        self.timer.set_alarm(self.clock.ticks(wait));
    }
}

impl Driver for OnTimer {
    fn now(&self) -> u64 {
        critical_section::with(|section| self.with(section, Clock::now)).unwrap_or(0)
    }

    fn schedule_wake(&self, at: u64, waker: &Waker) {
        critical_section::with(|section| {
            self.with(section, |clock| {
                if clock.timers.schedule_wake(at, waker) {
                    clock.set_alarm();
                }
            });
        });
    }
}

/// Starts the clock. Before that the time is 0.
pub(crate) fn start() {
    // SAFETY: the registers are there on this board, and nothing else of this program has them.
    let timer: DualTimer<TIMER> = unsafe { DualTimer::new() };
    let clock = CounterClock::new(DualTimer::<TIMER>::BITS, FREQUENCY, timer.count());
    critical_section::with(|section| {
        *DRIVER.0.borrow_ref_mut(section) = Some(Clock { timer, clock, timers: Queue::new() });
        DRIVER.with(section, Clock::set_alarm);
    });
}

/// The alarm's interrupt.
pub(crate) extern "C" fn on_alarm() {
    dual_timer::on_alarm::<TIMER>();
    critical_section::with(|section| DRIVER.with(section, Clock::set_alarm));
}
