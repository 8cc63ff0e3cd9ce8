//! The Wi-Fi chip: its wiring, its firmware, and the network that it joins.

use cyw43::{Control, JoinOptions, NetDriver, PowerManagementMode, Runner, State};
use cyw43_firmware::{CYW43_43439A0 as FIRMWARE, CYW43_43439A0_CLM as COUNTRIES};
use cyw43_pio::{DEFAULT_CLOCK_DIVIDER, PioSpi};
use embassy_rp::{
    Peri, Peripherals, bind_interrupts,
    gpio::{Level, Output},
    peripherals::{DMA_CH0, PIN_23, PIN_24, PIN_25, PIN_29, PIO0},
    pio::{InterruptHandler, Pio},
};
use embassy_time::Timer;
use greet_wifi::{NAME, PASSWORD, RETRY};
use static_cell::StaticCell;

bind_interrupts!(struct Interrupts {
    PIO0_IRQ_0 => InterruptHandler<PIO0>;
});

static STATE: StaticCell<State> = StaticCell::new();

/// What the driver takes: peripherals, and the board's wiring.
pub(crate) struct Wiring {
    pio: Peri<'static, PIO0>,
    dma: Peri<'static, DMA_CH0>,
    power: Peri<'static, PIN_23>,
    data: Peri<'static, PIN_24>,
    select: Peri<'static, PIN_25>,
    clock: Peri<'static, PIN_29>,
}

impl Wiring {
    pub(crate) fn of(peripherals: Peripherals) -> Self {
        Self {
            pio: peripherals.PIO0,
            dma: peripherals.DMA_CH0,
            power: peripherals.PIN_23,
            data: peripherals.PIN_24,
            select: peripherals.PIN_25,
            clock: peripherals.PIN_29,
        }
    }
}

pub(crate) type Chip = Runner<'static, Output<'static>, PioSpi<'static, PIO0, 0, DMA_CH0>>;

/// Starts the chip with its firmware: the driver of its frames, what controls it, and the task that talks to it.
pub(crate) async fn start(wiring: Wiring) -> (NetDriver<'static>, Control<'static>, Chip) {
    let power = Output::new(wiring.power, Level::Low);
    let select = Output::new(wiring.select, Level::High);
    let mut pio = Pio::new(wiring.pio, Interrupts);
    let bus = PioSpi::new(
        &mut pio.common,
        pio.sm0,
        DEFAULT_CLOCK_DIVIDER,
        pio.irq0,
        select,
        wiring.data,
        wiring.clock,
        wiring.dma,
    );
    cyw43::new(STATE.init_with(State::new), power, bus, FIRMWARE).await
}

/// The task that talks to the chip.
#[embassy_executor::task]
pub(crate) async fn run(chip: Chip) {
    chip.run().await
}

/// Joins the network, once: cyw43 0.6 does not tell when the connection is lost.
#[embassy_executor::task]
pub(crate) async fn join(mut control: Control<'static>) {
    control.init(COUNTRIES).await;
    control.set_power_management(PowerManagementMode::None).await; // power saving delays received frames
    let options = || PASSWORD.map_or(JoinOptions::new_open(), |password| JoinOptions::new(password.as_bytes()));
    while control.join(NAME, options()).await.is_err() {
        #[cfg(feature = "defmt")]
        defmt::info!("the network {=str} cannot be joined; again in {=u64} s", NAME, RETRY.as_secs());
        Timer::after(RETRY).await;
    }
    #[cfg(feature = "defmt")]
    defmt::info!("joined the network {=str}", NAME);
}
