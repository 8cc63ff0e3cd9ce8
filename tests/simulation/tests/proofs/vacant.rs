//! A vacant server takes no space in a program's file: all its bytes are zero, so that the linker puts a static array of them
//! into `.bss`.
#![cfg(target_os = "linux")]

use core::ptr::from_ref;
use std::sync::Mutex;

use greet_core::{Echo, Server, ServerSettings};

// SAFETY: every linker for this system defines both, and only their addresses are taken.
unsafe extern "C" {
    /// Start of `.bss`.
    safe static __bss_start: u8;
    /// Its end.
    safe static _end: u8;
}

fn is_in_bss<T>(object: &'static T) -> bool {
    (from_ref(&__bss_start).addr()..from_ref(&_end).addr()).contains(&from_ref(object).addr())
}

#[test]
fn a_static_array_of_vacant_servers_is_all_zero() {
    static SLOTS: Mutex<[Server<256>; 8]> = Mutex::new([const { Server::vacant() }; 8]);
    assert!(is_in_bss(&SLOTS));
    static ECHOES: Mutex<[Echo<256>; 8]> = Mutex::new([const { Echo::vacant() }; 8]);
    assert!(is_in_bss(&ECHOES));
}

#[test]
fn a_static_array_of_servers_that_have_to_send_a_greeting_is_not_all_zero() {
    static SERVERS: Mutex<[Server<256>; 8]> =
        Mutex::new([const { Server::new(ServerSettings::DEFAULT, greet_core::Instant::ZERO) }; 8]);
    assert!(!is_in_bss(&SERVERS), "or the test above sees nothing");
}
