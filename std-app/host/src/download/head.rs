//! Fields of a response's head that a download needs.

use core::time::Duration;

use greet_core::HttpHead;

/// The field `Content-Range` (RFC 9110, 14.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ContentRange {
    /// The offset of the first byte that is sent; none where the range cannot be satisfied.
    pub(super) first: Option<u64>,
    /// The length of the whole page, if it is known.
    pub(super) total: Option<u64>,
}

/// The part of the page that this response has, if it says so and is valid.
pub(super) fn content_range(head: &HttpHead<'_>) -> Option<ContentRange> {
    range(core::str::from_utf8(head.field("content-range")?).ok()?)
}

fn range(text: &str) -> Option<ContentRange> {
    let (unit, rest) = text.split_once(' ')?;
    let (range, total) = rest.trim().split_once('/')?;
    if !unit.eq_ignore_ascii_case("bytes") {
        return None;
    }
    let first = match range {
        "*" => None,
        range => Some(range.split_once('-')?.0.parse().ok()?),
    };
    let total = if total == "*" { None } else { Some(total.parse().ok()?) };
    Some(ContentRange { first, total })
}

/// The time after which the server wants to be asked again (RFC 9110, 10.2.3), if it is given in seconds.
pub(super) fn retry_after(head: &HttpHead<'_>) -> Option<Duration> {
    let seconds = core::str::from_utf8(head.field("retry-after")?).ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// A URL reference with its bytes beyond ASCII percent-encoded, as a URL has them.
pub(super) fn encoded(reference: &[u8]) -> String {
    let mut text = String::new();
    for &byte in reference {
        if byte.is_ascii() { text.push(byte.into()) } else { text.push_str(&format!("%{byte:02X}")) }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_range_has_a_first_byte_and_a_total() {
        let of = |first, total| Some(ContentRange { first, total });
        for (text, expected) in [
            ("bytes 5-9/10", of(Some(5), Some(10))),
            ("Bytes 5-9/*", of(Some(5), None)),
            ("bytes */10", of(None, Some(10))),
            ("bytes 5/10", None),
            ("bytes x-9/10", None),
            ("lines 5-9/10", None),
            ("bytes", None),
        ] {
            assert_eq!(range(text), expected, "{text}");
        }
    }

    #[test]
    fn a_reference_keeps_every_byte() {
        assert_eq!(encoded(b"/a?b#c"), "/a?b#c");
        assert_eq!(encoded(b"/\xfc\xc3\xbc"), "/%FC%C3%BC");
    }
}
