//! A lost reply is retransmitted at the times of RFC 6298, in every state of SLAAC; on a virtual clock.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in a test a panic is how a failure is reported")]

use core::time::Duration;

use greet_core::Instant;
use greet_tests::{
    scene::{Prefix, Scene},
    segment::{Segment, segment},
};
use smoltcp::{
    iface::SocketHandle,
    socket::tcp::{Socket, SocketBuffer},
    wire::{IpAddress, IpCidr, Ipv6Address, TcpControl, TcpRepr, TcpSeqNumber},
};

const SECOND: Duration = Duration::from_secs(1);
const IPV4: IpAddress = IpAddress::v4(192, 168, 69, 1);
const STATIC: [IpCidr; 1] = [IpCidr::new(IPV4, 24)];
const PEER: IpAddress = IpAddress::v4(192, 168, 69, 2);
const IPV6: IpAddress = IpAddress::v6(0xfe80, 0, 0, 0, 0, 0xff, 0xfe00, 1);
const PEER6: IpAddress = IpAddress::v6(0xfe80, 0, 0, 0, 0, 0, 0, 2);
const ROUTER: Ipv6Address = Ipv6Address::new(0xfe80, 0, 0, 0, 0, 0, 0, 9);
const PREFIX: Prefix = Prefix::new(Ipv6Address::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, 0));

/// What happens before the connection is opened.
type Prepare = fn(&mut Scene);

/// The states of the routers.
const STATES: [(&str, Prepare); 6] = [
    ("the search goes on", |scene| _ = scene.pass(SECOND)),
    ("the search found none", |scene| _ = scene.pass(60 * SECOND)),
    ("one advertisement, of a router for no time", |scene| {
        scene.pass(SECOND);
        scene.advertise(ROUTER, 0, &[]);
    }),
    ("one router and its prefix", |scene| {
        scene.pass(SECOND);
        scene.advertise(ROUTER, 1800, &[PREFIX]);
    }),
    ("a router that withdrew", |scene| {
        scene.pass(SECOND);
        scene.advertise(ROUTER, 1800, &[]);
        scene.pass(SECOND);
        scene.advertise(ROUTER, 0, &[]);
    }),
    ("a router whose lifetime ended", |scene| {
        scene.pass(SECOND);
        scene.advertise(ROUTER, 5, &[]);
        scene.pass(60 * SECOND);
    }),
];

fn scene(prepare: Prepare) -> (Scene, SocketHandle) {
    let mut scene = Scene::new(|settings| {
        settings.slaac = true;
        settings.addresses = &STATIC;
    });
    let buffer = || SocketBuffer::new(vec![0; 512]);
    let mut socket = Socket::new(buffer(), buffer());
    socket.listen(9999).unwrap();
    let handle = scene.stack.sockets().add(socket);
    prepare(&mut scene);
    scene.pass(SECOND);
    (scene, handle)
}

fn syn(port: u16) -> TcpRepr<'static> {
    TcpRepr { control: TcpControl::Syn, ..segment(port, 100) }
}

/// The seconds after `start` in which segments that `chosen` accepts were sent.
fn seconds(frames: &[(Instant, Vec<u8>)], start: Instant, chosen: impl Fn(&Segment) -> bool) -> Vec<u64> {
    frames
        .iter()
        .filter(|(_, frame)| Segment::read(frame).is_some_and(|segment| chosen(&segment)))
        .map(|(at, _)| at.since(start).as_secs())
        .collect()
}

#[test]
fn an_unanswered_syn_ack_is_sent_again_after_1_3_7_and_15_seconds() {
    for (state, prepare) in STATES {
        for (own, peer) in [(IPV4, PEER), (IPV6, PEER6)] {
            let (mut scene, _) = scene(prepare);
            let (start, polls) = (scene.now, scene.polls);
            scene.send_tcp(peer, own, &syn(50_000));
            let frames = scene.pass_timed(20 * SECOND);
            assert_eq!(
                seconds(&frames, start, |segment| segment.control == TcpControl::Syn),
                [0, 1, 3, 7, 15],
                "{state}"
            );
            assert!(scene.polls - polls < 40, "{state}: {} polls in 20 s", scene.polls - polls);
        }
    }
}

#[test]
fn a_lost_reply_is_sent_again_after_1_3_7_and_15_seconds() {
    for (state, prepare) in STATES {
        for (own, peer) in [(IPV4, PEER), (IPV6, PEER6)] {
            let (mut scene, handle) = scene(prepare);
            let start = scene.now;
            scene.send_tcp(peer, own, &syn(50_000));
            let frames = scene.pass_timed(Duration::ZERO);
            let answer = frames.iter().find_map(|(_, frame)| Segment::read(frame)).unwrap();
            let ack = Some(answer.sequence + 1);
            scene.send_tcp(peer, own, &TcpRepr { ack_number: ack, ..segment(50_000, 101) });
            scene.pass(Duration::ZERO);
            scene.stack.sockets().get_mut::<Socket<'_>>(handle).send_slice(b"Welcome!").unwrap();
            let polls = scene.polls;
            let frames = scene.pass_timed(20 * SECOND);
            assert_eq!(seconds(&frames, start, |segment| !segment.payload.is_empty()), [0, 1, 3, 7, 15], "{state}");
            assert!(scene.polls - polls < 40, "{state}: {} polls in 20 s", scene.polls - polls);
        }
    }
}

#[test]
fn an_acknowledgement_without_data_is_sent_after_a_delay_of_10_ms() {
    for (state, prepare) in STATES {
        let (mut scene, _) = scene(prepare);
        scene.send_tcp(PEER, IPV4, &syn(50_000));
        let frames = scene.pass_timed(Duration::ZERO);
        let answer = frames.iter().find_map(|(_, frame)| Segment::read(frame)).unwrap();
        let ack = Some(answer.sequence + 1);
        scene.send_tcp(PEER, IPV4, &TcpRepr { ack_number: ack, payload: b"ha", ..segment(50_000, 101) });
        let start = scene.now;
        let frames = scene.pass_timed(SECOND);
        let at = frames
            .iter()
            .find(|(_, frame)| {
                Segment::read(frame).is_some_and(|segment| segment.acknowledged == Some(TcpSeqNumber(103)))
            })
            .map(|(at, _)| at.since(start));
        assert_eq!(at, Some(Duration::from_millis(10)), "{state}");
    }
}
