//! Sleeping until a bell rings or a time has come, while a driver's own task goes on.

use core::{pin::Pin, task::Context};

use greet_core::Instant;

use crate::Bell;

/// The time since the start, by the clock of embassy's that the firmware links.
#[must_use]
pub fn now() -> Instant {
    const { assert!(embassy_time_driver::TICK_HZ == 1_000_000, "the clock's ticks are to be microseconds") };
    Instant::from_micros(embassy_time_driver::now())
}

/// Where a loop rests when it has nothing to do.
///
/// Some drivers are in two parts: a device to poll, and a task that moves frames between it and the hardware. The task, if
/// there is one, is polled here, each time that its own bell rings, so that a transfer of many steps does not wake the loop
/// at each of them.
#[derive(Debug)]
pub struct Rest<'a, T> {
    device: &'static Bell,
    task: Option<Task<'a, T>>,
}

#[derive(Debug)]
struct Task<'a, T> {
    bell: &'static Bell,
    future: Pin<&'a mut T>,
}

impl Rest<'_, core::future::Pending<()>> {
    /// For a driver that needs no task: `device` is the bell that it rings.
    #[must_use]
    pub const fn new(device: &'static Bell) -> Self {
        Self { device, task: None }
    }
}

impl<'a, T: Future> Rest<'a, T> {
    /// For a driver with a task, which rings `bell`; `device` is the bell that the device rings.
    #[must_use]
    pub const fn with_task(device: &'static Bell, bell: &'static Bell, future: Pin<&'a mut T>) -> Self {
        Self { device, task: Some(Task { bell, future }) }
    }

    /// Sleeps until the device's bell rings, or until `until`. It may come back early.
    ///
    /// Even where `until` is past, the task is given the chance to go on.
    pub fn wait(&mut self, until: Instant) {
        loop {
            self.go_on();
            if self.device.hear() || now() >= until {
                return;
            }
            embassy_time_driver::schedule_wake(until.as_micros(), &self.device.waker());
            // An interrupt that comes between the question and the sleep is held back, and ends the sleep at once.
            critical_section::with(|_| {
                if !self.device.is_rung() && self.task.as_ref().is_none_or(|task| !task.bell.is_rung()) {
                    sleep();
                }
            });
        }
    }

    /// Lets the task go on, if it has to.
    fn go_on(&mut self) {
        let Some(task) = &mut self.task else { return };
        if task.bell.hear() && task.future.as_mut().poll(&mut Context::from_waker(&task.bell.waker())).is_ready() {
            self.task = None;
        }
    }
}

/// Sleeps until there is an interrupt, be it held back.
#[cfg(all(target_arch = "arm", target_os = "none"))]
fn sleep() {
    cortex_m::asm::dsb();
    cortex_m::asm::wfi();
}

/// On a PC there are only tests, and nothing to sleep on.
#[cfg(not(all(target_arch = "arm", target_os = "none")))]
fn sleep() {
    core::hint::spin_loop();
}
