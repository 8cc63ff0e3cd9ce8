//! The log of a board in QEMU: defmt's frames go to QEMU's standard output by semihosting, and are never waited for.
//!
//! Where QEMU's standard output takes nothing for now (`run-in-qemu` makes it a pipe that does not block, and its reader may
//! have stopped), frames stay in a buffer; those that find no room there are dropped and counted. Each frame is there as a
//! whole or not at all, so what is read later can be decoded.

use core::cell::UnsafeCell;

use critical_section::RestoreState;
use defmt::Encoder;
use semihosting::io::{Stdout, Write, stdout};

/// Room for about 40 lines.
const ROOM: usize = 1024;
/// How often the last frames are tried to be written before the program ends: each try takes QEMU about 20 µs.
const LAST_TRIES: u32 = 5_000;

struct Log {
    encoder: Encoder,
    output: Option<Stdout>,
    /// Whole frames, and then the one that is being made.
    buffer: [u8; ROOM],
    used: usize,
    /// Where the frame begins that is being made, if one is.
    frame: Option<usize>,
    /// That frame has not fitted.
    too_long: bool,
    dropped: u32,
    restore: RestoreState,
}

impl Log {
    const fn new() -> Self {
        Self {
            encoder: Encoder::new(),
            output: None,
            buffer: [0; ROOM],
            used: 0,
            frame: None,
            too_long: false,
            dropped: 0,
            restore: RestoreState::invalid(),
        }
    }

    fn start(&mut self) {
        if let Some(start) = self.frame.take() {
            // A failure in the middle of a line: the line is dropped, for that failure has one of its own.
            self.encoder.end_frame(|_| {});
            self.used = start;
        }
        self.frame = Some(self.used);
        self.too_long = false;
        let Self { encoder, buffer, used, too_long, .. } = self;
        encoder.start_frame(|bytes| append(buffer, used, too_long, bytes));
    }

    fn write(&mut self, bytes: &[u8]) {
        let Self { encoder, buffer, used, too_long, .. } = self;
        encoder.write(bytes, |bytes| append(buffer, used, too_long, bytes));
    }

    fn end(&mut self) {
        let Self { encoder, buffer, used, too_long, .. } = self;
        encoder.end_frame(|bytes| append(buffer, used, too_long, bytes));
        if let Some(start) = self.frame.take()
            && self.too_long
        {
            self.used = start;
            self.dropped = self.dropped.wrapping_add(1);
        }
        self.push();
    }

    /// Writes what QEMU takes of the whole frames.
    fn push(&mut self) {
        if self.used == 0 {
            return;
        }
        if self.output.is_none() {
            self.output = stdout().ok();
        }
        let Some(output) = &mut self.output else { return };
        let unwritten = self.buffer.get(..self.used).unwrap_or_default();
        let written = output.write(unwritten).unwrap_or(0).min(self.used);
        self.buffer.copy_within(written..self.used, 0);
        self.used -= written;
    }
}

fn append(buffer: &mut [u8; ROOM], used: &mut usize, too_long: &mut bool, bytes: &[u8]) {
    match buffer.get_mut(*used..*used + bytes.len()) {
        Some(room) => {
            room.copy_from_slice(bytes);
            *used += bytes.len();
        }
        None => *too_long = true,
    }
}

struct Shared(UnsafeCell<Log>);

// SAFETY: there is one processor, and every use is within a critical section.
unsafe impl Sync for Shared {}

static LOG: Shared = Shared(UnsafeCell::new(Log::new()));

fn with<R>(work: impl FnOnce(&mut Log) -> R) -> R {
    // SAFETY: nothing else runs meanwhile, and `work` does not come here again.
    critical_section::with(|_| work(unsafe { &mut *LOG.0.get() }))
}

/// Writes what is left, and returns how many lines were dropped since the last call, once there is room for more.
pub(crate) fn flush() -> u32 {
    with(|log| {
        log.push();
        if log.used == 0 { core::mem::take(&mut log.dropped) } else { 0 }
    })
}

/// Writes what is left before the program ends, if it is read soon.
pub(crate) fn last_flush() {
    for _ in 0..LAST_TRIES {
        if with(|log| {
            log.push();
            log.used == 0
        }) {
            return;
        }
    }
}

#[defmt::global_logger]
struct Logger;

// SAFETY: from `acquire` to `release` there is a critical section, and nothing in between panics.
unsafe impl defmt::Logger for Logger {
    fn acquire() {
        // SAFETY: `release` ends it.
        let restore = unsafe { critical_section::acquire() };
        // SAFETY: nothing else runs meanwhile.
        let log = unsafe { &mut *LOG.0.get() };
        if log.frame.is_none() {
            log.restore = restore;
        }
        log.start();
    }

    unsafe fn flush() {
        let _ = flush();
    }

    unsafe fn release() {
        // SAFETY: nothing else runs meanwhile.
        let log = unsafe { &mut *LOG.0.get() };
        log.end();
        // SAFETY: it was returned by `acquire`.
        unsafe { critical_section::release(log.restore) };
    }

    unsafe fn write(bytes: &[u8]) {
        // SAFETY: nothing else runs meanwhile.
        unsafe { &mut *LOG.0.get() }.write(bytes);
    }
}
