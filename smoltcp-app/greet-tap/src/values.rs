//! The values of options that are about networks, as they are typed.

use core::{
    net::{IpAddr, SocketAddr},
    num::NonZeroU64,
};

use greet_host::client::{HostPort, HostPortError};
use smoltcp::wire::{EthernetAddress, IpAddress, IpCidr};

/// An IPv4 address and the length of its network.
pub(crate) fn ipv4_network(text: &str) -> Result<IpCidr, String> {
    match network(text) {
        Some(network @ IpCidr::Ipv4(_)) => Ok(network),
        _ => Err("give an IPv4 address and its prefix length, like 192.168.69.1/24".to_owned()),
    }
}

/// An IPv6 address and the length of its network.
pub(crate) fn ipv6_network(text: &str) -> Result<IpCidr, String> {
    match network(text) {
        Some(network @ IpCidr::Ipv6(_)) => Ok(network),
        _ => Err("give an IPv6 address and its prefix length, like fdaa::1/64".to_owned()),
    }
}

fn network(text: &str) -> Option<IpCidr> {
    let (address, length) = text.split_once('/')?;
    let address: IpAddr = address.parse().ok()?;
    let longest = if address.is_ipv4() { 32 } else { 128 };
    let length = length.parse().ok().filter(|&length| length <= longest)?;
    Some(IpCidr::new(address.into(), length))
}

/// The address of a router.
pub(crate) fn gateway(text: &str) -> Result<IpAddress, String> {
    let address: IpAddr = text.parse().map_err(|_| "give an IP address, like 192.168.69.100".to_owned())?;
    match IpAddress::from(address) {
        unicast if unicast.is_unicast() && !address.is_loopback() => Ok(unicast),
        _ => Err("this is not the address of a host on the network".to_owned()),
    }
}

/// The address of a server that is asked for names.
pub(crate) fn dns_server(text: &str) -> Result<IpAddress, String> {
    let address = text.parse::<IpAddr>().ok().map(IpAddress::from);
    address.filter(IpAddress::is_unicast).ok_or_else(|| "give the address of one host, like 192.168.69.100".to_owned())
}

/// An address and a port of it, which is 9999 where none is given.
pub(crate) fn address(text: &str) -> Result<SocketAddr, String> {
    let HostPort { host, port } = text.parse().map_err(|error: HostPortError| error.to_string())?;
    match host.parse() {
        Ok(address) => Ok(SocketAddr::new(address, port)),
        Err(_) if host.contains('%') => {
            Err("leave out the % and what follows: this program has one network".to_owned())
        }
        Err(_) => Err("give an address, like 192.168.69.100: names are not looked up here".to_owned()),
    }
}

/// The address of one network card.
pub(crate) fn hardware_address(text: &str) -> Result<EthernetAddress, String> {
    let mut octets = [0; 6];
    let mut parts = text.split([':', '-']);
    for octet in &mut octets {
        let part = parts.next().filter(|part| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_hexdigit()));
        *octet = part
            .and_then(|part| u8::from_str_radix(part, 16).ok())
            .ok_or("give a MAC address, like 02:00:00:00:00:01")?;
    }
    let address = EthernetAddress(octets);
    match parts.next() {
        Some(_) => Err("a MAC address has six parts, like 02:00:00:00:00:01".to_owned()),
        None if !address.is_unicast() || octets == [0; 6] => {
            Err("this is not a unicast address: the first byte has to be even, and not all may be 0".to_owned())
        }
        None => Ok(address),
    }
}

/// A number of bits a second: `9600`, `64k`, `10M`, `1G`.
pub(crate) fn rate(text: &str) -> Result<NonZeroU64, String> {
    let (number, unit) = match text.as_bytes() {
        [number @ .., b'k' | b'K'] => (number.len(), 1_000),
        [number @ .., b'm' | b'M'] => (number.len(), 1_000_000),
        [number @ .., b'g' | b'G'] => (number.len(), 1_000_000_000),
        number => (number.len(), 1_u64),
    };
    let number = text.get(..number).and_then(|number| number.parse::<u64>().ok());
    number
        .and_then(|number| number.checked_mul(unit))
        .and_then(NonZeroU64::new)
        .ok_or_else(|| "give a number of bits per second, like 9600, 64k or 10M".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_of_their_family_and_no_longer_than_it() {
        assert_eq!(ipv4_network("192.168.69.1/24").unwrap().to_string(), "192.168.69.1/24");
        assert_eq!(ipv6_network("fdaa::1/128").unwrap().to_string(), "fdaa::1/128");
        for text in ["", "192.168.69.1", "192.168.69.1/33", "192.168.69.1/-1", "192.168.69/24", "fdaa::1/64", "a/24"] {
            assert!(ipv4_network(text).is_err(), "{text}");
        }
        for text in ["fdaa::1", "fdaa::1/129", "192.168.69.1/24", "fe80::1%tap0/64"] {
            assert!(ipv6_network(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_servers_address_may_have_a_port() {
        for (text, whole) in [
            ("192.168.69.100", "192.168.69.100:9999"),
            ("192.168.69.100:9998", "192.168.69.100:9998"),
            ("fdaa::100", "[fdaa::100]:9999"),
            ("[fdaa::100]:9998", "[fdaa::100]:9998"),
        ] {
            assert_eq!(address(text).unwrap().to_string(), whole);
        }
        for text in ["", "localhost", "fe80::1%tap0", "192.168.69.100:0", "1.2.3.4:a"] {
            assert!(address(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_dns_server_is_one_host() {
        for text in ["192.168.69.100", "fdaa::100", "fe80::1"] {
            assert_eq!(dns_server(text).unwrap().to_string(), text);
        }
        for text in [
            "",
            "dns",
            "192.168.69.100:53",
            "[fdaa::100]",
            "0.0.0.0",
            "::",
            "224.0.0.251",
            "ff02::fb",
            "255.255.255.255",
        ] {
            assert!(dns_server(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_hardware_address_is_one_cards() {
        assert_eq!(hardware_address("02:00:5e:AB:00:01"), Ok(EthernetAddress([2, 0, 0x5e, 0xab, 0, 1])));
        assert_eq!(hardware_address("02-00-00-00-00-01"), Ok(EthernetAddress([2, 0, 0, 0, 0, 1])));
        for text in
            ["", "02:00:00:00:00", "02:00:00:00:00:01:02", "1:2:3:4:5:6", "01:00:5e:00:00:01", "+2:00:00:00:00:01"]
        {
            assert!(hardware_address(text).is_err(), "{text}");
        }
        for all in ["00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff"] {
            assert!(hardware_address(all).is_err(), "{all}");
        }
    }

    #[test]
    fn a_rate_has_a_unit_or_none() {
        for (text, bits) in [("9600", 9_600), ("64k", 64_000), ("10M", 10_000_000), ("1G", 1_000_000_000)] {
            assert_eq!(rate(text).map(NonZeroU64::get), Ok(bits));
        }
        for text in ["", "0", "k", "-1", "1.5M", "64kbit", "99999999999G"] {
            assert!(rate(text).is_err(), "{text}");
        }
    }
}
