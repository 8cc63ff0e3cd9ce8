//! The end of a search for routers that found none.
//!
//! smoltcp asks three times (RFC 4861, 6.3.7). When nobody has answered it asks no more, but it stays in that state, and
//! says for ever that it wants to be polled at once. What ends the state is an advertisement: so it gets one, of a router
//! that offers nothing. A real one that comes later is heard as before.

use smoltcp::{
    iface::{Interface, SocketSet},
    phy::{ChecksumCapabilities, Device, DeviceCapabilities, RxToken, TxToken},
    time::{Duration, Instant},
    wire::{
        EthernetFrame, EthernetProtocol, EthernetRepr, HardwareAddress, Icmpv6Packet, Icmpv6Repr, IpProtocol,
        Ipv6Address, Ipv6Packet, Ipv6Repr, NdiscRepr, NdiscRouterFlags,
    },
};

/// How long it asks: three times, and then it waits for the last answer, 4 s each.
pub(super) const SEARCH: core::time::Duration = core::time::Duration::from_secs(12);

/// Who speaks: a link-local address that no card makes, as its interface identifier is neither an EUI-64 nor random.
const NOBODY: Ipv6Address = Ipv6Address::new(0xfe80, 0, 0, 0, 0, 0, 0, 0xffff);

const HEADERS: usize = 14 + 40;
const ADVERTISEMENT: usize = 16;

/// Tells the interface that there is no router.
pub(super) fn tell(
    interface: &mut Interface,
    sockets: &mut SocketSet<'_>,
    capabilities: DeviceCapabilities,
    now: Instant,
) {
    let mut frame = [0; HEADERS + ADVERTISEMENT];
    write(&mut frame, interface);
    let mut device = Once { frame: Some(&frame), capabilities };
    interface.poll_ingress_single(now, &mut device, sockets);
}

fn write(frame: &mut [u8], interface: &Interface) {
    let HardwareAddress::Ethernet(own) = interface.hardware_addr();
    let Some(destination) = interface.ipv6_addr() else { return };
    let advertisement = Icmpv6Repr::Ndisc(NdiscRepr::RouterAdvert {
        hop_limit: 0,
        flags: NdiscRouterFlags::empty(),
        router_lifetime: Duration::ZERO, // no default route leads there
        reachable_time: Duration::ZERO,
        retrans_time: Duration::ZERO,
        lladdr: None,
        mtu: None,
        prefix_info: None,
    });
    let packet = Ipv6Repr {
        src_addr: NOBODY,
        dst_addr: destination,
        next_header: IpProtocol::Icmpv6,
        payload_len: advertisement.buffer_len(),
        hop_limit: 255,
    };
    let mut ethernet = EthernetFrame::new_unchecked(frame);
    EthernetRepr { src_addr: own, dst_addr: own, ethertype: EthernetProtocol::Ipv6 }.emit(&mut ethernet);
    let mut ipv6 = Ipv6Packet::new_unchecked(ethernet.payload_mut());
    packet.emit(&mut ipv6);
    let mut icmp = Icmpv6Packet::new_unchecked(ipv6.payload_mut());
    advertisement.emit(&NOBODY, &destination, &mut icmp, &ChecksumCapabilities::default());
}

/// A device that has one frame to give, and takes none.
struct Once<'a> {
    frame: Option<&'a [u8]>,
    capabilities: DeviceCapabilities,
}

impl Device for Once<'_> {
    type RxToken<'t>
        = Given<'t>
    where
        Self: 't;
    type TxToken<'t>
        = Ignored
    where
        Self: 't;

    fn receive(&mut self, _: Instant) -> Option<(Given<'_>, Ignored)> {
        self.frame.take().map(|frame| (Given(frame), Ignored))
    }

    fn transmit(&mut self, _: Instant) -> Option<Ignored> {
        None
    }

    fn capabilities(&self) -> DeviceCapabilities {
        self.capabilities.clone()
    }
}

struct Given<'a>(&'a [u8]);

impl RxToken for Given<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(self.0)
    }
}

/// Nothing answers an advertisement.
struct Ignored;

impl TxToken for Ignored {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, write: F) -> R {
        let mut frame = [0; HEADERS + ADVERTISEMENT];
        write(frame.get_mut(..length).unwrap_or_default())
    }
}
