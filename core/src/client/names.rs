//! The queue of the names of a client: those in flight, and those that are not sent yet.

use super::NameError;
use crate::framing::{Bytes, append, keep_from};

/// The names that are not answered yet, in order: first those that are sent, then those that are not. Each needs two more bytes
/// for its length, and together they need at most `N` bytes.
#[derive(Clone, Debug)]
pub(super) struct Names<const N: usize> {
    /// Oldest first; before each name stands its length.
    bytes: Bytes<N>,
    /// The position of the oldest unanswered name. It is after `unsent` if a name was answered by an error before it was
    /// completely sent.
    unanswered: usize,
    /// The position of the first name that is not completely sent.
    unsent: usize,
    /// How many bytes of that name, and of the LF after it, are sent.
    sent: usize,
}

/// The size of the length before each name, in bytes.
const LENGTH_BYTES: usize = 2;

impl<const N: usize> Names<N> {
    /// The length of the longest name that fits, in bytes.
    pub(super) const LONGEST: usize = N.saturating_sub(LENGTH_BYTES);

    pub(super) const fn new() -> Self {
        const { assert!(LENGTH_BYTES < N && N <= u16::MAX as usize, "a client's capacity is 3 to 65,535 bytes") };
        Self { bytes: Bytes::new(), unanswered: 0, unsent: 0, sent: 0 }
    }

    /// Appends a name. If it does not fit, nothing is appended: [`NameError::Full`] if it may fit later, [`NameError::TooLong`] if
    /// never.
    pub(super) fn push(&mut self, name: &[u8]) -> Result<(), NameError> {
        let length = match u16::try_from(name.len()) {
            Ok(length) if name.len() <= Self::LONGEST => length.to_le_bytes(),
            _ => return Err(NameError::TooLong { limit: Self::LONGEST }),
        };
        let needed = name.len().saturating_add(LENGTH_BYTES);
        if self.room() < needed {
            self.remove_answered();
        }
        if self.room() < needed {
            return Err(NameError::Full);
        }
        // Neither can fail: there is room.
        let _ = append(&mut self.bytes, &length, length.len());
        let _ = append(&mut self.bytes, name, name.len());
        Ok(())
    }

    /// How many more bytes fit into the queue.
    fn room(&self) -> usize {
        N.saturating_sub(self.bytes.len())
    }

    /// The first name that is not completely sent, and how many bytes of it, and of the LF after it, are.
    pub(super) fn next_to_send(&self) -> Option<(&[u8], usize)> {
        self.name_at(self.unsent).map(|(name, _)| (name, self.sent))
    }

    /// The first `sent` bytes of that name, and of the LF after it, are sent, and more follow.
    pub(super) const fn sent_part(&mut self, sent: usize) {
        self.sent = sent;
    }

    /// That name is completely sent, with the LF after it.
    pub(super) fn sent_whole(&mut self) {
        self.sent = 0;
        self.unsent = self.after(self.unsent);
    }

    /// The name that was sent last is a line, of which the end is not sent: no answer has come to it.
    pub(super) fn reopen_line(&mut self) {
        if let Some(name) = self.oldest_unanswered() {
            self.sent = name.len();
            self.unsent = self.unanswered;
        }
    }

    /// Whether every name is completely sent.
    pub(super) fn are_sent(&self) -> bool {
        self.unsent >= self.bytes.len()
    }

    /// Whether a name is partly sent.
    pub(super) const fn is_one_partly_sent(&self) -> bool {
        self.sent > 0
    }

    /// Whether a completely sent name is not answered.
    pub(super) const fn await_answer(&self) -> bool {
        self.unanswered < self.unsent
    }

    /// The oldest completely sent name that is not answered.
    pub(super) fn oldest_unanswered(&self) -> Option<&[u8]> {
        if self.await_answer() { self.name_at(self.unanswered).map(|(name, _)| name) } else { None }
    }

    /// The oldest name that is not answered and is at least partly sent.
    pub(super) fn oldest_begun(&self) -> Option<&[u8]> {
        let is_begun = self.await_answer() || (self.unanswered == self.unsent && self.sent > 0);
        if is_begun { self.name_at(self.unanswered).map(|(name, _)| name) } else { None }
    }

