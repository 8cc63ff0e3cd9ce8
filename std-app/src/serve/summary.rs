//! The counters on standard error, whenever SIGUSR1 arrives.

use std::{
    io::{self, Read, Write},
    os::unix::net::UnixStream,
    sync::Arc,
    thread,
};

use greet_host::counters::Counters;
use signal_hook::{consts::SIGUSR1, low_level};

/// Prints the counters on each SIGUSR1, in a separate thread.
pub(super) fn print_on_signal(counters: Arc<Counters>) -> io::Result<()> {
    let (mut signalled, sender) = UnixStream::pair()?;
    low_level::pipe::register(SIGUSR1, sender)?;
    thread::Builder::new().name("summary".to_owned()).spawn(move || {
        while let Ok(1..) = signalled.read(&mut [0; 64]) {
            // A closed standard error needs no counters.
            let _ = write!(io::stderr().lock(), "{}", counters.counts());
        }
    })?;
    Ok(())
}
