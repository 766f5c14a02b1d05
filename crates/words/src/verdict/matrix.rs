//! The kill matrix: which planted defect is found by whom, and that no legal variation is convicted.
//!
//! Decides the shape of `kill-matrix.json`. Whatever differs between two runs of one seed stands under `stamp`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::record::{EndedBy, RunStamp};
use crate::op::{OracleName, Text};
use crate::requirement::RequirementId;

/// Every defect and every variation against one plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct KillMatrix {
    /// `poolproof-kill-matrix/1`.
    pub format: String,
    /// The version of poolproof that hunted.
    pub version: String,
    /// The target that defects and variations are options of.
    pub base: String,
    /// The seed of the hunts, and the first of the variations'.
    pub seed: u64,
    /// What narrowed the run, as the command line says it.
    #[serde(default)]
    pub selection: Vec<String>,
    /// How the hunts came to their end.
    #[serde(default)]
    pub ended: EndedBy,
    /// Defects and variations that were not tried to the end before that.
    #[serde(default)]
    pub untried_defects: u64,
    /// See `untried_defects`.
    #[serde(default)]
    pub untried_variations: u64,
    /// How many scenarios were tried on each.
    pub scenarios: u64,
    /// By the order of the catalogue.
    pub defects: Vec<DefectRow>,
    /// By the order of the catalogue.
    pub variations: Vec<VariationRow>,
    /// What differs between two hunts of one seed.
    pub stamp: RunStamp,
}

/// A planted defect, and who found it first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DefectRow {
    /// Its name in target options.
    pub name: String,
    /// The public report it copies.
    pub copies: String,
    /// What goes wrong.
    pub what: String,
    /// Absent if the defect survived.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kill: Option<Kill>,
    /// How many scenarios fail; absent where the hunt stopped at the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing: Option<u64>,
    /// What differs between two hunts of one seed.
    pub stamp: RowStamp,
}

/// The first conviction, in the order of the plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Kill {
    /// The promise that was found broken.
    pub requirement: RequirementId,
    /// Who convicted.
    pub oracle: OracleName,
    /// In which scenario, `area::name`.
    pub scenario: String,
    /// What was promised and what happened.
    pub message: Text,
    /// Operations asked up to the conviction, from the first scenario of the plan on.
    pub operations: u64,
    /// Steps of the sequence as it was found, and made as short as possible.
    pub original_steps: u64,
    /// Steps that are left when no more can be taken away.
    pub minimal_steps: u64,
}

/// A legal variation, and what was said of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct VariationRow {
    /// Its name in target options.
    pub name: String,
    /// What is done otherwise.
    pub what: String,
    /// Runs of the whole plan, each with a seed of its own.
    pub seeds: u64,
    /// Scenarios of the first seed by outcome: passed; not applicable, for want of a capability; the rest.
    pub passed: u64,
    /// Scenarios of the first seed that it lacks something for.
    pub not_applicable: u64,
    /// Scenarios of the first seed that came to anything else.
    pub inconclusive: u64,
    /// Operations asked, over all seeds.
    pub operations: u64,
    /// Convictions over all seeds; there must be none.
    pub alarms: Vec<Alarm>,
    /// What differs between two runs of one seed.
    pub stamp: RowStamp,
}

/// A conviction of what is legal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Alarm {
    /// The seed that it came with first.
    pub seed: u64,
    /// In which scenario, `area::name`.
    pub scenario: String,
    /// The promise that was said to be broken.
    pub requirement: RequirementId,
    /// Absent if the target broke.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oracle: Option<OracleName>,
    /// What was said of it.
    pub message: Text,
}

/// How long a row took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RowStamp {
    /// Seconds of wall-clock time.
    pub seconds: f64,
}

impl KillMatrix {
    /// What `format` says.
    pub const FORMAT: &'static str = "poolproof-kill-matrix/1";

    /// Defects that were found.
    #[must_use]
    pub fn killed(&self) -> usize {
        self.defects.iter().filter(|d| d.kill.is_some()).count()
    }

    /// Convictions of legal variations.
    #[must_use]
    pub fn alarms(&self) -> usize {
        self.variations.iter().map(|v| v.alarms.len()).sum()
    }

    /// Whether every defect that was tried was found, and no variation convicted.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.killed() == self.defects.len() && self.alarms() == 0
    }
}
