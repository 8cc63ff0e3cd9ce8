//! What Linux knows of a network interface, and how a program takes hold of a TAP: the system calls that no library has.
//!
//! Not by the files under /sys: in a network namespace they still show the interfaces of another.

use std::{
    fs::File,
    io,
    os::{fd::AsRawFd, unix::net::UnixDatagram},
};

use nix::libc::{self, c_char, c_int, c_short};

/// An interface, and a socket to ask about it.
#[derive(Debug)]
pub(crate) struct Interface {
    name: [c_char; libc::IFNAMSIZ],
    socket: UnixDatagram,
}

impl Interface {
    /// The interface of that name; `None` where there is none.
    pub(crate) fn find(name: &str) -> io::Result<Option<Self>> {
        let mut field = [0; libc::IFNAMSIZ];
        // The last byte stays 0, as the end of the name.
        if name.is_empty() || name.len() >= field.len() {
            return Ok(None);
        }
        for (to, from) in field.iter_mut().zip(name.bytes()) {
            *to = c_char::from_ne_bytes([from]);
        }
        // Of any kind: these questions are not for the socket.
        let interface = Self { name: field, socket: UnixDatagram::unbound()? };
        match interface.is_up() {
            Ok(_) => Ok(Some(interface)),
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether it is up, as `ip link set NAME up` makes it.
    pub(crate) fn is_up(&self) -> io::Result<bool> {
        let mut request = self.request();
        // SAFETY: the request outlives the call, and the kernel fills it with the flags.
        let flags = unsafe {
            get_flags(self.socket.as_raw_fd(), &raw mut request)?;
            request.ifr_ifru.ifru_flags
        };
        Ok(c_int::from(flags) & libc::IFF_UP != 0)
    }

    /// Has the system notice now that the other side is attached. Otherwise it does in a while, and lets until then every
    /// frame fall that it has to send: the answer to a first question too.
    pub(crate) fn notice_link(&self) -> io::Result<()> {
        let mut question = LinkQuestion { command: GET_LINK, answer: 0 };
        let mut request = self.request();
        request.ifr_ifru.ifru_data = (&raw mut question).cast();
        // SAFETY: the request and the question that it points to outlive the call, and the kernel fills the answer.
        unsafe { ask_driver(self.socket.as_raw_fd(), &raw mut request)? };
        Ok(())
    }

    /// How many bytes one packet may have, without the frame around it.
    pub(crate) fn packet_limit(&self) -> io::Result<usize> {
        let mut request = self.request();
        // SAFETY: the request outlives the call, and the kernel fills it with the limit.
        let limit = unsafe {
            get_packet_limit(self.socket.as_raw_fd(), &raw mut request)?;
            request.ifr_ifru.ifru_mtu
        };
        usize::try_from(limit).map_err(io::Error::other)
    }

    /// The address that its own side of the wire has.
    pub(crate) fn hardware_address(&self) -> io::Result<[u8; 6]> {
        let mut request = self.request();
        // SAFETY: the request outlives the call, and the kernel fills it with the address.
        let address = unsafe {
            get_hardware_address(self.socket.as_raw_fd(), &raw mut request)?;
            request.ifr_ifru.ifru_hwaddr
        };
        let [a, b, c, d, e, f, ..] = address.sa_data.map(|byte| byte.to_ne_bytes()).map(|[byte]| byte);
        Ok([a, b, c, d, e, f])
    }

    /// Makes `tap`, which is /dev/net/tun, this interface's other side: one frame a read, one frame a write.
    pub(crate) fn attach(&self, tap: &File) -> io::Result<()> {
        let mut request = self.request();
        let flags = libc::IFF_TAP | libc::IFF_NO_PI;
        request.ifr_ifru.ifru_flags = c_short::try_from(flags).map_err(io::Error::other)?;
        // SAFETY: the request outlives the call, which reads it and writes nothing but it.
        unsafe { set_interface(tap.as_raw_fd(), &raw const request)? };
        // What an earlier program asked for stays with the device: without this, frames could come larger than the wire
        // allows, and without their checksums.
        // SAFETY: no memory is involved.
        unsafe { set_offload(tap.as_raw_fd(), 0)? };
        Ok(())
    }

    /// Whether `tap` still is this interface's other side. The answer waits until a change of an interface that the system
    /// is about to make is made.
    pub(crate) fn is_attached(&self, tap: &File) -> io::Result<()> {
        let mut request = self.request();
        // SAFETY: the request outlives the call, and the kernel fills it.
        unsafe { get_interface(tap.as_raw_fd(), &raw mut request)? };
        Ok(())
    }

    const fn request(&self) -> libc::ifreq {
        // The member that is as large as the union, so that the kernel reads nothing that has no value.
        let map = libc::__c_anonymous_ifru_map { mem_start: 0, mem_end: 0, base_addr: 0, irq: 0, dma: 0, port: 0 };
        libc::ifreq { ifr_name: self.name, ifr_ifru: libc::__c_anonymous_ifr_ifru { ifru_map: map } }
    }
}

/// What the system calls `struct ethtool_value`.
#[repr(C)]
struct LinkQuestion {
    command: u32,
    answer: u32,
}

/// Whether there is a link, which is of no interest here: the question is what makes it noticed.
const GET_LINK: u32 = 0x0a;

nix::ioctl_read_bad!(ask_driver, libc::SIOCETHTOOL, libc::ifreq);
nix::ioctl_read_bad!(get_flags, libc::SIOCGIFFLAGS, libc::ifreq);
nix::ioctl_read_bad!(get_packet_limit, libc::SIOCGIFMTU, libc::ifreq);
nix::ioctl_read_bad!(get_hardware_address, libc::SIOCGIFHWADDR, libc::ifreq);
nix::ioctl_read_bad!(get_interface, libc::TUNGETIFF, libc::ifreq);
nix::ioctl_write_ptr_bad!(set_interface, libc::TUNSETIFF, libc::ifreq);
nix::ioctl_write_int_bad!(set_offload, libc::TUNSETOFFLOAD);
