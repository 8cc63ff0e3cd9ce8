//! `greet chat`: one conversation, with names from the command line, a pipe or a terminal.

mod pipe;
mod prompt;
mod terminal;

use core::time::Duration;
use std::{
    io::{self, ErrorKind, IsTerminal},
    net::TcpStream,
    process::ExitCode,
};

use greet_core::{
    Instant,
    drive::{Turn, blocking::Driver},
};
use greet_host::{
    chat::{Chat, CommandLine, NameSource, Step},
    client::ChatError,
    clock::{self, LastWait},
    connect::connect,
};

use self::{pipe::Pipe, terminal::Terminal};
use crate::{
    options::ChatOptions,
    socket::{self, Readiness},
    transport::TcpTransport,
};

/// Size of the output buffer: under `chunk` a name has to leave in one write.
const OUTPUT_CAPACITY: usize = 4096;

/// Holds the conversation that `options` ask for.
pub(crate) fn run(options: &ChatOptions) -> Result<ExitCode, ChatError> {
    let names = CommandLine::new(&options.names, options.chat.settings())?;
    let (stream, peer) = connect(&options.server.host, options.ip, options.chat.timeout.timeout)?;
    if !options.names.is_empty() {
        converse(&stream, Chat::new(&options.chat, peer, names))
    } else if io::stdin().is_terminal() && io::stdout().is_terminal() {
        converse(&stream, Chat::new(&options.chat, peer, Terminal::new(&stream)?))
    } else {
        converse(&stream, Chat::new(&options.chat, peer, Pipe::new(io::stdin().lock())))
    }
}

fn converse(stream: &TcpStream, mut chat: Chat<impl NameSource>) -> Result<ExitCode, ChatError> {
    let mut client = chat.client(clock::now());
    let time = LastWait::new();
    let mut transport = TcpTransport::new(stream, &time);
    let mut output = [0; OUTPUT_CAPACITY];
    // Between two waits the user may take long to type a name.
    let clock = || {
        time.over();
        time.time()
    };
    let mut driver = Driver::new(&mut client, &mut transport, &clock as &dyn Fn() -> Instant, output.as_mut_slice());
    loop {
        let holds_input = driver.holds_input();
        match chat.proceed(driver.machine(), clock::now, || Ok(holds_input || has_news(stream)?))? {
            Step::Drive => {}
            Step::Again => continue,
            Step::Abort => return Ok(ExitCode::SUCCESS),
        }
        match driver.turn() {
            Ok(Turn::Event(event)) => chat.event(&event)?,
            Ok(Turn::Quiet) => {}
            Ok(Turn::Over) => return chat.end(driver.machine().outcome()),
            Err(error) if error.kind() == ErrorKind::Interrupted => {} // a signal arrived; the turn is repeated
            Err(error) => return Err(chat.lost(driver.machine().waiting_for(), error)),
        }
    }
}

/// Whether the server has sent something, or ended its side, that is not received yet.
fn has_news(stream: &TcpStream) -> io::Result<bool> {
    match socket::wait(stream, Readiness::Read, Duration::ZERO) {
        Err(error) if error.kind() == ErrorKind::Interrupted => Ok(false),
        outcome => outcome,
    }
}
