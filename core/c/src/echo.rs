//! The functions of an echo server.

use core::ffi::c_void;

use greet_core::{Echo, EchoSettings, Instant, Machine};

use crate::{
    machine::{self, CAPACITY, GreetEnd, GreetState, limit},
    memory::{input, place},
};

const _: () = assert!(size_of::<GreetEcho>() <= (CAPACITY + 48).next_multiple_of(8), "GREET_ECHO_SIZE is too small");

/// The server's side of one echo connection: it sends back what it received. It has the functions of a greet_server, which say
/// more, and reports nothing.
pub struct GreetEcho(Echo<CAPACITY>);

/// An echo server whose connection was opened at `now`. After `idle_timeout` microseconds without a byte it ends the connection;
/// GREET_NEVER for no such timeout.
///
/// Returns the echo server, which lies in `storage`. NULL if that is not aligned, or is smaller than
/// GREET_ECHO_SIZE(greet_server_capacity()) bytes.
///
/// # Safety
/// `storage` is null or has `size` bytes, which nothing else uses as long as the echo server is used.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn greet_echo_init(
    storage: *mut c_void,
    size: usize,
    idle_timeout: u64,
    now: u64,
) -> *mut GreetEcho {
    let settings = EchoSettings { idle_timeout: limit(idle_timeout) };
    // SAFETY: the caller states it.
    unsafe { place(storage, size, GreetEcho(Echo::new(settings, Instant::from_micros(now)))) }
}

/// Offers received bytes. Returns how many it took; offer the others again after the next greet_echo_transmit.
///
/// # Safety
/// `bytes` is null or has `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn greet_echo_receive(
    echo: Option<&mut GreetEcho>,
    now: u64,
    bytes: *const u8,
    length: usize,
) -> usize {
    let Some(echo) = inner(echo) else { return 0 };
    // SAFETY: the caller states it.
    echo.receive(Instant::from_micros(now), unsafe { input(bytes, length) }).taken
}

/// The client has sent its FIN, and the echo server has taken every byte before it.
#[unsafe(no_mangle)]
pub extern "C" fn greet_echo_receive_end(echo: Option<&mut GreetEcho>, now: u64) {
    machine::receive_end(inner(echo), now);
}

/// Writes the next bytes to send to the front of `bytes`, and returns how many there are; 0 if there are none now.
///
/// # Safety
/// `bytes` is null or has `room` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn greet_echo_transmit(
    echo: Option<&mut GreetEcho>,
    now: u64,
    bytes: *mut u8,
    room: usize,
) -> usize {
    // SAFETY: the caller states it.
    unsafe { machine::transmit(inner(echo), now, bytes, room) }
}

/// Bytes from greet_echo_transmit, or the FIN, have left only now.
#[unsafe(no_mangle)]
pub extern "C" fn greet_echo_progress(echo: Option<&mut GreetEcho>, now: u64) {
    machine::progress(inner(echo), now);
}

/// In GREET_STATE_ENDING: the network stack has all bytes, and the FIN after them.
#[unsafe(no_mangle)]
pub extern "C" fn greet_echo_delivered(echo: Option<&mut GreetEcho>, now: u64) {
    machine::delivered(inner(echo), now);
}

/// The time is `now`. Call it at greet_echo_deadline; earlier calls change nothing.
#[unsafe(no_mangle)]
pub extern "C" fn greet_echo_handle_timeout(echo: Option<&mut GreetEcho>, now: u64) {
    machine::handle_timeout(inner(echo), now);
}

/// When to call greet_echo_handle_timeout if nothing else happens; GREET_NEVER if no timeout is running.
#[unsafe(no_mangle)]
pub extern "C" fn greet_echo_deadline(echo: Option<&GreetEcho>) -> u64 {
    machine::deadline(echo.map(|echo| &echo.0))
}

/// How far the connection is; GREET_STATE_OVER for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn greet_echo_state(echo: Option<&GreetEcho>) -> GreetState {
    machine::state(echo.map(|echo| &echo.0))
}

/// Why the connection ends, once it does.
#[unsafe(no_mangle)]
pub extern "C" fn greet_echo_end(echo: Option<&GreetEcho>) -> GreetEnd {
    machine::end(echo.map(|echo| &echo.0))
}

/// Ends the connection from this side. The bytes that the echo server holds are still sent; new input is not taken.
#[unsafe(no_mangle)]
pub extern "C" fn greet_echo_close(echo: Option<&mut GreetEcho>, now: u64) {
    machine::close(inner(echo), now);
}

fn inner(echo: Option<&mut GreetEcho>) -> Option<&mut Echo<CAPACITY>> {
    echo.map(|echo| &mut echo.0)
}
