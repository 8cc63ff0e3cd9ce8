//! Notices when network devices are set down or up: an idle program would not find out otherwise.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
};

use netlink_packet_core::NetlinkBuffer;
use netlink_packet_route::link::{LinkFlags, LinkHeader};
use nix::{
    errno::Errno,
    libc,
    sys::socket::{AddressFamily, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, socket},
    unistd::read,
};

/// A netlink socket that receives the changes of all network devices.
#[derive(Debug)]
pub(crate) struct LinkChanges(OwnedFd);

impl LinkChanges {
    /// Subscribes to the changes.
    pub(crate) fn listen() -> io::Result<Self> {
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let socket = socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkRoute)?;
        let groups = u32::try_from(libc::RTMGRP_LINK).map_err(io::Error::other)?;
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, groups))?;
        Ok(Self(socket))
    }

    /// Reads the pending changes. Returns whether the device of that index was down in between, or may have been. Its present
    /// state is not among them.
    pub(crate) fn take(&self, index: u32) -> bool {
        let mut was_down = false;
        let mut datagram = [0; 8192];
        loop {
            match read(&self.0, &mut datagram) {
                Ok(length @ 1..) => was_down |= reports_down(datagram.get(..length).unwrap_or_default(), index),
                Err(Errno::ENOBUFS) => was_down = true, // changes were lost
                _ => return was_down,
            }
        }
    }
}

impl AsFd for LinkChanges {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Whether one of these netlink messages says that the device of that index is down.
fn reports_down(mut messages: &[u8], index: u32) -> bool {
    const ALIGNMENT: usize = 4;
    while let Ok(message) = NetlinkBuffer::new_checked(messages) {
        // The header alone: its fields never change, unlike the attributes behind it.
        if message.message_type() == libc::RTM_NEWLINK
            && let Ok(link) = LinkHeader::parse(message.payload())
            && link.index == index
            && !link.flags.contains(LinkFlags::Up)
        {
            return true;
        }
        let length = usize::try_from(message.length()).unwrap_or(usize::MAX).clamp(ALIGNMENT, messages.len());
        messages = messages.get(length.next_multiple_of(ALIGNMENT)..).unwrap_or_default();
    }
    false
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
    fn a_device_that_was_down_is_found_in_any_of_several_messages() {
        const UP: u32 = 0x1043;
        let (up, down) = (message(libc::RTM_NEWLINK, 7, UP), message(libc::RTM_NEWLINK, 7, UP & !1));
        let (other, address) = (message(libc::RTM_NEWLINK, 8, 0), message(libc::RTM_NEWADDR, 7, 0));
        let all = [other.clone(), address.clone(), up.clone(), down, up.clone()].concat();
        assert!(reports_down(&all, 7));
        assert!(!reports_down(&[other, address, up].concat(), 7));
        for length in 0..all.len() {
            reports_down(&all[..length], 7); // comes to an end
            reports_down(&vec![0; length], 7);
        }
    }
}
