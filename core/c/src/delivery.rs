//! How long a connection is kept after its machine is over.

use core::{ffi::c_void, time::Duration};

use greet_core::{
    Instant,
    drive::{Delivery, Release},
};

use crate::memory::place;

const _: () = assert!(size_of::<Delivery>() <= 24, "GREET_DELIVERY_SIZE is too small");

/// The delivery of the last bytes and the FIN, from the moment that a machine is over until its connection may be released.
pub struct GreetDelivery(Delivery);

/// What to do with a connection whose machine is over.
#[repr(C)]
pub enum GreetRelease {
    /// Keep it, and do not read. Look again when the peer has acknowledged something, and at the time in `until`.
    Wait,
    /// Everything was delivered, but late: read and discard. Close it at the peer's FIN; otherwise look again at the time in
    /// `until`.
    Discard,
    /// Everything is delivered: close it.
    Close,
    /// The rest cannot be delivered: reset it.
    Reset,
}

/// A machine is over at `now`, and so much of its connection is not acknowledged: the bytes that were written, and one for the
/// FIN. Returns the delivery, which lies in `storage`; NULL if that is smaller than GREET_DELIVERY_SIZE or not aligned.
///
/// If the network stack cannot tell what is acknowledged, use no delivery: discard the input that is there, and close the
/// connection in order.
///
/// # Safety
/// `storage` is null or has `size` bytes, which nothing else uses as long as the delivery is used.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn greet_delivery_init(
    storage: *mut c_void,
    size: usize,
    now: u64,
    unacknowledged: usize,
) -> *mut GreetDelivery {
    let delivery = GreetDelivery(Delivery::new(Instant::from_micros(now), unacknowledged));
    // SAFETY: the caller states it.
    unsafe { place(storage, size, delivery) }
}

/// What to do at `now`, when so much is not acknowledged. `limit` is how many microseconds the peer may acknowledge nothing:
/// 2,000,000 or more. Writes when to look again to `until`, which may be NULL.
#[unsafe(no_mangle)]
pub extern "C" fn greet_delivery_look(
    delivery: Option<&mut GreetDelivery>,
    now: u64,
    unacknowledged: usize,
    limit: u64,
    until: Option<&mut u64>,
) -> GreetRelease {
    let Some(GreetDelivery(delivery)) = delivery else { return GreetRelease::Close };
    let (release, time) = match delivery.look(Instant::from_micros(now), unacknowledged, Duration::from_micros(limit)) {
        Release::Wait(time) => (GreetRelease::Wait, time),
        Release::Discard(time) => (GreetRelease::Discard, time),
        Release::Close => (GreetRelease::Close, Instant::from_micros(now)),
        Release::Reset => (GreetRelease::Reset, Instant::from_micros(now)),
    };
    if let Some(until) = until {
        *until = time.as_micros();
    }
    release
}
