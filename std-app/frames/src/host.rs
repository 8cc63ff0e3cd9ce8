//! A host that a probe plays: it sends what the probe writes, and is found by the board.

use core::{
    cell::{Cell, RefCell},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};
use std::collections::VecDeque;

use smoltcp::wire::EthernetAddress;

use crate::{
    board::{Board, UNKNOWN},
    frame::{Arp, Frame, Packet, SHORTEST, ethertype, frame_bytes},
    ip::{Ip, array, fill_transport_checksum, protocol},
    link::Link,
    messages::{self, kind, multicast_mac, solicited_node},
    stop::Stop,
    tcp::Tcp,
};

/// A frame in the order of a probe.
#[derive(Clone, Debug)]
pub struct Traced {
    /// The tester sent it; otherwise the board did.
    pub sent: bool,
    /// The frame.
    pub frame: Frame,
}

/// The last frames of a probe, a line each.
#[must_use]
pub fn lines(trace: &[Traced], most: usize) -> Vec<String> {
    let begin = trace.first().map_or(Duration::ZERO, |traced| traced.frame.time);
    let left_out = trace.len().saturating_sub(most);
    let mut lines: Vec<String> = Vec::new();
    if left_out > 0 {
        lines.push(format!("... {left_out} frames before"));
    }
    lines.extend(trace.iter().skip(left_out).map(|Traced { sent, frame }| {
        let time = frame.time.saturating_sub(begin).as_secs_f64();
        format!("{time:9.4} {} {frame}", if *sent { "sent" } else { "got " })
    }));
    lines
}

/// The addresses of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Locally administered and unicast.
    pub mac: EthernetAddress,
    /// Of the board's IP version.
    pub address: IpAddr,
}

/// A host.
pub struct Host<'a> {
    /// The board under test.
    pub board: &'a Board,
    identity: Cell<Identity>,
    /// Further addresses that it answers for.
    others: RefCell<Vec<Identity>>,
    link: RefCell<Box<dyn Link + 'a>>,
    inbox: RefCell<VecDeque<Frame>>,
    trace: RefCell<Vec<Traced>>,
    /// Whether it answers ARP requests and neighbor solicitations for its address.
    pub answers_resolution: Cell<bool>,
    random: RefCell<fastrand::Rng>,
    next_port: Cell<u16>,
}

impl<'a> Host<'a> {
    /// A host on that link. All its random choices follow from `seed`.
    #[must_use]
    pub fn new(board: &'a Board, identity: Identity, link: Box<dyn Link + 'a>, seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let first_port = random.u16(20_000..60_000);
        Self {
            board,
            identity: Cell::new(identity),
            others: RefCell::default(),
            link: RefCell::new(link),
            inbox: RefCell::default(),
            trace: RefCell::default(),
            answers_resolution: Cell::new(true),
            random: RefCell::new(random),
            next_port: Cell::new(first_port),
        }
    }

    /// The time now.
    pub fn now(&self) -> Duration {
        self.link.borrow().now()
    }

    /// The addresses that it sends from.
    pub fn identity(&self) -> Identity {
        self.identity.get()
    }

    /// Sends from these addresses from now on.
    pub(crate) fn set_identity(&self, identity: Identity) {
        self.identity.set(identity);
    }

    /// Answers ARP requests and neighbor solicitations for these addresses, too.
    pub(crate) fn answer_for(&self, identity: Identity) {
        self.others.borrow_mut().push(identity);
    }

    /// Does not answer for these addresses any more.
    pub(crate) fn answer_no_more_for(&self, identity: Identity) {
        self.others.borrow_mut().retain(|other| *other != identity);
    }

    /// Another MAC address of this host, with an IP address that the board has never received a packet from.
    pub(crate) fn unknown(&self, number: u8) -> Result<Identity, Stop> {
        let Some(address) = self.board.unused.take(self.board.address) else {
            return Err(Stop::undecided(
                "it needs another unused address of the subnet (--source takes more than six)",
            ));
        };
        Ok(Identity { mac: self.mac(number), address })
    }

    /// A port that this host has not used yet.
    pub(crate) fn port(&self) -> u16 {
        let port = self.next_port.get();
        self.next_port.set(if port >= 60_999 { 20_000 } else { port + 1 });
        port
    }

