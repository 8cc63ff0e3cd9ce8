//! The DHCP client against servers that are wrong, slow, silent or refuse; on a virtual clock.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in a test a panic is how a failure is reported")]

use core::time::Duration;

use greet_core::Instant;
use greet_smoltcp::stack::{DhcpNotice, FALLBACK_AFTER, Reason, Settings, Stack};
use greet_tests::{
    dhcp::Answer,
    ether::{Ether, Port},
    scene::{OTHER, OWN, SERVER, broadcast},
};
use smoltcp::{
    iface::{SocketHandle, SocketSet},
    phy::{Device, RxToken, TxToken},
    socket::tcp::{Socket, SocketBuffer, State},
    wire::{
        ArpOperation, ArpPacket, ArpRepr, DhcpMessageType, DhcpPacket, DhcpRepr, EthernetFrame, EthernetProtocol,
        IpAddress, IpCidr, IpProtocol, Ipv4Address, Ipv4Packet, TcpPacket, UdpPacket,
    },
};

const SECOND: Duration = Duration::from_secs(1);
const STATIC: [IpCidr; 1] = [IpCidr::new(IpAddress::v4(192, 168, 69, 1), 24)];
const ADDRESS: Ipv4Address = Ipv4Address::new(10, 1, 2, 50);

/// A valid answer to this message.
fn good(question: &Question) -> Answer {
    let kind = match question.kind {
        DhcpMessageType::Discover => DhcpMessageType::Offer,
        _ => DhcpMessageType::Ack,
    };
    Answer::new(kind, ADDRESS)
}

/// What the client sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Question {
    at: Instant,
    kind: DhcpMessageType,
    transaction: u32,
    requested: Option<Ipv4Address>,
    from: Ipv4Address,
    to: Ipv4Address,
}

struct Scene {
    now: Instant,
    stack: Stack<'static>,
    port: Port,
    other: Port,
    questions: Vec<Question>,
    answers: Vec<(Instant, u32, Answer)>,
    /// Another host has this address.
    taken: Option<Ipv4Address>,
    /// Addresses of resets.
    resets: Vec<Ipv4Address>,
    notices: Vec<DhcpNotice>,
    /// The IPv4 address, each time that it changed.
    addresses: Vec<Option<IpCidr>>,
}

impl Scene {
    fn new() -> Self {
        Self::with_gateways(&[])
    }

    fn with_gateways(gateways: &[IpAddress]) -> Self {
        let ether = Ether::default();
        let (mut port, other) = (ether.port(OWN), ether.port(OTHER));
        let settings = Settings { addresses: &STATIC, gateways, dhcp: true, ..Settings::new(OWN, 7) };
        let stack = Stack::new(settings, &mut port, SocketSet::new(Vec::new()), Instant::ZERO).unwrap();
        Self {
            now: Instant::ZERO,
            stack,
            port,
            other,
            questions: Vec::new(),
            answers: Vec::new(),
            taken: None,
            resets: Vec::new(),
            notices: Vec::new(),
            addresses: Vec::new(),
        }
    }

    fn address(&self) -> Option<IpCidr> {
        self.stack.addresses().iter().copied().find(|address| matches!(address, IpCidr::Ipv4(_)))
    }

    /// Advances the clock by this time, with a server that answers with `server`.
    fn pass(&mut self, span: Duration, mut server: impl FnMut(&Question) -> Option<Answer>) {
        let until = self.now + span;
        loop {
            let next = self.stack.poll(self.now, &mut self.port, |_, _: Reason| None);
            self.notices.extend(self.stack.take_dhcp_notice());
            if self.addresses.last() != Some(&self.address()) {
                self.addresses.push(self.address());
            }
            while let Some((token, _)) = self.other.receive(smoltcp::time::Instant::ZERO) {
                let frame = token.consume(<[u8]>::to_vec);
                self.look(&frame, &mut server);
            }
            let now = self.now;
            self.answers.sort_by_key(|&(at, ..)| at);
            while let Some(&(at, transaction, answer)) = self.answers.first()
                && at <= now
            {
                self.answers.remove(0);
                self.send(&answer.frame(transaction));
            }
            if !self.port.is_quiet() {
                continue;
            }
            if self.now >= until {
                return;
            }
            let answer = self.answers.first().map_or(until, |&(at, ..)| at);
            self.now = next.map_or(until, |next| next.max(self.now)).min(until).min(answer);
        }
    }

