//! What a whole run says of its target: the one place that the headline, the exit code and JUnit follow.
//!
//! Decides when a run may say "passed". Does not word it.

use super::Outcome;
use super::record::{EndedBy, RunRecord, ScenarioRecord};
use crate::requirement::{ALL, Level, RequirementId};

/// What a run says, worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conclusion {
    /// Promises were broken, or an expectation of failure no longer holds.
    Failed,
    /// No violation, but the harness or the target broke.
    Broken,
    /// No violation, and the run was stopped before its end.
    Interrupted,
    /// No violation, and time was over before every promise that applies had a verdict.
    OutOfTime,
    /// No scenario was executed.
    Nothing,
    /// No violation, on too few of the promises to speak of the target as a whole.
    Thin,
    /// No violation, but something ran without reaching what it had to, or a promise that applies has no verdict.
    Inconclusive,
    /// What the user selected passed; nothing is said of the rest.
    Selected,
    /// Every requirement of level must that applies to the target has a verdict, and none is broken.
    Passed,
}

/// How far a run came with the requirements of level must.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Musts {
    /// All there are.
    pub all: usize,
    /// Those that a scenario of the run cites which the target can run.
    pub applying: usize,
    /// Those with a verdict.
    pub judged: usize,
    /// Those that apply and have no verdict.
    pub open: Vec<RequirementId>,
}

impl ScenarioRecord {
    /// It ran and said something about its requirement.
    #[must_use]
    pub fn is_executed(&self) -> bool {
        let said =
            matches!(self.outcome, Outcome::Pass | Outcome::Fail | Outcome::ExpectedFail | Outcome::UnexpectedPass);
        said && self.operations > 0
    }

    /// The target could run it, and it was not left out by the user's selection.
    fn applies(&self) -> bool {
        !matches!(self.outcome, Outcome::NotApplicable | Outcome::NotSelected)
    }
}

impl Musts {
    /// Counts them.
    #[must_use]
    pub fn of(record: &RunRecord) -> Self {
        let mut musts = Musts { all: 0, applying: 0, judged: 0, open: Vec::new() };
        for requirement in ALL.iter().filter(|r| r.level == Level::Must) {
            let cites = |s: &&ScenarioRecord| s.requirement == requirement.id;
            let scenarios = || record.scenarios.iter().filter(cites);
            musts.all += 1;
            let judged = scenarios().any(ScenarioRecord::is_executed)
                || record.findings.iter().any(|f| f.requirements().contains(&requirement.id));
            let applies = judged || scenarios().any(ScenarioRecord::applies);
            musts.applying += usize::from(applies);
            musts.judged += usize::from(judged);
            if applies && !judged {
                musts.open.push(requirement.id);
            }
        }
        musts
    }
}

impl Conclusion {
    /// What the record comes to.
    #[must_use]
    pub fn of(record: &RunRecord) -> Self {
        let has = |outcome| record.count(outcome) > 0;
        let violated = has(Outcome::Fail) || has(Outcome::UnexpectedPass) || record.open_findings().next().is_some();
        if violated || record.outdated().next().is_some() {
            return Conclusion::Failed;
        }
        if has(Outcome::Broken) {
            return Conclusion::Broken;
        }
        if matches!(record.ended, EndedBy::Interrupted | EndedBy::Killed | EndedBy::Hung) {
            return Conclusion::Interrupted;
        }
        let musts = Musts::of(record);
        let executed = record.scenarios.iter().any(ScenarioRecord::is_executed);
        let is_late =
            |s: &ScenarioRecord| s.outcome == Outcome::Skipped || s.outcome == Outcome::Inconclusive && s.unfinished;
        // Whoever selects wants each of the selected.
        let late = record.scenarios.iter().any(is_late) && (record.scope.is_part() || !musts.open.is_empty());
        if record.ended == EndedBy::TimeUp && late {
            return Conclusion::OutOfTime;
        }
        if !executed {
            return Conclusion::Nothing;
        }
        if !record.scope.is_part() && share(musts.judged, musts.all) < record.min_coverage {
            return Conclusion::Thin;
        }
        if has(Outcome::Inconclusive) || has(Outcome::Skipped) && record.scope.is_part() {
            return Conclusion::Inconclusive;
        }
        if record.scope.is_part() {
            return Conclusion::Selected;
        }
        if musts.open.is_empty() { Conclusion::Passed } else { Conclusion::Inconclusive }
    }
}

/// A part of a whole, from 0 to 1.
#[expect(clippy::cast_precision_loss, reason = "there are fewer than a hundred requirements")]
fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}
