//! The greeting service on a board of my own: a superloop, which serves, does its own work, and sleeps.

#![no_std]
#![no_main]

mod board;

use cortex_m_rt::entry;
use greet_board::{Board as _, ConstStaticCell, Memory, Service, error, failure};

use crate::board::MyBoard;

/// Eight concurrent clients, names of up to 512 bytes, buffers of 1024 bytes.
static MEMORY: ConstStaticCell<Memory<512, 1024, 8>> = ConstStaticCell::new(Memory::new());

#[entry]
fn main() -> ! {
    let mut board = match MyBoard::new() {
        Ok(board) => board,
        Err(why) => {
            error!("the network card does not start: {}", why);
            failure::end()
        }
    };
    let identity = board.identity();
    let mut service = Service::new(&mut board, &identity, MEMORY.take());
    loop {
        let now = board.now();
        let until = service.step(&mut board, now);
        // Your own work is here. It takes a few milliseconds at most, so that clients are not kept waiting; if it has a deadline of
        // its own, sleep until the earlier one.
        board.wait(until);
    }
}
