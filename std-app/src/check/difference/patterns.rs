//! Patterns of wrong bytes that show their cause, in any probe.

use crate::export::number::{Count, counted};

/// A difference: the correct bytes before it, and the bytes from it on, as far as they are known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Difference<'a> {
    pub(super) before: &'a [u8],
    pub(super) expected: &'a [u8],
    pub(super) received: &'a [u8],
}

type Pattern = fn(&Difference<'_>) -> Option<String>;

/// The causes of all patterns that match, the most certain first.
pub(super) fn causes(difference: &Difference<'_>) -> Vec<String> {
    const PATTERNS: [Pattern; 10] = [
        line_ends,
        lost_beginning,
        stale_tail,
        removed,
        seventh_bit,
        swapped_halves,
        rotated_word,
        format_string,
        wrong_bit,
        periodic,
    ];
    PATTERNS.iter().filter_map(|pattern| pattern(difference)).collect()
}

impl<'a> Difference<'a> {
    /// The positions at which both are known and differ, with both bytes.
    fn wrong(&self) -> impl Iterator<Item = (usize, u8, u8)> + use<'a> {
        let pairs = self.expected.iter().zip(self.received).enumerate();
        pairs
            .filter(|(_, (expected, received))| expected != received)
            .map(|(at, (expected, received))| (at, *expected, *received))
    }

    /// Whether at most a quarter of the bytes is wrong: they are at their own positions, and some are changed.
    fn is_in_place(&self) -> bool {
        let known = self.expected.len().min(self.received.len());
        4 * self.wrong().count() <= known
    }
}

/// Line feeds are sent as CR LF, each of them.
fn line_ends(difference: &Difference<'_>) -> Option<String> {
    const FEWEST: usize = 2;
    let Difference { expected, received, .. } = *difference;
    let sent: Vec<u8> =
        expected.iter().flat_map(|&byte| if byte == b'\n' { vec![b'\r', byte] } else { vec![byte] }).collect();
    let known = sent.len().min(received.len());
    let is_sent = received.starts_with(b"\r\n") && expected.starts_with(b"\n") && known >= FEWEST;
    (is_sent && sent.get(..known) == received.get(..known))
        .then(|| "LF is sent as CR LF: the line ends of a terminal or a text file".to_owned())
}

/// All bytes of one value are missing.
fn removed(difference: &Difference<'_>) -> Option<String> {
    const ENOUGH: usize = 3;
    let Difference { expected, received, .. } = *difference;
    let value = *expected.first()?;
    let left: Vec<u8> = expected.iter().copied().filter(|byte| *byte != value).collect();
    let known = left.len().min(received.len());
    let times = expected.len() - left.len();
    // A single one that is missing may be any byte, unless it is one that text functions treat in a special way.
    let is_special = value.is_ascii_control();
    let is_removed = (is_special || times >= ENOUGH)
        && known >= ENOUGH.min(left.len()).max(1)
        && left.get(..known) == received.get(..known);
    is_removed.then(|| match value {
        0 => "a NUL is dropped or ends the message: bytes are copied as a C string".to_owned(),
        b'\r' | b'\n' => "line ends are dropped or changed".to_owned(),
        _ if is_special => "a control character is dropped or edits the line, as on a terminal".to_owned(),
        _ => format!("bytes of the value {value:#04X} are dropped: it is taken for an escape"),
    })
}

/// The connection begins with later bytes.
fn lost_beginning(difference: &Difference<'_>) -> Option<String> {
    const ENOUGH: usize = 4;
    let Difference { before, expected, received } = *difference;
    let is_lost = before.is_empty() && received.len() >= ENOUGH && received.len() < expected.len();
    (is_lost && expected.ends_with(received)).then(|| {
        format!(
            "the first {} of the connection are lost: bytes that come right after the handshake are discarded, or a first read is \
             not answered",
            counted((expected.len() - received.len()) as u64, "byte")
        )
    })
}

