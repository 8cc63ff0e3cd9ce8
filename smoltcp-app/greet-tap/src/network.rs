//! What the subcommands share: the stack on its TAP device, and the wait between two polls.

use core::{fmt, time::Duration};
use std::{
    io::{self, Write},
    os::fd::AsFd,
};

use greet_core::Instant;
use greet_host::clock;
use greet_smoltcp::{
    impair::{self, Directions, Frame, Impaired, Impairments},
    stack::{self, DhcpNotice, FALLBACK_AFTER, Fragments, Stack},
    time::{earliest, from_smoltcp, to_smoltcp},
};
use smoltcp::{
    iface::SocketSet,
    phy::{PcapMode, PcapWriter},
    wire::{IpAddress, IpVersion},
};

use crate::{
    device::Tap,
    error::Error,
    link_changes::LinkChanges,
    options::{ImpairmentOptions, NetworkOptions},
    pcap::Capture,
    wait::{Signalled, Signals},
};

/// The dynamic ports (RFC 6335, 6).
const FIRST_PORT: u16 = 49152;
const PORTS: u16 = 16384;

/// Frames that are received at most before the conversations are served.
const FRAMES_A_POLL: usize = 256;

/// Time for the last frames to leave, where an impairment delays them.
const LAST_FRAMES: Duration = Duration::from_secs(1);

/// Frames that can be delayed at once, in each direction.
const DELAYED_FRAMES: usize = 1024;

/// Time between two looks for a route that DHCP or a router may give.
pub(crate) const ROUTE_RETRY: Duration = Duration::from_millis(50);

/// The TAP device with its impairments, and with every frame captured.
type Device = PcapWriter<Impaired<'static, Tap>, Capture>;

/// The stack, its device, and what it waits for.
pub(crate) struct Network {
    pub(crate) stack: Stack<'static>,
    device: Device,
    capture: Capture,
    signals: Signals,
    changes: LinkChanges,
    dhcp: bool,
    /// --gateway was given.
    has_gateway: bool,
    slaac: bool,
    /// Number of local ports that were used, from a random start.
    ports: u16,
}

impl Network {
    /// Opens the device, and starts the stack with these options. `port` is that of the service or of the server.
    pub(crate) fn new(options: &NetworkOptions, port: u16) -> Result<Self, Error> {
        let signals = Signals::register().map_err(Error::Signals)?;
        // Before the state of the device is read, so that no change is missed.
        let changes = LinkChanges::listen().map_err(Error::Wait)?;
        // What is captured or impaired are the frames of the link.
        let is_plain =
            options.no_offload || options.pcap.is_some() || options.impairments.impairments() != Impairments::NONE;
        let tap = Tap::open(&options.tap, !is_plain)?;
        let capture = match &options.pcap {
            Some(path) => Capture::create(path).map_err(|error| Error::Capture { path: path.clone(), error })?,
            None => Capture::default(),
        };
        let hardware_address = options.mac.unwrap_or(tap.peer_address());
        if hardware_address == tap.host_address() {
            return Err(Error::Usage("--mac is the address of the host's side of the TAP device: give another one"));
        }
        let mut addresses = vec![options.ip];
        addresses.extend(&options.ip6);
        for gateway in &options.gateway {
            if addresses.iter().any(|own| own.address() == *gateway) {
                return Err(Error::Usage("--gateway is the address of this program: give that of a router"));
            }
            let is_on_link = addresses.iter().any(|own| own.contains_addr(gateway));
            let is_link_local = matches!(gateway, IpAddress::Ipv6(address) if address.is_unicast_link_local());
            if !is_on_link && !is_link_local && !options.dhcp {
                tracing::warn!("--gateway {gateway} is in no network of --ip or --ip6: it cannot be reached");
            }
        }
        let settings = stack::Settings {
            port,
            frames_a_poll: FRAMES_A_POLL,
            addresses: &addresses,
            gateways: &options.gateway,
            dhcp: options.dhcp,
            slaac: options.slaac,
            ..stack::Settings::new(hardware_address, getrandom::u64()?)
        };
        let impaired = impaired(tap, &options.impairments)?;
        let mut device = PcapWriter::new(impaired, capture.clone(), PcapMode::Both);
        let mut stack = Stack::new(settings, &mut device, SocketSet::new(Vec::new()), clock::now())?;
        stack.reassemble(Box::leak(Box::new(Fragments::new())));
        let ports = u16::try_from(getrandom::u32()? % u32::from(PORTS)).unwrap_or_default();
        let &NetworkOptions { dhcp, slaac, .. } = options;
        Ok(Self {
            stack,
            device,
            capture,
            signals,
            changes,
            dhcp,
            has_gateway: !options.gateway.is_empty(),
            slaac,
            ports,
        })
    }

    /// A local port for a connection: another one each time.
    pub(crate) fn local_port(&mut self) -> u16 {
        self.ports = self.ports.wrapping_add(1);
        FIRST_PORT.saturating_add(self.ports % PORTS)
    }

    /// Asks for the hardware address that packets to `remote` are sent to, so that it need not wait for that of another host.
    pub(crate) fn request_neighbor(&mut self, remote: IpAddress) {
        self.stack.request_neighbor(remote, &mut self.device, clock::now());
    }

    /// Whether there is a route to `remote`: it is on the link, or a router is known.
    pub(crate) fn has_route(&self, remote: IpAddress) -> bool {
        self.stack.addresses().iter().any(|own| own.contains_addr(&remote)) || self.stack.router(remote).is_some()
    }