    /// Another MAC address of this host.
    pub(crate) fn other_mac(&self) -> EthernetAddress {
        self.mac(0x55)
    }

    /// One of the MAC addresses that this host receives frames for (see [`is_for`](crate::link::is_for)).
    pub(crate) fn mac(&self, number: u8) -> EthernetAddress {
        let [a, b, c, d, e, _] = self.identity().mac.0;
        EthernetAddress([a, b, c, d, e, number])
    }

    /// A random number.
    pub(crate) fn random(&self) -> u32 {
        self.random.borrow_mut().u32(..)
    }

    /// The frames so far.
    pub(crate) fn take_trace(&self) -> Vec<Traced> {
        self.trace.take()
    }

    /// Sends a frame as it is.
    pub(crate) fn send_frame(&self, bytes: &[u8]) -> Result<(), Stop> {
        let mut link = self.link.borrow_mut();
        let frame = Frame::read(link.now(), bytes.to_vec());
        self.trace.borrow_mut().push(Traced { sent: true, frame });
        Ok(link.send(bytes)?)
    }

    /// Sends a payload of this type to the board's MAC address, padded to the least length of a frame.
    pub(crate) fn send(&self, ethertype: u16, payload: &[u8]) -> Result<(), Stop> {
        self.send_to(self.board.mac, ethertype, payload)
    }

    /// Sends a payload to a MAC address, padded to the least length of a frame.
    pub(crate) fn send_to(&self, mac: EthernetAddress, ethertype: u16, payload: &[u8]) -> Result<(), Stop> {
        self.send_from(self.identity().mac, mac, ethertype, payload)
    }

    /// Sends a payload from one MAC address to another, padded to the least length of a frame.
    pub(crate) fn send_from(
        &self,
        source: EthernetAddress,
        destination: EthernetAddress,
        ethertype: u16,
        payload: &[u8],
    ) -> Result<(), Stop> {
        let mut bytes = frame_bytes(destination, source, ethertype, payload);
        bytes.resize(bytes.len().max(SHORTEST), 0);
        self.send_frame(&bytes)
    }

    /// An IP packet to the board, with the right checksum in its payload.
    pub(crate) fn packet(&self, protocol: u8, mut payload: Vec<u8>) -> Ip {
        let (source, destination) = (self.identity().address, self.board.address);
        fill_transport_checksum(source, destination, protocol, &mut payload);
        let mut ip = Ip::new(source, destination, protocol, payload);
        ip.identification = u16::try_from(self.random() & 0xffff).unwrap_or_default();
        ip
    }

    /// Sends an IP packet to the board's MAC address.
    pub(crate) fn send_ip(&self, ip: &Ip) -> Result<(), Stop> {
        self.send(version_ethertype(ip.source), &ip.to_bytes())
    }

    /// Sends bytes as an IP packet of the board's version to the board's MAC address.
    pub(crate) fn send_raw_ip(&self, bytes: &[u8]) -> Result<(), Stop> {
        self.send(version_ethertype(self.board.address), bytes)
    }

    /// Sends a TCP segment to the board.
    pub(crate) fn send_tcp(&self, tcp: &Tcp) -> Result<(), Stop> {
        self.send_ip(&self.packet(protocol::TCP, tcp.to_bytes()))
    }

    /// Sends an ICMP message of the board's IP version.
    pub(crate) fn send_icmp(&self, message: Vec<u8>) -> Result<(), Stop> {
        self.send_ip(&self.packet(self.icmp_protocol(), message))
    }

    pub(crate) const fn icmp_protocol(&self) -> u8 {
        if self.board.address.is_ipv4() { protocol::ICMP } else { protocol::ICMPV6 }
    }

    /// Sends an echo request and returns the reply, if one comes in time.
    pub(crate) fn echo(&self, sequence: u16, data: &[u8], within: Duration) -> Result<Option<Frame>, Stop> {
        self.send_ip(&self.echo_packet(sequence, data))?;
        self.echo_reply(sequence, within)
    }

