//! Defects of neighbor discovery.

use std::sync::{Arc, Mutex};

use greet_frames::{
    frame::{HEADER, ethertype},
    ip::{protocol, word},
    messages::kind,
};

use super::{Make, change::with_payload};
use crate::{defect::Defect, device::addresses};

pub(crate) fn defects() -> Vec<(&'static str, Make)> {
    vec![
        ("link.nd-multicast", || {
            // Not marked as solicited.
            Defect::none().sends(|frame| {
                vec![match frame.icmp(kind::ADVERTISEMENT) {
                    Some(_) => with_payload(frame, |payload| payload[4] = 0x20),
                    None => frame.bytes.clone(),
                }]
            })
        }),
        ("link.nd-unicast", || {
            Defect::none().ignores(|frame| frame.icmp(kind::SOLICITATION).is_some() && frame.destination().is_unicast())
        }),
        ("link.nd-duplicate", || {
            Defect::none().ignores(|frame| frame.ip().is_some_and(|ip| ip.source.is_unspecified()))
        }),
        ("link.nd-other", || {
            // Answers solicitations for any address.
            Defect::none()
                .receives(|frame| {
                    let own = addresses(true)[0];
                    let core::net::IpAddr::V6(own) = own else { unreachable!() };
                    vec![match frame.icmp(kind::SOLICITATION) {
                        Some(ip) if ip.payload.len() == 32 => {
                            with_payload(frame, |payload| payload[8..24].copy_from_slice(&own.octets()))
                        }
                        _ => frame.bytes.clone(),
                    }]
                })
                .sends(|frame| {
                    let core::net::IpAddr::V6(own) = addresses(true)[0] else { unreachable!() };
                    let other = core::net::Ipv6Addr::from_bits(own.to_bits() ^ 0x4100);
                    let mut frames = vec![frame.bytes.clone()];
                    if frame.icmp(kind::ADVERTISEMENT).is_some() {
                        frames.push(with_payload(frame, |payload| payload[8..24].copy_from_slice(&other.octets())));
                    }
                    frames
                })
        }),
        ("link.nd-hop-limit", || {
            Defect::none().receives_changed(|bytes| {
                if word(bytes, 12) == ethertype::IPV6 && bytes[HEADER + 7] == 254 {
                    bytes[HEADER + 7] = 255;
                }
            })
        }),
        ("link.nd-checksum", || {
            Defect::none().receives(|frame| {
                let mut bytes = frame.bytes.clone();
                if word(&bytes, 12) == ethertype::IPV6 && bytes[HEADER + 6] == protocol::ICMPV6 {
                    let address = |at: usize| -> core::net::IpAddr {
                        core::net::Ipv6Addr::from(*bytes[at..].first_chunk::<16>().unwrap()).into()
                    };
                    let (source, destination) = (address(HEADER + 8), address(HEADER + 24));
                    let end = HEADER + 40 + usize::from(word(&bytes, HEADER + 4));
                    let message = &mut bytes[HEADER + 40..end];
                    greet_frames::ip::fill_transport_checksum(source, destination, protocol::ICMPV6, message);
                }
                vec![bytes]
            })
        }),
        ("link.nd-malformed", || {
            Defect::none().receives(|frame| {
                vec![match frame.icmp(kind::SOLICITATION) {
                    Some(ip) if ip.payload.len() == 32 => with_payload(frame, |payload| payload[25] = 1),
                    _ => frame.bytes.clone(),
                }]
            })
        }),
        ("link.nd-override", || {
            Defect::none().sends_changed(|bytes| {
                if word(bytes, 12) == ethertype::IPV6 && bytes[0] == 2 {
                    bytes[5] = 0;
                }
            })
        }),
        ("link.nd-no-override", || {
            // Replies go where the last advertisement said.
            let last: Arc<Mutex<Option<[u8; 6]>>> = Arc::default();
            let seen = Arc::clone(&last);
            Defect::none()
                .receives(move |frame| {
                    if let Some(ip) = frame.icmp(kind::ADVERTISEMENT) {
                        *seen.lock().unwrap() = ip.payload.get(26..).and_then(|mac| mac.first_chunk()).copied();
                    }
                    vec![frame.bytes.clone()]
                })
                .sends_changed(move |bytes| {
                    if let Some(mac) = *last.lock().unwrap() {
                        bytes[..6].copy_from_slice(&mac);
                    }
                })
        }),
    ]
}
