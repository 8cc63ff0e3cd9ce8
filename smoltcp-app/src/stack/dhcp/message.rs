//! DHCP messages in frames: a client's, written; a server's, read.

use core::time::Duration;

use smoltcp::{
    phy::{ChecksumCapabilities, TxToken},
    wire::{
        DHCP_CLIENT_PORT, DHCP_MAX_DNS_SERVER_COUNT, DHCP_SERVER_PORT, DhcpMessageType, DhcpPacket, DhcpRepr,
        EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr, IpProtocol, Ipv4Address, Ipv4Packet, Ipv4Repr,
        UdpPacket, UdpRepr,
    },
};

pub(super) type DnsServers = [Option<Ipv4Address>; DHCP_MAX_DNS_SERVER_COUNT];

/// The longest message that is accepted: what fits into an Ethernet frame.
const MAX_SIZE: u16 = 1472;
/// Subnet mask, router, DNS servers.
const PARAMETERS: &[u8] = &[1, 3, 6];

/// A client's message.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) kind: DhcpMessageType,
    pub(super) hardware: EthernetAddress,
    pub(super) transaction: u32,
    /// Since the client began (`secs`).
    pub(super) seconds: u16,
    /// The client's address, if it has one and may speak from it.
    pub(super) client_ip: Ipv4Address,
    pub(super) requested_ip: Option<Ipv4Address>,
    pub(super) server_identifier: Option<Ipv4Address>,
    /// The server that it is sent to; all if there is none.
    pub(super) server: Option<(EthernetAddress, Ipv4Address)>,
}

impl Question {
    pub(super) const fn new(kind: DhcpMessageType, hardware: EthernetAddress, transaction: u32, seconds: u16) -> Self {
        Self {
            kind,
            hardware,
            transaction,
            seconds,
            client_ip: Ipv4Address::UNSPECIFIED,
            requested_ip: None,
            server_identifier: None,
            server: None,
        }
    }

    pub(super) fn send(&self, token: impl TxToken) {
        let declines = self.kind == DhcpMessageType::Decline;
        let message = DhcpRepr {
            message_type: self.kind,
            transaction_id: self.transaction,
            secs: self.seconds,
            client_hardware_address: self.hardware,
            client_ip: self.client_ip,
            your_ip: Ipv4Address::UNSPECIFIED,
            server_ip: Ipv4Address::UNSPECIFIED,
            router: None,
            subnet_mask: None,
            relay_agent_ip: Ipv4Address::UNSPECIFIED,
            broadcast: false,
            requested_ip: self.requested_ip,
            client_identifier: Some(self.hardware),
            server_identifier: self.server_identifier,
            // RFC 2131, table 5: a DECLINE has neither.
            parameter_request_list: (!declines).then_some(PARAMETERS),
            dns_servers: None,
            max_size: (!declines).then_some(MAX_SIZE),
            lease_duration: None,
            renew_duration: None,
            rebind_duration: None,
            additional_options: &[],
        };
        let (hardware, server) = self.server.unwrap_or((EthernetAddress::BROADCAST, Ipv4Address::BROADCAST));
        let udp = UdpRepr { src_port: DHCP_CLIENT_PORT, dst_port: DHCP_SERVER_PORT };
        let header = Ipv4Repr {
            src_addr: self.client_ip,
            dst_addr: server,
            next_header: IpProtocol::Udp,
            payload_len: udp.header_len().saturating_add(message.buffer_len()),
            hop_limit: 64,
        };
        let frame = EthernetRepr { src_addr: self.hardware, dst_addr: hardware, ethertype: EthernetProtocol::Ipv4 };
        let length = [frame.buffer_len(), header.buffer_len(), header.payload_len].iter().sum();
        let checksums = ChecksumCapabilities::default();
        token.consume(length, |buffer| {
            let mut ethernet = EthernetFrame::new_unchecked(buffer);
            frame.emit(&mut ethernet);
            let mut packet = Ipv4Packet::new_unchecked(ethernet.payload_mut());
            header.emit(&mut packet, &checksums);
            udp.emit(
                &mut UdpPacket::new_unchecked(packet.payload_mut()),
                &self.client_ip.into(),
                &server.into(),
                message.buffer_len(),
                // Fails for a buffer that is too short only.
                |payload| _ = message.emit(&mut DhcpPacket::new_unchecked(payload)),
                &checksums,
            );
        });
    }
}

/// A server's message.
pub(in super::super) struct Reply {
    pub(super) kind: DhcpMessageType,
    pub(super) transaction: u32,
    /// The client's hardware address.
    pub(super) hardware: EthernetAddress,
    pub(super) address: Ipv4Address,
    pub(super) mask: Option<Ipv4Address>,
    pub(super) router: Option<Ipv4Address>,
    pub(super) dns_servers: DnsServers,
    /// The server's identifier.
    pub(super) server: Option<Ipv4Address>,
    /// The address that the packet was sent from.
    pub(super) source: Ipv4Address,
    /// The hardware address that the frame was sent from.
    pub(super) server_hardware: EthernetAddress,
    pub(super) duration: Option<Duration>,
    pub(super) renewal: Option<Duration>,
    pub(super) rebinding: Option<Duration>,
}

impl Reply {
    /// The message of a server in this packet, if there is one.
    pub(in super::super) fn read(hardware: EthernetAddress, packet: &Ipv4Packet<&[u8]>) -> Option<Self> {
        let datagram = UdpPacket::new_checked(packet.payload()).ok()?;
        if packet.next_header() != IpProtocol::Udp
            || (datagram.src_port(), datagram.dst_port()) != (DHCP_SERVER_PORT, DHCP_CLIENT_PORT)
        {
            return None;
        }
        let checksums = ChecksumCapabilities::default();
        let header = Ipv4Repr::parse(packet, &checksums).ok()?;
        UdpRepr::parse(&datagram, &header.src_addr.into(), &header.dst_addr.into(), &checksums).ok()?;
        let message = DhcpPacket::new_checked(datagram.payload()).ok()?;
        let reply = DhcpRepr::parse(&message).ok()?;
        let seconds = |seconds: Option<u32>| seconds.map(|seconds| Duration::from_secs(seconds.into()));
        let mut dns_servers = DnsServers::default();
        let named =
            reply.dns_servers.iter().flatten().filter(|server| server.octets()[0] != 0 && !server.is_multicast());
        for (slot, server) in dns_servers.iter_mut().zip(named) {
            *slot = Some(*server);
        }
        // smoltcp reads this option only where there is one router. The first one is preferred (RFC 2132, 3.5).
        let routers = message.options().find(|option| option.kind == 3);
        let router = routers.and_then(|option| option.data.first_chunk::<4>().copied()).map(Ipv4Address::from);
        Some(Self {
            kind: reply.message_type,
            transaction: reply.transaction_id,
            hardware: reply.client_hardware_address,
            address: reply.your_ip,
            mask: reply.subnet_mask,
            router,
            dns_servers,
            server: reply.server_identifier,
            source: header.src_addr,
            server_hardware: hardware,
            duration: seconds(reply.lease_duration),
            renewal: seconds(reply.renew_duration),
            rebinding: seconds(reply.rebind_duration),
        })
    }
}
