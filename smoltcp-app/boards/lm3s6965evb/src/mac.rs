//! The driver of the Ethernet MAC, as smoltcp's device: one frame at a time in each direction, each copied once.

use greet_board::{Link, Losses};
use smoltcp::{
    phy::{self, Device, DeviceCapabilities, Medium},
    time::Instant,
    wire::EthernetAddress,
};

use crate::{
    phy as phy_registers,
    registers::{MmioEthernet, interrupt, receive, transmit},
};

/// A frame without its checksum, at most.
const FRAME: usize = 1514;
/// What stands before a frame in either FIFO: a length.
const LENGTH: usize = 2;
const CHECKSUM: usize = 4;
/// Ethernet's header, which the length before a frame that goes out does not count.
const HEADER: usize = 14;
const WORD: usize = 4;

/// A frame with the length before it, in whole words.
type Buffer = [u8; (LENGTH + FRAME).next_multiple_of(WORD)];

/// How many frames the receive FIFO of 2 KB is sure to hold.
const BURST: usize = 1;

const STOPPED: u32 = receive::MULTICAST | receive::REJECT_BAD;
const RECEIVE: u32 = STOPPED | receive::ENABLE;
const TRANSMIT: u32 = transmit::ENABLE | transmit::PAD | transmit::CHECKSUM;

/// The MAC.
pub(crate) struct Mac {
    fifos: Fifos,
    received: Buffer,
}

/// The registers, the frame to send, and the counters.
struct Fifos {
    ethernet: MmioEthernet<'static>,
    losses: Losses,
    frame: Buffer,
    /// A frame is being sent, and its end is waited for.
    sending: bool,
    /// The receiver is stopped after an overrun, until the frames in its FIFO are read.
    overrun: bool,
}

impl Mac {
    /// Sets the MAC up; its clock has to run.
    pub(crate) fn new(mut ethernet: MmioEthernet<'static>, address: EthernetAddress) -> Self {
        let [a, b, c, d, e, f] = address.0;
        ethernet.write_interrupts(0); // after a reset all are on
        ethernet.write_status(u32::MAX);
        // Constant positions of an array of two.
        let _ = ethernet.write_address(0, u32::from_le_bytes([a, b, c, d]));
        let _ = ethernet.write_address(1, u32::from_le_bytes([e, f, 0, 0]));
        ethernet.write_threshold(0x3F); // only a write of MACTR sends a frame, so it is complete by then
        ethernet.write_phy_clock(2); // 12.5 MHz / 2 / (2 + 1): no more than 2.5 MHz
        ethernet.write_transmit_control(TRANSMIT | transmit::FULL_DUPLEX);
        ethernet.write_receive_control(STOPPED | receive::RESET);
        ethernet.write_receive_control(RECEIVE);
        let fifos = Fifos { ethernet, losses: Losses::default(), frame: [0; _], sending: false, overrun: false };
        Self { fifos, received: [0; _] }
    }

    /// Stops the receiver, or starts it with an empty FIFO.
    pub(crate) fn set_receiver(&mut self, enabled: bool) {
        self.fifos.ethernet.write_receive_control(STOPPED);
        if enabled {
            while self.fifos.ethernet.read_frames() != 0 {
                self.fifos.receive(&mut self.received);
            }
            self.fifos.restart_receiver();
        }
    }

    pub(crate) const fn losses(&self) -> Losses {
        self.fifos.losses
    }

    /// How the link stands; what it demands of the MAC is done.
    pub(crate) fn link(&mut self) -> Link {
        let link = phy_registers::link(&mut self.fifos.ethernet);
        let half = matches!(link, Link::Up { full_duplex: false, .. });
        self.fifos.ethernet.write_transmit_control(if half { TRANSMIT } else { TRANSMIT | transmit::FULL_DUPLEX });
        link
    }

    /// Whether there is something to do. If not, an interrupt will say when there is.
    ///
    /// The line stays up while there is a reason for it, so the interrupt's handler masks them all, and here they are
    /// enabled again.
    pub(crate) fn is_due(&mut self) -> bool {
        let mut interrupts =
            interrupt::RECEIVED | interrupt::OVERRUN | interrupt::RECEIVE_ERROR | interrupt::TRANSMIT_ERROR;
        if self.fifos.sending {
            interrupts |= interrupt::TRANSMITTED;
        }
        let ethernet = &mut self.fifos.ethernet;
        let unread = ethernet.read_frames() != 0 || self.fifos.overrun;
        if ethernet.read_status() & interrupts != 0 || (unread && !self.fifos.sending) {
            return true;
        }
        ethernet.write_interrupts(interrupts);
        false
    }
}

