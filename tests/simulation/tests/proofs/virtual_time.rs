//! What the proofs of machines in virtual time share: instants, and the output that is due.

use greet_core::{Instant, Machine};

/// This many seconds after the start.
pub(crate) fn at(seconds: u64) -> Instant {
    Instant::from_micros(seconds * 1_000_000)
}

/// All output that is due at `now`; the FIN is sent if it is due.
pub(crate) fn owed<M: Machine>(machine: &mut M, now: Instant) -> Vec<u8> {
    let mut output = Vec::new();
    let mut buffer = [0; 16];
    machine.handle_timeout(now);
    loop {
        let given = machine.transmit(now, &mut buffer);
        if given == 0 {
            machine.delivered(now);
            return output;
        }
        output.extend_from_slice(&buffer[..given]);
    }
}
