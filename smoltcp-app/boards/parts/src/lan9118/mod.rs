//! The driver of a LAN9118 Ethernet controller, for smoltcp.
//!
//! The processor moves frames word by word through two FIFOs: 10,560 bytes for received frames and 4,608 for frames to send. The
//! chip drops and counts what does not fit into the first. So the driver states a burst size of four frames, and smoltcp announces
//! no larger window to a peer.
//!
//! Written after the data sheet and run on QEMU's model of the chip, which does not count the frames it drops and sends each frame
//! at once. It has not run on silicon yet.

mod mac;
mod registers;

use greet_board::{Link, Losses};
use smoltcp::{
    phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken},
    time::Instant,
    wire::EthernetAddress,
};

pub use self::registers::Registers;
use self::registers::{MacRegister, MmioRegisters, PhyRegister, RX_OFFSET, RxStatus, interrupt};

/// The longest frame: a payload of 1,500 bytes and the Ethernet header.
const LONGEST_FRAME: usize = 1514;
/// The check sequence behind a received frame.
const CHECK_SEQUENCE: usize = 4;
/// Memory for one frame, in whole words: what stands before it, and the check sequence.
const FRAME_MEMORY: usize = (RX_OFFSET + LONGEST_FRAME + CHECK_SEQUENCE).next_multiple_of(4);
/// What the FIFO needs for the longest frame: its words, and two commands.
const ROOM_TO_SEND: usize = LONGEST_FRAME.next_multiple_of(4) + 8;
/// The burst size, in full frames: six fill the FIFO, and several peers send.
const BURST: usize = 4;
/// How many damaged frames are skipped at once. If there are more, the interrupt stays pending and the next poll continues.
const DAMAGED_AT_ONCE: u32 = 16;

const INTERRUPTS: u32 =
    interrupt::RX_FRAME | interrupt::RX_DROPPED | interrupt::RX_ERROR | interrupt::TX_ERROR | interrupt::PHY;

/// Why the controller does not work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Error {
    /// There is no such chip at this address; instead of its pattern this was read.
    NotThere(u32),
    /// It was not ready after a reset.
    NotReady,
    /// A register of its MAC could not be reached.
    MacBusy,
    /// A register of its PHY could not be reached.
    PhyBusy,
    /// It did not stop.
    NotStopped,
}

/// Memory for one frame; aligned, so that words are moved as words.
#[repr(C, align(4))]
struct Frame([u8; FRAME_MEMORY]);

/// A LAN9118 that works.
pub struct Lan9118 {
    registers: MmioRegisters<'static>,
    hardware_address: EthernetAddress,
    /// What is in the MAC's control register.
    control: u32,
    link: Link,
    losses: Losses,
    /// A frame is to be sent that the FIFO had no room for: that there is room is an interrupt.
    wants_room: bool,
    received: Frame,
    sent: Frame,
}

impl Lan9118 {
    /// Starts the controller. It has an address of its own from its EEPROM; where it has none it gets `fallback`.
    ///
    /// # Errors
    /// Why it does not work.
    pub fn new(mut registers: MmioRegisters<'static>, fallback: EthernetAddress) -> Result<Self, Error> {
        start(&mut registers)?;
        let mut hardware_address = read_address(&mut registers)?;
        if !hardware_address.is_unicast() {
            hardware_address = fallback;
            write_address(&mut registers, fallback)?;
        }
        let mut controller = Self {
            registers,
            hardware_address,
            control: registers::MAC_RX_ON | registers::MAC_TX_ON | registers::MAC_ALL_MULTICAST,
            link: Link::Down,
            losses: Losses::default(),
            wants_room: false,
            received: Frame([0; FRAME_MEMORY]),
            sent: Frame([0; FRAME_MEMORY]),
        };
        controller.look_at_link()?;
        mac::write(&mut controller.registers, MacRegister::Control, controller.control)?;
        controller.registers.write_interrupt_line(registers::LINE_ON_ACTIVE_HIGH);
        controller.registers.write_interrupt_enable(INTERRUPTS);
        Ok(controller)
    }

    /// The address on the wire.
    pub const fn hardware_address(&self) -> EthernetAddress {
        self.hardware_address
    }

    /// How the link stands.
    pub const fn link(&self) -> Link {
        self.link
    }

    /// Counts of lost frames since the start.
    pub const fn losses(&self) -> Losses {
        self.losses
    }

