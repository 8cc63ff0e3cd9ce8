//! The runs of a check: of one server or of several, once or again and again.

use core::{
    fmt,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::Duration,
};
use std::{
    collections::BTreeMap,
    io::{self, Write},
    sync::Arc,
    thread,
    time::Instant,
};

use greet_host::{client::HostPort, stop::Stop};

use super::{
    CheckError,
    baseline::{self, Baseline},
    entry::Outcome,
    frames,
    options::CheckOptions,
    probe::{Level, Probe},
    record::Record,
    run,
    selection::Selection,
};
use crate::export::{
    json::{self, JsonError, check::Document},
    number::{Count, Time, counted},
    text::check::{List, Show},
};

/// All runs of one server. The memory for them does not grow with their number.
pub(crate) struct Runs {
    pub(crate) host: String,
    /// Number of runs.
    pub(crate) count: u64,
    /// Number of runs that failed.
    pub(crate) failed: u64,
    /// The number of the first of them, from 1.
    pub(crate) first_failure: Option<u64>,
    /// In how many runs each MUST failed.
    pub(crate) failures: BTreeMap<String, u64>,
    pub(crate) took: Duration,
    /// The first run that failed, or else the last one. `None` if the server was not checked.
    pub(crate) record: Option<Record>,
}

impl Runs {
    fn new(host: &HostPort) -> Self {
        Self {
            host: host.to_string(),
            count: 0,
            failed: 0,
            first_failure: None,
            failures: BTreeMap::new(),
            took: Duration::ZERO,
            record: None,
        }
    }

    fn add(&mut self, record: Record) {
        self.count += 1;
        for entry in record.probes.iter().filter(|entry| entry.level == Level::Must) {
            if matches!(entry.outcome, Outcome::Failed(_)) {
                *self.failures.entry(entry.id.clone()).or_default() += 1;
            }
        }
        let is_first_failure = !record.passed && self.failed == 0;
        self.failed += u64::from(!record.passed);
        if is_first_failure {
            self.first_failure = Some(self.count);
        }
        if is_first_failure || self.failed == 0 {
            self.record = Some(record);
        }
    }

    /// Whether the server was checked, and no run failed.
    pub(crate) const fn passed(&self) -> bool {
        self.count > 0 && self.failed == 0
    }
}

/// "PASSED (47 passed)", or of several runs "3 of 100 runs failed: stream.lengths in 3; the first was run 7".
impl fmt::Display for Runs {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(record) = &self.record else { return formatter.write_str("not checked") };
        match (self.count, self.first_failure) {
            (1, _) => write!(formatter, "{}", record.verdict),
            (count, None) => write!(formatter, "{0} of {0} runs passed", Count(count)),
            (count, Some(first)) => {
                write!(formatter, "{} of {} runs failed", Count(self.failed), Count(count))?;
                let times = self.failures.iter().map(|(id, times)| format!("{id} in {}", Count(*times)));
                let times = times.collect::<Vec<_>>().join(", ");
                let colon = if times.is_empty() { "" } else { ": " };
                write!(formatter, "{colon}{times}; the first was run {}", Count(first))
            }
        }
    }
}

/// What is tested.
pub(super) enum Tests<'a> {
    /// The service, by these probes.
    Service(&'a [&'a Probe]),
    /// The network stack, by frames on this interface.
    Stack { interface: &'a str, selection: &'a Selection },
}

/// What is run on each server.
pub(super) struct Series<'a> {
    pub(super) tests: Tests<'a>,
    pub(super) options: &'a CheckOptions,
    pub(super) baseline: Option<&'a Baseline>,
    pub(super) stop: Option<Arc<Stop>>,
}

