//! What Linux knows about a network interface, and the system calls of TAP devices that no library has.
//!
//! The files under /sys are of no use: in a network namespace they may show the interfaces of another one.

use std::{
    fs::File,
    io,
    os::{fd::AsRawFd, unix::net::UnixDatagram},
};

use nix::{
    ifaddrs::getifaddrs,
    libc::{self, c_char, c_int, c_short},
    net::if_::InterfaceFlags,
};

use crate::offload;

/// An interface by its name, and a socket for questions about it.
#[derive(Debug)]
pub(crate) struct Interface {
    name: String,
    /// The name as system calls take it.
    field: [c_char; libc::IFNAMSIZ],
    socket: UnixDatagram,
}

/// The present state of an interface.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Status {
    pub(crate) is_up: bool,
    pub(crate) index: u32,
    /// MAC address of the host's side; zeros if it has none.
    pub(crate) hardware_address: [u8; 6],
}

impl Interface {
    /// The interface of that name; `None` if there is none.
    pub(crate) fn find(name: &str) -> io::Result<Option<Self>> {
        let mut field = [0; libc::IFNAMSIZ];
        // The last byte stays 0: the end of the name.
        if name.is_empty() || name.len() >= field.len() {
            return Ok(None);
        }
        for (to, from) in field.iter_mut().zip(name.bytes()) {
            *to = c_char::from_ne_bytes([from]);
        }
        // A socket of any kind will do.
        let interface = Self { name: name.to_owned(), field, socket: UnixDatagram::unbound()? };
        match interface.status() {
            Ok(_) => Ok(Some(interface)),
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The present state; the error ENODEV if the interface was removed.
    pub(crate) fn status(&self) -> io::Result<Status> {
        let found = getifaddrs()?.filter(|found| found.interface_name == self.name).find_map(|found| {
            let address = *found.address?.as_link_addr()?;
            Some(Status {
                is_up: found.flags.contains(InterfaceFlags::IFF_UP),
                index: u32::try_from(address.ifindex()).ok()?,
                hardware_address: address.addr().unwrap_or_default(),
            })
        });
        found.ok_or_else(|| io::Error::from_raw_os_error(libc::ENODEV))
    }

    /// Makes the kernel notice now that the TAP device is attached. Otherwise it does so after a while, and until then drops
    /// every frame that it should send, the answer to the first ARP request too.
    pub(crate) fn notice_link(&self) -> io::Result<()> {
        let mut question = LinkQuestion { command: GET_LINK, answer: 0 };
        let mut request = self.request();
        request.ifr_ifru.ifru_data = (&raw mut question).cast();
        // SAFETY: the request and the question that it points to outlive the call, and the kernel fills the answer.
        unsafe { ask_driver(self.socket.as_raw_fd(), &raw mut request)? };
        Ok(())
    }

    /// The MTU: the longest packet in bytes, without the Ethernet header.
    pub(crate) fn mtu(&self) -> io::Result<usize> {
        let mut request = self.request();
        // SAFETY: the request outlives the call, and the kernel fills it with the MTU.
        let mtu = unsafe {
            get_mtu(self.socket.as_raw_fd(), &raw mut request)?;
            request.ifr_ifru.ifru_mtu
        };
        usize::try_from(mtu).map_err(io::Error::other)
    }

    /// Attaches `tap`, an open /dev/net/tun, to this interface: then each read and each write is one frame. If `offloads` and
    /// Linux is able to, the [header](crate::offload) precedes it, and a frame may be a TCP segment of up to 64 KB. Returns
    /// whether that is so.
    pub(crate) fn attach(&self, tap: &File, offloads: bool) -> io::Result<bool> {
        let has_header = offloads && can_have_header(tap);
        let mut request = self.request();
        let flags = libc::IFF_TAP | libc::IFF_NO_PI | if has_header { libc::IFF_VNET_HDR } else { 0 };
        request.ifr_ifru.ifru_flags = c_short::try_from(flags).map_err(io::Error::other)?;
        // SAFETY: the request outlives the call, which reads it and writes nothing but it.
        unsafe { set_interface(tap.as_raw_fd(), &raw const request)? };
        if !has_header {
            Self::end_offload(tap)?;
            return Ok(false);
        }
        // What an earlier program set stays with the device, so everything is set.
        let (length, is_little_endian) = (c_int::try_from(offload::HEADER).map_err(io::Error::other)?, 1);
        // SAFETY: each of these two calls reads one number, which outlives it.
        unsafe {
            set_header_length(tap.as_raw_fd(), &raw const length)?;
            set_little_endian(tap.as_raw_fd(), &raw const is_little_endian)?;
        }
        let all = libc::TUN_F_CSUM | libc::TUN_F_TSO4 | libc::TUN_F_TSO6;
        // SAFETY: no memory is involved.
        if unsafe { set_offload(tap.as_raw_fd(), all.cast_signed()) }.is_err() {
            // Linux hands over no long segments, but takes them.
            Self::end_offload(tap)?;
        }
        Ok(true)
    }

    /// Ends the offloads, also those that an earlier program set: they stay with the device. Without the header a program could not
    /// tell which frames are longer than the MTU and lack their checksums.
    pub(crate) fn end_offload(tap: &File) -> io::Result<()> {
        // SAFETY: no memory is involved.
        unsafe { set_offload(tap.as_raw_fd(), 0)? };
        Ok(())
    }

    /// Fails if `tap` is not attached to this interface any more. The call waits until a current change of interfaces is
    /// complete.
    pub(crate) fn is_attached(&self, tap: &File) -> io::Result<()> {
        let mut request = self.request();
        // SAFETY: the request outlives the call, and the kernel fills it.
        unsafe { get_interface(tap.as_raw_fd(), &raw mut request)? };
        Ok(())
    }

    const fn request(&self) -> libc::ifreq {
        // This member is as large as the union, so that the kernel reads no uninitialized bytes.
        let map = libc::__c_anonymous_ifru_map { mem_start: 0, mem_end: 0, base_addr: 0, irq: 0, dma: 0, port: 0 };
        libc::ifreq { ifr_name: self.field, ifr_ifru: libc::__c_anonymous_ifr_ifru { ifru_map: map } }
    }
}

/// Whether Linux can put the [header](crate::offload) before each frame.
fn can_have_header(tap: &File) -> bool {
    let mut features: c_int = 0;
    // SAFETY: the call writes nothing but the features, which outlive it.
    let result = unsafe { get_features(tap.as_raw_fd(), &raw mut features) };
    result.is_ok() && features & libc::IFF_VNET_HDR != 0
}

/// `struct ethtool_value` of Linux.
#[repr(C)]
struct LinkQuestion {
    command: u32,
    answer: u32,
}

/// `ETHTOOL_GLINK`. The answer is not needed: the question makes the kernel look.
const GET_LINK: u32 = 0x0a;

nix::ioctl_read_bad!(ask_driver, libc::SIOCETHTOOL, libc::ifreq);
nix::ioctl_read_bad!(get_mtu, libc::SIOCGIFMTU, libc::ifreq);
nix::ioctl_read_bad!(get_interface, libc::TUNGETIFF, libc::ifreq);
nix::ioctl_read_bad!(get_features, libc::TUNGETFEATURES, c_int);
nix::ioctl_write_ptr_bad!(set_interface, libc::TUNSETIFF, libc::ifreq);
nix::ioctl_write_ptr_bad!(set_header_length, libc::TUNSETVNETHDRSZ, c_int);
nix::ioctl_write_ptr_bad!(set_little_endian, libc::TUNSETVNETLE, c_int);
nix::ioctl_write_int_bad!(set_offload, libc::TUNSETOFFLOAD);
