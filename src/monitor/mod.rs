//! Floor 5, monitoring: what tells of device memory, measured on a live PyTorch by a program in Python.
//!
//! Decides how that program is started, how long it may be silent, what its lines mean, and which failures were expected. What is
//! measured, and what a promise means, is the program's (`workers/torch/`); how it reads is `report`'s.

#[cfg(all(test, unix))]
mod tests;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use crate::child::{Program, Silence, Talk};
use crate::engine::known::{self, Judged};
use crate::engine::{Clock, Stop};
use crate::spec::expect::Expectations;
use crate::verdict::monitoring::{Cost, Delay, Missing, MonitoredMachine, Monitoring, MonitoringRow};
use crate::verdict::record::RunStamp;

/// The program, as the files that it is started from; the first one is run.
const WORKER: [(&str, &str); 9] = [
    ("monitoring.py", include_str!("../../workers/torch/monitoring.py")),
    ("monitoring_child.py", include_str!("../../workers/torch/monitoring_child.py")),
    ("monitoring_cost.py", include_str!("../../workers/torch/monitoring_cost.py")),
    ("monitoring_delay.py", include_str!("../../workers/torch/monitoring_delay.py")),
    ("monitoring_fakes.py", include_str!("../../workers/torch/monitoring_fakes.py")),
    ("monitoring_faults.py", include_str!("../../workers/torch/monitoring_faults.py")),
    ("monitoring_nvml.py", include_str!("../../workers/torch/monitoring_nvml.py")),
    ("monitoring_processes.py", include_str!("../../workers/torch/monitoring_processes.py")),
    ("monitoring_rows.py", include_str!("../../workers/torch/monitoring_rows.py")),
];

/// How often a request to stop is looked for.
const GLANCE: Duration = Duration::from_millis(500);

/// The program ends a process that is silent for long; that it is silent itself for longer does not happen.
const SILENT: f64 = 900.0;

/// What is measured on whom.
#[derive(Debug)]
pub struct Options<'a> {
    /// The interpreter.
    pub python: String,
    /// Seconds of watching changes, for each device.
    pub seconds: u32,
    /// The parts that are wanted, as the worker calls them; all where none is named.
    pub parts: Vec<String>,
    /// This program, to be asked for `processes`; without it that is left out.
    pub own: Option<PathBuf>,
    /// Failures that are expected.
    pub expected: Option<&'a Expectations>,
    /// Asked for by a signal.
    pub stop: Stop,
    /// The command line, for the stamp.
    pub command: String,
}

/// Who watches.
pub trait Watched {
    /// About so many results are to come.
    fn begin(&self, steps: u64);
    /// One of them came; whether it is a broken promise.
    fn step(&self, what: &str, broken: bool);
}

/// Why there is no result at all.
#[derive(Debug, thiserror::Error)]
pub enum MonitorError {
    #[error("{what}: {source}")]
    Io { what: &'static str, source: io::Error },
    #[error("{python} cannot be started: {source}")]
    NotStarted { python: String, source: io::Error },
    #[error("{python} cannot measure anything here: {why}")]
    Failed { python: String, why: String },
    #[error("{python}: {source}")]
    Silent { python: String, source: Silence },
    #[error("the worker said `{line}`, which means nothing: {source}")]
    Line { line: String, source: serde_json::Error },
}

impl MonitorError {
    /// What may help.
    #[must_use]
    pub fn advice(&self) -> Option<&'static str> {
        match self {
            MonitorError::NotStarted { .. } => Some("name an interpreter that has torch with --python"),
            MonitorError::Failed { .. } => {
                Some("torch and a GPU are needed; `poolproof doctor --python PROGRAM` says what there is")
            }
            _ => None,
        }
    }
}

/// A line of the worker's.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Facts(MonitoredMachine),
    Steps(u64),
    Row(Box<MonitoringRow>),
    Cost(Cost),
    Delay(Delay),
    Missing(Missing),
    Failed(String),
    /// Every part came to an end, well or not.
    End(bool),
}