    /// Fails unless an echo request is answered.
    pub(crate) fn expect_echo(&self, after: &str) -> Result<Frame, Stop> {
        let sequence = u16::try_from(self.random() & 0x7fff).unwrap_or_default() | 0x8000;
        let reply = self.echo(sequence, b"are you there?", self.board.reply_time())?;
        reply.ok_or_else(|| Stop::failed(format!("{after}: an echo request is not answered")))
    }

    /// Fails if an echo request with this sequence number was answered.
    pub(crate) fn expect_no_reply(&self, sequence: u16, to: &str) -> Result<(), Stop> {
        match self.echo_reply(sequence, self.board.quiet_time())? {
            Some(_) => Err(Stop::failed(format!("{to} is answered"))),
            None => Ok(()),
        }
    }

    /// An echo request as an IP packet to the board.
    pub(crate) fn echo_packet(&self, sequence: u16, data: &[u8]) -> Ip {
        let message = messages::echo_request(self.board.address, ECHO_IDENTIFIER, sequence, data);
        self.packet(self.icmp_protocol(), message)
    }

    /// Waits for the echo reply with this sequence number.
    pub(crate) fn echo_reply(&self, sequence: u16, within: Duration) -> Result<Option<Frame>, Stop> {
        let [identifier, sequence] = [ECHO_IDENTIFIER, sequence].map(u16::to_be_bytes);
        self.receive(within, |frame| {
            frame.icmp(messages::echo_reply_kind(self.board.address)).is_some_and(|ip| {
                ip.destination == self.identity().address
                    && array::<4>(&ip.payload, 4) == [identifier[0], identifier[1], sequence[0], sequence[1]]
            })
        })
    }

    /// Returns the first frame that is wanted, if one comes in time. The others are kept for later calls.
    pub(crate) fn receive(&self, within: Duration, wanted: impl Fn(&Frame) -> bool) -> Result<Option<Frame>, Stop> {
        let found = self.inbox.borrow().iter().position(&wanted);
        if let Some(found) = found {
            return Ok(self.inbox.borrow_mut().remove(found));
        }
        let until = self.now().saturating_add(within);
        while let Some(frame) = self.next(until)? {
            if wanted(&frame) {
                return Ok(Some(frame));
            }
            self.inbox.borrow_mut().push_back(frame);
        }
        Ok(None)
    }

    /// Lets this time pass.
    pub(crate) fn wait(&self, time: Duration) -> Result<(), Stop> {
        self.receive(time, |_| false).map(drop)
    }

    /// Forgets what was received and not asked for.
    pub(crate) fn clear(&self) {
        self.inbox.borrow_mut().clear();
    }

    /// The next frame of the board. Its questions for this host's MAC address are answered here.
    fn next(&self, until: Duration) -> Result<Option<Frame>, Stop> {
        loop {
            let received = self.link.borrow_mut().receive(until)?;
            let Some((time, bytes)) = received else { return Ok(None) };
            let frame = Frame::read(time, bytes);
            if self.board.mac != UNKNOWN && frame.source() != self.board.mac {
                if frame.is_from(self.board.address) {
                    self.trace.borrow_mut().push(Traced { sent: false, frame });
                }
                continue;
            }
            self.trace.borrow_mut().push(Traced { sent: false, frame: frame.clone() });
            if self.answers_resolution.get() {
                self.answer(&frame)?;
            }
            return Ok(Some(frame));
        }
    }

    /// Answers a request for the MAC address of an address of this host.
    fn answer(&self, frame: &Frame) -> Result<(), Stop> {
        let own = |address: IpAddr| {
            let others = self.others.borrow();
            core::iter::once(self.identity()).chain(others.iter().copied()).find(|own| own.address == address)
        };
        // A frame for a MAC address that the host had before.
        let is_for = |mac| !frame.destination().is_unicast() || frame.destination() == mac;
        match &frame.packet {
            Packet::Arp(arp) if arp.operation == 1 => {
                let Some(mac) = own(arp.target.into()).map(|own| own.mac).filter(|&mac| is_for(mac)) else {
                    return Ok(());
                };
                let reply = Arp { operation: 2, sender_mac: mac, sender: arp.target, ..*arp };
                let reply = Arp { target_mac: arp.sender_mac, target: arp.sender, ..reply };
                self.send_from(mac, frame.source(), ethertype::ARP, &reply.to_bytes())
            }
            Packet::Icmp(ip) if ip.payload.first() == Some(&kind::SOLICITATION) => {
                const SOLICITED_OVERRIDE: u8 = 0x60;
                let target = Ipv6Addr::from(array::<16>(&ip.payload, 8));
                let Some(mac) = own(target.into()).map(|own| own.mac).filter(|&mac| is_for(mac)) else { return Ok(()) };
                let message = messages::advertisement(target, mac, SOLICITED_OVERRIDE);
                let packet = neighbor_packet(target.into(), ip.source, message);
                self.send_from(mac, frame.source(), ethertype::IPV6, &packet.to_bytes())
            }
            _ => Ok(()),
        }
    }

