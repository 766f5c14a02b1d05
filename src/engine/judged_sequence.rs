//! What to run, and how it went: the two ends of a sequence.
//!
//! Decides what makes two failures the same. What happens in between is `lockstep`'s.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::op::{Milestone, OracleName, State, Step};
use crate::requirement::{Area, RequirementId};
use crate::verdict::{TranscriptLine, Violation};

use super::loss::Loss;

/// What to run, and who judges it.
#[derive(Debug, Clone, Copy)]
pub struct JudgedSequence<'a> {
    /// What is asked, in order.
    pub steps: &'a [Step],
    /// Who judges.
    pub oracles: &'a BTreeSet<OracleName>,
    /// Whether the closing operations follow.
    pub epilogue: bool,
    /// Whether to keep what was asked and answered; costs text for every operation.
    pub transcript: bool,
    /// Relations under which the sequence is also compared with a variant of itself, if nobody convicts it alone.
    pub relations: &'a [OracleName],
    /// Only this convicts, and the sequence goes on past everything else.
    pub only: Option<FailureKey>,
    /// Whether a target that claims a policy is held against its twin, too.
    pub exact: bool,
}

impl<'a> JudgedSequence<'a> {
    /// A sequence and its judges, with nothing further asked for. Who names the twin among them wants to know of nothing
    /// else.
    #[must_use]
    pub fn new(steps: &'a [Step], oracles: &'a BTreeSet<OracleName>, epilogue: bool) -> Self {
        let exact = oracles.contains(&OracleName::Exact);
        let only = exact.then_some(FailureKey::DEPARTURE);
        JudgedSequence { steps, oracles, epilogue, transcript: false, relations: &[], only, exact }
    }
}

/// What makes two failures the same: who convicts, and the promise that the judge cites; none, if it leaves that to the
/// scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FailureKey {
    /// Who convicts.
    pub oracle: OracleName,
    /// The promise, where the judge says which.
    pub cited: Option<RequirementId>,
}

/// What a departure from a policy is a violation of.
pub(super) const EXACT_01: RequirementId = RequirementId::new(Area::Exact, 1);

impl FailureKey {
    /// What makes two departures from the policy that is claimed the same failure.
    pub(super) const DEPARTURE: FailureKey = FailureKey { oracle: OracleName::Exact, cited: Some(EXACT_01) };

    /// What a violation is of.
    #[must_use]
    pub fn of(violation: &Violation) -> Self {
        FailureKey { oracle: violation.oracle, cited: violation.requirement }
    }

    /// The violation of this kind that a run ended with.
    #[must_use]
    pub fn find(self, run: &Run) -> Option<&Violation> {
        run.conviction.iter().chain(&run.departure).flat_map(|c| &c.violations).find(|v| FailureKey::of(v) == self)
    }
}

/// A step that broke a promise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conviction {
    /// The given step it happened at or after; the number of steps if it was a closing operation.
    pub step: usize,
    /// Every conviction of that step, never empty; the first is the one to report.
    pub violations: Vec<Violation>,
}

/// How a sequence went.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// The first step that broke a promise.
    pub conviction: Option<Conviction>,
    /// Where the target departed from the policy that it claims, by itself no broken promise.
    pub departure: Option<Conviction>,
    /// Operations executed, added ones included.
    pub operations: u64,
    /// Steps that the oracles saw: operations, and expectations without one.
    pub judged: u64,
    /// Planted faults that fired, and the steps judged from the first of them on.
    pub fired: u64,
    /// See `fired`.
    pub judged_after_fault: u64,
    /// Operations that were not asked because what they needed was not there.
    pub dropped: u64,
    /// Pairs of runs that were compared.
    pub pairs: u64,
    /// Situations that came about.
    pub reached: BTreeSet<Milestone>,
    /// Abstract states that steps were in, each once.
    pub states: Vec<State>,
    /// What was asked and answered, if that was wanted.
    pub transcript: Vec<TranscriptLine>,
    /// The target shows no device: nothing can be said of it, and nothing was asked.
    pub blind: bool,
    /// The target's process was lost: a conviction, or the sequence shows nothing.
    pub lost: Option<Loss>,
}