/// Additional bytes that an earlier message ended with.
fn stale_tail(difference: &Difference<'_>) -> Option<String> {
    const FEWEST: usize = 2;
    const ENOUGH: usize = 24;
    let Difference { before, expected, received } = *difference;
    let sample = expected.get(..expected.len().min(ENOUGH)).filter(|sample| !sample.is_empty())?;
    let extra =
        (FEWEST..received.len()).find(|&count| received.get(count..).is_some_and(|rest| rest.starts_with(sample)))?;
    let bytes = received.get(..extra)?;
    let contains = |bytes: &[u8], part: &[u8]| bytes.windows(part.len()).any(|window| window == part);
    // What was sent last is repeated for other reasons, and a tail contains no beginning of a reply.
    let is_known = contains(before, bytes) && !before.ends_with(bytes) && !contains(bytes, b"Hello");
    is_known.then(|| {
        format!(
            "the last {} of an earlier, longer message are sent again behind this one: the length of the buffer is sent, not that \
             of the message",
            counted(extra as u64, "byte")
        )
    })
}

/// Bytes from 0x80 on lose their highest bit.
fn seventh_bit(difference: &Difference<'_>) -> Option<String> {
    let is_cleared = difference.wrong().all(|(_, expected, received)| received == expected & 0x7F);
    let (_, expected, received) = difference.wrong().next()?;
    is_cleared.then(|| {
        format!(
            "the highest bit is cleared ({expected:#04X} became {received:#04X}): a serial line with 7 bits, or text taken for ASCII"
        )
    })
}

/// The halves of one word of 32 bits are swapped.
fn rotated_word(difference: &Difference<'_>) -> Option<String> {
    let Difference { expected, received, .. } = *difference;
    let last = difference.wrong().last()?.0;
    let (right, wrong) = (expected.first_chunk::<4>()?, received.first_chunk::<4>()?);
    let is_rotated = last < right.len() && right[..2] == wrong[2..] && right[2..] == wrong[..2];
    is_rotated.then(|| {
        "the 16-bit halves of a word of 32 bits are swapped: the last word of a message is copied in another way than the others"
            .to_owned()
    })
}

/// The halves of words are swapped in a run of them.
fn swapped_halves(difference: &Difference<'_>) -> Option<String> {
    const FEWEST_WORDS: usize = 2;
    let Difference { before, expected, received } = *difference;
    let last = difference.wrong().last()?.0;
    let (word, order) = [2_usize, 4].into_iter().find_map(|word| {
        // The first wrong byte may be any byte of its word: equal ones do not differ.
        (0..word).find_map(|lead| {
            let context = before.get(before.len().checked_sub(lead)?..)?;
            let end = (lead + last + 1).next_multiple_of(word);
            let expected: Vec<u8> = [context, expected].concat().into_iter().take(end).collect();
            let received: Vec<u8> = [context, received].concat().into_iter().take(end).collect();
            let words = expected.chunks_exact(word).zip(received.chunks_exact(word));
            let is_swapped = words.len() >= FEWEST_WORDS
                && words.clone().filter(|(expected, received)| expected != received).count() >= FEWEST_WORDS
                && words.clone().all(|(expected, received)| expected.iter().rev().eq(received));
            is_swapped.then_some((word, words.len()))
        })
    })?;
    Some(format!(
        "in {} the {word} bytes are reversed: words are copied with the wrong byte order, or a 16-bit bus swaps its halves",
        counted(order as u64, "word")
    ))
}

