//! The addresses of a name: asked of one DNS server after the other, and again, until one knows.

use core::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use greet_core::Instant;
use greet_host::{client::HostPort, clock, connect::ConnectError};
use greet_smoltcp::time::earliest;
use smoltcp::{
    iface::SocketHandle,
    socket::dns::{GetQueryResultError, QueryHandle, Socket},
    wire::{DnsQueryType, IpAddress, IpVersion},
};

use crate::{
    error::{Error, LookupError},
    network::{Network, is_over},
    options::FetchOptions,
};

/// How long a silent server is waited for while there is another to ask, or the same once more.
const PATIENCE: Duration = Duration::from_secs(5);
/// And how long when all were asked before: less than the 10 s after which smoltcp takes silence for an answer.
const GREATER_PATIENCE: Duration = Duration::from_secs(8);

/// How long the addresses of one family wait for those of the other: long enough to ask twice.
const COMPANION: Duration = Duration::from_secs(2);

/// How soon to look again whether DHCP has named a server.
const LEASE_RETRY: Duration = Duration::from_millis(50);

/// The addresses of `host` that are wanted, in the order in which they are to be tried: first those to which there is a way,
/// and among these IPv6.
pub(crate) fn addresses(
    network: &mut Network,
    options: &FetchOptions,
    host: &HostPort,
) -> Result<Vec<SocketAddr>, Error> {
    let mut found = match host.host.parse() {
        Ok(address) => vec![address],
        Err(_) => Search::new(network, options, &host.host)?.run(network)?,
    };
    found.retain(|address| options.download.ip.allows(*address));
    if found.is_empty() {
        return Err(ConnectError::NoAddress { host: host.host.clone(), version: options.download.ip }.into());
    }
    found.sort_by_key(|&address| !network.has_route(address.into()));
    Ok(found.into_iter().map(|address| SocketAddr::new(address, host.port)).collect())
}

/// A search for the addresses of one name.
struct Search<'a> {
    options: &'a FetchOptions,
    name: &'a str,
    servers: Vec<IpAddress>,
    deadline: Option<Instant>,
}

impl<'a> Search<'a> {
    fn new(network: &mut Network, options: &'a FetchOptions, name: &'a str) -> Result<Self, Error> {
        let deadline = options.download.timeout.0.map(|limit| clock::now() + limit);
        let servers = match &options.dns {
            servers if !servers.is_empty() => servers.clone(),
            _ if options.network.dhcp => leased_servers(network, name, deadline)?,
            _ => return Err(LookupError::NoServer(name.to_owned()).into()),
        };
        Ok(Self { options, name, servers, deadline })
    }

    /// All addresses that the first server knows that knows any, whether they are wanted or not.
    fn run(&self, network: &mut Network) -> Result<Vec<IpAddr>, Error> {
        let mut patience = PATIENCE;
        loop {
            let (mut was_reached, mut knows_none) = (false, None);
            for &server in &self.servers {
                if !network.await_route(server, self.deadline)? {
                    continue;
                }
                was_reached = true;
                let until = earliest(Some(clock::now() + patience), self.deadline);
                let answers = self.ask(network, server, until)?;
                let is_known = answers.iter().all(|answer| answer.found.is_some() || !answer.is_wanted);
                let found: Vec<_> = answers.into_iter().filter_map(|answer| answer.found).flatten().collect();
                if found.iter().any(|&address| self.options.download.ip.allows(address))
                    || (is_known && !found.is_empty())
                {
                    return Ok(found);
                }
                // It may also have refused to answer: smoltcp does not tell. So the next one is asked.
                knows_none = knows_none.or(is_known.then_some(server));
            }
            let name = self.name.to_owned();
            if let Some(server) = knows_none {
                return Err(LookupError::NotFound { name, server }.into());
            }
            if !was_reached && let Some(&server) = self.servers.first() {
                return Err(LookupError::Unreachable { name, server }.into());
            }
            if is_over(self.deadline) {
                let servers: Vec<_> = self.servers.iter().map(ToString::to_string).collect();
                let limit = self.options.download.timeout.0.unwrap_or_default();
                return Err(LookupError::TimedOut { name, servers: servers.join(" or "), limit }.into());
            }
            patience = GREATER_PATIENCE;
        }
    }

