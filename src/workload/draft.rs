//! Drafts: the raw draws that a sequence is made of, as proptest strategies.
//!
//! Decides what is random. What a draft means is decided by `resolve`, which draws nothing.

use std::ops::RangeInclusive;

use proptest::collection::vec;
use proptest::prelude::{RngExt, any};
use proptest::strategy::{Just, NewTree, Strategy, ValueTree};
use proptest::test_runner::TestRunner;

/// Raw draws for one operation, each over the whole range of its type.
#[derive(Debug, Clone, Copy)]
pub(super) struct Draft {
    /// Which kind of operation, by weight.
    pub(super) kind: u32,
    pub(super) class: u32,
    pub(super) size: u64,
    pub(super) device: u32,
    pub(super) stream: u32,
    /// Which of the things at hand: a block, a fraction, a kind of mistake.
    pub(super) pick: u32,
    /// A second choice where one is not enough.
    pub(super) twist: u32,
}

/// Raw draws for one planned fault.
#[derive(Debug, Clone, Copy)]
pub(super) struct FaultDraft {
    pub(super) position: u32,
    pub(super) device: u32,
    pub(super) skip: u32,
}

/// Raw draws for one sequence.
#[derive(Debug, Clone)]
pub(super) struct Drafts {
    pub(super) streams: u32,
    pub(super) callers: u32,
    pub(super) faults: Vec<FaultDraft>,
    pub(super) ops: Vec<Draft>,
}

/// Draws drafts as a tuple of `any` would, number for number, and keeps no trees of seven numbers to make them simpler by:
/// sequences are made small as operations (`minimise`).
#[derive(Debug)]
struct Drawn;

impl Strategy for Drawn {
    type Tree = Just<Draft>;
    type Value = Draft;

    fn new_tree(&self, runner: &mut TestRunner) -> NewTree<Self> {
        let dice = runner.rng();
        let (kind, class, size) = (dice.random(), dice.random(), dice.random());
        let (device, stream, pick, twist) = (dice.random(), dice.random(), dice.random(), dice.random());
        Ok(Just(Draft { kind, class, size, device, stream, pick, twist }))
    }
}

fn fault() -> impl Strategy<Value = FaultDraft> {
    let raw = (any::<u32>(), any::<u32>(), any::<u32>());
    raw.prop_map(|(position, device, skip)| FaultDraft { position, device, skip })
}

/// Draws a sequence of some length in the range.
pub(super) fn draw(runner: &mut TestRunner, length: &RangeInclusive<u32>, faults: usize) -> Drafts {
    let low = *length.start() as usize;
    let high = low.max(*length.end() as usize);
    let strategy = (any::<u32>(), any::<u32>(), vec(fault(), faults), vec(Drawn, low..=high));
    let (streams, callers, faults, ops) =
        strategy.new_tree(runner).expect("nothing is filtered, so nothing can be rejected").current();
    Drafts { streams, callers, faults, ops }
}
