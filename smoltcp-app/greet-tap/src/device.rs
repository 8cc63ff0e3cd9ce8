//! A Linux TAP device as smoltcp's: a read is a frame that came, a write is a frame that goes.

use std::{
    fs::{File, OpenOptions},
    io::{self, ErrorKind, Read, Write},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::fs::OpenOptionsExt,
    },
};

use nix::{libc, net::if_::if_nametoindex};
use smoltcp::{
    phy::{self, Device, DeviceCapabilities, Medium},
    time::Instant,
    wire::EthernetAddress,
};
use thiserror::Error;

use crate::interface::Interface;

const TUN: &str = "/dev/net/tun";

/// Ethernet's header, which a packet's limit does not count.
const HEADER: usize = 14;
/// A header may have a tag for a virtual network, which is not ours; read whole, such a frame is known and left alone.
const TAG: usize = 4;
/// The shortest limit of packets that every IPv6 network has (RFC 8200, 5).
const LEAST_PACKET_LIMIT: usize = 1280;
/// The longest packet that smoltcp is made for.
const LARGEST_PACKET_LIMIT: usize = 9216 - HEADER;

/// Why there is no TAP, or no more.
#[derive(Debug, Error)]
pub(crate) enum TapError {
    #[error("there is no {TUN}: load its driver with `sudo modprobe tun`")]
    NoDriver,
    #[error("{TUN} may not be opened: permit it with `sudo chmod 0666 {TUN}`")]
    DriverNotPermitted,
    #[error("there is no network device `{0}`: make it with `sudo smoltcp-app/tap up {0}`")]
    Missing(String),
    #[error(
        "the network device `{0}` is no TAP, or one with several queues: make one with `sudo smoltcp-app/tap up`, and \
         name it with --tap"
    )]
    NotTap(String),
    #[error(
        "the TAP device `{0}` belongs to another user: make it yours with \
         `sudo smoltcp-app/tap down {0} && sudo smoltcp-app/tap up {0}`"
    )]
    NotPermitted(String),
    #[error(
        "the TAP device `{0}` is in use: end the program that has it; `sudo fuser -v {TUN}` lists who uses TAP devices"
    )]
    Busy(String),
    #[error("the network device `{0}` is down: set it up with `sudo ip link set {0} up`")]
    Down(String),
    #[error("packets on `{name}` may have {limit} bytes: set a fit limit with `sudo ip link set {name} mtu 1500`")]
    PacketLimit { name: String, limit: usize },
    #[error("the network device `{0}` was removed: make it again with `sudo smoltcp-app/tap up {0}`")]
    Removed(String),
    #[error("the TAP device `{name}` cannot be used: {error}")]
    Other { name: String, error: io::Error },
}

/// A TAP device, which must exist and be up; that takes no right if it was made for the user.
///
/// It reads and writes without waiting, into two buffers that it keeps.
#[derive(Debug)]
pub(crate) struct Tap {
    /// What smoltcp takes the device for.
    frame_limit: usize,
    hardware_address: [u8; 6],
    index: u32,
    received: Box<[u8]>,
    wire: Wire,
}

/// The wire, and what goes onto it.
#[derive(Debug)]
struct Wire {
    name: String,
    interface: Interface,
    file: File,
    frame: Vec<u8>,
    /// Why nothing is read or written any more.
    error: Option<io::Error>,
    link: Link,
    /// Frames that did not go out, as the system had no room for them or the link was down.
    dropped: u64,
}

/// Whether somebody has set the link down while it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    Up,
    Down,
    /// It was down, and nobody was told yet that it is up.
    UpAgain,
}

impl Tap {
    /// Takes hold of the TAP device `name`.
    pub(crate) fn open(name: &str) -> Result<Self, TapError> {
        let other = |error| TapError::Other { name: name.to_owned(), error };
        let file = OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open(TUN).map_err(
            |error| match (error.kind(), error.raw_os_error()) {
                (ErrorKind::NotFound, _) | (_, Some(libc::ENODEV | libc::ENXIO)) => TapError::NoDriver,
                (ErrorKind::PermissionDenied, _) => TapError::DriverNotPermitted,
                _ => other(error),
            },
        )?;
        // Before it is attached: for root, attaching would make the device, and the host's side would have no address.
        let interface = Interface::find(name).map_err(other)?.ok_or_else(|| TapError::Missing(name.to_owned()))?;
        interface.attach(&file).map_err(|error| match error.raw_os_error() {
            Some(libc::EINVAL) => TapError::NotTap(name.to_owned()),
            Some(libc::EPERM) => TapError::NotPermitted(name.to_owned()),
            Some(libc::EBUSY) => TapError::Busy(name.to_owned()),
            _ => other(error),
        })?;
        if !interface.is_up().map_err(other)? {
            return Err(TapError::Down(name.to_owned()));
        }
        // Where that cannot be asked, it is noticed all the same, though later.
        let _ = interface.notice_link();
        let limit = interface.packet_limit().map_err(other)?;
        if !(LEAST_PACKET_LIMIT..=LARGEST_PACKET_LIMIT).contains(&limit) {
            return Err(TapError::PacketLimit { name: name.to_owned(), limit });
        }
        let frame_limit = limit.saturating_add(HEADER);
        let hardware_address = interface.hardware_address().map_err(other)?;
        let index = if_nametoindex(name).map_err(|error| other(error.into()))?;
        Ok(Self {
            frame_limit,
            hardware_address,
            index,
            received: vec![0; frame_limit.saturating_add(TAG)].into(),
            wire: Wire {
                name: name.to_owned(),
                interface,
                file,
                frame: vec![0; frame_limit],
                error: None,
                link: Link::Up,
                dropped: 0,
            },
        })
    }

