//! From a host and a port to a connection: all its addresses, one after the other.

use core::net::SocketAddr;
use std::{
    io,
    net::{TcpStream, ToSocketAddrs},
};

use crate::{
    client::{ChatError, HostPort},
    values::Limit,
};

/// Connects to the first address of the server that answers, each within `limit`.
pub fn connect(
    host: &HostPort,
    ipv4_only: bool,
    ipv6_only: bool,
    limit: Limit,
) -> Result<(TcpStream, SocketAddr), ChatError> {
    let mut failures = Vec::new();
    for address in addresses(host, ipv4_only, ipv6_only)? {
        match connect_to(address, limit) {
            Ok(stream) => return Ok((stream, address)),
            Err(error) => failures.push((address, error)),
        }
    }
    Err(ChatError::Connect { host: host.clone(), failures })
}

/// The server's addresses, in the order in which the system prefers them; of one kind alone where that is wanted.
pub fn addresses(host: &HostPort, ipv4_only: bool, ipv6_only: bool) -> Result<Vec<SocketAddr>, ChatError> {
    let found = (host.host.as_str(), host.port)
        .to_socket_addrs()
        .map_err(|error| ChatError::NotFound { host: host.host.clone(), error })?;
    let is_wanted = |address: &SocketAddr| if address.is_ipv4() { !ipv6_only } else { !ipv4_only };
    let wanted: Vec<_> = found.filter(is_wanted).collect();
    if wanted.is_empty() {
        let (family, option) = if ipv4_only { ("IPv4", "-4") } else { ("IPv6", "-6") };
        return Err(ChatError::NoAddress { host: host.host.clone(), family, option });
    }
    Ok(wanted)
}

fn connect_to(address: SocketAddr, limit: Limit) -> io::Result<TcpStream> {
    let stream = match limit.0 {
        Some(limit) => TcpStream::connect_timeout(&address, limit)?,
        None => TcpStream::connect(address)?,
    };
    stream.set_nodelay(true)?; // a name or a request goes out as soon as it is said
    Ok(stream)
}
