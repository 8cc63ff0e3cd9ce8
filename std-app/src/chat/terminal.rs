//! Names typed at a prompt.

use core::sync::atomic::{AtomicBool, Ordering};
use std::{
    collections::VecDeque,
    io::{self, Write},
    net::TcpStream,
    os::{fd::AsFd, unix::net::UnixStream},
    sync::Arc,
    thread,
};

use greet_core::ClientSettings;
use greet_host::{
    chat::{Input, NameSource},
    client::{ChatError, check},
};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustyline::{
    Cmd, ConditionalEventHandler, Config, DefaultEditor, Event, EventContext, EventHandler, ExternalPrinter, KeyEvent,
    Movement, RepeatCount, error::ReadlineError,
};
use signal_hook::{consts::SIGINT, flag, low_level};

use super::pipe::ends;

const PROMPT: &str = "> ";

/// A prompt with line editing and history. Ctrl-D ends the conversation, with a greeting server `exit` too. Ctrl-C clears the line; on an empty line
/// it closes the connection.
pub(super) struct Terminal<'a> {
    editor: DefaultEditor,
    /// Lines that were pasted together, and not sent yet.
    pasted: VecDeque<String>,
    server: &'a TcpStream,
    /// Whether SIGINT ends the program, as it does except at the prompt.
    sigint_ends: Arc<AtomicBool>,
    /// While there is one, the editor waits for signals as well as for keys.
    _printer: Option<Box<dyn ExternalPrinter>>,
}

impl<'a> Terminal<'a> {
    pub(super) fn new(server: &'a TcpStream) -> Result<Self, ChatError> {
        let config = Config::builder().auto_add_history(false).build();
        let mut editor = DefaultEditor::with_config(config).map_err(failed)?;
        editor.bind_sequence(KeyEvent::ctrl('C'), EventHandler::Conditional(Box::new(ClearLine)));
        let printer = editor.create_external_printer().ok();
        let _printer = printer.map(|printer| Box::new(printer) as Box<dyn ExternalPrinter>);
        let sigint_ends = Arc::new(AtomicBool::new(true));
        flag::register_conditional_default(SIGINT, Arc::clone(&sigint_ends)).map_err(ChatError::Terminal)?;
        Ok(Self { editor, pasted: VecDeque::new(), server, sigint_ends, _printer })
    }

    /// Reads a line, or notices that the server has sent something.
    fn read(&mut self) -> Result<Line, ChatError> {
        let (done, prompting) = UnixStream::pair().map_err(ChatError::Terminal)?;
        let noticed = AtomicBool::new(false);
        self.sigint_ends.store(false, Ordering::SeqCst);
        let line = thread::scope(|scope| {
            scope.spawn(|| {
                let mut sources =
                    [self.server.as_fd(), done.as_fd()].map(|source| PollFd::new(source, PollFlags::POLLIN));
                while poll(&mut sources, PollTimeout::NONE).is_err() {} // interrupted by a signal
                if sources[0].any() == Some(true) && sources[1].any() != Some(true) {
                    noticed.store(true, Ordering::SeqCst);
                    // The editor returns on this signal, with the terminal as it was before.
                    let _ = low_level::raise(SIGINT);
                }
            });
            let line = self.editor.readline(PROMPT);
            drop(prompting);
            line
        });
        self.sigint_ends.store(true, Ordering::SeqCst);
        match line {
            Ok(line) => Ok(Line::Typed(line)),
            Err(ReadlineError::Eof) => Ok(Line::End),
            Err(ReadlineError::Interrupted) if noticed.load(Ordering::SeqCst) => Ok(Line::News),
            Err(ReadlineError::Interrupted) => Ok(Line::Interrupted),
            Err(error) => Err(failed(error)),
        }
    }
}

/// What came of a prompt.
enum Line {
    Typed(String),
    End,
    Interrupted,
    News,
}

impl NameSource for Terminal<'_> {
    fn next(&mut self, settings: ClientSettings) -> Result<Input, ChatError> {
        loop {
            let line = match self.pasted.pop_front() {
                Some(line) => line,
                None => match self.read()? {
                    Line::Typed(text) => {
                        let mut lines = text.split(['\r', '\n']).map(str::to_owned);
                        let first = lines.next().unwrap_or_default();
                        self.pasted = lines.collect();
                        // A paste that ends with a line feed has no line behind it.
                        if self.pasted.back().is_some_and(String::is_empty) {
                            self.pasted.pop_back();
                        }
                        first
                    }
                    Line::End => return Ok(Input::Exit),
                    Line::Interrupted => return Ok(Input::Abort),
                    Line::News => return Ok(Input::Nothing),
                },
            };
            if ends(settings.service, line.as_bytes()) {
                return Ok(Input::Exit);
            }
            if let Err(reason) = check(settings, line.as_bytes(), true) {
                let refused = ChatError::name(line.as_bytes(), reason);
                writeln!(io::stderr(), "greet: {refused}").map_err(ChatError::Output)?;
                continue;
            }
            self.editor.add_history_entry(line.as_str()).map_err(failed)?;
            return Ok(Input::Name(line.into_bytes()));
        }
    }
}

/// Ctrl-C: clears what was typed; on an empty line it is left to the editor.
struct ClearLine;

impl ConditionalEventHandler for ClearLine {
    fn handle(&self, _: &Event, _: RepeatCount, _: bool, context: &EventContext<'_>) -> Option<Cmd> {
        (!context.line().is_empty()).then_some(Cmd::Kill(Movement::WholeLine))
    }
}

fn failed(error: ReadlineError) -> ChatError {
    ChatError::Terminal(match error {
        ReadlineError::Io(error) => error,
        error => io::Error::other(error),
    })
}