    /// Handles the interrupts that are not about frames: link and errors. Called after each wait.
    ///
    /// # Errors
    /// Why the controller does not work any more.
    pub fn attend(&mut self) -> Result<(), Error> {
        let status = self.registers.read_interrupt_status() & INTERRUPTS & !interrupt::RX_FRAME;
        if status == 0 {
            return Ok(());
        }
        self.registers.write_interrupt_status(status);
        if status & interrupt::RX_DROPPED != 0 {
            let dropped = self.registers.read_rx_dropped();
            self.losses.overruns = self.losses.overruns.wrapping_add(dropped);
        }
        if status & interrupt::RX_ERROR != 0 {
            self.losses.overruns = self.losses.overruns.wrapping_add(1);
            self.set_receiver(true)?;
        }
        if status & interrupt::TX_ERROR != 0 {
            self.restart_transmitter()?;
        }
        if status & interrupt::PHY != 0 {
            self.look_at_link()?;
            mac::write(&mut self.registers, MacRegister::Control, self.control)?;
        }
        Ok(())
    }

    /// Whether there is something to do now.
    pub fn is_due(&self) -> bool {
        self.registers.read_interrupt_status() & self.interrupts() != 0
    }

    /// The enabled interrupts. While there is no room for a reply, received frames stay in the FIFO and do not interrupt.
    const fn interrupts(&self) -> u32 {
        if self.wants_room { INTERRUPTS & !interrupt::RX_FRAME | interrupt::TX_ROOM } else { INTERRUPTS }
    }

    /// Finds out what the link is, and sets `control` for it.
    fn look_at_link(&mut self) -> Result<(), Error> {
        let _ = mac::read_phy(&mut self.registers, PhyRegister::InterruptSource)?; // which clears it
        self.link = mac::link(&mut self.registers)?;
        match self.link {
            Link::Up { full_duplex: true, .. } => self.control |= registers::MAC_FULL_DUPLEX,
            Link::Up { full_duplex: false, .. } => self.control &= !registers::MAC_FULL_DUPLEX,
            Link::Down | Link::UpUnknownSpeed | Link::Unknown => {}
        }
        Ok(())
    }

    /// Stops the receiver, or starts it with empty FIFOs: what was in them is lost.
    ///
    /// # Errors
    /// Why the controller does not work any more.
    pub fn set_receiver(&mut self, enabled: bool) -> Result<(), Error> {
        let Self { registers, control, .. } = self;
        if mac::read(registers, MacRegister::Control)? & registers::MAC_RX_ON != 0 {
            registers.write_interrupt_status(interrupt::RX_STOPPED);
            mac::write(registers, MacRegister::Control, *control & !registers::MAC_RX_ON)?;
            mac::wait(Error::NotStopped, || registers.read_interrupt_status() & interrupt::RX_STOPPED != 0)?;
        }
        if enabled {
            registers.write_rx_configuration(registers::RX_OFFSET_BITS | registers::RX_DUMP);
            mac::wait(Error::NotStopped, || registers.read_rx_configuration() & registers::RX_DUMP == 0)?;
            mac::write(registers, MacRegister::Control, *control)?;
        }
        Ok(())
    }

    /// Empties the transmit FIFOs.
    fn restart_transmitter(&mut self) -> Result<(), Error> {
        let Self { registers, losses, .. } = self;
        losses.unsent = losses.unsent.wrapping_add(1);
        registers.write_interrupt_status(interrupt::TX_STOPPED);
        registers.write_tx_configuration(registers::TX_ON | registers::TX_STOP);
        mac::wait(Error::NotStopped, || registers.read_interrupt_status() & interrupt::TX_STOPPED != 0)?;
        registers.write_tx_configuration(registers::TX_DUMP);
        mac::wait(Error::NotStopped, || registers.read_tx_configuration() & registers::TX_DUMP == 0)?;
        registers.write_tx_configuration(registers::TX_ON);
        Ok(())
    }

    /// Whether the longest frame can be sent now. If not, an interrupt says when.
    fn has_room(&mut self) -> bool {
        let fifo = self.registers.read_tx_fifo();
        for _ in 0..registers::tx_statuses_waiting(fifo) {
            if self.registers.read_tx_status() & registers::TX_FAILED != 0 {
                self.losses.unsent = self.losses.unsent.wrapping_add(1);
            }
        }
        let room = registers::tx_room(fifo) >= ROOM_TO_SEND;
        if room == self.wants_room {
            self.wants_room = !room;
            self.registers.write_interrupt_status(interrupt::TX_ROOM);
            self.registers.write_interrupt_enable(self.interrupts());
        }
        room
    }

