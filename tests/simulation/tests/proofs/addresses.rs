//! The addresses of a stack: static, by DHCP and without a DHCP server; on a virtual clock.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in a test a panic is how a failure is reported")]

use core::time::Duration;

use greet_core::Instant;
use greet_smoltcp::stack::{FALLBACK_AFTER, Settings, SettingsError, Stack};
use greet_tests::{
    ether::Ether,
    scene::{OWN, Scene, announced, dhcp_message},
};
use smoltcp::{
    iface::SocketSet,
    wire::{EthernetAddress, IpAddress, IpCidr, Ipv4Address},
};

const SECOND: Duration = Duration::from_secs(1);
const STATIC: [IpCidr; 1] = [IpCidr::new(IpAddress::v4(192, 168, 69, 1), 24)];
const LINK_LOCAL: IpCidr = IpCidr::new(IpAddress::v6(0xfe80, 0, 0, 0, 0, 0xff, 0xfe00, 1), 64);

fn leased(byte: u8) -> IpCidr {
    IpCidr::new(IpAddress::v4(10, 1, 2, byte), 24)
}

#[test]
fn a_static_address_is_announced_at_the_start_and_again_when_the_link_is_up_again() {
    let mut scene = Scene::new(|settings| settings.addresses = &STATIC);
    let announcements = |frames: Vec<Vec<u8>>| frames.iter().filter_map(|frame| announced(frame)).collect::<Vec<_>>();
    assert_eq!(announcements(scene.pass(SECOND)), [Ipv4Address::new(192, 168, 69, 1)]);
    assert!(announcements(scene.pass(3600 * SECOND)).is_empty());
    scene.stack.link_up(scene.now);
    assert_eq!(announcements(scene.pass(SECOND)), [Ipv4Address::new(192, 168, 69, 1)]);
    assert_eq!(scene.stack.addresses(), [STATIC[0], LINK_LOCAL]);
}

#[test]
fn an_address_assigned_by_dhcp_is_announced() {
    let mut scene = Scene::new(|settings| settings.dhcp = true);
    scene.lease = Some(50);
    let frames = scene.pass(SECOND);
    assert_eq!(scene.stack.addresses(), [leased(50), LINK_LOCAL]);
    assert!(frames.iter().any(|frame| announced(frame) == Some(Ipv4Address::new(10, 1, 2, 50))));
}

#[test]
fn without_a_dhcp_server_the_static_address_is_used_until_one_answers() {
    let mut scene = Scene::new(|settings| {
        settings.dhcp = true;
        settings.addresses = &STATIC;
    });
    scene.pass(FALLBACK_AFTER - Duration::from_millis(1));
    assert_eq!(scene.stack.addresses(), [LINK_LOCAL]);
    scene.pass(Duration::from_millis(1));
    assert_eq!(scene.stack.addresses(), [STATIC[0], LINK_LOCAL]);
    scene.lease = Some(50);
    scene.pass(10 * SECOND);
    assert_eq!(scene.stack.addresses(), [leased(50), LINK_LOCAL]);
}

#[test]
fn when_the_link_is_up_again_dhcp_sends_a_request_and_keeps_the_address_until_the_answer() {
    let mut scene = Scene::new(|settings| {
        settings.dhcp = true;
        settings.addresses = &STATIC;
    });
    scene.lease = Some(50);
    scene.pass(SECOND);
    scene.lease = None;
    scene.stack.link_up(scene.now);
    scene.pass(FALLBACK_AFTER - SECOND);
    assert_eq!(scene.stack.addresses(), [leased(50), LINK_LOCAL]);
    scene.lease = Some(51); // another network
    scene.pass(5 * SECOND);
    assert_eq!(scene.stack.addresses(), [leased(51), LINK_LOCAL]);
    scene.lease = None;
    scene.stack.link_up(scene.now);
    scene.pass(FALLBACK_AFTER);
    assert_eq!(scene.stack.addresses(), [STATIC[0], LINK_LOCAL]);
}

#[test]
fn a_lease_is_renewed_and_an_expired_lease_is_dropped() {
    let mut scene = Scene::new(|settings| {
        settings.dhcp = true;
        settings.addresses = &STATIC;
    });
    scene.lease = Some(50);
    scene.pass(3600 * SECOND);
    assert_eq!(scene.stack.addresses(), [leased(50), LINK_LOCAL]);
    scene.lease = None;
    scene.pass(601 * SECOND + FALLBACK_AFTER);
    assert_eq!(scene.stack.addresses(), [STATIC[0], LINK_LOCAL]);
}

#[test]
fn requests_to_a_dhcp_server_that_refuses_are_limited() {
    let mut scene = Scene::new(|settings| {
        settings.dhcp = true;
        settings.addresses = &STATIC;
    });
    scene.lease = Some(50);
    scene.refuses = true;
    let questions = scene.pass(60 * SECOND).iter().filter(|frame| dhcp_message(frame).is_some()).count();
    assert!(questions < 60, "{questions} questions in a minute");
    assert_eq!(scene.stack.addresses(), [STATIC[0], LINK_LOCAL]);
}

#[test]
fn invalid_settings_are_reported() {
    let ether = Ether::default();
    let stack = |settings: Settings<'_>| {
        let mut port = ether.port(OWN);
        Stack::new(settings, &mut port, SocketSet::new(Vec::new()), Instant::ZERO).map(drop).unwrap_err()
    };
    let settings = Settings::new(OWN, 7);
    let group = EthernetAddress([1, 0, 0, 0, 0, 1]);
    assert_eq!(stack(Settings { hardware_address: group, ..settings }), SettingsError::HardwareAddress(group));
    let all = IpCidr::new(IpAddress::v4(255, 255, 255, 255), 32);
    assert_eq!(stack(Settings { addresses: &[all], ..settings }), SettingsError::Address(all));
    let group = IpAddress::v4(224, 0, 0, 1);
    assert_eq!(stack(Settings { gateways: &[group], ..settings }), SettingsError::Gateway(group));
    let gateways = [IpAddress::v4(10, 0, 0, 1), IpAddress::v4(10, 0, 0, 2)];
    assert_eq!(stack(Settings { gateways: &gateways, ..settings }), SettingsError::TooManyGateways);
    for wrong in [IpCidr::new(IpAddress::v4(192, 168, 69, 0), 24), IpCidr::new(IpAddress::v4(192, 168, 69, 255), 24)] {
        assert_eq!(stack(Settings { addresses: &[wrong], ..settings }), SettingsError::Address(wrong));
    }
    let loopback = IpCidr::new(IpAddress::v6(0, 0, 0, 0, 0, 0, 0, 1), 128);
    assert_eq!(stack(Settings { addresses: &[loopback], ..settings }), SettingsError::Address(loopback));
    assert_eq!(stack(Settings { addresses: &[STATIC[0]; 2], ..settings }), SettingsError::Twice(STATIC[0]));
    let many: Vec<_> = (1..10).map(|number| IpCidr::new(IpAddress::v4(192, 168, 69, number), 24)).collect();
    let full = &many[..smoltcp::config::IFACE_MAX_ADDR_COUNT - 1];
    let too_many = SettingsError::TooManyAddresses { limit: smoltcp::config::IFACE_MAX_ADDR_COUNT };
    assert_eq!(stack(Settings { addresses: full, slaac: true, ..settings }), too_many);
    assert!(matches!(stack(Settings { addresses: &many, ..settings }), SettingsError::TooManyAddresses { .. }));
}