    /// Sends a message of neighbor discovery.
    pub(crate) fn send_neighbor(
        &self,
        source: IpAddr,
        destination: IpAddr,
        mac: EthernetAddress,
        message: Vec<u8>,
    ) -> Result<(), Stop> {
        self.send_to(mac, ethertype::IPV6, &neighbor_packet(source, destination, message).to_bytes())
    }

    /// Tells the board this host's MAC address.
    pub(crate) fn announce(&self) -> Result<(), Stop> {
        const OVERRIDE: u8 = 0x20;
        let Identity { mac, address } = self.identity();
        match (address, self.board.address) {
            (IpAddr::V4(own), IpAddr::V4(_)) => self.send(ethertype::ARP, &self.arp(1, own, NOBODY, own).to_bytes()),
            (IpAddr::V6(own), board) => {
                self.send_neighbor(address, board, self.board.mac, messages::advertisement(own, mac, OVERRIDE))
            }
            _ => Ok(()),
        }
    }

    /// An ARP packet from this host's MAC address.
    pub(crate) fn arp(&self, operation: u16, sender: Ipv4Addr, target_mac: EthernetAddress, target: Ipv4Addr) -> Arp {
        Arp { operation, sender_mac: self.identity().mac, sender, target_mac, target }
    }

    /// Asks for the MAC address of `address`.
    pub(crate) fn request_resolution(&self, address: IpAddr) -> Result<(), Stop> {
        match (self.identity().address, address) {
            (IpAddr::V4(own), IpAddr::V4(address)) => {
                self.send_to(EthernetAddress::BROADCAST, ethertype::ARP, &self.arp(1, own, NOBODY, address).to_bytes())
            }
            (own, IpAddr::V6(address)) => {
                let group = solicited_node(address);
                let message = messages::solicitation(address, Some(self.identity().mac));
                self.send_neighbor(own, group.into(), multicast_mac(group), message)
            }
            _ => Ok(()),
        }
    }

    /// Waits for the answer to [`request_resolution`](Self::request_resolution).
    pub(crate) fn resolution(&self, address: IpAddr, within: Duration) -> Result<Option<EthernetAddress>, Stop> {
        let is_resolution = |frame: &Frame| match (&frame.packet, address) {
            (Packet::Arp(arp), IpAddr::V4(address)) => arp.operation == 2 && arp.sender == address,
            (Packet::Icmp(ip), IpAddr::V6(address)) => {
                ip.payload.first() == Some(&kind::ADVERTISEMENT) && array::<16>(&ip.payload, 8) == address.octets()
            }
            _ => false,
        };
        Ok(self.receive(within, is_resolution)?.map(|frame| match &frame.packet {
            Packet::Arp(arp) => arp.sender_mac,
            _ => frame.source(),
        }))
    }
}

/// A packet with a message of neighbor discovery.
pub(crate) fn neighbor_packet(source: IpAddr, destination: IpAddr, mut message: Vec<u8>) -> Ip {
    fill_transport_checksum(source, destination, protocol::ICMPV6, &mut message);
    Ip { ttl: 255, ..Ip::new(source, destination, protocol::ICMPV6, message) }
}

/// The identifier of all echo requests.
const ECHO_IDENTIFIER: u16 = 0x6772;

/// No MAC address.
pub(crate) const NOBODY: EthernetAddress = EthernetAddress([0; 6]);

const fn version_ethertype(address: IpAddr) -> u16 {
    if address.is_ipv4() { ethertype::IPV4 } else { ethertype::IPV6 }
}