impl Device for Mac {
    type RxToken<'a> = Received<'a>;
    type TxToken<'a> = Permit<'a>;

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = FRAME;
        capabilities.max_burst_size = Some(BURST);
        capabilities
    }

    fn receive(&mut self, _: Instant) -> Option<(Received<'_>, Permit<'_>)> {
        self.fifos.notice();
        // A frame is left in the FIFO while its answer could not be sent.
        while self.fifos.ethernet.read_frames() != 0 && self.fifos.is_free() {
            if let Some(length) = self.fifos.receive(&mut self.received) {
                let frame = self.received.get(LENGTH..length.saturating_add(LENGTH))?;
                return Some((Received(frame), Permit(&mut self.fifos)));
            }
        }
        if self.fifos.overrun && self.fifos.ethernet.read_frames() == 0 {
            self.fifos.restart_receiver();
        }
        None
    }

    fn transmit(&mut self, _: Instant) -> Option<Permit<'_>> {
        self.fifos.is_free().then_some(Permit(&mut self.fifos))
    }
}

impl Fifos {
    /// Acknowledges and counts events; called before the FIFO is read, so that a later frame is a new event.
    fn notice(&mut self) {
        let status = self.ethernet.read_status();
        let noticed =
            status & (interrupt::RECEIVED | interrupt::OVERRUN | interrupt::RECEIVE_ERROR | interrupt::TRANSMIT_ERROR);
        if noticed == 0 {
            return;
        }
        self.ethernet.write_status(noticed);
        if noticed & interrupt::RECEIVE_ERROR != 0 {
            self.losses.unusable = self.losses.unusable.wrapping_add(1);
        }
        if noticed & interrupt::TRANSMIT_ERROR != 0 {
            self.losses.unsent = self.losses.unsent.wrapping_add(1); // that acknowledgement empties the FIFO
        }
        if noticed & interrupt::OVERRUN != 0 {
            self.losses.overruns = self.losses.overruns.wrapping_add(1);
            // The FIFO may end in the middle of a frame, so it is to be reset. But first the whole frames are read:
            // they are good, and a reset of a full FIFO would stop QEMU's model (stellaris_enet.c) from receiving, as only
            // the read of the last frame makes it ask the network for more.
            self.ethernet.write_receive_control(STOPPED);
            self.overrun = true;
        }
    }

    /// Starts the receiver, which was stopped and whose FIFO has no whole frame, with an empty FIFO.
    fn restart_receiver(&mut self) {
        self.ethernet.write_receive_control(STOPPED | receive::RESET);
        self.ethernet.write_receive_control(RECEIVE);
        self.overrun = false;
    }

    /// Whether a frame can be sent now. If not, the end of the previous one is waited for.
    fn is_free(&mut self) -> bool {
        self.sending = self.ethernet.read_transmission() != 0;
        !self.sending
    }

    /// Takes a frame out of the FIFO, with the length before it; how long it is, if it can be used.
    fn receive(&mut self, buffer: &mut Buffer) -> Option<usize> {
        let first = self.ethernet.read_data().to_le_bytes();
        let [low, high, ..] = first;
        let total = usize::from(u16::from_le_bytes([low, high]));
        let mut words = buffer.chunks_exact_mut(WORD);
        if let Some(word) = words.next() {
            word.copy_from_slice(&first);
        }
        for _ in 1..total.div_ceil(WORD) {
            // All of it is read, so that the next frame begins where it should.
            let data = self.ethernet.read_data().to_le_bytes();
            if let Some(word) = words.next() {
                word.copy_from_slice(&data);
            }
        }
        let length = total.checked_sub(LENGTH + CHECKSUM).filter(|length| (HEADER..=FRAME).contains(length));
        if length.is_none() {
            self.losses.unusable = self.losses.unusable.wrapping_add(1);
        }
        length
    }

    /// Sends the first `length` bytes of `frame`.
    #[inline(never)] // otherwise there is a copy of it for everything that writes a frame
    fn send(&mut self, length: usize) {
        // The length without the header: less than 2^16, as the buffer is.
        let payload = u16::try_from(length.saturating_sub(HEADER)).unwrap_or(0).to_le_bytes();
        self.frame[..LENGTH].copy_from_slice(&payload);
        for word in self.frame.chunks_exact(WORD).take(length.saturating_add(LENGTH).div_ceil(WORD)) {
            if let &[a, b, c, d] = word {
                self.ethernet.write_data(u32::from_le_bytes([a, b, c, d]));
            }
        }
        self.ethernet.write_status(interrupt::TRANSMITTED); // of the frame before
        self.ethernet.write_transmission(1);
    }
}

/// A received frame.
pub(crate) struct Received<'a>(&'a [u8]);

impl phy::RxToken for Received<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(self.0)
    }
}

/// The right to send one frame.
pub(crate) struct Permit<'a>(&'a mut Fifos);

impl phy::TxToken for Permit<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, write: F) -> R {
        let length = length.min(FRAME); // smoltcp keeps to the limit
        let result = write(self.0.frame.get_mut(LENGTH..length.saturating_add(LENGTH)).unwrap_or_default());
        self.0.send(length);
        result
    }
}
