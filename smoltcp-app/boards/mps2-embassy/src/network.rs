//! The LAN9118 as a driver for embassy-net.

use core::task::Context;

use cortex_m::peripheral::NVIC;
use embassy_net_driver::{Capabilities, Driver, HardwareAddress, LinkState};
use embassy_sync::waitqueue::AtomicWaker;
use greet_board::{Link, error, failure};
use greet_parts::lan9118::{Error, Lan9118, Received, Registers, Sending};
use smoltcp::{
    phy::{self, Device},
    time::Instant,
    wire::EthernetAddress,
};

use crate::{Interrupt, NETWORK};

/// The MAC address of a network card without one: locally administered.
const NO_ADDRESS: EthernetAddress = EthernetAddress([0x02, 0, 0, 0x91, 0x18, 0]);
/// The longest frame: a payload of 1,500 bytes and the Ethernet header.
const LONGEST_FRAME: usize = 1514;

/// The task that polls the driver.
static WAKER: AtomicWaker = AtomicWaker::new();

/// The network card, and memory for a received frame: embassy-net may write into it, which the card's memory does not allow.
pub(crate) struct Network {
    card: Lan9118,
    frame: [u8; LONGEST_FRAME],
}

impl Network {
    /// Made once.
    pub(crate) fn new() -> Result<Self, Error> {
        // SAFETY: the registers are there on this board, and nothing else of this program has them.
        let registers = unsafe { Registers::new_mmio_at(NETWORK) };
        Ok(Self { card: Lan9118::new(registers, NO_ADDRESS)?, frame: [0; LONGEST_FRAME] })
    }

    /// Its MAC address.
    pub(crate) fn address(&self) -> [u8; 6] {
        self.card.hardware_address().0
    }

    /// Call it before each sleep: handles the card's events other than frames, and enables its interrupt again.
    fn attend(&mut self, context: &Context<'_>) {
        WAKER.register(context.waker());
        if let Err(why) = self.card.attend() {
            error!("the network card does not work any more: {}", why);
            failure::end()
        }
        // SAFETY: no critical section depends on this interrupt being masked.
        unsafe { NVIC::unmask(Interrupt::Network) };
    }
}

/// The interrupt wakes the task. It is masked until its cause is handled.
pub(crate) extern "C" fn on_network() {
    NVIC::mask(Interrupt::Network);
    WAKER.wake();
}

impl Driver for Network {
    type RxToken<'a> = RxToken<'a>;
    type TxToken<'a> = TxToken<'a>;

    fn receive(&mut self, context: &mut Context<'_>) -> Option<(RxToken<'_>, TxToken<'_>)> {
        self.attend(context);
        let (received, sending) = self.card.receive(Instant::ZERO)?;
        Some((RxToken { received, frame: &mut self.frame }, TxToken(sending)))
    }

    fn transmit(&mut self, context: &mut Context<'_>) -> Option<TxToken<'_>> {
        WAKER.register(context.waker());
        self.card.transmit(Instant::ZERO).map(TxToken)
    }

    fn link_state(&mut self, context: &mut Context<'_>) -> LinkState {
        WAKER.register(context.waker());
        if self.card.link() == Link::Down { LinkState::Down } else { LinkState::Up }
    }

    fn capabilities(&self) -> Capabilities {
        let card = self.card.capabilities();
        let mut capabilities = Capabilities::default();
        capabilities.max_transmission_unit = card.max_transmission_unit;
        capabilities.max_burst_size = card.max_burst_size;
        capabilities
    }

    fn hardware_address(&self) -> HardwareAddress {
        HardwareAddress::Ethernet(self.address())
    }
}

/// A received frame.
pub(crate) struct RxToken<'a> {
    received: Received<'a>,
    frame: &'a mut [u8; LONGEST_FRAME],
}

impl embassy_net_driver::RxToken for RxToken<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, read: F) -> R {
        let Self { received, frame } = self;
        phy::RxToken::consume(received, |bytes| {
            let frame = frame.get_mut(..bytes.len()).unwrap_or_default(); // the card receives no longer frames
            frame.copy_from_slice(bytes.get(..frame.len()).unwrap_or_default());
            read(frame)
        })
    }
}

/// Room for a frame to be sent.
pub(crate) struct TxToken<'a>(Sending<'a>);

impl embassy_net_driver::TxToken for TxToken<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, write: F) -> R {
        phy::TxToken::consume(self.0, length, write)
    }
}
