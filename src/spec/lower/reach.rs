//! Which situations a scenario can obviously never be in: demanding one would make it inconclusive for ever.
//!
//! A necessary condition only. Whether a run did reach them is counted by the engine.

use std::collections::BTreeSet;

use super::{Problems, combine};
use crate::op::{Combination, Milestone, Op, Pointer};
use crate::spec::error::Complaint;
use crate::spec::locate::Path;
use crate::spec::scenario::{Body, OpKind, Scenario, SizeDraw};

/// Complains of each demanded situation or combination that cannot occur.
pub(super) fn check(
    scenario: &Scenario,
    situations: &[(usize, Milestone)],
    combinations: &[(usize, Combination)],
    problems: &mut Problems,
) {
    let root = Path::ROOT;
    let list = root.key("must_reach");
    let view = View { scenario };
    let mut looked = BTreeSet::new();
    for (index, milestone) in situations.iter().filter(|(_, m)| looked.insert(*m)) {
        if let Some(missing) = missing(&view, *milestone) {
            let complaint = Complaint::new(format!("`{}` cannot be reached: {missing}", milestone.name()));
            problems.add(&list.index(*index), complaint);
        }
    }
    for (index, combination) in combinations {
        combine::check(&view, combination, &list.index(*index), problems);
    }
}

pub(super) struct View<'a> {
    pub(super) scenario: &'a Scenario,
}

impl View<'_> {
    /// How many operations match, counted up to 2; a generated kind with a weight counts as many.
    fn count(&self, of_steps: impl Fn(&Op) -> bool, kinds: &[OpKind]) -> usize {
        match &self.scenario.body {
            Body::Steps(variants) => {
                let most = |steps: &[crate::op::Step]| {
                    steps.iter().filter_map(|s| s.op.as_ref()).filter(|o| of_steps(o)).take(2).count()
                };
                variants.iter().map(|v| most(&v.steps)).max().unwrap_or(0)
            }
            Body::Generate(generate) => {
                let drawn = generate.weights.entries.iter().any(|(kind, weight)| *weight > 0 && kinds.contains(kind));
                if drawn { 2 } else { 0 }
            }
        }
    }

    fn has(&self, of_steps: impl Fn(&Op) -> bool, kinds: &[OpKind]) -> bool {
        self.count(of_steps, kinds) > 0
    }

    fn allocs(&self) -> usize {
        let kinds = [OpKind::Alloc, OpKind::AllocTensor];
        self.count(|op| matches!(op, Op::Alloc { bytes: 1.., .. }), &kinds)
    }

    pub(super) fn frees(&self) -> bool {
        self.has(|op| matches!(op, Op::Free { .. }), &[OpKind::Free, OpKind::FreeNewest, OpKind::FreeOldest])
    }

    /// A zero can be asked for.
    pub(super) fn zeros(&self) -> bool {
        let drawn = |draw: &SizeDraw| match draw {
            SizeDraw::LogUniform(low, _) => *low == 0,
            SizeDraw::Around { centres, within } => centres.iter().any(|c| c <= within),
            SizeDraw::Exactly(sizes) => sizes.contains(&0),
        };
        let by_size = matches!(&self.scenario.body, Body::Generate(g) if g.sizes.iter().any(|s| drawn(&s.draw)));
        by_size || self.has(|op| matches!(op, Op::Alloc { bytes: 0, .. }), &[OpKind::AllocZero])
    }

    fn streams(&self) -> bool {
        match &self.scenario.body {
            Body::Generate(generate) => *generate.streams.end() > 1,
            Body::Steps(_) => self.has(
                |op| match op {
                    Op::Alloc { stream, .. } | Op::RecordStream { stream, .. } | Op::Use { stream, .. } => stream.0 > 0,
                    _ => false,
                },
                &[],
            ),
        }
    }

    pub(super) fn faults(&self) -> bool {
        let planned = matches!(&self.scenario.body, Body::Generate(g) if !g.faults.is_empty());
        planned || self.has(|op| matches!(op, Op::Fault { .. }), &[OpKind::Fault])
    }

    pub(super) fn limits(&self) -> bool {
        let limited = matches!(&self.scenario.body, Body::Generate(g) if g.limit_bytes.is_some());
        limited || self.has(|op| matches!(op, Op::SetFraction { .. }), &[OpKind::SetFraction])
    }

    fn callers(&self) -> bool {
        match &self.scenario.body {
            Body::Generate(generate) => *generate.callers.end() > 1,
            Body::Steps(_) => self.has(|op| matches!(op, Op::Caller { .. }), &[]),
        }
    }

    pub(super) fn bad_arguments(&self) -> bool {
        match &self.scenario.body {
            Body::Steps(variants) => variants.iter().flat_map(|v| &v.steps).any(|step| {
                let bad_pointer = matches!(&step.op, Some(Op::FreePointer { pointer }) if *pointer != Pointer::Null);
                bad_pointer || step.expect.as_ref().is_some_and(|e| e.refused.is_some())
            }),
            Body::Generate(_) => {
                self.has(|_| false, &[OpKind::FreeInvalid, OpKind::SetFractionInvalid, OpKind::BadDevice])
            }
        }
    }

    /// A stream is recorded on a block.
    pub(super) fn records(&self) -> bool {
        self.has(|op| matches!(op, Op::RecordStream { .. }), &[OpKind::RecordStream])
    }

    /// How many things redirect requests, counted up to 2.
    pub(super) fn redirections(&self) -> usize {
        let begins = |op: &Op| matches!(op, Op::PoolEnter { .. } | Op::CaptureBegin { .. });
        self.count(begins, &[OpKind::PoolEnter, OpKind::CaptureBegin])
    }

    pub(super) fn captures(&self) -> bool {
        self.has(|op| matches!(op, Op::CaptureBegin { .. }), &[OpKind::CaptureBegin])
    }

    pub(super) fn helpers(&self) -> bool {
        self.has(|op| matches!(op, Op::PoolCreate { use_on_oom: true, .. }), &[OpKind::PoolCreate])
    }

    pub(super) fn pool_ends(&self) -> bool {
        let ends = |op: &Op| matches!(op, Op::PoolDelete { .. } | Op::GraphReset { .. });
        self.scenario.epilogue && self.redirections() > 0 || self.has(ends, &[OpKind::PoolDelete, OpKind::GraphReset])
    }

    fn cycles(&self) -> bool {
        match &self.scenario.body {
            Body::Generate(generate) => generate.cycles > 1,
            Body::Steps(_) => self.count(|op| matches!(op, Op::CycleEnd), &[]) > 1,
        }
    }
}

