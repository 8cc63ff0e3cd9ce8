//! The network card: the chip's own Ethernet with the PHY beside it, a LAN8742A, and how its link stands.

use embassy_stm32::{
    Peri, bind_interrupts,
    eth::{Ethernet, GenericPhy, InterruptHandler, PacketQueue, Sma, StationManagement as _},
    pac,
    peripherals::{ETH, ETH_SMA, PA1, PA2, PA7, PB13, PC1, PC4, PC5, PG11, PG13},
};
use greet_board::{ConstStaticCell, Link, failure};
use greet_embassy::{Adapter, WakeFlag};

bind_interrupts!(struct Interrupts {
    ETH => InterruptHandler;
});

/// Frames that may wait to be sent, and received frames that may wait.
type Queue = PacketQueue<8, 16>;

static QUEUE: ConstStaticCell<Queue> = ConstStaticCell::new(PacketQueue::new());

/// Set by the driver.
pub(crate) static WAKE_FLAG: WakeFlag = WakeFlag::new();

/// The PHY's address on its bus, as the board's resistors make it.
const PHY: u8 = 0;
/// The PHY's register that says what was agreed upon with the other end (LAN8742A data sheet, register 31).
const AGREED: u8 = 31;

/// What the driver takes: the peripheral, and the board's wiring (UM1974, "Ethernet").
pub(crate) struct Wiring {
    pub(crate) ethernet: Peri<'static, ETH>,
    pub(crate) management: Peri<'static, ETH_SMA>,
    pub(crate) reference_clock: Peri<'static, PA1>,
    pub(crate) carrier_sense: Peri<'static, PA7>,
    pub(crate) receive: (Peri<'static, PC4>, Peri<'static, PC5>),
    pub(crate) transmit: (Peri<'static, PG13>, Peri<'static, PB13>),
    pub(crate) transmit_enable: Peri<'static, PG11>,
    pub(crate) management_data: Peri<'static, PA2>,
    pub(crate) management_clock: Peri<'static, PC1>,
}

pub(crate) type Device = Adapter<Ethernet<'static, ETH, GenericPhy<Sma<'static, ETH_SMA>>>>;

/// Starts the network card at this address on the wire. Fails, with a panic of the driver's, where no PHY answers.
pub(crate) fn start(wiring: Wiring, address: [u8; 6]) -> Device {
    let driver = Ethernet::new(
        QUEUE.take(),
        wiring.ethernet,
        Interrupts,
        wiring.reference_clock,
        wiring.carrier_sense,
        wiring.receive.0,
        wiring.receive.1,
        wiring.transmit.0,
        wiring.transmit.1,
        wiring.transmit_enable,
        address,
        wiring.management,
        wiring.management_data,
        wiring.management_clock,
    );
    let Ok(device) = Adapter::new(driver, WAKE_FLAG.waker()) else {
        greet_board::error!("the driver is not for Ethernet"); // cannot be
        failure::end()
    };
    device
}

/// How the link stands.
///
/// The driver sets the MAC to 100 Mbit/s, full duplex, whatever the two ends agree upon: where that is anything else, the
/// log says so, and no frame passes.
pub(crate) fn link(device: &mut Device) -> Link {
    if !device.is_link_up() {
        return Link::Down;
    }
    let agreed = device.driver().phy_mut().station_management().smi_read(PHY, AGREED);
    let (megabits, full_duplex) = match (agreed >> 2) & 0b111 {
        0b001 => (10, false),
        0b101 => (10, true),
        0b010 => (100, false),
        0b110 => (100, true),
        _ => return Link::Unknown,
    };
    Link::Up { megabits, full_duplex }
}

/// Received frames without room since the last call (RM0433, ETH_MTLRXQMPOCR).
pub(crate) fn overruns() -> u32 {
    u32::from(pac::ETH.ethernet_mtl().mtlrx_qmpocr().read().ovfpktcnt()) // reading it sets it to 0
}
