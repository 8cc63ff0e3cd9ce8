//! Name lookup, bounded in time.

use core::net::{IpAddr, SocketAddr};
use std::{io, sync::mpsc, thread};

use dns_lookup::{AddrInfoHints, LookupErrorKind, SockType, getaddrinfo};

use crate::{args::IpVersion, client::HostPort, connect::ConnectError, values::Limit};

/// The server's addresses: the family that the system prefers first, then the families in turn (RFC 8305, 4).
///
/// The lookup runs in a separate thread, because the system's resolver has time limits of its own that may be longer
/// than `limit`; a lookup that is late is left behind.
///
/// # Errors
/// The name is unknown, no name server answered, `limit` is over, or no address is of the wanted family.
pub fn addresses(host: &HostPort, version: IpVersion, limit: Limit) -> Result<Vec<SocketAddr>, ConnectError> {
    let found = match host.host.parse::<IpAddr>() {
        Ok(address) => vec![SocketAddr::new(address, host.port)],
        Err(_) => look_up(host, limit)?,
    };
    let allowed: Vec<_> = found.into_iter().filter(|address| version.allows(address.ip())).collect();
    if allowed.is_empty() {
        return Err(ConnectError::NoAddress { host: host.host.clone(), version });
    }
    Ok(interleaved(allowed))
}

fn look_up(host: &HostPort, limit: Limit) -> Result<Vec<SocketAddr>, ConnectError> {
    let (sender, outcome) = mpsc::channel();
    let (name, service) = (host.host.clone(), host.port.to_string());
    let start = thread::Builder::new().name("lookup".to_owned()).spawn(move || {
        let hints = AddrInfoHints { socktype: SockType::Stream.into(), ..AddrInfoHints::default() };
        let found = getaddrinfo(Some(&name), Some(&service), Some(hints));
        let _ = sender.send(found.map(|all| all.filter_map(Result::ok).map(|info| info.sockaddr).collect()));
    });
    let not_found = |error| ConnectError::NotFound { host: host.host.clone(), error };
    start.map_err(not_found)?;
    let found = match limit.0 {
        Some(limit) => {
            outcome.recv_timeout(limit).map_err(|_| ConnectError::LookupTimedOut { host: host.host.clone(), limit })?
        }
        None => outcome.recv().map_err(|_| not_found(io::Error::other("the lookup ended without a result")))?,
    };
    found.map_err(|error| match error.kind() {
        LookupErrorKind::Again => ConnectError::NoNameServer { host: host.host.clone() },
        _ => not_found(error.into()),
    })
}

/// The first address stays first; then the two families alternate as long as both have addresses.
fn interleaved(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let is_first_family = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| address.is_ipv6() == is_first_family);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut all = Vec::new();
    loop {
        let pair = [first.next(), second.next()];
        if pair == [None, None] {
            return all;
        }
        all.extend(pair.into_iter().flatten());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_families_alternate_behind_the_preferred_one() {
        let parsed = |all: &[&str]| all.iter().map(|one| one.parse().unwrap()).collect::<Vec<SocketAddr>>();
        let found = parsed(&["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1", "2.2.2.2:1"]);
        let order = parsed(&["[::1]:1", "1.1.1.1:1", "[::2]:1", "2.2.2.2:1", "[::3]:1"]);
        assert_eq!(interleaved(found), order);
    }

    #[test]
    fn an_address_needs_no_lookup() {
        let host: HostPort = "[::1]:80".parse().unwrap();
        let found = addresses(&host, IpVersion::default(), Limit(None)).unwrap();
        assert_eq!(found, ["[::1]:80".parse().unwrap()]);
        assert!(matches!(
            addresses(&host, IpVersion { ipv4: true, ipv6: false }, Limit(None)),
            Err(ConnectError::NoAddress { .. })
        ));
    }
}