    /// Whether there is a route to `remote`, or DHCP or SLAAC may still give one.
    pub(crate) fn may_reach(&self, remote: IpAddress) -> bool {
        (if remote.version() == IpVersion::Ipv4 { self.dhcp } else { self.slaac }) || self.has_route(remote)
    }

    /// Polls the stack, as [`Stack::poll`] does.
    pub(crate) fn poll(
        &mut self,
        serve: impl FnMut(&mut SocketSet<'static>, stack::Reason) -> Option<Instant>,
    ) -> Result<Option<Instant>, Error> {
        let now = clock::now();
        let deadline = self.stack.poll(now, &mut self.device, serve);
        if let Some(notice) = self.stack.take_dhcp_notice() {
            match notice {
                DhcpNotice::NoRouter(_) if !self.has_gateway => tracing::debug!("{notice}"),
                notice => tracing::warn!("{notice}"),
            }
        }
        if let Some(conflict) = self.stack.take_conflict() {
            tracing::warn!("{conflict}");
        }
        let impaired = self.device.get_mut();
        let due = impaired.next_due().map(from_smoltcp);
        let tap = impaired.inner_mut();
        if let Some(error) = tap.take_error() {
            return Err(error.into());
        }
        let warning = tap.warn_repeated(now);
        if tap.is_up_again() {
            self.stack.link_up(now);
            return Ok(Some(now));
        }
        Ok([deadline, due, warning].into_iter().flatten().min())
    }

    /// Waits for a frame, a signal, or `deadline`.
    pub(crate) fn wait(&mut self, deadline: Option<Instant>) -> Result<Signalled, Error> {
        self.capture.write_out();
        let tap = self.device.get_mut().inner_mut();
        let signalled = self.signals.wait(tap.as_fd(), self.changes.as_fd(), deadline).map_err(Error::Wait)?;
        if signalled.link {
            let was_down = self.changes.take(tap.index());
            tap.update_link(was_down);
        }
        Ok(signalled)
    }

    /// Waits as [`wait`](Self::wait) does. SIGUSR1 prints the counters; a signal that ends the program is an error.
    pub(crate) fn pause(&mut self, deadline: Option<Instant>) -> Result<(), Error> {
        let signalled = self.wait(deadline)?;
        if signalled.report {
            self.report(format_args!(""));
        }
        if signalled.stop { Err(Error::Interrupted) } else { Ok(()) }
    }

    /// Sends the frames that an impairment delays, for one second at most.
    pub(crate) fn deliver(&mut self) -> Result<(), Error> {
        let until = clock::now() + LAST_FRAMES;
        while self.device.get_ref().held().transmit > 0 && clock::now() < until {
            let due = self.device.get_ref().next_due().map(from_smoltcp);
            self.wait(Some(due.unwrap_or(until).min(until)))?;
            self.device.get_mut().advance(to_smoltcp(clock::now()));
        }
        Ok(())
    }

    /// Prints the counters to standard error, one a line, after `before`.
    pub(crate) fn report(&self, before: fmt::Arguments<'_>) {
        let stack::Counters { frames_received, frames_sent, refused } = self.stack.counters();
        let impaired = self.device.get_ref();
        let dropped = impaired.inner().dropped();
        let mut impairments = String::new();
        if impaired.impairments() != Impairments::NONE.into() {
            let Directions { receive, transmit } = impaired.counters();
            for (direction, counters) in [("received", receive), ("sent", transmit)] {
                let impair::Counters { frames, lost, duplicated, reordered, corrupted, dropped, .. } = counters;
                impairments.push_str(&format!(
                    "impaired link, {direction}: {frames} frames; lost {lost}, duplicated {duplicated}, reordered \
                     {reordered}, corrupted {corrupted}, dropped as the queue was full {dropped}\n"
                ));
            }
        }
        // A closed standard error needs no counters.
        let _ = write!(
            io::stderr().lock(),
            "{before}connections refused: {refused}\nframes received: {frames_received}\nframes sent: {frames_sent}\n\
             frames dropped by the device: {dropped}\n{impairments}"
        );
    }
}

/// How long to wait for an address, a route or a DNS server from DHCP or a router: for `limit`, but at least until
/// the static address is used instead of a lease.
pub(crate) fn address_deadline(limit: Option<Duration>, end: Option<Instant>) -> Option<Instant> {
    earliest(limit.map(|limit| clock::now() + limit.max(FALLBACK_AFTER)), end)
}

/// Whether that time has come.
pub(crate) fn is_over(deadline: Option<Instant>) -> bool {
    deadline.is_some_and(|deadline| clock::now() >= deadline)
}

/// Puts the impairments of `options` in front of `tap`. Without any, frames pass unchanged.
fn impaired(tap: Tap, options: &ImpairmentOptions) -> Result<Impaired<'static, Tap>, Error> {
    let impairments = options.impairments();
    let (seed, capacity) = if impairments == Impairments::NONE {
        (0, 0)
    } else {
        let seed = options.seed.map_or_else(getrandom::u64, Ok)?;
        if options.seed.is_none() {
            tracing::warn!("frames are impaired; --seed {seed} repeats the same impairments");
        }
        (seed, DELAYED_FRAMES)
    };
    let frames = || vec![Frame::EMPTY; capacity].leak();
    Ok(Impaired::new(tap, impairments, seed, Directions { receive: frames(), transmit: frames() }))
}
