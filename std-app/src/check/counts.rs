//! What a connection had carried when it ended or stood still, and which limit is near these numbers.

use crate::export::number::Count;

/// Counted up to a failure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counts {
    /// Bytes to the server on this connection.
    pub(crate) sent: u64,
    /// Bytes from it.
    pub(crate) received: u64,
    /// Number of connections of this check.
    pub(crate) connections: u64,
}

impl Counts {
    /// The cause that these numbers point at. One who waits for an answer may wait for other reasons: then only if a number is
    /// near a limit.
    pub(crate) fn cause(self, is_hang: bool) -> Option<String> {
        let Self { sent, received, connections } = self;
        let happened = format!(
            "this happened after {} bytes to the server and {} bytes from it, on connection {} of this check",
            Count(sent),
            Count(received),
            Count(connections)
        );
        let limit = [("to the server", sent), ("from the server", received)]
            .into_iter()
            .find_map(|(direction, count)| near(count).map(|limit| (direction, limit)));
        match limit {
            Some((direction, limit)) => Some(format!(
                "{happened}. The bytes {direction} are about {}{}: look for a limit or a counter that overflows there",
                Count(limit),
                if limit == 1 << 16 { ", where a counter of 16 bits overflows" } else { "" }
            )),
            None if is_hang => None,
            None => Some(format!(
                "{happened}. If the numbers are similar each time, look for a limit or a counter that overflows. If not, look for \
                 what ends the task: a timer, or memory that is used up"
            )),
        }
    }
}

/// The limit that a count has just passed or reached: a power of two from 32 KiB on, give or take a few segments.
fn near(count: u64) -> Option<u64> {
    const LEAST: u32 = 15;
    const SEGMENTS: u64 = 3 * 1460;
    (LEAST..40).map(|power| 1_u64 << power).find(|limit| count.abs_diff(*limit) <= SEGMENTS.min(limit / 16))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cause(sent: u64, received: u64, is_hang: bool) -> String {
        Counts { sent, received, connections: 1201 }.cause(is_hang).unwrap_or_default()
    }

    #[test]
    fn a_count_near_a_power_of_two_points_at_a_limit() {
        assert!(
            cause(9_000, 65_535, true)
                .contains("from the server are about 65,536, where a counter of 16 bits overflows")
        );
        assert!(cause(4 << 20, 700_000, false).contains("to the server are about 4,194,304: look for a limit"));
        assert!(
            cause(9_000, 12_345, false)
                .contains("9,000 bytes to the server and 12,345 bytes from it, on connection 1,201")
        );
        assert_eq!(cause(9_000, 12_345, true), "", "a hang at any other place");
    }
}
