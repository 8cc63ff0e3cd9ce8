//! IPv6 addresses and routers by SLAAC (RFC 4861, RFC 4862), beside an IPv4 router; on a virtual clock.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in a test a panic is how a failure is reported")]

use core::time::Duration;

use greet_tests::scene::{ALL_NODES, Prefix, Scene, router_advertisement};
use smoltcp::wire::{EthernetFrame, IpAddress, IpCidr, Ipv6Address, Ipv6Packet};

const SECOND: Duration = Duration::from_secs(1);
const STATIC: [IpCidr; 1] = [IpCidr::new(IpAddress::v4(192, 168, 69, 1), 24)];
const GATEWAY: [IpAddress; 1] = [IpAddress::v4(192, 168, 69, 100)];
const LINK_LOCAL: IpCidr = IpCidr::new(IpAddress::v6(0xfe80, 0, 0, 0, 0, 0xff, 0xfe00, 1), 64);
const ROUTER: Ipv6Address = router(9);

const fn router(number: u16) -> Ipv6Address {
    Ipv6Address::new(0xfe80, 0, 0, 0, 0, 0, 0, number)
}

const fn prefix(number: u16) -> Prefix {
    Prefix::new(Ipv6Address::new(0x2001, 0xdb8, 0, number, 0, 0, 0, 0))
}

/// The address that the stack makes of the prefix with that number.
const fn made(number: u16) -> IpCidr {
    IpCidr::new(IpAddress::v6(0x2001, 0xdb8, 0, number, 0, 0xff, 0xfe00, 1), 64)
}

fn with_slaac() -> Scene {
    let mut scene = Scene::new(|settings| settings.slaac = true);
    scene.pass(SECOND);
    scene
}

/// How many of the frames are router solicitations.
fn solicitations(frames: &[Vec<u8>]) -> usize {
    frames.iter().filter(|frame| icmpv6_type(frame) == Some(133)).count()
}

fn icmpv6_type(frame: &[u8]) -> Option<u8> {
    let frame = EthernetFrame::new_checked(frame).ok()?;
    let packet = Ipv6Packet::new_checked(frame.payload()).ok()?;
    packet.payload().first().copied()
}

#[test]
fn an_address_is_made_from_an_advertised_prefix_and_removed_when_its_lifetime_ends() {
    let mut scene = with_slaac();
    scene.advertise(ROUTER, 1800, &[prefix(1)]);
    scene.pass(SECOND);
    assert_eq!(scene.stack.addresses(), [LINK_LOCAL, made(1)]);
    scene.pass(3600 * SECOND);
    assert_eq!(scene.stack.addresses(), [LINK_LOCAL]);
}

#[test]
fn invalid_prefixes_make_no_address_and_do_not_affect_others() {
    let cases = [
        ("multicast", Prefix::new(Ipv6Address::new(0xff02, 0, 0, 0, 0, 0, 0, 0))),
        ("unspecified", Prefix::new(Ipv6Address::UNSPECIFIED)),
        ("IPv4-mapped", Prefix::new(Ipv6Address::new(0, 0, 0, 0, 0, 0xffff, 0, 0))),
        ("link-local", Prefix::new(Ipv6Address::new(0xfe80, 0, 0, 0, 0, 0, 0, 0))),
        ("length 129", Prefix { length: 129, ..prefix(1) }),
        ("length 255", Prefix { length: 255, ..prefix(1) }),
        ("length 128", Prefix { length: 128, ..prefix(1) }),
        ("length 0", Prefix { length: 0, ..prefix(1) }),
        ("preferred longer than valid", Prefix { preferred: 3601, ..prefix(1) }),
        ("valid for no time", Prefix { valid: 0, preferred: 0, ..prefix(1) }),
    ];
    for (name, case) in cases {
        let mut scene = with_slaac();
        scene.advertise(ROUTER, 1800, &[case]);
        scene.pass(SECOND);
        assert_eq!(scene.stack.addresses(), [LINK_LOCAL], "{name}");
        scene.advertise(ROUTER, 1800, &[prefix(2)]);
        scene.pass(SECOND);
        assert_eq!(scene.stack.addresses(), [LINK_LOCAL, made(2)], "{name}: a right one is taken afterwards");
    }
}

#[test]
fn invalid_router_advertisements_are_ignored() {
    let whole = router_advertisement(1800, &[prefix(1)]);
    let mut no_length = whole.clone();
    no_length[17] = 0;
    let mut other_code = whole.clone();
    other_code[1] = 1;
    let global = Ipv6Address::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 9);
    let cases: [(&str, Ipv6Address, &[u8]); 5] = [
        ("an option without length", ROUTER, &no_length),
        ("a code", ROUTER, &other_code),
        ("an option cut off", ROUTER, &whole[..whole.len() - 1]),
        ("a header cut off", ROUTER, &whole[..15]),
        ("a source that is not link-local", global, &whole),
    ];
    for (name, source, message) in cases {
        let mut scene = with_slaac();
        scene.send_icmpv6(source, ALL_NODES, message);
        scene.pass(SECOND);
        assert_eq!(scene.stack.addresses(), [LINK_LOCAL], "{name}");
        assert_eq!(scene.stack.router(ROUTER.into()), None, "{name}");
    }
}

