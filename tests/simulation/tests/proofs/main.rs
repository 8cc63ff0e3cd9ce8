//! Proofs in memory, of the machines, the drivers and the pool, without a socket and mostly on a virtual clock. One test
//! binary: each file is a module, so that it is linked once.

mod addresses;
mod conformance_core;
mod conformance_memory;
mod dhcp;
mod drivers;
mod echo;
mod echo_client;
mod exhaustive;
mod found;
mod fragments;
mod frames;
mod guard;
mod http;
mod linger;
mod neighbors;
mod normalized;
mod parameter_problem;
mod path_mtu;
mod pool;
mod quotes;
mod random;
mod retransmission;
mod routers;
mod simulation;
mod time;
mod vacant;
mod virtual_time;
