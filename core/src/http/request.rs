//! The request: its parts, and how it is written (RFC 9112, 3 and 5).

use core::fmt;

use heapless::Vec;

use super::head::{is_token, is_visible};

/// The method of a request (RFC 9110, 9.3.1 and 9.3.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Method {
    /// The response has a head and a body.
    #[default]
    Get,
    /// The response has the same head as for `Get`, and no body.
    Head,
}

/// A request: `GET TARGET HTTP/1.1` with the fields `Host`, `Connection: close`, and those in `fields`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// The method.
    pub method: Method,
    /// The host, and the port if it is not the default of the scheme, as in `example.org:8080`.
    pub host: &'a str,
    /// The path and the query, percent-encoded and beginning with `/`, as in `/index.html?a=b`.
    pub target: &'a str,
    /// The names and values of further fields.
    pub fields: &'a [(&'a str, &'a str)],
}

/// Why a request is not valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum RequestError {
    /// The host is empty, or contains a blank or a control character.
    Host {
        /// The offset of the first wrong byte.
        offset: usize,
    },
    /// The target does not begin with `/`, or contains a blank or a byte that is not ASCII.
    Target {
        /// The offset of the first wrong byte.
        offset: usize,
    },
    /// The name of a field contains an illegal character.
    FieldName {
        /// The index of the field in [`Request::fields`].
        field: usize,
    },
    /// The value of a field contains a control character, for example CR or LF.
    FieldValue {
        /// The index of the field in [`Request::fields`].
        field: usize,
    },
    /// The request is longer than the capacity of the [`Get`](super::Get).
    TooLong {
        /// The capacity, in bytes.
        limit: usize,
    },
}

impl fmt::Display for RequestError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host { offset } => {
                write!(formatter, "the host is neither a name nor an address: byte {offset} is not allowed")
            }
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
    /// The bytes of the request, at most `N`.
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
