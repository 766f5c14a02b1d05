//! `run.json`: everything a report needs, and nothing a report could not render again years later.
//!
//! Whatever differs between two runs of one seed (time, host, durations) stands under keys named `stamp`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::expectation::ExpectationRecord;
use super::matrix::KillMatrix;
use super::states::StatesRecord;
use super::sweep::SweepRecord;
use super::{Finding, Outcome};
use crate::op::contract::{DeviceInfo, Versions};
use crate::op::{Milestone, OracleName, Text};
use crate::requirement::{RequirementId, Severity};

/// One run on one target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunRecord {
    /// `poolproof-run/2`; records of format 1 are read, too, and say less.
    pub format: String,
    /// The version of poolproof that ran.
    pub version: String,
    /// What was run.
    pub target: TargetRecord,
    /// What every drawn sequence follows from.
    pub seed: u64,
    /// What narrowed the run, as the command line says it: scenario globs, shard, time limit. Empty for a full run.
    #[serde(default)]
    pub selection: Vec<String>,
    /// What part of the promises the run was meant to speak of.
    #[serde(default)]
    pub scope: Scope,
    /// The share of the requirements of level must, from 0 to 1, that a full run has to come to a verdict on.
    #[serde(default = "default_min_coverage")]
    pub min_coverage: f64,
    /// How the run came to its end.
    #[serde(default)]
    pub ended: EndedBy,
    /// Every scenario of the plan, in its order.
    pub scenarios: Vec<ScenarioRecord>,
    /// The worst first.
    pub findings: Vec<Finding>,
    /// Which abstract states came together; absent in older records, and where nothing ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub states: Option<StatesRecord>,
    /// Device calls failed in turn, where that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sweep: Option<SweepRecord>,
    /// What the scenarios of this run detect, where that was asked for; measured on the reference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kill_matrix: Option<KillMatrix>,
    /// The failures that were expected, entry by entry, and what became of each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expectations: Vec<ExpectationRecord>,
    /// What differs between two runs of one seed.
    pub stamp: RunStamp,
}

impl RunRecord {
    /// What `format` says.
    pub const FORMAT: &'static str = "poolproof-run/2";
    /// The usual `min_coverage`.
    pub const MIN_COVERAGE: f64 = 0.25;
    /// The format before: reasons are prose, findings are numbered, a target is a name.
    pub const FORMAT_1: &'static str = "poolproof-run/1";

    /// Whether it was written before reasons and targets were data.
    #[must_use]
    pub fn is_format_1(&self) -> bool {
        self.format == RunRecord::FORMAT_1
    }

    /// How many scenarios ended so.
    #[must_use]
    pub fn count(&self, outcome: Outcome) -> usize {
        self.scenarios.iter().filter(|s| s.outcome == outcome).count()
    }

    /// The record of a scenario, by its id.
    #[must_use]
    pub fn scenario(&self, id: &str) -> Option<&ScenarioRecord> {
        self.scenarios.iter().find(|s| s.id == id)
    }

    /// Whether a written expectation announced a finding: every scenario that stumbled over it fails as expected.
    #[must_use]
    pub fn is_expected(&self, finding: &Finding) -> bool {
        let announced = |id: &&str| self.scenario(id).is_some_and(|s| s.outcome == Outcome::ExpectedFail);
        finding.scenarios().iter().all(announced)
    }

    /// Findings that nobody announced, in the order of the record.
    pub fn open_findings(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|f| !self.is_expected(f))
    }

    /// Entries of expected failures that fail the run themselves.
    pub fn outdated(&self) -> impl Iterator<Item = &ExpectationRecord> {
        self.expectations.iter().filter(|e| e.standing.is_outdated())
    }
}

/// What a run needs, unless it is told otherwise, to say something of a target: a quarter.
fn default_min_coverage() -> f64 {
    RunRecord::MIN_COVERAGE
}

