//! The board: its clock, its network card's interrupt, its watchdog, and the rest that the service needs.

use cortex_m::{
    interrupt::InterruptNumber,
    peripheral::{NVIC, SYST},
};
use greet_board::{
    Board, Identity, Instant, Link, Losses,
    cortex_m::{Handler, SysTickClock, interrupts},
    error, failure, qemu,
};
use smoltcp::wire::EthernetAddress;

use crate::{
    lan9118::{Error, Lan9118, Registers},
    machine::MACHINE,
    watchdog::Watchdog,
};

/// Where nobody gave the network card an address: one that says that it was made up.
const NO_ADDRESS: EthernetAddress = EthernetAddress([0x02, 0, 0, 0x91, 0x18, 0]);

/// The network card's interrupt.
#[derive(Clone, Copy)]
struct Network;

// SAFETY: this is the number of the interrupt, and it does not change.
unsafe impl InterruptNumber for Network {
    fn number(self) -> u16 {
        MACHINE.interrupt
    }
}

/// The interrupts' part of the vector table.
// SAFETY: the section is the one in which the processor looks for it, and the name the one by which it is kept.
#[unsafe(link_section = ".vector_table.interrupts")]
#[unsafe(no_mangle)]
static __INTERRUPTS: [Handler; MACHINE.interrupt as usize + 1] = interrupts([(MACHINE.interrupt as usize, on_network)]);

/// The interrupt is held back until its cause is gone: all that it is good for is to end a sleep.
extern "C" fn on_network() {
    NVIC::mask(Network);
}

/// The board, as the service needs it.
pub(crate) struct Mps2 {
    clock: SysTickClock,
    network: Lan9118,
    watchdog: Watchdog,
}

impl Mps2 {
    /// Made once.
    pub(crate) fn new(systick: SYST) -> Result<Self, Error> {
        let clock = SysTickClock::new(systick, MACHINE.frequency);
        // SAFETY: the registers are there on this machine, and nothing else of this program has them.
        let registers = unsafe { Registers::new_mmio_at(MACHINE.network) };
        let network = Lan9118::new(registers, NO_ADDRESS)?;
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
            NVIC::unpend(Network);
            if network.is_due() {
                return true;
            }
            // SAFETY: no critical section depends on this interrupt being masked.
            unsafe { NVIC::unmask(Network) };
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

    fn alive(&mut self) {
        self.watchdog.tell();
    }
}
