//! What is wrong with a command line, in one line.

use std::{ffi::OsString, io::Write, process::ExitCode};

use clap::{Parser, error::ErrorKind};

/// Reads the command line.
///
/// # Errors
/// How the program ends at once: with status 0 if it was asked for help, with 2 if something is wrong, which it then says.
pub fn parse<P: Parser>(arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> Result<P, ExitCode> {
    P::try_parse_from(arguments).map_err(|error| match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            // A reader that is gone has seen enough.
            let _ = error.print();
            ExitCode::SUCCESS
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = error.print();
            ExitCode::from(2)
        }
        _ => {
            let _ = writeln!(std::io::stderr(), "{}: {}", P::command().get_name(), one_line(&error.to_string()));
            ExitCode::from(2)
        }
    })
}

/// The parts of clap's message that say what is wrong and what may be meant, one behind the other.
fn one_line(message: &str) -> String {
    let parts = message.lines().map(str::trim).filter(|line| !line.is_empty());
    let parts = parts.take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more information"));
    let mut text = String::new();
    for part in parts {
        let part = part.strip_prefix("error: ").unwrap_or(part);
        let separator = match text.chars().last() {
            None => "",
            Some(':') => " ",
            Some(_) => "; ",
        };
        text.push_str(separator);
        text.push_str(part);
    }
    text.push_str("; --help says more");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_becomes_one_line() {
        let message = "error: unexpected argument '--lisen' found\n\n  tip: a similar argument exists: '--listen'\n\nUsage: greet \
                       serve\n\nFor more information, try '--help'.\n";
        assert_eq!(
            one_line(message),
            "unexpected argument '--lisen' found; tip: a similar argument exists: '--listen'; --help says more"
        );
        let message =
            "error: the following required arguments were not provided:\n  <HOST[:PORT]>\n\nUsage: greet chat\n";
        assert_eq!(
            one_line(message),
            "the following required arguments were not provided: <HOST[:PORT]>; --help says more"
        );
    }
}
