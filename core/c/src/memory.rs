//! The caller's memory: machines in its storage, and its buffers.

use core::{ffi::c_void, ptr, slice};

/// Puts `value` into the caller's storage of `size` bytes. A null pointer if the storage is too small or not aligned.
///
/// # Safety
/// `storage` is null, or that many bytes from it on are the caller's to write, and nothing else refers to them.
pub(crate) unsafe fn place<T>(storage: *mut c_void, size: usize, value: T) -> *mut T {
    let place = storage.cast::<T>();
    if place.is_null() || !place.is_aligned() || size < size_of::<T>() {
        return ptr::null_mut();
    }
    // SAFETY: it is large enough and aligned, and the caller states that it may be written.
    unsafe { place.write(value) };
    place
}

/// The bytes of a buffer; none for a null pointer.
///
/// # Safety
/// `bytes` is null, or that many bytes from it on are readable, and are not written during `'a`.
pub(crate) unsafe fn input<'a>(bytes: *const u8, length: usize) -> &'a [u8] {
    if bytes.is_null() || isize::try_from(length).is_err() {
        return &[];
    }
    // SAFETY: the caller states it.
    unsafe { slice::from_raw_parts(bytes, length) }
}

/// The bytes of a buffer to fill; none for a null pointer.
///
/// # Safety
/// `bytes` is null, or that many bytes from it on are initialized and the caller's to write during `'a`.
pub(crate) unsafe fn output<'a>(bytes: *mut u8, length: usize) -> &'a mut [u8] {
    if bytes.is_null() || isize::try_from(length).is_err() {
        return &mut [];
    }
    // SAFETY: the caller states it.
    unsafe { slice::from_raw_parts_mut(bytes, length) }
}
