//! Where names come from when the command line has none: a pipe or a terminal.

use std::io::{self, BufRead, Read, Write};

use greet_core::Client;
use greet_host::client::{CAPACITY, ChatError, check};
use rustyline::{DefaultEditor, error::ReadlineError};

use super::conversation::Conversation;

/// What ends a conversation where it stands on a line of its own, here as in the protocol.
const EXIT: &[u8] = b"exit";

const PROMPT: &str = "> ";

/// The longest line that is read: the longest name, CR and LF, and one byte more to tell that it is too long.
const LINE_LIMIT: u64 = (Client::<CAPACITY>::LONGEST_NAME + 3) as u64;

/// Says one name a line, until the input ends or says `exit`; each is answered before the next is read.
pub(super) fn from_pipe(conversation: &mut Conversation<'_>, mut input: impl BufRead) -> Result<(), ChatError> {
    let mut line = Vec::new();
    for number in 1_u64.. {
        line.clear();
        input.by_ref().take(LINE_LIMIT).read_until(b'\n', &mut line).map_err(ChatError::Input)?;
        let name = name_of(&line);
        if line.is_empty() || name == EXIT {
            break;
        }
        check(conversation.framing(), name, true).map_err(|reason| ChatError::Line { number, reason })?;
        conversation.say(name)?;
    }
    conversation.end()
}

/// A line without its end (rule F2).
fn name_of(line: &[u8]) -> &[u8] {
    match line.strip_suffix(b"\n") {
        Some(name) => name.strip_suffix(b"\r").unwrap_or(name),
        None => line,
    }
}

/// Lets names be typed and edited, until Ctrl-D or `exit`. Ctrl-C ends without a word to the server.
pub(super) fn from_terminal(conversation: &mut Conversation<'_>) -> Result<(), ChatError> {
    let mut editor = DefaultEditor::new().map_err(terminal)?;
    loop {
        let line = match editor.readline(PROMPT) {
            Ok(line) => line,
            Err(ReadlineError::Eof) => break,
            Err(ReadlineError::Interrupted) => return Ok(()),
            Err(error) => return Err(terminal(error)),
        };
        if line.as_bytes() == EXIT {
            break;
        }
        if let Err(reason) = check(conversation.framing(), line.as_bytes(), true) {
            let refused = ChatError::name(line.as_bytes(), reason);
            writeln!(io::stderr(), "greet: {refused}").map_err(ChatError::Output)?;
            continue;
        }
        editor.add_history_entry(line.as_str()).map_err(terminal)?;
        conversation.say(line.as_bytes())?;
    }
    conversation.end()
}

fn terminal(error: ReadlineError) -> ChatError {
    ChatError::Terminal(match error {
        ReadlineError::Io(error) => error,
        error => io::Error::other(error),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_loses_its_end_and_nothing_else() {
        for (line, name) in [
            (&b"haha\n"[..], &b"haha"[..]),
            (b"haha\r\n", b"haha"),
            (b"haha\r\r\n", b"haha\r"),
            (b"haha", b"haha"),
            (b"haha\r", b"haha\r"),
            (b"\n", b""),
            (b"\r\n", b""),
        ] {
            assert_eq!(name_of(line), name);
        }
    }
}
