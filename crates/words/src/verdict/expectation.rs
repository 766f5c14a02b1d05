//! What became of an entry of expected failures in a run.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::op::Text;
use crate::requirement::RequirementId;

/// How an entry stands after a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// What it speaks of failed.
    Met,
    /// What it speaks of passed.
    UnexpectedPass,
    /// It speaks of nothing that could fail here.
    Stale,
    /// Its last day is over: it excuses nothing any more.
    Expired,
    /// It is about another version, device or driver.
    OutOfScope,
    /// What it speaks of came to no verdict in this run.
    NotRun,
}

impl Standing {
    /// As records write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Standing::Met => "met",
            Standing::UnexpectedPass => "unexpected-pass",
            Standing::Stale => "stale",
            Standing::Expired => "expired",
            Standing::OutOfScope => "out-of-scope",
            Standing::NotRun => "not-run",
        }
    }

    /// Whether the entry itself has to be put right.
    #[must_use]
    pub fn is_outdated(self) -> bool {
        matches!(self, Standing::Stale | Standing::Expired)
    }
}

/// One entry, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExpectationRecord {
    /// `file:line`.
    pub place: String,
    /// The glob over scenario ids, if that is what it speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scenario: Option<String>,
    /// The requirement, if that is what it speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requirement: Option<RequirementId>,
    /// Why it fails, as the entry says.
    pub reason: Text,
    /// Where more is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// Who sees to it.
    pub owner: String,
    /// Year, month and day of the last day that it holds.
    pub expires: String,
    /// What became of it.
    pub standing: Standing,
    /// Why it stands so, where that needs saying.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Text>,
    /// The scenarios that it speaks of.
    pub scenarios: Vec<String>,
}

impl ExpectationRecord {
    /// What it speaks of, as the file says it.
    #[must_use]
    pub fn about(&self) -> String {
        let requirement = || self.requirement.map(|r| r.to_string());
        self.scenario.clone().or_else(requirement).unwrap_or_default()
    }
}
