//! Termination by SIGINT, SIGTERM and SIGHUP: the first signal requests a graceful stop, the second one ends the program.

use core::sync::atomic::{AtomicBool, Ordering};
use std::{fs, io, os::unix::net::UnixStream, sync::Arc};

use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    flag, low_level,
};

/// The request to stop: a flag, and a file descriptor to wait for.
#[derive(Debug)]
pub struct Stop {
    /// Readable when a signal has arrived. Non-blocking.
    pub signalled: UnixStream,
    once: Arc<AtomicBool>,
    /// Keeps `signalled` open: at its end it would be readable. If all signals are ignored, no handler holds a sender.
    _sender: UnixStream,
}

impl Stop {
    /// Installs the handlers. A signal that was ignored when the program started stays ignored, as `nohup`, `trap ''` and
    /// background jobs of a shell require.
    ///
    /// # Errors
    /// If the handlers cannot be installed.
    pub fn on_signals() -> io::Result<Self> {
        let (signalled, sender) = UnixStream::pair()?;
        signalled.set_nonblocking(true)?;
        let once = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|signal| !is_ignored(*signal)) {
            // In this order: the first signal finds the flag unset and sets it, the second one finds it set and ends the program.
            flag::register_conditional_shutdown(signal, 1, Arc::clone(&once))?;
            flag::register(signal, Arc::clone(&once))?;
            low_level::pipe::register(signal, sender.try_clone()?)?;
        }
        Ok(Self { signalled, once, _sender: sender })
    }

    /// Whether a signal has arrived.
    #[must_use]
    pub fn is_wished(&self) -> bool {
        self.once.load(Ordering::Relaxed)
    }
}

/// Whether this process ignores the signal. False if /proc cannot be read.
#[must_use]
pub fn is_ignored(signal: i32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("SigIgn:")?.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> signal.saturating_sub(1) & 1 == 1)
}