/// The server passes the text to `printf` as its format.
fn format_string(difference: &Difference<'_>) -> Option<String> {
    /// Bytes of a conversion, and of what it prints.
    const CONVERSION: usize = 4;
    const PRINTED: usize = 24;
    const ENOUGH: usize = 4;
    let Difference { before, expected, received } = *difference;
    // One wrong byte at its own position was not printed.
    if difference.wrong().count() == 1 {
        return None;
    }
    // `%d` becomes a number, and of `%%` the second one is missing.
    let lengths = match (before.last(), expected.first()) {
        (Some(b'%'), Some(_)) => 1..=CONVERSION - 1,
        (_, Some(b'%')) => 2..=CONVERSION,
        _ => return None,
    };
    let follows = |length: usize, printed: usize| {
        // Bytes that are missing look the same, unless it is one of two percent signs.
        let printed_bytes = received.get(..printed).unwrap_or_default();
        let is_missing =
            length > 1 && expected.get(length - printed.min(length)..length).unwrap_or_default() == printed_bytes;
        if is_missing && !(printed == 0 && is_whole_conversion(expected.get(..length).unwrap_or_default())) {
            return false;
        }
        let (rest, other) = (expected.get(length..).unwrap_or_default(), received.get(printed..).unwrap_or_default());
        let known = rest.len().min(other.len()).min(2 * ENOUGH);
        known >= ENOUGH.min(rest.len()).max(1) && rest.get(..known) == other.get(..known)
    };
    let is_conversion = lengths.into_iter().any(|length| (0..PRINTED).any(|printed| follows(length, printed)));
    is_conversion.then(|| {
        "a `%` in the data is interpreted: the text is used as the format of printf instead of as its argument"
            .to_owned()
    })
}

/// Whether these bytes are `%`, perhaps a width, and a conversion of `printf` that may print nothing.
fn is_whole_conversion(bytes: &[u8]) -> bool {
    let [b'%', width @ .., conversion] = bytes else { return false };
    width.iter().all(u8::is_ascii_digit) && b"diouxXscpn".contains(conversion)
}

/// The same bit is wrong in each wrong byte.
fn wrong_bit(difference: &Difference<'_>) -> Option<String> {
    let bits = |(_, expected, received): (usize, u8, u8)| expected ^ received;
    let bit = bits(difference.wrong().next()?);
    let count = difference.wrong().count();
    let is_one =
        bit.count_ones() == 1 && difference.is_in_place() && difference.wrong().all(|wrong| bits(wrong) == bit);
    // A single byte is handled by the caller, which knows the length of the correct bytes.
    (is_one && count > 1).then(|| {
        format!(
            "one bit is wrong ({bit:#04X} in each of {count} bytes): a data line of a bus, or memory; and a checksum that is not \
             computed or not checked"
        )
    })
}