/// Has all measured, and holds what came of it against what was expected.
///
/// # Errors
/// No interpreter, no torch, no GPU, or a worker that says nothing sensible.
pub fn run(options: &Options<'_>, watched: &dyn Watched) -> Result<Monitoring, MonitorError> {
    let clock = Clock::start();
    let failed = |what| move |source| MonitorError::Io { what, source };
    let folder = tempfile::tempdir().map_err(failed("a temporary folder"))?;
    let mut talk = start(options, folder.path())?;
    let mut machine = None;
    let mut monitoring = Monitoring {
        format: Monitoring::FORMAT.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        machine: MonitoredMachine::default(),
        parts: options.parts.clone(),
        complete: false,
        rows: Vec::new(),
        costs: Vec::new(),
        delays: Vec::new(),
        missing: Vec::new(),
        expectations: Vec::new(),
        stamp: crate::engine::run_stamp(&options.command),
    };
    while let Some(line) = next(options, &mut talk)? {
        match line {
            Line::Facts(facts) => machine = Some(facts),
            Line::Failed(why) => return Err(MonitorError::Failed { python: options.python.clone(), why }),
            Line::End(whole) => monitoring.complete = whole,
            line => note(line, &mut monitoring, watched),
        }
    }
    let Some(machine) = machine else {
        let why = "it ended before it said what there is here".to_owned();
        return Err(MonitorError::Failed { python: options.python.clone(), why });
    };
    monitoring.machine = machine;
    monitoring.complete &= monitoring.missing.iter().all(|missing| missing.device.is_some());
    monitoring.rows.sort_by(|a, b| a.id.cmp(&b.id)); // Some are judged side by side.
    monitoring.stamp = RunStamp { seconds: clock.seconds(), ..monitoring.stamp };
    // Without rows no entry has anything to speak of.
    if let Some(file) = options.expected.filter(|_| monitoring.has_rows()) {
        expect(&mut monitoring, file);
    }
    Ok(monitoring)
}

/// Writes down what a line says.
fn note(line: Line, monitoring: &mut Monitoring, watched: &dyn Watched) {
    match line {
        Line::Steps(steps) => watched.begin(steps),
        Line::Row(row) => {
            watched.step(&format!("{}: {}", row.id, row.outcome.name()), row.outcome.is_failure());
            monitoring.rows.push(*row);
        }
        Line::Cost(cost) => {
            watched.step(&format!("{} beside {} live blocks", cost.call, cost.live_blocks), false);
            monitoring.costs.push(cost);
        }
        Line::Delay(delay) => {
            watched.step(&format!("{:?} at {} changes a second", delay.figure, delay.rate), false);
            monitoring.delays.push(delay);
        }
        Line::Missing(missing) => {
            watched.step(&format!("{} not measured: {}", missing.part, missing.why), false);
            monitoring.missing.push(missing);
        }
        Line::Facts(_) | Line::Failed(_) | Line::End(_) => {}
    }
}

fn expect(monitoring: &mut Monitoring, file: &Expectations) {
    let ids: Vec<String> = monitoring.rows.iter().map(|row| row.id.clone()).collect();
    let Monitoring { machine, rows, .. } = monitoring;
    let today = crate::engine::today();
    let judged = Judged { torch: &machine.torch, devices: &machine.names, ids: &ids, today };
    monitoring.expectations = known::apply(rows, &judged, file);
}

/// Writes the program, and starts it.
fn start(options: &Options<'_>, folder: &Path) -> Result<Talk, MonitorError> {
    for (name, text) in WORKER {
        std::fs::write(folder.join(name), text).map_err(|source| MonitorError::Io { what: "the worker", source })?;
    }
    let scratch = folder.join("scratch");
    std::fs::create_dir(&scratch).map_err(|source| MonitorError::Io { what: "a temporary folder", source })?;
    let mut program = Program::new(&options.python, [folder.join(WORKER[0].0).into_os_string()]);
    program.arguments.extend(["--scratch".into(), scratch.into_os_string()]);
    program.arguments.extend(["--seconds".to_owned(), options.seconds.to_string()].map(Into::into));
    program.arguments.extend(options.parts.iter().flat_map(|part| ["--part".into(), part.into()]));
    if let Some(own) = &options.own {
        program.arguments.extend(["--own".into(), own.clone().into_os_string()]);
    }
    Talk::start(&program).map_err(|source| MonitorError::NotStarted { python: options.python.clone(), source })
}

/// The next line; none where the worker has ended, or somebody asked to stop.
fn next(options: &Options<'_>, talk: &mut Talk) -> Result<Option<Line>, MonitorError> {
    let waiting = Clock::start();
    let line = loop {
        match talk.hear(GLANCE) {
            Ok(line) => break line,
            Err(Silence::Ended { .. }) => return Ok(None),
            Err(Silence::TooSlow(_)) if options.stop.is_asked() => return Ok(None),
            Err(Silence::TooSlow(_)) if waiting.seconds() < SILENT => {}
            Err(source) => return Err(MonitorError::Silent { python: options.python.clone(), source }),
        }
    };
    serde_json::from_str(&line).map(Some).map_err(|source| MonitorError::Line { line, source })
}
