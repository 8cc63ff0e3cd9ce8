//! The registers of a LAN9118, and what their bits mean (SMSC LAN9118 data sheet, chapter 5).

/// The registers, from the controller's base address on.
#[derive(derive_mmio::Mmio)]
#[repr(C)]
pub struct Registers {
    /// The received frames, word by word.
    #[mmio(Read)]
    rx_data: u32,
    _rx_data_aliases: [u32; 7],
    /// The frames to send, word by word, each behind its two commands.
    #[mmio(Write)]
    tx_data: u32,
    _tx_data_aliases: [u32; 7],
    /// One word for each received frame: see [`RxStatus`].
    #[mmio(Read)]
    rx_status: u32,
    _rx_status_peek: u32,
    /// One word for each frame that was sent.
    #[mmio(Read)]
    tx_status: u32,
    _tx_status_peek: u32,
    /// The chip's name in the upper half, its revision in the lower.
    #[mmio(PureRead)]
    identity: u32,
    /// How the interrupt line works.
    #[mmio(Write)]
    interrupt_line: u32,
    /// What happened; a bit is cleared by writing it.
    #[mmio(PureRead, Write)]
    interrupt_status: u32,
    /// What of this is an interrupt.
    #[mmio(Write)]
    interrupt_enable: u32,
    _reserved_60: u32,
    /// A known pattern.
    #[mmio(PureRead)]
    byte_test: u32,
    /// The levels of the FIFOs that are interrupts.
    #[mmio(Write)]
    fifo_levels: u32,
    #[mmio(PureRead, Write)]
    rx_configuration: u32,
    #[mmio(PureRead, Write)]
    tx_configuration: u32,
    #[mmio(PureRead, Write)]
    hardware_configuration: u32,
    _rx_datapath: u32,
    /// The level of the receive FIFOs: see [`rx_frames_waiting`].
    #[mmio(PureRead)]
    rx_fifo: u32,
    /// The level of the transmit FIFOs: see [`tx_room`].
    #[mmio(PureRead)]
    tx_fifo: u32,
    #[mmio(PureRead, Write)]
    power: u32,
    _gpio: u32,
    _timer: [u32; 2],
    _reserved_94: u32,
    _word_swap: u32,
    /// Counts 25 MHz from the reset on.
    #[mmio(PureRead)]
    free_running: u32,
    /// Frames for which the FIFO had no room; reading clears it.
    #[mmio(Read)]
    rx_dropped: u32,
    /// The way to the registers of the MAC, see [`MacRegister`]: a command ...
    #[mmio(PureRead, Write)]
    mac_command: u32,
    /// ... and its value.
    #[mmio(PureRead, Write)]
    mac_data: u32,
    _flow_control: u32,
    _eeprom: [u32; 2],
}

/// What [`Registers::byte_test`] reads as, where there is such a chip and its bytes are in order.
pub(super) const BYTE_TEST: u32 = 0x8765_4321;

/// Of `interrupt_line`: on, active high, push-pull. Anything else is a line that is active low.
pub(super) const LINE_ON_ACTIVE_HIGH: u32 = 1 << 8 | 1 << 4 | 1;

/// Of `interrupt_status` and `interrupt_enable`.
pub(super) mod interrupt {
    /// A frame was received.
    pub(in super::super) const RX_FRAME: u32 = 1 << 3;
    /// A frame was dropped, as the FIFO had no room.
    pub(in super::super) const RX_DROPPED: u32 = 1 << 6;
    /// There is room to send again: as much as `fifo_levels` says.
    pub(in super::super) const TX_ROOM: u32 = 1 << 9;
    /// The receive FIFOs, or the transmit FIFOs, are out of step.
    pub(in super::super) const RX_ERROR: u32 = 1 << 14;
    pub(in super::super) const TX_ERROR: u32 = 1 << 13;
    /// The link has changed.
    pub(in super::super) const PHY: u32 = 1 << 18;
    /// The receiver, or the transmitter, has come to its stop.
    pub(in super::super) const RX_STOPPED: u32 = 1 << 24;
    pub(in super::super) const TX_STOPPED: u32 = 1 << 25;
}

/// Of `fifo_levels`: [`interrupt::TX_ROOM`] comes when more than 24 blocks of 64 bytes are free, which is a frame and its
/// commands; [`interrupt::RX_FRAME`] with the first frame.
pub(super) const FIFO_LEVELS: u32 = 24 << 24;

/// Of `rx_configuration`: the FIFOs are emptied.
pub(super) const RX_DUMP: u32 = 1 << 15;

/// Bytes before each frame that is read: they align its IP header.
pub(super) const RX_OFFSET: usize = 2;
/// The same, of `rx_configuration`.
pub(super) const RX_OFFSET_BITS: u32 = 2 << 8;

