//! What serving and chatting share: the stack on its device, the wait between two polls, and what can go wrong.

use core::{fmt, time::Duration};
use std::{
    io::{self, Write},
    os::fd::AsFd,
    path::PathBuf,
};

use greet_core::Instant;
use greet_host::{
    client::ChatError,
    clock,
    connect::ConnectError,
    download::DownloadFailure,
    exit::{self, Fatal},
};
use greet_smoltcp::{
    impair::{self, Directions, Frame, Impaired, Impairments},
    stack::{self, SettingsError, Stack},
    time::{from_smoltcp, to_smoltcp},
};
use smoltcp::{
    iface::SocketSet,
    phy::{PcapMode, PcapWriter},
    wire::{IpAddress, IpVersion},
};
use thiserror::Error;

use crate::{
    device::{Tap, TapError},
    link::Changes,
    names::NameError,
    options::{ImpairmentOptions, NetworkOptions},
    pcap::Capture,
    wait::{Signalled, Signals},
};

/// The first of the ports that are for whoever needs one, and how many they are (RFC 6335, 6).
const FIRST_PORT: u16 = 49152;
const PORTS: u16 = 16384;

/// How many frames are taken in before the conversations are served.
const FRAMES_A_POLL: usize = 256;

/// Why the program does not come to a good end.
#[derive(Debug, Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Tap(#[from] TapError),
    #[error("{0}; --help says more")]
    Settings(#[from] SettingsError),
    #[error("the system gives no random numbers: {0}")]
    Entropy(#[from] getrandom::Error),
    #[error("cannot prepare for signals: {0}")]
    Signals(#[source] io::Error),
    #[error("cannot wait for frames: {0}")]
    Wait(#[source] io::Error),
    #[error("the capture {} cannot be made: {error}", path.display())]
    Capture { path: PathBuf, error: io::Error },
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error(transparent)]
    Chat(#[from] ChatError),
    #[error(transparent)]
    Name(#[from] NameError),
    #[error(transparent)]
    Download(#[from] DownloadFailure),
    #[error("ended by a signal")]
    Interrupted,
}

impl Fatal for Failure {
    fn status(&self) -> u8 {
        match self {
            Self::Settings(_) => exit::USAGE, // one option contradicts another
            Self::Interrupted => exit::INTERRUPTED,
            Self::Download(failure) => failure.status(),
            _ => exit::FAILURE,
        }
    }

    fn is_broken_pipe(&self) -> bool {
        match self {
            Self::Chat(error) => error.is_broken_pipe(),
            Self::Download(failure) => failure.is_broken_pipe(),
            _ => false,
        }
    }
}

/// How long the last frames may take, where the wire delays them.
const LAST_FRAMES: Duration = Duration::from_secs(1);

/// A wire that may fail on purpose, with this program's end of it watched.
type Wire = PcapWriter<Impaired<'static, Tap>, Capture>;

/// How many frames may be under way in each direction, where the wire makes them wait.
const UNDER_WAY: usize = 1024;

/// The stack, its device, and what it waits for.
pub(crate) struct Network {
    pub(crate) stack: Stack<'static>,
    device: Wire,
    capture: Capture,
    signals: Signals,
    changes: Changes,
    /// Whether addresses and routers are learnt, of IPv4 and of IPv6.
    learns: (bool, bool),
    /// So many ports were given away, the first ones by chance.
    ports: u16,
}

impl Network {
    /// Takes hold of the device, and makes the stack that `options` ask for; `port` is the service's.
    pub(crate) fn new(options: &NetworkOptions, port: u16) -> Result<Self, Failure> {
        let signals = Signals::register().map_err(Failure::Signals)?;
        // Before the first look at the device, so that no change is missed.
        let changes = Changes::listen().map_err(Failure::Wait)?;
        let tap = Tap::open(&options.tap)?;
        let capture = match &options.pcap {
            Some(path) => Capture::create(path).map_err(|error| Failure::Capture { path: path.clone(), error })?,
            None => Capture::default(),
        };
        let hardware_address = options.mac.unwrap_or(tap.peer_address());
        let mut addresses = vec![options.ip];
        addresses.extend(&options.ip6);
        let settings = stack::Settings {
            port,
            frames_a_poll: FRAMES_A_POLL,
            addresses: &addresses,
            gateways: &options.gateway,
            dhcp: options.dhcp,
            slaac: options.slaac,
            ..stack::Settings::new(hardware_address, getrandom::u64()?)
        };
        let wire = impaired(tap, &options.impairments)?;
        let mut device = PcapWriter::new(wire, capture.clone(), PcapMode::Both);
        let stack = Stack::new(settings, &mut device, SocketSet::new(Vec::new()), clock::now())?;
        let learns = (options.dhcp, options.slaac);
        let ports = u16::try_from(getrandom::u32()? % u32::from(PORTS)).unwrap_or_default();
        Ok(Self { stack, device, capture, signals, changes, learns, ports })
    }

    /// A port to speak from, another one each time.
    pub(crate) fn port(&mut self) -> u16 {
        self.ports = self.ports.wrapping_add(1);
        FIRST_PORT.saturating_add(self.ports % PORTS)
    }

    /// Whether `remote` is in a network of ours, or a router is known that may know it.
    pub(crate) fn has_way(&mut self, remote: IpAddress) -> bool {
        self.stack.addresses().iter().any(|ours| ours.contains_addr(&remote)) || self.stack.router(remote).is_some()
    }

    /// Whether somebody is asked who may know a way to `remote`.
    pub(crate) fn learns_ways(&self, remote: IpAddress) -> bool {
        let (ipv4, ipv6) = self.learns;
        if remote.version() == IpVersion::Ipv4 { ipv4 } else { ipv6 }
    }

    /// Polls the stack, as [`Stack::poll`] does.
    pub(crate) fn poll(
        &mut self,
        serve: impl FnMut(&mut SocketSet<'static>, stack::Reason) -> Option<Instant>,
    ) -> Result<Option<Instant>, Failure> {
        let now = clock::now();
        let deadline = self.stack.poll(now, &mut self.device, serve);
        if let Some(notice) = self.stack.take_dhcp_notice() {
            tracing::warn!("{notice}");
        }
        let wire = self.device.get_mut();
        let due = wire.next_due().map(from_smoltcp);
        let tap = wire.inner_mut();
        if let Some(error) = tap.take_error() {
            return Err(error.into());
        }
        if tap.is_up_again() {
            self.stack.link_up(now);
            return Ok(Some(now));
        }
        Ok(deadline.into_iter().chain(due).min())
    }

    /// Waits for a frame, a signal, or `deadline`.
    pub(crate) fn wait(&mut self, deadline: Option<Instant>) -> Result<Signalled, Failure> {
        self.capture.write_out();
        let tap = self.device.get_mut().inner_mut();
        let signalled = self.signals.wait(tap.as_fd(), self.changes.as_fd(), deadline).map_err(Failure::Wait)?;
        if signalled.link {
            let was_down = self.changes.take(tap.index());
            tap.look(was_down);
        }
        Ok(signalled)
    }

    /// Waits like [`wait`](Self::wait), and does what the signals ask for: to stop is a failure.
    pub(crate) fn pause(&mut self, deadline: Option<Instant>) -> Result<(), Failure> {
        let signalled = self.wait(deadline)?;
        if signalled.report {
            self.report(format_args!(""));
        }
        if signalled.stop { Err(Failure::Interrupted) } else { Ok(()) }
    }

    /// Lets what is under way to the network arrive there, for a second at most.
    pub(crate) fn deliver(&mut self) -> Result<(), Failure> {
        let until = clock::now() + LAST_FRAMES;
        while self.device.get_ref().held().transmit > 0 && clock::now() < until {
            let due = self.device.get_ref().next_due().map(from_smoltcp);
            self.wait(Some(due.unwrap_or(until).min(until)))?;
            self.device.get_mut().advance(to_smoltcp(clock::now()));
        }
        Ok(())
    }

    /// Prints what was counted on standard error, each thing on a line of its own.
    pub(crate) fn report(&self, before: fmt::Arguments<'_>) {
        let stack::Counters { frames_received, frames_sent, refused } = self.stack.counters();
        let dropped = self.device.get_ref().inner().dropped();
        let wire = self.device.get_ref();
        let mut failed = String::new();
        if wire.impairments() != Impairments::NONE.into() {
            let Directions { receive, transmit } = wire.counters();
            for (direction, counters) in [("received", receive), ("sent", transmit)] {
                let impair::Counters { frames, lost, duplicated, reordered, corrupted, dropped, .. } = counters;
                failed.push_str(&format!(
                    "impaired link, {direction}: {frames} frames; lost {lost}, duplicated {duplicated}, reordered \
                     {reordered}, corrupted {corrupted}, dropped as the queue was full {dropped}\n"
                ));
            }
        }
        // Where nobody reads it there is nobody to tell.
        let _ = write!(
            io::stderr().lock(),
            "{before}connections refused: {refused}\nframes received: {frames_received}\nframes sent: {frames_sent}\n\
             frames dropped, as the device took none: {dropped}\n{failed}"
        );
    }
}

/// The wire to `tap` that `options` ask for. Without any, frames pass as they are.
fn impaired(tap: Tap, options: &ImpairmentOptions) -> Result<Impaired<'static, Tap>, Failure> {
    let impairments = options.impairments();
    let (seed, room) = if impairments == Impairments::NONE {
        (0, 0)
    } else {
        let seed = options.seed.map_or_else(getrandom::u64, Ok)?;
        if options.seed.is_none() {
            tracing::warn!("the wire fails on purpose; --seed {seed} makes it fail the same way again");
        }
        (seed, UNDER_WAY)
    };
    let frames = || vec![Frame::EMPTY; room].leak();
    Ok(Impaired::new(tap, impairments, seed, Directions { receive: frames(), transmit: frames() }))
}
