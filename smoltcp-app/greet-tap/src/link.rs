//! Hearing of it when a network device is set down or up: an idle program would find out by nothing else.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use nix::{
    errno::Errno,
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

    /// Takes what was told; whether the device of that index was down meanwhile, or may have been. How it is now is to be
    /// asked of the device itself.
    pub(crate) fn take(&self, index: u32) -> bool {
        let mut was_down = false;
        let mut datagram = [0; 8192];
        loop {
            match read(&self.0, &mut datagram) {
                Ok(length @ 1..) => was_down |= tells_of_down(datagram.get(..length).unwrap_or_default(), index),
                Err(Errno::ENOBUFS) => was_down = true, // something was told and is lost
                _ => return was_down,
            }
        }
    }
}

/// Whether one of these messages (RFC 3549, 2.3.2 and 3.1.1) says that the device of that index is down.
fn tells_of_down(mut messages: &[u8], index: u32) -> bool {
    const ALIGNMENT: usize = 4;
    // Where a message has its length; its kind; the device's index; the device's flags.
    while let (Some(length), Some(kind), Some(device), Some(flags)) =
        (word(messages, 0), word(messages, 4), word(messages, 20), word(messages, 24))
    {
        let is_link = u16::try_from(kind & 0xFFFF) == Ok(libc::RTM_NEWLINK);
        if is_link && device == index && flags & libc::IFF_UP.cast_unsigned() == 0 {
            return true;
        }
        let length = usize::try_from(length).unwrap_or(usize::MAX).clamp(ALIGNMENT, messages.len());
        messages = messages.get(length.next_multiple_of(ALIGNMENT)..).unwrap_or_default();
    }
    false
}

fn word(bytes: &[u8], position: usize) -> Option<u32> {
    bytes.get(position..)?.first_chunk().copied().map(u32::from_ne_bytes)
}

impl AsFd for Changes {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u16, index: u32, flags: u32) -> Vec<u8> {
        let mut bytes = 35_u32.to_ne_bytes().to_vec();
        bytes.extend(u32::from(kind).to_ne_bytes());
        bytes.extend([0; 12]);
        bytes.extend(index.to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        bytes.extend([0; 8]); // 3 bytes of an attribute, and 1 that fills up, are among them
        bytes
    }

    #[test]
    fn that_a_device_was_down_is_read_from_any_message_of_several() {
        const UP: u32 = 0x1043;
        let (up, down) = (message(libc::RTM_NEWLINK, 7, UP), message(libc::RTM_NEWLINK, 7, UP & !1));
        let (other, address) = (message(libc::RTM_NEWLINK, 8, 0), message(libc::RTM_NEWADDR, 7, 0));
        let all = [other.clone(), address.clone(), up.clone(), down, up.clone()].concat();
        assert!(tells_of_down(&all, 7));
        assert!(!tells_of_down(&[other, address, up].concat(), 7));
        for length in 0..all.len() {
            tells_of_down(&all[..length], 7); // comes to an end
            tells_of_down(&vec![0; length], 7);
        }
    }
}
