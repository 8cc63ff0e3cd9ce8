//! The URL of a page, and the parts of it that a request needs.

use core::{fmt, str::FromStr};

use thiserror::Error;
use url::{Host, Url};

use crate::client::HostPort;

/// The file name where the path has none.
const INDEX: &str = "index.html";

/// A URL of `http` or `https` with a host, and without a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpUrl {
    url: Url,
    /// The interface of a link-local address, as in `http://[fe80::1%25eth0]/` (RFC 6874); the URL is without it.
    zone: Option<String>,
}

/// Why a text is not the URL of a page.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum UrlError {
    /// It contains white space or a control character.
    #[error("a URL has no blanks and no control characters: encode byte {offset} as %{byte:02X}")]
    Character {
        /// The offset of the byte.
        offset: usize,
        /// The byte.
        byte: u8,
    },
    /// It is not a URL.
    #[error("it is not a URL ({0}): write it like http://example.org/page.html")]
    Url(#[from] url::ParseError),
    /// Its scheme is not http or https.
    #[error("`{0}:` is not supported: only http:// and https:// are")]
    Scheme(String),
    /// It contains a user name or a password.
    #[error("a URL with a user name or password is not sent, as logs show it: use -H 'Authorization: ...'")]
    User,
    /// Its port is 0.
    #[error("port 0 cannot be connected to: give a port from 1 to 65535, or none")]
    Port,
    /// Its scheme is not followed by `://`.
    #[error("a scheme is followed by a colon and two slashes, like http://")]
    Slashes,
    /// Its zone is empty or has an illegal character.
    #[error("the interface in `[ADDRESS%25INTERFACE]` has letters, digits and `-._~`")]
    Zone,
}

impl HttpUrl {
    fn of(url: Url, zone: Option<String>) -> Result<Self, UrlError> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(UrlError::Scheme(url.scheme().to_owned()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(UrlError::User);
        }
        if url.port() == Some(0) {
            return Err(UrlError::Port);
        }
        Ok(Self { url, zone })
    }

    /// The URL that a redirect of this one leads to (RFC 9110, 10.2.2).
    ///
    /// # Errors
    /// It is not a URL of http or https.
    pub fn join(&self, reference: &str) -> Result<Self, UrlError> {
        // Blanks are wrong there, but so common that clients encode them.
        check_characters(reference, |byte| byte.is_ascii_control())?;
        let url = self.url.join(reference)?;
        let zone = self.zone.clone().filter(|_| url.host() == self.url.host());
        Self::of(url, zone)
    }

    /// Whether the scheme is https.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.url.scheme() == "https"
    }

    /// The host: a name or an address, without a zone.
    #[must_use]
    pub fn host(&self) -> String {
        match self.url.host() {
            Some(Host::Ipv6(address)) => address.to_string(),
            Some(host) => host.to_string(),
            None => String::new(), // not with these schemes
        }
    }

    /// The server to connect to.
    #[must_use]
    pub fn server(&self) -> HostPort {
        let zone = self.zone.as_ref().map(|zone| format!("%{zone}")).unwrap_or_default();
        HostPort { host: self.host() + &zone, port: self.url.port_or_known_default().unwrap_or_default() }
    }

    /// The value of the field `Host` (RFC 9110, 7.2): the host, and the port if it is not the scheme's default.
    #[must_use]
    pub fn host_field(&self) -> String {
        let host = self.url.host_str().unwrap_or_default();
        self.url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }

    /// The path and the query, encoded.
    #[must_use]
    pub fn target(&self) -> &str {
        // The fragment is for the reader of the page.
        &self.url[url::Position::BeforePath..url::Position::AfterQuery]
    }

    /// The last part of the path, still encoded, or `index.html`.
    #[must_use]
    pub fn file_name(&self) -> &str {
        self.url
            .path_segments()
            .and_then(|mut parts| parts.next_back())
            .filter(|part| !part.is_empty())
            .unwrap_or(INDEX)
    }

    /// Whether both have the same scheme, host and port.
    #[must_use]
    pub fn is_of_same_server(&self, other: &Self) -> bool {
        self.url.origin() == other.url.origin() && self.zone == other.zone
    }
}

impl FromStr for HttpUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        check_characters(text, |byte| byte.is_ascii_control() || byte == b' ')?;
        let end = text.find(['/', '?', '#']).unwrap_or(text.len());
        let has_scheme = text.get(end..).is_some_and(|rest| rest.starts_with("//")) && text[..end].ends_with(':');
        // One slash or no colon: it would be taken for a host called http.
        if !has_scheme && ["http:/", "https:/", "http//", "https//"].iter().any(|typo| text.starts_with(typo)) {
            return Err(UrlError::Slashes);
        }
        let text = if has_scheme || text.is_empty() { text.to_owned() } else { format!("http://{text}") };
        let (text, zone) = without_zone(&text)?;
        Self::of(text.parse()?, zone)
    }
}

/// Takes the zone out of `scheme://[address%25zone]`; a bare `%` is accepted too, as in most programs.
fn without_zone(text: &str) -> Result<(String, Option<String>), UrlError> {
    let parts = text.split_once("://[").and_then(|(scheme, rest)| Some((scheme, rest.split_once(']')?)));
    let Some((scheme, (host, rest))) = parts else { return Ok((text.to_owned(), None)) };
    let Some((address, zone)) = host.split_once('%') else { return Ok((text.to_owned(), None)) };
    let zone = zone.strip_prefix("25").unwrap_or(zone);
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    if zone.is_empty() || !zone.bytes().all(is_legal) {
        return Err(UrlError::Zone);
    }
    Ok((format!("{scheme}://[{address}]{rest}"), Some(zone.to_owned())))
}

