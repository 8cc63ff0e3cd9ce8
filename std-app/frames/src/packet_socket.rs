//! A network interface of Linux, by a packet socket (`packet(7)`).

use core::{
    net::Ipv4Addr,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};
use std::{
    io::{self, IoSliceMut},
    os::fd::{AsFd, AsRawFd, OwnedFd},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{self, Receiver, RecvTimeoutError, Sender},
    },
    thread::{self, JoinHandle},
    time::{Instant, SystemTime},
};

use nix::{
    errno::Errno,
    ifaddrs::getifaddrs,
    libc,
    net::if_::if_nametoindex,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    setsockopt_impl, sockopt_impl,
    sys::socket::{
        AddressFamily, ControlMessageOwned, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrStorage,
        bind, recvmsg, send, setsockopt, socket,
        sockopt::{RcvBuf, RcvBufForce, ReceiveTimestampns},
    },
};
use smoltcp::wire::EthernetAddress;
use thiserror::Error;

use crate::link::{Link, Medium, is_for};

/// Why an interface cannot be used.
#[derive(Debug, Error)]
pub enum InterfaceError {
    /// There is none with this name.
    #[error("no network interface is named `{0}`: `ip link` lists them")]
    Unknown(String),
    /// It has no Ethernet address.
    #[error("`{0}` is not an Ethernet interface, or is down: `ip link set {0} up`")]
    NotEthernet(String),
    /// The program lacks the right to send frames.
    #[error(
        "no right to send frames: run it as root, or once `sudo setcap cap_net_raw=ep {program}`",
        program = program()
    )]
    Rights,
    /// Something else.
    #[error("the interface `{0}` cannot be opened: {1}")]
    Open(String, io::Error),
}

fn program() -> String {
    std::env::current_exe().map_or_else(|_| "greet".to_owned(), |path| path.display().to_string())
}

/// The most bytes of a frame, offloads included.
const LONGEST: usize = 65_536;
/// How many bytes the kernel queues, if it allows that.
const QUEUE: usize = 8 << 20;

/// An open interface.
#[derive(Debug)]
pub struct Interface {
    shared: Arc<Shared>,
    reader: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    socket: OwnedFd,
    start: Instant,
    ports: Mutex<Vec<Port>>,
    is_over: AtomicBool,
}

/// A host that is attached.
#[derive(Debug)]
struct Port {
    mac: EthernetAddress,
    frames: Sender<(Duration, Vec<u8>)>,
}

sockopt_impl!(
    /// Without it the card drops frames for the MAC addresses of the hosts that probes play. It ends with the socket.
    Membership,
    SetOnly,
    libc::SOL_PACKET,
    libc::PACKET_ADD_MEMBERSHIP,
    libc::packet_mreq
);

impl Interface {
    /// Opens the interface with this name.
    ///
    /// # Errors
    /// If it does not exist, is not Ethernet, or the program lacks the right.
    pub fn open(name: &str) -> Result<Self, InterfaceError> {
        let index = if_nametoindex(name).map_err(|_| InterfaceError::Unknown(name.to_owned()))?;
        let address = address(name)?;
        let socket = open(index, &address).map_err(|error| match error {
            Errno::EPERM | Errno::EACCES => InterfaceError::Rights,
            error => InterfaceError::Open(name.to_owned(), error.into()),
        })?;
        let shared = Arc::new(Shared {
            socket,
            start: Instant::now(),
            ports: Mutex::default(),
            is_over: AtomicBool::new(false),
        });
        let read = {
            let shared = Arc::clone(&shared);
            move || shared.read()
        };
        let reader = thread::Builder::new().name("frames".to_owned()).spawn(read);
        let reader = Some(reader.map_err(|error| InterfaceError::Open(name.to_owned(), error))?);
        Ok(Self { shared, reader })
    }
}

/// The length of the prefix of the subnet on this interface that contains the address, if the interface has an address of it.
#[must_use]
pub fn prefix(name: &str, address: Ipv4Addr) -> Option<u8> {
    getifaddrs().ok()?.filter(|interface| interface.interface_name == name).find_map(|interface| {
        let own = interface.address?.as_sockaddr_in()?.ip().to_bits();
        let mask = interface.netmask?.as_sockaddr_in()?.ip().to_bits();
        (own & mask == address.to_bits() & mask).then(|| u8::try_from(mask.leading_ones()).unwrap_or(24))
    })
}

impl Drop for Interface {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

impl Medium for Interface {
    fn attach(&self, mac: EthernetAddress) -> Box<dyn Link + '_> {
        let (sender, frames) = mpsc::channel();
        self.shared.ports().push(Port { mac, frames: sender });
        Box::new(Attached { shared: Arc::clone(&self.shared), frames })
    }
}

