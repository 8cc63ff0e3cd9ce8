//! A capture of all frames in a pcap file, for tcpdump and Wireshark.
//!
//! A write error ends the capture, but not the program. It is logged once, and the file is truncated to whole packets.

use core::{cell::RefCell, time::Duration};
use std::{
    fs::File,
    io::{self, ErrorKind, Write},
    path::{Path, PathBuf},
    rc::Rc,
    time::SystemTime,
};

use greet_core::Instant;
use greet_host::clock;
use smoltcp::{phy::PcapSink, time};

/// Maximum number of buffered bytes.
const BUFFER: usize = 64 * 1024;

/// A capture, or a no-op by default. Clones write to the same file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Capture(Option<Rc<RefCell<Writer>>>);

#[derive(Debug)]
struct Writer {
    path: PathBuf,
    /// `None` after an error.
    file: Option<File>,
    /// The length of the file in bytes. It holds whole packets only.
    length: u64,
    /// Whole packets that are not yet written.
    pending: Vec<u8>,
    /// The end of each packet in `pending`.
    ends: Vec<usize>,
    /// The time of day when the program's clock was 0, since the Unix epoch.
    start: Duration,
}

impl Capture {
    /// Creates a capture file, or truncates an existing one.
    ///
    /// # Errors
    /// If the file cannot be created.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        let file = Some(File::create(path)?);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let start = now.saturating_sub(clock::now().since(Instant::ZERO));
        let (path, pending) = (path.to_owned(), Vec::with_capacity(BUFFER));
        let writer = Writer { path, file, length: 0, pending, ends: Vec::new(), start };
        Ok(Self(Some(Rc::new(RefCell::new(writer)))))
    }

    /// Writes the buffered packets. Call it before each wait, so that no packet is missing if the program is killed.
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
        if let Some(writer) = &self.0 {
            let mut writer = writer.borrow_mut();
            let end = writer.pending.len();
            writer.ends.push(end);
        }
    }
}

impl Writer {
    fn write_out(&mut self) {
        let (written, result) = match &mut self.file {
            Some(file) => write_all(file, &self.pending),
            None => return,
        };
        match result {
            Ok(()) => self.length = self.length.saturating_add(written as u64),
            Err(error) => self.end(written, &error),
        }
        self.pending.clear();
        self.ends.clear();
    }

    /// Ends the capture after a write error. `written` is the number of pending bytes that were written before it.
    fn end(&mut self, written: usize, error: &io::Error) {
        let whole = whole_packets(&self.ends, written);
        let length = self.length.saturating_add(whole as u64);
        // Fails for a pipe, which has no length.
        if let Some(file) = self.file.take() {
            let _ = file.set_len(length);
        }
        let path = self.path.display();
        tracing::warn!("the capture {path} ends here, after {length} bytes: it cannot be written ({error})");
    }
}

/// Writes `bytes`. Returns the number of written bytes, and the error that stopped it, if any.
fn write_all(file: &mut impl Write, bytes: &[u8]) -> (usize, io::Result<()>) {
    let mut written = 0;
    while let Some(rest @ [_, ..]) = bytes.get(written..) {
        match file.write(rest) {
            Ok(0) => return (written, Err(ErrorKind::WriteZero.into())),
            Ok(count) => written += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return (written, Err(error)),
        }
    }
    (written, Ok(()))
}

/// The length of the whole packets within the first `written` bytes. Packets end at `ends`.
fn whole_packets(ends: &[usize], written: usize) -> usize {
    ends.iter().copied().take_while(|&end| end <= written).last().unwrap_or(0)
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.write_out();
        // Some file systems report a full disk only now. Only a regular file can be synchronized.
        if let Some(file) = &self.file
            && file.metadata().is_ok_and(|metadata| metadata.is_file())
            && let Err(error) = file.sync_data()
        {
            self.end(0, &error);
        }
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
        assert_eq!((number(0), number(20)), (0xa1b2_c3d4, 1), "of Ethernet frames, in this host's byte order");
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

    /// A disk and its capacity in bytes.
    struct Disk(Vec<u8>, usize);

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let room = self.1.saturating_sub(self.0.len()).min(bytes.len()).min(7);
            self.0.extend_from_slice(&bytes[..room]);
            if room == 0 { Err(ErrorKind::StorageFull.into()) } else { Ok(room) }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_partial_write_keeps_the_whole_packets() {
        let ends = [24, 60, 100];
        for room in 0..=110 {
            let (written, result) = write_all(&mut Disk(Vec::new(), room), &[0; 100]);
            assert_eq!((written, result.is_ok()), (room.min(100), room >= 100));
            let whole = whole_packets(&ends, written);
            assert!(whole == 0 || ends.contains(&whole));
            assert!(whole <= written && ends.iter().all(|&end| end <= whole || end > written), "{room}");
        }
    }

    #[test]
    fn a_full_disk_ends_the_capture_and_nothing_else() {
        let packet = [0; 1500];
        capture_of(&[&packet[..]; 100], Path::new("/dev/full"));
        assert!(Capture::create(Path::new("/nonexistent/file")).is_err());
    }
}
