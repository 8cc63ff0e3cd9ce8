//! A driver made for embassy-net, as a smoltcp device.

use core::{
    fmt,
    task::{Context, Waker},
};

use embassy_net_driver::{self as embassy, Driver, HardwareAddress, LinkState};
use smoltcp::{
    phy::{Checksum, ChecksumCapabilities, Device, DeviceCapabilities, Medium},
    time::Instant,
    wire::EthernetAddress,
};

/// A driver made for embassy-net, as a smoltcp device.
///
/// The driver wakes the waker given to [`new`](Self::new), usually that of a [`WakeFlag`](crate::WakeFlag), when it is to be polled again.
#[derive(Debug)]
pub struct Adapter<D> {
    driver: D,
    waker: Waker,
    address: EthernetAddress,
}

/// The error for a driver that is not for Ethernet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotEthernet;

impl fmt::Display for NotEthernet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the driver has no Ethernet address, but only Ethernet is served")
    }
}

impl core::error::Error for NotEthernet {}

impl<D: Driver> Adapter<D> {
    /// A device of this driver, which wakes `waker`.
    ///
    /// # Errors
    /// If the driver is not for Ethernet.
    pub fn new(driver: D, waker: Waker) -> Result<Self, NotEthernet> {
        let HardwareAddress::Ethernet(address) = driver.hardware_address() else { return Err(NotEthernet) };
        Ok(Self { driver, waker, address: EthernetAddress(address) })
    }

    /// The MAC address of the driver.
    #[must_use]
    pub const fn hardware_address(&self) -> EthernetAddress {
        self.address
    }

    /// Whether the link is up. A change wakes the waker.
    pub fn is_link_up(&mut self) -> bool {
        self.driver.link_state(&mut Context::from_waker(&self.waker)) == LinkState::Up
    }

    /// The driver itself, for functions that only this driver has.
    pub const fn driver(&mut self) -> &mut D {
        &mut self.driver
    }
}

impl<D: Driver> Device for Adapter<D> {
    type RxToken<'t>
        = RxToken<D::RxToken<'t>>
    where
        Self: 't;
    type TxToken<'t>
        = TxToken<D::TxToken<'t>>
    where
        Self: 't;

    fn receive(&mut self, _: Instant) -> Option<(Self::RxToken<'_>, Self::TxToken<'_>)> {
        let (frame, reply) = self.driver.receive(&mut Context::from_waker(&self.waker))?;
        Some((RxToken(frame), TxToken(reply)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Self::TxToken<'_>> {
        self.driver.transmit(&mut Context::from_waker(&self.waker)).map(TxToken)
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let driver = self.driver.capabilities();
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        // Both count the Ethernet header and not the checksum, and give a burst as a number of frames.
        capabilities.max_transmission_unit = driver.max_transmission_unit;
        capabilities.max_burst_size = driver.max_burst_size;
        capabilities.checksum = checksums(&driver.checksum);
        capabilities
    }
}

/// A received frame.
#[derive(Debug)]
pub struct RxToken<T>(T);

impl<T: embassy::RxToken> smoltcp::phy::RxToken for RxToken<T> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        self.0.consume(|frame| read(frame))
    }
}

/// Room for a frame.
#[derive(Debug)]
pub struct TxToken<T>(T);

impl<T: embassy::TxToken> smoltcp::phy::TxToken for TxToken<T> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, write: F) -> R {
        self.0.consume(length, write)
    }
}

/// Which checksums smoltcp computes and verifies.
fn checksums(driver: &embassy::ChecksumCapabilities) -> ChecksumCapabilities {
    let mut checksums = ChecksumCapabilities::default();
    checksums.ipv4 = checksum(driver.ipv4);
    checksums.udp = checksum(driver.udp);
    checksums.tcp = checksum(driver.tcp);
    checksums.icmpv4 = checksum(driver.icmpv4);
    #[cfg(feature = "ipv6")]
    {
        checksums.icmpv6 = checksum(driver.icmpv6);
    }
    checksums
}

const fn checksum(driver: embassy::Checksum) -> Checksum {
    match driver {
        embassy::Checksum::Both => Checksum::Both,
        embassy::Checksum::Rx => Checksum::Rx,
        embassy::Checksum::Tx => Checksum::Tx,
        embassy::Checksum::None => Checksum::None,
    }
}
