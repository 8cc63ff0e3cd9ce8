//! The log's macros: defmt's where that is linked, and nothing where it is not.

/// Logs an event.
#[cfg(feature = "defmt")]
#[macro_export]
macro_rules! info {
    ($($arguments:tt)*) => { $crate::defmt::info!($($arguments)*) };
}

/// Logs an event; without the feature `defmt` it does nothing.
#[cfg(not(feature = "defmt"))]
#[macro_export]
macro_rules! info {
    ($text:literal $(, $argument:expr)* $(,)?) => {{ $( let _ = &$argument; )* }};
}

/// Logs an error.
#[cfg(feature = "defmt")]
#[macro_export]
macro_rules! error {
    ($($arguments:tt)*) => { $crate::defmt::error!($($arguments)*) };
}

/// Logs an error; without the feature `defmt` it does nothing.
#[cfg(not(feature = "defmt"))]
#[macro_export]
macro_rules! error {
    ($text:literal $(, $argument:expr)* $(,)?) => {{ $( let _ = &$argument; )* }};
}
