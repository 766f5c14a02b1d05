//! Minimising: the smallest sequence that still fails.
//!
//! Decides what to leave out and what to replace by something simpler. Whether a candidate fails is the
//! caller's to say; so it serves sequences of every origin.

mod facet;
mod simplify;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use crate::op::step::AddressExpect;
use crate::op::{BlockId, DeviceId, Op, Setup, Step};

/// Up to this many steps, every pair of them is tried to be left out together.
const PAIRS_UP_TO: usize = 24;

/// Makes a failing sequence small: no step can be left out, no value simplified, and blocks are numbered from 0.
///
/// `fails` says whether a candidate still fails (in the same way: that is the caller's to compare); it is
/// called at most `budget` times, and not once more when `goes_on` denies it. With too small a budget the result is
/// merely smaller; it always failed when it was tried, or is the input. The map says what number each block that is left
/// had before.
#[must_use]
pub fn minimise(
    setup: &Setup,
    steps: &[Step],
    fails: &mut dyn FnMut(&Setup, &[Step]) -> bool,
    budget: u32,
    goes_on: &dyn Fn() -> bool,
) -> (Setup, Vec<Step>, BTreeMap<BlockId, BlockId>) {
    // One call is kept for the new numbers.
    let left = budget.saturating_sub(1);
    let mut search =
        Search { setup: setup.clone(), steps: steps.to_vec(), fails, left, goes_on, dangled: dangles(steps) };
    search.delete_at_large();
    loop {
        search.delete();
        if !search.merge() && !search.simplify() && !search.delete_pairs() {
            break;
        }
    }
    search.left = budget.min(1);
    let origins = search.renumber();
    (search.setup, search.steps, origins)
}

/// The smallest failing sequence so far.
struct Search<'a> {
    setup: Setup,
    steps: Vec<Step>,
    fails: &'a mut dyn FnMut(&Setup, &[Step]) -> bool,
    left: u32,
    goes_on: &'a dyn Fn() -> bool,
    /// Whether the sequence named blocks that it never made from the start.
    dangled: bool,
}

/// Whether a step expects something of the address of a block that was not asked for before.
fn dangles(steps: &[Step]) -> bool {
    let mut made = BTreeSet::new();
    steps.iter().any(|step| {
        let other = match step.expect.as_ref().and_then(|expect| expect.address) {
            Some(AddressExpect::SameAs(other) | AddressExpect::DifferentFrom(other)) => Some(other),
            _ => None,
        };
        let lacking = other.is_some_and(|other| !made.contains(&other));
        if let Some(Op::Alloc { block, .. }) = step.op {
            made.insert(block);
        }
        lacking
    })
}

