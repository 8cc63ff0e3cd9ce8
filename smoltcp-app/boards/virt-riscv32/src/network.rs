//! The network card, virtio-net, for smoltcp: sixteen buffers each way, which the card fills and empties by itself.
//!
//! A frame waits in QEMU until there is a buffer. QEMU drops a frame that is longer than a buffer, and does not report it.

use core::sync::atomic::{Ordering, fence};

use greet_board::Losses;
use smoltcp::{
    phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken},
    time::Instant,
    wire::EthernetAddress,
};
use virtio_drivers::{Error, device::net::VirtIONetRaw, transport::mmio::MmioTransport};

use crate::memory::Memory;

/// Buffers each way.
const BUFFERS: usize = 16;
/// The longest frame: a payload of 1,500 bytes and the Ethernet header.
const LONGEST_FRAME: usize = 1514;
/// What virtio-net writes before each frame is 12 bytes at most.
const BUFFER: usize = 12 + LONGEST_FRAME;

/// Memory for one frame and its header.
type Buffer = [u8; BUFFER];
/// Memory for all of them.
pub(crate) type Buffers = [[Buffer; BUFFERS]; 2];

/// The same, with nothing in it.
pub(crate) const fn no_frames() -> Buffers {
    [[[0; BUFFER]; BUFFERS]; 2]
}

type Raw = VirtIONetRaw<Memory, MmioTransport<'static>, BUFFERS>;
type BufferEntry = Option<&'static mut Buffer>;

/// A network card that works.
pub(crate) struct Network {
    raw: Raw,
    /// The buffers that the card has, each at its index; they must not be accessed.
    filling: [BufferEntry; BUFFERS],
    emptying: [BufferEntry; BUFFERS],
    /// The buffer of the frame that smoltcp reads, or has read: the card gets it back with the next look.
    taken: BufferEntry,
    /// Buffers for frames to be sent.
    idle: [BufferEntry; BUFFERS],
    losses: Losses,
}

impl Network {
    /// Starts the card and gives it its buffers.
    pub(crate) fn new(transport: MmioTransport<'static>, buffers: &'static mut Buffers) -> Result<Self, Error> {
        let [filling, idle] = buffers;
        let mut network = Self {
            raw: Raw::new(transport)?,
            filling: [const { None }; BUFFERS],
            emptying: [const { None }; BUFFERS],
            taken: None,
            idle: idle.each_mut().map(Some),
            losses: Losses::default(),
        };
        for buffer in filling {
            network.fill(buffer)?;
        }
        Ok(network)
    }

    pub(crate) fn hardware_address(&self) -> EthernetAddress {
        EthernetAddress(self.raw.mac_address())
    }

    /// Counts of lost frames since the start.
    pub(crate) const fn losses(&self) -> Losses {
        self.losses
    }

    /// Takes the card's interrupt back.
    pub(crate) fn acknowledge(&mut self) {
        let _ = self.raw.ack_interrupt();
    }

    /// Gives the card a buffer to fill.
    fn fill(&mut self, buffer: &'static mut Buffer) -> Result<(), Error> {
        // SAFETY: the buffer lives as long as the program, and lies untouched in `filling` until the card is done with it.
        let number = unsafe { self.raw.receive_begin(buffer) }?;
        if let Some(entry) = self.filling.get_mut(usize::from(number)) {
            *entry = Some(buffer);
        }
        Ok(())
    }

    /// Takes the next buffer that the card has filled, as `taken`: where the frame in it begins and how long it is.
    fn take(&mut self) -> Option<(usize, usize)> {
        loop {
            if let Some(buffer) = self.taken.take() {
                // There is room for it: it was the card's before.
                self.fill(buffer).ok()?;
            }
            // The card must see the changes of the queues before it is polled: it reports each buffer only once.
            fence(Ordering::SeqCst);
            let number = self.raw.poll_receive()?;
            let buffer = self.filling.get_mut(usize::from(number))?.take()?;
            // SAFETY: it is the buffer that this number was given for.
            let filled = unsafe { self.raw.receive_complete(number, buffer) };
            self.taken = Some(buffer);
            match filled {
                Ok((header, length)) if length <= LONGEST_FRAME => return Some((header, length)),
                _ => self.losses.unusable = self.losses.unusable.wrapping_add(1),
            }
        }
    }

    /// The index of a buffer in `idle`.
    fn idle_index(&mut self) -> Option<usize> {
        while let Some(number) = self.raw.poll_transmit() {
            let buffer = self.emptying.get_mut(usize::from(number))?.take()?;
            // SAFETY: it is the buffer that this number was given for.
            if unsafe { self.raw.transmit_complete(number, buffer) }.is_err() {
                self.losses.unsent = self.losses.unsent.wrapping_add(1);
            }
            *self.idle.iter_mut().find(|entry| entry.is_none())? = Some(buffer);
        }
        self.idle.iter().position(Option::is_some)
    }
}

impl Device for Network {
    type RxToken<'t> = Received<'t>;
    type TxToken<'t> = Sending<'t>;

    fn receive(&mut self, _: Instant) -> Option<(Received<'_>, Sending<'_>)> {
        // Room first: a frame that was taken may want an answer.
        let index = self.idle_index()?;
        let (start, length) = self.take()?;
        let Self { raw, emptying, taken, idle, losses, .. } = self;
        let frame = taken.as_deref()?.get(start..start + length)?;
        Some((Received(frame), Sending { raw, emptying, entry: idle.get_mut(index)?, losses }))
    }

    fn transmit(&mut self, _: Instant) -> Option<Sending<'_>> {
        let index = self.idle_index()?;
        let Self { raw, emptying, idle, losses, .. } = self;
        Some(Sending { raw, emptying, entry: idle.get_mut(index)?, losses })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = LONGEST_FRAME;
        capabilities.max_burst_size = Some(BUFFERS);
        capabilities
    }
}

/// A received frame.
pub(crate) struct Received<'a>(&'a [u8]);

impl RxToken for Received<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(self.0)
    }
}

/// Room for a frame to be sent.
pub(crate) struct Sending<'a> {
    raw: &'a mut Raw,
    emptying: &'a mut [BufferEntry; BUFFERS],
    entry: &'a mut BufferEntry,
    losses: &'a mut Losses,
}

impl TxToken for Sending<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, write: F) -> R {
        let Self { raw, emptying, entry: idle_entry, losses } = self;
        // smoltcp respects the device's limit, and a token is only made if there is a buffer.
        let Some(buffer) = idle_entry.take() else { return write(&mut []) };
        let start = raw.fill_buffer_header(buffer).unwrap_or(0);
        let end = start.saturating_add(length).min(BUFFER);
        let result = write(buffer.get_mut(start..end).unwrap_or_default());
        // SAFETY: the buffer lives as long as the program, and lies untouched in `emptying` until the card is done with it.
        match unsafe { raw.transmit_begin(buffer.get(..end).unwrap_or_default()) } {
            Ok(number) => {
                if let Some(entry) = emptying.get_mut(usize::from(number)) {
                    *entry = Some(buffer);
                }
            }
            Err(_) => {
                *idle_entry = Some(buffer);
                losses.unsent = losses.unsent.wrapping_add(1);
            }
        }
        result
    }
}
