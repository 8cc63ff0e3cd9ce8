//! How signals end a program: SIGINT, SIGTERM and SIGHUP in good order the first time, at once the second time.

use core::sync::atomic::{AtomicBool, Ordering};
use std::{fs, io, os::unix::net::UnixStream, sync::Arc};

use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    flag, low_level,
};

/// The request to stop, which can be waited for.
#[derive(Debug)]
pub struct Stop {
    /// Readable when a signal has arrived; does not block.
    pub signalled: UnixStream,
    once: Arc<AtomicBool>,
    /// If it were closed, `signalled` would be readable. All signals may be ignored.
    _sender: UnixStream,
}

impl Stop {
    /// Handles the signals from now on. One that was ignored when the program started stays ignored: `nohup`, `trap ''` and
    /// background jobs of a shell mean it.
    ///
    /// # Errors
    /// The system has no resources for the handlers.
    pub fn on_signals() -> io::Result<Self> {
        let (signalled, sender) = UnixStream::pair()?;
        signalled.set_nonblocking(true)?;
        let once = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|signal| !is_ignored(*signal)) {
            // In this order: the first signal finds the flag down and raises it, the second one finds it up and ends the program.
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

/// Whether this process ignores that signal, as it does if it was started so. False if the system does not tell.
#[must_use]
pub fn is_ignored(signal: i32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("SigIgn:")?.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> signal.saturating_sub(1) & 1 == 1)
}
