//! What has been counted of a scenario so far, and what was caught.
//!
//! Decides what counts as over. What the counts mean is `outcome`'s.

use std::collections::BTreeMap;

use crate::op::{Combination, Milestone, TargetInfo, Text, Together, Versions};

use super::caught::{Caught, Crash, Pending};
use super::chosen::Chosen;
use super::judged_sequence::Run;

/// What has been counted of a scenario so far.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// The target in the scenario's largest world.
    pub(super) info: Option<TargetInfo>,
    pub(super) versions: Versions,
    /// The target was looked at, or could not be.
    pub(super) looked: bool,
    /// Capabilities that the scenario requires and the target lacks.
    pub(super) missing: Vec<String>,
    /// Why explicit steps do not apply to the world that the target gives, where some do not.
    pub(super) elsewhere: Option<Text>,
    /// How many sequences of explicit steps do not.
    pub(super) inapplicable: u64,
    /// Sequences that a run with enough time makes of it, not counting those that fill up the time that was given.
    pub(super) planned: u64,
    /// The number of the next sequence.
    pub(super) next: u64,
    /// By what the worlds of its sequences are chosen, where worlds are drawn.
    pub(super) chosen: Chosen,
    pub(super) sequences: u64,
    pub(super) operations: u64,
    pub(super) judged: u64,
    pub(super) dropped: u64,
    pub(super) pairs: u64,
    pub(super) reached: BTreeMap<Milestone, u64>,
    /// In how many sequences each combination that is demanded came about.
    pub(super) combined: Vec<u64>,
    /// Which values of abstract states came together.
    pub(super) together: Together,
    pub(super) blind: bool,
    pub(super) caught: Option<Caught>,
    /// That failure, or the panic, while it is not as small as it gets.
    pub(super) pending: Option<Pending>,
    /// Where the target first departed from the policy that it claims.
    pub(super) departed: Option<Caught>,
    /// The stored sequence fails still.
    pub(super) caught_again: Option<Caught>,
    /// What failing device calls led to.
    pub(super) swept: Vec<Caught>,
    pub(super) crash: Option<Crash>,
    pub(super) regressions: u64,
    /// Nobody judges but the policy that is claimed.
    pub(super) policy_alone: bool,
    pub(super) seconds: f64,
}

impl Tally {
    /// None of its sequences applies to the target.
    pub(super) fn applies_nowhere(&mut self, reason: Text) {
        self.elsewhere = Some(reason);
        (self.inapplicable, self.next) = (self.planned, self.planned);
    }

    pub(super) fn is_over(&self) -> bool {
        // Nothing else is looked for where the policy alone is judged.
        let is_told = self.policy_alone && self.departed.is_some();
        is_told || self.caught.is_some() || self.crash.is_some() || self.blind || !self.missing.is_empty()
    }

    /// Whether it has more to run than it ran so far.
    pub(super) fn is_unfinished(&self) -> bool {
        !self.is_over() && self.next < self.planned
    }

    /// How much is to be reported of it.
    pub(super) fn failures(&self) -> usize {
        [self.caught.is_some(), self.caught_again.is_some(), self.crash.is_some()].into_iter().filter(|is| *is).count()
    }

    pub(super) fn count(&mut self, run: &Run, demanded: &[Combination]) {
        self.combined.resize(demanded.len(), 0);
        for (sequences, combination) in self.combined.iter_mut().zip(demanded) {
            *sequences += u64::from(run.states.iter().any(|state| combination.is_in(*state)));
        }
        self.sequences += 1;
        self.operations += run.operations;
        self.judged += run.judged;
        self.dropped += run.dropped;
        self.pairs += run.pairs;
        self.blind |= run.blind;
        for milestone in &run.reached {
            *self.reached.entry(*milestone).or_default() += 1;
        }
        run.states.iter().for_each(|state| self.together.add(*state));
    }
}
