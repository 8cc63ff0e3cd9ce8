//! The greeting service over smoltcp: what a board links, and the program for a TAP device too.

#![no_std]
#![forbid(unsafe_code)]

pub mod drive;
pub mod impair;
pub mod pool;
pub mod stack;
pub mod time;