#[test]
fn two_prefixes_of_one_advertisement_or_of_two_routers_make_two_addresses() {
    let mut scene = with_slaac();
    scene.advertise(ROUTER, 1800, &[prefix(1), prefix(2)]);
    scene.pass(SECOND);
    assert_eq!(scene.stack.addresses(), [LINK_LOCAL, made(1), made(2)]);

    let mut scene = with_slaac();
    scene.advertise(router(1), 1800, &[prefix(1)]);
    scene.advertise(router(2), 1800, &[prefix(2)]);
    scene.pass(SECOND);
    assert_eq!(scene.stack.addresses(), [LINK_LOCAL, made(1), made(2)]);
}

#[test]
fn a_new_prefix_is_used_while_the_first_prefix_is_deprecated_and_still_valid() {
    let mut scene = with_slaac();
    scene.advertise(ROUTER, 1800, &[prefix(1)]);
    scene.pass(SECOND);
    scene.advertise(ROUTER, 1800, &[Prefix { preferred: 0, ..prefix(1) }, prefix(2)]);
    scene.pass(SECOND);
    assert_eq!(scene.stack.addresses(), [LINK_LOCAL, made(1), made(2)]);
}

#[test]
fn with_too_many_prefixes_the_first_are_kept_and_a_deprecated_prefix_is_replaced() {
    let mut scene = with_slaac();
    let all: Vec<_> = (1..=9).map(prefix).collect();
    scene.advertise(ROUTER, 1800, &all);
    scene.pass(SECOND);
    let before = scene.stack.addresses().to_vec();
    assert_eq!(before[..3], [LINK_LOCAL, made(1), made(2)]);
    scene.advertise(ROUTER, 1800, &[Prefix { preferred: 0, ..prefix(1) }, prefix(7)]);
    scene.pass(SECOND);
    let after = scene.stack.addresses();
    assert_eq!(after.len(), before.len());
    assert!(after.contains(&made(7)) && !after.contains(&made(1)), "{after:?}");
}

#[test]
fn an_advertisement_cannot_shorten_the_lifetime_of_an_address_below_two_hours() {
    // RFC 4862, 5.5.3 (e)
    let mut scene = with_slaac();
    scene.advertise(ROUTER, 1800, &[Prefix { valid: 90_000, ..prefix(1) }]);
    scene.pass(SECOND);
    scene.advertise(ROUTER, 1800, &[Prefix { valid: 0, preferred: 0, ..prefix(1) }]);
    scene.pass(7199 * SECOND);
    assert_eq!(scene.stack.addresses(), [LINK_LOCAL, made(1)]);
    scene.pass(2 * SECOND);
    assert_eq!(scene.stack.addresses(), [LINK_LOCAL]);
}

#[test]
fn a_prefix_with_an_infinite_lifetime_is_kept() {
    let mut scene = with_slaac();
    scene.advertise(ROUTER, 1800, &[Prefix { valid: u32::MAX, preferred: u32::MAX, ..prefix(1) }]);
    scene.pass(1_000_000 * SECOND);
    assert_eq!(scene.stack.addresses(), [LINK_LOCAL, made(1)]);
}

#[test]
fn changes_of_ipv6_routers_do_not_affect_the_ipv4_router() {
    for count in 1..=6 {
        let mut scene = Scene::new(|settings| {
            settings.slaac = true;
            settings.addresses = &STATIC;
            settings.gateways = &GATEWAY;
        });
        scene.pass(SECOND);
        for number in 1..=count {
            scene.advertise(router(number), 1800, &[prefix(number)]);
            let next = scene.stack.poll(scene.now, &mut scene.port, |_, _| None);
            assert_eq!(scene.stack.router(GATEWAY[0]), Some(GATEWAY[0]), "{count} routers, {next:?}");
            assert_eq!(scene.stack.router(ROUTER.into()), Some(router(1).into()), "the first one stays the default");
        }
        for number in 1..=count {
            scene.advertise(router(number), 0, &[]);
            scene.pass(SECOND);
            assert_eq!(scene.stack.router(GATEWAY[0]), Some(GATEWAY[0]), "{count} routers, {number} withdrew");
            let next = (number < count.min(4)).then(|| router(number + 1).into());
            assert_eq!(scene.stack.router(ROUTER.into()), next, "{count} routers, {number} withdrew");
        }
    }
}

#[test]
fn a_router_is_removed_when_its_lifetime_ends() {
    let mut scene = with_slaac();
    scene.advertise(ROUTER, 30, &[]);
    scene.pass(29 * SECOND);
    assert_eq!(scene.stack.router(ROUTER.into()), Some(ROUTER.into()));
    scene.pass(2 * SECOND);
    assert_eq!(scene.stack.router(ROUTER.into()), None);
}

