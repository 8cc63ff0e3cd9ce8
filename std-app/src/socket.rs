//! What the standard library lacks for a TCP socket: a wait for it with a time limit, a write that does not wait, and options.
//! An option that a system lacks is an error of the kind `Unsupported`.

use core::time::Duration;
use std::{io, net::TcpStream};

use socket2::Socket;

/// What to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readiness {
    /// There is something to read.
    Read,
    /// There is room to write.
    Write,
}

/// Waits until the socket is ready, at most this long. Whether it is. A signal handler ends the wait with `Interrupted`.
#[cfg(unix)]
pub(crate) fn wait(stream: &TcpStream, readiness: Readiness, timeout: Duration) -> io::Result<bool> {
    use std::os::fd::AsFd;

    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    let events = match readiness {
        Readiness::Read => PollFlags::POLLIN,
        Readiness::Write => PollFlags::POLLOUT,
    };
    // Rounded up, so that the time has passed when the wait ends.
    let milliseconds = u32::try_from(timeout.as_micros().div_ceil(1000)).unwrap_or(u32::MAX);
    let timeout = PollTimeout::try_from(milliseconds).unwrap_or(PollTimeout::MAX);
    Ok(poll(&mut [PollFd::new(stream.as_fd(), events)], timeout)? > 0)
}

/// The same.
#[cfg(not(unix))]
pub(crate) fn wait(stream: &TcpStream, readiness: Readiness, timeout: Duration) -> io::Result<bool> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    let events = match readiness {
        Readiness::Read => PollFlags::IN,
        Readiness::Write => PollFlags::OUT,
    };
    let timeout = Timespec::try_from(timeout).map_err(io::Error::other)?;
    Ok(poll(&mut [PollFd::new(stream, events)], Some(&timeout))? > 0)
}

/// Writes to a blocking socket, but fails with `WouldBlock` where it would wait.
#[cfg(unix)]
pub(crate) fn write_now(stream: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    // The standard library ignores SIGPIPE, so no flag is needed for that.
    socket2::SockRef::from(stream).send_with_flags(bytes, nix::libc::MSG_DONTWAIT)
}

/// The same: Windows has no flag for a single write.
#[cfg(not(unix))]
pub(crate) fn write_now(mut stream: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    stream.set_nonblocking(true)?;
    let written = io::Write::write(&mut stream, bytes);
    stream.set_nonblocking(false)?;
    written
}

/// Whether a non-blocking socket has only begun to connect.
pub(crate) fn is_connecting(error: &io::Error) -> bool {
    #[cfg(unix)]
    return error.raw_os_error() == Some(nix::errno::Errno::EINPROGRESS as i32);
    #[cfg(not(unix))]
    return error.kind() == io::ErrorKind::WouldBlock;
}

/// Sets the maximum segment size (`TCP_MAXSEG`).
pub(crate) fn set_mss(socket: &Socket, mss: u32) -> io::Result<()> {
    #[cfg(unix)]
    return socket.set_tcp_mss(mss);
    #[cfg(not(unix))]
    return unsupported((socket, mss));
}

/// The maximum segment size (`TCP_MAXSEG`).
pub(crate) fn mss(stream: &TcpStream) -> io::Result<u32> {
    #[cfg(unix)]
    return socket2::SockRef::from(stream).tcp_mss();
    #[cfg(not(unix))]
    return unsupported(stream);
}

/// Uses this network interface only (`SO_BINDTODEVICE`).
pub(crate) fn bind_device(socket: &Socket, interface: &str) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    return socket.bind_device(Some(interface.as_bytes()));
    #[cfg(not(target_os = "linux"))]
    return unsupported((socket, interface));
}

/// Sends no segment until the next FIN or until it is full (`TCP_CORK`).
pub(crate) fn set_cork(stream: &TcpStream) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    return socket2::SockRef::from(stream).set_tcp_cork(true);
    #[cfg(not(target_os = "linux"))]
    return unsupported(stream);
}

/// Acknowledges what comes next at once, instead of after some milliseconds (`TCP_QUICKACK`): for a moment only.
pub(crate) fn acknowledge_at_once(stream: &TcpStream) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    return socket2::SockRef::from(stream).set_tcp_quickack(true);
    #[cfg(not(target_os = "linux"))]
    return unsupported((stream, ()));
}

/// Sets how many bytes that are not sent yet a write may queue (`TCP_NOTSENT_LOWAT`).
pub(crate) fn set_unsent_limit(stream: &TcpStream, bytes: u32) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    return socket2::SockRef::from(stream).set_tcp_notsent_lowat(bytes);
    #[cfg(not(target_os = "linux"))]
    return unsupported((stream, bytes));
}

#[cfg(not(target_os = "linux"))]
fn unsupported<T, U>(_: T) -> io::Result<U> {
    Err(io::ErrorKind::Unsupported.into())
}
