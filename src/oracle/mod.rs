//! Floor 3, the judges: each file is one oracle and says what it does not cover.
//!
//! Decides whether a step broke a promise. Does not run anything, and asks the target nothing:
//! what must be read from memory (contents) comes as `Fill` and `Verify` steps of the engine.

use std::collections::BTreeSet;

use crate::model::{Effect, Law, Model};
use crate::op::{Expect, Observation, Op, OracleName, Reply, TargetInfo};
use crate::verdict::Violation;

/// One executed step as the judges see it. `op` is `None` where the step is an expectation alone
/// (then `before` and `after` are the same).
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    pub op: Option<&'a Op>,
    pub reply: &'a Reply,
    pub expect: Option<&'a Expect>,
    pub before: &'a Observation,
    pub after: &'a Observation,
    /// What the model said before the operation was asked.
    pub law: Law,
    pub effect: Effect,
    /// The model after the operation.
    pub model: &'a Model,
    /// The identical request was refused for lack of memory in the step just before (a probe of the engine).
    pub is_retry: bool,
    /// The last step of a sequence: everything was freed, waited for and emptied.
    pub is_end: bool,
}

/// A judge of one promise or a family of them. Built for one sequence and dropped after it.
pub trait Oracle {
    fn name(&self) -> OracleName;

    /// Judges one step; pushes what it convicts.
    fn judge(&mut self, seen: &Seen<'_>, convictions: &mut Vec<Violation>);
}

/// Builds the named oracles for one sequence, leaving out those that the target's capabilities cannot feed.
#[must_use]
pub fn build(_names: &BTreeSet<OracleName>, _info: &TargetInfo, _first: &Observation) -> Vec<Box<dyn Oracle>> {
    unimplemented!()
}
