//! What of a page is wanted, and where it goes.

use std::path::PathBuf;

use clap::Args;

use greet_core::{Get, GetRequest, GetSettings, HttpMethod, Instant, RequestError};

use super::{CAPACITY, http_url::HttpUrl};
use crate::{
    args::IpVersion,
    values::{Limit, limit},
};

/// What every program that fetches pages can be asked for.
#[derive(Debug, Args)]
pub struct DownloadArgs {
    /// The page, like `http://example.org/page.html`
    #[arg(value_name = "URL", value_parser = url)]
    pub url: HttpUrl,

    /// Where its body goes: a file, or `-` for standard output; the head is then on standard error. Without it, the last part
    /// of the URL's path, or index.html
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,

    /// Replace the file if there is one
    #[arg(long)]
    pub force: bool,

    /// How long to wait for a connection to each of the server's addresses, and for each next byte; `none` for ever
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = limit)]
    pub timeout: Limit,

    /// Give up on a body that is longer: 1000, 64K, 10M or 1G (of 1,024)
    #[arg(long, value_name = "BYTES", value_parser = size)]
    pub max_size: Option<u64>,

    /// Send this field too; may be given more than once
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE", value_parser = field)]
    pub fields: Vec<Field>,

    /// Follow up to 10 redirects, but none from https to http; the head of each is shown
    #[arg(short = 'L', long)]
    pub location: bool,

    /// Save the body of an error too; the exit status is 1 all the same
    #[arg(long)]
    pub keep_errors: bool,

    /// Which IP versions may be used.
    #[command(flatten)]
    pub ip: IpVersion,
}

/// A field of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Its value, without the blanks around it.
    pub value: String,
}

impl Field {
    /// Whether it says who is asking: only the server that it was meant for may hear it.
    pub(super) fn is_secret(&self) -> bool {
        ["authorization", "cookie", "proxy-authorization"].iter().any(|name| self.name.eq_ignore_ascii_case(name))
    }
}

fn url(text: &str) -> Result<HttpUrl, String> {
    text.parse::<HttpUrl>().map_err(|error| error.to_string())
}

fn size(text: &str) -> Result<u64, String> {
    let split = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(split);
    let unit = match unit.to_ascii_uppercase().as_str() {
        "" => Some(1),
        "K" => Some(1 << 10),
        "M" => Some(1 << 20),
        "G" => Some(1 << 30),
        _ => None,
    };
    let size = unit.zip(digits.parse::<u64>().ok()).and_then(|(unit, number)| number.checked_mul(unit));
    size.ok_or_else(|| "give a number of bytes, like 1000, 64K, 10M or 1G".to_owned())
}

fn field(text: &str) -> Result<Field, String> {
    let (name, value) = text.split_once(':').ok_or("a field is `Name: value`, with a colon between")?;
    for (character, what) in [('\r', "CR"), ('\n', "LF")] {
        if text.contains(character) {
            return Err(format!("a field has no {what}: it would end there, and another begin"));
        }
    }
    // They say how the conversation goes, and that is this program's part.
    if ["host", "connection", "content-length", "transfer-encoding", "te", "expect", "upgrade"]
        .iter()
        .any(|reserved| name.eq_ignore_ascii_case(reserved))
    {
        return Err(format!("`{name}` is not for you to say: it tells how the page is asked for"));
    }
    let field = Field { name: name.to_owned(), value: value.trim().to_owned() };
    let request =
        GetRequest { method: HttpMethod::Get, host: "host", target: "/", fields: &[(&field.name, &field.value)] };
    match Get::<CAPACITY>::new(request, GetSettings::default(), Instant::ZERO) {
        Ok(_) => Ok(field),
        Err(RequestError::FieldName { .. }) => Err("the name of a field has letters, digits and hyphens".to_owned()),
        Err(RequestError::FieldValue { .. }) => Err("a field has no control characters".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_a_number_with_or_without_a_unit() {
        for (text, bytes) in [("0", 0), ("1000", 1000), ("64K", 65536), ("10m", 10 << 20), ("1G", 1 << 30)] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "K", "-1", "1.5M", "1T", "99999999999G", "1 K"] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_field_has_a_name_and_a_value_and_ends_no_line() {
        let owned = |name: &str, value: &str| Ok(Field { name: name.to_owned(), value: value.to_owned() });
        assert_eq!(field("Accept: text/html"), owned("Accept", "text/html"));
        assert_eq!(field("X-Empty:"), owned("X-Empty", ""));
        for text in [
            "Accept",
            ": a",
            "A b: c",
            "A(b): c",
            "\u{e4}: a",
            "A: \u{1}",
            "A: b\r\nC: d",
            "A: b\nC",
            "Host: a",
            "connection: keep-alive",
        ] {
            assert!(field(text).is_err(), "{text}");
        }
    }
}
