//! The memory that the card and the program share: the pages of its queues, and what virtio-drivers has to know about
//! memory on this machine, where the card sees it at the same addresses as the program.

use core::{
    ptr::NonNull,
    sync::atomic::{AtomicUsize, Ordering},
};

use virtio_drivers::{BufferDirection, Hal, PAGE_SIZE, PhysAddr};

/// The network card has two queues, each of two pages.
const PAGES: usize = 4;

#[repr(C, align(4096))]
struct Pages([u8; PAGES * PAGE_SIZE]);
static mut PAGE_MEMORY: Pages = Pages([0; PAGES * PAGE_SIZE]);
/// How many of them are in use.
static GIVEN: AtomicUsize = AtomicUsize::new(0);

/// The memory of this machine.
pub(crate) struct Memory;

// SAFETY: see each method.
unsafe impl Hal for Memory {
    // Each page is given away once and never again, so it is zero, aliases nothing, and lives as long as the program.
    fn dma_alloc(pages: usize, _: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        let first = GIVEN.load(Ordering::Relaxed);
        let Some(end) = first.checked_add(pages).filter(|&end| end <= PAGES) else {
            return (0, NonNull::dangling()); // address 0 says that there are none
        };
        GIVEN.store(end, Ordering::Relaxed); // there is one hart, and no interrupt is ever taken
        let page = (&raw mut PAGE_MEMORY).cast::<u8>().wrapping_add(first * PAGE_SIZE);
        match NonNull::new(page) {
            Some(page) => (page.addr().get() as PhysAddr, page),
            None => (0, NonNull::dangling()),
        }
    }

    // Nothing is given away again: these queues live as long as the program.
    unsafe fn dma_dealloc(_: PhysAddr, _: NonNull<u8>, _: usize) -> i32 {
        0
    }

    // Only a PCI bus asks for this; here every address is what it is.
    unsafe fn mmio_phys_to_virt(address: PhysAddr, _: usize) -> NonNull<u8> {
        let address = usize::try_from(address).unwrap_or_default(); // it was one of this machine's
        NonNull::new(core::ptr::with_exposed_provenance_mut(address)).unwrap_or(NonNull::dangling())
    }

    // The card reads and writes the buffer itself: its address is all that it needs, and nothing is copied back.
    unsafe fn share(buffer: NonNull<[u8]>, _: BufferDirection) -> PhysAddr {
        buffer.cast::<u8>().as_ptr().expose_provenance() as PhysAddr
    }

    unsafe fn unshare(_: PhysAddr, _: NonNull<[u8]>, _: BufferDirection) {}
}
