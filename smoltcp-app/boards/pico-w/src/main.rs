//! The greeting service and the echo service on the Raspberry Pi Pico W: Cortex-M0+, Wi-Fi by a CYW43439, over embassy-net.

#![no_std]
#![no_main]

mod wifi;

use core::panic::PanicInfo;

use cortex_m::peripheral::SCB;
use cortex_m_rt as _;
use cyw43::NetDriver;
#[cfg(feature = "defmt")]
use defmt_rtt as _; // the logger
use embassy_executor::Spawner;
use embassy_net::Runner;
use embassy_rp::clocks::RoscRng;
use portable_atomic as _; // lets static cells be taken by a critical section

#[embassy_executor::main]
async fn main(spawner: Spawner) {
    let peripherals = embassy_rp::init(Default::default());
    let seed = seed();
    let (driver, control, chip) = wifi::start(wifi::Wiring::of(peripherals)).await;
    let (stack, runner) = embassy_net::new(driver, greet_wifi::config(), greet_wifi::resources(), seed);

    let started = wifi::run(chip).and_then(|task| {
        spawner.spawn(task);
        spawner.spawn(run_stack(runner)?);
        spawner.spawn(wifi::join(control)?);
        greet_wifi::spawn(spawner, stack)
    });
    if started.is_err() {
        SCB::sys_reset() // cannot be: there is a task for each call
    }
}

/// A number out of eight times as many bits of the ring oscillator, which are neither even nor independent.
fn seed() -> u64 {
    (0..8).fold(0, |seed: u64, _| (seed ^ RoscRng.next_u64()).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29))
}

/// The stack, a task of its own: each operation on a socket wakes it.
#[embassy_executor::task]
async fn run_stack(mut runner: Runner<'static, NetDriver<'static>>) {
    runner.run().await
}

/// Logs the panic and resets the board.
#[panic_handler]
fn panicked(info: &PanicInfo<'_>) -> ! {
    #[cfg(feature = "defmt")]
    defmt::error!("{}", defmt::Display2Format(info));
    let _ = info;
    SCB::sys_reset()
}