    /// A hardware address for this end of the wire: another than the system's end has, and the same for every program
    /// on this device, for the neighbours remember it.
    pub(crate) const fn peer_address(&self) -> EthernetAddress {
        const LOCALLY_ADMINISTERED: u8 = 0b10;
        const GROUP: u8 = 0b1;
        let mut address = self.hardware_address;
        address[0] = (address[0] | LOCALLY_ADMINISTERED) & !GROUP;
        address[5] ^= 1;
        EthernetAddress(address)
    }

    /// Why the device is of no use any more, if it is not.
    pub(crate) fn take_error(&mut self) -> Option<TapError> {
        let error = self.wire.error.take()?;
        let name = self.wire.name.clone();
        Some(match error.raw_os_error() {
            Some(libc::EBADFD | libc::ENODEV) => TapError::Removed(name),
            _ => TapError::Other { name, error },
        })
    }

    /// Looks whether the link is up, as something was said about it: that it was down, perhaps.
    pub(crate) fn look(&mut self, was_down: bool) {
        self.wire.look(was_down);
    }

    /// The number that the system calls the device by.
    pub(crate) const fn index(&self) -> u32 {
        self.index
    }

    /// Whether the link was down for a while, and is up again; said once.
    pub(crate) fn is_up_again(&mut self) -> bool {
        let is = self.wire.link == Link::UpAgain;
        if is {
            self.wire.link = Link::Up;
        }
        is
    }

    /// Frames that did not go out, as the system had no room for them or the link was down.
    pub(crate) const fn dropped(&self) -> u64 {
        self.wire.dropped
    }
}

impl AsFd for Tap {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wire.file.as_fd()
    }
}

impl Device for Tap {
    type RxToken<'a> = Received<'a>;
    type TxToken<'a> = Permit<'a>;

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = self.frame_limit;
        capabilities
    }

    fn receive(&mut self, _: Instant) -> Option<(Received<'_>, Permit<'_>)> {
        let length = self.wire.receive(&mut self.received)?;
        Some((Received(self.received.get(..length)?), Permit(&mut self.wire)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Permit<'_>> {
        Some(Permit(&mut self.wire))
    }
}

impl Wire {
    /// The length of a frame that came, if one did.
    fn receive(&mut self, buffer: &mut [u8]) -> Option<usize> {
        if self.error.is_some() {
            return None;
        }
        loop {
            match self.file.read(buffer) {
                Ok(length) => return Some(length),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return None,
                Err(error) => {
                    self.error = Some(error);
                    return None;
                }
            }
        }
    }

    /// Sends the first bytes of `self.frame`.
    fn send(&mut self, length: usize) {
        if self.error.is_some() {
            return;
        }
        let frame = self.frame.get(..length).unwrap_or(&self.frame);
        loop {
            match self.file.write(frame) {
                Ok(_) => {
                    if self.link == Link::Down {
                        self.link = Link::UpAgain;
                    }
                    return;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return self.failed(error),
            }
        }
    }

    fn failed(&mut self, error: io::Error) {
        match error.raw_os_error() {
            // As a wire does, and TCP makes good: there is no room just now.
            Some(libc::EAGAIN | libc::ENOBUFS | libc::ENOMEM) => self.dropped = self.dropped.saturating_add(1),
            // A cable that is pulled does not end a service either.
            Some(libc::EIO) => {
                self.dropped = self.dropped.saturating_add(1);
                self.look(true);
            }
            _ => self.error = Some(error),
        }
    }

    /// Looks whether the link is up, and remembers when it was down.
    fn look(&mut self, was_down: bool) {
        // A change is told of before it is done: a device that is removed is first set down, and one that is set up does
        // not hear at once. This waits for the end of it.
        let is_up = match self.interface.is_attached(&self.file).and_then(|()| self.interface.is_up()) {
            Ok(is_up) => is_up,
            Err(error) => return self.error = Some(error),
        };
        match (is_up, self.link) {
            (true, Link::Down) => self.link = Link::UpAgain,
            (true, Link::Up) if was_down => self.link = Link::UpAgain,
            (false, Link::Up | Link::UpAgain) => {
                self.link = Link::Down;
                let name = &self.name;
                tracing::warn!(
                    "the network device `{name}` was set down, and nobody is heard until `sudo ip link set {name} up`"
                );
            }
            _ => {}
        }
    }
}

/// A frame that came.
pub(crate) struct Received<'a>(&'a [u8]);

impl phy::RxToken for Received<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(self.0)
    }
}

/// The right to send one frame.
pub(crate) struct Permit<'a>(&'a mut Wire);

impl phy::TxToken for Permit<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, write: F) -> R {
        let Self(wire) = self;
        if wire.frame.len() < length {
            wire.frame.resize(length, 0); // never, as long as smoltcp keeps to the limit
        }
        let result = write(wire.frame.get_mut(..length).unwrap_or_default());
        wire.send(length);
        result
    }
}
