//! The greeting service on the Arm MPS2 boards: Cortex-M3, M4, M7 or M33, each with a LAN9118 network card.

#![no_std]
#![no_main]

mod board;
#[cfg(not(feature = "an505"))] // below its memory nothing answers, which is a fault already
mod guard;
mod variant;
mod watchdog;

use cortex_m_rt::entry;
use greet_board::{ConstStaticCell, Memory, error, failure, run};

use crate::board::Mps2;

/// Eight concurrent clients, names of up to 512 bytes, buffers of 1024 bytes. What all of them may send at once fits into the
/// network card, with its headers: so nothing is dropped there.
static MEMORY: ConstStaticCell<Memory<512, 1024, 8>> = ConstStaticCell::new(Memory::new());

#[entry]
fn main() -> ! {
    #[cfg(not(feature = "an505"))]
    guard::arm();
    match Mps2::new() {
        Ok(mut board) => {
            let identity = board.identity();
            run(&mut board, &identity, MEMORY.take())
        }
        Err(why) => {
            error!("the network card does not start: {}", why);
            failure::end()
        }
    }
}
