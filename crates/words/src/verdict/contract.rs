//! An argument contract held against a library: what each row came to.
//!
//! Decides the shape of `contract.json`, and what counts as kept. What differs between two runs of one machine stands under
//! `stamp`, apart from addresses and process numbers in what was observed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::expectation::{ExpectationRecord, Standing};
use super::record::RunStamp;
use crate::op::Text;
use crate::requirement::Area;

/// Every row of a contract, judged on one machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Contract {
    /// `poolproof-contract/1`.
    pub format: String,
    /// The version of poolproof that judged.
    pub version: String,
    /// What the rows are about.
    pub subject: String,
    /// What they were judged on.
    pub machine: Machine,
    /// What narrowed the rows, as the command line says it.
    #[serde(default)]
    pub selection: Vec<String>,
    /// Whether every row came to its end.
    pub complete: bool,
    /// In the order of the files.
    pub rows: Vec<RowRecord>,
    /// What became of the failures that were expected.
    #[serde(default)]
    pub expectations: Vec<ExpectationRecord>,
    /// What differs between two runs.
    pub stamp: RunStamp,
}

impl Contract {
    /// The name of this format and its version.
    pub const FORMAT: &'static str = "poolproof-contract/1";

    /// The rows that came to something.
    pub fn judged(&self) -> impl Iterator<Item = &RowRecord> {
        self.rows.iter().filter(|row| row.outcome.is_judged())
    }

    /// Whether nothing is broken that was not expected to be, and nothing expected is out of date.
    #[must_use]
    pub fn is_as_expected(&self) -> bool {
        let is_wrong = |e: &ExpectationRecord| e.standing == Standing::UnexpectedPass || e.standing.is_outdated();
        !self.rows.iter().any(RowRecord::is_news) && !self.expectations.iter().any(is_wrong)
    }
}

/// The library and the devices, as the worker found them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Machine {
    /// The version of PyTorch.
    pub torch: String,
    /// The CUDA that it was built for.
    #[serde(default)]
    pub cuda: Option<String>,
    /// The version of Python.
    pub python: String,
    /// The backend of the allocator by default.
    pub backend: String,
    /// The devices by name.
    pub names: Vec<String>,
    /// Their bytes.
    pub total: Vec<u64>,
    /// Whether they compute.
    pub kernels: bool,
    /// Whether graphs can be captured.
    pub capture: bool,
    /// Whether `backend:cudaMallocAsync` serves.
    #[serde(rename = "async")]
    pub asynchronous: bool,
    /// Whether the Python package can be imported.
    pub numpy: bool,
    /// The same.
    pub pynvml: bool,
}

/// How a row ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RowOutcome {
    /// The promise was kept.
    Kept,
    /// It was not.
    Broken,
    /// The process ended in it.
    Crashed,
    /// It never ended.
    Hung,
    /// The machine lacks what it needs.
    NotApplicable,
    /// The run ended before it.
    NotRun,
}

impl RowOutcome {
    /// As records write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            RowOutcome::Kept => "kept",
            RowOutcome::Broken => "broken",
            RowOutcome::Crashed => "crashed",
            RowOutcome::Hung => "hung",
            RowOutcome::NotApplicable => "not applicable",
            RowOutcome::NotRun => "not run",
        }
    }

    /// Whether the row says something of the library.
    #[must_use]
    pub fn is_judged(self) -> bool {
        !matches!(self, RowOutcome::NotApplicable | RowOutcome::NotRun)
    }

    /// Whether the promise was not kept.
    #[must_use]
    pub fn is_failure(self) -> bool {
        matches!(self, RowOutcome::Broken | RowOutcome::Crashed | RowOutcome::Hung)
    }
}

/// A part of a promise that can be broken by itself. Some hold for every row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Clause {
    /// What is returned, or whether.
    Answer,
    /// The class of the error.
    Class,
    /// What the message names.
    Message,
    /// That it is no internal assertion.
    Assertion,
    /// What holds afterwards.
    Effect,
    /// That nothing else changed.
    Unchanged,
    /// That nothing is held, and all is set as before, once the row has cleaned up.
    Leak,
    /// That the next call does not meet an error of this one.
    ErrorLeft,
    /// That the interpreter is as before.
    Sane,
    /// That a capture comes to its end.
    Capture,
    /// That the situation can be brought about at all.
    Setup,
    /// That the process lives.
    Crashed,
    /// That the call ends.
    Hung,
}

/// One clause that was broken, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Breach {
    /// Which.
    pub clause: Clause,
    /// What is there instead.
    pub what: String,
}

/// One row, and what it came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RowRecord {
    /// `function/what`.
    pub id: String,
    /// `file:line`.
    pub place: String,
    /// In which situation the call was made.
    pub when: String,
    /// Variables that its process was started with, `NAME=value`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub environment: Vec<String>,
    /// What was done before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub setup: Option<String>,
    /// What was called.
    pub call: String,
    /// What was promised, in one line.
    pub expected: String,
    /// `must` or `should`.
    pub level: String,
    /// Who promises it: `docstring`, `docs`, `test`, `sense`.
    pub by: String,
    /// What it is about.
    pub area: Area,
    /// How it ended.
    pub outcome: RowOutcome,
    /// What was seen; why it did not run, where it did not.
    pub observed: String,
    /// The clauses that were broken.
    #[serde(default)]
    pub broken: Vec<Breach>,
    /// Why that was expected, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known: Option<Text>,
}

impl RowRecord {
    /// The function that it is about.
    #[must_use]
    pub fn function(&self) -> &str {
        self.id.split_once('/').map_or(&self.id, |(function, _)| function)
    }

    /// Whether it was broken and nobody expected it to be.
    #[must_use]
    pub fn is_news(&self) -> bool {
        self.outcome.is_failure() && self.known.is_none()
    }
}
