//! The addresses of a stack: static, by DHCP and without a DHCP server, by SLAAC and without a router; on a virtual clock.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in a test a panic is how a failure is reported")]

use core::time::Duration;

use greet_core::Instant;
use greet_smoltcp::stack::{FALLBACK_AFTER, Settings, SettingsError, Stack};
use greet_tests::ether::{Ether, Port};
use smoltcp::{
    iface::SocketSet,
    phy::{ChecksumCapabilities, Device, RxToken, TxToken},
    wire::{
        ArpOperation, ArpPacket, ArpRepr, DhcpMessageType, DhcpPacket, DhcpRepr, EthernetAddress, EthernetFrame,
        EthernetProtocol, EthernetRepr, Icmpv6Packet, Icmpv6Repr, IpAddress, IpCidr, IpProtocol, Ipv4Address,
        Ipv4Packet, Ipv4Repr, Ipv6Address, Ipv6Packet, Ipv6Repr, NdiscPrefixInfoFlags, NdiscPrefixInformation,
        NdiscRepr, NdiscRouterFlags, UdpPacket, UdpRepr,
    },
};

const SECOND: Duration = Duration::from_secs(1);
const OWN: EthernetAddress = EthernetAddress([2, 0, 0, 0, 0, 1]);
const OTHER: EthernetAddress = EthernetAddress([2, 0, 0, 0, 0, 2]);
const STATIC: [IpCidr; 1] = [IpCidr::new(IpAddress::v4(192, 168, 69, 1), 24)];
const LINK_LOCAL: IpCidr = IpCidr::new(IpAddress::v6(0xfe80, 0, 0, 0, 0, 0xff, 0xfe00, 1), 64);
const SERVER: Ipv4Address = Ipv4Address::new(10, 1, 2, 3);

/// A stack, the time, and the port of whoever else is on the wire.
struct Scene {
    now: Instant,
    stack: Stack<'static>,
    port: Port,
    other: Port,
    polls: usize,
    /// A DHCP server that hands out this last byte, if there is one.
    lease: Option<u8>,
    /// It says no to every request.
    refuses: bool,
}

