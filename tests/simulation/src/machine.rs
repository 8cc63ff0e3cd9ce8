//! A frontend without a transport: the state machine of `greet-core`, driven by a plain loop over `Pump`.

use std::io;

use greet_core::{
    Echo, EchoSettings, Framing, Instant, Machine, Server, ServerSettings, State,
    drive::{Pump, Step},
};

use crate::frontend::{Connection, Frontend};

/// The machine with capacity `N`, and the size of the output buffer to drive it with.
#[derive(Clone, Copy, Debug)]
pub struct BareServer<const N: usize> {
    /// Size in bytes of the buffer for each `transmit`, at least 1.
    pub output_size: usize,
}

impl<const N: usize> Frontend for BareServer<N> {
    type Connection = BareConversation<Server<N>>;

    fn capacity(&self) -> usize {
        N
    }

    fn can(&self, _framing: Framing) -> bool {
        true
    }

    fn connect(&mut self, framing: Framing) -> io::Result<Self::Connection> {
        let settings = ServerSettings { framing, ..ServerSettings::DEFAULT };
        BareConversation::new(Server::new(settings, Instant::ZERO), self.output_size)
    }
}

/// The machine of an echo server with capacity `N`, and the size of the output buffer to drive it with.
#[derive(Clone, Copy, Debug)]
pub struct BareEcho<const N: usize> {
    /// Size in bytes of the buffer for each `transmit`, at least 1.
    pub output_size: usize,
}

impl<const N: usize> Frontend for BareEcho<N> {
    type Connection = BareConversation<Echo<N>>;

    fn capacity(&self) -> usize {
        N
    }

    fn can(&self, _framing: Framing) -> bool {
        true
    }

    fn connect(&mut self, _framing: Framing) -> io::Result<Self::Connection> {
        BareConversation::new(Echo::new(EchoSettings::DEFAULT, Instant::ZERO), self.output_size)
    }
}

/// One conversation with a server. Its clock does not advance.
#[derive(Clone, Debug)]
pub struct BareConversation<M> {
    server: M,
    pump: Pump,
    /// What the server has sent and the client has not received yet.
    output: Vec<u8>,
    buffer: Vec<u8>,
    /// The server has sent its FIN.
    fin: bool,
}

impl<M: Machine> BareConversation<M> {
    /// Runs a server that was created at the first instant until it waits for its client.
    ///
    /// # Errors
    /// If the machine violates its contract.
    pub fn new(server: M, output_size: usize) -> io::Result<Self> {
        let pump = Pump::new();
        let mut conversation = Self { server, pump, output: Vec::new(), buffer: vec![0; output_size], fin: false };
        conversation.run(b"")?;
        Ok(conversation)
    }

    /// Offers the server one read, and runs until it waits for another.
    fn run(&mut self, read: &[u8]) -> io::Result<()> {
        let mut rest = read;
        loop {
            let filled = self.pump.fill(&mut self.server, Instant::ZERO, &mut self.buffer);
            if filled > 0 {
                if self.fin {
                    return Err(io::Error::other("the machine sends bytes after its FIN"));
                }
                let written = self.buffer.get(..filled);
                let written = written.ok_or_else(|| io::Error::other("the machine writes more than fits"))?;
                self.output.extend_from_slice(written);
                continue;
            }
            match self.pump.next_step(&self.server) {
                Step::Read if rest.is_empty() => return Ok(()),
                Step::Read | Step::Offer => {
                    let taken = self.pump.offer(&mut self.server, Instant::ZERO, rest).taken;
                    rest = rest.get(taken..).ok_or_else(|| io::Error::other("the machine takes more than there is"))?;
                }
                Step::Shutdown => {
                    self.fin = true;
                    self.pump.shut_down(&mut self.server, Instant::ZERO);
                }
                Step::Sleep if !rest.is_empty() => {
                    return Err(io::Error::other("the machine neither takes input nor gives output"));
                }
                Step::Sleep | Step::Over => return Ok(()),
            }
        }
    }
}

impl<M: Machine> Connection for BareConversation<M> {
    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.run(bytes)
    }

    fn settle(&mut self) {}

    fn receive(&mut self, count: usize, received: &mut Vec<u8>) -> io::Result<()> {
        let available = count.min(self.output.len());
        received.extend(self.output.drain(..available));
        if available < count && !self.fin { Err(io::ErrorKind::TimedOut.into()) } else { Ok(()) }
    }

    fn half_close(&mut self) -> io::Result<()> {
        let _ = self.pump.offer(&mut self.server, Instant::ZERO, b"");
        self.run(b"")
    }

    fn check_closed(&mut self) -> io::Result<()> {
        match self.server.state() {
            State::Over => Ok(()),
            state => Err(io::Error::other(format!("the machine is {state:?}, not over, after both FINs"))),
        }
    }
}
