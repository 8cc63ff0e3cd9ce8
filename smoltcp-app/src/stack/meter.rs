//! The frames between the stack and its device, counted.

use smoltcp::{
    phy::{Device, DeviceCapabilities, PacketMeta, TxToken},
    time::Instant,
    wire::{TcpPacket, TcpSeqNumber},
};

use super::{guard::Guard, segment::in_frame};

/// What a stack has received and sent since it was made; the counters wrap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Counters {
    /// Received frames, those that were dropped included.
    pub frames_received: u32,
    /// Sent frames.
    pub frames_sent: u32,
    /// Connections to the service's port that were refused because no socket listened.
    pub refused: u32,
}

/// A device whose frames are counted.
pub(super) struct Metered<'a, D: ?Sized> {
    pub(super) device: &'a mut D,
    pub(super) counters: &'a mut Counters,
    /// The service's port.
    pub(super) port: u16,
    /// The device had no room for a frame.
    pub(super) exhausted: bool,
    /// What follows the segments of sockets.
    pub(super) guard: Option<&'a mut Guard>,
    /// The identification of the last IPv4 packet.
    #[cfg(feature = "ipv4")]
    pub(super) identification: &'a mut u16,
}

impl<D: Device + ?Sized> Device for Metered<'_, D> {
    type RxToken<'t>
        = D::RxToken<'t>
    where
        Self: 't;
    type TxToken<'t>
        = Token<'t, D::TxToken<'t>>
    where
        Self: 't;

    fn receive(&mut self, now: Instant) -> Option<(Self::RxToken<'_>, Self::TxToken<'_>)> {
        let (received, token) = self.device.receive(now)?;
        self.counters.frames_received = self.counters.frames_received.wrapping_add(1);
        Some((
            received,
            Token {
                token,
                meter: Meter {
                    counters: self.counters,
                    port: self.port,
                    guard: None,
                    #[cfg(feature = "ipv4")]
                    identification: self.identification,
                    meta: PacketMeta::default(),
                },
            },
        ))
    }

    fn transmit(&mut self, now: Instant) -> Option<Self::TxToken<'_>> {
        let token = self.device.transmit(now);
        self.exhausted |= token.is_none();
        token.map(|token| Token {
            token,
            meter: Meter {
                counters: self.counters,
                port: self.port,
                guard: self.guard.as_deref_mut(),
                #[cfg(feature = "ipv4")]
                identification: self.identification,
                meta: PacketMeta::default(),
            },
        })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        self.device.capabilities()
    }
}

/// Whether this frame begins or ends a connection.
pub(super) fn turns(frame: &[u8]) -> bool {
    in_frame(frame).is_some_and(|(segment, _)| segment.syn() || segment.fin() || segment.rst())
}

/// The right to send one frame, which is counted then.
pub(super) struct Token<'a, T> {
    token: T,
    meter: Meter<'a>,
}

/// What happens to each frame that is sent.
struct Meter<'a> {
    counters: &'a mut Counters,
    port: u16,
    guard: Option<&'a mut Guard>,
    #[cfg(feature = "ipv4")]
    identification: &'a mut u16,
    meta: PacketMeta,
}

impl<T: TxToken> TxToken for Token<'_, T> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, write: F) -> R {
        let Self { token, meter } = self;
        token.consume(length, |frame| {
            let result = write(frame);
            meter.sent(frame);
            result
        })
    }

    fn set_meta(&mut self, meta: PacketMeta) {
        self.meter.meta = meta;
        self.token.set_meta(meta);
    }
}

impl Meter<'_> {
    #[inline(never)] // otherwise there is a copy of it for everything that writes a frame
    fn sent(self, frame: &mut [u8]) {
        let Self { counters, port, guard, .. } = self;
        #[cfg(feature = "ipv4")]
        super::path_mtu::allow_fragments(frame, self.identification);
        #[cfg(all(feature = "ipv4", feature = "segmentation-offload"))]
        if let Some(size) = self.meta.segmentation_offload_size {
            // Each of the packets that the device makes of this one has an identification of its own.
            let packets = u16::try_from(frame.len() / usize::from(size.get())).unwrap_or(u16::MAX);
            *self.identification = self.identification.wrapping_add(packets);
        }
        counters.frames_sent = counters.frames_sent.wrapping_add(1);
        if let Some((segment, addresses)) = in_frame(frame) {
            if is_refusal(&segment, port) {
                counters.refused = counters.refused.wrapping_add(1);
            }
            if let Some(guard) = guard {
                guard.sent(frame, addresses, &segment);
            }
        }
    }
}

/// Whether this refuses a connection to that port: the reset that answers a SYN has sequence number 0 (RFC 9293, 3.10.7.1)
/// and neither data nor options.
fn is_refusal(segment: &TcpPacket<&[u8]>, port: u16) -> bool {
    segment.rst()
        && segment.ack()
        && segment.seq_number() == TcpSeqNumber(0)
        && segment.src_port() == port
        && segment.payload().is_empty()
}