/// What part of the promises a run was meant to speak of; everything, if nothing is set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Scope {
    /// Globs over scenario ids.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scenarios: Vec<String>,
    /// One share of several, `K/N`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shard: Option<String>,
    /// A folder of scenario files instead of the built-in ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub specs: Option<String>,
    /// Generated sequences alone, for their own sake (`fuzz`).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub generated_only: bool,
    /// Judged by nobody but the policy that the target claims.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub policy_alone: bool,
}

impl Scope {
    /// Whether the user chose a part: then the run speaks of that part, whatever its share of the promises.
    #[must_use]
    pub fn is_part(&self) -> bool {
        *self != Scope::default()
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
    /// A call of a target in the harness's own process never returned.
    Hung,
}

/// The target of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TargetRecord {
    /// As the user named it.
    pub name: String,
    /// What stands before the `@`, with `worker:` if it ran in a process of its own by the user's wish.
    #[serde(default)]
    pub allocator: String,
    /// Where it ran: `sim`, `cuda`.
    #[serde(default)]
    pub place: String,
    /// What stands after the `?`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<TargetOption>,
    /// Its devices are simulated; unknown in records of format 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub simulated: Option<bool>,
    /// Devices as the target had them in the largest world of the run.
    pub devices: Vec<DeviceInfo>,
    /// What can be asked of it or seen, by name.
    pub capabilities: Vec<String>,
    /// A defect that was planted on purpose, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub planted: Option<String>,
    /// What ran under that name.
    #[serde(default, skip_serializing_if = "Versions::is_unknown")]
    pub versions: Versions,
}

/// One option of a target's name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TargetOption {
    /// What stands before `=`.
    pub key: String,
    /// Absent for settings written without a key: `expandable_segments:True`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

/// Why a scenario was not run, or not to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LeftOut {
    /// `--scenario` does not name it.
    Filter,
    /// It is in another share than `--shard` asks for.
    Share,
    /// It is about the policy that a target claims, which `--no-exact` asks nobody to judge.
    NoExact,
    /// The time limit was over.
    Time,
    /// The run was interrupted, or is under way still.
    Interrupted,
}

/// One scenario on the target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ScenarioRecord {
    /// `area::name`.
    pub id: String,
    /// The promise that it is about.
    pub requirement: RequirementId,
    /// What it says of itself.
    pub title: Text,
    /// How bad a violation is.
    pub severity: Severity,
    /// Days that mending such a violation usually takes.
    pub effort_days: f64,
    /// How it ended.
    pub outcome: Outcome,
    /// Why it was left out, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_out: Option<LeftOut>,
    /// Capabilities that it needs and the target lacks; unknown in records of format 1.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
    /// The findings, by id, that stopped it before it could say anything of its own promise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blocked_by: Vec<String>,
    /// Why it did not pass, and what would lift it. Absent for a pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Text>,
    /// Explicit steps, or generated sequences.
    pub generated: bool,
    /// Sequences that ran.
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
    /// Who judged.
    pub oracles: Vec<OracleName>,
    /// Situations that had to be reached.
    pub must_reach: Vec<Milestone>,
    /// In how many sequences each situation was reached.
    pub reached: BTreeMap<Milestone, u64>,
    /// Values of a step's state that had to come together.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub combined: Vec<CombinationRecord>,
    /// What differs between two runs of one seed.
    pub stamp: ScenarioStamp,
}

/// Values that had to come together, and whether they did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CombinationRecord {
    /// By dimension, the values of which one is enough.
    pub of: BTreeMap<String, Vec<String>>,
    /// In how many sequences they did.
    pub sequences: u64,
}

/// What differs between two runs of one scenario with one seed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ScenarioStamp {
    /// Seconds of wall-clock time.
    pub seconds: f64,
    /// Stored failing sequences that were run first.
    pub regressions: u64,
}

/// When, where and for how long something ran.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunStamp {
    /// RFC 3339, UTC.
    pub started: String,
    /// Seconds of wall-clock time.
    pub seconds: f64,
    /// The operating system.
    pub os: String,
    /// The processor, as the system names it.
    pub cpu: String,
    /// Cores that the system offers.
    pub cores: u64,
    /// The command line.
    pub command: String,
}
