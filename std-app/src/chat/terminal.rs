//! Names typed at a prompt.

use std::{
    collections::VecDeque,
    io::{self, Write},
    net::TcpStream,
};

use greet_core::ClientSettings;
use greet_host::{
    chat::{Input, NameSource},
    client::{ChatError, check},
};
use rustyline::{
    Cmd, ConditionalEventHandler, Config, DefaultEditor, Event, EventContext, EventHandler, ExternalPrinter, KeyEvent,
    Movement, RepeatCount, error::ReadlineError,
};

use super::{pipe::ends, prompt::Prompt};

const PROMPT: &str = "> ";

/// A prompt with line editing and history. Ctrl-D ends the conversation, with a greeting server `exit` too. Ctrl-C clears the line; on an empty line
/// it closes the connection.
pub(super) struct Terminal<'a> {
    editor: DefaultEditor,
    /// Lines that were pasted together, and not sent yet.
    pasted: VecDeque<String>,
    prompt: Prompt<'a>,
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
        let prompt = Prompt::new(server).map_err(ChatError::Terminal)?;
        Ok(Self { editor, pasted: VecDeque::new(), prompt, _printer })
    }

    /// Reads a line, or notices that the server has sent something.
    fn read(&mut self) -> Result<Line, ChatError> {
        let (line, is_news) = self.prompt.run(|| self.editor.readline(PROMPT)).map_err(ChatError::Terminal)?;
        match line {
            Ok(line) => Ok(Line::Typed(line)),
            Err(ReadlineError::Eof) => Ok(Line::End),
            Err(ReadlineError::Interrupted) if is_news => Ok(Line::News),
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
