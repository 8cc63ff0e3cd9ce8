//! The board: its clocks, its watchdog, its address, its entropy, and the rest that the service needs.

use core::future::Pending;

use embassy_stm32::{
    Config, bind_interrupts, pac,
    peripherals::{IWDG1, RNG},
    rcc::{AHBPrescaler, APBPrescaler, HSIPrescaler, Pll, PllDiv, PllMul, PllPreDiv, PllSource, Sysclk, VoltageScale},
    rng::{self, Rng},
    uid::uid,
    wdg::IndependentWatchdog,
};
use embassy_time as _; // the clock's rate
use greet_board::{Board, Identity, Instant, Link, Losses};
use greet_embassy::{Rest, hardware_address, now};

use crate::network::{self, Device, WAKE_FLAG, Wiring};

bind_interrupts!(struct Interrupts {
    RNG => rng::InterruptHandler<RNG>;
});

/// The watchdog's timeout, after which the board is reset.
const WATCHDOG_MICROS: u32 = 10_000_000;

/// What the service needs of the board.
pub(crate) struct Nucleo {
    device: Device,
    rest: Rest<'static, Pending<()>>,
    watchdog: IndependentWatchdog<'static, IWDG1>,
    losses: Losses,
}

/// Starts the board and returns its facts. Called once.
pub(crate) fn start() -> (Nucleo, Identity) {
    let peripherals = embassy_stm32::init(clocks());
    // Halted by a debugger, the board is not to be reset.
    pac::DBGMCU.apb4fzr1().modify(|freeze| freeze.set_iwdg1(true));
    let mut watchdog = IndependentWatchdog::new(peripherals.IWDG1, WATCHDOG_MICROS);
    watchdog.unleash();

    let identity = Identity {
        name: "nucleo-h743zi",
        hardware_address: smoltcp::wire::EthernetAddress(hardware_address(&uid())),
        random_seed: Rng::new(peripherals.RNG, Interrupts).next_u64(),
        entropy: "the chip's random number generator",
    };
    let wiring = Wiring {
        ethernet: peripherals.ETH,
        management: peripherals.ETH_SMA,
        reference_clock: peripherals.PA1,
        carrier_sense: peripherals.PA7,
        receive: (peripherals.PC4, peripherals.PC5),
        transmit: (peripherals.PG13, peripherals.PB13),
        transmit_enable: peripherals.PG11,
        management_data: peripherals.PA2,
        management_clock: peripherals.PC1,
    };
    let device = network::start(wiring, identity.hardware_address.0);
    (Nucleo { device, rest: Rest::new(&WAKE_FLAG), watchdog, losses: Losses::default() }, identity)
}

/// 400 MHz for the core and 200 MHz for the buses, from the chip's own oscillator of 64 MHz: the board's clock comes from
/// its debugger, which need not be there.
fn clocks() -> Config {
    let mut config = Config::default();
    let rcc = &mut config.rcc;
    rcc.hsi = Some(HSIPrescaler::DIV1);
    rcc.pll1 = Some(Pll {
        source: PllSource::HSI,
        prediv: PllPreDiv::DIV4,
        mul: PllMul::MUL50,
        fracn: None,
        divp: Some(PllDiv::DIV2),
        divq: None,
        divr: None,
    });
    rcc.sys = Sysclk::PLL1_P;
    rcc.ahb_pre = AHBPrescaler::DIV2;
    rcc.apb1_pre = APBPrescaler::DIV2;
    rcc.apb2_pre = APBPrescaler::DIV2;
    rcc.apb3_pre = APBPrescaler::DIV2;
    rcc.apb4_pre = APBPrescaler::DIV2;
    rcc.voltage_scale = VoltageScale::Scale1;
    config
}

impl Board for Nucleo {
    type Device = Device;

    fn device(&mut self) -> &mut Device {
        &mut self.device
    }

    fn now(&mut self) -> Instant {
        now()
    }

    fn wait(&mut self, until: Instant) {
        self.rest.wait(until);
    }

    fn link(&mut self) -> Link {
        self.losses.overruns = self.losses.overruns.wrapping_add(network::overruns());
        network::link(&mut self.device)
    }

    fn losses(&self) -> Losses {
        self.losses
    }

    fn alive(&mut self) {
        self.watchdog.pet();
    }
}
