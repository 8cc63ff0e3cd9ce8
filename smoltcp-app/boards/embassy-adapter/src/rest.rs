//! Sleeping until a flag is set or until a given time, while a driver's own task is polled.

use core::{pin::Pin, task::Context};

use greet_core::Instant;

use crate::WakeFlag;

/// The time since the start, by the embassy clock that the firmware links.
#[must_use]
pub fn now() -> Instant {
    const { assert!(embassy_time_driver::TICK_HZ == 1_000_000, "the clock's ticks are to be microseconds") };
    Instant::from_micros(embassy_time_driver::now())
}

/// The wait of a loop that has nothing to do.
///
/// Some drivers are in two parts: a device to poll, and a task that moves frames between it and the hardware. The task, if
/// there is one, is polled here each time its own flag is set, so that a transfer of many steps does not wake the loop at each
/// step.
#[derive(Debug)]
pub struct Rest<'a, T> {
    device: &'static WakeFlag,
    task: Option<Task<'a, T>>,
}

#[derive(Debug)]
struct Task<'a, T> {
    flag: &'static WakeFlag,
    future: Pin<&'a mut T>,
}

impl Rest<'_, core::future::Pending<()>> {
    /// For a driver without a task: `device` is the flag that it sets.
    #[must_use]
    pub const fn new(device: &'static WakeFlag) -> Self {
        Self { device, task: None }
    }
}

impl<'a, T: Future> Rest<'a, T> {
    /// For a driver with a task: `flag` is the task's flag, `device` the device's.
    #[must_use]
    pub const fn with_task(device: &'static WakeFlag, flag: &'static WakeFlag, future: Pin<&'a mut T>) -> Self {
        Self { device, task: Some(Task { flag, future }) }
    }

    /// Sleeps until the device's flag is set, or until `until`. It may return early.
    ///
    /// The task is polled even if `until` is past.
    pub fn wait(&mut self, until: Instant) {
        loop {
            self.poll_task();
            if self.device.take() || now() >= until {
                return;
            }
            embassy_time_driver::schedule_wake(until.as_micros(), &self.device.waker());
            // An interrupt between the check and the sleep is held pending, and ends the sleep at once.
            critical_section::with(|_| {
                if !self.device.is_set() && self.task.as_ref().is_none_or(|task| !task.flag.is_set()) {
                    sleep();
                }
            });
        }
    }

    /// Polls the task, if its flag is set.
    fn poll_task(&mut self) {
        let Some(task) = &mut self.task else { return };
        if task.flag.take() && task.future.as_mut().poll(&mut Context::from_waker(&task.flag.waker())).is_ready() {
            self.task = None;
        }
    }
}

/// Sleeps until an interrupt is pending, also if it is masked.
#[cfg(all(target_arch = "arm", target_os = "none"))]
fn sleep() {
    cortex_m::asm::dsb();
    cortex_m::asm::wfi();
}

/// On a PC, where only tests run.
#[cfg(not(all(target_arch = "arm", target_os = "none")))]
fn sleep() {
    core::hint::spin_loop();
}
