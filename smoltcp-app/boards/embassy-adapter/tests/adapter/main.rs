//! Tests of the adapter with a mock driver.
#![allow(clippy::unwrap_used, reason = "tests")]

mod driver;
mod greeting;

use core::{
    sync::atomic::{AtomicUsize, Ordering},
    task::Waker,
};
use std::{sync::Arc, task::Wake};

use embassy_net_driver::{Checksum as Theirs, HardwareAddress, LinkState};
use greet_embassy::{Adapter, NotEthernet};
use smoltcp::{
    phy::{Checksum, Device as _, Medium, RxToken as _, TxToken as _},
    time::Instant,
    wire::EthernetAddress,
};

use crate::driver::{ADDRESS, Told};

/// Counts how often it is woken.
#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn adapter() -> (Adapter<Told>, Arc<Count>) {
    let count = Arc::new(Count::default());
    (Adapter::new(Told::default(), Waker::from(Arc::clone(&count))).unwrap(), count)
}

#[test]
fn the_hardware_address_is_the_drivers() {
    assert_eq!(adapter().0.hardware_address(), EthernetAddress(ADDRESS));
}

#[test]
fn a_driver_that_is_not_for_ethernet_is_refused() {
    for address in [HardwareAddress::Ip, HardwareAddress::Ieee802154([0; 8])] {
        let driver = Told { address, ..Told::default() };
        assert_eq!(Adapter::new(driver, Waker::noop().clone()).err(), Some(NotEthernet));
    }
}

#[test]
fn capabilities_are_the_drivers() {
    let (mut adapter, _) = adapter();
    let capabilities = adapter.capabilities();
    assert_eq!(capabilities.medium, Medium::Ethernet);
    assert_eq!((capabilities.max_transmission_unit, capabilities.max_burst_size), (1514, None));
    assert_eq!(capabilities.ip_mtu(), 1500);
    for (theirs, ours) in [
        (Theirs::Both, Checksum::Both),
        (Theirs::Rx, Checksum::Rx),
        (Theirs::Tx, Checksum::Tx),
        (Theirs::None, Checksum::None),
    ] {
        // Each separately, so that none is mistaken for another.
        for place in 0..5 {
            let capabilities = &mut adapter.driver().capabilities;
            capabilities.max_transmission_unit = 700;
            capabilities.max_burst_size = Some(3);
            let sums = &mut capabilities.checksum;
            *sums = embassy_net_driver::ChecksumCapabilities::default();
            *[&mut sums.ipv4, &mut sums.udp, &mut sums.tcp, &mut sums.icmpv4, &mut sums.icmpv6][place] = theirs;
            let capabilities = adapter.capabilities();
            assert_eq!((capabilities.max_transmission_unit, capabilities.max_burst_size), (700, Some(3)));
            let sums = capabilities.checksum;
            let of = |number: usize| if number == place { ours } else { Checksum::Both };
            let found = [sums.ipv4, sums.udp, sums.tcp, sums.icmpv4];
            for (number, found) in found.into_iter().enumerate() {
                assert!(is_same(found, of(number)), "{number}, where {place} is {theirs:?}");
            }
            #[cfg(feature = "ipv6")]
            assert!(is_same(sums.icmpv6, of(4)));
        }
    }
}

fn is_same(one: Checksum, other: Checksum) -> bool {
    core::mem::discriminant(&one) == core::mem::discriminant(&other)
}

#[test]
fn a_received_frame_is_returned_once_and_complete_with_a_transmit_token() {
    let (mut adapter, _) = adapter();
    adapter.driver().came.extend([vec![1; 60], vec![2; 1514]]);
    let (frame, reply) = adapter.receive(Instant::ZERO).unwrap();
    assert_eq!(frame.consume(<[u8]>::to_vec), vec![1; 60]);
    reply.consume(3, |buffer| buffer.copy_from_slice(&[7, 8, 9]));
    let (frame, _) = adapter.receive(Instant::ZERO).unwrap();
    assert_eq!(frame.consume(|frame| frame.len()), 1514);
    assert!(adapter.receive(Instant::ZERO).is_none());
    assert_eq!(adapter.driver().sent, [vec![7, 8, 9]]);
}

#[test]
fn a_token_that_is_not_used_takes_nothing_and_sends_nothing() {
    let (mut adapter, _) = adapter();
    adapter.driver().came.push_back(vec![1; 60]);
    assert!(adapter.receive(Instant::ZERO).is_some());
    assert!(adapter.transmit(Instant::ZERO).is_some());
    assert!(adapter.driver().sent.is_empty());
    assert!(adapter.receive(Instant::ZERO).is_some());
}

#[test]
fn a_frame_is_sent_with_the_requested_length() {
    let (mut adapter, _) = adapter();
    for length in [0, 1, 60, 1514] {
        let token = adapter.transmit(Instant::ZERO).unwrap();
        let answer = token.consume(length, |buffer| {
            assert_eq!(buffer.len(), length);
            buffer.fill(5);
            "what the closure said"
        });
        assert_eq!(answer, "what the closure said");
        assert_eq!(adapter.driver().sent.pop(), Some(vec![5; length]));
    }
}

#[test]
fn without_room_nothing_is_sent_and_room_wakes() {
    let (mut adapter, count) = adapter();
    adapter.driver().room = 1;
    adapter.transmit(Instant::ZERO).unwrap().consume(60, |buffer| buffer.fill(0));
    assert!(adapter.transmit(Instant::ZERO).is_none());
    // A driver gives both tokens or none.
    adapter.driver().came.push_back(vec![1; 60]);
    assert!(adapter.receive(Instant::ZERO).is_none());
    assert_eq!(count.0.load(Ordering::Relaxed), 0);
    adapter.driver().make_room();
    assert_eq!(count.0.load(Ordering::Relaxed), 1);
    assert!(adapter.receive(Instant::ZERO).is_some());
}

#[test]
fn a_received_frame_wakes_the_registered_waker() {
    let (mut adapter, count) = adapter();
    assert!(adapter.receive(Instant::ZERO).is_none());
    adapter.driver().come(vec![1; 60]);
    assert_eq!(count.0.load(Ordering::Relaxed), 1);
    assert!(adapter.receive(Instant::ZERO).is_some());
}

#[test]
fn the_link_state_is_reported_and_a_change_wakes() {
    let (mut adapter, count) = adapter();
    assert!(adapter.is_link_up());
    adapter.driver().set_link(LinkState::Down);
    assert_eq!(count.0.load(Ordering::Relaxed), 1);
    assert!(!adapter.is_link_up());
    adapter.driver().set_link(LinkState::Up);
    assert_eq!(count.0.load(Ordering::Relaxed), 2);
    assert!(adapter.is_link_up());
}
