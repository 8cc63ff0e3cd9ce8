//! An io_uring with buffers to receive into. It holds every buffer that the kernel may access: all `unsafe` of this runtime
//! is here.

use core::{
    sync::atomic::{AtomicU16, Ordering},
    time::Duration,
};
use std::{collections::VecDeque, io, os::fd::RawFd};

use io_uring::{
    IoUring, cqueue, opcode, squeue,
    types::{BufRingEntry, Fd, SubmitArgs, Timespec},
};
use nix::libc;

use crate::transport::SHARED_READ as READ;

/// Size of the submission queue.
const ENTRIES: u32 = 1024;
/// Size of the completion queue. The kernel keeps further completions until there is room.
const COMPLETIONS: u32 = 8 * ENTRIES;
/// The number of buffers to receive into. [`Page`] has room for this number of descriptions.
const BUFFERS: u16 = 256;
const GROUP: u16 = 0;

/// What a submission is for: the low byte of its user data. The rest is the token of the connection.
const RECEIVE: u64 = 0;
const SEND: u64 = 1;
const CANCEL: u64 = 2;
const WAKE: u64 = 3;
const KIND_BITS: u32 = 8;

/// Memory for the descriptions of the buffers: the kernel wants whole pages.
#[repr(C, align(4096))]
struct Page([u8; BUFFERS as usize * size_of::<BufRingEntry>()]);

/// An io_uring, its receive buffers, and the buffers that are being sent. One thread uses it.
pub(super) struct Ring {
    ring: IoUring,
    /// Submissions that found the ring full, in order.
    waiting: VecDeque<squeue::Entry>,
    /// The descriptions of the buffers that the kernel may fill. Never freed, as the kernel uses it.
    free: *mut BufRingEntry,
    /// The position of the next description, modulo 2^16.
    tail: u16,
    /// `BUFFERS` times `READ` bytes. Never freed, as the kernel writes to it.
    memory: *mut u8,
    /// What the kernel is sending, by the token of the connection.
    sending: Vec<Option<Box<[u8]>>>,
}

/// A receive buffer that the kernel has filled. [`Ring::give_back`] returns it.
#[derive(Debug)]
pub(super) struct Filled {
    id: u16,
    length: usize,
}

impl Filled {
    /// The number of bytes.
    pub(super) const fn length(&self) -> usize {
        self.length
    }
}

/// What the kernel has done.
#[derive(Debug)]
pub(super) enum Completion {
    /// One read; `None` at the FIN of the peer. If it is not `armed`, no further one follows.
    Received { token: u32, outcome: io::Result<Option<Filled>>, armed: bool },
    /// How many bytes of this buffer were sent.
    Sent { token: u32, buffer: Box<[u8]>, outcome: io::Result<usize> },
    /// The file of `watch` is readable.
    Readable,
}

