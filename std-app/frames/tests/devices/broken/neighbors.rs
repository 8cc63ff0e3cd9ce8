//! Defects of address resolution and of what IPv6 routers are used.

use core::net::{IpAddr, Ipv4Addr};
use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
};

use greet_frames::{
    frame::{Arp, Frame, ethertype, frame_bytes},
    ip::word,
    messages::kind,
};
use smoltcp::wire::EthernetAddress;

use super::{Make, change::stops_after_frame, link::keeps_first_mac};
use crate::{
    defect::Defect,
    device::{MAC, addresses},
};

pub(crate) fn defects() -> Vec<(&'static str, Make)> {
    vec![
        ("link.neighbor-queue", || resolves_first(0)),
        ("link.neighbor-two", || resolves_first(1)),
        ("link.neighbor-stale", keeps_first_mac),
        ("link.nd-router", || Defect::none().ignores(|frame| frame.icmp(kind::ROUTER_ADVERTISEMENT).is_some())),
        ("link.nd-two-routers", || {
            Defect::none()
                .ignores(|frame| frame.icmp(kind::ROUTER_ADVERTISEMENT).is_some_and(|ip| word(&ip.payload, 6) == 0))
        }),
        ("link.nd-router-unreachable", knows_one_router),
        ("link.nd-multicast-prefix", || {
            stops_after_frame(|frame| {
                frame.icmp(kind::ROUTER_ADVERTISEMENT).is_some_and(|ip| ip.payload.get(26) == Some(&129))
            })
        }),
        ("link.nd-redirect", || {
            sends_where_told(|frame| {
                frame.icmp(kind::REDIRECT_V6).and_then(|ip| ip.payload.get(42..)?.first_chunk()).copied()
            })
        }),
        ("icmp.redirect", || sends_where_told(|frame| frame.icmp(kind::REDIRECT).map(|_| frame.source().0))),
        ("link.nd-flood", || {
            let mut count = 0;
            stops_after_frame(move |frame| {
                count += u32::from(frame.icmp(kind::SOLICITATION).is_some());
                count > 400
            })
        }),
    ]
}

/// Frames go to the MAC address that was told last.
fn sends_where_told(told: impl Fn(&Frame) -> Option<[u8; 6]> + Send + 'static) -> Defect {
    let last: Arc<Mutex<Option<[u8; 6]>>> = Arc::default();
    let seen = Arc::clone(&last);
    Defect::none()
        .receives(move |frame| {
            if let Some(mac) = told(frame) {
                *seen.lock().unwrap() = Some(mac);
            }
            vec![frame.bytes.clone()]
        })
        .sends_changed(move |bytes| {
            if let Some(mac) = *last.lock().unwrap() {
                bytes[..6].copy_from_slice(&mac);
            }
        })
}

/// Frames that wait for the MAC address of a neighbor.
type Waiting = Arc<Mutex<Vec<(Ipv4Addr, Vec<u8>)>>>;

/// The board asks for the MAC address of each IPv4 neighbor before it sends a packet to it. At most this many packets wait.
pub(crate) fn resolves_first(most: usize) -> Defect {
    let known: Arc<Mutex<HashSet<Ipv4Addr>>> = Arc::default();
    let waiting: Waiting = Arc::default();
    let later: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
    let (heard, kept, due) = (Arc::clone(&known), Arc::clone(&waiting), Arc::clone(&later));
    Defect::none()
        .receives(move |frame| {
            if let Some(arp) = frame.arp() {
                heard.lock().unwrap().insert(arp.sender);
                let (ready, rest) = core::mem::take(&mut *kept.lock().unwrap())
                    .into_iter()
                    .partition::<Vec<_>, _>(|(address, _)| *address == arp.sender);
                *kept.lock().unwrap() = rest;
                due.lock().unwrap().extend(ready.into_iter().map(|(_, bytes)| bytes));
            }
            vec![frame.bytes.clone()]
        })
        .sends(move |frame| {
            let Some(IpAddr::V4(to)) = frame.ip().map(|ip| ip.destination) else { return vec![frame.bytes.clone()] };
            if to.is_multicast() || known.lock().unwrap().contains(&to) {
                return vec![frame.bytes.clone()];
            }
            let mut waiting = waiting.lock().unwrap();
            waiting.push((to, frame.bytes.clone()));
            while waiting.len() > most {
                waiting.remove(0);
            }
            let IpAddr::V4(own) = addresses(false)[0] else { unreachable!() };
            let nobody = EthernetAddress([0; 6]);
            let request = Arp { operation: 1, sender_mac: MAC, sender: own, target_mac: nobody, target: to };
            vec![frame_bytes(EthernetAddress::BROADCAST, MAC, ethertype::ARP, &request.to_bytes())]
        })
        .sends_also(later)
}

/// The board remembers one router, and so has no reason to ask whether that is still there.
fn knows_one_router() -> Defect {
    let mut known = None;
    Defect::none().ignores(move |frame| {
        frame
            .icmp(kind::ROUTER_ADVERTISEMENT)
            .is_some_and(|ip| word(&ip.payload, 6) > 0 && *known.get_or_insert(frame.source()) != frame.source())
    })
}
