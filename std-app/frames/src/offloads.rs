//! The offloads of a network interface: with them the frames that a packet socket sees are not those on the wire.

#[cfg(target_os = "linux")]
use nix::libc;

/// The commands of `SIOCETHTOOL` that tell whether an offload is on (`linux/ethtool.h`), by their names in `ethtool -K`.
#[cfg(target_os = "linux")]
const OFFLOADS: [(&str, u32); 5] = [("rx", 0x14), ("tx", 0x16), ("tso", 0x1e), ("gso", 0x23), ("gro", 0x2b)];

/// The argument of such a command, `struct ethtool_value`.
#[cfg(target_os = "linux")]
#[repr(C)]
struct Value {
    command: u32,
    data: u32,
}

/// The offloads that are on for the interface with this name, as `ethtool -K` names them. A driver that does not tell has none.
#[cfg(target_os = "linux")]
#[must_use]
pub fn offloads(name: &str) -> Vec<&'static str> {
    use core::ptr;
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
    use std::os::fd::AsRawFd;
    let Ok(socket) = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None) else {
        return Vec::new();
    };
    let is_on = |command| {
        let mut value = Value { command, data: 0 };
        let mut ifr_name = [0; libc::IFNAMSIZ];
        // The last byte stays 0.
        for (to, from) in ifr_name.iter_mut().take(libc::IFNAMSIZ - 1).zip(name.bytes()) {
            *to = libc::c_char::from_ne_bytes([from]);
        }
        let ifru_data = ptr::from_mut(&mut value).cast();
        let mut request = libc::ifreq { ifr_name, ifr_ifru: libc::__c_anonymous_ifr_ifru { ifru_data } };
        // SAFETY: `request` is a `struct ifreq` with a name that ends with 0 and a pointer to a `struct ethtool_value`. The
        // kernel reads and writes no more than these two, which live until the call returns.
        let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL as _, ptr::from_mut(&mut request)) };
        result == 0 && value.data != 0
    };
    OFFLOADS.iter().filter(|(_, command)| is_on(*command)).map(|(name, _)| *name).collect()
}

/// None: only Linux tells.
#[cfg(not(target_os = "linux"))]
#[must_use]
pub fn offloads(_: &str) -> Vec<&'static str> {
    Vec::new()
}
