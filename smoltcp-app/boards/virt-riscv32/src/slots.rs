//! The machine's eight slots for devices, and what is in them.

use core::ptr::{self, NonNull};

use virtio_drivers::transport::{DeviceType, Transport, mmio::MmioTransport};

const SLOTS: u32 = 8;
const FIRST: usize = 0x1000_1000;
const LENGTH: usize = 0x1000;

/// The first device of this kind, and which slot it is in.
pub(crate) fn find(kind: DeviceType) -> Option<(u32, MmioTransport<'static>)> {
    (0..SLOTS).find_map(|slot| {
        let header = NonNull::new(ptr::with_exposed_provenance_mut(FIRST + slot as usize * LENGTH))?;
        // SAFETY: on this machine each slot is there, with its registers; and no kind is looked for twice, so there is one
        // handle of each that is kept.
        let transport = unsafe { MmioTransport::new(header, LENGTH) }.ok()?;
        (transport.device_type() == kind).then_some((slot, transport))
    })
}

/// The interrupt of a slot.
pub(crate) const fn interrupt(slot: u32) -> u32 {
    slot + 1
}