/// What the scenario lacks for the situation, if anything.
fn missing(view: &View<'_>, milestone: Milestone) -> Option<&'static str> {
    let asks = (view.allocs() > 0, "nothing asks for memory");
    let asks_twice = (view.allocs() > 1, "memory is not asked for twice");
    let frees = (view.frees(), "nothing is freed");
    let streams = (view.streams(), "no stream beside the default one is used");
    let needs: Vec<(bool, &'static str)> = match milestone {
        Milestone::Oom | Milestone::FlushOnOom | Milestone::DeviceRefusal => vec![asks],
        Milestone::SegmentReserved | Milestone::Split => vec![asks],
        Milestone::SuccessAfterOom | Milestone::RetrySucceeded | Milestone::BothPools => vec![asks_twice],
        Milestone::CacheHit => vec![asks_twice, frees],
        Milestone::Merge => vec![asks, frees],
        Milestone::PendingFree | Milestone::PendingResolved => {
            vec![asks, frees, (view.records(), "no stream is recorded on a block")]
        }
        Milestone::LimitRefusal => vec![asks, (view.limits(), "no memory fraction is set")],
        Milestone::FaultFired => vec![(view.faults(), "no fault is planned")],
        Milestone::CacheEmptied => {
            vec![asks, (view.has(|op| *op == Op::EmptyCache, &[OpKind::EmptyCache]), "the cache is never emptied")]
        }
        Milestone::PeakLowered => {
            let resets = view.has(|op| matches!(op, Op::ResetPeak { .. }), &[OpKind::ResetPeak]);
            vec![asks, (resets, "no peak is reset")]
        }
        Milestone::TwoDevicesLive => {
            vec![asks_twice, (*view.scenario.devices.end() > 1, "there is one device")]
        }
        Milestone::CrossDeviceCall => vec![(*view.scenario.devices.end() > 1, "there is one device")],
        Milestone::TwoStreamsLive => vec![asks_twice, streams],
        Milestone::CallerSwitch => vec![(view.callers(), "there is one caller")],
        Milestone::CrossCallerFree => vec![asks, frees, (view.callers(), "there is one caller")],
        Milestone::ZeroServed => vec![(view.zeros(), "nothing asks for 0 bytes")],
        Milestone::ArgumentRefused => vec![(view.bad_arguments(), "nothing wrong is asked")],
        Milestone::CycleRepeated => vec![(view.cycles(), "there is no second cycle")],
        Milestone::ServedFromPool => vec![asks, (view.redirections() > 0, "nothing is redirected")],
        Milestone::NestedPools => vec![asks, (view.redirections() > 1, "redirections do not nest")],
        Milestone::HelpedOnOom => vec![asks_twice, (view.helpers(), "no pool is made with `use_on_oom`")],
        Milestone::PoolDied => vec![(view.pool_ends(), "no pool is deleted and no graph is reset")],
        Milestone::GraphCaptured => vec![asks, (view.captures(), "nothing is captured")],
        Milestone::GraphKept => vec![asks, frees, (view.captures(), "nothing is captured")],
        Milestone::Crowded => {
            let others = view.has(|op| matches!(op, Op::Neighbour { bytes: 1.., .. }), &[OpKind::Neighbour]);
            vec![asks, (others, "no other process holds memory")]
        }
        Milestone::StreamWaited => {
            let waits = view.has(|op| matches!(op, Op::WaitStream { .. }), &[OpKind::WaitStream]);
            let busy = view.has(|op| matches!(op, Op::Occupy { .. }), &[OpKind::Occupy]);
            vec![(waits, "no stream waits for another"), (busy, "no stream is kept busy")]
        }
        Milestone::FreeDeferred => vec![
            asks,
            frees,
            (view.redirections() > 0, "nothing is redirected"),
            (view.records(), "no stream is recorded on a block"),
        ],
    };
    needs.into_iter().find(|(met, _)| !met).map(|(_, missing)| missing)
}
