//! Where a page is: a URL that can be asked for, and what a request takes of it.

use core::{fmt, str::FromStr};

use thiserror::Error;
use url::{Host, Url};

use crate::client::HostPort;

/// What a file is called where the path does not say.
const INDEX: &str = "index.html";

/// A URL of `http` or `https` with a host, and without a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpUrl(Url);

/// Why a text is not where a page is.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum UrlError {
    /// It has a line's end, a tab or the like.
    #[error("a URL has no blanks and no control characters: see its byte {offset}, and encode it as %{byte:02X}")]
    Character {
        /// Where.
        offset: usize,
        /// Which.
        byte: u8,
    },
    /// It is no URL.
    #[error("it is no URL ({0}): write it like http://example.org/page.html")]
    Url(#[from] url::ParseError),
    /// It is none of a web server.
    #[error("`{0}:` is not spoken here: a page is at http:// or https://")]
    Scheme(String),
    /// It tells who wants it.
    #[error("a user name or a password in a URL is seen by everybody: leave it out; -H can send what the server wants")]
    User,
    /// Nothing listens there.
    #[error("port 0 is nobody's: give one from 1 to 65535, or none")]
    Port,
}

impl HttpUrl {
    fn of(url: Url) -> Result<Self, UrlError> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(UrlError::Scheme(url.scheme().to_owned()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(UrlError::User);
        }
        if url.port() == Some(0) {
            return Err(UrlError::Port);
        }
        Ok(Self(url))
    }

    /// The place that a response of this one names (RFC 9110, 10.2.2).
    ///
    /// # Errors
    /// Why it is none.
    pub fn join(&self, reference: &str) -> Result<Self, UrlError> {
        // Blanks are wrong there, and so common that everybody encodes them.
        check_characters(reference, |byte| byte.is_ascii_control())?;
        Self::of(self.0.join(reference)?)
    }

    /// Whether the conversation is to be encrypted.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// Whom to connect to.
    #[must_use]
    pub fn server(&self) -> HostPort {
        let host = match self.0.host() {
            Some(Host::Ipv6(address)) => address.to_string(),
            Some(host) => host.to_string(),
            None => String::new(), // not with these schemes
        };
        HostPort { host, port: self.0.port_or_known_default().unwrap_or_default() }
    }

    /// The value of the field `Host` (RFC 9110, 7.2): the host, and its port where it is not the scheme's own.
    #[must_use]
    pub fn host_field(&self) -> String {
        let host = self.0.host_str().unwrap_or_default();
        self.0.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }

    /// The path and the query, encoded.
    #[must_use]
    pub fn target(&self) -> &str {
        // What is behind `#` is for whoever reads the page.
        &self.0[url::Position::BeforePath..url::Position::AfterQuery]
    }

    /// The last part of the path, as it stands there.
    #[must_use]
    pub fn file_name(&self) -> &str {
        self.0.path_segments().and_then(|mut parts| parts.next_back()).filter(|part| !part.is_empty()).unwrap_or(INDEX)
    }

    /// Whether both are of one server, as far as a URL tells: scheme, host and port.
    #[must_use]
    pub fn is_of_same_server(&self, other: &Self) -> bool {
        self.0.origin() == other.0.origin()
    }
}

impl FromStr for HttpUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        check_characters(text, |byte| byte.is_ascii_control() || byte == b' ')?;
        Self::of(text.parse()?)
    }
}

/// The parser of URLs leaves line ends, tabs and outer blanks out, as browsers do; who sends them means no good.
fn check_characters(text: &str, is_wrong: impl Fn(u8) -> bool) -> Result<(), UrlError> {
    match text.bytes().enumerate().find(|&(_, byte)| is_wrong(byte)) {
        Some((offset, byte)) => Err(UrlError::Character { offset, byte }),
        None => Ok(()),
    }
}

impl fmt::Display for HttpUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_tells_whom_to_connect_to_and_what_to_ask_for() {
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
    fn what_is_no_place_of_a_page_says_why() {
        let refused = |text: &str| text.parse::<HttpUrl>().unwrap_err();
        assert_eq!(refused("http://a/\r\nX: y"), UrlError::Character { offset: 9, byte: b'\r' });
        assert_eq!(refused("http://a/\nb"), UrlError::Character { offset: 9, byte: b'\n' });
        assert_eq!(refused(" http://a/"), UrlError::Character { offset: 0, byte: b' ' });
        assert_eq!(refused("http://user@a/"), UrlError::User);
        assert_eq!(refused("http://:password@a/"), UrlError::User);
        assert_eq!(refused("ftp://a/"), UrlError::Scheme("ftp".to_owned()));
        assert_eq!(refused("localhost:8080/a"), UrlError::Scheme("localhost".to_owned()));
        assert_eq!(refused("http://a:0/"), UrlError::Port);
        for text in ["example.org", "", "http://", "http://a:65536/", "http://[::1/", "http://a b/"] {
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
