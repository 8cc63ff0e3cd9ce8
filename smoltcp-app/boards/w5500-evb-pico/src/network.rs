//! The network card: a W5500 on SPI, and the task that moves frames between it and the driver's queues.

use embassy_futures::block_on;
use embassy_net_wiznet::{Device as Driver, InitError, State, chip::W5500};
use embassy_rp::{
    Peri, bind_interrupts, dma,
    gpio::{Input, Level, Output, Pull},
    peripherals::{DMA_CH0, DMA_CH1, PIN_16, PIN_17, PIN_18, PIN_19, PIN_20, PIN_21, SPI0},
    spi::{self, Spi},
};
use embassy_time::Delay;
use embedded_hal_bus::spi::ExclusiveDevice;
use greet_board::{ConstStaticCell, failure};
use greet_embassy::{Adapter, WakeFlag};

bind_interrupts!(struct Interrupts {
    DMA_IRQ_0 => dma::InterruptHandler<DMA_CH0>, dma::InterruptHandler<DMA_CH1>;
});

/// Received frames that may wait, and frames that may wait to be sent. The chip itself keeps 16 K each way, which is
/// what all clients together may send at once.
static QUEUES: ConstStaticCell<State<8, 8>> = ConstStaticCell::new(State::new());

/// Set by the driver.
pub(crate) static WAKE_FLAG: WakeFlag = WakeFlag::new();
/// Set by what the driver's task waits for.
pub(crate) static TASK_WAKE_FLAG: WakeFlag = WakeFlag::new();

/// As fast as the W5500 is sure to follow (data sheet, 5.5.4: 33.3 MHz), in Hz.
const SPI_FREQUENCY: u32 = 31_250_000;

/// What the driver takes: peripherals, and the board's wiring.
pub(crate) struct Wiring {
    pub(crate) spi: Peri<'static, SPI0>,
    pub(crate) dma: (Peri<'static, DMA_CH0>, Peri<'static, DMA_CH1>),
    pub(crate) from_chip: Peri<'static, PIN_16>,
    pub(crate) select: Peri<'static, PIN_17>,
    pub(crate) clock: Peri<'static, PIN_18>,
    pub(crate) to_chip: Peri<'static, PIN_19>,
    pub(crate) reset: Peri<'static, PIN_20>,
    pub(crate) interrupt: Peri<'static, PIN_21>,
}

pub(crate) type Device = Adapter<Driver<'static>>;

/// Starts the network card at this address on the wire: its device, and the driver's task, which does the work.
pub(crate) fn start(wiring: Wiring, address: [u8; 6]) -> (Device, impl Future) {
    let mut config = spi::Config::default();
    config.frequency = SPI_FREQUENCY;
    let (transmit, receive) = wiring.dma;
    let bus =
        Spi::new(wiring.spi, wiring.clock, wiring.to_chip, wiring.from_chip, transmit, receive, Interrupts, config);
    let Ok(chip) = ExclusiveDevice::new(bus, Output::new(wiring.select, Level::High), Delay); // never fails
    let interrupt = Input::new(wiring.interrupt, Pull::Up);
    let reset = Output::new(wiring.reset, Level::High);
    // The chip needs 0.1 s to start. There is nothing else to do yet, and the watchdog looks on.
    let started =
        block_on(embassy_net_wiznet::new::<8, 8, W5500, _, _, _>(address, QUEUES.take(), chip, interrupt, reset));
    let (driver, runner) = match started {
        Ok(parts) => parts,
        Err(wrong) => {
            match wrong {
                InitError::SpiError(_) => greet_board::error!("the SPI bus does not work"),
                InitError::InvalidChipVersion { expected, actual } => {
                    greet_board::error!("no W5500 answers: version {=u8}, not {=u8}", actual, expected);
                }
            }
            failure::end()
        }
    };
    let Ok(device) = Adapter::new(driver, WAKE_FLAG.waker()) else {
        greet_board::error!("the driver is not for Ethernet"); // cannot be
        failure::end()
    };
    (device, runner.run())
}
