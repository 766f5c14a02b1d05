//! Floor 5, argument contracts: the rows of `specs/contract` asked of a live PyTorch, by a program in Python.
//!
//! Decides how that program is started, how long it may be silent, what its lines mean, and which failures were expected. What
//! a row may say is `spec`'s; what a promise means is the program's (`workers/torch/`); how it reads is `report`'s.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::Duration;

use jiff::civil::Date;
use serde::Deserialize;

use crate::child::{Program, Silence, Talk};
use crate::engine::known::{self, Judged};
use crate::engine::{Clock, Stop};
use crate::spec::contract::{Row, SUBJECT};
use crate::spec::expect::Expectations;
use crate::verdict::contract::{Breach, Contract, Machine, RowOutcome, RowRecord};
use crate::verdict::record::RunStamp;

/// The program, as the files that it is started from; the first one is run.
const WORKER: [(&str, &str); 3] = [
    ("contract.py", include_str!("../../workers/torch/contract.py")),
    ("contract_row.py", include_str!("../../workers/torch/contract_row.py")),
    ("contract_state.py", include_str!("../../workers/torch/contract_state.py")),
];

/// How often a request to stop is looked for.
const GLANCE: Duration = Duration::from_millis(500);

/// The program ends a row that is silent for long; that it is silent itself for longer does not happen.
const SILENT: f64 = 600.0;

/// What is asked of whom.
#[derive(Debug)]
pub struct Options<'a> {
    /// The interpreter.
    pub python: String,
    /// In the order of the files.
    pub rows: Vec<Row>,
    /// What narrowed them, as the command line says it.
    pub selection: Vec<String>,
    /// Rows at a time.
    pub jobs: usize,
    /// Seconds that a row may take.
    pub limit: u32,
    /// Failures that are expected, with the ids of all rows that they may speak of.
    pub expected: Option<(&'a Expectations, Vec<String>)>,
    /// Asked for by a signal.
    pub stop: Stop,
    /// The command line, for the stamp.
    pub command: String,
}

/// Who watches.
pub trait Watched {
    /// So many rows are to be judged.
    fn begin(&self, rows: usize);
    /// One of them was.
    fn row(&self, id: &str, outcome: RowOutcome);
}

/// Why there is no verdict at all.
#[derive(Debug, thiserror::Error)]
pub enum ContractError {
    #[error("{what}: {source}")]
    Io { what: &'static str, source: io::Error },
    #[error("{python} cannot be started: {source}")]
    NotStarted { python: String, source: io::Error },
    #[error("{python} cannot judge anything here: {why}")]
    Failed { python: String, why: String },
    #[error("{python}: {source}")]
    Silent { python: String, source: Silence },
    #[error("the worker said `{line}`, which means nothing: {source}")]
    Line { line: String, source: serde_json::Error },
}

impl ContractError {
    /// What may help.
    #[must_use]
    pub fn advice(&self) -> Option<&'static str> {
        match self {
            ContractError::NotStarted { .. } => Some("name an interpreter that has torch with --python"),
            ContractError::Failed { .. } => {
                Some("torch and a GPU are needed; `poolproof doctor --python PROGRAM` says what there is")
            }
            _ => None,
        }
    }
}

/// A line of the worker's.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Line {
    Facts { facts: Machine },
    Failed { failed: String },
    Verdict { id: String, outcome: RowOutcome, observed: String, expected: String, broken: Vec<Breach> },
}

