//! How a path is shown in a message.

use std::path::Path;

use greet_core::Escaped;

/// The path with its control characters and invalid bytes escaped (rule K3).
#[must_use]
pub fn escaped(path: &Path) -> String {
    Escaped(path.as_os_str().as_encoded_bytes()).to_string()
}
