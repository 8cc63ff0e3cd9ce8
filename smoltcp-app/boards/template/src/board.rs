//! The board: its clock, its network card, and the rest that the service needs.

use cortex_m::{interrupt::InterruptNumber, peripheral::NVIC};
use greet_board::{
    Board, Identity, Instant, Link, Losses,
    cortex_m::{Handler, TimerClock, interrupts},
    error, failure, qemu,
};
use greet_parts::{
    dual_timer::{DualTimer, on_alarm},
    lan9118::{Error, Lan9118, Registers},
};
use smoltcp::wire::EthernetAddress;

/// Where the registers of the network card are, and those of the timer.
const NETWORK: usize = {{network}};
const TIMER: usize = {{timer}};
/// What the timer counts, in Hz.
const FREQUENCY: u32 = {{frequency}};

/// The MAC address of a network card without one: locally administered, and different for each board on one network.
const NO_ADDRESS: EthernetAddress = EthernetAddress([0x02, 0, 0, 0, 0, 1]);

/// An interrupt that is used here.
#[derive(Clone, Copy)]
enum Interrupt {
    Network = {{network_interrupt}},
    Timer = {{timer_interrupt}},
}

// SAFETY: these are the numbers of the interrupts, and they do not change.
unsafe impl InterruptNumber for Interrupt {
    fn number(self) -> u16 {
        self as u16
    }
}

/// The number of entries that the table of interrupts needs.
const INTERRUPTS: usize = {
    let (network, timer) = (Interrupt::Network as usize, Interrupt::Timer as usize);
    if network > timer { network + 1 } else { timer + 1 }
};

/// The interrupts' part of the vector table.
// SAFETY: the section is the one in which the processor looks for it, and the name the one by which it is kept.
#[unsafe(link_section = ".vector_table.interrupts")]
#[unsafe(no_mangle)]
static __INTERRUPTS: [Handler; INTERRUPTS] =
    interrupts([(Interrupt::Network as usize, on_network), (Interrupt::Timer as usize, on_alarm::<TIMER>)]);

/// The interrupt only ends a sleep: it is masked until its cause is handled.
extern "C" fn on_network() {
    NVIC::mask(Interrupt::Network);
}

/// What the service needs of the board.
pub(crate) struct MyBoard {
    clock: TimerClock<DualTimer<TIMER>>,
    network: Lan9118,
}

impl MyBoard {
    /// Made once.
    pub(crate) fn new() -> Result<Self, Error> {
        // SAFETY: the registers are there on this board, and nothing else of this program has them.
        let (timer, registers) = unsafe { (DualTimer::new(), Registers::new_mmio_at(NETWORK)) };
        let clock = TimerClock::new(timer, FREQUENCY);
        let network = Lan9118::new(registers, NO_ADDRESS)?;
        // SAFETY: the handler is in the vector table, and no critical section depends on this interrupt being masked.
        unsafe { NVIC::unmask(Interrupt::Timer) };
        Ok(Self { clock, network })
    }

    /// The board's name, MAC address and seed.
    pub(crate) fn identity(&self) -> Identity {
        let hardware_address = self.network.hardware_address();
        let [a, b, c, d, e, f] = hardware_address.0;
        // Replace this on hardware that has a source of entropy.
        let (random_seed, entropy) = qemu::random_seed(u64::from_le_bytes([a, b, c, d, e, f, 0, 0]));
        Identity { name: "{{project-name}}", hardware_address, random_seed, entropy }
    }
}

impl Board for MyBoard {
    type Device = Lan9118;

    fn device(&mut self) -> &mut Lan9118 {
        &mut self.network
    }

    fn now(&mut self) -> Instant {
        self.clock.now()
    }

    fn wait(&mut self, until: Instant) {
        let Self { clock, network } = self;
        clock.wait(until, || {
            // First this, so that a later interrupt stays pending.
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
}
