//! Reads a command line, and says in one line what is wrong with it.

use core::error::Error as _;
use std::{ffi::OsString, io::Write, process::ExitCode};

use clap::{
    Parser,
    error::{ContextKind, ContextValue, Error, ErrorKind},
};

use greet_core::Escaped;

use crate::exit::USAGE;

/// Reads the command line.
///
/// # Errors
/// The exit status: 0 after `--help` or `--version`, 2 after an error. Both are printed.
pub fn parse<P: Parser>(arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> Result<P, ExitCode> {
    P::try_parse_from(arguments).map_err(|error| match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let _ = error.print(); // the reader may have closed the pipe
            ExitCode::SUCCESS
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = error.print();
            USAGE.into()
        }
        _ => {
            let line = one_line(&error);
            let line = Escaped(line.as_bytes()); // a value may have line breaks
            let _ = writeln!(std::io::stderr(), "{}: {line}; --help says more", P::command().get_name());
            USAGE.into()
        }
    })
}

/// What is wrong, and what may have been meant.
fn one_line(error: &Error) -> String {
    let context = |kind| error.get(kind).map(text).filter(|text| !text.is_empty());
    let argument = context(ContextKind::InvalidArg).unwrap_or_default();
    let value = context(ContextKind::InvalidValue);
    let mut line = match (error.kind(), value) {
        (ErrorKind::InvalidValue | ErrorKind::ValueValidation, Some(value)) => {
            format!("invalid value '{value}' for '{argument}'")
        }
        (ErrorKind::InvalidValue, None) => format!("a value is required for '{argument}' but none was supplied"),
        (ErrorKind::ValueValidation, None) => format!("invalid value '' for '{argument}'"),
        (ErrorKind::UnknownArgument, _) => format!("unexpected argument '{argument}' found"),
        (ErrorKind::MissingRequiredArgument, _) => format!("missing: {argument}"),
        (ErrorKind::ArgumentConflict, _) => match context(ContextKind::PriorArg) {
            Some(prior) if prior != argument => format!("the argument '{argument}' cannot be used with '{prior}'"),
            _ => format!("the argument '{argument}' cannot be used multiple times"),
        },
        (ErrorKind::InvalidSubcommand, _) => {
            format!("unrecognized subcommand '{}'", context(ContextKind::InvalidSubcommand).unwrap_or_default())
        }
        (kind, _) => kind.as_str().unwrap_or("the command line is wrong").to_owned(),
    };
    if let Some(reason) = error.source() {
        line.push_str(&format!(": {reason}"));
    }
    if let Some(values) = context(ContextKind::ValidValue) {
        line.push_str(&format!("; possible values: {values}"));
    }
    for (kind, what) in [
        (ContextKind::SuggestedArg, "argument"),
        (ContextKind::SuggestedSubcommand, "subcommand"),
        (ContextKind::SuggestedValue, "value"),
    ] {
        if let Some(suggestion) = context(kind) {
            line.push_str(&format!("; a similar {what} exists: '{suggestion}'"));
        }
    }
    line
}

fn text(value: &ContextValue) -> String {
    match value {
        ContextValue::Strings(all) => all.join(", "),
        ContextValue::None => String::new(),
        value => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Parser)]
    #[command(name = "program", subcommand_required = true)]
    enum Program {
        Serve {
            #[arg(long)]
            listen: u16,
            #[arg(long, conflicts_with = "listen")]
            quiet: bool,
            #[arg(long, value_parser = ["threads", "tokio"])]
            runtime: Option<String>,
        },
    }

    #[test]
    fn a_usage_error_is_one_line_with_the_reason_and_a_suggestion() {
        for (arguments, line) in [
            (
                &["serve", "--lisen", "1"][..],
                "unexpected argument '--lisen' found; a similar argument exists: '--listen'",
            ),
            (&["serve"], "missing: --listen <LISTEN>"),
            (&["serve", "--listen", "a"], "invalid value 'a' for '--listen <LISTEN>': invalid digit found in string"),
            (&["serve", "--listen"], "a value is required for '--listen <LISTEN>' but none was supplied"),
            (&["serve", "--quiet", "--listen", "1"], "the argument '--quiet' cannot be used with '--listen <LISTEN>'"),
            (
                &["serve", "--listen", "1", "--listen", "2"],
                "the argument '--listen <LISTEN>' cannot be used multiple times",
            ),
            (
                &["serve", "--listen", "1", "--runtime", "thread"],
                "invalid value 'thread' for '--runtime <RUNTIME>'; possible values: threads, tokio; a similar value \
                 exists: 'threads'",
            ),
            (&["sreve"], "unrecognized subcommand 'sreve'; a similar subcommand exists: 'serve'"),
        ] {
            let error = Program::try_parse_from([&["program"], arguments].concat()).unwrap_err();
            assert_eq!(one_line(&error), line);
        }
    }
}
