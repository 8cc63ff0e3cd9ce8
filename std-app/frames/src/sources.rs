//! The addresses of the hosts that probes play: locally administered MAC addresses, and unused IP addresses.

use core::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use smoltcp::wire::EthernetAddress;

use crate::{
    board::{Board, neighbor},
    frame::Packet,
    host::{Host, Identity},
    link::Medium,
    stop::Stop,
};

/// How many hosts are played at most: an embedded stack often remembers eight neighbors.
pub const HOSTS: usize = 6;

/// Hosts with these IP addresses, at most [`HOSTS`].
#[must_use]
pub fn identities(addresses: &[IpAddr]) -> Vec<Identity> {
    let random = fastrand::u16(..).to_be_bytes();
    let mac = |index: usize| EthernetAddress([2, b'g', random[0], random[1], u8::try_from(index).unwrap_or(255), 0]);
    addresses.iter().take(HOSTS).enumerate().map(|(index, &address)| Identity { mac: mac(index), address }).collect()
}

/// Why a host cannot have this address beside the target, if so.
#[must_use]
pub fn unusable(source: IpAddr, target: IpAddr) -> Option<&'static str> {
    let is_group = match source {
        IpAddr::V4(source) => source.octets()[0] >= 224,
        IpAddr::V6(source) => source.is_multicast(),
    };
    if source.is_ipv4() != target.is_ipv4() {
        Some("is not of the IP version of the board's address")
    } else if source == target {
        Some("is the board's own address")
    } else if is_group || source.is_unspecified() || source.is_loopback() {
        Some("is not one host's address")
    } else {
        None
    }
}

/// Unused addresses of the target's subnet, tried by ARP probes (RFC 5227) or by neighbor
/// solicitations. `prefix` is the length of the prefix of an IPv4 subnet.
///
/// # Errors
/// If the link fails.
pub fn free_addresses(medium: &dyn Medium, target: IpAddr, prefix: u8) -> Result<Vec<IpAddr>, Stop> {
    let board = Board::at(target);
    let (candidates, nobody): (Vec<IpAddr>, IpAddr) = match target {
        IpAddr::V4(target) => (candidates(target, prefix), Ipv4Addr::UNSPECIFIED.into()),
        IpAddr::V6(target) => ((0..HOSTS).map(|_| neighbor(target).into()).collect(), Ipv6Addr::UNSPECIFIED.into()),
    };
    let [identity] = identities(&[nobody])[..] else { return Ok(Vec::new()) };
    let host = Host::new(&board, identity, medium.attach(identity.mac), fastrand::u64(..));
    host.answers_resolution.set(false);
    let mut used: Vec<IpAddr> = Vec::new();
    for _ in 0..2 {
        for &candidate in &candidates {
            host.request_resolution(candidate)?;
        }
        host.wait(Duration::from_millis(700))?;
    }
    for traced in host.take_trace().iter().filter(|traced| !traced.sent) {
        match &traced.frame.packet {
            Packet::Arp(arp) => used.extend(
                [arp.sender.into(), arp.target.into()]
                    .iter()
                    .filter(|_| arp.operation == 2 || !arp.sender.is_unspecified()),
            ),
            _ => used.extend(traced.frame.ip().map(|ip| ip.source)),
        }
    }
    Ok(candidates.into_iter().filter(|candidate| !used.contains(candidate)).collect())
}

/// The highest addresses of the subnet, which DHCP servers assign last.
fn candidates(target: Ipv4Addr, prefix: u8) -> Vec<IpAddr> {
    const MOST: usize = 24;
    let mask = u32::MAX.checked_shl(32 - u32::from(prefix.clamp(8, 30))).unwrap_or(u32::MAX);
    let network = target.to_bits() & mask;
    let broadcast = network | !mask;
    let hosts = (network + 1..broadcast).rev().map(Ipv4Addr::from_bits);
    hosts.filter(|&host| host != target).take(MOST).map(IpAddr::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_another_hosts_address_of_the_same_ip_version() {
        let [v4, v6]: [IpAddr; 2] = ["10.0.0.1", "fdaa::1"].map(|text| text.parse().unwrap());
        for source in ["10.0.0.1", "0.0.0.0", "127.0.0.1", "224.0.0.5", "255.255.255.255", "fdaa::2"] {
            assert!(unusable(source.parse().unwrap(), v4).is_some(), "{source}");
        }
        for source in ["fdaa::1", "::", "::1", "ff02::1", "10.0.0.2"] {
            assert!(unusable(source.parse().unwrap(), v6).is_some(), "{source}");
        }
        assert_eq!(unusable([10, 0, 0, 2].into(), v4), None);
        assert_eq!(unusable("fe80::2".parse().unwrap(), v6), None);
    }

    #[test]
    fn candidates_are_hosts_of_the_subnet_but_not_the_target() {
        let target = Ipv4Addr::new(10, 0, 0, 254);
        let found = candidates(target, 24);
        assert_eq!((found[0], found.len()), (IpAddr::from([10, 0, 0, 253]), 24));
        assert_eq!(candidates(Ipv4Addr::new(10, 0, 0, 2), 30), [IpAddr::from([10, 0, 0, 1])]);
        let neighbor = neighbor("fe80::1".parse().unwrap());
        assert_eq!((neighbor.segments()[0], neighbor.octets()[8] & 3), (0xfe80, 0));
    }
}
