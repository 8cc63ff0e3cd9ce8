//! The board: its watchdog, its address, its entropy, and the rest that the service needs.

use core::pin::Pin;

use embassy_rp::{Peri, clocks::RoscRng, config::Config, flash::Flash, peripherals::FLASH, watchdog::Watchdog};
use embassy_time::Duration;
use greet_board::{Board, Identity, Instant, Link, Losses};
use greet_embassy::{Rest, hardware_address, now, seed};
use smoltcp::wire::EthernetAddress;

use crate::network::{self, Device, TASK_WAKE_FLAG, WAKE_FLAG, Wiring};

/// The watchdog's timeout, after which the board is reset. The hardware's limit is a little above 8 s.
const WATCHDOG_TIMEOUT: Duration = Duration::from_secs(8);

/// The size of the flash, in bytes.
const FLASH_SIZE: usize = 2 * 1024 * 1024;

/// How much of the ring oscillator goes into 64 bits: eight times as much. Its bits are neither even nor independent.
const RAW: usize = 64;

/// What is started.
pub(crate) struct Started {
    device: Device,
    watchdog: Watchdog,
}

/// The board, as the service needs it; `T` is the driver's task.
pub(crate) struct Pico<'a, T> {
    started: Started,
    rest: Rest<'a, T>,
}

/// Starts the board and returns its facts; the caller pins the driver's task. Called once.
pub(crate) fn start() -> (Started, impl Future, Identity) {
    let peripherals = embassy_rp::init(Config::default());
    let mut watchdog = Watchdog::new(peripherals.WATCHDOG);
    watchdog.pause_on_debug(true); // halted by a debugger, the board is not to be reset
    watchdog.start(WATCHDOG_TIMEOUT);

    let mut random = [0; RAW];
    RoscRng.fill_bytes(&mut random);
    let identity = Identity {
        name: "w5500-evb-pico",
        hardware_address: EthernetAddress(address(peripherals.FLASH)),
        random_seed: seed(&random),
        entropy: "the ring oscillator, whose quality is not specified",
    };
    let wiring = Wiring {
        spi: peripherals.SPI0,
        dma: (peripherals.DMA_CH0, peripherals.DMA_CH1),
        from_chip: peripherals.PIN_16,
        select: peripherals.PIN_17,
        clock: peripherals.PIN_18,
        to_chip: peripherals.PIN_19,
        reset: peripherals.PIN_20,
        interrupt: peripherals.PIN_21,
    };
    let (device, task) = network::start(wiring, identity.hardware_address.0);
    (Started { device, watchdog }, task, identity)
}

/// The address on the wire, out of the number that the flash chip has; the RP2040 has none.
fn address(flash: Peri<'static, FLASH>) -> [u8; 6] {
    let mut unique = [0; 8];
    // Fails only where another core runs it. Without the number all boards would have the same address.
    if Flash::<_, _, FLASH_SIZE>::new_blocking(flash).blocking_unique_id(&mut unique).is_err() {
        greet_board::error!("the flash chip's number cannot be read: the address on the wire is not this board's own");
    }
    hardware_address(&unique)
}

impl<'a, T: Future> Pico<'a, T> {
    pub(crate) fn new(started: Started, task: Pin<&'a mut T>) -> Self {
        Self { started, rest: Rest::with_task(&WAKE_FLAG, &TASK_WAKE_FLAG, task) }
    }
}

impl<T: Future> Board for Pico<'_, T> {
    type Device = Device;

    fn device(&mut self) -> &mut Device {
        &mut self.started.device
    }

    fn now(&mut self) -> Instant {
        now()
    }

    fn wait(&mut self, until: Instant) {
        self.rest.wait(until);
    }

    fn link(&mut self) -> Link {
        // The driver does not tell the speed.
        if self.started.device.is_link_up() { Link::UpUnknownSpeed } else { Link::Down }
    }

    fn losses(&self) -> Losses {
        Losses::default() // the W5500 counts nothing
    }

    fn alive(&mut self) {
        self.started.watchdog.feed(WATCHDOG_TIMEOUT);
    }
}
