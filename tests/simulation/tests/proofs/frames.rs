//! No frame ends a stack or takes a slot of its pool for good: seeded frames, right and mutated, beside real answers.
//! `GREET_FRAMES` says how many; a seed that fails is named, and `GREET_SEED` plays it alone.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in a test a panic is how a failure is reported")]

use core::time::Duration;
use std::{env, panic};

use greet_core::Instant;
use greet_smoltcp::{
    pool::{self, Pool, Slot},
    stack::{Settings, Stack},
};
use greet_tests::{
    ether::Ether,
    mutation::{OURS, answer, frames, mutate},
    scene::{OTHER, OWN, tcp_frame},
    segment::{Segment, segment},
};
use smoltcp::{
    iface::SocketSet,
    phy::{Device, RxToken, TxToken},
    socket::{dns, tcp::SocketBuffer},
    wire::{DnsQueryType, IpAddress, IpCidr, Ipv4Address, TcpControl, TcpRepr},
};

const SLOTS: usize = 4;
/// Frames of one seed.
const A_SEED: u64 = 500;
/// Frames of the quick run.
const QUICK: u64 = 20_000;
const STATIC: [IpCidr; 1] = [IpCidr::new(IpAddress::Ipv4(OURS), 24)];
const GATEWAY: [IpAddress; 1] = [IpAddress::v4(192, 168, 69, 100)];

#[test]
fn no_frame_ends_a_stack_or_keeps_a_slot() {
    let number = |name| env::var(name).ok().map(|value| value.parse::<u64>().unwrap());
    if let Some(seed) = number("GREET_SEED") {
        return storm(seed);
    }
    for seed in 0..number("GREET_FRAMES").unwrap_or(QUICK).div_ceil(A_SEED) {
        if let Err(failure) = panic::catch_unwind(|| storm(seed)) {
            eprintln!("GREET_SEED={seed}");
            panic::resume_unwind(failure);
        }
    }
}

fn storm(seed: u64) {
    let mut chance = fastrand::Rng::with_seed(seed);
    let ether = Ether::default();
    let (mut port, mut other) = (ether.port(OWN), ether.port(OTHER));
    let (dhcp, slaac) = (chance.bool(), chance.u8(..4) > 0);
    let settings = Settings { addresses: &STATIC, gateways: &GATEWAY, dhcp, slaac, ..Settings::new(OWN, seed) };
    let mut now = Instant::from_micros(chance.u64(..1_000_000_000));
    let mut stack = Stack::new(settings, &mut port, SocketSet::new(Vec::new()), now).unwrap();
    let mut slots: Vec<Slot<16>> = (0..SLOTS).map(|_| Slot::new()).collect();
    let mut read = [0; 64];
    let mut pool = Pool::new(pool::Settings::DEFAULT, &mut slots, &mut read);
    let buffer = |size| SocketBuffer::new(vec![0; size]);
    for _ in 0..SLOTS {
        pool.open(stack.sockets(), buffer(chance.usize(1..200)), buffer(chance.usize(1..200)));
    }
    let resolver = stack.sockets().add(dns::Socket::new(&GATEWAY, vec![]));
    let kinds = frames();
    let mut sent = 0;
    let mut next = Some(now);
    let send = |other: &mut greet_tests::ether::Port, frame: &[u8]| {
        let Some(token) = other.transmit(smoltcp::time::Instant::ZERO) else { return };
        token.consume(frame.len(), |buffer| buffer.copy_from_slice(frame));
    };
    while sent < A_SEED {
        if chance.u8(..16) == 0 {
            let _ = stack.look_up(resolver, "greet.example.com", DnsQueryType::A);
        }
        let mut frame = chance.choice(&kinds).unwrap().clone();
        if chance.u8(..8) > 0 {
            mutate(&mut frame, &mut chance);
        }
        send(&mut other, &frame);
        sent += 1;
        let wait = *chance.choice(&[0, 0, 0, 0, 1_000, 100_000, 1_000_000, 30_000_000]).unwrap();
        now = next.map_or(now, |next| next.min(now + Duration::from_micros(wait))).max(now);
        next = stack.poll(now, &mut port, |sockets, sent| pool.serve(now, sockets, sent, |_| {}));
        while let Some((token, _)) = other.receive(smoltcp::time::Instant::ZERO) {
            let received = token.consume(<[u8]>::to_vec);
            let Some(mut answer) = answer(&received, &mut chance) else { continue };
            if chance.u8(..4) == 0 {
                send(&mut other, &answer);
                sent += 1;
            }
            if chance.u8(..2) == 0 {
                mutate(&mut answer, &mut chance);
            }
            send(&mut other, &answer);
            sent += 1;
        }
    }
    // Afterwards nobody answers: every slot is free again within the pool's limits, and few polls are asked for.
    // Not at the moment when a prefix ends: smoltcp then forgets all neighbors.
    let until = now + Duration::from_secs(4000);
    let mut polls = 0;
    while now < until {
        next = stack.poll(now, &mut port, |sockets, sent| pool.serve(now, sockets, sent, |_| {}));
        other.clear();
        polls += 1;
        assert!(polls < 20_000, "more than 20,000 polls without a frame");
        now = if port.is_quiet() { next.map_or(until, |next| next.min(until)).max(now) } else { now };
    }
    assert_eq!(pool.busy(), 0, "slots are taken for good");
    // Somebody who comes then is served.
    let network = stack.addresses().iter().find_map(|network| match network {
        IpCidr::Ipv4(network) => Some(*network),
        IpCidr::Ipv6(_) => None,
    });
    let Some(network) = network else { return };
    let own = network.address();
    let peer = Ipv4Address::new(192, 168, 69, if own.octets()[3] == 98 { 99 } else { 98 });
    let is_usable = own.octets().starts_with(&[192, 168, 69]) && network.contains_addr(&peer);
    if !is_usable || [own, peer].map(Some).contains(&network.broadcast()) {
        return; // a mutated DHCP answer has given it an address where nobody is
    }
    let (own, peer) = (IpAddress::from(own), IpAddress::from(peer));
    let syn = TcpRepr { control: TcpControl::Syn, ..segment(50_000, 7) };
    send(&mut other, &tcp_frame(OTHER, peer, own, &syn));
    let mut is_served = false;
    let mut trace = Vec::new();
    for _ in 0..3 {
        next = stack.poll(now, &mut port, |sockets, sent| pool.serve(now, sockets, sent, |_| {}));
        while let Some((token, _)) = other.receive(smoltcp::time::Instant::ZERO) {
            let frame = token.consume(<[u8]>::to_vec);
            trace.push((now, frame.clone()));
            is_served |= Segment::read(&frame).is_some_and(|segment| segment.control == TcpControl::Syn);
            if let Some(answer) = answer(&frame, &mut chance) {
                send(&mut other, &answer);
            }
        }
        now = next.unwrap_or(now).max(now);
    }
    assert!(is_served, "a client that comes afterwards is not served by {:?}: {trace:x?}", stack.addresses());
}
