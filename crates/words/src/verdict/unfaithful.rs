//! Unfaithful reporters: which wrong figure, field or number is noticed by whom.
//!
//! Decides the shape of `unfaithful.json`, and what counts as noticed. Whatever differs between two runs of one seed
//! stands under `stamp`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::record::{EndedBy, RunStamp};
use crate::op::OracleName;
use crate::requirement::RequirementId;

/// Every unfaithful reporter against one plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Unfaithful {
    /// `poolproof-unfaithful/1`.
    pub format: String,
    /// The version of poolproof that hunted.
    pub version: String,
    /// The sound target within.
    pub base: String,
    /// What every drawn sequence follows from.
    pub seed: u64,
    /// What narrowed the run, as the command line says it.
    #[serde(default)]
    pub selection: Vec<String>,
    /// How the hunts came to their end.
    pub ended: EndedBy,
    /// Reporters that were not tried to the end before that.
    pub untried: u64,
    /// How many scenarios were tried on each.
    pub scenarios: u64,
    /// By observable.
    pub rows: Vec<ReporterRow>,
    /// What differs between two hunts of one seed.
    pub stamp: RunStamp,
}

/// A reporter that tells one thing wrongly, and who noticed it first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReporterRow {
    /// What is told wrongly.
    pub observable: String,
    /// What it is counted with: a family, a kind of text.
    pub group: String,
    /// How it is wrong.
    pub kind: String,
    /// When it is.
    pub occasion: String,
    /// The judges that a promise about it gives, whatever the policy; none where no promise speaks of it.
    pub judges: Vec<OracleName>,
    /// How often it was told wrongly; 0 where what is told is what is true.
    pub told: u64,
    /// Absent if nobody noticed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub noticed: Option<Noticed>,
}

/// How a reporter was noticed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Noticed {
    /// The promise that was broken.
    pub requirement: RequirementId,
    /// Who convicted; absent if the sequence ended in a panic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oracle: Option<OracleName>,
    /// In which scenario, `area::name`.
    pub scenario: String,
    /// Operations asked up to the conviction.
    pub operations: u64,
}

/// What became of some reporters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Score {
    /// Somebody noticed.
    pub noticed: u64,
    /// It was told wrongly, and nobody noticed.
    pub survived: u64,
    /// It was never told wrongly: no sequence came to a difference.
    pub unreached: u64,
}

impl Score {
    /// Those that were told wrongly.
    #[must_use]
    pub fn told(&self) -> u64 {
        self.noticed + self.survived
    }

    /// The part of those told wrongly that was noticed, in percent.
    #[must_use]
    pub fn percent(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
        let part = self.noticed as f64 * 100.0 / self.told().max(1) as f64;
        part
    }
}

impl ReporterRow {
    /// `KEY/KIND/WHEN`, as in target options.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}/{}/{}", self.observable, self.kind, self.occasion)
    }

    /// Told wrongly, and nobody noticed.
    #[must_use]
    pub fn survives(&self) -> bool {
        self.told > 0 && self.noticed.is_none()
    }

    /// Whether a promise speaks of what is told wrongly.
    #[must_use]
    pub fn is_promised(&self) -> bool {
        !self.judges.is_empty()
    }
}

impl Unfaithful {
    /// What `format` says.
    pub const FORMAT: &'static str = "poolproof-unfaithful/1";

    /// What became of those rows.
    pub fn score(&self, counts: impl Fn(&ReporterRow) -> bool) -> Score {
        let mut score = Score::default();
        for row in self.rows.iter().filter(|row| counts(row)) {
            match (&row.noticed, row.told) {
                (Some(_), _) => score.noticed += 1,
                (None, 0) => score.unreached += 1,
                (None, _) => score.survived += 1,
            }
        }
        score
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_never_told_wrongly_is_not_counted_as_surviving() {
        let score = Score { noticed: 97, survived: 3, unreached: 50 };
        assert_eq!((score.told(), score.percent()), (100, 97.0));
        assert_eq!(Score::default().percent(), 0.0);
    }
}