#[test]
fn routers_are_solicited_three_times_at_four_second_intervals_and_later_advertisements_are_accepted() {
    let mut scene = Scene::new(|settings| settings.slaac = true);
    assert_eq!(solicitations(&scene.pass(2 * SECOND)), 1);
    for expected in [1, 1, 0, 0] {
        assert_eq!(solicitations(&scene.pass(4 * SECOND)), expected);
    }
    assert!(scene.polls < 40, "{} polls", scene.polls);
    let before = scene.polls;
    scene.pass(3600 * SECOND);
    assert_eq!(scene.polls - before, 2, "no poll is asked for");
    scene.advertise(ROUTER, 1800, &[prefix(1)]);
    scene.pass(SECOND);
    assert_eq!(scene.stack.addresses(), [LINK_LOCAL, made(1)]);
}

#[test]
fn an_advertisement_ends_router_solicitation_and_a_new_link_starts_it_again() {
    let mut scene = with_slaac();
    scene.advertise(ROUTER, 1800, &[prefix(1)]);
    assert_eq!(solicitations(&scene.pass(60 * SECOND)), 0);
    scene.stack.link_up(scene.now);
    assert_eq!(solicitations(&scene.pass(60 * SECOND)), 3);
}

#[test]
fn an_answer_to_a_packet_right_behind_the_withdrawal_of_a_router_goes_to_another_one() {
    let remote = Ipv6Address::new(0x2001, 0xdb8, 9, 0, 0, 0, 0, 7);
    let IpCidr::Ipv6(own) = LINK_LOCAL else { panic!("it is of IPv6") };
    let mut scene = with_slaac();
    scene.advertise(ROUTER, 1800, &[]);
    scene.advertise(router(8), 1800, &[]);
    scene.pass(SECOND);
    assert_eq!(scene.stack.router(ROUTER.into()), Some(ROUTER.into()));
    scene.advertise(ROUTER, 0, &[]);
    scene.send_icmpv6(remote, own.address(), &[128, 0, 0, 0, 0, 1, 0, 1]);
    let asked: Vec<Vec<u8>> = scene.pass(SECOND).into_iter().filter(|frame| icmpv6_type(frame) == Some(135)).collect();
    let targets: Vec<&[u8]> = asked.iter().map(|frame| &frame[14 + 40 + 8..][..16]).collect();
    assert!(!targets.is_empty() && targets.iter().all(|target| *target == router(8).octets()), "{targets:?}");
}

/// The router in use after 40 s, when two advertise themselves and these answer neighbor solicitations; `used`: a host of another network
/// sends an echo request each second. And how many solicitations were sent in the last 20 s.
fn router_after(mut scene: Scene, alive: &[Ipv6Address], used: bool) -> (Option<IpAddress>, usize) {
    let remote = Ipv6Address::new(0x2001, 0xdb8, 9, 0, 0, 0, 0, 7);
    let IpCidr::Ipv6(own) = LINK_LOCAL else { panic!("it is of IPv6") };
    scene.advertise(ROUTER, 1800, &[]);
    scene.advertise(router(8), 1800, &[]);
    let mut asked = 0;
    for second in 0..40 {
        if used {
            scene.send_icmpv6(remote, own.address(), &[128, 0, 0, 0, 0, 1, 0, 1]);
        }
        for frame in scene.pass(SECOND).iter().filter(|frame| icmpv6_type(frame) == Some(135)) {
            let target = Ipv6Address::from_octets(frame[14 + 40 + 8..][..16].try_into().unwrap());
            asked += usize::from(second >= 20);
            if alive.contains(&target) {
                let advertisement =
                    [&[136, 0, 0, 0, 0xe0, 0, 0, 0][..], &target.octets(), &[2, 1, 2, 0, 0, 0, 0, 9]].concat();
                scene.send_icmpv6(target, own.address(), &advertisement);
            }
        }
    }
    (scene.stack.router(ROUTER.into()), asked)
}

#[test]
fn a_router_that_does_not_answer_is_replaced_by_one_that_does_while_packets_go_to_it() {
    for (alive, used, expected) in [
        (&[router(8)][..], true, router(8)),
        (&[ROUTER], true, ROUTER),
        (&[ROUTER, router(8)], true, ROUTER),
        (&[], false, ROUTER),
    ] {
        let (used_router, asked) = router_after(with_slaac(), alive, used);
        assert_eq!(used_router, Some(expected.into()), "{alive:?} answer, used: {used}");
        assert!(asked <= 6 && (asked > 0) == used, "{alive:?} answer, used: {used}: {asked} solicitations in 20 s");
    }
}

#[test]
fn a_router_in_the_settings_stays_even_if_it_does_not_answer_and_others_advertise_themselves() {
    const FIXED: [IpAddress; 1] = [IpAddress::Ipv6(router(7))];
    let mut scene = Scene::new(|settings| {
        settings.slaac = true;
        settings.gateways = &FIXED;
    });
    scene.pass(SECOND);
    let (used_router, _) = router_after(scene, &[ROUTER, router(8)], true);
    assert_eq!(used_router, Some(FIXED[0]));
}
