//! The board: its clock, its network card's interrupt, its watchdog, and the rest that the service needs.

use cortex_m::{interrupt::InterruptNumber, peripheral::NVIC};
use greet_board::{
    Board, Identity, Instant, Link, Losses,
    cortex_m::{Handler, TimerClock, interrupts},
    error, failure, qemu,
};
use smoltcp::wire::EthernetAddress;

use crate::{
    lan9118::{Error, Lan9118, Registers},
    machine::MACHINE,
    timer::{DualTimer, on_alarm},
    watchdog::Watchdog,
};

/// Where nobody gave the network card an address: one that says that it was made up.
const NO_ADDRESS: EthernetAddress = EthernetAddress([0x02, 0, 0, 0x91, 0x18, 0]);

/// An interrupt that is used here.
#[derive(Clone, Copy)]
enum Interrupt {
    Network = MACHINE.interrupt as isize,
    Timer = MACHINE.timer_interrupt as isize,
}

// SAFETY: these are the numbers of the interrupts, and they do not change.
unsafe impl InterruptNumber for Interrupt {
    fn number(self) -> u16 {
        self as u16
    }
}

/// The interrupts' part of the vector table.
// SAFETY: the section is the one in which the processor looks for it, and the name the one by which it is kept.
#[unsafe(link_section = ".vector_table.interrupts")]
#[unsafe(no_mangle)]
static __INTERRUPTS: [Handler; MACHINE.interrupt as usize + 1] =
    interrupts([(Interrupt::Network as usize, on_network), (Interrupt::Timer as usize, on_alarm)]);

/// The interrupt is held back until its cause is gone: all that it is good for is to end a sleep.
extern "C" fn on_network() {
    NVIC::mask(Interrupt::Network);
}

/// The board, as the service needs it.
pub(crate) struct Mps2 {
    clock: TimerClock<DualTimer>,
    network: Lan9118,
    watchdog: Watchdog,
}

impl Mps2 {
    /// Made once.
    pub(crate) fn new() -> Result<Self, Error> {
        let clock = TimerClock::new(DualTimer::new(), MACHINE.frequency);
        // SAFETY: the registers are there on this machine, and nothing else of this program has them.
        let registers = unsafe { Registers::new_mmio_at(MACHINE.network) };
        let network = Lan9118::new(registers, NO_ADDRESS)?;
        // SAFETY: the handler is in the vector table, and no critical section depends on this interrupt being masked.
        unsafe { NVIC::unmask(Interrupt::Timer) };
        Ok(Self { clock, network, watchdog: Watchdog::new() })
    }

    /// Who this board is.
    pub(crate) fn identity(&self) -> Identity {
        let hardware_address = self.network.hardware_address();
        let [a, b, c, d, e, f] = hardware_address.0;
        // The board has no source of entropy.
        let (random_seed, entropy) = qemu::random_seed(u64::from_le_bytes([a, b, c, d, e, f, 0, 0]));
        Identity { name: MACHINE.name, hardware_address, random_seed, entropy }
    }
}

impl Board for Mps2 {
    type Device = Lan9118;

    fn device(&mut self) -> &mut Lan9118 {
        &mut self.network
    }

    fn now(&mut self) -> Instant {
        self.clock.now()
    }

    fn wait(&mut self, until: Instant) {
        let Self { clock, network, .. } = self;
        clock.wait(until, || {
            // First this: what comes from now on is not forgotten.
            NVIC::unpend(Interrupt::Network);
            if network.is_due() {
                return true;
            }
            // SAFETY: no critical section depends on this interrupt being masked.
            unsafe { NVIC::unmask(Interrupt::Network) };
            false
        });
        if let Err(why) = network.attend() {
            error!("the network card does not work any more: {}", why);
            failure::end()
        }
    }

    fn link(&mut self) -> Link {
        self.network.link()
    }

    fn losses(&self) -> Losses {
        self.network.losses()
    }

    fn set_receiver(&mut self, enabled: bool) {
        if let Err(why) = self.network.set_receiver(enabled) {
            error!("the network card does not work any more: {}", why);
            failure::end()
        }
    }

    fn alive(&mut self) {
        self.watchdog.tell();
    }
}