    fn look(&mut self, frame: &[u8], server: &mut impl FnMut(&Question) -> Option<Answer>) {
        let frame = EthernetFrame::new_checked(frame).unwrap();
        match frame.ethertype() {
            EthernetProtocol::Arp => {
                let message = ArpRepr::parse(&ArpPacket::new_checked(frame.payload()).unwrap()).unwrap();
                let ArpRepr::EthernetIpv4 { source_protocol_addr, target_protocol_addr: target, .. } = message else {
                    return;
                };
                let known = target == SERVER && source_protocol_addr != target;
                if known || self.taken == Some(target) {
                    let reply = ArpRepr::EthernetIpv4 {
                        operation: ArpOperation::Reply,
                        source_hardware_addr: OTHER,
                        source_protocol_addr: target,
                        target_hardware_addr: OWN,
                        target_protocol_addr: source_protocol_addr,
                    };
                    self.send(&broadcast(EthernetProtocol::Arp, reply.buffer_len(), |payload| {
                        reply.emit(&mut ArpPacket::new_unchecked(payload));
                    }));
                }
            }
            EthernetProtocol::Ipv4 => {
                let packet = Ipv4Packet::new_checked(frame.payload()).unwrap();
                if packet.next_header() == IpProtocol::Tcp {
                    let segment = TcpPacket::new_checked(packet.payload()).unwrap();
                    self.resets.extend(segment.rst().then_some(packet.src_addr()));
                    return;
                }
                let datagram = UdpPacket::new_checked(packet.payload()).unwrap();
                if datagram.dst_port() != 67 {
                    return;
                }
                let message = DhcpPacket::new_checked(datagram.payload()).unwrap();
                let message = DhcpRepr::parse(&message).unwrap();
                let question = Question {
                    at: self.now,
                    kind: message.message_type,
                    transaction: message.transaction_id,
                    requested: message.requested_ip,
                    from: packet.src_addr(),
                    to: packet.dst_addr(),
                };
                self.questions.push(question);
                if question.kind != DhcpMessageType::Decline
                    && let Some(answer) = server(&question)
                {
                    self.answers.push((self.now + answer.after, question.transaction, answer));
                }
            }
            _ => {}
        }
    }

    fn send(&mut self, frame: &[u8]) {
        let token = self.other.transmit(smoltcp::time::Instant::ZERO).unwrap();
        token.consume(frame.len(), |buffer| buffer.copy_from_slice(frame));
    }

    fn count(&self, kind: DhcpMessageType) -> usize {
        self.questions.iter().filter(|question| question.kind == kind).count()
    }

