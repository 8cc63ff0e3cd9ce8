//! `greet bench`: loads a server, checks every reply, and reports throughput and latency.

mod alarm;
pub(crate) mod compare;
mod conversation;
mod error;
pub(crate) mod figures;
pub(crate) mod intervals;
mod link;
mod live;
mod load;
mod names;
mod opening;
mod options;
mod pace;
mod plan;
mod process;
mod socket;
pub(crate) mod stalls;
pub(crate) mod summary;
mod tally;
mod work;

use core::{net::SocketAddr, time::Duration};
use std::{fs::OpenOptions, io, process::ExitCode};

use greet_host::{client::HostPort, resolve::addresses, stop::Stop};

use self::{
    compare::{Comparison, TurnFigures, ratios},
    figures::{Figures, Run, Settings, date},
    link::Link,
    live::Live,
    load::{Glance, Load, Measured, Unserved},
    options::SocketArgs,
    plan::{Capacity, Plan},
    process::allow_open_files,
    tally::Waits,
};
pub(crate) use self::{error::BenchError, options::BenchOptions};
use crate::export::{
    html::{self, report::HtmlReport},
    json::{
        self, JsonError,
        bench::{ComparisonDocument, FailureDocument, RunDocument},
    },
    text,
};

/// Open files of the process besides its connections.
const OTHER_FILES: usize = 32;

/// Runs the subcommand. The exit status says whether every name was answered rightly.
pub(crate) fn run(options: &BenchOptions) -> Result<ExitCode, BenchError> {
    let outcome = Plan::new(options).map_err(BenchError::from).and_then(|plan| match plan.capacity()? {
        Capacity::Small => measure::<{ Capacity::SMALL }>(options, plan),
        Capacity::Middle => measure::<{ Capacity::MIDDLE }>(options, plan),
        Capacity::Large => measure::<{ Capacity::LARGE }>(options, plan),
    });
    if let Err(error) = &outcome
        && options.report.json
        && error.is_of_the_run()
    {
        // A program that reads the JSON sees the reason too.
        let _ = json::write(&FailureDocument::new(&date(), &error.to_string()), io::stdout());
    }
    Ok(if outcome? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Checks before the run that there are enough files and memory, and that the report can be written.
fn prepare<const N: usize>(options: &BenchOptions, plan: &Plan, connections: usize) -> Result<(), BenchError> {
    let allowed = allow_open_files()?;
    if u64::try_from(connections.saturating_add(OTHER_FILES)).is_ok_and(|needed| needed > allowed) {
        return Err(BenchError::TooManyFiles { wanted: connections, allowed });
    }
    let each = size_of::<Link<N>>().saturating_add(plan.pipeline.saturating_mul(size_of::<Duration>()));
    let bytes = each.saturating_mul(connections);
    Vec::<u8>::new().try_reserve_exact(bytes).map_err(|_| BenchError::Memory { bytes })?;
    if let Some(path) = &options.report.html {
        let file = OpenOptions::new().append(true).create(true).open(path);
        file.map_err(|error| BenchError::Page { path: path.clone(), error })?;
    }
    Ok(())
}

/// Runs the load; whether every name was answered rightly. `N` is the capacity of each client machine in bytes.
fn measure<const N: usize>(options: &BenchOptions, plan: Plan) -> Result<bool, BenchError> {
    let loads = if options.against.is_some() { 2 } else { 1 };
    prepare::<N>(options, &plan, plan.connections.saturating_mul(loads))?;
    let find = |host: &HostPort| {
        let mut found = addresses(host, options.ip, options.timeout.timeout)?;
        if let Some(local) = options.socket.bind {
            found.retain(|address| address.is_ipv4() == local.is_ipv4());
        }
        let first = *found.first().ok_or_else(|| BenchError::NoAddressToBind { host: host.to_string() })?;
        options.socket.check(first)?;
        Ok::<_, BenchError>(found)
    };
    let found = find(&options.server.host)?;
    let against = options.against.as_ref().map(|host| find(host).map(|found| (host, found))).transpose()?;
    let stop = Stop::on_signals()?;
    let live = Live::new(plan.connections, plan.interval.is_some() && !options.report.json);
    let (first_name, second_name) =
        (options.server.host.to_string(), options.against.as_ref().map(HostPort::to_string));
    let first_name = second_name.as_ref().map(|_| first_name.as_str());
    let watch = |glance: Glance<'_>| live.show(first_name, glance);
    let watch_second = |glance: Glance<'_>| live.show(second_name.as_deref(), glance);
    let mut first = open::<N>(&options.server.host, found, plan, &options.socket, &stop, &watch)?;
    match against {
        None => {
            let run = one(first, plan)?;
            live.clear();
            output(
                options,
                || text::bench::print_run(&run),
                || json::write(&RunDocument::from(&run), io::stdout().lock()),
                || html::bench::of_run(&run),
            )?;
            Ok(run.figures.are_good())
        }
        Some((host, found)) => {
            let second = match open::<N>(host, found, plan, &options.socket, &stop, &watch_second) {
                Ok(second) => second,
                Err(error) => {
                    first.load.close()?; // the first server sees `exit` and a FIN, not a reset
                    return Err(error);
                }
            };
            let comparison = compare(first, second, plan)?;
            live.clear();
            output(
                options,
                || text::bench::print_comparison(&comparison),
                || json::write(&ComparisonDocument::from(&comparison), io::stdout().lock()),
                || html::bench::of_comparison(&comparison),
            )?;
            Ok(comparison.first.are_good() && comparison.second.are_good())
        }
    }
}

/// A server and the connections to it.
struct Opened<'a, const N: usize> {
    host: String,
    load: Load<'a, N>,
}

fn open<'a, const N: usize>(
    host: &HostPort,
    found: Vec<SocketAddr>,
    plan: Plan,
    sockets: &'a SocketArgs,
    stop: &'a Stop,
    watch: &'a dyn Fn(Glance<'_>),
) -> Result<Opened<'a, N>, BenchError> {
    let host = host.to_string();
    let mut load = Load::new(plan, found, sockets, stop, watch)?;
    match load.open()? {
        Ok(()) => Ok(Opened { host, load }),
        Err(Unserved { reason, is_refused }) => Err(BenchError::NoConversation { host, reason, is_refused }),
    }
}

