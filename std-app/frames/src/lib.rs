//! Tests the network stack of a board frame by frame, as a black box: ARP, neighbor discovery, IP, ICMP and TCP.
//!
//! A probe plays a host with a MAC and an IP address of its own ([`host`]) on a link ([`link`]): a network interface
//! ([`packet_socket`]), or a board in memory with a virtual clock. It sends frames, and compares what the board sends with an
//! RFC. [`discover`](mod@discover) finds out what probes must know about the board; [`run`](mod@run) runs them.
//!
//! Of smoltcp only the wire formats are used: the tester must not have the bugs of the stack that it tests.

pub mod board;
mod connection;
pub mod discover;
pub mod frame;
pub mod host;
pub mod ip;
pub mod link;
mod loss;
pub mod messages;
pub mod offloads;
#[cfg_attr(not(target_os = "linux"), path = "no_packet_socket.rs")]
pub mod packet_socket;
pub mod pcapng;
pub mod probe;
pub mod probes;
pub mod run;
pub mod sources;
mod stop;
pub mod tcp;
