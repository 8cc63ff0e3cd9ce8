//! The greeting service as a task of RTIC, on the board of this package: the processor is free for other tasks meanwhile.
//!
//! The task calls [`Service::step`], and is woken by the interrupt of the network card and by the alarm at the returned deadline.
//! Tasks of a higher priority interrupt it; the idle task runs while it waits.

#![no_std]
#![no_main]

#[path = "../src/board.rs"]
mod board;
#[path = "../src/mac.rs"]
mod mac;
#[path = "../src/phy.rs"]
mod phy;
#[path = "../src/registers.rs"]
mod registers;
#[path = "../src/timer.rs"]
mod timer;

use embassy_sync::waitqueue::AtomicWaker;
use greet_board::{ConstStaticCell, Memory};

/// Eight concurrent clients, names of up to 256 bytes, buffers of 1024 bytes.
static MEMORY: ConstStaticCell<Memory<256, 1024, 8>> = ConstStaticCell::new(Memory::new());

/// Wakes the task that serves.
static SERVE: AtomicWaker = AtomicWaker::new();

#[rtic::app(device = crate::chip, peripherals = false, dispatchers = [SPARE])]
mod app {
    use core::{future::poll_fn, task::Poll};

    use greet_board::{Board, Service};

    use super::{MEMORY, SERVE, board, timer};

    #[shared]
    struct Shared {}

    #[local]
    struct Local {
        board: board::Lm3s6965evb,
        service: Service<256>,
    }

    #[init]
    fn init(context: init::Context<'_>) -> (Shared, Local) {
        let identity = board::identity();
        let mut board = board::Lm3s6965evb::new(context.core.SYST, identity.hardware_address);
        let service = Service::new(&mut board, &identity, MEMORY.take());
        let _ = serve::spawn(); // cannot fail: it is spawned once
        (Shared {}, Local { board, service })
    }

    /// The service. It never ends.
    #[task(local = [board, service], priority = 1)]
    async fn serve(context: serve::Context<'_>) {
        let serve::LocalResources { board, service, .. } = context.local;
        loop {
            let now = board.now();
            let until = service.step(board, now);
            poll_fn(|context| {
                SERVE.register(context.waker());
                if board.is_due(until) { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
        }
    }

    /// A frame was received or sent.
    #[task(binds = ETHERNET, priority = 2)]
    fn ethernet(_: ethernet::Context<'_>) {
        board::on_ethernet();
        SERVE.wake();
    }

    /// The deadline.
    #[task(binds = TIMER0, priority = 2)]
    fn alarm(_: alarm::Context<'_>) {
        timer::on_alarm();
        SERVE.wake();
    }

    /// The service has hung.
    #[task(binds = WATCHDOG, priority = 3)]
    fn watchdog(_: watchdog::Context<'_>) {
        board::on_watchdog();
    }

    /// The firmware's own work; here there is none, and the processor sleeps.
    #[idle]
    fn idle(_: idle::Context<'_>) -> ! {
        loop {
            cortex_m::asm::wfi();
        }
    }
}

/// What RTIC needs to know of the chip. A crate with a chip's registers usually has it.
mod chip {
    use cortex_m::interrupt::InterruptNumber;
    use greet_board::cortex_m::{Handler, interrupts};

    /// How many bits of an interrupt's priority there are (data sheet, 2.5).
    pub(crate) const NVIC_PRIO_BITS: u8 = 3;

    /// The interrupts that are used. `SPARE` is of a device that is not: RTIC runs tasks of a priority in it.
    #[derive(Clone, Copy)]
    #[expect(clippy::upper_case_acronyms, reason = "as in the crates with a chip's registers")]
    pub(crate) enum Interrupt {
        SPARE = 0,
        WATCHDOG = 18,
        TIMER0 = 19,
        ETHERNET = 42,
    }

    pub(crate) use Interrupt as interrupt; // RTIC asks for both names

    // SAFETY: these are the numbers of the interrupts, and they do not change.
    unsafe impl InterruptNumber for Interrupt {
        fn number(self) -> u16 {
            self as u16
        }
    }

    unsafe extern "C" {
        fn SPARE();
        fn WATCHDOG();
        fn TIMER0();
        fn ETHERNET();
    }

    /// The interrupts' part of the vector table: RTIC defines the handlers.
    // SAFETY: the section is the one in which the processor looks for it, and the name the one by which it is kept.
    #[unsafe(link_section = ".vector_table.interrupts")]
    #[unsafe(no_mangle)]
    static __INTERRUPTS: [Handler; Interrupt::ETHERNET as usize + 1] = interrupts([
        (Interrupt::SPARE as usize, SPARE),
        (Interrupt::WATCHDOG as usize, WATCHDOG),
        (Interrupt::TIMER0 as usize, TIMER0),
        (Interrupt::ETHERNET as usize, ETHERNET),
    ]);
}
