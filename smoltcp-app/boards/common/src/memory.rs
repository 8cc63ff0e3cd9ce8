//! Sockets, slots and buffers in static memory, which cost no flash.

#[cfg(feature = "echo")]
use greet_core::Echo;
use greet_core::Server;
use greet_smoltcp::pool::Slot;
#[cfg(feature = "reassembly")]
use greet_smoltcp::stack::Fragments;
use heapless::Vec;
use smoltcp::iface::SocketStorage;

/// How many of the clients are served by the echo server.
pub const ECHO_CLIENTS: usize = if cfg!(feature = "echo") { 2 } else { 0 };

/// All memory of the service: for `CLIENTS` concurrent clients, each with a name of up to `NAME` bytes and two buffers of `BUFFER`
/// bytes.
///
/// `BUFFER` is at least `NAME`, so that a name fits into one read. Use 1024 or more: a client's system may delay its
/// acknowledgement until more has arrived than fits into a small buffer (Linux: 536 bytes or 40 ms); lines in bulk were 180 times
/// as fast as with 512. A board has one:
///
/// ```
/// use greet_board::{ConstStaticCell, Memory};
///
/// static MEMORY: ConstStaticCell<Memory<256, 1024, 8>> = ConstStaticCell::new(Memory::new());
/// ```
#[derive(Debug)]
pub struct Memory<const NAME: usize, const BUFFER: usize, const CLIENTS: usize> {
    // Vectors, because an empty slot and an empty socket are not all zero: an array of them would lie in flash and be copied at
    // the start. A vector is filled when the program runs.
    pub(crate) sockets: Vec<SocketStorage<'static>, CLIENTS>,
    pub(crate) slots: Vec<Slot<Server<NAME>>, CLIENTS>,
    pub(crate) receive: [[u8; BUFFER]; CLIENTS],
    pub(crate) transmit: [[u8; BUFFER]; CLIENTS],
    pub(crate) read: [u8; BUFFER],
    #[cfg(feature = "reassembly")]
    pub(crate) fragments: Fragments,
    #[cfg(feature = "echo")]
    pub(crate) echo: EchoMemory<NAME>,
}

/// The memory of the echo server. It has its sockets and their buffers from those of all clients.
#[cfg(feature = "echo")]
#[derive(Debug)]
pub(crate) struct EchoMemory<const N: usize> {
    pub(crate) slots: Vec<Slot<Echo<N>>, ECHO_CLIENTS>,
    pub(crate) read: [u8; N],
}

impl<const NAME: usize, const BUFFER: usize, const CLIENTS: usize> Memory<NAME, BUFFER, CLIENTS> {
    const FITS: () = {
        assert!(BUFFER >= NAME, "the longest name has to fit into one read");
        assert!(CLIENTS > ECHO_CLIENTS, "the greeting service has clients too");
    };

    /// Empty memory: all bytes are zero.
    #[must_use]
    pub const fn new() -> Self {
        let () = Self::FITS;
        Self {
            sockets: Vec::new(),
            slots: Vec::new(),
            receive: [[0; BUFFER]; CLIENTS],
            transmit: [[0; BUFFER]; CLIENTS],
            read: [0; BUFFER],
            #[cfg(feature = "reassembly")]
            fragments: Fragments::new(),
            #[cfg(feature = "echo")]
            echo: EchoMemory { slots: Vec::new(), read: [0; NAME] },
        }
    }

    /// Makes the empty sockets and slots.
    pub(crate) fn fill(&mut self) {
        while self.sockets.push(SocketStorage::EMPTY).is_ok() {}
        while self.slots.push(Slot::new()).is_ok() {}
        #[cfg(feature = "echo")]
        while self.echo.slots.push(Slot::new()).is_ok() {}
    }
}

impl<const NAME: usize, const BUFFER: usize, const CLIENTS: usize> Default for Memory<NAME, BUFFER, CLIENTS> {
    fn default() -> Self {
        Self::new()
    }
}
