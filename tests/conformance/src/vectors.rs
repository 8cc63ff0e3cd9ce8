//! Parses the table of cases, `vectors/*.toml`, and expands it for a server's capacity.
//!
//! `vectors/framing.toml` begins with a description of the format.

use std::{fs, io, path::Path};

use bstr::ByteVec;
use greet_core::{Framing, Service};
use serde::Deserialize;

/// The names and contents of the files of the table, in the order of the protocol's sections.
const FILES: [(&str, &str); 4] = [
    ("framing.toml", include_str!("../vectors/framing.toml")),
    ("replies.toml", include_str!("../vectors/replies.toml")),
    ("limits.toml", include_str!("../vectors/limits.toml")),
    ("closing.toml", include_str!("../vectors/closing.toml")),
];

/// The name and the content of the table of the echo service.
const ECHO: (&str, &str) = ("echo.toml", include_str!("../vectors/echo.toml"));

/// The cases of HTTP responses, for the HTTP client's machine. [`fill_in`] expands their texts.
pub const HTTP: &str = include_str!("../vectors/http.toml");

/// The smallest capacity with which every name in the table is valid.
pub const LEAST_CAPACITY: usize = 16;

/// One conversation of the table, with placeholders.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// The rules that it covers.
    pub rules: Vec<String>,
    /// What it tests, as a sentence.
    pub name: String,
    /// The framings that it applies to; none for the echo service.
    #[serde(rename = "framing", default)]
    framings: Vec<FramingName>,
    #[serde(default)]
    service: ServiceName,
    #[serde(default)]
    talk: Vec<Exchange>,
    /// Which side ends the conversation.
    pub end: End,
    #[serde(default)]
    farewell: String,
    #[serde(default)]
    late: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ServiceName {
    #[default]
    Greet,
    Echo,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum FramingName {
    Chunk,
    Line,
    Auto,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Exchange {
    #[serde(rename = "in")]
    input: String,
    #[serde(rename = "out")]
    output: String,
}

/// Which side ends a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum End {
    /// The server, because the client sends `exit`.
    Exit,
    /// The client, by a half-close.
    Client,
}

/// A case with its placeholders expanded for one capacity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// What the server does.
    pub service: Service,
    /// The steps of the conversation, in order.
    pub talk: Vec<Step>,
    /// Which side ends it.
    pub end: End,
    /// What the server sends after the client's half-close.
    pub farewell: Vec<u8>,
    /// What the client sends after the server's FIN.
    pub late: Vec<u8>,
}

/// One write of the client, and the server's output for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What the client sends.
    pub input: Vec<u8>,
    /// What the server sends.
    pub output: Vec<u8>,
}

/// An error in a table.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// The file cannot be read.
    #[error("{file}: {reason}")]
    Unreadable {
        /// The file's name.
        file: String,
        /// The error of the file system.
        reason: io::Error,
    },
    /// The file is not a valid table.
    #[error("{file}: {reason}")]
    Malformed {
        /// The file's name.
        file: String,
        /// The position and the reason.
        reason: Box<toml::de::Error>,
    },
    /// A case is invalid.
    #[error("{file}: case `{case}`: {what}")]
    Case {
        /// The file's name.
        file: String,
        /// The case's name.
        case: String,
        /// The reason.
        what: CaseError,
    },
}

/// An error in a case.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CaseError {
    /// `rules` is empty.
    #[error("it names no rule")]
    NoRule,
    /// `framing` is missing or empty, or it is there although the service is echo.
    #[error("a case names its framings, or `service = \"echo\"`")]
    NoFraming,
    /// `farewell` or `late` does not fit `end`.
    #[error("`farewell` is for `end = \"client\"`, `late` for `end = \"exit\"`")]
    WrongEnd,
    /// An unbalanced brace.
    #[error("unbalanced brace in `{0}`: write \\x7B or \\x7D")]
    LoneBrace(String),
    /// Braces that do not contain a placeholder.
    #[error("`{{{0}}}` is not a placeholder; examples are {{N}}, {{a*N}}, {{a*N+1}}, {{a*3}}")]
    Placeholder(String),
    /// A backslash that is not part of an escape.
    #[error("`{0}` has a backslash that is not part of \\n \\r \\t \\0 \\\\ \\xE9")]
    Escape(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    case: Vec<Case>,
}

