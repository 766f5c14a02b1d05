//! What a comparison says of a finding.
//!
//! Decides the words and what each stands for; `findings` says which applies.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::op::{OracleName, Text};
use crate::requirement::{RequirementId, Severity};
use crate::verdict::Outcome;

/// What became of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FindingKind {
    /// Only the new run has it, and a scenario that stumbles over it passed in the old one.
    New,
    /// Only the new run has it, and no scenario that stumbles over it passed in the old one: whether it is new is not known.
    FirstSeen,
    /// Both have it, and something of it is otherwise.
    Changed,
    /// Only the old run has it; its own scenario passes in the new one, and every other that stumbled over it has a verdict.
    Fixed,
    /// Only the old run has it, and the new one did not execute what would show it.
    NotShown,
    /// Both have it.
    Still,
}

impl FindingKind {
    /// Every kind, in the order of a page.
    pub const ALL: [FindingKind; 6] = [
        FindingKind::New,
        FindingKind::FirstSeen,
        FindingKind::Changed,
        FindingKind::Fixed,
        FindingKind::NotShown,
        FindingKind::Still,
    ];
}

/// What shows that a finding of one run is that of the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MatchedBy {
    /// The same id: promise and judge.
    Id,
    /// The same promise, judge and calls, with blocks numbered anew.
    Sequence,
    /// The same promise and judge; a record of format 1 numbers its findings.
    PromiseAndJudge,
    /// The same scenario saw the same promise broken by the same judge, and it was put down to another finding there.
    Folded,
}

/// A finding of either run, or of both.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FindingRow {
    /// What became of it.
    pub kind: FindingKind,
    /// The promise that was broken.
    pub requirement: RequirementId,
    /// How bad it is, in the new run where that has it.
    pub severity: Severity,
    /// As the old run has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old: Option<FindingSide>,
    /// As the new run has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new: Option<FindingSide>,
    /// Why the two are one, if there are two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matched: Option<MatchedBy>,
    /// What is otherwise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changed: Vec<Changed>,
    /// New or fixed only by sequences that the two runs drew from different seeds.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub drawn_anew: bool,
    /// Why the other run shows nothing, where it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because: Option<NotShownBecause>,
}

/// A finding as one run has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FindingSide {
    /// Its id.
    pub id: String,
    /// Who convicts.
    pub oracle: OracleName,
    /// The scenario that its sequence comes from.
    pub scenario: String,
    /// How many scenarios stumbled over it.
    pub scenarios: u64,
    /// What happened.
    pub message: Text,
    /// Steps of its sequence.
    pub steps: u64,
    /// Whether an expectation announced it.
    pub expected: bool,
    /// The command that reproduces it, from the folder that the run was called in.
    pub command: String,
}

/// What is otherwise of a finding that both runs have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "what")]
pub enum Changed {
    /// How bad it is.
    Severity {
        /// Before.
        old: Severity,
        /// Now.
        new: Severity,
    },
    /// Announced by an expectation now, and not before.
    Announced,
    /// Announced by an expectation before, and no more.
    NoLongerAnnounced,
    /// It came in every run of its sequence, and now comes and goes.
    ComesAndGoes,
    /// It came and went, and now comes in every run of its sequence.
    Steady,
    /// Its shortest sequence makes other calls.
    Calls,
    /// What is said of it, addresses apart.
    Message,
    /// Scenarios with the same steps that passed, and now stumble over it.
    Spread {
        /// By id.
        scenarios: Vec<String>,
    },
    /// Scenarios with the same steps that stumbled over it, and pass now.
    Receded {
        /// By id.
        scenarios: Vec<String>,
    },
    /// It was put down to another finding there.
    TakenTogether,
}

/// Why a run shows nothing of a finding of the other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "why")]
pub enum NotShownBecause {
    /// Scenarios that stumbled over it did not come to a verdict there, with how they ended; absent where its plan lacks one.
    Scenarios {
        /// By id.
        scenarios: Vec<Ended>,
    },
    /// Its own scenario fails there by something else, and says nothing of what comes later.
    FailsOtherwise {
        /// By id.
        scenario: String,
    },
    /// Nobody compared with the policy there.
    PolicyNotJudged,
    /// What can be seen of the target there is less, and judges that need it were silent.
    Capabilities {
        /// By name.
        missing: Vec<String>,
    },
}

/// How a scenario ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Ended {
    /// By id.
    pub scenario: String,
    /// Absent where the plan lacks it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
}