impl Scene {
    fn new(change: impl FnOnce(&mut Settings<'_>)) -> Self {
        let ether = Ether::default();
        let (mut port, other) = (ether.port(OWN), ether.port(OTHER));
        let mut settings = Settings::new(OWN, 7);
        change(&mut settings);
        let stack = Stack::new(settings, &mut port, SocketSet::new(Vec::new()), Instant::ZERO).unwrap();
        Self { now: Instant::ZERO, stack, port, other, polls: 0, lease: None, refuses: false }
    }

    /// Lets so much time pass; the frames that the stack sent meanwhile.
    fn pass(&mut self, span: Duration) -> Vec<Vec<u8>> {
        let until = self.now + span;
        let mut frames = Vec::new();
        loop {
            let next = self.stack.poll(self.now, &mut self.port, |_, _| None);
            self.polls += 1;
            while let Some((token, _)) = self.other.receive(smoltcp::time::Instant::ZERO) {
                frames.push(token.consume(<[u8]>::to_vec));
                self.answer(frames.last().unwrap());
            }
            if !self.port.is_quiet() {
                continue;
            }
            if self.now >= until {
                return frames;
            }
            self.now = next.map_or(until, |next| next.min(until));
        }
    }

    /// What the DHCP server has to say to this.
    fn answer(&mut self, frame: &[u8]) {
        let (Some(byte), Some(frame)) = (self.lease, dhcp_message(frame)) else { return };
        let packet = DhcpPacket::new_checked(&frame[..]).unwrap();
        let question = DhcpRepr::parse(&packet).unwrap();
        let message_type = match question.message_type {
            DhcpMessageType::Discover => DhcpMessageType::Offer,
            DhcpMessageType::Request if self.refuses => DhcpMessageType::Nak,
            DhcpMessageType::Request => DhcpMessageType::Ack,
            _ => return,
        };
        let answer = DhcpRepr {
            message_type,
            your_ip: Ipv4Address::new(10, 1, 2, byte),
            server_ip: SERVER,
            router: Some(SERVER),
            subnet_mask: Some(Ipv4Address::new(255, 255, 255, 0)),
            server_identifier: Some(SERVER),
            lease_duration: Some(600),
            requested_ip: None,
            client_identifier: None,
            parameter_request_list: None,
            max_size: None,
            ..question
        };
        let udp = UdpRepr { src_port: 67, dst_port: 68 };
        let length = udp.header_len() + answer.buffer_len();
        let (source, destination) = (SERVER, Ipv4Address::BROADCAST);
        let header = Ipv4Repr {
            src_addr: source,
            dst_addr: destination,
            next_header: IpProtocol::Udp,
            payload_len: length,
            hop_limit: 64,
        };
        let checksums = ChecksumCapabilities::default();
        self.send(EthernetProtocol::Ipv4, header.buffer_len() + length, |payload| {
            let mut packet = Ipv4Packet::new_unchecked(payload);
            header.emit(&mut packet, &checksums);
            let mut datagram = UdpPacket::new_unchecked(packet.payload_mut());
            udp.emit(
                &mut datagram,
                &source.into(),
                &destination.into(),
                answer.buffer_len(),
                |payload| answer.emit(&mut DhcpPacket::new_unchecked(payload)).unwrap(),
                &checksums,
            );
        });
    }

    /// An advertisement of a router that is the default one, and of its prefix.
    fn advertise(&mut self) {
        let (source, destination) =
            (Ipv6Address::new(0xfe80, 0, 0, 0, 0, 0, 0, 9), Ipv6Address::new(0xff02, 0, 0, 0, 0, 0, 0, 1));
        let advertisement = Icmpv6Repr::Ndisc(NdiscRepr::RouterAdvert {
            hop_limit: 64,
            flags: NdiscRouterFlags::empty(),
            router_lifetime: smoltcp::time::Duration::from_secs(1800),
            reachable_time: smoltcp::time::Duration::ZERO,
            retrans_time: smoltcp::time::Duration::ZERO,
            lladdr: None,
            mtu: None,
            prefix_info: Some(NdiscPrefixInformation {
                prefix_len: 64,
                flags: NdiscPrefixInfoFlags::ADDRCONF,
                valid_lifetime: smoltcp::time::Duration::from_secs(3600),
                preferred_lifetime: smoltcp::time::Duration::from_secs(1800),
                prefix: Ipv6Address::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, 0),
            }),
        });
        let header = Ipv6Repr {
            src_addr: source,
            dst_addr: destination,
            next_header: IpProtocol::Icmpv6,
            payload_len: advertisement.buffer_len(),
            hop_limit: 255,
        };
        self.send(EthernetProtocol::Ipv6, header.buffer_len() + advertisement.buffer_len(), |payload| {
            let mut packet = Ipv6Packet::new_unchecked(payload);
            header.emit(&mut packet);
            let mut message = Icmpv6Packet::new_unchecked(packet.payload_mut());
            advertisement.emit(&source, &destination, &mut message, &ChecksumCapabilities::default());
        });
    }

    fn send(&mut self, ethertype: EthernetProtocol, length: usize, write: impl FnOnce(&mut [u8])) {
        let header = EthernetRepr { src_addr: OTHER, dst_addr: EthernetAddress::BROADCAST, ethertype };
        let token = self.other.transmit(smoltcp::time::Instant::ZERO).unwrap();
        token.consume(header.buffer_len() + length, |buffer| {
            let mut frame = EthernetFrame::new_unchecked(buffer);
            header.emit(&mut frame);
            write(frame.payload_mut());
        });
    }
}

/// The DHCP message to a server in this frame.
fn dhcp_message(frame: &[u8]) -> Option<Vec<u8>> {
    let frame = EthernetFrame::new_checked(frame).ok()?;
    let packet = Ipv4Packet::new_checked(frame.payload()).ok()?;
    let datagram = UdpPacket::new_checked(packet.payload()).ok()?;
    (frame.ethertype() == EthernetProtocol::Ipv4 && datagram.dst_port() == 67).then(|| datagram.payload().to_vec())
}

