//! Servers with one defect each, as they occur on boards and in servers: what `greet check` has to find.
//!
//! [`all`] lists them, with the probe that has to find each, and a part of the cause that it has to name first.

pub mod echo;
pub mod greeter;
mod slots;

use std::net::TcpListener;

/// A server with a defect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// A greeting server.
    Greeter(greeter::Defect),
    /// An echo server.
    Echo(echo::Defect),
}

impl Server {
    /// Serves clients until the listener fails.
    pub fn serve(self, listener: &TcpListener) {
        match self {
            Self::Greeter(defect) => greeter::serve(listener, defect),
            Self::Echo(defect) => echo::serve(listener, defect),
        }
    }
}

impl From<greeter::Defect> for Server {
    fn from(defect: greeter::Defect) -> Self {
        Self::Greeter(defect)
    }
}

impl From<echo::Defect> for Server {
    fn from(defect: echo::Defect) -> Self {
        Self::Echo(defect)
    }
}

/// A server with a defect, and what has to be found on it.
#[derive(Clone, Copy, Debug)]
pub struct Broken {
    /// The server's name.
    pub name: &'static str,
    /// The server and its defect.
    pub server: Server,
    /// The id of the probe that has to find the defect.
    pub probe: &'static str,
    /// A part of the cause that the probe has to name first.
    pub cause: &'static str,
}

/// Every broken server.
pub fn all() -> impl Iterator<Item = Broken> {
    let greeters = greeter::DEFECTS.into_iter();
    let echoes = echo::DEFECTS.into_iter();
    greeters
        .map(|(name, defect, probe, cause)| Broken { name, server: defect.into(), probe, cause })
        .chain(echoes.map(|(name, defect, probe, cause)| Broken { name, server: defect.into(), probe, cause }))
}
