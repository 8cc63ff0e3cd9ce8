//! `greet chat`: one conversation, with names from the command line, a pipe or a terminal.

mod conversation;
mod names;

use std::{
    io::{self, IsTerminal},
    os::unix::ffi::OsStrExt,
    process::ExitCode,
};

use greet_core::{Client, ClientSettings, Instant, drive::blocking::Driver};
use greet_host::{
    client::{CAPACITY, ChatError, check},
    clock::{self, LastWait},
};

use self::conversation::Conversation;
use crate::{options::ChatOptions, transport::TcpTransport};
use greet_host::connect::connect;

/// Room for what one write sends: under `chunk` a whole name, as it must go out in one.
const OUTPUT_CAPACITY: usize = 4096;

/// Holds the conversation that `options` ask for.
pub(crate) fn run(options: &ChatOptions) -> Result<ExitCode, ChatError> {
    // All of them before anything is sent: half a conversation helps nobody.
    for (position, name) in options.names.iter().enumerate() {
        check(options.framing, name.as_bytes(), position == 0)
            .map_err(|reason| ChatError::name(name.as_bytes(), reason))?;
    }
    let (stream, peer) = connect(&options.server.host, options.ip, options.timeout.timeout)?;
    let settings = ClientSettings { framing: options.framing, timeout: options.timeout.timeout.0 };
    let mut client: Client<CAPACITY> = Client::new(settings, clock::now());
    let time = LastWait::new();
    let mut transport = TcpTransport::new(&stream, &time);
    let mut output = [0; OUTPUT_CAPACITY];
    // Between two waits somebody may take long to think of a name.
    let clock = || {
        time.over();
        time.time()
    };
    let driver = Driver::new(&mut client, &mut transport, &clock as &dyn Fn() -> Instant, output.as_mut_slice());
    let mut conversation = Conversation::new(driver, &stream, peer, settings);
    conversation.await_greeting()?;
    if !options.names.is_empty() {
        for name in &options.names {
            conversation.say(name.as_bytes())?;
        }
        conversation.end()?;
    } else if io::stdin().is_terminal() && io::stdout().is_terminal() {
        names::from_terminal(&mut conversation)?;
    } else {
        names::from_pipe(&mut conversation, io::stdin().lock())?;
    }
    Ok(ExitCode::SUCCESS)
}
