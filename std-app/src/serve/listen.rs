//! Listening sockets, and why there may be none.

use core::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::{io, net::TcpListener};

use socket2::{Domain, Protocol, Socket, Type};
use thiserror::Error;

/// A socket that listens.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) socket: TcpListener,
    /// Where: with the port that was taken where the option said 0.
    pub(super) address: SocketAddr,
}

/// Why an address cannot be listened on.
#[derive(Debug, Error)]
pub(crate) enum ListenError {
    #[error(
        "cannot listen on {0}: the port is in use; end what listens there, or take another port with --listen {1}:0"
    )]
    InUse(SocketAddr, Host),
    #[error(
        "cannot listen on {0}: ports below 1024 need root's rights or CAP_NET_BIND_SERVICE; take a port from 1024 on"
    )]
    Privileged(SocketAddr),
    #[error("cannot listen on {0}: not permitted: {1}")]
    NotPermitted(SocketAddr, #[source] io::Error),
    #[error("cannot listen on {0}: this machine has no such address; `ip address` lists those it has")]
    NotOurs(SocketAddr),
    #[error("cannot listen on {0}: this machine has no IPv6; use an IPv4 address")]
    NoIpv6(SocketAddr),
    #[error("cannot listen on {0}: {1}")]
    Other(SocketAddr, #[source] io::Error),
}

/// An address as `--listen` takes it in front of a port.
#[derive(Debug)]
pub(crate) struct Host(IpAddr);

impl core::fmt::Display for Host {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.0 {
            IpAddr::V4(address) => write!(formatter, "{address}"),
            IpAddr::V6(address) => write!(formatter, "'[{address}]'"),
        }
    }
}

/// Listens on every one of `addresses`, or on none.
pub(super) fn all(addresses: &[SocketAddr], backlog: u16) -> Result<Vec<Listener>, ListenError> {
    addresses.iter().map(|&address| listen(address, backlog).map_err(|error| explain(address, error))).collect()
}

fn listen(address: SocketAddr, backlog: u16) -> io::Result<Listener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if let SocketAddr::V6(address) = address {
        // `[::]` is for IPv4 too; any other IPv6 address is itself alone.
        socket.set_only_v6(*address.ip() != Ipv6Addr::UNSPECIFIED)?;
    }
    // A restarted service takes its port back while old connections are in TIME-WAIT.
    socket.set_reuse_address(true)?;
    // Inherited by every connection: a reply is a segment at once.
    socket.set_tcp_nodelay(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(backlog.into())?;
    let socket = TcpListener::from(socket);
    let address = socket.local_addr()?;
    Ok(Listener { socket, address })
}

fn explain(address: SocketAddr, error: io::Error) -> ListenError {
    match error.kind() {
        io::ErrorKind::AddrInUse => ListenError::InUse(address, Host(address.ip())),
        io::ErrorKind::PermissionDenied if (1..1024).contains(&address.port()) => ListenError::Privileged(address),
        io::ErrorKind::PermissionDenied => ListenError::NotPermitted(address, error),
        io::ErrorKind::AddrNotAvailable => ListenError::NotOurs(address),
        _ if error.raw_os_error() == Some(nix::libc::EAFNOSUPPORT) => ListenError::NoIpv6(address),
        _ => ListenError::Other(address, error),
    }
}
