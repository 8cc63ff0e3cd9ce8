//! Opens the listening sockets, and explains errors.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::{io, net::TcpListener};

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use thiserror::Error;

/// Maximum number of unsent bytes in a socket's send buffer (`TCP_NOTSENT_LOWAT`).
const NOT_SENT: u32 = 64 * 1024;

/// A non-blocking socket that listens.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) socket: TcpListener,
    /// Its address. The port is the one that the system chose if the option was 0.
    pub(super) address: SocketAddr,
}

/// Why an address cannot be listened on.
#[derive(Debug, Error)]
pub(crate) enum ListenError {
    #[error(
        "cannot listen on {0}: the port is in use; end what listens there, or take another port with --listen '{1}'"
    )]
    InUse(SocketAddr, SocketAddr),
    #[error(
        "cannot listen on {0}: ports below 1024 need root's rights or CAP_NET_BIND_SERVICE; take a port from 1024 on"
    )]
    Privileged(SocketAddr),
    #[error("cannot listen on {0}: not permitted: {1}")]
    NotPermitted(SocketAddr, #[source] io::Error),
    #[error("cannot listen on {0}: this computer has no such address; `ip address` lists its addresses")]
    NotOurs(SocketAddr),
    #[error("cannot listen on {0}: this computer has no IPv6; use an IPv4 address")]
    NoIpv6(SocketAddr),
    #[error("a socket that the service manager has opened cannot be used: {0}; it has to be a TCP socket that listens")]
    Inherited(#[source] io::Error),
    #[error("cannot listen on {0}: {1}")]
    Other(SocketAddr, #[source] io::Error),
}

/// Listens on all `addresses`. Fails if one of them cannot be used.
pub(super) fn all(addresses: &[SocketAddr], backlog: u16) -> Result<Vec<Listener>, ListenError> {
    addresses
        .iter()
        .enumerate()
        .filter(|(index, address)| !is_covered(**address, *index, addresses))
        .map(|(_, &address)| {
            listen(address, is_only_v6(address, addresses), backlog).map_err(|error| explain(address, error))
        })
        .collect()
}

/// Listens on a socket that the service manager has opened.
pub(super) fn inherited(socket: TcpListener) -> Result<Listener, ListenError> {
    let prepare = || {
        prepare(&SockRef::from(&socket))?;
        socket.local_addr()
    };
    let address = prepare().map_err(ListenError::Inherited)?;
    Ok(Listener { socket, address })
}

/// Whether this socket accepts only IPv6 connections. `[::]` accepts IPv4 too, unless `0.0.0.0` does so on its port.
fn is_only_v6(address: SocketAddr, all: &[SocketAddr]) -> bool {
    let any_ipv4 = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), address.port());
    address.ip() != Ipv6Addr::UNSPECIFIED || (address.port() > 0 && all.contains(&any_ipv4))
}

/// Whether the socket of another address in the list accepts this one's connections: an unspecified address includes all
/// others of its port, and of two that are equal the first counts.
fn is_covered(address: SocketAddr, index: usize, all: &[SocketAddr]) -> bool {
    let has = |ip: IpAddr| address.ip() != ip && all.contains(&SocketAddr::new(ip, address.port()));
    let (any_ipv4, any_ipv6) = (Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into());
    let by_another = match address {
        SocketAddr::V4(_) => has(any_ipv4) || (has(any_ipv6) && address.ip() != any_ipv4),
        SocketAddr::V6(_) => has(any_ipv6),
    };
    address.port() > 0 && (by_another || all.iter().take(index).any(|other| *other == address))
}

fn listen(address: SocketAddr, only_v6: bool, backlog: u16) -> io::Result<Listener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(only_v6)?;
    }
    // A restarted server can use its port while old connections are in TIME-WAIT.
    socket.set_reuse_address(true)?;
    prepare(&socket)?;
    socket.bind(&address.into())?;
    socket.listen(backlog.into())?;
    let socket = TcpListener::from(socket);
    let address = socket.local_addr()?;
    Ok(Listener { socket, address })
}

/// Sets the options that every listening socket has.
fn prepare(socket: &Socket) -> io::Result<()> {
    // Accepted sockets inherit this: each reply is sent immediately.
    socket.set_tcp_nodelay(true)?;
    // Inherited too: the idle timeout (T2) counts bytes that the socket accepts, so the socket must not buffer many.
    socket.set_tcp_notsent_lowat(NOT_SENT)?;
    socket.set_nonblocking(true)
}

fn explain(address: SocketAddr, error: io::Error) -> ListenError {
    match error.kind() {
        io::ErrorKind::AddrInUse => ListenError::InUse(address, SocketAddr::new(address.ip(), 0)),
        io::ErrorKind::PermissionDenied if (1..1024).contains(&address.port()) => ListenError::Privileged(address),
        io::ErrorKind::PermissionDenied => ListenError::NotPermitted(address, error),
        io::ErrorKind::AddrNotAvailable => ListenError::NotOurs(address),
        _ if error.raw_os_error() == Some(nix::libc::EAFNOSUPPORT) => ListenError::NoIpv6(address),
        _ => ListenError::Other(address, error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_addresses_of_both_families_can_share_a_port() {
        let Ok(free) = TcpListener::bind("[::]:0") else { return }; // this host has no IPv6
        let port = free.local_addr().unwrap().port();
        drop(free);
        let (v6, v4) = (SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)), SocketAddr::from(([0, 0, 0, 0], port)));
        for addresses in [[v6, v4], [v4, v6]] {
            assert_eq!(all(&addresses, 16).unwrap().len(), 2);
        }
        // An address that another one includes, and one that is given twice, need no socket of their own.
        let (own_v4, own_v6) =
            (SocketAddr::from(([127, 0, 0, 1], port)), SocketAddr::from((Ipv6Addr::LOCALHOST, port)));
        for addresses in [&[v6, own_v4][..], &[own_v4, v6], &[v6, v6], &[own_v6, v6], &[v4, own_v4], &[own_v4, own_v4]]
        {
            let listeners = all(addresses, 16).unwrap();
            assert_eq!(listeners.len(), 1, "{addresses:?}");
            let client = std::net::TcpStream::connect(own_v4);
            assert!(client.is_ok(), "{addresses:?}");
            assert!(matches!(all(addresses, 16), Err(ListenError::InUse(..))));
        }
    }
}
