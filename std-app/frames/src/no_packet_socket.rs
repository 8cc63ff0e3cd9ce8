//! In place of a packet socket, where the system is not Linux: no interface can be opened.

use core::{convert::Infallible, net::Ipv4Addr};

use smoltcp::wire::EthernetAddress;
use thiserror::Error;

use crate::link::{Link, Medium};

/// Why an interface cannot be used.
#[derive(Debug, Error)]
pub enum InterfaceError {
    /// The system is not Linux.
    #[error("frames can be sent on Linux only: run greet check there with --interface, or leave this option out")]
    NotLinux,
}

/// An open interface. There is none.
#[derive(Debug)]
pub struct Interface(Infallible);

impl Interface {
    /// Fails.
    ///
    /// # Errors
    /// The system is not Linux.
    pub fn open(_: &str) -> Result<Self, InterfaceError> {
        Err(InterfaceError::NotLinux)
    }
}

impl Medium for Interface {
    fn attach(&self, _: EthernetAddress) -> Box<dyn Link + '_> {
        match self.0 {}
    }
}

/// The length of the prefix of an interface's subnet; not known here.
#[must_use]
pub fn prefix(_: &str, _: Ipv4Addr) -> Option<u8> {
    None
}
