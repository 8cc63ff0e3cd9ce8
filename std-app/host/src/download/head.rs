//! Fields of a response's head that a download needs.

use core::time::Duration;

use greet_core::HttpHead;

/// The field `Content-Range` (RFC 9110, 14.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ContentRange {
    /// The offsets of the first and the last byte that are sent; none where the range cannot be satisfied.
    pub(super) part: Option<(u64, u64)>,
    /// The length of the whole page, if it is known.
    pub(super) total: Option<u64>,
}

impl ContentRange {
    /// Whether this part, of `length` bytes if that is known, completes a page of which the first `present` bytes are there.
    pub(super) fn completes(self, present: u64, length: Option<u64>) -> bool {
        let Some((first, last)) = self.part else { return false };
        let is_to_the_end = self.total.is_none_or(|total| total.checked_sub(1) == Some(last));
        let is_whole =
            length.is_none_or(|length| length.checked_sub(1).is_some_and(|more| first.checked_add(more) == Some(last)));
        first == present && is_to_the_end && is_whole
    }
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
    let total = if total == "*" { None } else { Some(total.parse().ok()?) };
    let part = match range {
        "*" => None,
        range => {
            let (first, last) = range.split_once('-')?;
            let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
            if last < first || total.is_some_and(|total| total <= last) {
                return None;
            }
            Some((first, last))
        }
    };
    Some(ContentRange { part, total })
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
    fn a_content_range_has_a_part_and_a_total() {
        let of = |part, total| Some(ContentRange { part, total });
        for (text, expected) in [
            ("bytes 5-9/10", of(Some((5, 9)), Some(10))),
            ("Bytes 5-9/*", of(Some((5, 9)), None)),
            ("bytes */10", of(None, Some(10))),
            ("bytes 5-10/10", None),
            ("bytes 5-4/10", None),
            ("bytes 5/10", None),
            ("bytes x-9/10", None),
            ("bytes 5-x/10", None),
            ("lines 5-9/10", None),
            ("bytes", None),
        ] {
            assert_eq!(range(text), expected, "{text}");
        }
    }

    #[test]
    fn a_range_completes_a_file_if_it_starts_at_its_end_and_the_total_length_matches() {
        for (text, present, length, completes) in [
            ("bytes 3-5/6", 3, Some(3), true),
            ("bytes 3-5/6", 3, None, true),
            ("bytes 3-5/*", 3, Some(3), true),
            ("bytes 3-5/6", 2, Some(3), false),
            ("bytes 3-4/6", 3, Some(2), false),
            ("bytes 3-5/6", 3, Some(2), false),
            ("bytes */6", 3, Some(0), false),
        ] {
            assert_eq!(range(text).unwrap().completes(present, length), completes, "{text} {present} {length:?}");
        }
    }

    #[test]
    fn a_reference_keeps_every_byte() {
        assert_eq!(encoded(b"/a?b#c"), "/a?b#c");
        assert_eq!(encoded(b"/\xfc\xc3\xbc"), "/%FC%C3%BC");
    }
}