impl<const N: usize> Opened<'_, N> {
    /// Closes all connections and computes the figures.
    fn figures(&mut self, plan: &Plan, measured: &Measured) -> Result<Figures, BenchError> {
        let greeted = self.load.work.greeted;
        self.load.close()?;
        let address = self.load.peer().to_string();
        Ok(Figures::new(plan, self.host.clone(), address, greeted, &self.load.work.tally, measured))
    }
}

fn one<const N: usize>(mut opened: Opened<'_, N>, plan: Plan) -> Result<Run, BenchError> {
    let measured = opened.load.work(plan.warmup, plan.duration)?;
    let figures = opened.figures(&plan, &measured)?;
    let ended_early = opened.load.is_stopped(); // also during the close
    Ok(Run { date: date(), settings: Settings::new(&plan, opened.load.sockets), ended_early, figures })
}

/// One server of a comparison, with the sums over its turns.
struct Contestant<'a, const N: usize> {
    opened: Opened<'a, N>,
    sum: Measured,
    answered: u64,
    waits: Waits,
    /// No turn has run yet, so the next begins with the warm-up.
    cold: bool,
}

impl<'a, const N: usize> Contestant<'a, N> {
    fn new(opened: Opened<'a, N>) -> Result<Self, BenchError> {
        Ok(Self { opened, sum: Measured::default(), answered: 0, waits: Waits::new()?, cold: true })
    }

    fn turn(&mut self, plan: &Plan) -> Result<TurnFigures, BenchError> {
        let warmup = if core::mem::take(&mut self.cold) { plan.warmup } else { Duration::ZERO };
        let load = &mut self.opened.load;
        let measured = load.work(warmup, plan.turn)?;
        let tally = &load.work.tally;
        self.sum = self.sum.and(measured);
        self.answered = self.answered.saturating_add(tally.in_time);
        self.waits.add_all(&tally.waits);
        let elapsed = measured.elapsed.as_secs_f64();
        let names_per_s = if elapsed > 0.0 { tally.in_time as f64 / elapsed } else { 0.0 };
        let latency = Some(&tally.waits).filter(|waits| waits.answered() > 0);
        Ok(TurnFigures { names_per_s, latency: latency.and_then(|waits| waits.latencies.summary()) })
    }

    /// The figures of all turns together.
    fn figures(mut self, plan: &Plan) -> Result<Figures, BenchError> {
        let tally = &mut self.opened.load.work.tally;
        tally.in_time = self.answered;
        tally.waits = self.waits;
        self.opened.figures(plan, &self.sum)
    }
}

/// Compares two servers in alternating turns.
fn compare<const N: usize>(first: Opened<'_, N>, second: Opened<'_, N>, plan: Plan) -> Result<Comparison, BenchError> {
    let (mut first, mut second) = (Contestant::new(first)?, Contestant::new(second)?);
    let mut turns = Vec::new();
    let mut ended_early = false;
    for number in 0..plan.turns {
        // The order alternates, so neither server always runs after the other.
        let pair = if number % 2 == 0 {
            let turn = first.turn(&plan)?;
            (turn, second.turn(&plan)?)
        } else {
            let turn = second.turn(&plan)?;
            (first.turn(&plan)?, turn)
        };
        ended_early = first.opened.load.is_stopped() || second.opened.load.is_stopped();
        if ended_early {
            break; // half a pair gives no ratio
        }
        turns.push(pair);
    }
    if ended_early {
        first.opened.load.stop();
        second.opened.load.stop();
    }
    Ok(Comparison {
        date: date(),
        settings: Settings::new(&plan, first.opened.load.sockets),
        turn: plan.turn,
        turns: turns.len(),
        ended_early,
        first: first.figures(&plan)?,
        second: second.figures(&plan)?,
        ratios: ratios(&turns),
    })
}

/// Prints the figures as text or JSON, and writes the HTML report if one was asked for.
fn output(
    options: &BenchOptions,
    text: impl Fn() -> io::Result<()>,
    json: impl Fn() -> Result<(), JsonError>,
    html: impl Fn() -> HtmlReport,
) -> Result<(), BenchError> {
    let printed = if options.report.json {
        json().map_err(|error| match error {
            JsonError::Write(error) => BenchError::Output(error),
            error => error.into(),
        })
    } else {
        text().map_err(BenchError::Output)
    };
    // The report is saved even if the output cannot be printed.
    let saved = match &options.report.html {
        Some(path) => html().save(path).map_err(|error| BenchError::Page { path: path.clone(), error }),
        None => Ok(()),
    };
    match printed {
        // The reader closed the pipe: it has read enough.
        Err(BenchError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => saved,
        printed => printed.and(saved),
    }
}
