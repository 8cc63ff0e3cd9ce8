//! From a host and a port to a connection: its addresses are tried side by side (RFC 8305).

mod error;

use core::{net::SocketAddr, time::Duration};
use std::{io, net::TcpStream, sync::mpsc, thread};

pub use self::error::ConnectError;
use crate::{args::IpVersion, client::HostPort, resolve::addresses, values::Limit};

/// Delay before the next address is tried concurrently: the Connection Attempt Delay of RFC 8305, 5.
pub const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// Connects to the address of the server that answers first. The name lookup and each attempt may take `limit`.
///
/// # Errors
/// The lookup failed, or every address did; the error names each of them with its reason.
pub fn connect(host: &HostPort, version: IpVersion, limit: Limit) -> Result<(TcpStream, SocketAddr), ConnectError> {
    let addresses = addresses(host, version, limit)?;
    race(addresses, ATTEMPT_DELAY, move |address| connect_to(address, limit))
        .map_err(|failures| ConnectError::Failed { host: host.clone(), failures })
}

/// Connects to this address alone.
///
/// # Errors
/// Those of the system; [`io::ErrorKind::TimedOut`] after `limit`.
pub fn connect_to(address: SocketAddr, limit: Limit) -> io::Result<TcpStream> {
    let stream = match limit.0 {
        Some(limit) => TcpStream::connect_timeout(&address, limit)?,
        None => TcpStream::connect(address)?,
    };
    stream.set_nodelay(true)?; // a name or a request leaves at once
    Ok(stream)
}

/// Runs `attempt` for one address after the other, each on a thread of its own, and the next as soon as one has failed or
/// `delay` is over. The first success is the result; the other attempts end by themselves, and their results are ignored.
/// Without any success each address is returned with its error, in the order of `addresses`.
fn race<T: Send + 'static>(
    addresses: Vec<SocketAddr>,
    delay: Duration,
    attempt: impl Fn(SocketAddr) -> io::Result<T> + Clone + Send + 'static,
) -> Result<(T, SocketAddr), Vec<(SocketAddr, io::Error)>> {
    if let [address] = *addresses {
        return attempt(address).map(|success| (success, address)).map_err(|error| vec![(address, error)]);
    }
    let (sender, outcomes) = mpsc::channel();
    let mut failures: Vec<Option<io::Error>> = addresses.iter().map(|_| None).collect();
    let mut under_way = 0_usize;
    let mut started = 0;
    while started < addresses.len() || under_way > 0 {
        if let Some(&address) = addresses.get(started) {
            let (sender, attempt, index) = (sender.clone(), attempt.clone(), started);
            let thread = thread::Builder::new().name("connect".to_owned()).spawn(move || {
                // The receiver is gone if another address was faster.
                let _ = sender.send((index, attempt(address)));
            });
            match thread {
                Ok(_) => under_way += 1,
                Err(error) => failures[index] = Some(error),
            }
            started += 1;
        }
        let outcome = if started < addresses.len() && under_way > 0 {
            outcomes.recv_timeout(delay).ok()
        } else if under_way > 0 {
            outcomes.recv().ok()
        } else {
            None
        };
        match outcome {
            Some((index, Ok(success))) => return Ok((success, addresses[index])),
            Some((index, Err(error))) => {
                failures[index] = Some(error);
                under_way -= 1;
            }
            None => {}
        }
    }
    let failed = addresses.into_iter().zip(failures);
    Err(failed.filter_map(|(address, error)| Some((address, error?))).collect())
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    fn addresses(count: u16) -> Vec<SocketAddr> {
        (1..=count).map(|port| SocketAddr::from(([127, 0, 0, 1], port))).collect()
    }

    #[test]
    fn a_silent_address_does_not_hold_up_the_next() {
        let (_open, silence) = mpsc::channel::<()>();
        let silence = Arc::new(Mutex::new(silence));
        let outcome = race(addresses(2), Duration::from_millis(1), move |address| {
            if address.port() == 1 {
                let _ = silence.lock().unwrap().recv(); // until the test ends
            }
            Ok(address.port())
        });
        assert_eq!(outcome.unwrap(), (2, addresses(2)[1]));
    }

    #[test]
    fn a_refused_address_is_followed_by_the_next_without_the_delay() {
        let outcome = race(addresses(3), Duration::MAX, |address| match address.port() {
            3 => Ok(()),
            _ => Err(io::ErrorKind::ConnectionRefused.into()),
        });
        assert_eq!(outcome.unwrap().1, addresses(3)[2]);
    }

    #[test]
    fn when_every_address_fails_each_is_named_in_order() {
        let outcome = race(addresses(3), Duration::MAX, |address| -> io::Result<()> {
            Err(io::Error::other(address.port().to_string()))
        });
        let named: Vec<_> =
            outcome.unwrap_err().into_iter().map(|(address, error)| (address.port(), error.to_string())).collect();
        assert_eq!(named, [(1, "1".to_owned()), (2, "2".to_owned()), (3, "3".to_owned())]);
    }

    #[test]
    fn without_addresses_there_is_nothing_to_connect_to() {
        assert!(race(Vec::new(), Duration::MAX, |_| Ok(())).unwrap_err().is_empty());
    }
}
