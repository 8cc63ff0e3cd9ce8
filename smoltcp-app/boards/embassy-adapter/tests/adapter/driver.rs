//! A mock driver: the test decides which frames it has and how much room for sending.

use core::task::{Context, Waker};
use std::collections::VecDeque;

use embassy_net_driver::{Capabilities, Driver, HardwareAddress, LinkState, RxToken, TxToken};

pub(crate) const ADDRESS: [u8; 6] = [0x02, 1, 2, 3, 4, 5];

pub(crate) struct Told {
    pub(crate) address: HardwareAddress,
    pub(crate) capabilities: Capabilities,
    /// Received frames that are not read yet.
    pub(crate) came: VecDeque<Vec<u8>>,
    pub(crate) sent: Vec<Vec<u8>>,
    /// The number of frames that can still be sent.
    pub(crate) room: usize,
    pub(crate) link: LinkState,
    /// The waker to wake.
    pub(crate) asked: Option<Waker>,
}

impl Default for Told {
    fn default() -> Self {
        let mut capabilities = Capabilities::default();
        capabilities.max_transmission_unit = 1514;
        Self {
            address: HardwareAddress::Ethernet(ADDRESS),
            capabilities,
            came: VecDeque::new(),
            sent: Vec::new(),
            room: 8,
            link: LinkState::Up,
            asked: None,
        }
    }
}

impl Told {
    pub(crate) fn come(&mut self, frame: Vec<u8>) {
        self.came.push_back(frame);
        self.wake();
    }

    pub(crate) fn make_room(&mut self) {
        self.room += 1;
        self.wake();
    }

    pub(crate) fn set_link(&mut self, link: LinkState) {
        self.link = link;
        self.wake();
    }

    /// Wakes the waker, once: a driver need not keep it longer.
    fn wake(&mut self) {
        if let Some(asked) = self.asked.take() {
            asked.wake();
        }
    }
}

impl Driver for Told {
    type RxToken<'a> = Came<'a>;
    type TxToken<'a> = Room<'a>;

    fn receive(&mut self, context: &mut Context<'_>) -> Option<(Came<'_>, Room<'_>)> {
        if self.came.is_empty() || self.room == 0 {
            self.asked = Some(context.waker().clone());
            return None;
        }
        Some((Came(&mut self.came), Room { sent: &mut self.sent, room: &mut self.room }))
    }

    fn transmit(&mut self, context: &mut Context<'_>) -> Option<Room<'_>> {
        if self.room == 0 {
            self.asked = Some(context.waker().clone());
            return None;
        }
        Some(Room { sent: &mut self.sent, room: &mut self.room })
    }

    fn link_state(&mut self, context: &mut Context<'_>) -> LinkState {
        self.asked = Some(context.waker().clone());
        self.link
    }

    fn capabilities(&self) -> Capabilities {
        self.capabilities.clone()
    }

    fn hardware_address(&self) -> HardwareAddress {
        self.address
    }
}

pub(crate) struct Came<'a>(&'a mut VecDeque<Vec<u8>>);

impl RxToken for Came<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, read: F) -> R {
        read(&mut self.0.pop_front().unwrap())
    }
}

pub(crate) struct Room<'a> {
    sent: &'a mut Vec<Vec<u8>>,
    room: &'a mut usize,
}

impl TxToken for Room<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, write: F) -> R {
        let mut frame = vec![0; length];
        let answer = write(&mut frame);
        *self.room -= 1;
        self.sent.push(frame);
        answer
    }
}