/// The address of the interface for packet sockets.
fn address(name: &str) -> Result<LinkAddr, InterfaceError> {
    let not_ethernet = || InterfaceError::NotEthernet(name.to_owned());
    let addresses = getifaddrs().map_err(|error| InterfaceError::Open(name.to_owned(), error.into()))?;
    let own = addresses.filter(|interface| interface.interface_name == name);
    let address = own.filter_map(|interface| interface.address?.as_link_addr().copied()).next();
    address.filter(|address| address.hatype() == libc::ARPHRD_ETHER).ok_or_else(not_ethernet)
}

fn open(index: u32, address: &LinkAddr) -> Result<OwnedFd, Errno> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Packet, SockType::Raw, flags, SockProtocol::EthAll)?;
    // The address has no protocol: the socket keeps its own, which is all of them.
    bind(socket.as_raw_fd(), address)?;
    setsockopt(&socket, ReceiveTimestampns, &true)?;
    if setsockopt(&socket, RcvBufForce, &QUEUE).is_err() {
        let _ = setsockopt(&socket, RcvBuf, &QUEUE); // as much as is allowed
    }
    let membership = libc::packet_mreq {
        mr_ifindex: libc::c_int::try_from(index).unwrap_or_default(),
        mr_type: u16::try_from(libc::PACKET_MR_PROMISC).unwrap_or_default(),
        mr_alen: 0,
        mr_address: [0; 8],
    };
    setsockopt(&socket, Membership, &membership)?;
    Ok(socket)
}

impl Shared {
    fn ports(&self) -> MutexGuard<'_, Vec<Port>> {
        self.ports.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands each frame to the hosts that it is for, until the interface is closed or gone.
    fn read(&self) {
        let mut buffer = vec![0; LONGEST];
        while !self.is_over.load(Ordering::Relaxed) {
            let mut ready = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
            match poll(&mut ready, PollTimeout::from(100_u8)) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(_) => break,
            }
            loop {
                match self.take(&mut buffer) {
                    Ok((time, length)) => self.deliver(time, buffer.get(..length).unwrap_or_default()),
                    Err(Errno::EAGAIN | Errno::EINTR | Errno::ENETDOWN) => break,
                    Err(_) => {
                        self.is_over.store(true, Ordering::Relaxed);
                        break;
                    }
                }
            }
        }
        self.ports().clear(); // whoever waits is told
    }

    /// Takes a frame from the queue. The kernel says when it arrived.
    fn take(&self, buffer: &mut [u8]) -> Result<(Duration, usize), Errno> {
        let mut control = nix::cmsg_space!(libc::timespec);
        let mut parts = [IoSliceMut::new(buffer)];
        let message =
            recvmsg::<SockaddrStorage>(self.socket.as_raw_fd(), &mut parts, Some(&mut control), MsgFlags::empty())?;
        let arrived = message.cmsgs()?.find_map(|message| match message {
            ControlMessageOwned::ScmTimestampns(time) => Some(SystemTime::UNIX_EPOCH + Duration::from(time)),
            _ => None,
        });
        let age = arrived.and_then(|arrived| arrived.elapsed().ok()).filter(|&age| age < LONGEST_AGE);
        Ok((self.start.elapsed().saturating_sub(age.unwrap_or_default()), message.bytes))
    }

    fn deliver(&self, time: Duration, frame: &[u8]) {
        let Some(&destination) = frame.first_chunk::<6>() else { return };
        let destination = EthernetAddress(destination);
        self.ports().retain(|port| !is_for(port.mac, destination) || port.frames.send((time, frame.to_vec())).is_ok());
    }
}

/// Older frames have waited in the queue while the wall clock was set.
const LONGEST_AGE: Duration = Duration::from_secs(10);

struct Attached {
    shared: Arc<Shared>,
    frames: Receiver<(Duration, Vec<u8>)>,
}

impl Link for Attached {
    fn now(&self) -> Duration {
        self.shared.start.elapsed()
    }

    fn send(&mut self, frame: &[u8]) -> io::Result<()> {
        loop {
            match send(self.shared.socket.as_raw_fd(), frame, MsgFlags::empty()) {
                Ok(_) => return Ok(()),
                // The queue of the card is full, for the time of a few frames.
                Err(Errno::EAGAIN | Errno::ENOBUFS | Errno::EINTR) => thread::sleep(Duration::from_millis(1)),
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn receive(&mut self, until: Duration) -> io::Result<Option<(Duration, Vec<u8>)>> {
        match self.frames.recv_timeout(until.saturating_sub(self.now())) {
            Ok(received) => Ok(Some(received)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}
