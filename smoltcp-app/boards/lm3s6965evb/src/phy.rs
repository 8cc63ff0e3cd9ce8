//! The PHY inside the LM3S6965: whether there is a link, and how fast it is (data sheet, 16.7).

use greet_board::Link;

use crate::registers::MmioEthernet;

/// MACMCTL: begin, and until it is done.
const START: u32 = 1 << 0;
/// MACMCTL: which register.
const REGISTER: u32 = 3;

/// Its registers, and bits of them.
const STATUS: u32 = 1;
const STATUS_LINK: u32 = 1 << 2;
const IDENTIFIER: u32 = 2;
const DIAGNOSTIC: u32 = 18;
const DIAGNOSTIC_100: u32 = 1 << 10;
const DIAGNOSTIC_FULL_DUPLEX: u32 = 1 << 11;

/// How often the end of a transfer is polled. It takes 64 periods of at most 2.5 MHz, which is about as many reads as this.
const POLLS: u32 = 10_000;

/// How the link stands.
pub(crate) fn link(ethernet: &mut MmioEthernet<'_>) -> Link {
    if matches!(read(ethernet, IDENTIFIER), None | Some(0 | 0xFFFF)) {
        return Link::Unknown; // no PHY, as in QEMU
    }
    // The bit latches a loss of the link until it is read: the second reading is the current state.
    read(ethernet, STATUS);
    match (read(ethernet, STATUS), read(ethernet, DIAGNOSTIC)) {
        (Some(status), Some(diagnostic)) if status & STATUS_LINK != 0 => Link::Up {
            megabits: if diagnostic & DIAGNOSTIC_100 != 0 { 100 } else { 10 },
            full_duplex: diagnostic & DIAGNOSTIC_FULL_DUPLEX != 0,
        },
        _ => Link::Down,
    }
}

fn read(ethernet: &mut MmioEthernet<'_>, register: u32) -> Option<u32> {
    ethernet.write_phy_control(register << REGISTER | START);
    for _ in 0..POLLS {
        if ethernet.read_phy_control() & START == 0 {
            return Some(ethernet.read_phy_read() & 0xFFFF);
        }
    }
    None
}
