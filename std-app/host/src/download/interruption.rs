//! A signal ends a download at once, wherever the program waits: for a name server, a server, or the reader of the body.

use std::{
    fs,
    io::{self, Write},
    path::PathBuf,
    process,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

use super::{DownloadError, DownloadFailure, progress::Progress};
use crate::stop::FirstSignal;

/// The exit status that shells report for Ctrl-C; the other signals have the same here.
const INTERRUPTED: i32 = 130;

/// How much of a page has arrived, and what to remove when the download ends early.
#[derive(Debug, Default)]
pub(super) struct State {
    /// The number of bytes of the body that have arrived; none before its start and after it is saved.
    pub(super) received: Option<u64>,
    /// The length of the body, if the server gave it.
    pub(super) length: Option<u64>,
    /// The file that keeps its older content until the new one is saved.
    pub(super) untouched: Option<String>,
    /// The temporary file to remove.
    pub(super) temporary: Option<PathBuf>,
    pub(super) progress: Progress,
}

impl State {
    /// The failure that ends the download.
    pub(super) fn failure(&self, error: DownloadError) -> DownloadFailure {
        let Self { received, length, untouched, .. } = self;
        DownloadFailure {
            error: error.into(),
            received: received.map(|received| (received, *length)),
            untouched: untouched.clone(),
        }
    }
}

/// The same, shared by the thread that downloads and the one that handles signals.
#[derive(Clone, Debug, Default)]
pub(super) struct Shared(Arc<Mutex<State>>);

impl Shared {
    /// While the guard is held, no signal ends the program.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on a signal prints how much of the page has arrived, removes a temporary file, and ends the program.
    pub(super) fn end_on_signals(&self, program: &'static str) -> io::Result<()> {
        let signal = FirstSignal::new()?;
        let shared = self.clone();
        thread::Builder::new().name("signals".to_owned()).spawn(move || {
            signal.wait();
            let state = shared.lock(); // for good: no file gets its name any more
            state.progress.clear();
            if let Some(temporary) = &state.temporary {
                let _ = fs::remove_file(temporary); // it may be gone already
            }
            let _ = writeln!(io::stderr(), "{program}: {}", state.failure(DownloadError::Interrupted));
            process::exit(INTERRUPTED);
        })?;
        Ok(())
    }
}
