//! A Linux TAP device for smoltcp: each read receives a frame, each write sends one.

use core::num::{NonZeroU16, NonZeroUsize};
use std::{
    fs::{File, OpenOptions},
    io::{self, ErrorKind, Read, Write},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::fs::OpenOptionsExt,
    },
};

use greet_host::clock;
use nix::libc;
use smoltcp::{
    phy::{self, Checksum, Device, DeviceCapabilities, Medium, PacketMeta},
    time::Instant,
    wire::EthernetAddress,
};
use thiserror::Error;

use crate::{
    interface::{Interface, Status},
    offload,
    warning_limit::WarningLimit,
};

const TUN: &str = "/dev/net/tun";

/// Length of the Ethernet header, which the MTU does not count.
const HEADER: usize = 14;
/// Length of a VLAN tag: a frame with one is read whole, recognized and dropped.
const TAG: usize = 4;
/// The smallest MTU of an IPv6 link (RFC 8200, 5).
const SMALLEST_MTU: usize = 1280;
/// The largest MTU that Linux permits a TAP device: a frame has at most 65,535 bytes.
const LARGEST_MTU: usize = 65_535 - HEADER;

/// Why the TAP device cannot be used.
#[derive(Debug, Error)]
pub(crate) enum TapError {
    #[error("{TUN} does not exist: load its driver with `sudo modprobe tun`")]
    NoDriver,
    #[error("no permission to open {TUN}: give it with `sudo chmod 0666 {TUN}`")]
    DriverNotPermitted,
    #[error("the network device `{0}` does not exist: create it with `sudo smoltcp-app/tap up {0}`")]
    Missing(String),
    #[error(
        "the network device `{0}` is not a TAP device, or has several queues: create one with `sudo smoltcp-app/tap up`, \
         and name it with --tap"
    )]
    NotTap(String),
    #[error(
        "the TAP device `{0}` belongs to another user: make it yours with \
         `sudo smoltcp-app/tap down {0} && sudo smoltcp-app/tap up {0}`"
    )]
    NotPermitted(String),
    #[error("the TAP device `{0}` is in use by another program; `sudo fuser -v {TUN}` lists who uses TAP devices")]
    Busy(String),
    #[error("the network device `{0}` is down: set it up with `sudo ip link set {0} up`")]
    Down(String),
    #[error(
        "the MTU of `{name}` is {mtu} bytes, and has to be from {SMALLEST_MTU} to {LARGEST_MTU}: set it with `sudo ip link set \
         {name} mtu 1500`"
    )]
    Mtu { name: String, mtu: usize },
    #[error("the network device `{0}` was removed: create it again with `sudo smoltcp-app/tap up {0}`")]
    Removed(String),
    #[error("the TAP device `{name}` cannot be used: {error}")]
    Other { name: String, error: io::Error },
}

/// A TAP device, which has to exist and be up. A device that was made for this user takes no privileges.
///
/// Reads and writes do not block; each direction has a buffer for one frame.
#[derive(Debug)]
pub(crate) struct Tap {
    /// The longest frame in bytes, with its header, unless it is a segment that Linux splits.
    frame_limit: usize,
    hardware_address: [u8; 6],
    index: u32,
    received: Box<[u8]>,
    link: Link,
}

/// The link, and the frame that is being sent.
#[derive(Debug)]
struct Link {
    name: String,
    interface: Interface,
    file: File,
    /// Whether frames may be longer than the link's, see [`offload`].
    offloads: bool,
    frame: Vec<u8>,
    /// The error after which nothing is read or written any more.
    error: Option<io::Error>,
    state: LinkState,
    /// Limits the warnings about a link that was set down.
    warnings: WarningLimit,
    /// Frames that were not sent: the kernel had no memory for them, or the link was down.
    dropped: u64,
}

/// Whether the link was set down while it was in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LinkState {
    Up,
    Down,
    /// It was down, and the stack does not know yet that it is up.
    UpAgain,
}