/// The parser of URLs removes line ends, tabs and outer blanks, as browsers do. A request must not be altered silently.
fn check_characters(text: &str, is_wrong: impl Fn(u8) -> bool) -> Result<(), UrlError> {
    match text.bytes().enumerate().find(|&(_, byte)| is_wrong(byte)) {
        Some((offset, byte)) => Err(UrlError::Character { offset, byte }),
        None => Ok(()),
    }
}

impl fmt::Display for HttpUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.zone {
            Some(zone) => formatter.write_str(&self.url.as_str().replacen(']', &format!("%25{zone}]"), 1)),
            None => self.url.fmt(formatter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_gives_the_server_and_the_request() {
        for (text, server, host, target, file) in [
            ("http://example.org", "example.org:80", "example.org", "/", "index.html"),
            ("https://example.org/a/", "example.org:443", "example.org", "/a/", "index.html"),
            (
                "http://example.org:8080/a/b.html?c=d#e",
                "example.org:8080",
                "example.org:8080",
                "/a/b.html?c=d",
                "b.html",
            ),
            ("http://example.org:80/a", "example.org:80", "example.org", "/a", "a"),
            ("http://[::1]:8080/../a%20b", "[::1]:8080", "[::1]:8080", "/a%20b", "a%20b"),
            ("http://127.0.0.1/%2e%2e/", "127.0.0.1:80", "127.0.0.1", "/", "index.html"),
            (
                "http://b\u{fc}cher.example/\u{fc}",
                "xn--bcher-kva.example:80",
                "xn--bcher-kva.example",
                "/%C3%BC",
                "%C3%BC",
            ),
            ("http://example.org?a", "example.org:80", "example.org", "/?a", "index.html"),
            ("http://example.org/a%2Fb", "example.org:80", "example.org", "/a%2Fb", "a%2Fb"),
        ] {
            let url: HttpUrl = text.parse().unwrap();
            let shown = (url.server().to_string(), url.host_field());
            assert_eq!((shown.0.as_str(), shown.1.as_str()), (server, host), "{text}");
            assert_eq!((url.target(), url.file_name()), (target, file), "{text}");
        }
    }

    #[test]
    fn the_default_scheme_of_a_url_is_http() {
        for (text, url) in [
            ("example.org", "http://example.org/"),
            ("localhost:8080/a//b", "http://localhost:8080/a//b"),
            ("192.168.1.50?a=http://b", "http://192.168.1.50/?a=http://b"),
            ("[::1]:80/", "http://[::1]/"),
        ] {
            assert_eq!(text.parse::<HttpUrl>().unwrap().to_string(), url, "{text}");
        }
    }

    #[test]
    fn a_link_local_address_may_name_its_interface() {
        for text in ["http://[fe80::1%25eth0]:8080/a", "[fe80::1%eth0]:8080/a"] {
            let url: HttpUrl = text.parse().unwrap();
            assert_eq!(url.server(), HostPort { host: "fe80::1%eth0".to_owned(), port: 8080 });
            // RFC 6874, 4: no other host may see the zone.
            assert_eq!((url.host().as_str(), url.host_field().as_str()), ("fe80::1", "[fe80::1]:8080"));
            assert_eq!(url.to_string(), "http://[fe80::1%25eth0]:8080/a");
            assert_eq!(url.join("/b").unwrap().server().host, "fe80::1%eth0");
            assert_eq!(url.join("http://[fe80::2]/b").unwrap().server().host, "fe80::2");
        }
        for text in ["http://[fe80::1%25]/", "http://[fe80::1%25a/b]/", "http://[fe80::1%]/"] {
            assert!(text.parse::<HttpUrl>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_text_that_is_no_url_of_a_page_is_refused_with_the_reason() {
        let refused = |text: &str| text.parse::<HttpUrl>().unwrap_err();
        assert_eq!(refused("http://a/\r\nX: y"), UrlError::Character { offset: 9, byte: b'\r' });
        assert_eq!(refused("http://a/\nb"), UrlError::Character { offset: 9, byte: b'\n' });
        assert_eq!(refused(" http://a/"), UrlError::Character { offset: 0, byte: b' ' });
        assert_eq!(refused("http://user@a/"), UrlError::User);
        assert_eq!(refused("http://:password@a/"), UrlError::User);
        assert_eq!(refused("ftp://a/"), UrlError::Scheme("ftp".to_owned()));
        assert_eq!(refused("http://a:0/"), UrlError::Port);
        assert_eq!(refused("http:/a/"), UrlError::Slashes);
        assert_eq!(refused("https//a/"), UrlError::Slashes);
        for text in ["", "http://", "/", "a b", "http://a:65536/", "http://[::1/", "http://a b/"] {
            assert!(matches!(refused(text), UrlError::Url(_) | UrlError::Character { .. }), "{text}");
        }
    }

    #[test]
    fn a_reference_is_resolved_and_checked_like_a_url() {
        let url: HttpUrl = "https://a/b/c?d".parse().unwrap();
        for (reference, expected) in [("e", "https://a/b/e"), ("/e?f", "https://a/e?f"), ("//b:1/", "https://b:1/")] {
            assert_eq!(url.join(reference).unwrap().to_string(), expected);
        }
        assert_eq!(url.join("/a b").unwrap().target(), "/a%20b");
        assert_eq!(url.join("//u@b/"), Err(UrlError::User));
        assert_eq!(url.join("a\tb"), Err(UrlError::Character { offset: 1, byte: b'\t' }));
        assert!(url.is_of_same_server(&url.join("/e").unwrap()));
        assert!(!url.is_of_same_server(&url.join("http://a/").unwrap()));
    }
}
