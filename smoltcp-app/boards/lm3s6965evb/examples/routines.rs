//! Proves the small routines of `greet-board` against naive ones: in QEMU, which ends with status 0 if all are right.

#![no_std]
#![no_main]
#![expect(clippy::cast_possible_truncation, reason = "bytes of a pattern, and a remainder that is below its divisor")]

use core::ptr::{read_volatile, write_volatile};

use cortex_m_rt::entry;
use greet_board::cortex_m::{Handler, interrupts};
use semihosting::process::exit;

unsafe extern "C" {
    fn memcpy(to: *mut u8, from: *const u8, bytes: usize) -> *mut u8;
    fn memmove(to: *mut u8, from: *const u8, bytes: usize) -> *mut u8;
    fn memset(to: *mut u8, byte: i32, bytes: usize) -> *mut u8;
    fn __aeabi_memset(to: *mut u8, bytes: usize, byte: i32);
    fn __aeabi_memclr(to: *mut u8, bytes: usize);
}

/// Lengths of blocks; the alignments, and the distances of overlapping blocks, go with them.
const LONGEST: usize = 40;
const ALIGNMENTS: usize = 8;
const ROOM: usize = 2 * (LONGEST + ALIGNMENTS) + LONGEST;

/// No interrupt is used.
// SAFETY: the section is the one in which the processor looks for it, and the name the one by which it is kept.
#[unsafe(link_section = ".vector_table.interrupts")]
#[unsafe(no_mangle)]
static __INTERRUPTS: [Handler; 1] = interrupts([]);

/// A block of memory that is looked at byte by byte, which no compiler makes a call of memcpy of.
#[repr(align(8))]
#[expect(dead_code, reason = "it is used by its address")]
struct Block([u8; ROOM]);

static mut HERE: Block = Block([0; ROOM]);
static mut THERE: Block = Block([0; ROOM]);

fn here() -> *mut u8 {
    (&raw mut HERE).cast()
}

fn there() -> *mut u8 {
    (&raw mut THERE).cast()
}

/// What is at `index` before a routine runs.
fn pattern(index: usize) -> u8 {
    (index as u8).wrapping_mul(7).wrapping_add(3)
}

fn fill(block: *mut u8) {
    for index in 0..ROOM {
        // SAFETY: within the block.
        unsafe { write_volatile(block.add(index), pattern(index)) };
    }
}

/// Ends with a status that tells the routine if a byte of the block is not what `expected` says.
fn check(block: *mut u8, routine: i32, expected: impl Fn(usize) -> u8) {
    for index in 0..ROOM {
        // SAFETY: within the block.
        if unsafe { read_volatile(block.add(index)) } != expected(index) {
            exit(routine);
        }
    }
}

fn is_within(index: usize, start: usize, length: usize) -> bool {
    (start..start + length).contains(&index)
}

fn copies() {
    fill(there());
    for to in 0..ALIGNMENTS {
        for from in 0..ALIGNMENTS {
            for length in 0..=LONGEST {
                fill(here());
                // SAFETY: both are within their blocks.
                let result = unsafe { memcpy(here().add(to), there().add(from), length) };
                check(here(), 2, |index| pattern(if is_within(index, to, length) { index - to + from } else { index }));
                if result != here().wrapping_add(to) {
                    exit(3);
                }
            }
        }
    }
}

fn moves() {
    for to in 0..LONGEST + ALIGNMENTS {
        for from in 0..LONGEST + ALIGNMENTS {
            for length in 0..=LONGEST {
                fill(here());
                // SAFETY: both are within the block.
                let result = unsafe { memmove(here().add(to), here().add(from), length) };
                check(here(), 4, |index| pattern(if is_within(index, to, length) { index - to + from } else { index }));
                if result != here().wrapping_add(to) {
                    exit(5);
                }
            }
        }
    }
}

fn fills() {
    for to in 0..ALIGNMENTS {
        for length in 0..=LONGEST {
            let expected = |byte: u8| move |index| if is_within(index, to, length) { byte } else { pattern(index) };
            fill(here());
            // SAFETY: within the block.
            let result = unsafe { memset(here().add(to), 0x1A5, length) };
            check(here(), 6, expected(0xA5));
            if result != here().wrapping_add(to) {
                exit(7);
            }
            fill(here());
            // SAFETY: within the block.
            unsafe { __aeabi_memset(here().add(to), length, 0x5A) };
            check(here(), 8, expected(0x5A));
            // SAFETY: within the block.
            unsafe { __aeabi_memclr(here().add(to), length) };
            check(here(), 9, expected(0));
        }
    }
}

/// Quotient and remainder, bit by bit.
fn divided(dividend: u64, divisor: u64) -> (u64, u64) {
    let (mut quotient, mut remainder) = (0, 0_u128);
    for bit in (0..u64::BITS).rev() {
        remainder = remainder << 1 | u128::from(dividend >> bit & 1);
        if remainder >= u128::from(divisor) {
            remainder -= u128::from(divisor);
            quotient |= 1 << bit;
        }
    }
    (quotient, remainder as u64)
}

fn check_division(dividend: u64, divisor: u64) {
    let (dividend, divisor) = (core::hint::black_box(dividend), core::hint::black_box(divisor));
    if divisor != 0 && (dividend / divisor, dividend % divisor) != divided(dividend, divisor) {
        exit(10);
    }
}

fn divisions() {
    // Every length of both numbers, and what lies beside a power of two.
    for a in 0..u64::BITS {
        for b in 0..u64::BITS {
            for dividend in [(1 << a) - 1, 1 << a, (1_u64 << a) + 1, u64::MAX >> a] {
                for divisor in [(1 << b) - 1, 1 << b, (1_u64 << b) + 1, u64::MAX >> b] {
                    check_division(dividend, divisor);
                }
            }
        }
    }
    // And numbers without a pattern (splitmix64).
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (state ^ state >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed ^ mixed >> 27
    };
    for shift in 0..u64::BITS {
        for _ in 0..50 {
            check_division(next(), next() >> shift);
        }
    }
}

#[entry]
fn main() -> ! {
    copies();
    moves();
    fills();
    divisions();
    exit(0)
}