impl Ring {
    /// Sets up a ring for the calling thread.
    ///
    /// # Errors
    /// The kernel has no io_uring, forbids it, or lacks a feature: multishot receive needs Linux 6.0.
    pub(super) fn new() -> io::Result<Self> {
        let ring = match IoUring::builder()
            .setup_cqsize(COMPLETIONS)
            .setup_single_issuer()
            .setup_defer_taskrun()
            .dontfork()
            .build(ENTRIES)
        {
            // Linux 6.0 has no deferred task work.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                IoUring::builder().setup_cqsize(COMPLETIONS).setup_coop_taskrun().dontfork().build(ENTRIES)?
            }
            outcome => outcome?,
        };
        let free = Box::into_raw(Box::new(Page([0; _]))).cast::<BufRingEntry>();
        let memory = Box::into_raw(vec![0; READ * usize::from(BUFFERS)].into_boxed_slice()).cast::<u8>();
        // SAFETY: the page is aligned, holds `BUFFERS` entries, and is never freed.
        unsafe { ring.submitter().register_buf_ring_with_flags(free as u64, BUFFERS, GROUP, 0)? };
        let mut ring = Self { ring, waiting: VecDeque::new(), free, tail: 0, memory, sending: Vec::new() };
        for id in 0..BUFFERS {
            ring.offer(id);
        }
        Ok(ring)
    }

    /// Receives from a socket until it is cancelled, fails, or the peer ends.
    ///
    /// The socket must stay open until a completion with `armed: false`.
    pub(super) fn receive(&mut self, token: u32, socket: RawFd) {
        let entry = opcode::RecvMulti::new(Fd(socket), GROUP).len(READ.try_into().unwrap_or(u32::MAX)).build();
        self.submit(entry.user_data(user_data(token, RECEIVE)));
    }

    /// Stops receiving. A completion with `armed: false` follows.
    pub(super) fn stop_receiving(&mut self, token: u32) {
        self.cancel(user_data(token, RECEIVE));
    }

    /// Sends the bytes of a buffer from `begin` to `end`. A connection sends one buffer at a time.
    ///
    /// The socket must stay open until the completion.
    pub(super) fn send(&mut self, token: u32, socket: RawFd, buffer: Box<[u8]>, begin: usize, end: usize) {
        let index = usize::try_from(token).unwrap_or(usize::MAX);
        if self.sending.len() <= index {
            self.sending.resize_with(index.saturating_add(1), || None);
        }
        let Some(slot) = self.sending.get_mut(index) else { return };
        let bytes = slot.insert(buffer).get(begin..end).unwrap_or_default();
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        // The memory is not moved until the completion takes the buffer out of `sending`.
        let entry = opcode::Send::new(Fd(socket), bytes.as_ptr(), length).flags(libc::MSG_NOSIGNAL).build();
        self.submit(entry.user_data(user_data(token, SEND)));
    }

    /// Stops sending. A completion follows.
    pub(super) fn stop_sending(&mut self, token: u32) {
        self.cancel(user_data(token, SEND));
    }

    /// Reports once when a file is readable.
    pub(super) fn watch(&mut self, file: RawFd) {
        let entry = opcode::PollAdd::new(Fd(file), libc::POLLIN as u32).build();
        self.submit(entry.user_data(WAKE));
    }

    /// Submits all entries to the kernel, and waits for a completion, at most this long.
    ///
    /// # Errors
    /// The ring cannot be used.
    pub(super) fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        while let Some(entry) = self.waiting.pop_front() {
            if !self.push(&entry) {
                self.waiting.push_front(entry);
                break;
            }
        }
        let time = timeout.map(Timespec::from).unwrap_or_default();
        let arguments = match timeout {
            Some(_) => SubmitArgs::new().timespec(&time),
            None => SubmitArgs::new(),
        };
        match self.ring.submitter().submit_with_args(1, &arguments) {
            Ok(_) => Ok(()),
            Err(error) => match error.raw_os_error() {
                // Timeout; signal; completions have to be taken first.
                Some(libc::ETIME | libc::EINTR | libc::EBUSY | libc::EAGAIN) => Ok(()),
                _ => Err(error),
            },
        }
    }

    /// Takes the next completion.
    pub(super) fn next_completion(&mut self) -> Option<Completion> {
        loop {
            let entry = self.ring.completion().next()?;
            let token = u32::try_from(entry.user_data() >> KIND_BITS).unwrap_or(u32::MAX);
            match entry.user_data() & ((1 << KIND_BITS) - 1) {
                RECEIVE => {
                    let length = count(entry.result());
                    let filled = cqueue::buffer_select(entry.flags());
                    let outcome = match (length, filled) {
                        (Ok(0), Some(id)) => {
                            self.offer(id);
                            Ok(None)
                        }
                        (Ok(length), Some(id)) => Ok(Some(Filled { id, length })),
                        (Ok(_), None) => Ok(None),
                        (Err(error), _) => Err(error),
                    };
                    return Some(Completion::Received { token, outcome, armed: cqueue::more(entry.flags()) });
                }
                SEND => {
                    let index = usize::try_from(token).unwrap_or(usize::MAX);
                    let Some(buffer) = self.sending.get_mut(index).and_then(Option::take) else { continue };
                    return Some(Completion::Sent { token, buffer, outcome: count(entry.result()) });
                }
                WAKE => return Some(Completion::Readable),
                _ => {} // the cancelled operation has a completion of its own
            }
        }
    }

    /// The bytes of a filled buffer.
    pub(super) fn bytes(&self, filled: &Filled) -> &[u8] {
        // SAFETY: `memory` has a block of `READ` bytes for each id. The kernel has filled this one, and does not touch it until
        // it is offered again, for which `give_back` takes the only `Filled` of this id.
        unsafe { core::slice::from_raw_parts(self.memory.add(usize::from(filled.id) * READ), filled.length.min(READ)) }
    }

    /// Lets the kernel use a buffer again.
    #[allow(clippy::needless_pass_by_value, reason = "its bytes are gone")]
    pub(super) fn give_back(&mut self, filled: Filled) {
        self.offer(filled.id);
    }

    fn offer(&mut self, id: u16) {
        let index = usize::from(self.tail % BUFFERS);
        let address = self.memory.wrapping_add(usize::from(id) * READ);
        // SAFETY: `free` has `BUFFERS` entries, which only this thread writes; the kernel reads those before the tail only.
        unsafe {
            let entry = &mut *self.free.add(index);
            entry.set_addr(address as u64);
            entry.set_len(u32::try_from(READ).unwrap_or(u32::MAX));
            entry.set_bid(id);
        }
        self.tail = self.tail.wrapping_add(1);
        // SAFETY: the tail is in the first entry, aligned to 2 bytes, and changed by this thread alone. The kernel sees the entry
        // before the tail, as the store releases it.
        unsafe {
            let tail = BufRingEntry::tail(self.free.cast_const()).cast_mut();
            AtomicU16::from_ptr(tail).store(self.tail, Ordering::Release);
        }
    }

    fn cancel(&mut self, target: u64) {
        self.submit(opcode::AsyncCancel::new(target).build().user_data(CANCEL));
    }

    fn submit(&mut self, entry: squeue::Entry) {
        if !self.waiting.is_empty() || !self.push(&entry) {
            self.waiting.push_back(entry);
        }
    }

    /// Adds an entry to the submission queue; a full queue is submitted first. False if there is still no room.
    fn push(&mut self, entry: &squeue::Entry) -> bool {
        if self.ring.submission().is_full() && self.ring.submit().is_err() {
            return false;
        }
        // SAFETY: what the entry points to is in `sending` or `memory` until its completion.
        unsafe { self.ring.submission().push(entry) }.is_ok()
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // The kernel may still read what is being sent.
        for buffer in self.sending.drain(..).flatten() {
            let _ = Box::into_raw(buffer);
        }
    }
}

impl core::fmt::Debug for Ring {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter.debug_struct("Ring").finish_non_exhaustive()
    }
}

fn user_data(token: u32, kind: u64) -> u64 {
    u64::from(token) << KIND_BITS | kind
}

fn count(result: i32) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::from_raw_os_error(result.saturating_neg()))
}

const _: () = assert!(size_of::<Page>() == 4096);
