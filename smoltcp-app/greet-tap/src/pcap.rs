//! The frames of a run in a file, for tcpdump and Wireshark.
//!
//! A capture is a help, not the service: where it cannot be written any more, that is said once, and all else goes on.

use core::{cell::RefCell, time::Duration};
use std::{
    fs::File,
    io::{self, Write},
    path::{Path, PathBuf},
    rc::Rc,
    time::SystemTime,
};

use greet_core::Instant;
use greet_host::clock;
use smoltcp::{phy::PcapSink, time};

/// So much is kept back before it is written, at the most.
const BUFFER: usize = 64 * 1024;

/// A capture, or none where nobody asked for one. Each of its copies writes to the same file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Capture(Option<Rc<RefCell<Writer>>>);

#[derive(Debug)]
struct Writer {
    path: PathBuf,
    /// `None` once it could not be written.
    file: Option<File>,
    /// Whole packets that are not written yet: so the file always ends with a whole one.
    pending: Vec<u8>,
    /// The time of day when the machines' clock began.
    start: Duration,
}

impl Capture {
    /// A capture to a new file.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        let file = Some(File::create(path)?);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let start = now.saturating_sub(clock::now().since(Instant::ZERO));
        let writer = Writer { path: path.to_owned(), file, pending: Vec::with_capacity(BUFFER), start };
        Ok(Self(Some(Rc::new(RefCell::new(writer)))))
    }

    /// Writes what is kept back: before each wait, so that the file of a program that is killed lacks nothing.
    pub(crate) fn write_out(&self) {
        if let Some(writer) = &self.0 {
            writer.borrow_mut().write_out();
        }
    }
}

impl PcapSink for Capture {
    fn write(&mut self, data: &[u8]) {
        if let Some(writer) = &self.0 {
            writer.borrow_mut().pending.extend_from_slice(data);
        }
    }

    fn packet(&mut self, timestamp: time::Instant, packet: &[u8]) {
        let Some(writer) = &self.0 else { return };
        let start = {
            let mut writer = writer.borrow_mut();
            if writer.file.is_none() {
                return;
            }
            if writer.pending.len().saturating_add(packet.len()) > BUFFER {
                writer.write_out();
            }
            writer.start
        };
        self.packet_header(timestamp + start.into(), packet.len());
        self.write(packet);
    }
}

impl Writer {
    fn write_out(&mut self) {
        if let Some(file) = &mut self.file
            && let Err(error) = file.write_all(&self.pending)
        {
            tracing::warn!("the capture {} ends here, for it cannot be written: {error}", self.path.display());
            self.file = None;
        }
        self.pending.clear();
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.write_out();
    }
}

#[cfg(test)]
mod tests {
    use smoltcp::phy::PcapLinkType;

    use super::*;

    fn capture_of(packets: &[&[u8]], path: &Path) {
        let mut capture = Capture::create(path).unwrap();
        capture.global_header(PcapLinkType::Ethernet);
        for packet in packets {
            capture.packet(time::Instant::from_micros(1_500_000_i64), packet);
        }
    }

    #[test]
    fn a_capture_has_every_packet_whole_with_the_time_of_day() {
        let path = std::env::temp_dir().join(format!("greet-tap-{}.pcap", std::process::id()));
        let long = vec![7; BUFFER - 100];
        capture_of(&[b"one", &long, b"three"], &path);
        let written = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();

        let number = |at: usize| u32::from_ne_bytes(written[at..at + 4].try_into().unwrap());
        assert_eq!((number(0), number(20)), (0xa1b2_c3d4, 1), "of Ethernet frames, in this machine's byte order");
        let mut at = 24;
        for packet in [&b"one"[..], &long, b"three"] {
            let seconds = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
            assert!(seconds.abs_diff(number(at).into()) < 60, "{} is not about {seconds}", number(at));
            assert_eq!(usize::try_from(number(at + 8)).unwrap(), packet.len());
            assert_eq!(number(at + 8), number(at + 12));
            assert_eq!(&written[at + 16..at + 16 + packet.len()], packet);
            at += 16 + packet.len();
        }
        assert_eq!(at, written.len());
    }

    #[test]
    fn a_full_disk_ends_the_capture_and_nothing_else() {
        let packet = [0; 1500];
        capture_of(&[&packet[..]; 100], Path::new("/dev/full"));
        assert!(Capture::create(Path::new("/nonexistent/file")).is_err());
    }
}