impl Tap {
    /// Opens the TAP device `name`. Frames may be longer than the link's if `offloads` is true and Linux is able to, see
    /// [`offload`].
    pub(crate) fn open(name: &str, offloads: bool) -> Result<Self, TapError> {
        let other = |error| TapError::Other { name: name.to_owned(), error };
        let file = OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open(TUN).map_err(
            |error| match (error.kind(), error.raw_os_error()) {
                (ErrorKind::NotFound, _) | (_, Some(libc::ENODEV | libc::ENXIO)) => TapError::NoDriver,
                (ErrorKind::PermissionDenied, _) => TapError::DriverNotPermitted,
                _ => other(error),
            },
        )?;
        // First, because for root attaching would create the device, and the host would have no address on it.
        let interface = Interface::find(name).map_err(other)?.ok_or_else(|| TapError::Missing(name.to_owned()))?;
        let offloads = interface.attach(&file, offloads).map_err(|error| match error.raw_os_error() {
            Some(libc::EINVAL) => TapError::NotTap(name.to_owned()),
            Some(libc::EPERM) => TapError::NotPermitted(name.to_owned()),
            Some(libc::EBUSY) => TapError::Busy(name.to_owned()),
            _ => other(error),
        })?;
        let Status { is_up, index, hardware_address } = interface.status().map_err(other)?;
        if !is_up {
            return Err(TapError::Down(name.to_owned()));
        }
        // If this fails, the kernel notices the link later.
        let _ = interface.notice_link();
        let mtu = interface.mtu().map_err(other)?;
        if !(SMALLEST_MTU..=LARGEST_MTU).contains(&mtu) {
            return Err(TapError::Mtu { name: name.to_owned(), mtu });
        }
        let frame_limit = mtu.saturating_add(HEADER);
        let buffer = if offloads { offload::HEADER.saturating_add(offload::LONGEST) } else { frame_limit };
        Ok(Self {
            frame_limit,
            hardware_address,
            index,
            received: vec![0; buffer.saturating_add(TAG)].into(),
            link: Link {
                name: name.to_owned(),
                interface,
                file,
                offloads,
                frame: vec![0; buffer],
                error: None,
                state: LinkState::Up,
                warnings: WarningLimit::default(),
                dropped: 0,
            },
        })
    }

    /// A MAC address for this program: not that of the host, and always the same on this device, as neighbors cache it.
    pub(crate) const fn peer_address(&self) -> EthernetAddress {
        const LOCALLY_ADMINISTERED: u8 = 0b10;
        const GROUP: u8 = 0b1;
        let mut address = self.hardware_address;
        address[0] = (address[0] | LOCALLY_ADMINISTERED) & !GROUP;
        address[5] ^= 1;
        EthernetAddress(address)
    }

    /// The MAC address of the host.
    pub(crate) const fn host_address(&self) -> EthernetAddress {
        EthernetAddress(self.hardware_address)
    }

    /// The error after which the device is of no use, if there was one.
    pub(crate) fn take_error(&mut self) -> Option<TapError> {
        let error = self.link.error.take()?;
        let name = self.link.name.clone();
        Some(match error.raw_os_error() {
            Some(libc::EBADFD | libc::ENODEV) => TapError::Removed(name),
            _ => TapError::Other { name, error },
        })
    }

    /// Updates the state of the link; `was_down` tells that it was down in between.
    pub(crate) fn update_link(&mut self, was_down: bool) {
        self.link.update(was_down);
    }

    /// Prints how often the link was set down since the last warning, at most once a minute. Returns when that is due; `None`
    /// if there is nothing to print.
    pub(crate) fn warn_repeated(&mut self, now: greet_core::Instant) -> Option<greet_core::Instant> {
        self.link.warn_repeated(now);
        self.link.warnings.deadline()
    }

    /// The index of the interface.
    pub(crate) const fn index(&self) -> u32 {
        self.index
    }

    /// Whether the link was down and is up again. Each time is reported once.
    pub(crate) fn is_up_again(&mut self) -> bool {
        let is_up_again = self.link.state == LinkState::UpAgain;
        if is_up_again {
            self.link.state = LinkState::Up;
        }
        is_up_again
    }

    /// Frames that were not sent: the kernel had no memory for them, or the link was down.
    pub(crate) const fn dropped(&self) -> u64 {
        self.link.dropped
    }
}

impl AsFd for Tap {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.link.file.as_fd()
    }
}