    /// Asks one server for the addresses of both families: it is to be known of a name whether it has the other one.
    fn ask(&self, network: &mut Network, server: IpAddress, until: Option<Instant>) -> Result<[Question; 2], Error> {
        let handle = network.stack.sockets().add(Socket::new(&[server], Vec::new()));
        let outcome = self.converse(network, handle, until);
        network.stack.sockets().remove(handle);
        outcome
    }

    fn converse(
        &self,
        network: &mut Network,
        handle: SocketHandle,
        mut until: Option<Instant>,
    ) -> Result<[Question; 2], Error> {
        let mut ask = |kind| network.stack.look_up(handle, self.name, kind);
        // There is room for as many questions as there is memory: so it is the name.
        let (Ok(ipv6), Ok(ipv4)) = (ask(DnsQueryType::Aaaa), ask(DnsQueryType::A)) else {
            return Err(LookupError::NotAName(self.name.to_owned()).into());
        };
        let mut questions =
            [Question::new(ipv6, !self.options.download.ip.ipv4), Question::new(ipv4, !self.options.download.ip.ipv6)];
        loop {
            let next = network.poll(|sockets, _| {
                // Later it may be silence that smoltcp takes for an answer.
                if !is_over(until) {
                    for question in &mut questions {
                        question.look(sockets.get_mut(handle));
                    }
                }
                None
            })?;
            if is_over(until) || questions.iter().all(|question| question.found.is_some()) {
                return Ok(questions);
            }
            if questions.iter().any(Question::has_wanted) {
                // The other family is not wanted, or silent: some servers do not answer for IPv6.
                if questions.iter().all(|question| question.found.is_some() || !question.is_wanted) {
                    return Ok(questions);
                }
                until = earliest(until, Some(clock::now() + COMPANION));
            }
            network.pause(earliest(next, until))?;
        }
    }
}

/// The servers that DHCP tells of, once there is a lease.
fn leased_servers(network: &mut Network, name: &str, deadline: Option<Instant>) -> Result<Vec<IpAddress>, Error> {
    loop {
        let next = network.poll(|_, _| None)?;
        let servers: Vec<_> = network.stack.dns_servers().filter(IpAddress::is_unicast).collect();
        if !servers.is_empty() {
            return Ok(servers);
        }
        let has_address = network.stack.addresses().iter().any(|ours| ours.address().version() == IpVersion::Ipv4);
        if has_address || is_over(deadline) {
            return Err(LookupError::NoLeasedServer(name.to_owned()).into());
        }
        network.pause(earliest(earliest(next, deadline), Some(clock::now() + LEASE_RETRY)))?;
    }
}

/// A question for the addresses of one family.
struct Question {
    handle: QueryHandle,
    is_wanted: bool,
    /// What was answered, if anything.
    found: Option<Vec<IpAddr>>,
}

impl Question {
    const fn new(handle: QueryHandle, is_wanted: bool) -> Self {
        Self { handle, is_wanted, found: None }
    }

    /// Whether there is an answer, with addresses that are wanted.
    fn has_wanted(&self) -> bool {
        self.is_wanted && self.found.as_ref().is_some_and(|found| !found.is_empty())
    }

    /// Sees whether there is an answer, which is given once.
    fn look(&mut self, socket: &mut Socket<'_>) {
        if self.found.is_none() {
            self.found = match socket.get_query_result(self.handle) {
                Ok(addresses) => Some(addresses.into_iter().map(Into::into).collect()),
                Err(GetQueryResultError::Failed) => Some(Vec::new()),
                Err(GetQueryResultError::Pending) => None,
            };
        }
    }
}
