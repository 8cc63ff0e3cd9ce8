//! The board: its clock, its interrupts, its watchdog, its address, and the rest that the service needs.

use cortex_m::{
    interrupt::InterruptNumber,
    peripheral::{NVIC, SYST},
};
use greet_board::{Board, Identity, Instant, Link, Losses, cortex_m::TimerClock, failure, qemu};
use smoltcp::wire::EthernetAddress;

use crate::{
    mac::Mac,
    registers::{
        ETHERNET_CLOCKS, MmioWatchdog, TIMER_CLOCK, WATCHDOG_CLOCK, WATCHDOG_ENABLE, ethernet, ethernet_in_interrupt,
        system_control, watchdog,
    },
    timer::Timers,
};

/// The processor's clock, as QEMU has it; the silicon's is 12 MHz after a reset.
const FREQUENCY: u32 = 12_500_000;

/// The watchdog's timeout: after it the interrupt ends the program, after twice as long the board is reset.
const WATCHDOG_SECONDS: u32 = 10;

/// The MAC address of a board without one: locally administered.
const NO_ADDRESS: [u8; 6] = [0x02, 0, 0, 0x69, 0x65, 0];

/// An interrupt that is used here, by its number (data sheet, table 2-9).
#[derive(Clone, Copy)]
pub(crate) enum Interrupt {
    Watchdog = 18,
    Timer0 = 19,
    Ethernet = 42,
}

// SAFETY: these are the numbers of the interrupts, and they do not change.
unsafe impl InterruptNumber for Interrupt {
    fn number(self) -> u16 {
        self as u16
    }
}

/// A frame was received or sent. It ends the sleep; the loop handles it.
pub(crate) extern "C" fn on_ethernet() {
    ethernet_in_interrupt().write_interrupts(0); // the line stays up until the driver has looked
}

/// The loop has stopped.
pub(crate) extern "C" fn on_watchdog() {
    if failure::is_first() {
        greet_board::error!("the watchdog was not reset for {=u32} s", WATCHDOG_SECONDS);
    }
    failure::end()
}

/// What the service needs of the board.
pub(crate) struct Lm3s6965evb {
    clock: TimerClock<Timers>,
    mac: Mac,
    watchdog: MmioWatchdog<'static>,
}

impl Lm3s6965evb {
    pub(crate) fn new(systick: SYST, address: EthernetAddress) -> Self {
        let mut control = system_control();
        control.modify_clocks0(|clocks| clocks | WATCHDOG_CLOCK);
        control.modify_clocks1(|clocks| clocks | TIMER_CLOCK);
        control.modify_clocks2(|clocks| clocks | ETHERNET_CLOCKS);
        cortex_m::asm::delay(3); // until then a peripheral cannot be accessed (data sheet, 5.2.6)
        let mut watchdog = watchdog();
        watchdog.write_load(watchdog_load());
        watchdog.write_control(WATCHDOG_ENABLE);
        let mac = Mac::new(ethernet(), address);
        // SAFETY: the handlers are in the vector table, and no critical section depends on these being masked.
        unsafe {
            NVIC::unmask(Interrupt::Watchdog);
            NVIC::unmask(Interrupt::Timer0);
            NVIC::unmask(Interrupt::Ethernet);
        }
        Self { clock: TimerClock::new(Timers::new(systick), FREQUENCY), mac, watchdog }
    }

    /// Whether there is something to do now, for the network card or because `until` has passed. If not, an interrupt of the
    /// network card or of the alarm will follow: for a firmware that does not sleep in [`Board::wait`].
    #[allow(dead_code, reason = "the example `rtic` calls it")]
    pub(crate) fn is_due(&mut self, until: Instant) -> bool {
        self.mac.is_due() || !self.clock.set_alarm(until)
    }
}

const fn watchdog_load() -> u32 {
    FREQUENCY.saturating_mul(WATCHDOG_SECONDS)
}

impl Board for Lm3s6965evb {
    type Device = Mac;

    fn device(&mut self) -> &mut Mac {
        &mut self.mac
    }

    fn now(&mut self) -> Instant {
        self.clock.now()
    }

    fn wait(&mut self, until: Instant) {
        self.clock.wait(until, || self.mac.is_due());
    }

    fn link(&mut self) -> Link {
        self.mac.link()
    }

    fn losses(&self) -> Losses {
        self.mac.losses()
    }

    fn set_receiver(&mut self, enabled: bool) {
        self.mac.set_receiver(enabled);
    }

    fn alive(&mut self) {
        self.watchdog.write_load(watchdog_load());
    }
}

/// The board's name, MAC address and seed.
pub(crate) fn identity() -> Identity {
    let control = system_control();
    // Positions of an array of two: they are there.
    let [a, b, c, _] = control.read_user(0).unwrap_or(u32::MAX).to_le_bytes();
    let [d, e, f, _] = control.read_user(1).unwrap_or(u32::MAX).to_le_bytes();
    let given = EthernetAddress([a, b, c, d, e, f]);
    let hardware_address = if given.is_unicast() { given } else { EthernetAddress(NO_ADDRESS) };
    let [a, b, c, d, e, f] = hardware_address.0;
    // The device has no source of entropy.
    let (random_seed, entropy) = qemu::random_seed(u64::from_le_bytes([a, b, c, d, e, f, 0, 0]));
    Identity { name: "lm3s6965evb", hardware_address, random_seed, entropy }
}
