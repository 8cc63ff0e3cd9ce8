//! Waits for the delivery of the last replies and the FIN before a socket is closed (rules R3, R4 and C1).

use core::{ffi::c_int, mem::MaybeUninit, time::Duration};
use std::{
    io,
    os::fd::{AsFd, AsRawFd},
};

use greet_core::{Instant, LINGER};
use greet_host::clock;
use nix::libc;
use socket2::SockRef;

/// Poll interval: the system has no event for an acknowledgement.
pub(crate) const PAUSE: Duration = Duration::from_millis(10);

/// The delivery of the last replies and the FIN.
///
/// Closing a socket that has unread input resets the connection at once and discards undelivered output. If a client has
/// sent a lot ahead, the server drops 64 KiB immediately, while replies and the FIN may still wait for the client's window
/// to open.
#[derive(Debug)]
pub(crate) struct Delivery {
    /// Number of unacknowledged bytes. The FIN counts as one.
    left: c_int,
    /// When to give up unless more is acknowledged before.
    until: Instant,
}

impl Delivery {
    /// Starts to watch a socket whose FIN has just been queued.
    pub(crate) fn begin(socket: &impl AsFd) -> io::Result<Self> {
        Ok(Self { left: unacknowledged(socket)?, until: clock::now() + LINGER })
    }

    /// Whether to keep the socket open for another [`PAUSE`].
    pub(crate) fn is_under_way(&mut self, socket: &impl AsFd) -> bool {
        let Ok(left @ 1..) = unacknowledged(socket) else { return false };
        if left != self.left {
            *self = Self { left, until: clock::now() + LINGER };
        }
        clock::now() < self.until && closing_resets(socket)
    }
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

/// Number of bytes that the peer has not acknowledged, including the FIN: tcp(7), `SIOCOUTQ`.
fn unacknowledged(socket: &impl AsFd) -> io::Result<c_int> {
    let mut count = 0;
    // SAFETY: the descriptor is borrowed and so open, and the call writes only `count`.
    unsafe { outgoing(socket.as_fd().as_raw_fd(), &raw mut count)? };
    Ok(count)
}

nix::ioctl_read_bad!(
    /// `SIOCOUTQ`, the same number as `TIOCOUTQ`: the unacknowledged bytes of a socket.
    outgoing,
    libc::TIOCOUTQ,
    c_int
);
