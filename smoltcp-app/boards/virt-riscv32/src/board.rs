//! The board, as the service needs it: its clock, its interrupts, its network card.

use greet_board::{Board, Identity, Instant, Link, Losses, qemu};
use virtio_drivers::transport::DeviceType;

use crate::{
    interrupts::Interrupts,
    network::{Buffers, Network},
    slots,
};

/// Why the board cannot serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(crate) enum Error {
    /// There is none.
    NotThere,
    /// It is another one than this program knows, or refuses what it needs.
    Refused,
}

pub(crate) struct Virt {
    interrupts: Interrupts,
    network: Network,
}

impl Virt {
    /// Made once, with memory for frames.
    pub(crate) fn new(frames: &'static mut Buffers) -> Result<Self, Error> {
        let (slot, transport) = slots::find(DeviceType::Network).ok_or(Error::NotThere)?;
        let network = Network::new(transport, frames).map_err(|_| Error::Refused)?;
        Ok(Self { interrupts: Interrupts::new(slots::interrupt(slot)), network })
    }

    /// The board's name, MAC address and seed.
    pub(crate) fn identity(&self) -> Identity {
        let hardware_address = self.network.hardware_address();
        let [a, b, c, d, e, f] = hardware_address.0;
        // The machine has no source of entropy by default.
        let (random_seed, entropy) = qemu::random_seed(u64::from_le_bytes([a, b, c, d, e, f, 0, 0]));
        Identity { name: "virt-riscv32", hardware_address, random_seed, entropy }
    }
}

impl Board for Virt {
    type Device = Network;

    fn device(&mut self) -> &mut Network {
        &mut self.network
    }

    fn now(&mut self) -> Instant {
        self.interrupts.now()
    }

    fn wait(&mut self, until: Instant) {
        let Self { interrupts, network } = self;
        // A frame since the last poll is a pending interrupt, which ends the sleep at once.
        interrupts.sleep(until);
        interrupts.attend(|| network.acknowledge());
    }

    /// virtio-drivers does not read the card's link state.
    fn link(&mut self) -> Link {
        Link::Unknown
    }

    fn losses(&self) -> Losses {
        self.network.losses()
    }
}
