//! Displays segments and times in messages.

use core::fmt::Write;

use greet_core::Instant;

use crate::simulation::segment::Segment;

/// Displays a segment.
pub(super) struct Shown<'a>(pub(super) &'a Segment);

impl core::fmt::Display for Shown<'_> {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Segment { source, destination, control, sequence, acknowledged, length, window } = self.0;
        write!(formatter, "{source} > {destination} {control:?} sequence {}", sequence.0)?;
        if let Some(acknowledged) = acknowledged {
            write!(formatter, " acknowledges {}", acknowledged.0)?;
        }
        formatter.write_fmt(format_args!(" length {length} window {window}"))
    }
}

/// A time in seconds, with six decimal places.
pub(crate) fn seconds(now: Instant) -> String {
    let mut text = String::new();
    let micros = now.as_micros();
    let _ = write!(text, "{}.{:06}", micros / 1_000_000, micros % 1_000_000);
    text
}