/// The table of the greeting protocol, which is part of this crate.
///
/// # Errors
/// If the table is invalid.
pub fn protocol() -> Result<Vec<Case>, TableError> {
    let mut cases = Vec::new();
    for (name, text) in FILES {
        cases.append(&mut parse(name, text)?);
    }
    Ok(cases)
}

/// The table of the echo service, which is part of this crate.
///
/// # Errors
/// If the table is invalid.
pub fn echo() -> Result<Vec<Case>, TableError> {
    let (name, text) = ECHO;
    parse(name, text)
}

/// Reads the table in the file at `path`.
///
/// # Errors
/// If the file cannot be read, or is not a valid table.
pub fn read(path: &Path) -> Result<Vec<Case>, TableError> {
    let file = path.display().to_string();
    let text = fs::read_to_string(path).map_err(|reason| TableError::Unreadable { file: file.clone(), reason })?;
    parse(&file, &text)
}

/// Parses the cases in `text`. `file` is the name that errors mention.
///
/// # Errors
/// If a case is invalid.
pub fn parse(file: &str, text: &str) -> Result<Vec<Case>, TableError> {
    let parsed: File = toml::from_str(text)
        .map_err(|reason| TableError::Malformed { file: file.to_owned(), reason: Box::new(reason) })?;
    for case in &parsed.case {
        case.check().map_err(|what| TableError::Case { file: file.to_owned(), case: case.name.clone(), what })?;
    }
    Ok(parsed.case)
}

impl Case {
    /// The framings that it applies to. For the echo service this is `line`, because only the sequence of bytes matters there too
    /// (rules F4 and B2).
    pub fn framings(&self) -> impl Iterator<Item = Framing> {
        let echo = (self.service == ServiceName::Echo).then_some(Framing::Line);
        self.framings
            .iter()
            .map(|name| match name {
                FramingName::Chunk => Framing::Chunk,
                FramingName::Line => Framing::Line,
                FramingName::Auto => Framing::Auto,
            })
            .chain(echo)
    }

    /// Expands the case for a server with that capacity.
    ///
    /// # Errors
    /// If a text of the case is invalid, which [`parse`] has already checked.
    pub fn script(&self, capacity: usize) -> Result<Script, CaseError> {
        let step = |exchange: &Exchange| {
            Ok(Step { input: fill_in(&exchange.input, capacity)?, output: fill_in(&exchange.output, capacity)? })
        };
        Ok(Script {
            service: match self.service {
                ServiceName::Greet => Service::Greet,
                ServiceName::Echo => Service::Echo,
            },
            talk: self.talk.iter().map(step).collect::<Result<_, _>>()?,
            end: self.end,
            farewell: fill_in(&self.farewell, capacity)?,
            late: fill_in(&self.late, capacity)?,
        })
    }

    fn check(&self) -> Result<(), CaseError> {
        if self.rules.is_empty() {
            return Err(CaseError::NoRule);
        }
        if self.framings.is_empty() != (self.service == ServiceName::Echo) {
            return Err(CaseError::NoFraming);
        }
        let idle = match self.end {
            End::Exit => &self.farewell,
            End::Client => &self.late,
        };
        if !idle.is_empty() {
            return Err(CaseError::WrongEnd);
        }
        self.script(LEAST_CAPACITY).map(drop)
    }
}

/// Expands the placeholders and escapes in `text`, for a machine with that capacity.
///
/// # Errors
/// If a placeholder, brace or escape is invalid.
pub fn fill_in(text: &str, capacity: usize) -> Result<Vec<u8>, CaseError> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some((plain, after)) = rest.split_once('{') {
        let (placeholder, after) = after.split_once('}').ok_or_else(|| CaseError::LoneBrace(text.to_owned()))?;
        bytes.append(&mut unescape(plain)?);
        bytes.append(&mut expand(placeholder, capacity)?);
        rest = after;
    }
    bytes.append(&mut unescape(rest)?);
    Ok(bytes)
}

/// Expands the escapes in a text without placeholders.
fn unescape(text: &str) -> Result<Vec<u8>, CaseError> {
    if text.contains('}') {
        return Err(CaseError::LoneBrace(text.to_owned()));
    }
    // `unescape_bytes` accepts unknown escapes; in a table they are mistakes.
    let mut rest = text;
    while let Some((_, after)) = rest.split_once('\\') {
        let mut escape = after.chars();
        let digits = match escape.next() {
            Some('n' | 'r' | 't' | '0' | '\\') => 0,
            Some('x') => 2,
            _ => return Err(CaseError::Escape(text.to_owned())),
        };
        if escape.by_ref().take(digits).filter(char::is_ascii_hexdigit).count() < digits {
            return Err(CaseError::Escape(text.to_owned()));
        }
        rest = escape.as_str();
    }
    Ok(Vec::unescape_bytes(text))
}