    /// Opens a connection to the server; its SYN is sent, and is not answered.
    fn connect(&mut self) -> SocketHandle {
        let socket = Socket::new(SocketBuffer::new(vec![0; 64]), SocketBuffer::new(vec![0; 64]));
        let handle = self.stack.sockets().add(socket);
        self.stack.connect(handle, (SERVER, 80).into(), 50_000).unwrap();
        self.pass(SECOND, |_| None);
        assert_eq!(self.stack.sockets().get::<Socket<'_>>(handle).state(), State::SynSent);
        handle
    }
}

fn leased(address: Ipv4Address) -> Option<IpCidr> {
    Some(IpCidr::new(IpAddress::Ipv4(address), 24))
}

#[test]
fn a_lease_of_an_invalid_host_address_is_refused_without_flooding_the_server() {
    let wrong = [[10, 1, 2, 255], [10, 1, 2, 0], [127, 0, 0, 1], [0, 0, 0, 0], [224, 0, 0, 1], [255, 255, 255, 255]];
    for address in wrong.map(Ipv4Address::from).into_iter().chain([SERVER]) {
        let mut scene = Scene::new();
        scene.pass(60 * SECOND, |question| Some(Answer { address, ..good(question) }));
        assert_eq!(scene.addresses, [None, Some(STATIC[0])], "{address}");
        assert!((4..=6).contains(&scene.questions.len()), "{address}: {} messages in a minute", scene.questions.len());
        assert!(scene.notices.iter().all(|notice| matches!(notice, DhcpNotice::Unusable(_))), "{:?}", scene.notices);
    }
}

#[test]
fn a_dhcp_ack_with_another_address_is_ignored() {
    let mut scene = Scene::new();
    scene.pass(60 * SECOND, |question| {
        let address = match question.kind {
            DhcpMessageType::Discover => ADDRESS,
            _ => Ipv4Address::new(10, 1, 2, 51),
        };
        Some(Answer { address, ..good(question) })
    });
    assert_eq!(scene.addresses, [None, Some(STATIC[0])]);
    assert!(matches!(scene.notices[0], DhcpNotice::OtherAddress { asked: ADDRESS, .. }));
    assert!(scene.questions.len() < 20, "{}", scene.questions.len());
}

#[test]
fn a_lease_that_is_too_short_is_refused_and_requested_again_after_at_least_10_s() {
    for lease in [0, 1, 19] {
        for offered in [lease, 600] {
            let mut scene = Scene::new();
            scene.pass(60 * SECOND, |question| {
                let good = good(question);
                Some(Answer { lease: if good.kind == DhcpMessageType::Offer { offered } else { lease }, ..good })
            });
            assert_eq!(scene.addresses, [None, Some(STATIC[0])]);
            assert!(matches!(scene.notices[0], DhcpNotice::TooShort { .. }));
            assert!(scene.questions.len() <= 14, "{lease} s: {} messages in a minute", scene.questions.len());
            if offered != lease {
                let discovers = scene.questions.iter().filter(|question| question.kind == DhcpMessageType::Discover);
                let times: Vec<_> = discovers.map(|question| question.at).collect();
                assert!(times.windows(2).all(|pair| pair[1].since(pair[0]) >= 10 * SECOND), "{times:?}");
            }
        }
    }
}

#[test]
fn a_lease_is_renewed_after_half_of_its_time_and_at_most_once_per_minute() {
    for (lease, renewal, interval) in [(600, None, 300), (600, Some(1), 60), (100, None, 50), (20, None, 10)] {
        let mut scene = Scene::new();
        scene.pass(SECOND, |question| Some(Answer { lease, renewal, ..good(question) }));
        scene.questions.clear();
        scene.pass(10 * interval * SECOND, |question| Some(Answer { lease, renewal, ..good(question) }));
        assert_eq!(scene.addresses, [None, leased(ADDRESS)]);
        assert!((9..=10).contains(&scene.questions.len()), "{lease} s: {:?}", scene.questions);
        let renews = |question: &Question| (question.from, question.to) == (ADDRESS, SERVER);
        assert!(scene.questions.iter().all(renews), "from its address to the server alone");
    }
}

#[test]
fn an_unanswered_renewal_is_broadcast_and_the_lease_expires() {
    let mut scene = Scene::new();
    scene.pass(SECOND, |question| Some(good(question)));
    scene.questions.clear();
    scene.pass(610 * SECOND + FALLBACK_AFTER, |_| None);
    assert_eq!(scene.addresses, [None, leased(ADDRESS), None, Some(STATIC[0])]);
    assert_eq!(scene.notices, [DhcpNotice::Expired(ADDRESS)]);
    let renewals: Vec<_> =
        scene.questions.iter().filter(|question| question.kind == DhcpMessageType::Request).collect();
    assert!((3..=6).contains(&renewals.len()), "{renewals:?}");
    assert!(renewals.windows(2).all(|pair| pair[1].at.since(pair[0].at) >= 60 * SECOND), "{renewals:?}");
    assert_eq!(renewals.first().unwrap().to, SERVER);
    assert_eq!(renewals.last().unwrap().to, Ipv4Address::BROADCAST);
}

#[test]
fn a_nak_ends_the_lease_only_if_it_is_from_the_server_that_assigned_it() {
    const STRANGER: Ipv4Address = Ipv4Address::new(10, 1, 2, 4);
    for server in [SERVER, STRANGER] {
        let mut scene = Scene::new();
        scene.pass(SECOND, |question| Some(good(question)));
        let new = Ipv4Address::new(10, 1, 2, 60);
        scene.pass(320 * SECOND, |question| {
            let renews = question.from == ADDRESS;
            let kind = if renews { DhcpMessageType::Nak } else { good(question).kind };
            Some(Answer { kind, server, address: new, ..good(question) })
        });
        if server == SERVER {
            assert_eq!(
                scene.addresses,
                [None, leased(ADDRESS), None, leased(new)],
                "lost, and then another; no fallback"
            );
            assert_eq!(scene.notices, [DhcpNotice::Refused(SERVER)]);
        } else {
            assert_eq!(scene.addresses, [None, leased(ADDRESS)]);
        }
    }
}

#[test]
fn a_dhcp_server_that_always_refuses_is_asked_at_growing_intervals() {
    let mut scene = Scene::new();
    scene.pass(120 * SECOND, |question| {
        let kind = match question.kind {
            DhcpMessageType::Discover => DhcpMessageType::Offer,
            _ => DhcpMessageType::Nak,
        };
        Some(Answer { kind, ..good(question) })
    });
    assert!(scene.questions.len() <= 20, "{}", scene.questions.len());
    assert_eq!(scene.address(), Some(STATIC[0]));
}

#[test]
fn a_late_dhcp_offer_is_accepted() {
    for seconds in [3, 5, 9, 20] {
        let mut scene = Scene::new();
        scene.pass(100 * SECOND, |question| Some(Answer { after: seconds * SECOND, ..good(question) }));
        assert_eq!(scene.address(), leased(ADDRESS), "after {seconds} s");
    }
}

#[test]
fn a_leased_address_in_use_by_another_host_is_declined() {
    let mut scene = Scene::new();
    scene.taken = Some(ADDRESS);
    scene.pass(9 * SECOND, |question| Some(good(question)));
    assert_eq!(scene.count(DhcpMessageType::Decline), 1);
    assert_eq!((scene.notices[0], scene.address()), (DhcpNotice::InUse(ADDRESS), None));
    let decline = scene.questions.iter().find(|question| question.kind == DhcpMessageType::Decline).unwrap();
    assert_eq!(decline.requested, Some(ADDRESS));
    let other = Ipv4Address::new(10, 1, 2, 51);
    scene.pass(3 * SECOND, |question| Some(Answer { address: other, ..good(question) }));
    assert_eq!(scene.address(), leased(other));
}

#[test]
fn a_lease_without_a_subnet_mask_or_a_router_gives_a_warning() {
    let mut scene = Scene::new();
    scene.pass(5 * SECOND, |question| Some(Answer { mask: None, ..good(question) }));
    assert_eq!((scene.notices[0], scene.address()), (DhcpNotice::NoMask(SERVER), None));
    let mut scene = Scene::new();
    scene.pass(SECOND, |question| Some(Answer { router: None, ..good(question) }));
    assert_eq!((&scene.notices[..], scene.address()), (&[DhcpNotice::NoRouter(SERVER)][..], leased(ADDRESS)));
    scene.pass(3600 * SECOND, |question| Some(Answer { router: None, ..good(question) }));
    assert_eq!(scene.notices.len(), 1, "once");
    assert_eq!(scene.stack.router(SERVER.into()), None);
}

#[test]
fn a_static_gateway_in_the_leased_network_is_used_if_the_lease_has_no_router() {
    let near = IpAddress::v4(10, 1, 2, 9);
    let far = IpAddress::v4(192, 168, 69, 100); // in the network of the static address
    for (gateway, leased, expected) in
        [(near, None, Some(near)), (far, None, None), (near, Some(SERVER), Some(SERVER.into()))]
    {
        let mut scene = Scene::with_gateways(&[gateway]);
        scene.pass(SECOND, |question| Some(Answer { router: leased, ..good(question) }));
        assert_eq!(scene.stack.router(SERVER.into()), expected, "{gateway}, {leased:?}");
        scene.pass(610 * SECOND + FALLBACK_AFTER, |_| None);
        assert_eq!((scene.address(), scene.stack.router(SERVER.into())), (Some(STATIC[0]), Some(gateway)));
    }
}

#[test]
fn when_the_address_changes_connections_to_the_old_address_are_reset() {
    let mut scene = Scene::new();
    scene.pass(SECOND, |question| Some(good(question)));
    let handle = scene.connect();
    let new = Ipv4Address::new(10, 1, 2, 60);
    scene.stack.link_up(scene.now);
    scene.pass(SECOND, |question| Some(Answer { address: new, ..good(question) }));
    assert_eq!((scene.address(), &scene.resets[..]), (leased(new), &[ADDRESS][..]));
    assert_eq!(scene.stack.sockets().get::<Socket<'_>>(handle).state(), State::Closed);
}

#[test]
fn connections_survive_a_link_failure_if_the_address_stays_the_same() {
    let mut scene = Scene::new();
    scene.pass(SECOND, |question| Some(good(question)));
    let handle = scene.connect();
    scene.stack.link_up(scene.now);
    scene.pass(SECOND, |question| Some(good(question)));
    assert_eq!((scene.addresses.len(), scene.resets.len()), (2, 0));
    assert_eq!(scene.stack.sockets().get::<Socket<'_>>(handle).state(), State::SynSent);
}
