//! Promises, scenarios and expected failures that do not stand as they did.
//!
//! Decides what a promise came to in a run, and what is lost.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ExpectationRow, Pair, RequirementRow, ScenarioRow, says};
use crate::requirement::{ALL, RequirementId};
use crate::verdict::Outcome;
use crate::verdict::expectation::{ExpectationRecord, Standing};
use crate::verdict::record::{RunRecord, ScenarioRecord};

/// What a run knows of a promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PromiseState {
    /// A finding breaks it, or a scenario that is about it failed; announced or not.
    Broken,
    /// A scenario that is about it passed, and nothing was seen to break it.
    Kept,
    /// Scenarios that are about it were to run, and none came to a verdict.
    NoVerdict,
    /// No scenario that is about it applies to the target.
    NotApplicable,
    /// The selection leaves out every scenario that is about it.
    NotSelected,
    /// No scenario of the plan is about it.
    NotInPlan,
}

impl PromiseState {
    fn of(record: &RunRecord, id: RequirementId) -> Self {
        let scenarios: Vec<&ScenarioRecord> = record.scenarios.iter().filter(|s| s.requirement == id).collect();
        let any = |is: &dyn Fn(&ScenarioRecord) -> bool| scenarios.iter().any(|s| is(s));
        let fails = |s: &ScenarioRecord| matches!(s.outcome, Outcome::Fail | Outcome::ExpectedFail);
        // A scenario may fail by a promise that it only comes upon.
        let own = |s: &ScenarioRecord| !record.findings.iter().any(|f| f.concerns(&s.id));
        if record.findings.iter().any(|f| f.requirements().contains(&id)) || any(&|s| fails(s) && own(s)) {
            PromiseState::Broken
        } else if any(&ScenarioRecord::is_executed) {
            PromiseState::Kept
        } else if any(&|s| !matches!(s.outcome, Outcome::NotApplicable | Outcome::NotSelected)) {
            PromiseState::NoVerdict
        } else if any(&|s| s.outcome == Outcome::NotApplicable) {
            PromiseState::NotApplicable
        } else if scenarios.is_empty() {
            PromiseState::NotInPlan
        } else {
            PromiseState::NotSelected
        }
    }

    /// Whether the run says whether the promise is kept.
    #[must_use]
    pub fn is_verdict(self) -> bool {
        matches!(self, PromiseState::Broken | PromiseState::Kept)
    }
}

impl RequirementRow {
    /// It had a verdict and has none, and that was not what the user chose.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.old.is_verdict() && matches!(self.new, PromiseState::NoVerdict | PromiseState::NotApplicable)
    }
}

/// How many promises have a verdict.
pub(super) fn judged(record: &RunRecord) -> u64 {
    ALL.iter().filter(|r| PromiseState::of(record, r.id).is_verdict()).count() as u64
}

pub(super) fn requirements(pair: &Pair<'_>) -> Vec<RequirementRow> {
    let row = |id: RequirementId| RequirementRow {
        requirement: id,
        old: PromiseState::of(pair.old, id),
        new: PromiseState::of(pair.new, id),
    };
    ALL.iter().map(|r| row(r.id)).filter(|row| row.old != row.new).collect()
}

/// Scenarios that ended otherwise, in the order of the new run; those that only the old one has come last.
pub(super) fn scenarios(pair: &Pair<'_>) -> Vec<ScenarioRow> {
    let row = |of: &ScenarioRecord, old: Option<&ScenarioRecord>, new: Option<&ScenarioRecord>| ScenarioRow {
        scenario: of.id.clone(),
        requirement: of.requirement,
        old: old.map(|s| s.outcome),
        new: new.map(|s| s.outcome),
        drawn_anew: old.is_some() && new.is_some() && !pair.asks_the_same(&of.id),
        reason: new.filter(|s| !says(s.outcome)).and_then(|s| s.reason.clone()),
    };
    let of_new = pair.new.scenarios.iter().map(|s| row(s, pair.old.scenario(&s.id), Some(s)));
    let is_gone = |s: &&ScenarioRecord| pair.new.scenario(&s.id).is_none();
    let of_old = pair.old.scenarios.iter().filter(is_gone).map(|s| row(s, Some(s), None));
    of_new.chain(of_old).filter(|row| row.old != row.new).collect()
}

/// Entries that stand otherwise. The same entry is one that speaks of the same with the same reason; its line may move.
pub(super) fn expectations(pair: &Pair<'_>) -> Vec<ExpectationRow> {
    let (old, new) = (&pair.old.expectations, &pair.new.expectations);
    let is_same = |a: &ExpectationRecord, b: &ExpectationRecord| a.about() == b.about() && a.reason == b.reason;
    let row =
        |of: &ExpectationRecord, old: Option<&ExpectationRecord>, new: Option<&ExpectationRecord>| ExpectationRow {
            about: of.about(),
            reason: of.reason.clone(),
            old: old.map(|e| e.standing),
            new: new.map(|e| e.standing),
        };
    let of_new = new.iter().map(|n| row(n, old.iter().find(|o| is_same(o, n)), Some(n)));
    let of_old = old.iter().filter(|o| !new.iter().any(|n| is_same(o, n))).map(|o| row(o, Some(o), None));
    // An entry about other targets is as good as none.
    let counts = |standing: Option<Standing>| standing.filter(|s| *s != Standing::OutOfScope);
    of_new.chain(of_old).filter(|row| counts(row.old) != counts(row.new)).collect()
}