impl Search<'_> {
    /// Whether the caller may still be asked.
    fn ask(&mut self) -> bool {
        if !(self.goes_on)() {
            self.left = 0;
        }
        let may = self.left > 0;
        self.left = self.left.saturating_sub(1);
        may
    }

    /// Keeps the candidate if it fails.
    fn try_steps(&mut self, steps: Vec<Step>) -> bool {
        // That an address is not one that nobody was given says nothing.
        let kept = (self.dangled || !dangles(&steps)) && self.ask() && (self.fails)(&self.setup, &steps);
        if kept {
            self.steps = steps;
        }
        kept
    }

    fn try_setup(&mut self, setup: Setup) -> bool {
        let kept = self.ask() && (self.fails)(&setup, &self.steps);
        if kept {
            self.setup = setup;
        }
        kept
    }

    fn without(&self, mut gone: impl FnMut(usize, &Step) -> bool) -> Vec<Step> {
        self.steps.iter().enumerate().filter(|&(i, s)| !gone(i, s)).map(|(_, s)| s.clone()).collect()
    }

    /// Leaves out of a long sequence all that is about one device, then all of one kind: few tries that each take much.
    fn delete_at_large(&mut self) {
        if self.steps.len() <= PAIRS_UP_TO {
            return;
        }
        for device in (0..self.setup.device_bytes.len()).rev() {
            let device = i32::try_from(device).ok().map(DeviceId);
            let on_it = |s: &Step| s.op.as_ref().is_some_and(|op| op.device().is_some() && op.device() == device);
            let blocks: BTreeSet<BlockId> = self.steps.iter().filter(|s| on_it(s)).filter_map(block).collect();
            self.try_fewer(|s| on_it(s) || block(s).is_some_and(|b| blocks.contains(&b)));
        }
        let mut kinds: BTreeMap<&'static str, usize> = BTreeMap::new();
        for op in self.steps.iter().filter_map(|s| s.op.as_ref()) {
            *kinds.entry(op.name()).or_default() += 1;
        }
        let mut kinds: Vec<(usize, &str)> = kinds.into_iter().map(|(name, count)| (count, name)).collect();
        kinds.sort_unstable_by(|a, b| b.cmp(a));
        for (_, kind) in kinds {
            self.try_fewer(|s| s.op.as_ref().is_some_and(|op| op.name() == kind));
        }
    }

    /// Tries to leave out the steps that are meant, if those are some and not all.
    fn try_fewer(&mut self, gone: impl Fn(&Step) -> bool) {
        let fewer = self.without(|_, s| gone(s));
        if !fewer.is_empty() && fewer.len() < self.steps.len() {
            self.try_steps(fewer);
        }
    }

    /// Leaves out as much as possible, large parts first, until no single step can go.
    fn delete(&mut self) {
        let mut chunk = self.steps.len() / 2;
        while chunk > 1 {
            self.sweep(chunk);
            chunk = (chunk / 2).min(self.steps.len() / 2);
        }
        loop {
            let blocks = self.delete_blocks();
            let single = self.sweep(1);
            if !blocks && !single {
                return;
            }
        }
    }

    /// Tries to leave out each run of `chunk` steps, last first: what comes after a violation goes at once.
    fn sweep(&mut self, chunk: usize) -> bool {
        let (before, mut end) = (self.steps.len(), self.steps.len());
        while end > 0 && self.left > 0 {
            let start = end.saturating_sub(chunk);
            self.try_steps(self.without(|i, _| (start..end).contains(&i)));
            end = start;
        }
        self.steps.len() < before
    }

    /// Tries to leave out each block with all that is done to it.
    fn delete_blocks(&mut self) -> bool {
        let mut uses: BTreeMap<BlockId, u32> = BTreeMap::new();
        for block in self.steps.iter().filter_map(block) {
            *uses.entry(block).or_default() += 1;
        }
        let shared: BTreeSet<BlockId> = uses.into_iter().filter(|&(_, n)| n > 1).map(|(b, _)| b).collect();
        let before = self.steps.len();
        for gone in shared.into_iter().rev() {
            self.try_steps(self.without(|_, s| block(s) == Some(gone)));
        }
        self.delete_pools();
        self.steps.len() < before
    }

    /// Tries to leave out each private pool and each graph with all that is done to it.
    fn delete_pools(&mut self) {
        let op = |s: &Step| s.op.clone();
        let pools: BTreeSet<_> = self.steps.iter().filter_map(|s| op(s)?.pool()).collect();
        for gone in pools.into_iter().rev() {
            self.try_steps(self.without(|_, s| op(s).is_some_and(|op| op.pool() == Some(gone))));
        }
        let graphs: BTreeSet<_> = self.steps.iter().filter_map(|s| op(s)?.graph()).collect();
        for gone in graphs.into_iter().rev() {
            self.try_steps(self.without(|_, s| op(s).is_some_and(|op| op.graph() == Some(gone))));
        }
    }

    /// Tries one larger request instead of two of one device: memory that runs out, runs out sooner.
    fn merge(&mut self) -> bool {
        let (before, mut at) = (self.steps.len(), self.steps.len());
        while at > 0 && self.left > 0 {
            at = at.min(self.steps.len()) - 1;
            let Some((second, device, bytes)) = request(&self.steps[at]) else { continue };
            let earlier = self.steps[..at].iter().rev().filter_map(request).find(|&(_, d, _)| d == device);
            let Some((first, _, more)) = earlier else { continue };
            let sum = bytes.saturating_add(more);
            let _ = self.try_merge(second, first, sum) || self.try_merge(first, second, sum);
        }
        self.steps.len() < before
    }

    fn try_merge(&mut self, gone: BlockId, kept: BlockId, sum: u64) -> bool {
        let mut steps = self.without(|_, s| block(s) == Some(gone));
        for op in steps.iter_mut().filter_map(|s| s.op.as_mut()) {
            if let Op::Alloc { block, bytes, .. } = op
                && *block == kept
            {
                *bytes = sum;
            }
        }
        self.try_steps(steps)
    }

    /// Tries every two steps together: moving a setting there and back, or occupying and finishing.
    fn delete_pairs(&mut self) -> bool {
        let count = self.steps.len();
        if count > PAIRS_UP_TO {
            return false;
        }
        for first in (0..count).rev() {
            for second in first + 1..count {
                if self.left == 0 {
                    return false;
                }
                if self.try_steps(self.without(|i, _| i == first || i == second)) {
                    return true;
                }
            }
        }
        false
    }

    /// Numbers blocks, pools and graphs from 0 in the order in which they appear; answers what the blocks were before.
    fn renumber(&mut self) -> BTreeMap<BlockId, BlockId> {
        let mut names: BTreeMap<BlockId, BlockId> = BTreeMap::new();
        let mut steps = self.steps.clone();
        for block in steps.iter_mut().flat_map(blocks_mut) {
            let fresh = BlockId(u32::try_from(names.len()).unwrap_or(u32::MAX)); // no sequence is that long
            *block = *names.entry(*block).or_insert(fresh);
        }
        let (mut pools, mut graphs) = (BTreeMap::new(), BTreeMap::new());
        for op in steps.iter_mut().filter_map(|s| s.op.as_mut()) {
            if let Some(pool) = op.pool_mut() {
                let fresh = u32::try_from(pools.len()).unwrap_or(u32::MAX);
                pool.0 = *pools.entry(pool.0).or_insert(fresh);
            }
            for graph in op.graphs_mut().into_iter().flatten() {
                let fresh = u32::try_from(graphs.len()).unwrap_or(u32::MAX);
                graph.0 = *graphs.entry(graph.0).or_insert(fresh);
            }
        }
        if steps == self.steps || self.try_steps(steps) {
            return names.into_iter().map(|(old, new)| (new, old)).collect();
        }
        names.into_keys().map(|same| (same, same)).collect()
    }
}

fn block(step: &Step) -> Option<BlockId> {
    step.op.as_ref().and_then(Op::block)
}

fn request(step: &Step) -> Option<(BlockId, Option<DeviceId>, u64)> {
    match step.op {
        Some(Op::Alloc { block, device, bytes, .. }) => Some((block, device, bytes)),
        _ => None,
    }
}

/// Every block that a step names, in its operation or in what it expects.
fn blocks_mut(step: &mut Step) -> impl Iterator<Item = &mut BlockId> {
    let expected = step.expect.as_mut().and_then(|e| match &mut e.address {
        Some(AddressExpect::SameAs(block) | AddressExpect::DifferentFrom(block)) => Some(block),
        _ => None,
    });
    step.op.as_mut().and_then(Op::block_mut).into_iter().chain(expected)
}
