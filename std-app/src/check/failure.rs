//! A failure: what a probe found instead of what the protocol requires, and what to look at.

use core::fmt;

use greet_core::Escaped;

use super::evidence::Evidence;

/// Maximum number of expected and of received bytes that are shown.
const SHOWN: usize = 160;

/// The kind of a failure, for those who decide by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Anything else, wrong bytes above all.
    #[default]
    Other,
    /// The SYN was answered by a reset.
    Refused,
    /// The SYN was not answered within the timeout.
    NoAnswer,
    /// The connection was reset.
    Reset,
    /// The server closed its side (FIN).
    Closed,
    /// The server speaks another protocol.
    OtherProtocol,
    /// The connection is open, but the bytes did not come within the timeout.
    Timeout,
}

/// What a probe found.
#[derive(Clone, Debug, Default)]
pub(crate) struct Failure {
    pub(crate) kind: Kind,
    /// One line.
    pub(crate) what: Box<str>,
    /// Where the bytes differ, counted from the first byte of the greeting.
    pub(crate) offset: Option<u64>,
    /// The bytes that were expected from there on.
    pub(crate) expected: Option<Vec<u8>>,
    /// The bytes that were received.
    pub(crate) received: Option<Vec<u8>>,
    /// What this host's TCP knows about the connection.
    pub(crate) evidence: Option<Box<Evidence>>,
    /// What this failure points at, the most likely cause first.
    pub(crate) causes: Vec<String>,
}

impl Failure {
    pub(crate) fn new(what: impl Into<Box<str>>) -> Self {
        Self { what: what.into(), ..Self::default() }
    }

    #[must_use]
    pub(crate) fn with_kind(self, kind: Kind) -> Self {
        Self { kind, ..self }
    }

    /// Puts this cause first.
    #[must_use]
    pub(crate) fn because(mut self, cause: impl Into<String>) -> Self {
        self.causes.insert(0, cause.into());
        self
    }

    /// Puts this cause first if `condition` holds.
    #[must_use]
    pub(crate) fn because_if(self, condition: bool, cause: impl Into<String>) -> Self {
        if condition { self.because(cause) } else { self }
    }

    /// Whether everything was received except the server's FIN.
    pub(crate) fn is_missing_end(&self) -> bool {
        self.kind == Kind::Timeout && self.expected.as_ref().is_none_or(Vec::is_empty) && self.offset.is_none()
    }

    /// Adds what the kernel knows about the connection.
    #[must_use]
    pub(crate) fn with_evidence(self, evidence: Evidence) -> Self {
        let failure = match &evidence.cause {
            Some(cause) => self.because(cause.as_str()),
            None => self,
        };
        Self { evidence: Some(Box::new(evidence)), ..failure }
    }

    /// Adds the step in which it happened.
    #[must_use]
    pub(crate) fn during(mut self, step: impl fmt::Display) -> Self {
        self.what = format!("{step}: {}", self.what).into();
        self
    }
}

/// Bytes as they are shown. No control character of a peer reaches a terminal (rule K3).
pub(crate) fn shown(bytes: &[u8]) -> String {
    match bytes.get(..SHOWN) {
        Some(beginning) if bytes.len() > SHOWN => format!("`{}`... ({} bytes)", Escaped(beginning), bytes.len()),
        _ if bytes.is_empty() => "nothing".to_owned(),
        _ => format!("`{}`", Escaped(bytes)),
    }
}
