//! The greeting service on the W5500-EVB-Pico: Cortex-M0+, 264 K of RAM, a W5500 on SPI.

#![no_std]
#![no_main]

mod board;
mod network;

use core::pin::pin;

use cortex_m_rt::entry;
#[cfg(feature = "defmt")]
use defmt_rtt as _; // the logger
use greet_board::{ConstStaticCell, Memory, run};
use portable_atomic as _; // lets static cells be taken by a critical section
use smoltcp as _;

use crate::board::{Pico, start};

/// Eight concurrent clients, names of up to 256 bytes, buffers of 2048 bytes.
static MEMORY: ConstStaticCell<Memory<256, 2048, 8>> = ConstStaticCell::new(Memory::new());

#[entry]
fn main() -> ! {
    let (started, task, identity) = start();
    let task = pin!(task);
    let mut board = Pico::new(started, task);
    run(&mut board, &identity, MEMORY.take())
}