/// The address that this frame tells everybody about.
fn announced(frame: &[u8]) -> Option<Ipv4Address> {
    let frame = EthernetFrame::new_checked(frame).ok()?;
    if frame.ethertype() != EthernetProtocol::Arp || !frame.dst_addr().is_broadcast() {
        return None;
    }
    let ArpRepr::EthernetIpv4 { operation, source_protocol_addr, target_protocol_addr, source_hardware_addr, .. } =
        ArpRepr::parse(&ArpPacket::new_checked(frame.payload()).ok()?).ok()?
    else {
        return None;
    };
    let gratuitous = operation == ArpOperation::Request && source_protocol_addr == target_protocol_addr;
    (gratuitous && source_hardware_addr == OWN).then_some(source_protocol_addr)
}

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
fn an_address_comes_by_dhcp_and_is_announced() {
    let mut scene = Scene::new(|settings| settings.dhcp = true);
    scene.lease = Some(50);
    let frames = scene.pass(SECOND);
    assert_eq!(scene.stack.addresses(), [leased(50), LINK_LOCAL]);
    assert!(frames.iter().any(|frame| announced(frame) == Some(Ipv4Address::new(10, 1, 2, 50))));
}

#[test]
fn where_dhcp_finds_nobody_the_static_address_is_taken_until_it_does() {
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
fn when_the_link_is_up_again_dhcp_asks_again_and_the_address_stays_until_it_is_answered() {
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
fn a_lease_is_renewed_and_one_that_runs_out_is_given_up() {
    let mut scene = Scene::new(|settings| {
        settings.dhcp = true;
        settings.addresses = &STATIC;
    });
    scene.lease = Some(50);
    scene.pass(3600 * SECOND);
    assert_eq!(scene.stack.addresses(), [leased(50), LINK_LOCAL]);
    scene.lease = None;
    scene.pass(601 * SECOND);
    assert_eq!(scene.stack.addresses(), [STATIC[0], LINK_LOCAL]);
}

#[test]
fn an_ipv6_address_is_made_from_what_a_router_advertises() {
    let mut scene = Scene::new(|settings| settings.slaac = true);
    scene.pass(SECOND);
    scene.advertise();
    scene.pass(SECOND);
    let made = IpCidr::new(IpAddress::v6(0x2001, 0xdb8, 0, 1, 0, 0xff, 0xfe00, 1), 64);
    assert_eq!(scene.stack.addresses(), [LINK_LOCAL, made]);
    scene.pass(3600 * SECOND);
    assert_eq!(scene.stack.addresses(), [LINK_LOCAL], "its time is over");
}

#[test]
fn the_route_to_a_router_that_advertises_stands_beside_the_one_for_ipv4() {
    const GATEWAY: [IpAddress; 1] = [IpAddress::v4(192, 168, 69, 100)];
    let mut scene = Scene::new(|settings| {
        settings.slaac = true;
        settings.addresses = &STATIC;
        settings.gateways = &GATEWAY;
    });
    scene.pass(SECOND);
    scene.advertise();
    let next = scene.stack.poll(scene.now, &mut scene.port, |_, _| None);
    assert_eq!(scene.stack.addresses().len(), 3, "at once, not when it is polled next: {next:?}");
    assert_eq!(scene.stack.router(STATIC[0].address()), Some(GATEWAY[0]));
    let router = IpAddress::v6(0xfe80, 0, 0, 0, 0, 0, 0, 9);
    assert_eq!(scene.stack.router(router), Some(router));
}

#[test]
fn a_dhcp_server_that_refuses_is_not_asked_without_end() {
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
fn a_search_for_routers_that_finds_none_ends_and_one_that_comes_later_is_heard() {
    let mut scene = Scene::new(|settings| settings.slaac = true);
    scene.pass(60 * SECOND);
    assert!(scene.polls < 20, "{} polls", scene.polls);
    let before = scene.polls;
    scene.pass(3600 * SECOND);
    assert_eq!(scene.polls - before, 2, "nobody asks to be polled");
    scene.advertise();
    scene.pass(SECOND);
    assert_eq!(scene.stack.addresses().len(), 2);
}

#[test]
fn wrong_settings_are_told() {
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
