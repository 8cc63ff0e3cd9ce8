//! The greeting service on the Stellaris LM3S6965 Evaluation Board: Cortex-M3, 64 K of RAM.

#![no_std]
#![no_main]

mod board;
mod mac;
mod phy;
mod registers;
mod timer;

use cortex_m::Peripherals;
use cortex_m_rt::entry;
use greet_board::{
    ConstStaticCell, Memory,
    cortex_m::{Handler, interrupts},
    failure, run,
};

use crate::{
    board::{Interrupt, Lm3s6965evb, identity, on_ethernet, on_watchdog},
    timer::on_alarm,
};

/// Eight concurrent clients, names of up to 256 bytes, buffers of 1024 bytes.
static MEMORY: ConstStaticCell<Memory<256, 1024, 8>> = ConstStaticCell::new(Memory::new());

/// The interrupts' part of the vector table.
// SAFETY: the section is the one in which the processor looks for it, and the name the one by which it is kept.
#[unsafe(link_section = ".vector_table.interrupts")]
#[unsafe(no_mangle)]
static __INTERRUPTS: [Handler; Interrupt::Ethernet as usize + 1] = interrupts([
    (Interrupt::Watchdog as usize, on_watchdog),
    (Interrupt::Timer0 as usize, on_alarm),
    (Interrupt::Ethernet as usize, on_ethernet),
]);

#[entry]
fn main() -> ! {
    let Some(core) = Peripherals::take() else { failure::end() }; // cannot be: this runs once
    let identity = identity();
    let mut board = Lm3s6965evb::new(core.SYST, identity.hardware_address);
    run(&mut board, &identity, MEMORY.take())
}
