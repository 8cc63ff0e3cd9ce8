//! Priority tags: a VLAN tag whose VLAN is 0 says that the frame is in no VLAN (IEEE 802.1Q, 6.9.1). smoltcp 0.14 drops such
//! frames. Some switches and hosts send them; here the tag is removed.

use super::lengths::LONGEST_FRAME;

/// Where the tag begins: after the two addresses.
const TAG: usize = 12;

/// Whether the frame has a priority tag.
pub(super) fn is_tagged(frame: &[u8]) -> bool {
    matches!(frame.get(TAG..TAG + 4), Some(&[0x81, 0, priority, vlan]) if priority & 0x0f == 0 && vlan == 0)
}

/// Passes `frame` without its tag to `receive`, if it is not too long. Not inlined: the copy takes stack only while it is needed.
#[inline(never)]
pub(super) fn without(frame: &[u8], receive: impl FnOnce(&[u8])) {
    let mut copy = [0; LONGEST_FRAME];
    let length = frame.len().saturating_sub(4);
    if let (Some(start), Some(end)) = (frame.get(..TAG), frame.get(TAG + 4..))
        && let Some(whole) = copy.get_mut(..length)
        && let Some((first, second)) = whole.split_at_mut_checked(TAG)
    {
        first.copy_from_slice(start);
        second.copy_from_slice(end);
        receive(whole);
    }
}
