//! The options of a download: the URL, the destination, limits, and fields of the request.

use core::{net::IpAddr, time::Duration};
use std::path::PathBuf;

use clap::Args;

use greet_core::{Get, GetRequest, GetSettings, HttpMethod, Instant, RequestError};

use super::{CAPACITY, http_url::HttpUrl};
use crate::{
    args::IpVersion,
    client::HostPort,
    values::{Limit, limit, span},
};

/// The options of every program that fetches pages.
#[derive(Debug, Args)]
pub struct DownloadArgs {
    /// URL of the page, like `http://example.org/page.html`; without a scheme, `http://` is assumed
    #[arg(value_name = "URL", value_parser = url)]
    pub url: HttpUrl,

    /// File for the body, or `-` for standard output; the head is then on standard error. The default is the last part of
    /// the URL's path, or index.html
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,

    /// Folder for the file
    #[arg(long, value_name = "DIR")]
    pub output_dir: Option<PathBuf>,

    /// Replace the file if it exists
    #[arg(long, conflicts_with = "resume")]
    pub force: bool,

    /// Continue an incomplete file: `-C -` requests the part after its last byte. What arrives is kept, even if it is
    /// incomplete again
    #[arg(short = 'C', long = "continue-at", value_name = "-", value_parser = ["-"], allow_hyphen_values = true)]
    pub resume: Option<String>,

    /// Request the head only (HEAD) and print it
    #[arg(short = 'I', long, conflicts_with_all = ["output", "output_dir", "force", "resume"])]
    pub head: bool,

    /// Time limit for the name lookup, for each connection, and for each next byte: 30s, 500ms or a number of seconds;
    /// `none` for no limit
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = limit)]
    pub timeout: Limit,

    /// Time limit for everything together
    #[arg(long, value_name = "TIME", value_parser = span)]
    pub max_time: Option<Duration>,

    /// Maximum number of further attempts if the server cannot be reached, fails (408, 429, 500, 502, 503, 504), or
    /// sends an incomplete page; after 1 s, 2 s, 4 s, ...
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub retry: u32,

    /// Maximum length of the body: 1000, 64K, 10M or 1G (of 1,024)
    #[arg(long, value_name = "BYTES", value_parser = size)]
    pub max_size: Option<u64>,

    /// Maximum length of the head: up to 256K
    #[arg(long, value_name = "BYTES", default_value = "64K", value_parser = head_size)]
    pub max_head: u64,

    /// Add this field to the request; may be repeated
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE", value_parser = field)]
    pub fields: Vec<Field>,

    /// Use ADDR for HOST:PORT instead of looking the name up; may be repeated
    #[arg(long, value_name = "HOST:PORT:ADDR", value_parser = resolve)]
    pub resolve: Vec<Resolve>,

    /// Follow up to 10 redirects, but none from https to http; prints the head of each
    #[arg(short = 'L', long)]
    pub location: bool,

    /// Save the body of an error page too; the exit status is still 1
    #[arg(long)]
    pub keep_errors: bool,

    /// The IP versions that may be used.
    #[command(flatten)]
    pub ip: IpVersion,
}

/// The address of one server, in place of a name lookup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolve {
    /// The name and port as they are in the URL.
    pub server: HostPort,
    /// The address to connect to; one of a single link names its interface, like `fe80::1%eth0`.
    pub address: String,
}

impl Resolve {
    /// Whether this is for that server.
    pub(super) fn matches(&self, server: &HostPort) -> bool {
        self.server.port == server.port && self.server.host.eq_ignore_ascii_case(&server.host)
    }
}

/// A field of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// The name.
    pub name: String,
    /// The value without white space around it.
    pub value: String,
}

impl Field {
    /// Whether it has credentials: they are sent to the server of the URL, and not to others that it redirects to.
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

fn head_size(text: &str) -> Result<u64, String> {
    match size(text)? {
        0 => Err("a head has at least one byte".to_owned()),
        bytes if bytes > CAPACITY as u64 => Err(format!("the largest is {}K", CAPACITY / 1024)),
        bytes => Ok(bytes),
    }
}

fn resolve(text: &str) -> Result<Resolve, String> {
    let form = || "give HOST:PORT:ADDR, like example.org:80:192.168.1.50 or example.org:80:[fe80::1%eth0]".to_owned();
    let (host, rest) = text.split_once(':').ok_or_else(form)?;
    let (port, address) = rest.split_once(':').ok_or_else(form)?;
    let address = address.strip_prefix('[').and_then(|address| address.strip_suffix(']')).unwrap_or(address);
    let port = port.parse().ok().filter(|&port| port > 0).ok_or_else(form)?;
    if host.is_empty() {
        return Err(form());
    }
    let bare = address.split_once('%').map_or(address, |(bare, _)| bare);
    if bare.parse::<IpAddr>().is_err() {
        return Err(form());
    }
    Ok(Resolve { server: HostPort { host: host.to_owned(), port }, address: address.to_owned() })
}

fn field(text: &str) -> Result<Field, String> {
    let (name, value) = text.split_once(':').ok_or("write a field as `Name: value`")?;
    for (character, what) in [('\r', "CR"), ('\n', "LF")] {
        if text.contains(character) {
            return Err(format!("a field cannot contain {what}"));
        }
    }
    // They control the conversation, which is this program's part.
    if ["host", "connection", "content-length", "transfer-encoding", "te", "expect", "upgrade"]
        .iter()
        .any(|reserved| name.eq_ignore_ascii_case(reserved))
    {
        return Err(format!(
            "this program sets `{name}` itself{}",
            if name.eq_ignore_ascii_case("host") { "; --resolve gives another address for the URL's host" } else { "" }
        ));
    }
    let field = Field { name: name.to_owned(), value: value.trim().to_owned() };
    let request =
        GetRequest { method: HttpMethod::Get, host: "host", target: "/", fields: &[(&field.name, &field.value)] };
    match Get::<CAPACITY>::new(request, GetSettings::default(), Instant::ZERO) {
        Ok(_) => Ok(field),
        Err(RequestError::FieldName { .. }) => {
            Err("the name of a field consists of letters, digits and hyphens".to_owned())
        }
        Err(RequestError::FieldValue { .. }) => Err("a field cannot contain control characters".to_owned()),
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
    fn an_address_replaces_the_lookup_of_one_server() {
        let rule = resolve("Example.org:80:192.168.1.50").unwrap();
        assert!(rule.matches(&HostPort { host: "example.org".to_owned(), port: 80 }));
        assert!(!rule.matches(&HostPort { host: "example.org".to_owned(), port: 81 }));
        assert_eq!(resolve("a:80:[::1]").unwrap().address, "::1");
        assert_eq!(resolve("a:80:[fe80::1%eth0]").unwrap().address, "fe80::1%eth0");
        for text in ["", "a", "a:80", "a:80:", "a:0:::1", "a:b:::1", ":80:::1", "a:80:b"] {
            assert!(resolve(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_head_has_a_limit_between_one_byte_and_the_capacity() {
        assert_eq!(head_size("64K"), Ok(65_536));
        assert_eq!(head_size("256K"), Ok(CAPACITY as u64));
        assert!(head_size("0").is_err() && head_size("257K").is_err());
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
