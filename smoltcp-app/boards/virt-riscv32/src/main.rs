//! The greeting service on QEMU's virt machine for 32-bit RISC-V, over virtio-net.

#![no_std]
#![no_main]

mod board;
mod interrupts;
mod memory;
mod network;
mod slots;
mod trap;

use greet_board::{ConstStaticCell, Memory, error, failure, run};

use crate::{board::Virt, network::Buffers};

/// Sixteen concurrent clients, names of up to 1024 bytes, buffers of 4096 bytes.
static MEMORY: ConstStaticCell<Memory<1024, 4096, 16>> = ConstStaticCell::new(Memory::new());
static FRAMES: ConstStaticCell<Buffers> = ConstStaticCell::new(network::no_frames());

#[riscv_rt::entry]
fn main() -> ! {
    trap::guard_stack();
    match Virt::new(FRAMES.take()) {
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
