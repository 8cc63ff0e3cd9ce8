//! A signal ends a page on its way at once, wherever the program waits: for a name, a server, or whoever reads the body.

use std::{
    fs,
    io::{self, Write},
    path::PathBuf,
    process,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
};

use super::{DownloadError, DownloadFailure, progress::Progress};

/// What a shell says of a program that Ctrl-C ended; the other signals are told alike.
const INTERRUPTED: i32 = 130;

/// How far a page has come, for whoever has to end it.
#[derive(Debug, Default)]
pub(super) struct State {
    /// The body has begun, and is not saved: so many bytes came.
    pub(super) came: Option<u64>,
    /// How many there will be, where the server said so.
    pub(super) length: Option<u64>,
    /// The file that is as it was, as long as the new one is not saved.
    pub(super) untouched: Option<String>,
    /// What is not whole, and has to go.
    pub(super) temporary: Option<PathBuf>,
    pub(super) progress: Progress,
}

impl State {
    /// The failure with which fetching ended.
    pub(super) fn failure(&self, error: DownloadError) -> DownloadFailure {
        let Self { came, length, untouched, .. } = self;
        DownloadFailure { error: error.into(), came: came.map(|came| (came, *length)), untouched: untouched.clone() }
    }
}

/// The same, for the thread that fetches and the one that hears the signals.
#[derive(Clone, Debug, Default)]
pub(super) struct Shared(Arc<Mutex<State>>);

impl Shared {
    /// As long as it is held no signal ends the program.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on a signal says how far the page has come, removes what is not whole, and ends the program.
    pub(super) fn end_on_signals(&self, program: &'static str) -> io::Result<()> {
        let mut signals = Signals::new([SIGINT, SIGTERM])?;
        // Whoever started the program so that it stays when they leave means it.
        if !is_ignored(SIGHUP) {
            signals.add_signal(SIGHUP)?;
        }
        let shared = self.clone();
        thread::Builder::new().name("signals".to_owned()).spawn(move || {
            if signals.forever().next().is_some() {
                let state = shared.lock(); // for good: nothing gets its name any more
                state.progress.clear();
                if let Some(temporary) = &state.temporary {
                    let _ = fs::remove_file(temporary); // it may have gone by itself
                }
                let _ = writeln!(io::stderr(), "{program}: {}", state.failure(DownloadError::Interrupted));
                process::exit(INTERRUPTED);
            }
        })?;
        Ok(())
    }
}

/// Whether this process was started with that signal ignored; where the system does not tell, it was not.
fn is_ignored(signal: i32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("SigIgn:")?.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}
