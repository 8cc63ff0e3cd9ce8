//! How SIGINT and SIGTERM end the service: in good order the first time, at once the second.

use core::sync::atomic::{AtomicBool, Ordering};
use std::{io, os::unix::net::UnixStream, sync::Arc};

use signal_hook::{
    consts::{SIGINT, SIGTERM},
    flag, low_level,
};

/// The wish to stop, as something that can be waited for.
#[derive(Debug)]
pub struct Stop {
    /// Readable once a signal has come; does not block.
    pub signalled: UnixStream,
    once: Arc<AtomicBool>,
}

impl Stop {
    /// From now on the two signals are this wish.
    ///
    /// # Errors
    /// Where the system has no room for what it takes.
    pub fn on_signals() -> io::Result<Self> {
        let (signalled, sender) = UnixStream::pair()?;
        signalled.set_nonblocking(true)?;
        let once = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            // In this order: the first signal finds the flag down and raises it, the second finds it raised and ends all.
            flag::register_conditional_shutdown(signal, 1, Arc::clone(&once))?;
            flag::register(signal, Arc::clone(&once))?;
            low_level::pipe::register(signal, sender.try_clone()?)?;
        }
        Ok(Self { signalled, once })
    }

    /// Whether a signal has come.
    #[must_use]
    pub fn is_wished(&self) -> bool {
        self.once.load(Ordering::Relaxed)
    }
}