    /// Marks the oldest name as answered and returns it; an empty name if none was sent.
    pub(super) fn answered(&mut self) -> &[u8] {
        let from = self.unanswered;
        // L3: the error for a name that is too long may arrive while the name is still being sent.
        if self.oldest_begun().is_none() {
            return b"";
        }
        self.unanswered = self.after(from);
        self.name_at(from).map(|(name, _)| name).unwrap_or_default()
    }

    /// The name at `position`, and the position of the next one.
    fn name_at(&self, position: usize) -> Option<(&[u8], usize)> {
        let (length, names) = self.bytes.get(position..)?.split_first_chunk::<LENGTH_BYTES>()?;
        let name = names.get(..u16::from_le_bytes(*length).into())?;
        Some((name, position.saturating_add(LENGTH_BYTES).saturating_add(name.len())))
    }

    /// The position of the name after the one at `position`.
    fn after(&self, position: usize) -> usize {
        self.name_at(position).map_or(position, |(_, next)| next)
    }

    /// Removes the answered names, to make room at the end.
    fn remove_answered(&mut self) {
        let answered = self.unanswered.min(self.unsent); // a name may be answered before it is wholly sent
        keep_from(&mut self.bytes, answered);
        self.unanswered = self.unanswered.saturating_sub(answered);
        self.unsent = self.unsent.saturating_sub(answered);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sent_and_answered_in_order() {
        let mut names: Names<16> = Names::new();
        assert!(names.are_sent() && !names.await_answer());
        names.push(b"ha").unwrap();
        names.push(b"").unwrap();
        names.push(b"bye").unwrap();
        for name in [&b"ha"[..], b"", b"bye"] {
            assert_eq!(names.next_to_send(), Some((name, 0)));
            names.sent_whole();
        }
        assert_eq!(names.next_to_send(), None);
        assert!(names.are_sent());
        for name in [&b"ha"[..], b"", b"bye"] {
            assert_eq!(names.oldest_unanswered(), Some(name));
            assert_eq!(names.answered(), name);
        }
        assert_eq!(names.oldest_unanswered(), None);
        assert!(!names.await_answer());
    }

    #[test]
    fn a_name_counts_as_sent_when_all_of_it_is() {
        let mut names: Names<16> = Names::new();
        names.push(b"haha").unwrap();
        names.sent_part(3);
        assert_eq!(names.next_to_send(), Some((&b"haha"[..], 3)));
        assert!(names.is_one_partly_sent() && !names.are_sent() && !names.await_answer());
        assert_eq!(names.oldest_unanswered(), None);
        names.sent_whole();
        assert!(!names.is_one_partly_sent() && names.are_sent() && names.await_answer());
        assert_eq!(names.oldest_unanswered(), Some(&b"haha"[..]));
    }

    #[test]
    fn a_name_that_is_sent_in_part_can_be_answered_and_one_that_is_not_sent_cannot() {
        let mut names: Names<16> = Names::new();
        names.push(b"byebye").unwrap();
        assert_eq!(names.answered(), b"");
        names.sent_part(4);
        assert_eq!(names.answered(), b"byebye");
        assert_eq!(names.answered(), b""); // once
        names.push(b"haha").unwrap(); // the first name is still there: its end is not sent
        assert_eq!(names.next_to_send(), Some((&b"byebye"[..], 4)));
        names.sent_whole();
        assert!(!names.await_answer());
        assert_eq!(names.next_to_send(), Some((&b"haha"[..], 0)));
    }

    #[test]
    fn answered_names_make_room() {
        let mut names: Names<10> = Names::new();
        assert_eq!(names.push(&[b'a'; 9]), Err(NameError::TooLong { limit: 8 }));
        for name in [b"aaa", b"bbb"] {
            names.push(name).unwrap();
            names.sent_whole();
        }
        assert_eq!(names.push(b"ccc"), Err(NameError::Full));
        assert_eq!(names.answered(), b"aaa");
        names.push(b"ccc").unwrap();
        assert_eq!(names.next_to_send(), Some((&b"ccc"[..], 0)));
        assert_eq!(names.answered(), b"bbb");
        names.sent_whole();
        assert_eq!(names.push(&[b'd'; 8]), Err(NameError::Full));
        assert_eq!(names.answered(), b"ccc");
        names.push(&[b'd'; 8]).unwrap();
        assert_eq!(names.next_to_send(), Some((&[b'd'; 8][..], 0)));
    }
}
