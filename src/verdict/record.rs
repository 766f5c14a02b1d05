//! `run.json`: everything a report needs, and nothing a report could not render again years later.
//!
//! Whatever differs between two runs of one seed (time, host, durations) stands under keys named `stamp`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::expectation::ExpectationRecord;
use super::matrix::KillMatrix;
use super::sweep::SweepRecord;
use super::{Finding, Outcome};
use crate::op::contract::{DeviceInfo, Versions};
use crate::op::{Milestone, OracleName, Text};
use crate::requirement::{RequirementId, Severity};

/// One run on one target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunRecord {
    /// `poolproof-run/1`.
    pub format: String,
    /// The version of poolproof that ran.
    pub version: String,
    pub target: TargetRecord,
    pub seed: u64,
    /// What narrowed the run: scenario globs, shard, time limit. Empty for a full run.
    #[serde(default)]
    pub selection: Vec<String>,
    /// How the run came to its end.
    #[serde(default)]
    pub ended: EndedBy,
    pub scenarios: Vec<ScenarioRecord>,
    pub findings: Vec<Finding>,
    /// Device calls failed in turn, where that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sweep: Option<SweepRecord>,
    /// What the scenarios of this run detect, where that was asked for; measured on the reference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kill_matrix: Option<KillMatrix>,
    /// The failures that were expected, entry by entry, and what became of each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expectations: Vec<ExpectationRecord>,
    pub stamp: RunStamp,
}

impl RunRecord {
    pub const FORMAT: &'static str = "poolproof-run/1";

    /// How many scenarios ended so.
    #[must_use]
    pub fn count(&self, outcome: Outcome) -> usize {
        self.scenarios.iter().filter(|s| s.outcome == outcome).count()
    }

    /// Entries of expected failures that fail the run themselves.
    pub fn outdated(&self) -> impl Iterator<Item = &ExpectationRecord> {
        self.expectations.iter().filter(|e| e.standing.is_outdated())
    }
}

/// How a run came to its end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum EndedBy {
    /// Everything that was planned was run.
    #[default]
    Complete,
    /// The time that was given was over before every scenario had the sequences planned for it.
    TimeUp,
    /// Somebody asked it to stop, with a signal.
    Interrupted,
    /// It never wrote its end: this is what it had written so far.
    Killed,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TargetRecord {
    pub name: String,
    /// Devices as the target had them in the largest world of the run.
    pub devices: Vec<DeviceInfo>,
    pub capabilities: Vec<String>,
    /// A defect that was planted on purpose, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub planted: Option<String>,
    #[serde(default, skip_serializing_if = "Versions::is_unknown")]
    pub versions: Versions,
}

/// One scenario on the target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ScenarioRecord {
    /// `area::name`.
    pub id: String,
    pub requirement: RequirementId,
    pub title: Text,
    pub severity: Severity,
    pub effort_days: f64,
    pub outcome: Outcome,
    /// Why it did not pass, and what would lift it. Absent for a pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Text>,
    /// Explicit steps, or generated sequences.
    pub generated: bool,
    pub sequences: u64,
    /// Sequences that a run with enough time makes of it; 0 if it was left out, or the record is an old one.
    #[serde(default)]
    pub planned: u64,
    /// It had more to run when this was written: time was up, the run was interrupted, or is under way still.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unfinished: bool,
    /// Operations executed, those the harness added included.
    pub operations: u64,
    /// Operations not asked because what they needed was not there.
    pub dropped: u64,
    /// Sequences that were also compared with a variant of themselves.
    #[serde(default)]
    pub pairs: u64,
    pub oracles: Vec<OracleName>,
    /// Situations that had to be reached.
    pub must_reach: Vec<Milestone>,
    /// In how many sequences each situation was reached.
    pub reached: BTreeMap<Milestone, u64>,
    pub stamp: ScenarioStamp,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ScenarioStamp {
    pub seconds: f64,
    /// Stored failing sequences that were run first.
    pub regressions: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunStamp {
    /// RFC 3339, UTC.
    pub started: String,
    pub seconds: f64,
    pub os: String,
    pub cpu: String,
    pub cores: u64,
    pub command: String,
}
