//! What all machines have in common: their capacity, their states, and the functions of the trait `Machine`.

use core::time::Duration;

use greet_core::{Instant, Machine, ServerEnd, ServerMachine, State};

use crate::{GREET_NEVER, memory::output};

/// The capacity of this library's machines, in bytes.
pub(crate) const CAPACITY: usize = match option_env!("GREET_NAME_CAPACITY") {
    None => 256,
    Some(number) => match usize::from_str_radix(number, 10) {
        Ok(capacity @ 1..=65_535) => capacity,
        _ => panic!("GREET_NAME_CAPACITY is a number from 1 to 65535"),
    },
};

/// How far a conversation is, and so what the caller has to do with its transport.
#[repr(C)]
pub enum GreetState {
    /// Bytes may go both ways.
    Open,
    /// The machine has no more bytes to send: send a FIN after those that it gave, call greet_..._delivered, and continue to
    /// receive.
    Ending,
    /// Release the connection, once a delivery permits it. The machine takes no bytes and gives none.
    Over,
}

/// Why a conversation ends.
#[repr(C)]
pub enum GreetEnd {
    /// It does not end yet.
    None,
    /// The client sent `exit`.
    Exit,
    /// The client sent its FIN.
    ByPeer,
    /// The idle timeout expired.
    Idle,
    /// greet_..._close was called.
    Closed,
}

/// A timeout; `GREET_NEVER` is none.
pub(crate) fn limit(timeout: u64) -> Option<Duration> {
    (timeout != GREET_NEVER).then(|| Duration::from_micros(timeout))
}

pub(crate) fn receive_end<M: Machine>(machine: Option<&mut M>, now: u64) {
    call(machine, |machine| machine.receive_end(Instant::from_micros(now)));
}

/// # Safety
/// `bytes` is null or has `room` bytes.
pub(crate) unsafe fn transmit<M: Machine>(machine: Option<&mut M>, now: u64, bytes: *mut u8, room: usize) -> usize {
    let Some(machine) = machine else { return 0 };
    // SAFETY: the caller states it.
    machine.transmit(Instant::from_micros(now), unsafe { output(bytes, room) })
}

pub(crate) fn progress<M: Machine>(machine: Option<&mut M>, now: u64) {
    call(machine, |machine| machine.progress(Instant::from_micros(now)));
}

pub(crate) fn delivered<M: Machine>(machine: Option<&mut M>, now: u64) {
    call(machine, |machine| machine.delivered(Instant::from_micros(now)));
}

pub(crate) fn handle_timeout<M: Machine>(machine: Option<&mut M>, now: u64) {
    call(machine, |machine| machine.handle_timeout(Instant::from_micros(now)));
}

pub(crate) fn close<M: Machine>(machine: Option<&mut M>, now: u64) {
    call(machine, |machine| machine.close(Instant::from_micros(now)));
}

pub(crate) fn deadline<M: Machine>(machine: Option<&M>) -> u64 {
    machine.and_then(Machine::deadline).map_or(GREET_NEVER, Instant::as_micros)
}

pub(crate) fn state<M: Machine>(machine: Option<&M>) -> GreetState {
    match machine.map(Machine::state) {
        Some(State::Open) => GreetState::Open,
        Some(State::Ending) => GreetState::Ending,
        Some(State::Over) | None => GreetState::Over,
    }
}

pub(crate) fn end<M: ServerMachine>(machine: Option<&M>) -> GreetEnd {
    match machine.and_then(ServerMachine::end) {
        None => GreetEnd::None,
        Some(ServerEnd::Exit) => GreetEnd::Exit,
        Some(ServerEnd::ByPeer) => GreetEnd::ByPeer,
        Some(ServerEnd::Idle) => GreetEnd::Idle,
        Some(ServerEnd::Closed) => GreetEnd::Closed,
    }
}

fn call<M>(machine: Option<&mut M>, operation: impl FnOnce(&mut M)) {
    if let Some(machine) = machine {
        operation(machine);
    }
}
