//! Which finding of the new run is which of the old one.
//!
//! Decides it by id, by promise, judge and calls, or by what was folded; never by place, message or address.

use std::collections::BTreeMap;

use super::{MatchedBy, Pair};
use crate::op::{BlockId, Op, OracleName};
use crate::requirement::RequirementId;
use crate::verdict::Finding;

/// The findings of two runs, matched by their places.
pub(super) struct Matching {
    /// Old, new, why. Only by `Folded` one place may come twice.
    pub pairs: Vec<(usize, usize, MatchedBy)>,
    /// Only in the old run.
    pub gone: Vec<usize>,
    /// Only in the new one.
    pub come: Vec<usize>,
}

impl Matching {
    pub fn of(pair: &Pair<'_>) -> Self {
        let (old, new) = (&pair.old.findings, &pair.new.findings);
        let mut matching =
            Matching { pairs: Vec::new(), gone: (0..old.len()).collect(), come: (0..new.len()).collect() };
        let numbered = pair.old.is_format_1() || pair.new.is_format_1();
        let (old_calls, new_calls): (Vec<_>, Vec<_>) =
            (old.iter().map(calls).collect(), new.iter().map(calls).collect());
        let kind = |o: usize, n: usize| judged(&old[o]) == judged(&new[n]);
        let same_id = |o: usize, n: usize| !numbered && old[o].id == new[n].id;
        // Of several findings of one promise and judge, the second is called by its calls, and which is first may differ.
        matching.take(MatchedBy::Id, |o, n| same_id(o, n) && old_calls[o] == new_calls[n]);
        matching.take(MatchedBy::Sequence, |o, n| kind(o, n) && old_calls[o] == new_calls[n]);
        matching.take(MatchedBy::Id, same_id);
        matching.take(MatchedBy::PromiseAndJudge, |o, n| numbered && kind(o, n));
        matching.take(MatchedBy::Folded, |o, n| stands_for(&old[o], &new[n]) || stands_for(&new[n], &old[o]));
        matching.share(old, new);
        matching
    }

    /// Pairs what is left and alike, in the order of the old run.
    fn take(&mut self, by: MatchedBy, alike: impl Fn(usize, usize) -> bool) {
        let come = &mut self.come;
        let pairs = &mut self.pairs;
        self.gone.retain(|&o| {
            let Some(at) = come.iter().position(|&n| alike(o, n)) else { return true };
            pairs.push((o, come.remove(at), by));
            false
        });
    }

    /// What is left may be a part of a finding that is matched already, or have become one.
    fn share(&mut self, old: &[Finding], new: &[Finding]) {
        let pairs = &mut self.pairs;
        self.come.retain(|&n| {
            let Some(o) = (0..old.len()).find(|&o| stands_for(&old[o], &new[n])) else { return true };
            pairs.push((o, n, MatchedBy::Folded));
            false
        });
        self.gone.retain(|&o| {
            let Some(n) = (0..new.len()).find(|&n| stands_for(&new[n], &old[o])) else { return true };
            pairs.push((o, n, MatchedBy::Folded));
            false
        });
    }
}

/// What ids are made of.
fn judged(finding: &Finding) -> (RequirementId, OracleName) {
    (finding.requirement, finding.violation.oracle)
}

/// Whether a finding was seen to do, in the same scenario, what the other is called after.
fn stands_for(finding: &Finding, other: &Finding) -> bool {
    let is_same =
        |f: &crate::verdict::Folded| (f.requirement, f.oracle) == judged(other) && f.scenario == other.scenario;
    finding.folded.iter().any(is_same)
}

/// What a finding's sequence asks for, with its blocks numbered by the order of their first mention, and under which settings.
pub(super) fn calls(finding: &Finding) -> (Option<String>, Vec<Op>) {
    let mut names: BTreeMap<BlockId, BlockId> = BTreeMap::new();
    let mut ops: Vec<Op> = finding.reproducer.steps.iter().filter_map(|step| step.op.clone()).collect();
    for block in ops.iter_mut().filter_map(Op::block_mut) {
        let next = BlockId(u32::try_from(names.len()).unwrap_or(u32::MAX));
        *block = *names.entry(*block).or_insert(next);
    }
    (finding.reproducer.setup.config.clone(), ops)
}