/// The wrong bytes repeat at a fixed distance.
fn periodic(difference: &Difference<'_>) -> Option<String> {
    const FEWEST: usize = 3;
    if !difference.is_in_place() {
        return None;
    }
    let mut begins: Vec<usize> = Vec::new();
    let mut last = None;
    for (at, ..) in difference.wrong() {
        // Bytes within a run may be correct by chance.
        if last.is_none_or(|last| at > last + 4) {
            begins.push(at);
        }
        last = Some(at);
    }
    let distances: Vec<usize> = begins.windows(2).filter_map(|pair| Some(pair.get(1)? - pair.first()?)).collect();
    // A wrong byte may be correct by chance: then the distance is a multiple.
    let period = *distances.iter().min()?;
    let is_regular = begins.len() >= FEWEST && distances.iter().all(|distance| distance.is_multiple_of(period));
    is_regular.then(|| {
        format!(
            "the bytes are wrong again every {} bytes: a ring buffer or a block of that size, and its end is off by one",
            Count(period as u64)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(from: usize, count: usize) -> Vec<u8> {
        (from..from + count).map(|position| u8::try_from(super::super::mixed(position) & 0xFF).unwrap()).collect()
    }

    fn first(before: &[u8], expected: &[u8], received: &[u8]) -> String {
        causes(&Difference { before, expected, received }).into_iter().next().unwrap_or_default()
    }

    #[test]
    fn the_tail_of_an_earlier_message_is_recognized() {
        let before = b"Hello, a long name indeed!\nHello, short!\n";
        let cause = first(before, b"Hello, next!\n", b"ndeed!\nHello, next!\n");
        assert!(cause.starts_with("the last 7 bytes of an earlier, longer message"), "{cause}");
        assert_eq!(first(before, b"Hello, next!\n", b"Hello, short!\nHello, next!\n"), "", "a whole reply");
    }

    #[test]
    fn a_lost_beginning_is_distinguished_from_bytes_that_are_lost_later() {
        assert!(first(b"", b"greet check", b"t check").starts_with("the first 4 bytes of the connection are lost"));
        assert_eq!(first(b"gre", b"et check", b"check"), "");
    }

    #[test]
    fn swapped_halves_of_one_word_are_recognized() {
        assert!(first(b"gree", b"t check", b"cht eck").starts_with("the 16-bit halves of a word"));
        assert_eq!(first(b"gree", b"t check", b"cht ecK"), "", "more than one word is wrong");
    }

    #[test]
    fn halves_that_are_swapped_in_a_run_are_recognized() {
        let (before, expected) = (bytes(0, 100), bytes(100, 200));
        for (word, from) in [(2, 0), (2, 1), (4, 0)] {
            let mut received = expected.clone();
            received[from..from + 40].chunks_exact_mut(word).for_each(<[u8]>::reverse);
            let same = expected.iter().zip(&received).take_while(|(one, other)| one == other).count();
            let before = [&before[..], &expected[..same]].concat();
            let cause = first(&before, &expected[same..], &received[same..]);
            assert!(cause.contains(&format!("the {word} bytes are reversed")), "{word} {from}: {cause}");
        }
    }

    #[test]
    fn a_bit_pattern_is_recognized_if_all_wrong_bytes_have_it() {
        let expected = bytes(0, 256);
        let seventh: Vec<u8> = expected.iter().map(|byte| byte & 0x7F).collect();
        let at = expected.iter().position(|byte| byte & 0x80 != 0).unwrap();
        assert!(first(&expected[..at], &expected[at..], &seventh[at..]).starts_with("the highest bit is cleared"));
        let mut one = expected.clone();
        [0, 17, 90].into_iter().for_each(|at: usize| one[at] ^= 4);
        assert!(first(b"", &expected, &one).starts_with("one bit is wrong (0x04 in each of 3 bytes)"));
    }

    #[test]
    fn a_percent_sign_that_is_interpreted_is_recognized() {
        assert!(first(b"Hello, 5", b"%d!\n", b"4711!\n").contains("printf"));
        assert!(first(b"Hello, %", b"%!\n", b"!\n").contains("printf"));
        assert!(first(b"Hello, 5", b"%nabcdefg!\n", b"abcdefg!\n").contains("printf"));
        assert_eq!(first(b"Hello, 5", b"d!\n", b"0!\n"), "");
        assert_eq!(first(b"Hello, W", b"%-IY!\n", b"$-IY!\n"), "", "one bit is wrong");
        assert_eq!(first(b"Hello, 5", b"%abcdefghijklmnopq", b"cdefghijklmnopqrs"), "");
    }

    #[test]
    fn line_ends_that_are_changed_or_dropped_are_recognized() {
        assert!(first(b"", b"\n\n\n", b"\r\n\r\n\r\n").starts_with("LF is sent as CR LF"));
        assert!(first(b"one", b"\ntwo\nthree", b"twothree").starts_with("line ends are dropped"));
        assert!(first(b"a", b"\0bcd\0", b"bcd").starts_with("a NUL is dropped"));
        assert_eq!(first(b"a", b"Xbcdef", b"bcdef"), "", "one byte of many");
    }

    #[test]
    fn a_ring_of_any_size_is_recognized_by_its_period() {
        let expected = bytes(0, 1000);
        let mut received = expected.clone();
        (0..1000).step_by(127).for_each(|at| received[at] = !received[at]);
        assert!(first(b"", &expected, &received).contains("every 127 bytes"));
        received[381] = expected[381];
        assert!(first(b"", &expected, &received).contains("every 127 bytes"), "one is correct by chance");
        assert_eq!(first(b"", &expected, &bytes(3, 1000)), "", "other bytes altogether");
    }
}
