//! What the system still holds of a conversation that this side has ended (rules R3, R4 and C1).

use core::{ffi::c_int, mem::MaybeUninit, time::Duration};
use std::{
    io,
    os::fd::{AsFd, AsRawFd},
};

use greet_core::{Instant, LINGER};
use greet_host::clock;
use nix::libc;
use socket2::SockRef;

/// How long to wait between two looks: nothing wakes who waits for an acknowledgement.
pub(crate) const PAUSE: Duration = Duration::from_millis(10);

/// The way of the last replies and of the FIN to the client.
///
/// To close a socket in which input waits resets the connection at once, and the system forgets what it has not delivered
/// yet. A client that has sent a lot ahead has the server drop 64 KiB in no time, when part of the replies, and the FIN
/// behind them, may not even have been sent, for want of room at the client's.
#[derive(Debug)]
pub(crate) struct Delivery {
    /// What is not acknowledged; the FIN counts as a byte.
    left: c_int,
    /// The client has so long to take some of it.
    until: Instant,
}

impl Delivery {
    /// The FIN of this socket is next.
    pub(crate) fn begin(socket: &impl AsFd) -> io::Result<Self> {
        Ok(Self { left: unacknowledged(socket)?, until: clock::now() + LINGER })
    }

    /// Whether to leave the socket open for another [`PAUSE`].
    pub(crate) fn is_under_way(&mut self, socket: &impl AsFd) -> bool {
        let Ok(left @ 1..) = unacknowledged(socket) else { return false };
        if left != self.left {
            *self = Self { left, until: clock::now() + LINGER };
        }
        clock::now() < self.until && closing_resets(socket)
    }
}

/// Whether the connection stands, and input waits or may yet come.
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

/// How many bytes the peer has not acknowledged, the FIN among them: tcp(7), `SIOCOUTQ`.
fn unacknowledged(socket: &impl AsFd) -> io::Result<c_int> {
    let mut count = 0;
    // SAFETY: the descriptor is open, for it is borrowed, and the call writes nothing but this number.
    unsafe { outgoing(socket.as_fd().as_raw_fd(), &raw mut count)? };
    Ok(count)
}

nix::ioctl_read_bad!(
    /// What a socket's peer has not acknowledged; the number has two names.
    outgoing,
    libc::TIOCOUTQ,
    c_int
);
