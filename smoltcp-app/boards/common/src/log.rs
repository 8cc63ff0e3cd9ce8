//! The log's macros: defmt's where that is linked, and nothing where it is not.

/// Logs what happens in ordinary service.
#[cfg(feature = "defmt")]
#[macro_export]
macro_rules! info {
    ($($arguments:tt)*) => { $crate::defmt::info!($($arguments)*) };
}

/// Logs what happens in ordinary service: in this build to nobody.
#[cfg(not(feature = "defmt"))]
#[macro_export]
macro_rules! info {
    ($text:literal $(, $argument:expr)* $(,)?) => {{ $( let _ = &$argument; )* }};
}

/// Logs what should not be.
#[cfg(feature = "defmt")]
#[macro_export]
macro_rules! error {
    ($($arguments:tt)*) => { $crate::defmt::error!($($arguments)*) };
}

/// Logs what should not be: in this build to nobody.
#[cfg(not(feature = "defmt"))]
#[macro_export]
macro_rules! error {
    ($text:literal $(, $argument:expr)* $(,)?) => {{ $( let _ = &$argument; )* }};
}
