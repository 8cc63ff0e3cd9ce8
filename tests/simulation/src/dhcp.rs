//! The answers of a DHCP server, as frames.

#![allow(clippy::unwrap_used, reason = "in a test a panic is how a failure is reported")]

use core::time::Duration;

use smoltcp::{
    phy::ChecksumCapabilities,
    wire::{
        DhcpMessageType, DhcpOption, DhcpPacket, DhcpRepr, EthernetProtocol, IpProtocol, Ipv4Address, Ipv4Packet,
        Ipv4Repr, UdpPacket, UdpRepr,
    },
};

use crate::frame::{OWN, broadcast};

/// The DHCP server's address.
pub const SERVER: Ipv4Address = Ipv4Address::new(10, 1, 2, 3);

/// An answer to [`OWN`].
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    /// The type of the message.
    pub kind: DhcpMessageType,
    /// The offered or leased address.
    pub address: Ipv4Address,
    /// The server.
    pub server: Ipv4Address,
    /// The subnet mask.
    pub mask: Option<Ipv4Address>,
    /// The default router.
    pub router: Option<Ipv4Address>,
    /// The time of the lease, in seconds.
    pub lease: u32,
    /// T1, in seconds.
    pub renewal: Option<u32>,
    /// The time from the request to the answer.
    pub after: Duration,
}

impl Answer {
    /// An answer of [`SERVER`], which is the router too, for 600 s.
    #[must_use]
    pub const fn new(kind: DhcpMessageType, address: Ipv4Address) -> Self {
        Self {
            kind,
            address,
            server: SERVER,
            mask: Some(Ipv4Address::new(255, 255, 255, 0)),
            router: Some(SERVER),
            lease: 600,
            renewal: None,
            after: Duration::ZERO,
        }
    }

    /// The frame, as an answer in this transaction.
    ///
    /// # Panics
    /// Never: the options fit.
    #[must_use]
    pub fn frame(&self, transaction: u32) -> Vec<u8> {
        let renewal = self.renewal.unwrap_or_default().to_be_bytes();
        let renewal = [DhcpOption { kind: 58, data: &renewal }]; // smoltcp reads this option, but does not write it
        let message = DhcpRepr {
            message_type: self.kind,
            transaction_id: transaction,
            secs: 0,
            client_hardware_address: OWN,
            client_ip: Ipv4Address::UNSPECIFIED,
            your_ip: self.address,
            server_ip: self.server,
            router: self.router,
            subnet_mask: self.mask,
            relay_agent_ip: Ipv4Address::UNSPECIFIED,
            broadcast: false,
            requested_ip: None,
            client_identifier: None,
            server_identifier: Some(self.server),
            parameter_request_list: None,
            dns_servers: None,
            max_size: None,
            lease_duration: Some(self.lease),
            renew_duration: None,
            rebind_duration: None,
            additional_options: if self.renewal.is_some() { &renewal } else { &[] },
        };
        let udp = UdpRepr { src_port: 67, dst_port: 68 };
        let length = udp.header_len() + message.buffer_len();
        let (source, destination) = (self.server, Ipv4Address::BROADCAST);
        let header = Ipv4Repr {
            src_addr: source,
            dst_addr: destination,
            next_header: IpProtocol::Udp,
            payload_len: length,
            hop_limit: 64,
        };
        let checksums = ChecksumCapabilities::default();
        broadcast(EthernetProtocol::Ipv4, header.buffer_len() + length, |payload| {
            let mut packet = Ipv4Packet::new_unchecked(payload);
            header.emit(&mut packet, &checksums);
            udp.emit(
                &mut UdpPacket::new_unchecked(packet.payload_mut()),
                &source.into(),
                &destination.into(),
                message.buffer_len(),
                |payload| message.emit(&mut DhcpPacket::new_unchecked(payload)).unwrap(),
                &checksums,
            );
        })
    }
}
