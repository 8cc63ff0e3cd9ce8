//! The request: what is asked for, and how it is written (RFC 9112, 3 and 5).

use core::fmt;

use heapless::Vec;

use super::head::{is_token, is_visible};

/// Whether the body is wanted with the head (RFC 9110, 9.3.1 and 9.3.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Method {
    /// Head and body.
    #[default]
    Get,
    /// The head alone, as it would be for `Get`.
    Head,
}

/// What is asked for. A request is `GET TARGET HTTP/1.1` with the fields `Host`, `Connection: close`, and these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// What of the page is wanted.
    pub method: Method,
    /// The host, and its port where that is not the scheme's own, as in `example.org:8080`.
    pub host: &'a str,
    /// The path and the query, as in `/index.html?a=b`; encoded, and beginning with `/`.
    pub target: &'a str,
    /// More fields, each with its name and its value.
    pub fields: &'a [(&'a str, &'a str)],
}

/// Why a request cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum RequestError {
    /// The host is empty, or has a blank or a control character at this offset.
    Host {
        /// Where.
        offset: usize,
    },
    /// The target does not begin with `/`, or has a blank or something that is not ASCII at this offset.
    Target {
        /// Where.
        offset: usize,
    },
    /// The name of the field with this number has a character that none may have; the first field is 0.
    FieldName {
        /// Which.
        field: usize,
    },
    /// The value of the field with this number has a control character, as CR and LF are.
    FieldValue {
        /// Which.
        field: usize,
    },
    /// The request is longer than this machine's capacity.
    TooLong {
        /// How many bytes it may have.
        limit: usize,
    },
}

impl fmt::Display for RequestError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host { offset } => write!(formatter, "the host is no name and no address: see its byte {offset}"),
            Self::Target { offset } => {
                write!(formatter, "the path begins with a slash and is encoded, with no blank: see its byte {offset}")
            }
            Self::FieldName { field } => write!(formatter, "the name of field {field} has an illegal character"),
            Self::FieldValue { field } => write!(formatter, "the value of field {field} has a control character"),
            Self::TooLong { limit } => write!(formatter, "the request is longer than {limit} bytes"),
        }
    }
}

impl core::error::Error for RequestError {}

impl Request<'_> {
    /// Its bytes, at most `N`.
    pub(super) fn written<const N: usize>(&self) -> Result<Vec<u8, N>, RequestError> {
        let Self { method, host, target, fields } = *self;
        let method = match method {
            Method::Get => "GET ",
            Method::Head => "HEAD ",
        };
        let is_illegal = |byte: &u8| !byte.is_ascii_graphic();
        if let Some(offset) =
            host.bytes().position(|byte| byte.is_ascii_control() || byte == b' ').or(host.is_empty().then_some(0))
        {
            return Err(RequestError::Host { offset });
        }
        if !target.starts_with('/') {
            return Err(RequestError::Target { offset: 0 });
        }
        if let Some(offset) = target.as_bytes().iter().position(is_illegal) {
            return Err(RequestError::Target { offset });
        }
        for (field, (name, value)) in fields.iter().enumerate() {
            if name.is_empty() || !name.bytes().all(|byte| is_token(&byte)) {
                return Err(RequestError::FieldName { field });
            }
            if !value.bytes().all(|byte| is_visible(&byte)) {
                return Err(RequestError::FieldValue { field });
            }
        }
        let mut buffer = Vec::new();
        let mut write =
            |text: &str| buffer.extend_from_slice(text.as_bytes()).map_err(|_| RequestError::TooLong { limit: N });
        for text in [method, target, " HTTP/1.1\r\nHost: ", host, "\r\nConnection: close\r\n"] {
            write(text)?;
        }
        for (name, value) in fields {
            for text in [name, ": ", value, "\r\n"] {
                write(text)?;
            }
        }
        write("\r\n")?;
        Ok(buffer)
    }
}
