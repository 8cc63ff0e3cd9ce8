//! Looks up the addresses of a host name: asks the DNS servers in order, the next one when the one before is silent.

use core::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use greet_core::Instant;
use greet_host::{client::HostPort, clock, connect::ConnectError};
use greet_smoltcp::time::earliest;
use smoltcp::{
    iface::{SocketHandle, SocketSet},
    socket::dns::{GetQueryResultError, QueryHandle, Socket},
    wire::{DnsQueryType, IpAddress, IpVersion},
};

use crate::{
    error::{Error, LookupError},
    network::{Network, ROUTE_RETRY, address_deadline, is_over},
    options::FetchOptions,
};

/// Time until the next server is asked while those before are silent. With a short --timeout each server gets its share of it.
const NEXT_SERVER: Duration = Duration::from_secs(1);

/// Time that a server has for its answers: less than the 10 s after which smoltcp reports silence as a failed query.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(8);

/// Time that the other servers have once one knows no address: it may only have refused to answer.
const AFTER_DENIAL: Duration = Duration::from_secs(5);

/// How long the addresses of one family wait for those of the other: long enough for a retransmission.
const COMPANION: Duration = Duration::from_secs(2);

/// Time between two looks for a DNS server that DHCP may name.
const LEASE_RETRY: Duration = Duration::from_millis(50);

