//! `greet bench`: loads a server, checks every reply, and tells the figures.

mod alarm;
mod compare;
mod conversation;
mod error;
mod figures;
mod link;
mod live;
mod load;
mod names;
mod pace;
mod plan;
mod process;
mod tally;
mod text;
mod view;

use core::{net::SocketAddr, time::Duration};
use std::{
    io::{self, Write},
    process::ExitCode,
};

use greet::{
    client::HostPort,
    report::{
        Page,
        json::{self, JsonError},
        latency::Latencies,
    },
    stop::Stop,
};
use serde::Serialize;

use self::{
    compare::{Comparison, TurnFigures, ratios},
    error::BenchError,
    figures::{COMPARISON, Figures, REPORT, Run, Settings, date},
    live::Live,
    load::{Glance, Load, Turn},
    plan::{Plan, Room},
    process::allow_open_files,
};
use crate::{chat::connect::addresses, options::BenchOptions};

/// What a process has open beside its connections, and some more.
const OTHER_FILES: usize = 32;

/// Loads the server, or the two, that `options` ask for.
pub(crate) fn run(options: &BenchOptions) -> ExitCode {
    let outcome = Plan::new(options).map_err(BenchError::from).and_then(|plan| match plan.room()? {
        Room::Small => measure::<{ Room::SMALL }>(options, plan),
        Room::Middle => measure::<{ Room::MIDDLE }>(options, plan),
        Room::Large => measure::<{ Room::LARGE }>(options, plan),
    });
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(io::stderr(), "greet: {error}");
            if matches!(error, BenchError::Usage(_)) { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
}

/// Whether everything was answered rightly. Each connection's machine has room for so many bytes.
fn measure<const N: usize>(options: &BenchOptions, plan: Plan) -> Result<bool, BenchError> {
    let loads = if options.against.is_some() { 2 } else { 1 };
    let wanted = plan.connections.saturating_mul(loads);
    let allowed = allow_open_files()?;
    if u64::try_from(wanted.saturating_add(OTHER_FILES)).is_ok_and(|needed| needed > allowed) {
        return Err(BenchError::TooManyFiles { wanted, allowed });
    }
    let find = |host: &HostPort| addresses(host, options.ipv4, options.ipv6);
    let found = find(&options.host)?;
    let against = options.against.as_ref().map(|host| find(host).map(|found| (host, found))).transpose()?;
    let stop = Stop::on_signals()?;
    let live = Live::new(plan.connections);
    let watch = |glance: Glance<'_>| live.show(glance);
    let first = open::<N>(&options.host, found, plan, &stop, &watch)?;
    match against {
        None => {
            let run = one(first, plan)?;
            live.clear();
            tell(options, &run, text::print_run, view::of_run)?;
            Ok(run.figures.are_good())
        }
        Some((host, found)) => {
            let second = open::<N>(host, found, plan, &stop, &watch)?;
            let comparison = by_turns(first, second, plan)?;
            live.clear();
            tell(options, &comparison, text::print_comparison, view::of_comparison)?;
            Ok(comparison.first.are_good() && comparison.second.are_good())
        }
    }
}

/// A server, and the connections to it.
struct Opened<'a, const N: usize> {
    host: String,
    load: Load<'a, N>,
}

fn open<'a, const N: usize>(
    host: &HostPort,
    found: Vec<SocketAddr>,
    plan: Plan,
    stop: &'a Stop,
    watch: &'a dyn Fn(Glance<'_>),
) -> Result<Opened<'a, N>, BenchError> {
    let host = host.to_string();
    let mut load = Load::new(plan, found, stop, watch)?;
    match load.open()? {
        Ok(()) => Ok(Opened { host, load }),
        Err(reason) => Err(BenchError::NoConversation { host, reason }),
    }
}

impl<const N: usize> Opened<'_, N> {
    /// The figures of what was measured, once the conversations are ended.
    fn figures(&mut self, plan: &Plan, turn: &Turn) -> Result<Figures, BenchError> {
        let greeted = self.load.work.greeted;
        self.load.close()?;
        let address = self.load.peer().to_string();
        Ok(Figures::new(plan, self.host.clone(), address, greeted, &self.load.work.tally, turn))
    }
}

