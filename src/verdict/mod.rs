//! Floor 1, what came of it: outcomes, violations, findings and the record of a run.
//!
//! Decides the shape of results and of `run.json`. Does not decide who is guilty (`oracle`) or how it reads (`report`).

pub mod expectation;
pub mod files;
pub mod interval;
pub mod matrix;
pub mod record;
pub mod survival;
pub mod sweep;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::op::{OracleName, Setup, Step, Text};
use crate::requirement::{RequirementId, Severity};

/// How a scenario ended on a target. Nothing is silently green.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    Pass,
    Fail,
    /// Failed as a written expectation said it would.
    ExpectedFail,
    /// Passed although a written expectation said it would fail.
    UnexpectedPass,
    /// The target lacks what the scenario needs.
    NotApplicable,
    /// Left out by the user or for want of time.
    Skipped,
    /// The harness or the target's process broke.
    Broken,
    /// It ran, but not far enough to say anything.
    Inconclusive,
}

impl Outcome {
    pub const ALL: [Outcome; 8] = [
        Outcome::Pass,
        Outcome::Fail,
        Outcome::ExpectedFail,
        Outcome::UnexpectedPass,
        Outcome::NotApplicable,
        Outcome::Skipped,
        Outcome::Broken,
        Outcome::Inconclusive,
    ];

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Pass => "pass",
            Outcome::Fail => "fail",
            Outcome::ExpectedFail => "expected-fail",
            Outcome::UnexpectedPass => "unexpected-pass",
            Outcome::NotApplicable => "not-applicable",
            Outcome::Skipped => "skipped",
            Outcome::Broken => "broken",
            Outcome::Inconclusive => "inconclusive",
        }
    }
}

/// A figure or observation that supports a violation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Evidence {
    pub label: Text,
    pub value: String,
}

/// One oracle's conviction at one step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Violation {
    pub oracle: OracleName,
    /// The promise that was broken; without it the scenario's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requirement: Option<RequirementId>,
    /// What was promised and what happened, in one sentence with its figures.
    pub message: Text,
    #[serde(default)]
    pub evidence: Vec<Evidence>,
}

impl Violation {
    #[must_use]
    pub fn new(oracle: OracleName, requirement: Option<RequirementId>, message: Text) -> Self {
        Violation { oracle, requirement, message, evidence: Vec::new() }
    }

    /// Adds a figure.
    #[must_use]
    pub fn with(mut self, en: &str, zh: &str, value: impl ToString) -> Self {
        self.evidence.push(Evidence { label: Text::new(en, zh), value: value.to_string() });
        self
    }
}

/// A sequence that can be run again by itself: the world, the steps, and who judges.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reproducer {
    /// `poolproof-reproducer/1`.
    pub format: String,
    pub target: String,
    /// The scenario it came from, `area::name`.
    pub scenario: String,
    pub requirement: RequirementId,
    pub setup: Setup,
    pub oracles: Vec<OracleName>,
    pub steps: Vec<Step>,
    /// Whether the closing operations (free everything, wait, empty the cache) follow the steps.
    pub epilogue: bool,
}

impl Reproducer {
    pub const FORMAT: &'static str = "poolproof-reproducer/1";
}

/// What was asked and answered, in order, up to the violation: the listing of a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TranscriptLine {
    /// The operation in one line.
    pub asked: String,
    pub answered: String,
    /// Added by the harness (a retry after a refusal, filling and reading blocks, the closing operations).
    pub added: bool,
}

/// How often the same judge convicted of the same promise when a reproducer was run again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reproduced {
    pub times: u32,
    /// Runs, each on a fresh target.
    pub of: u32,
}

impl Reproduced {
    /// Not every run failed: the failure comes and goes.
    #[must_use]
    pub fn is_partial(self) -> bool {
        self.times < self.of
    }
}

/// A violation with its minimal sequence and all that a team needs to act on it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// `F01`, in the order of the run.
    pub id: String,
    pub scenario: String,
    pub requirement: RequirementId,
    pub severity: Severity,
    /// What fixing such a finding usually costs.
    pub effort_days: f64,
    pub violation: Violation,
    pub reproducer: Reproducer,
    /// The reproducer as it ran, up to the violation.
    pub transcript: Vec<TranscriptLine>,
    /// How often the reproducer failed when it was run again; unknown in records of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reproduced: Option<Reproduced>,
    /// Steps of the sequence as it was first found.
    pub original_steps: u64,
    /// Where the reproducer was written, relative to `run.json`.
    pub file: String,
    /// The command that reproduces it from the folder that `run` was called in.
    pub command: String,
}
