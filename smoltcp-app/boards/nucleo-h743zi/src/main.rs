//! The greeting service on the NUCLEO-H743ZI: Cortex-M7, 1 MB of RAM, the STM32H743's own Ethernet.

#![no_std]
#![no_main]

mod board;
mod network;

use cortex_m_rt::entry;
#[cfg(feature = "defmt")]
use defmt_rtt as _; // the logger
use greet_board::{ConstStaticCell, Memory, run};

use crate::board::start;

/// Sixteen concurrent clients, names of up to 1024 bytes, buffers of 4096 bytes.
static MEMORY: ConstStaticCell<Memory<1024, 4096, 16>> = ConstStaticCell::new(Memory::new());

#[entry]
fn main() -> ! {
    let (mut board, identity) = start();
    run(&mut board, &identity, MEMORY.take())
}