impl Series<'_> {
    /// Checks all servers, as many at the same time as the options say. Returns the runs of each in the order of `hosts`.
    pub(super) fn run(&self, hosts: &[HostPort]) -> Result<Vec<Runs>, CheckError> {
        let threads = self.options.jobs.get().min(hosts.len());
        let output = Output {
            json: self.options.report.json,
            is_series: self.options.is_series(),
            is_repeated: self.options.is_repeated(),
            has_several: hosts.len() > 1,
            is_parallel: threads > 1,
            is_closed: AtomicBool::new(false),
        };
        let next = AtomicUsize::new(0);
        let work = || {
            let mut done = Vec::new();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(host) = hosts.get(index) else { return done };
                done.push((index, self.server(host, &output)));
            }
        };
        let mut done = thread::scope(|scope| {
            let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
            let own = work();
            // A thread that panicked has printed its message; its server is missing in the summary.
            others.into_iter().flat_map(|thread| thread.join().unwrap_or_default()).chain(own).collect::<Vec<_>>()
        });
        done.sort_by_key(|(index, _)| *index);
        let all = done.into_iter().map(|(_, runs)| runs).collect::<Result<Vec<_>, _>>()?;
        if output.is_series && !output.json {
            output.print(&summary(&all))?;
        }
        Ok(all)
    }

    /// Checks one server until there is nothing more to run.
    fn server(&self, host: &HostPort, output: &Output) -> Result<Runs, CheckError> {
        let begin = Instant::now();
        let mut runs = Runs::new(host);
        while self.continues(&runs) && !output.is_closed.load(Ordering::Relaxed) {
            let list = List::new(output.show(), !output.is_parallel);
            if output.has_several && !output.is_repeated {
                list.line(&format!("{host}:"));
            }
            let stop = self.stop.clone();
            let mut record = match self.tests {
                Tests::Service(probes) => run::run(host, probes, self.options, stop, &list),
                Tests::Stack { interface, selection } => {
                    frames::run(interface, host, selection, self.options, stop, &list)?
                }
            };
            list.end(&record);
            if runs.count > 0 && self.is_stopped() {
                break; // this run is incomplete
            }
            if let Some(baseline) = self.baseline {
                baseline::report(baseline, &mut record, &list);
            }
            output.run(&runs, &record, &list)?;
            runs.add(record);
        }
        runs.took = begin.elapsed();
        Ok(runs)
    }

    fn is_stopped(&self) -> bool {
        self.stop.as_ref().is_some_and(|stop| stop.is_wished())
    }

    fn continues(&self, runs: &Runs) -> bool {
        let limit = match (self.options.repeat, self.options.until_failure) {
            (Some(count), _) => count.get() as u64,
            (None, true) => u64::MAX,
            (None, false) => 1,
        };
        runs.count < limit && !(self.options.until_failure && runs.failed > 0) && !self.is_stopped()
    }
}

/// Where the results of each run go.
struct Output {
    json: bool,
    /// There may be more than one run.
    is_series: bool,
    /// A server may be checked more than once.
    is_repeated: bool,
    /// There is more than one server.
    has_several: bool,
    /// Servers are checked at the same time.
    is_parallel: bool,
    /// The reader has closed standard output.
    is_closed: AtomicBool,
}

impl Output {
    const fn show(&self) -> Show {
        match (self.json, self.is_parallel || self.is_repeated) {
            (true, _) => Show::Progress,
            (false, true) => Show::Later,
            (false, false) => Show::Now,
        }
    }

    /// Prints a run that follows `earlier` ones.
    fn run(&self, earlier: &Runs, record: &Record, list: &List) -> Result<(), CheckError> {
        self.check(list.finish())?;
        let number = earlier.count + 1;
        if self.json {
            let document = Document::new(record, self.is_series.then_some(number));
            let output = io::stdout().lock();
            let written =
                if self.is_series { json::write_line(&document, output) } else { json::write(&document, output) };
            return match written {
                Err(JsonError::Write(error)) => self.check(Err(error)),
                written => Ok(written?),
            };
        }
        // In one piece: other threads print, too.
        let mut text = String::new();
        if self.is_repeated {
            let host = if self.has_several { format!("{}: ", earlier.host) } else { String::new() };
            text = format!("{host}run {}: {}\n", Count(number), record.verdict);
        }
        // Of repeated runs the first one that fails is shown in full.
        if !self.is_repeated || (!record.passed && earlier.failed == 0) {
            text += &list.later();
        }
        self.print(&text)
    }

    fn print(&self, text: &str) -> Result<(), CheckError> {
        let mut output = io::stdout().lock();
        self.check(output.write_all(text.as_bytes()).and_then(|()| output.flush()))
    }

    /// A closed pipe is no error: no further run is started, and the exit status has the result.
    fn check(&self, written: io::Result<()>) -> Result<(), CheckError> {
        match written {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => self.is_closed.store(true, Ordering::Relaxed),
            written => written.map_err(CheckError::Output)?,
        }
        Ok(())
    }
}

/// The end of a series: a line for each server, and how many passed.
fn summary(all: &[Runs]) -> String {
    let width = all.iter().map(|runs| runs.host.len()).max().unwrap_or_default();
    let mut text = String::from("\n");
    for runs in all {
        let word = match (runs.count, runs.failed) {
            (0, _) => "skip",
            (_, 0) => "ok",
            _ => "FAIL",
        };
        text += &format!("{word:<4} {:<width$}  {runs} in {}\n", runs.host, Time::from(runs.took));
    }
    let passed = all.iter().filter(|runs| runs.passed()).count() as u64;
    if all.len() > 1 {
        text += &format!("{} of {} passed\n", Count(passed), counted(all.len() as u64, "server"));
    }
    text
}