/// The wanted addresses of `host` in the order in which to try them: those with a route first, and among these IPv6 first.
/// The lookup may take `--timeout`, once a DNS server is known, and ends at `end`.
pub(crate) fn addresses(
    network: &mut Network,
    options: &FetchOptions,
    host: &HostPort,
    end: Option<Instant>,
) -> Result<Vec<SocketAddr>, Error> {
    let mut found = match host.host.parse() {
        Ok(address) => vec![address],
        Err(_) => Search::new(network, options, &host.host, end)?.run(network)?,
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
    /// Each of them once: smoltcp gives an answer to the first socket alone that has asked its server.
    servers: Vec<IpAddress>,
    /// Time until the next server is asked.
    stagger: Duration,
    deadline: Option<Instant>,
}

impl<'a> Search<'a> {
    fn new(
        network: &mut Network,
        options: &'a FetchOptions,
        name: &'a str,
        end: Option<Instant>,
    ) -> Result<Self, Error> {
        let limit = options.download.timeout.0;
        let named = match &options.dns {
            servers if !servers.is_empty() => servers.clone(),
            _ if options.network.dhcp => leased_servers(network, name, address_deadline(limit, end))?,
            _ => return Err(LookupError::NoServer(name.to_owned()).into()),
        };
        let mut servers = Vec::new();
        for server in named {
            if !servers.contains(&server) {
                servers.push(server);
            }
        }
        let share = limit.zip(u32::try_from(servers.len()).ok()).and_then(|(limit, count)| limit.checked_div(count));
        let stagger = share.map_or(NEXT_SERVER, |share| share.min(NEXT_SERVER));
        let deadline = earliest(limit.map(|limit| clock::now() + limit), end);
        Ok(Self { options, name, servers, stagger, deadline })
    }

    /// All addresses, wanted or not, from the first server that answers with any. Servers that stay silent are asked again
    /// until the timeout.
    fn run(&self, network: &mut Network) -> Result<Vec<IpAddr>, Error> {
        loop {
            let mut queries = Vec::new();
            let answered = self.round(network, &mut queries);
            for query in &queries {
                network.stack.sockets().remove(query.socket);
            }
            if let Some(query) = answered?.and_then(|index| queries.get(index)) {
                if query.is_truncated {
                    let server = query.server;
                    tracing::warn!(
                        "the answer of the DNS server {server} is truncated: addresses may be missing; try another --dns"
                    );
                }
                return Ok(query.addresses().collect());
            }
            let name = self.name.to_owned();
            if let Some(&Query { server, .. }) = queries.iter().find(|query| query.is_truncated) {
                return Err(LookupError::Truncated { name, server }.into());
            }
            if let Some(&Query { server, .. }) = queries.iter().find(|query| query.knows_none()) {
                return Err(LookupError::NotFound { name, server }.into());
            }
            if queries.is_empty()
                && let Some(&server) = self.servers.first()
            {
                return Err(LookupError::Unreachable { name, server }.into());
            }
            if is_over(self.deadline) {
                let servers: Vec<_> = queries.iter().map(|query| query.server.to_string()).collect();
                let limit = self.options.download.timeout.0.unwrap_or_default();
                return Err(LookupError::TimedOut { name, servers: servers.join(" or "), limit }.into());
            }
        }
    }

    /// Asks each server once, until one has answered with addresses: returns its index in `queries`. `None` if none has, and
    /// there is nothing left to wait for.
    fn round(&self, network: &mut Network, queries: &mut Vec<Query>) -> Result<Option<usize>, Error> {
        let mut to_ask = self.servers.clone();
        let mut next_at = None;
        let mut until = self.deadline;
        loop {
            // The next one is asked before its time if those before have answered: that they know no address, or that they
            // refuse to answer. smoltcp does not tell these apart.
            to_ask.retain(|&server| network.may_reach(server));
            let is_due = next_at.is_none_or(|at| is_over(Some(at))) || queries.iter().all(Query::is_settled);
            if is_due && let Some(index) = to_ask.iter().position(|&server| network.has_route(server)) {
                queries.push(self.ask(network, to_ask.remove(index))?);
                next_at = Some(clock::now() + self.stagger);
            }
            let next = network.poll(|sockets, _| {
                for query in queries.iter_mut() {
                    query.look(sockets);
                }
                None
            })?;
            let truncated = network.stack.take_truncated_dns();
            for query in queries.iter_mut() {
                query.is_truncated |= truncated == Some(query.server);
            }
            if let Some(index) = queries.iter().position(|query| query.is_settled() && self.suffices(query)) {
                return Ok(Some(index));
            }
            let is_settled = queries.iter().all(Query::is_settled);
            if is_over(until) || (to_ask.is_empty() && is_settled) {
                return Ok(None);
            }
            let may_ask = to_ask.iter().any(|&server| network.has_route(server));
            if may_ask && is_settled {
                continue;
            }
            if !may_ask && queries.iter().any(Query::knows_none) {
                until = earliest(until, Some(clock::now() + AFTER_DENIAL));
            }
            let ask = if may_ask { next_at } else { (!to_ask.is_empty()).then(|| clock::now() + ROUTE_RETRY) };
            let settled = queries.iter().filter(|query| !query.is_settled()).map(|query| query.until).min();
            network.pause([next, until, ask, settled].into_iter().flatten().min())?;
        }
    }

    /// Asks one server for the addresses of both families, wanted or not: the error tells whether the name has the other one.
    fn ask(&self, network: &mut Network, server: IpAddress) -> Result<Query, Error> {
        network.request_neighbor(server);
        let socket = network.stack.sockets().add(Socket::new(&[server], Vec::new()));
        let mut ask = |kind| network.stack.look_up(socket, self.name, kind);
        // The socket has room for any number of queries, so that the name alone can be the reason.
        let (Ok(ipv6), Ok(ipv4)) = (ask(DnsQueryType::Aaaa), ask(DnsQueryType::A)) else {
            network.stack.sockets().remove(socket);
            return Err(LookupError::NotAName(self.name.to_owned()).into());
        };
        let ip = &self.options.download.ip;
        let questions = [Question::new(ipv6, !ip.ipv4), Question::new(ipv4, !ip.ipv6)];
        let until = clock::now() + ANSWER_TIMEOUT;
        Ok(Query { server, socket, questions, until, has_wanted: false, is_truncated: false })
    }

    /// Whether the answers of a server end the search: it knows a wanted address, or only unwanted ones.
    fn suffices(&self, query: &Query) -> bool {
        query.addresses().any(|address| self.options.download.ip.allows(address))
            || (query.has_answered() && query.addresses().next().is_some())
    }
}

/// The questions to one server.
struct Query {
    server: IpAddress,
    /// A DNS socket of its own.
    socket: SocketHandle,
    questions: [Question; 2],
    /// When its answers are no longer waited for.
    until: Instant,
    /// A wanted address was answered.
    has_wanted: bool,
    /// One of its answers had the flag TC.
    is_truncated: bool,
}

impl Query {
    /// Reads the answers, unless the time for them is over: smoltcp reports silence as an answer later.
    fn look(&mut self, sockets: &mut SocketSet<'_>) {
        if is_over(Some(self.until)) {
            return;
        }
        for question in &mut self.questions {
            question.look(sockets.get_mut(self.socket));
        }
        if !self.has_wanted && self.questions.iter().any(Question::has_wanted) {
            self.has_wanted = true;
            // Some servers do not answer for IPv6.
            self.until = self.until.min(clock::now() + COMPANION);
        }
    }

    /// Whether there is nothing left to wait for.
    fn is_settled(&self) -> bool {
        is_over(Some(self.until))
            || self.questions.iter().all(|question| question.found.is_some())
            || (self.has_wanted && self.has_answered())
    }

    /// Whether all wanted families were answered, with addresses or without.
    fn has_answered(&self) -> bool {
        self.questions.iter().all(|question| question.found.is_some() || !question.is_wanted)
    }

    fn knows_none(&self) -> bool {
        self.is_settled() && self.has_answered() && self.addresses().next().is_none()
    }

    fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.questions.iter().filter_map(|question| question.found.as_ref()).flatten().copied()
    }
}

/// The DNS servers that DHCP names, once there is a lease.
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
    /// The addresses of the answer; `None` without an answer.
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

    /// Takes the answer from the socket, if there is one: the socket returns it once.
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