/// Has every row judged, and holds what came of it against what was expected.
///
/// # Errors
/// No interpreter, no torch, no GPU, or a worker that says nothing sensible.
pub fn run(options: &Options<'_>, watched: &dyn Watched) -> Result<Contract, ContractError> {
    let clock = Clock::start();
    let failed = |what| move |source| ContractError::Io { what, source };
    let folder = tempfile::tempdir().map_err(failed("a temporary folder"))?;
    let mut talk = start(options, folder.path())?;
    watched.begin(options.rows.len());
    let mut machine = None;
    let mut said: BTreeMap<String, RowRecord> = BTreeMap::new();
    let by_id: BTreeMap<&str, &Row> = options.rows.iter().map(|row| (row.id.as_str(), row)).collect();
    let complete = loop {
        match next(options, &mut talk)? {
            None => break said.len() == options.rows.len(),
            Some(Line::Facts { facts }) => machine = Some(facts),
            Some(Line::Failed { failed }) => {
                return Err(ContractError::Failed { python: options.python.clone(), why: failed });
            }
            Some(Line::Verdict { id, outcome, observed, expected, broken }) => {
                watched.row(&id, outcome);
                if let Some(row) = by_id.get(id.as_str()) {
                    let record = RowRecord { outcome, observed, expected, broken, ..of(row) };
                    said.insert(id, record);
                }
            }
        }
    };
    let Some(machine) = machine else {
        let why = "it ended before it said what there is here".to_owned();
        return Err(ContractError::Failed { python: options.python.clone(), why });
    };
    let rows = options.rows.iter().map(|row| said.remove(&row.id).unwrap_or_else(|| of(row))).collect();
    let mut contract = Contract {
        format: Contract::FORMAT.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        subject: SUBJECT.to_owned(),
        machine,
        selection: options.selection.clone(),
        complete,
        rows,
        expectations: Vec::new(),
        stamp: RunStamp { seconds: clock.seconds(), ..crate::engine::run_stamp(&options.command) },
    };
    if let Some((file, ids)) = &options.expected {
        expect(&mut contract, file, ids, crate::engine::today());
    }
    Ok(contract)
}

fn expect(contract: &mut Contract, file: &Expectations, ids: &[String], today: Date) {
    let judged = Judged { torch: &contract.machine.torch, devices: &contract.machine.names, ids, today };
    contract.expectations = known::apply(&mut contract.rows, &judged, file);
}

/// The record of a row that came to nothing yet.
fn of(row: &Row) -> RowRecord {
    RowRecord {
        id: row.id.clone(),
        place: format!("{}:{}", row.place.0, row.place.1),
        when: row.when.name().to_owned(),
        environment: row.env.iter().map(|(name, value)| format!("{name}={value}")).collect(),
        setup: row.setup.as_ref().map(|setup| setup.trim().to_owned()),
        call: row.call.trim().to_owned(),
        expected: String::new(),
        level: row.level.name().to_owned(),
        by: row.by.name().to_owned(),
        area: row.area,
        outcome: RowOutcome::NotRun,
        observed: String::new(),
        broken: Vec::new(),
        known: None,
    }
}

/// Writes the program and the rows, and starts it.
fn start(options: &Options<'_>, folder: &Path) -> Result<Talk, ContractError> {
    let failed = |what| move |source| ContractError::Io { what, source };
    for (name, text) in WORKER {
        std::fs::write(folder.join(name), text).map_err(failed("the worker"))?;
    }
    let rows = folder.join("rows.json");
    let json =
        serde_json::to_vec(&options.rows).map_err(|e| ContractError::Io { what: "the rows", source: e.into() })?;
    std::fs::write(&rows, json).map_err(failed("the rows"))?;
    let mut program = Program::new(&options.python, [folder.join(WORKER[0].0).into_os_string()]);
    program.arguments.extend(["--rows".into(), rows.into_os_string()]);
    program.arguments.extend(["--jobs".to_owned(), options.jobs.to_string()].map(Into::into));
    program.arguments.extend(["--limit".to_owned(), options.limit.to_string()].map(Into::into));
    Talk::start(&program).map_err(|source| ContractError::NotStarted { python: options.python.clone(), source })
}

/// The next line; none where the worker has ended, or somebody asked to stop.
fn next(options: &Options<'_>, talk: &mut Talk) -> Result<Option<Line>, ContractError> {
    let waiting = Clock::start();
    let line = loop {
        match talk.hear(GLANCE) {
            Ok(line) => break line,
            Err(Silence::Ended { .. }) => return Ok(None),
            Err(Silence::TooSlow(_)) if options.stop.is_asked() => return Ok(None),
            Err(Silence::TooSlow(_)) if waiting.seconds() < SILENT => {}
            Err(source) => return Err(ContractError::Silent { python: options.python.clone(), source }),
        }
    };
    serde_json::from_str(&line).map(Some).map_err(|source| ContractError::Line { line, source })
}