impl Device for Tap {
    type RxToken<'a> = Received<'a>;
    type TxToken<'a> = Permit<'a>;

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = self.frame_limit;
        if self.link.offloads {
            // Sent: `offload` computes it. Received: the stack verifies it, unless Linux has left it out.
            capabilities.checksum.tcp = Checksum::None;
            // Not over IPv6: smoltcp 0.14 drops segments over IPv6 that are longer than the MTU.
            capabilities.segmentation.tcpv4 = NonZeroUsize::new(offload::LONGEST);
        }
        capabilities
    }

    fn receive(&mut self, _: Instant) -> Option<(Received<'_>, Permit<'_>)> {
        let length = self.link.receive(&mut self.received)?;
        let read = self.received.get_mut(..length)?;
        let (size, frame) = if self.link.offloads {
            let (header, frame) = read.split_first_chunk_mut()?;
            (offload::receive(header, frame), frame)
        } else {
            (None, read)
        };
        Some((Received { frame, meta: meta(size) }, Permit { link: &mut self.link, size: None }))
    }

    fn transmit(&mut self, _: Instant) -> Option<Permit<'_>> {
        Some(Permit { link: &mut self.link, size: None })
    }
}

impl Link {
    /// Receives a frame, if there is one. Returns its length.
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
                    if self.state == LinkState::Down {
                        self.state = LinkState::UpAgain;
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
            // No memory at the moment: the frame is lost, as on any link, and TCP retransmits.
            Some(libc::EAGAIN | libc::ENOBUFS | libc::ENOMEM) => self.dropped = self.dropped.saturating_add(1),
            // The link is down. The service continues, as it does without a cable.
            Some(libc::EIO) => {
                self.dropped = self.dropped.saturating_add(1);
                self.update(true);
            }
            _ => self.error = Some(error),
        }
    }

    /// Updates the state of the link; `was_down` tells that it was down in between.
    fn update(&mut self, was_down: bool) {
        // A change is reported before it is complete: a device that is removed is first set down, and one that is set up
        // does not receive at once. `is_attached` waits for the end of the change.
        let is_up = match self.interface.is_attached(&self.file).and_then(|()| self.interface.status()) {
            Ok(status) => status.is_up,
            Err(error) => return self.error = Some(error),
        };
        match (is_up, self.state) {
            (true, LinkState::Down) => self.state = LinkState::UpAgain,
            (true, LinkState::Up) if was_down => self.state = LinkState::UpAgain,
            (false, LinkState::Up | LinkState::UpAgain) => {
                self.state = LinkState::Down;
                if self.warnings.admit(clock::now()) {
                    let name = &self.name;
                    tracing::warn!(
                        "the network device `{name}` was set down: no frame is received until `sudo ip link set {name} up`"
                    );
                }
            }
            _ => {}
        }
    }

    fn warn_repeated(&mut self, now: greet_core::Instant) {
        let Some(count) = self.warnings.take_repeated(now) else { return };
        let name = &self.name;
        let state = if self.state == LinkState::Down {
            format!("is down: `sudo ip link set {name} up`")
        } else {
            "is up".to_owned()
        };
        tracing::warn!(
            "the network device `{name}` was set down again, {count} times since the last warning; it {state}"
        );
    }
}

/// A received frame. A segment size in its meta data tells that Linux has not computed its checksum.
pub(crate) struct Received<'a> {
    frame: &'a [u8],
    meta: PacketMeta,
}

impl phy::RxToken for Received<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(self.frame)
    }

    fn meta(&self) -> PacketMeta {
        self.meta
    }
}

/// Permission to send one frame.
pub(crate) struct Permit<'a> {
    link: &'a mut Link,
    /// The size of the segments that Linux splits the frame into.
    size: Option<NonZeroU16>,
}

impl phy::TxToken for Permit<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, write: F) -> R {
        let Self { link, size } = self;
        let header = if link.offloads { offload::HEADER } else { 0 };
        let total = header.saturating_add(length);
        if link.frame.len() < total {
            link.frame.resize(total, 0); // never, as long as smoltcp respects the MTU
        }
        let frame = link.frame.get_mut(header..total).unwrap_or_default();
        let result = write(frame);
        if link.offloads {
            let written = offload::transmit(frame, size);
            if let Some(header) = link.frame.first_chunk_mut() {
                *header = written;
            }
        }
        link.send(total);
        result
    }

    fn set_meta(&mut self, meta: PacketMeta) {
        self.size = meta.segmentation_offload_size;
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        // For the next program, which may know nothing of it. Fails if the device was removed.
        let _ = Interface::end_offload(&self.link.file);
    }
}

/// The meta data of a frame to be split into segments of this size.
fn meta(size: Option<NonZeroU16>) -> PacketMeta {
    let mut meta = PacketMeta::default();
    meta.segmentation_offload_size = size;
    meta
}
