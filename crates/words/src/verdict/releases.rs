//! The matrix of releases: which promise each release of one allocator keeps, and what changed from one to the next.
//!
//! Decides the shape of `matrix.json`. Whatever differs between two runs of one seed stands under `stamp`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::record::{EndedBy, RunStamp};
use crate::op::{OracleName, Setup, Text};
use crate::requirement::RequirementId;

/// Releases of one allocator under one plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ReleaseMatrix {
    /// `poolproof-release-matrix/1`.
    pub format: String,
    /// The version of poolproof that ran.
    pub version: String,
    /// What every drawn sequence follows from.
    pub seed: u64,
    /// What narrowed the runs, as the command line says it.
    #[serde(default)]
    pub selection: Vec<String>,
    /// The settings that every release ran with, as PyTorch writes them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<String>,
    /// Whether each release was also held against the policy that it claims.
    pub exact: bool,
    /// How the runs, and what was asked across them, came to their end.
    #[serde(default)]
    pub ended: EndedBy,
    /// Releases that were meant and left out: they are not set up, or have no run among those that were read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,
    /// The oldest first.
    pub releases: Vec<ReleaseRow>,
    /// The promises that some release breaks, or on which releases came to different verdicts.
    pub rows: Vec<PromiseRow>,
    /// How many of the others came to the same verdict everywhere.
    pub agreed: Agreed,
    /// Every sequence that a finding of some release stands for, asked of every release.
    pub sequences: Vec<SequenceRow>,
    /// What changed between neighbours, in the order of releases.
    pub changes: Vec<Change>,
    /// What differs between two runs of one seed.
    pub stamp: RunStamp,
}

impl ReleaseMatrix {
    /// What `format` says.
    pub const FORMAT: &'static str = "poolproof-release-matrix/1";

    /// The release of that place in the order, as it is called.
    #[must_use]
    pub fn release(&self, index: usize) -> &str {
        self.releases.get(index).map_or("", |release| release.version.as_str())
    }
}

/// One release, and how far its run came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReleaseRow {
    /// As it is called: `2.11.0`.
    pub version: String,
    /// The target that was run.
    pub target: String,
    /// What ran said of itself, such as `2.11.0+cu130`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build: Option<String>,
    /// Where its record and reports are, relative to `matrix.json`.
    pub folder: String,
    /// How its run came to its end.
    #[serde(default)]
    pub ended: EndedBy,
    /// Scenarios that came to a verdict.
    pub executed: u64,
    /// Scenarios that ran and came to none.
    pub unreached: u64,
    /// Scenarios that do not apply to it.
    pub not_applicable: u64,
    /// Scenarios that had more to run when it ended.
    pub unfinished: u64,
    /// Sequences that ran.
    pub sequences: u64,
    /// Operations that ran.
    pub operations: u64,
    /// Findings.
    pub findings: u64,
}

/// What a release came to on a promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// A scenario that is about it came to its end, and nothing broke it.
    Pass,
    /// It is broken.
    Fail,
    /// No scenario that is about it came to a verdict.
    NotReached,
    /// No scenario that is about it applies to the release.
    NotApplicable,
}

/// How many promises stand the same on every release, none of them broken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Agreed {
    /// Kept by all, as far as scenarios showed.
    pub pass: u64,
    /// No verdict on any.
    pub not_reached: u64,
    /// Applies to none.
    pub not_applicable: u64,
}

/// A promise on every release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PromiseRow {
    /// Which.
    pub requirement: RequirementId,
    /// In the order of releases.
    pub cells: Vec<Cell>,
}

/// A promise on a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Cell {
    /// What it came to.
    pub standing: Standing,
    /// The findings of its own run that break it, or whose sequences do, by id.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub found: Vec<String>,
    /// Findings of other releases whose sequences break it here, too, although the run of this one found none of that id.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shown: Vec<FindingOf>,
}

/// A finding of a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FindingOf {
    /// The release whose run has it.
    pub release: String,
    /// By id.
    pub finding: String,
}

/// A sequence, and what each release made of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SequenceRow {
    /// Where it comes from: its file is that of the first.
    pub of: Vec<FindingOf>,
    /// The scenario that it comes from.
    pub scenario: String,
    /// The promise that it was found to break.
    pub requirement: RequirementId,
    /// Whether no step can be left out of it.
    pub minimal: bool,
    /// Its file, relative to `matrix.json`.
    pub file: String,
    /// The command that runs it again, from the folder that the matrix was made in, on the release that it comes from.
    pub command: String,
    /// The world.
    pub setup: Setup,
    /// What is asked, a line an operation.
    pub steps: Vec<String>,
    /// In the order of releases.
    pub answers: Vec<Answer>,
}

/// What a release makes of a sequence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "came_to")]
pub enum Answer {
    /// It broke promises, at one step; the first is the one to report.
    Breaks {
        /// Each promise once.
        breaches: Vec<Breach>,
    },
    /// It ran to its end, and no promise was broken.
    Holds,
    /// The release lacks what the sequence's scenario needs, and was not asked; or it does not support a call of the sequence.
    NotApplicable {
        /// Why.
        why: Text,
    },
    /// It ended without an answer: the harness broke, or the process could not be had.
    NoAnswer {
        /// Why.
        why: String,
    },
    /// There was no time to ask.
    NotAsked,
}

impl Answer {
    /// What it says of a promise, if it breaks it.
    #[must_use]
    pub fn breach_of(&self, requirement: RequirementId) -> Option<&Breach> {
        self.breaches().iter().find(|breach| breach.requirement == requirement)
    }

    /// Every promise that it breaks.
    #[must_use]
    pub fn breaches(&self) -> &[Breach] {
        match self {
            Answer::Breaks { breaches } => breaches,
            _ => &[],
        }
    }

    /// Whether two answers come to the same: figures in messages may differ.
    #[must_use]
    pub fn is_like(&self, other: &Answer) -> bool {
        let first = |answer: &Answer| answer.breaches().first().map(|breach| breach.requirement);
        std::mem::discriminant(self) == std::mem::discriminant(other) && first(self) == first(other)
    }
}

/// A promise that was broken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Breach {
    /// Which.
    pub requirement: RequirementId,
    /// Who convicts.
    pub oracle: OracleName,
    /// What happened.
    pub message: Text,
}

/// In which way a promise changed between neighbours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ChangeKind {
    /// The older release breaks it, and nothing breaks it on the newer one.
    Fixed,
    /// The newer release breaks it, and nothing breaks it on the older one.
    New,
    /// Both break it, and not with the same sequences; or the sequence breaks another promise on the newer one.
    Moved,
}

/// A promise that two neighbours do not keep in the same way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Change {
    /// Which.
    pub requirement: RequirementId,
    /// In which way.
    pub kind: ChangeKind,
    /// The older release, by its place in the order.
    pub older: usize,
    /// The newer one.
    pub newer: usize,
    /// The sequence that shows it on one of the two and holds, or breaks something else, on the other: the shortest, by its
    /// place. Absent where only the runs differ: such a change is not verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<usize>,
    /// Which of the two breaks the promise with that sequence.
    pub breaks_on: usize,
    /// How many sequences show the same.
    pub shown_by: u64,
}