    /// Reads the next good frame, and says how long it is.
    fn take_frame(&mut self) -> Option<usize> {
        for _ in 0..DAMAGED_AT_ONCE {
            if registers::rx_frames_waiting(self.registers.read_rx_fifo()) == 0 {
                // The bit is set when a frame comes, and stays. One may come before it is cleared: so look again.
                self.registers.write_interrupt_status(interrupt::RX_FRAME);
                if registers::rx_frames_waiting(self.registers.read_rx_fifo()) == 0 {
                    return None;
                }
            }
            let status = RxStatus(self.registers.read_rx_status());
            let words = (RX_OFFSET + status.length()).div_ceil(4);
            for place in self.received.0.chunks_exact_mut(4).take(words) {
                place.copy_from_slice(&self.registers.read_rx_data().to_le_bytes());
            }
            // The rest of a frame that is too long, so that the next one starts where it should.
            for _ in FRAME_MEMORY / 4..words {
                let _ = self.registers.read_rx_data();
            }
            let length = status.length().saturating_sub(CHECK_SEQUENCE);
            if !status.is_damaged() && length > 0 && length <= LONGEST_FRAME {
                return Some(length);
            }
            self.losses.unusable = self.losses.unusable.wrapping_add(1);
        }
        None
    }
}

/// Resets the chip, sets its FIFOs, and lets its PHY find out what is at the other end.
fn start(registers: &mut MmioRegisters<'static>) -> Result<(), Error> {
    // It answers with its pattern only when it is ready, and needs a write to be woken.
    registers.write_interrupt_enable(0);
    mac::wait(Error::NotReady, || registers.read_byte_test() == registers::BYTE_TEST)
        .map_err(|_| Error::NotThere(registers.read_byte_test()))?;
    mac::wait(Error::NotReady, || registers.read_power() & registers::READY != 0)?;
    registers.write_hardware_configuration(registers::SOFT_RESET);
    mac::wait(Error::NotReady, || registers.read_hardware_configuration() & registers::SOFT_RESET == 0)?;
    registers.write_power(registers::PHY_RESET);
    mac::wait(Error::NotReady, || registers.read_power() & registers::PHY_RESET == 0)?;

    registers.write_hardware_configuration(registers::STORE_AND_FORWARD | registers::TX_FIFO_5K);
    registers.write_fifo_levels(registers::FIFO_LEVELS);
    registers.write_rx_configuration(registers::RX_OFFSET_BITS);
    registers.write_tx_configuration(registers::TX_ON);
    registers.write_interrupt_status(u32::MAX);
    mac::write_phy(registers, PhyRegister::Control, registers::PHY_NEGOTIATE)?;
    mac::write_phy(registers, PhyRegister::InterruptMask, registers::PHY_LINK_CHANGES)
}

fn read_address(registers: &mut MmioRegisters<'static>) -> Result<EthernetAddress, Error> {
    let [a, b, c, d] = mac::read(registers, MacRegister::AddressLow)?.to_le_bytes();
    let [e, f, ..] = mac::read(registers, MacRegister::AddressHigh)?.to_le_bytes();
    Ok(EthernetAddress([a, b, c, d, e, f]))
}

fn write_address(registers: &mut MmioRegisters<'static>, address: EthernetAddress) -> Result<(), Error> {
    let [a, b, c, d, e, f] = address.0;
    mac::write(registers, MacRegister::AddressLow, u32::from_le_bytes([a, b, c, d]))?;
    mac::write(registers, MacRegister::AddressHigh, u32::from_le_bytes([e, f, 0, 0]))
}

impl Device for Lan9118 {
    type RxToken<'t> = Received<'t>;
    type TxToken<'t> = Sending<'t>;

    fn receive(&mut self, _: Instant) -> Option<(Received<'_>, Sending<'_>)> {
        // Room first: a frame that was taken may want an answer.
        if !self.has_room() {
            return None;
        }
        let length = self.take_frame()?;
        let frame = self.received.0.get(RX_OFFSET..RX_OFFSET + length)?;
        Some((Received(frame), Sending { registers: &mut self.registers, frame: &mut self.sent }))
    }

    fn transmit(&mut self, _: Instant) -> Option<Sending<'_>> {
        self.has_room().then_some(Sending { registers: &mut self.registers, frame: &mut self.sent })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = LONGEST_FRAME;
        capabilities.max_burst_size = Some(BURST);
        capabilities
    }
}

/// A received frame.
pub struct Received<'a>(&'a [u8]);

impl RxToken for Received<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(self.0)
    }
}

/// Room for a frame to be sent.
pub struct Sending<'a> {
    registers: &'a mut MmioRegisters<'static>,
    frame: &'a mut Frame,
}

impl TxToken for Sending<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, write: F) -> R {
        let Self { registers, frame: Frame(memory) } = self;
        // smoltcp respects the device's limit.
        let length = length.min(LONGEST_FRAME);
        let result = write(memory.get_mut(..length).unwrap_or_default());
        for command in registers::tx_commands(length) {
            registers.write_tx_data(command);
        }
        for word in memory.chunks_exact(4).take(length.div_ceil(4)) {
            registers.write_tx_data(word.try_into().map_or(0, u32::from_le_bytes));
        }
        result
    }
}
