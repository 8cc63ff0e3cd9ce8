//! One line of the log with its fields, as text or JSON.

use core::{fmt::Write as _, net::SocketAddr, time::Duration};
use std::{borrow::Cow, time::SystemTime};

use greet_core::{Quoted, escape_of};
use serde::Serialize;

use crate::counters::Traffic;

/// How lines of fields are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// `TIME EVENT FIELD=VALUE ...`
    Text,
    /// One JSON object a line.
    Json,
}

/// An event and its fields, in the order in which they are written.
#[derive(Debug, Serialize)]
pub(super) struct Record<'a> {
    /// As in RFC 3339, in UTC.
    pub(super) time: String,
    pub(super) event: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) address: Option<SocketAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) peer: Option<SocketAddr>,
    #[serde(skip_serializing_if = "Option::is_none", flatten)]
    pub(super) summary: Option<Summary>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<&'static str>,
    /// A peer's bytes. JSON has no form for bytes that are not UTF-8; they become U+FFFD.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "lossy")]
    pub(super) name: Option<&'a [u8]>,
}

/// What is known at the end of a conversation.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    seconds: f64,
    names: u64,
    errors: u64,
    received: u64,
    sent: u64,
}

impl Summary {
    pub(super) fn new(duration: Duration, traffic: &Traffic) -> Self {
        let &Traffic { names, not_utf8, too_long, received, sent } = traffic;
        Self { seconds: duration.as_secs_f64(), names, errors: not_utf8.saturating_add(too_long), received, sent }
    }
}

impl<'a> Record<'a> {
    /// An event that happens now, without any field.
    pub(super) fn new(event: &'static str) -> Self {
        let time = humantime::format_rfc3339_millis(SystemTime::now()).to_string();
        Self { time, event, address: None, peer: None, summary: None, reason: None, name: None }
    }

    /// The line, without its line feed.
    pub(super) fn line(&self, format: LogFormat) -> String {
        match format {
            LogFormat::Text => self.text(),
            LogFormat::Json => self.json(),
        }
    }

    fn text(&self) -> String {
        let Self { time, event, address, peer, summary, reason, name } = self;
        let mut line = format!("{time} {event}");
        // Writing to a string never fails.
        if let Some(address) = address {
            let _ = write!(line, " address={address}");
        }
        if let Some(peer) = peer {
            let _ = write!(line, " peer={peer}");
        }
        if let Some(Summary { seconds, names, errors, received, sent }) = summary {
            let _ = write!(line, " seconds={seconds:.6} names={names} errors={errors} received={received} sent={sent}");
        }
        if let Some(reason) = reason {
            let _ = write!(line, " reason={reason}");
        }
        if let Some(name) = name {
            let _ = write!(line, " name={}", Quoted(name));
        }
        line
    }

    fn json(&self) -> String {
        // Fails only for maps whose keys are no strings.
        let json = serde_json::to_string(self).unwrap_or_default();
        let mut line = String::with_capacity(json.len());
        for character in json.chars() {
            // JSON allows invisible characters; in a log they are shown.
            if character.is_ascii() || escape_of(character).is_none() {
                line.push(character);
            } else {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    let _ = write!(line, "\\u{unit:04x}");
                }
            }
        }
        line
    }
}

fn lossy<S: serde::Serializer>(name: &Option<&[u8]>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&name.map_or(Cow::Borrowed(""), String::from_utf8_lossy))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "a\" reason=\"exit\\\n\u{200b}b";

    fn record() -> Record<'static> {
        let traffic = Traffic { names: 3, not_utf8: 1, too_long: 1, received: 12, sent: 34 };
        Record {
            time: "2026-01-02T03:04:05.678Z".to_owned(),
            peer: Some(SocketAddr::from(([127, 0, 0, 1], 5000))),
            summary: Some(Summary::new(Duration::from_millis(1250), &traffic)),
            reason: Some("fin"),
            name: Some(NAME.as_bytes()),
            ..Record::new("closed")
        }
    }

    #[test]
    fn a_line_of_text_has_its_fields_in_order_and_a_name_imitates_none() {
        assert_eq!(
            record().line(LogFormat::Text),
            "2026-01-02T03:04:05.678Z closed peer=127.0.0.1:5000 seconds=1.250000 names=3 errors=2 received=12 sent=34 \
             reason=fin name=\"a\\\" reason=\\\"exit\\\\\\n\\u{200b}b\""
        );
    }

    #[test]
    fn a_line_of_json_is_an_object_in_which_invisible_characters_are_shown() {
        let line = record().line(LogFormat::Json);
        assert!(line.contains("\\u200b"), "{line}");
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["name"], NAME);
        assert_eq!((value["seconds"].as_f64(), value["errors"].as_u64()), (Some(1.25), Some(2)));
        assert_eq!((value["event"].as_str(), value["reason"].as_str()), (Some("closed"), Some("fin")));
        let unnamed = Record::new("listening").line(LogFormat::Json);
        assert!(!unnamed.contains("name") && !unnamed.contains("seconds"), "{unnamed}");
    }

    #[test]
    fn the_time_is_that_of_rfc_3339() {
        let time = Record::new("listening").time;
        assert!(humantime::parse_rfc3339(&time).is_ok() && time.ends_with('Z'), "{time}");
    }
}
