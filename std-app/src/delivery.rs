//! Waits for the delivery of the last replies and the FIN before a socket is closed (rules R3, R4 and C1).

use core::{ffi::c_int, mem::MaybeUninit, time::Duration};
use std::{
    io,
    os::fd::{AsFd, AsRawFd},
};

use greet_core::{
    LINGER,
    drive::{self, Release},
};
use greet_host::clock;
use nix::libc;
use socket2::SockRef;

/// Poll interval: the system has no event for an acknowledgement.
pub(crate) const PAUSE: Duration = Duration::from_millis(10);

/// How many bytes are discarded at a time.
const DISCARD: usize = 4096;
/// How often at most until the next [`PAUSE`].
const DISCARDS: usize = 16;

/// The delivery of the last replies and the FIN of a socket.
///
/// Closing a socket that has unread input resets the connection at once and discards undelivered output. If a client has
/// sent a lot ahead, the server drops 64 KiB immediately, while replies and the FIN may still wait for the client's window
/// to open.
#[derive(Debug)]
pub(crate) struct Delivery(drive::Delivery);

impl Delivery {
    /// The machine is over, and its FIN was sent.
    pub(crate) fn begin(socket: &impl AsFd) -> Self {
        Self(drive::Delivery::new(clock::now(), unacknowledged(socket)))
    }

    /// Whether to keep the socket open for another [`PAUSE`].
    pub(crate) fn is_under_way(&mut self, socket: &impl AsFd) -> bool {
        match self.0.look(clock::now(), unacknowledged(socket), LINGER) {
            Release::Wait(_) => closing_resets(socket),
            Release::Discard(_) => discard(socket),
            Release::Close | Release::Reset => false,
        }
    }
}

/// Reads and discards input. Whether more may arrive.
fn discard(socket: &impl AsFd) -> bool {
    let socket = SockRef::from(socket);
    for _ in 0..DISCARDS {
        match socket.recv_with_flags(&mut [MaybeUninit::uninit(); DISCARD], libc::MSG_DONTWAIT) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
        }
    }
    true
}

/// Whether the connection is open, and there is unread input or more may arrive.
fn closing_resets(socket: &impl AsFd) -> bool {
    let socket = SockRef::from(socket);
    if !matches!(socket.take_error(), Ok(None)) {
        return false;
    }
    match socket.recv_with_flags(&mut [MaybeUninit::uninit()], libc::MSG_PEEK | libc::MSG_DONTWAIT) {
        Ok(count) => count > 0,
        Err(error) => error.kind() == io::ErrorKind::WouldBlock,
    }
}

/// Number of bytes that the peer has not acknowledged, including the FIN: tcp(7), `SIOCOUTQ`. None if the system does not
/// tell.
fn unacknowledged(socket: &impl AsFd) -> usize {
    let mut count = 0;
    // SAFETY: the descriptor is borrowed and so open, and the call writes only `count`.
    let outcome = unsafe { outgoing(socket.as_fd().as_raw_fd(), &raw mut count) };
    outcome.ok().and_then(|_| usize::try_from(count).ok()).unwrap_or(0)
}

nix::ioctl_read_bad!(
    /// `SIOCOUTQ`, the same number as `TIOCOUTQ`: the unacknowledged bytes of a socket.
    outgoing,
    libc::TIOCOUTQ,
    c_int
);