fn one<const N: usize>(mut opened: Opened<'_, N>, plan: Plan) -> Result<Run, BenchError> {
    let turn = opened.load.work(plan.warmup, plan.duration)?;
    let ended_early = opened.load.stopped;
    let figures = opened.figures(&plan, &turn)?;
    Ok(Run { report: REPORT, date: date(), settings: Settings::new(&plan), ended_early, figures })
}

/// One server in a comparison: its turns one by one, and all together.
struct Contestant<'a, const N: usize> {
    opened: Opened<'a, N>,
    sum: Turn,
    answered: u64,
    latencies: Latencies,
    /// Names are sent for the first time.
    cold: bool,
}

impl<'a, const N: usize> Contestant<'a, N> {
    fn new(opened: Opened<'a, N>) -> Result<Self, BenchError> {
        Ok(Self { opened, sum: Turn::default(), answered: 0, latencies: Latencies::new()?, cold: true })
    }

    fn turn(&mut self, plan: &Plan) -> Result<TurnFigures, BenchError> {
        let warmup = if core::mem::take(&mut self.cold) { plan.warmup } else { Duration::ZERO };
        let load = &mut self.opened.load;
        let turn = load.work(warmup, plan.turn)?;
        let tally = &load.work.tally;
        self.sum.elapsed = self.sum.elapsed.saturating_add(turn.elapsed);
        self.sum.processor = self.sum.processor.saturating_add(turn.processor);
        self.sum.backlog.names = self.sum.backlog.names.saturating_add(turn.backlog.names);
        self.sum.backlog.behind = self.sum.backlog.behind.max(turn.backlog.behind);
        self.answered = self.answered.saturating_add(tally.in_time);
        self.latencies.add_all(&tally.latencies);
        let elapsed = turn.elapsed.as_secs_f64();
        let names_per_s = if elapsed > 0.0 { tally.in_time as f64 / elapsed } else { 0.0 };
        Ok(TurnFigures { names_per_s, latency_ns: tally.latencies.summary() })
    }

    /// All turns together.
    fn figures(mut self, plan: &Plan) -> Result<Figures, BenchError> {
        let tally = &mut self.opened.load.work.tally;
        tally.in_time = self.answered;
        tally.latencies = self.latencies;
        self.opened.figures(plan, &self.sum)
    }
}

/// Both by turns.
fn by_turns<const N: usize>(first: Opened<'_, N>, second: Opened<'_, N>, plan: Plan) -> Result<Comparison, BenchError> {
    let (mut first, mut second) = (Contestant::new(first)?, Contestant::new(second)?);
    let mut turns = Vec::new();
    let mut ended_early = false;
    for number in 0..plan.turns {
        // Who is first in one pair is second in the next: so nobody always finds the other's traces.
        let pair = if number % 2 == 0 {
            let turn = first.turn(&plan)?;
            (turn, second.turn(&plan)?)
        } else {
            let turn = second.turn(&plan)?;
            (first.turn(&plan)?, turn)
        };
        ended_early = first.opened.load.stopped || second.opened.load.stopped;
        if ended_early {
            break; // half a pair gives no ratio
        }
        turns.push(pair);
    }
    first.opened.load.stopped |= ended_early;
    second.opened.load.stopped |= ended_early;
    Ok(Comparison {
        report: COMPARISON,
        date: date(),
        settings: Settings::new(&plan),
        turn_s: plan.turn.as_secs_f64(),
        turns: turns.len(),
        ended_early,
        first: first.figures(&plan)?,
        second: second.figures(&plan)?,
        ratios: ratios(&turns),
    })
}

/// Prints the figures, and writes the page where one is wanted.
fn tell<T: Serialize>(
    options: &BenchOptions,
    figures: &T,
    print: fn(&T) -> io::Result<()>,
    view: fn(&T) -> Page,
) -> Result<(), BenchError> {
    let printed = if options.json {
        json::write(figures, io::stdout().lock()).map_err(|error| match error {
            JsonError::Write(error) => BenchError::Output(error),
            error => error.into(),
        })
    } else {
        print(figures).map_err(BenchError::Output)
    };
    // Neither is lost where the other has no place.
    let saved = match &options.html {
        Some(path) => view(figures).save(path).map_err(|error| BenchError::Page { path: path.clone(), error }),
        None => Ok(()),
    };
    match printed {
        // Whoever read the figures has seen enough: there is nobody left to tell.
        Err(BenchError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => saved,
        printed => printed.and(saved),
    }
}