/// Of `tx_configuration`: the transmitter is on; it is to stop; its FIFOs are emptied.
pub(super) const TX_ON: u32 = 1 << 1;
pub(super) const TX_STOP: u32 = 1;
pub(super) const TX_DUMP: u32 = 1 << 14 | 1 << 15;

/// Of `hardware_configuration`: reset; a frame is sent when all of it is in the FIFO; 5 K of the 16 K of memory are for sending,
/// and 10,560 bytes and 176 frames for receiving.
pub(super) const SOFT_RESET: u32 = 1;
pub(super) const STORE_AND_FORWARD: u32 = 1 << 20;
pub(super) const TX_FIFO_5K: u32 = 5 << 16;

/// Of `power`: the chip is ready; the PHY is in reset.
pub(super) const READY: u32 = 1;
pub(super) const PHY_RESET: u32 = 1 << 10;

/// Of `mac_command`.
pub(super) const MAC_BUSY: u32 = 1 << 31;
pub(super) const MAC_READ: u32 = 1 << 30;

/// The registers of the MAC.
#[derive(Clone, Copy)]
#[repr(u32)]
pub(super) enum MacRegister {
    Control = 1,
    AddressHigh = 2,
    AddressLow = 3,
    MiiAccess = 6,
    MiiData = 7,
}

/// Of [`MacRegister::Control`]: receiver and transmitter on, all multicast frames (IPv6 needs them), full duplex.
pub(super) const MAC_RX_ON: u32 = 1 << 2;
pub(super) const MAC_TX_ON: u32 = 1 << 3;
pub(super) const MAC_ALL_MULTICAST: u32 = 1 << 19;
pub(super) const MAC_FULL_DUPLEX: u32 = 1 << 20;

/// Of [`MacRegister::MiiAccess`].
pub(super) const MII_BUSY: u32 = 1;
pub(super) const MII_WRITE: u32 = 1 << 1;
/// The chip's own PHY.
pub(super) const MII_ADDRESS: u32 = 1 << 11;

/// The registers of the PHY.
#[derive(Clone, Copy)]
#[repr(u32)]
pub(super) enum PhyRegister {
    Control = 0,
    Status = 1,
    Advertised = 4,
    Partner = 5,
    InterruptSource = 29,
    InterruptMask = 30,
}

/// Of [`PhyRegister::Control`]: negotiate, and begin now.
pub(super) const PHY_NEGOTIATE: u16 = 1 << 12 | 1 << 9;
/// Of [`PhyRegister::Status`].
pub(super) const PHY_LINK_UP: u16 = 1 << 2;
/// Of the interrupts: negotiation is done, the link went down.
pub(super) const PHY_LINK_CHANGES: u16 = 1 << 6 | 1 << 4;
/// Of [`PhyRegister::Advertised`] and [`PhyRegister::Partner`].
pub(super) const PHY_100_FULL: u16 = 1 << 8;
pub(super) const PHY_100_HALF: u16 = 1 << 7;
pub(super) const PHY_10_FULL: u16 = 1 << 6;

/// How many frames wait to be read.
pub(super) const fn rx_frames_waiting(rx_fifo: u32) -> u32 {
    rx_fifo >> 16 & 0xff
}

/// How many bytes there is room for, and how many frames' statuses wait to be read.
pub(super) const fn tx_room(tx_fifo: u32) -> usize {
    (tx_fifo & 0xffff) as usize
}
pub(super) const fn tx_statuses_waiting(tx_fifo: u32) -> u32 {
    tx_fifo >> 16 & 0xff
}

/// Of a word of `tx_status`: the frame was not sent.
pub(super) const TX_FAILED: u32 = 1 << 15;

/// The status of a received frame.
#[derive(Clone, Copy)]
pub(super) struct RxStatus(pub(super) u32);

impl RxStatus {
    /// How long it is, with its check sequence.
    pub(super) const fn length(self) -> usize {
        (self.0 >> 16 & 0x3fff) as usize
    }

    /// It is damaged, or of a length that no frame has.
    pub(super) const fn is_damaged(self) -> bool {
        self.0 & 1 << 15 != 0
    }
}

/// The two commands in front of a frame of `length` bytes: it is first and last of its buffers, begins with the next word,
/// and the MAC adds padding and check sequence.
pub(super) const fn tx_commands(length: usize) -> [u32; 2] {
    const FIRST_AND_LAST: u32 = 1 << 13 | 1 << 12;
    const LENGTH: usize = 0x7ff;
    #[expect(clippy::cast_possible_truncation, reason = "eleven bits")]
    let length = (length & LENGTH) as u32;
    [FIRST_AND_LAST | length, length]
}
