//! The greeting service on the Stellaris LM3S6965 Evaluation Board: Cortex-M3, 64 K of RAM.

#![no_std]
#![no_main]

mod board;
mod mac;
mod phy;
mod registers;
mod timer;

use cortex_m_rt::entry;
use greet_board::{ConstStaticCell, Memory, failure, run};

use crate::board::{Lm3s6965evb, identity, systick};

/// Eight concurrent clients, names of up to 256 bytes, buffers of 1024 bytes.
static MEMORY: ConstStaticCell<Memory<256, 1024, 8>> = ConstStaticCell::new(Memory::new());

#[entry]
fn main() -> ! {
    let Some(systick) = systick() else { failure::end() }; // cannot be: this runs once
    let identity = identity();
    let mut board = Lm3s6965evb::new(systick, identity.hardware_address);
    run(&mut board, &identity, MEMORY.take())
}
