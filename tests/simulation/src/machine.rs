//! A frontend without any wire: the bare machine of `greet-core`, driven by the plainest of loops.

use std::io;

use greet_core::{Framing, Instant, Machine, Server, ServerSettings, State};

use crate::frontend::{Frontend, Wire};

/// The machine with capacity `N`, driven with an output buffer of a certain size.
#[derive(Clone, Copy, Debug)]
pub struct BareServer<const N: usize> {
    /// The size of the buffer that each `transmit` is offered: at least one byte.
    pub output_size: usize,
}

impl<const N: usize> Frontend for BareServer<N> {
    type Wire = BareConversation<N>;

    fn capacity(&self) -> usize {
        N
    }

    fn can(&self, _framing: Framing) -> bool {
        true
    }

    fn connect(&mut self, framing: Framing) -> io::Result<BareConversation<N>> {
        BareConversation::new(ServerSettings { framing, ..ServerSettings::DEFAULT }, self.output_size)
    }
}

/// One conversation with a machine, at an instant when time stands still.
#[derive(Clone, Debug)]
pub struct BareConversation<const N: usize> {
    server: Server<N>,
    /// What the machine has given and nobody has received yet.
    output: Vec<u8>,
    buffer: Vec<u8>,
    /// The machine has nothing more to say: its driver's FIN.
    fin: bool,
}

impl<const N: usize> BareConversation<N> {
    /// A conversation that begins with what the machine says first.
    ///
    /// # Errors
    /// Where the machine breaks its contract.
    pub fn new(settings: ServerSettings, output_size: usize) -> io::Result<Self> {
        let server = Server::new(settings, Instant::ZERO);
        let mut wire = Self { server, output: Vec::new(), buffer: vec![0; output_size], fin: false };
        wire.transmit()?;
        Ok(wire)
    }

    /// Takes all that the machine owes; whether that is anything.
    fn transmit(&mut self) -> io::Result<bool> {
        let before = self.output.len();
        loop {
            let given = self.server.transmit(Instant::ZERO, &mut self.buffer);
            if given == 0 {
                break;
            }
            if self.fin {
                return Err(io::Error::other("the machine gives bytes after its end"));
            }
            let given = self.buffer.get(..given).ok_or_else(|| io::Error::other("the machine gives more than fits"))?;
            self.output.extend_from_slice(given);
        }
        self.fin = self.server.state() != State::Open;
        self.server.delivered(Instant::ZERO);
        Ok(self.output.len() > before)
    }
}

impl<const N: usize> Wire for BareConversation<N> {
    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() && self.server.state() != State::Over {
            let taken = self.server.receive(Instant::ZERO, rest).taken;
            rest = rest.get(taken..).ok_or_else(|| io::Error::other("the machine takes more than there is"))?;
            if !self.transmit()? && taken == 0 {
                return Err(io::Error::other("the machine neither takes nor gives"));
            }
        }
        Ok(())
    }

    fn settle(&mut self) {}

    fn receive(&mut self, count: usize, received: &mut Vec<u8>) -> io::Result<()> {
        let there = count.min(self.output.len());
        received.extend(self.output.drain(..there));
        if there < count && !self.fin { Err(io::ErrorKind::TimedOut.into()) } else { Ok(()) }
    }

    fn half_close(&mut self) -> io::Result<()> {
        self.server.receive_end(Instant::ZERO);
        self.transmit().map(drop)
    }

    fn leave(&mut self) -> io::Result<()> {
        match self.server.state() {
            State::Over => Ok(()),
            state => Err(io::Error::other(format!("the machine is {state:?}, not over, after both ends"))),
        }
    }
}
