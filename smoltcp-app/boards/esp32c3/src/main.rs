//! The greeting service and the echo service on the ESP32-C3: RISC-V with Wi-Fi, over embassy-net.

#![no_std]
#![no_main]

use core::panic::PanicInfo;

#[cfg(feature = "defmt")]
use defmt_rtt as _; // the logger
use embassy_executor::Spawner;
use embassy_net::Runner;
use embassy_time::Timer;
use esp_hal::{
    clock::CpuClock, interrupt::software::SoftwareInterruptControl, rng::Rng, system::software_reset,
    timer::timg::TimerGroup,
};
use esp_radio::wifi::{self, AuthenticationMethod, ControllerConfig, Interface, WifiController, sta::StationConfig};
use greet_wifi::{NAME, PASSWORD, RETRY};

/// What the Wi-Fi libraries allocate from, in bytes. Nothing else allocates.
const HEAP_SIZE: usize = 72 * 1024;

esp_bootloader_esp_idf::esp_app_desc!();

#[esp_rtos::main]
async fn main(spawner: Spawner) {
    let peripherals = esp_hal::init(esp_hal::Config::default().with_cpu_clock(CpuClock::max()));
    esp_alloc::heap_allocator!(size: HEAP_SIZE);
    let timers = TimerGroup::new(peripherals.TIMG0);
    let interrupts = SoftwareInterruptControl::new(peripherals.SW_INTERRUPT);
    esp_rtos::start(timers.timer0, interrupts.software_interrupt0); // the radio's tasks need a scheduler

    let station = StationConfig::default().with_ssid(NAME);
    let station = match PASSWORD {
        Some(password) => station.with_password(password.into()),
        None => station.with_auth_method(AuthenticationMethod::None),
    };
    let radio = ControllerConfig::default().with_initial_config(wifi::Config::Station(station));
    let Ok((controller, interfaces)) = wifi::new(peripherals.WIFI, radio) else {
        #[cfg(feature = "defmt")]
        defmt::error!("the radio does not start");
        software_reset()
    };

    let random = Rng::new(); // true random numbers while the radio is on
    let seed = u64::from(random.random()) << 32 | u64::from(random.random());
    let (stack, runner) = embassy_net::new(interfaces.station, greet_wifi::config(), greet_wifi::resources(), seed);

    let started = run_stack(runner).and_then(|task| {
        spawner.spawn(task);
        spawner.spawn(join_network(controller)?);
        greet_wifi::spawn(spawner, stack)
    });
    if started.is_err() {
        software_reset() // cannot be: there is a task for each call
    }
}

/// The stack, a task of its own: each operation on a socket wakes it.
#[embassy_executor::task]
async fn run_stack(mut runner: Runner<'static, Interface<'static>>) {
    runner.run().await
}

/// Joins the network, again whenever the connection is lost.
#[embassy_executor::task]
async fn join_network(mut controller: WifiController<'static>) {
    loop {
        if controller.connect_async().await.is_ok() {
            #[cfg(feature = "defmt")]
            defmt::info!("joined the network {=str}", NAME);
            let _ = controller.wait_for_disconnect_async().await;
        }
        #[cfg(feature = "defmt")]
        defmt::info!("not in the network {=str}; again in {=u64} s", NAME, RETRY.as_secs());
        Timer::after(RETRY).await;
    }
}

/// Logs the panic and resets the board.
#[panic_handler]
fn panicked(info: &PanicInfo<'_>) -> ! {
    #[cfg(feature = "defmt")]
    defmt::error!("{}", defmt::Display2Format(info));
    let _ = info;
    software_reset()
}
