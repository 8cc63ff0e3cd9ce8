//! Termination by SIGINT, SIGTERM and SIGHUP: the first signal requests a graceful stop, the second one ends the program.
//!
//! Windows has SIGINT (Ctrl-C) and SIGTERM only, and no file descriptor that a signal makes readable.

use core::sync::atomic::{AtomicBool, Ordering};
#[cfg(unix)]
use std::os::unix::net::UnixStream;
use std::{fs, io, sync::Arc};

#[cfg(unix)]
use signal_hook::consts::SIGHUP;
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    flag,
};

/// The signals that end a program.
const SIGNALS: &[i32] = &[
    SIGINT,
    SIGTERM,
    #[cfg(unix)]
    SIGHUP,
];

/// The request to stop: a flag, and on Unix a file descriptor to wait for.
#[derive(Debug)]
pub struct Stop {
    /// Readable when a signal has arrived. Non-blocking.
    #[cfg(unix)]
    pub signalled: UnixStream,
    once: Arc<AtomicBool>,
    /// Keeps `signalled` open: at its end it would be readable. If all signals are ignored, no handler holds a sender.
    #[cfg(unix)]
    _sender: UnixStream,
}

impl Stop {
    /// Installs the handlers. A signal that was ignored when the program started stays ignored, as `nohup`, `trap ''` and
    /// background jobs of a shell require.
    ///
    /// # Errors
    /// If the handlers cannot be installed.
    pub fn on_signals() -> io::Result<Self> {
        #[cfg(unix)]
        let (signalled, sender) = UnixStream::pair()?;
        #[cfg(unix)]
        signalled.set_nonblocking(true)?;
        let once = Arc::new(AtomicBool::new(false));
        for signal in signals() {
            // In this order: the first signal finds the flag unset and sets it, the second one finds it set and ends the program.
            flag::register_conditional_shutdown(signal, 1, Arc::clone(&once))?;
            flag::register(signal, Arc::clone(&once))?;
            #[cfg(unix)]
            signal_hook::low_level::pipe::register(signal, sender.try_clone()?)?;
        }
        Ok(Self {
            once,
            #[cfg(unix)]
            signalled,
            #[cfg(unix)]
            _sender: sender,
        })
    }

    /// Whether a signal has arrived.
    #[must_use]
    pub fn is_wished(&self) -> bool {
        self.once.load(Ordering::Relaxed)
    }
}

/// The signals that end this program: those that were not ignored when it started.
fn signals() -> impl Iterator<Item = i32> {
    SIGNALS.iter().copied().filter(|signal| !is_ignored(*signal))
}

/// The first signal that arrives after its creation.
#[derive(Debug)]
pub(crate) struct FirstSignal {
    #[cfg(unix)]
    signals: signal_hook::iterator::Signals,
    #[cfg(not(unix))]
    arrived: Arc<AtomicBool>,
}

impl FirstSignal {
    /// From now on the signals do not end the program by themselves.
    pub(crate) fn new() -> io::Result<Self> {
        #[cfg(unix)]
        let first = Self { signals: signal_hook::iterator::Signals::new(signals())? };
        #[cfg(not(unix))]
        let first = {
            let arrived = Arc::new(AtomicBool::new(false));
            signals().try_for_each(|signal| flag::register(signal, Arc::clone(&arrived)).map(drop))?;
            Self { arrived }
        };
        Ok(first)
    }

    /// Waits for it.
    #[cfg(unix)]
    pub(crate) fn wait(mut self) {
        self.signals.forever().next();
    }

    /// Waits for it.
    #[cfg(not(unix))]
    pub(crate) fn wait(self) {
        while !self.arrived.load(Ordering::Relaxed) {
            std::thread::sleep(core::time::Duration::from_millis(50));
        }
    }
}

/// Whether this process ignores the signal. False if /proc cannot be read.
fn is_ignored(signal: i32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("SigIgn:")?.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> signal.saturating_sub(1) & 1 == 1)
}
