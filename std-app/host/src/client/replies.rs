//! What comes from a server, as it is printed.

use std::io::{self, Write};

use greet_core::{ClientEvent, Escaped};

/// Prints what comes on standard output.
#[derive(Debug, Default)]
pub struct Replies {
    /// An error reply is shown as far as it has come, and the rest of its line is still to come.
    inside_error: bool,
}

impl Replies {
    /// Nothing is printed yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { inside_error: false }
    }

    /// Prints what came, each reply on a line of its own and at once (rule K3).
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn show(&mut self, event: &ClientEvent<'_>) -> io::Result<()> {
        let mut output = io::stdout().lock();
        match event {
            ClientEvent::Greeted => writeln!(output, "Welcome!")?,
            ClientEvent::Reply(name) => writeln!(output, "Hello, {}!", Escaped(name))?,
            ClientEvent::Error { text, complete } => {
                let begin = if self.inside_error { "" } else { "Error: " };
                write!(output, "{begin}{}", Escaped(text))?;
                if *complete {
                    writeln!(output)?;
                }
                self.inside_error = !complete;
            }
            ClientEvent::Mismatch(_) => {} // an error of this program, not a reply
        }
        output.flush()
    }

    /// Nothing more comes.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn end(&self) -> io::Result<()> {
        if self.inside_error {
            // Its line will not be ended any more: what comes next on a terminal begins on a new one.
            writeln!(io::stdout().lock())?;
        }
        Ok(())
    }
}
