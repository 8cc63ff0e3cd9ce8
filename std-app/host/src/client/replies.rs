//! Prints the replies of a server.

use std::io::{self, Write};

use greet_core::{ClientEvent, Escaped, Service};

/// Prints replies to standard output.
#[derive(Debug)]
pub struct Replies {
    service: Service,
    /// Part of an error reply is printed, and its end has not arrived yet.
    inside_error: bool,
}

impl Replies {
    /// Creates a printer for the replies of such a server.
    #[must_use]
    pub const fn new(service: Service) -> Self {
        Self { service, inside_error: false }
    }

    /// Prints an event, each reply on its own line, and flushes. Control characters are escaped (rule K3).
    ///
    /// # Errors
    /// If standard output cannot be written.
    pub fn show(&mut self, event: &ClientEvent<'_>) -> io::Result<()> {
        let mut output = io::stdout().lock();
        match event {
            ClientEvent::Greeted => writeln!(output, "Welcome!")?,
            ClientEvent::Reply(name) => match self.service {
                Service::Greet => writeln!(output, "Hello, {}!", Escaped(name))?,
                Service::Echo => writeln!(output, "{}", Escaped(name))?,
            },
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

    /// Ends an unfinished line. Call it when no more replies follow.
    ///
    /// # Errors
    /// If standard output cannot be written.
    pub fn end(&self) -> io::Result<()> {
        if self.inside_error {
            writeln!(io::stdout().lock())?;
        }
        Ok(())
    }
}
