//! A stack with DHCP, SLAAC and DNS, and a pool, that receive any frames and real answers to their own frames: no frame causes a
//! panic or occupies a slot for longer than the pool's limits.

#![allow(clippy::unwrap_used, reason = "in a test a panic is how a failure is reported")]

use core::time::Duration;

use greet_core::{Instant, Server, ServerMachine};
use greet_smoltcp::{
    pool::{self, Pool, Slot},
    stack::{Fragments, Settings, Stack},
};
use smoltcp::{
    iface::SocketSet,
    phy::{Device, RxToken, TxToken},
    socket::{dns, tcp::SocketBuffer},
    wire::{DnsQueryType, IpAddress, IpCidr, Ipv4Address, TcpControl, TcpRepr},
};

use crate::{
    ether::{Ether, Port},
    mutation::{OURS, answer, mutate},
    scene::{OTHER, OWN, tcp_frame},
    segment::{Segment, segment},
};

const SLOTS: usize = 4;
const STATIC: [IpCidr; 1] = [IpCidr::new(IpAddress::Ipv4(OURS), 24)];
const GATEWAY: [IpAddress; 1] = [IpAddress::v4(192, 168, 69, 100)];

/// Sends the frames of `next_frame`, each followed by at most this time without a frame, until it returns `None`.
/// Everything else follows from `seed`.
///
/// # Panics
/// If the stack does, if a slot stays occupied, or if a client that connects afterwards is not served.
pub fn storm(seed: u64, mut next_frame: impl FnMut(&mut fastrand::Rng) -> Option<(Vec<u8>, Duration)>) {
    let mut chance = fastrand::Rng::with_seed(seed);
    let ether = Ether::default();
    let (mut port, mut other) = (ether.port(OWN), ether.port(OTHER));
    let (dhcp, slaac) = (chance.bool(), chance.u8(..4) > 0);
    let settings = Settings { addresses: &STATIC, gateways: &GATEWAY, dhcp, slaac, ..Settings::new(OWN, seed) };
    let mut now = Instant::from_micros(chance.u64(..1_000_000_000));
    let mut fragments = Box::new(Fragments::new());
    let mut stack = Stack::new(settings, &mut port, SocketSet::new(Vec::new()), now).unwrap();
    stack.reassemble(&mut fragments);
    let mut slots: Vec<Slot<Server<16>>> = (0..SLOTS).map(|_| Slot::new()).collect();
    let mut read = [0; 64];
    let mut pool = Pool::new(pool::Settings::DEFAULT, &mut slots, &mut read);
    let buffer = |size| SocketBuffer::new(vec![0; size]);
    for _ in 0..SLOTS {
        pool.open(stack.sockets(), buffer(chance.usize(1..200)), buffer(chance.usize(1..200)));
    }
    let resolver = stack.sockets().add(dns::Socket::new(&GATEWAY, vec![]));
    let mut next = Some(now);
    while let Some((frame, wait)) = next_frame(&mut chance) {
        if chance.u8(..16) == 0 {
            let _ = stack.look_up(resolver, "greet.example.com", DnsQueryType::A);
        }
        send(&mut other, &frame);
        now = next.map_or(now, |next| next.min(now + wait)).max(now);
        next = stack.poll(now, &mut port, |sockets, sent| pool.serve(now, sockets, sent, |_| {}));
        while let Some((token, _)) = other.receive(smoltcp::time::Instant::ZERO) {
            let received = token.consume(<[u8]>::to_vec);
            let Some(mut answer) = answer(&received, &mut chance) else { continue };
            if chance.u8(..4) == 0 {
                send(&mut other, &answer);
            }
            if chance.u8(..2) == 0 {
                mutate(&mut answer, &mut chance);
            }
            send(&mut other, &answer);
        }
    }
    ends_well(now, &mut stack, (&mut port, &mut other), &mut pool);
}

/// Asserts that every slot becomes free, and that a client that connects afterwards is served.
pub(crate) fn ends_well<S: ServerMachine>(
    mut now: Instant,
    stack: &mut Stack<'_>,
    (port, other): (&mut Port, &mut Port),
    pool: &mut Pool<'_, S>,
) {
    // Then no host answers: every slot becomes free within the pool's limits, and few polls are requested.
    // Not at the moment when a prefix ends: smoltcp then forgets all neighbors.
    let until = now + Duration::from_secs(4000);
    let mut polls = 0;
    while now < until {
        let next = stack.poll(now, port, |sockets, sent| pool.serve(now, sockets, sent, |_| {}));
        other.clear();
        polls += 1;
        assert!(polls < 20_000, "more than 20,000 polls without a frame");
        now = if port.is_quiet() { next.map_or(until, |next| next.min(until)).max(now) } else { now };
    }
    assert_eq!(pool.busy(), 0, "slots are taken for good");
    // A client that connects then is served.
    let network = stack.addresses().iter().find_map(|network| match network {
        IpCidr::Ipv4(network) => Some(*network),
        IpCidr::Ipv6(_) => None,
    });
    let Some(network) = network else { return };
    let own = network.address();
    let peer = Ipv4Address::new(192, 168, 69, if own.octets()[3] == 98 { 99 } else { 98 });
    let is_usable = own.octets().starts_with(&[192, 168, 69]) && network.contains_addr(&peer);
    if !is_usable || [own, peer].map(Some).contains(&network.broadcast()) {
        return; // a mutated DHCP answer has moved it to a network without hosts
    }
    let (own, peer) = (IpAddress::from(own), IpAddress::from(peer));
    let syn = TcpRepr { control: TcpControl::Syn, ..segment(50_000, 7) };
    send(other, &tcp_frame(OTHER, peer, own, &syn));
    let mut is_served = false;
    let mut trace = Vec::new();
    for _ in 0..3 {
        let next = stack.poll(now, port, |sockets, sent| pool.serve(now, sockets, sent, |_| {}));
        while let Some((token, _)) = other.receive(smoltcp::time::Instant::ZERO) {
            let frame = token.consume(<[u8]>::to_vec);
            trace.push((now, frame.clone()));
            is_served |= Segment::read(&frame).is_some_and(|segment| segment.control == TcpControl::Syn);
            if let Some(answer) = answer(&frame, &mut fastrand::Rng::with_seed(0)) {
                send(other, &answer);
            }
        }
        now = next.unwrap_or(now).max(now);
    }
    assert!(is_served, "a client that comes afterwards is not served by {:?}: {trace:x?}", stack.addresses());
}

pub(crate) fn send(other: &mut Port, frame: &[u8]) {
    let Some(token) = other.transmit(smoltcp::time::Instant::ZERO) else { return };
    token.consume(frame.len(), |buffer| buffer.copy_from_slice(frame));
}