/// Expands `{placeholder}`.
fn expand(placeholder: &str, capacity: usize) -> Result<Vec<u8>, CaseError> {
    let unknown = || CaseError::Placeholder(placeholder.to_owned());
    if placeholder == "N" {
        return Ok(capacity.to_string().into_bytes());
    }
    let (text, times) = placeholder.rsplit_once('*').ok_or_else(unknown)?;
    let operand = |text: &str| if text == "N" { Some(capacity) } else { text.parse().ok() };
    let times = if let Some((left, right)) = times.split_once('+') {
        operand(left).zip(operand(right)).and_then(|(left, right)| left.checked_add(right))
    } else if let Some((left, right)) = times.split_once('-') {
        operand(left).zip(operand(right)).and_then(|(left, right)| left.checked_sub(right))
    } else {
        operand(times)
    };
    Ok(unescape(text)?.repeat(times.ok_or_else(unknown)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_and_escapes_expand_to_bytes() {
        let cases: [(&str, &[u8]); 9] = [
            ("", b""),
            (r"ha\nha\r\t\0\\\xFF", b"ha\nha\r\t\0\\\xFF"),
            ("é", b"\xC3\xA9"),
            ("{N}", b"4"),
            ("{a*N}!", b"aaaa!"),
            (r"{a*N+1}\n{b*N-1}", b"aaaaa\nbbb"),
            (r"{\xFF*2}", b"\xFF\xFF"),
            ("{**3}", b"***"),
            (r"\x7BN\x7D", b"{N}"),
        ];
        for (text, bytes) in cases {
            assert_eq!(fill_in(text, 4).as_deref(), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn an_invalid_text_is_an_error() {
        for text in ["{", "}", "a}", "{a", "{a}", "{a*}", "{a*M}", "{a*N*}", "{a*N-9}", r"\q", r"\x1", r"\xG0", r"a\"] {
            assert!(fill_in(text, 4).is_err(), "{text}");
        }
    }

    #[test]
    fn an_error_states_the_file_the_case_and_the_reason() {
        let text = "[[case]]\nrules = ['R1']\nname = 'so'\nframing = ['line']\nend = 'exit'\nfarewell = 'x'";
        let error = parse("some.toml", text).map(drop).unwrap_err();
        assert_eq!(
            error.to_string(),
            "some.toml: case `so`: `farewell` is for `end = \"client\"`, `late` for `end = \"exit\"`"
        );
        let error = parse("some.toml", "[[case]]\nframings = []").map(drop).unwrap_err();
        assert!(error.to_string().starts_with("some.toml: "), "{error}");
        assert!(error.to_string().contains("framings"), "{error}");
    }

    #[test]
    fn the_table_covers_every_rule_that_bytes_can_test() {
        let cases = protocol().unwrap();
        for rule in ["G1", "F1", "F2", "F3", "F4", "R1", "R2", "R3", "R4", "L1", "L2", "L3", "U1", "U2", "E1", "C1"] {
            assert!(cases.iter().any(|case| case.rules.iter().any(|cited| cited == rule)), "{rule}");
        }
    }

    #[test]
    fn the_echo_table_names_its_rules_and_expects_the_bytes_it_sends() {
        let cases = echo().unwrap();
        for rule in ["B1", "B2", "B3", "B4"] {
            assert!(cases.iter().any(|case| case.rules.iter().any(|cited| cited == rule)), "{rule}");
        }
        for case in cases {
            let script = case.script(LEAST_CAPACITY).unwrap();
            let input: Vec<u8> = script.talk.iter().flat_map(|step| step.input.clone()).collect();
            let output = script.talk.iter().flat_map(|step| step.output.clone()).chain(script.farewell).collect();
            assert_eq!((case.framings().collect::<Vec<_>>(), input), (vec![Framing::Line], output), "{}", case.name);
        }
    }

    #[test]
    fn no_two_cases_have_one_name() {
        let cases = protocol().unwrap().into_iter().chain(echo().unwrap());
        let mut names: Vec<_> = cases.map(|case| case.name).collect();
        names.sort();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
    }
}
