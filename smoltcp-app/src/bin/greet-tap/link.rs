//! Hearing of it when a network device is set down or up: an idle program would find out by nothing else.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use nix::{
    libc,
    sys::socket::{AddressFamily, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, socket},
    unistd::read,
};

/// Where the system tells of changes, of all its devices.
#[derive(Debug)]
pub(crate) struct Changes(OwnedFd);

impl Changes {
    /// Listens from now on.
    pub(crate) fn listen() -> io::Result<Self> {
        use std::os::fd::AsRawFd;
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let socket = socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkRoute)?;
        let groups = u32::try_from(libc::RTMGRP_LINK).map_err(io::Error::other)?;
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, groups))?;
        Ok(Self(socket))
    }

    /// Takes what was told. What it says is not read: whoever wants to know looks at the device itself.
    pub(crate) fn take(&self) {
        let mut message = [0; 4096];
        // An error ends it too: that nothing is there, or that something was lost because nobody took it.
        while read(&self.0, &mut message).is_ok_and(|length| length > 0) {}
    }
}

impl AsFd for Changes {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
