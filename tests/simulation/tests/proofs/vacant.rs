//! A place for a server costs nothing in a program's file: all its bytes are zero, so the linker puts a static array of them
//! where memory is zero at the start.
#![cfg(target_os = "linux")]

use core::ptr::from_ref;
use std::sync::Mutex;

use greet_core::{Echo, Server, ServerSettings};

// SAFETY: every linker for this system defines both, and only their addresses are taken.
unsafe extern "C" {
    /// Where the memory begins that is zero at the start.
    safe static __bss_start: u8;
    /// Where it ends.
    safe static _end: u8;
}

fn is_in_bss<T>(place: &'static T) -> bool {
    (from_ref(&__bss_start).addr()..from_ref(&_end).addr()).contains(&from_ref(place).addr())
}

#[test]
fn a_static_array_of_vacant_servers_is_zero_at_the_start() {
    static PLACES: Mutex<[Server<256>; 8]> = Mutex::new([const { Server::vacant() }; 8]);
    assert!(is_in_bss(&PLACES));
    static ECHOES: Mutex<[Echo<256>; 8]> = Mutex::new([const { Echo::vacant() }; 8]);
    assert!(is_in_bss(&ECHOES));
}

#[test]
fn a_static_array_of_servers_that_owe_their_greeting_is_not() {
    static SERVERS: Mutex<[Server<256>; 8]> =
        Mutex::new([const { Server::new(ServerSettings::DEFAULT, greet_core::Instant::ZERO) }; 8]);
    assert!(!is_in_bss(&SERVERS), "or the test above sees nothing");
}
