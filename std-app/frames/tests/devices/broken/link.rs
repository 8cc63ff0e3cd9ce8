//! Defects of ARP and framing.

use greet_frames::{
    frame::{Arp, Frame, HEADER, Packet, ethertype},
    ip::{protocol, set_word, word},
};
use smoltcp::wire::EthernetAddress;

use super::{
    Make,
    change::{is_echo_reply, lengthen, stops_after_frame},
};
use crate::{
    defect::Defect,
    device::{MAC, addresses},
};

pub(crate) fn defects() -> Vec<(&'static str, Make)> {
    vec![
        ("link.arp-reply", || Defect::none().sends_changed(|bytes| change_arp(bytes, |arp| arp.target_mac = MAC))),
        ("link.arp-unicast", || {
            Defect::none().ignores(|frame| frame.arp().is_some() && frame.destination().is_unicast())
        }),
        ("link.arp-other", || Defect::none().receives_changed(|bytes| change_arp(bytes, |arp| arp.target = board()))),
        ("link.arp-probe", || {
            Defect::none().ignores(|frame| frame.arp().is_some_and(|arp| arp.sender.is_unspecified()))
        }),
        ("link.arp-merge", keeps_first_mac),
        ("link.arp-announcement", keeps_first_mac),
        ("link.arp-conflict", || {
            let mut is_given_up = false;
            Defect::none().ignores(move |frame| {
                is_given_up |= frame.arp().is_some_and(|arp| arp.sender == board());
                is_given_up && frame.arp().is_some()
            })
        }),
        ("link.arp-malformed", || {
            Defect::none().receives_changed(|bytes| {
                if word(bytes, 12) == ethertype::ARP {
                    bytes[HEADER..HEADER + 6].copy_from_slice(&[0, 1, 8, 0, 6, 4]);
                }
            })
        }),
        ("link.arp-reply-ignored", || {
            Defect::none().receives_changed(|bytes| change_arp(bytes, |arp| arp.operation = 1))
        }),
        ("link.padding-ignored", || Defect::none().receives_changed(|bytes| lengthen(bytes))),
        ("link.foreign-unicast", || {
            Defect::none().receives_changed(|bytes| {
                if EthernetAddress(*bytes.first_chunk().unwrap()).is_unicast() {
                    bytes[..6].copy_from_slice(&MAC.0);
                }
            })
        }),
        ("link.broadcast-frame", || {
            Defect::none().receives_changed(|bytes| {
                if bytes[0] == 0xff && bytes[HEADER + 9] == protocol::TCP {
                    bytes[..6].copy_from_slice(&MAC.0);
                }
            })
        }),
        ("link.multicast-source", || {
            Defect::none()
                .receives_changed(|bytes| {
                    // The board below does not learn from such a frame; the reply is known by its sequence number.
                    if bytes[6] == 3 {
                        bytes[6..12].copy_from_slice(&[2, 0, 0, 0, 1, 0]);
                    }
                })
                .sends(|frame| {
                    let mut bytes = frame.bytes.clone();
                    if is_echo_reply(frame) && word(&bytes, HEADER + 26) == 1 {
                        bytes[0] = 3;
                    }
                    vec![bytes]
                })
        }),
        ("link.frame-too-long", || stops_after_frame(|frame| frame.bytes.len() == 1600)),
        ("link.frame-cut", || stops_after_frame(|frame| frame.bytes.len() == 20)),
        ("link.vlan-priority", || Defect::none().ignores(is_tagged)),
        ("link.vlan-foreign", || {
            Defect::none().receives_changed(|bytes| {
                if word(bytes, 12) == ethertype::VLAN {
                    set_word(bytes, HEADER, 0);
                }
            })
        }),
        ("link.llc-frame", || {
            Defect::none().receives_changed(|bytes| {
                if word(bytes, 12) == 0xffff {
                    set_word(bytes, 12, ethertype::IPV4);
                }
            })
        }),
    ]
}

fn board() -> core::net::Ipv4Addr {
    match addresses(false)[0] {
        core::net::IpAddr::V4(board) => board,
        core::net::IpAddr::V6(_) => unreachable!(),
    }
}

fn is_tagged(frame: &Frame) -> bool {
    matches!(frame.packet, Packet::Other(ethertype::VLAN))
}

fn change_arp(bytes: &mut [u8], change: impl FnOnce(&mut Arp)) {
    if let Packet::Arp(mut arp) = Frame::read(Default::default(), bytes.to_vec()).packet {
        change(&mut arp);
        bytes[HEADER..HEADER + 28].copy_from_slice(&arp.to_bytes());
    }
}

/// Frames go to the MAC address that a neighbor had at first.
pub(crate) fn keeps_first_mac() -> Defect {
    Defect::none().sends_changed(|bytes| {
        if word(bytes, 12) == ethertype::IPV4 {
            bytes[5] = 0;
        }
    })
}
