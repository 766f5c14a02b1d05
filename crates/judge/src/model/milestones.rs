//! Which situations a sequence has been in, read off operations, replies and figures alone.
//!
//! Decides what each milestone means in figures. Does not decide which ones a scenario demands (`spec`).

use std::collections::BTreeSet;

use super::pair::Pair;
use super::states::{States, Step};
use super::{Claim, Effect, Live, Model, limit_bytes};
use crate::op::stats::Row;
use crate::op::{Family, Milestone, Observation, Op, PoolSource, RefusalClass, Reply, State, TargetInfo};

/// The milestones of one sequence so far.
#[derive(Debug, Clone, Default)]
pub struct MilestoneTracker {
    /// One bit each, by position in `Milestone`.
    reached: u64,
    caller: u8,
    cycles: u32,
    /// Blocks in use and blocks that wait are both counted.
    counts_active: bool,
    /// Where they are not: freed blocks that recorded streams still used, as devices and streams.
    withheld: Vec<(usize, u64)>,
    /// Parts of segments are counted; where they are not, splits and merges show in addresses.
    counts_parts: bool,
    /// Where they are not: what was one block each and is free now, as device, first address and end.
    former: Vec<(usize, u64, u64)>,
    /// Memory went back to a device: what became of what is free is not known from here on.
    gave_back: bool,
    /// The latest request was served by a part, as its place shows.
    cut: bool,
    states: States,
}

impl MilestoneTracker {
    /// The milestones of a sequence in which nothing has happened.
    #[must_use]
    pub fn new(info: &TargetInfo) -> Self {
        let counted = |family| info.shows(family);
        let counts_active = counted(Family::Allocation) && counted(Family::Active);
        let (counts_parts, states) = (info.contract.counts_segments, States::new(info));
        MilestoneTracker { counts_active, counts_parts, states, ..MilestoneTracker::default() }
    }

    /// What has been reached, in the order of `Milestone`.
    #[must_use]
    pub fn reached(&self) -> BTreeSet<Milestone> {
        Milestone::ALL.iter().copied().filter(|&m| self.has(m)).collect()
    }

    /// Whether a milestone was passed.
    #[must_use]
    pub fn has(&self, milestone: Milestone) -> bool {
        self.reached >> (milestone as u32) & 1 == 1
    }

    fn mark(&mut self, milestone: Milestone) {
        self.reached |= 1 << (milestone as u32);
    }

    fn mark_if(&mut self, milestone: Milestone, holds: bool) {
        self.reached |= u64::from(holds) << (milestone as u32);
    }

    /// Takes note of an executed step; `model` is the model after it, `effect` what it answered.
    pub fn note(
        &mut self,
        op: &Op,
        reply: &Reply,
        effect: &Effect,
        before: &Observation,
        after: &Observation,
        model: &Model,
    ) {
        if reply.is_dropped() {
            return;
        }
        let pair = |d: usize| Pair::of(before, after, d);
        self.cut = false;
        if !self.has(Milestone::FaultFired) {
            // FaultFired: the count of fired faults rose on some device.
            let fired = Pair::all(before, after).any(|p| p.fired());
            self.mark_if(Milestone::FaultFired, fired);
        }
        if !self.counts_parts && (0..after.devices.len()).filter_map(pair).any(|p| p.shrank()) {
            self.former.clear();
            self.gave_back = true;
        }
        self.note_call(op, reply, before, after, model);
        match effect {
            Effect::Allocated(_, live) => {
                if let Some(pair) = pair(live.device) {
                    self.note_served(pair, live.device, model);
                    self.note_place(pair, live);
                }
            }
            // ZeroServed: a request of 0 bytes was answered.
            Effect::AllocatedNothing(_) => self.mark(Milestone::ZeroServed),
            Effect::Freed(_, live) => {
                // CrossCallerFree: the freeing caller is not the one that asked.
                self.mark_if(Milestone::CrossCallerFree, live.caller != model.caller());
                if let Some(pair) = pair(live.device).filter(|_| live.bytes > 0) {
                    // FreeDeferred: nothing became free although the block was given back.
                    let waits = live.recorded != 0 && pair.freed(Family::Active) < pair.freed(Family::Allocation);
                    self.mark_if(Milestone::FreeDeferred, waits && model.pools().is_redirected(live.device));
                    self.note_freed(pair);
                    if !self.counts_parts && live.recorded == 0 {
                        self.former.push((live.device, live.address, live.address.saturating_add(live.bytes)));
                    }
                    if !self.counts_active {
                        self.note_withheld(live.device, live.recorded & !pair.before.idle);
                    }
                }
            }
            Effect::Refused { device } => {
                if let (Some(pair), Op::Alloc { bytes, .. }) = (pair(*device), op) {
                    self.note_refused(pair, *device, *bytes, model);
                }
            }
            Effect::None | Effect::AllocatedDirect(..) | Effect::FreedDirect(..) => {}
        }
        if !matches!(effect, Effect::Freed(..)) && !self.has(Milestone::PendingResolved) {
            // PendingResolved, outside of a free: a block became free although none was given back.
            let resolved = (0..after.devices.len()).filter_map(pair).any(|p| p.freed(Family::Active) > 0);
            self.mark_if(Milestone::PendingResolved, resolved);
        }
        // PendingResolved, where active blocks are not counted: what one waited for has nothing left to do.
        let is_done =
            |&(device, streams): &(usize, u64)| after.devices.get(device).is_some_and(|d| streams & !d.idle == 0);
        let resolved = self.withheld.iter().any(is_done);
        self.mark_if(Milestone::PendingResolved, resolved);
        self.withheld.retain(|waiting| !is_done(waiting));
        self.states.note(&Step { op, reply, effect, before, after, model, cut: self.cut });
    }

    /// The states that the steps were in, each once, in the order in which they came up.
    #[must_use]
    pub fn into_states(self) -> Vec<State> {
        self.states.into_kept()
    }

    /// PendingFree, where active blocks are not counted: streams recorded on the freed block had not finished.
    fn note_withheld(&mut self, device: usize, streams: u64) {
        self.mark_if(Milestone::PendingFree, streams != 0);
        if streams != 0 {
            self.withheld.push((device, streams));
        }
    }

    fn note_call(&mut self, op: &Op, reply: &Reply, before: &Observation, after: &Observation, model: &Model) {
        // ArgumentRefused: a refusal of one of the two classes that blame the caller.
        let blamed = |class| matches!(class, RefusalClass::InvalidArgument | RefusalClass::InvalidPointer);
        self.mark_if(Milestone::ArgumentRefused, reply.refusal().is_some_and(|r| blamed(r.class)));
        // CrossDeviceCall: the device named exists and is not the caller's current one.
        if let Some(device) = op.device().filter(|d| d.index(after.devices.len()).is_some()) {
            let moves = matches!(op, Op::SetCurrent { .. });
            self.mark_if(Milestone::CrossDeviceCall, !moves && device != model.current_device());
        }
        let served = !matches!(reply, Reply::Refused(_));
        match *op {
            Op::Caller { caller } if served => {
                // CallerSwitch: the caller named is not the one of the calls before.
                self.mark_if(Milestone::CallerSwitch, caller != self.caller);
                self.caller = caller;
            }
            Op::EmptyCache if served => {
                // CacheEmptied: reserved bytes fell on some device.
                let fell = |p: Pair<'_>| p.current(Family::ReservedBytes) < 0;
                self.mark_if(Milestone::CacheEmptied, Pair::all(before, after).any(fell));
                // GraphKept: a range that a graph holds has no live block.
                if !model.pools().is_empty() && !self.has(Milestone::GraphKept) {
                    let kept = (0..after.devices.len()).any(|d| model.has_graph_memory_alone(d));
                    self.mark_if(Milestone::GraphKept, kept);
                }
            }
            Op::ResetPeak { device } if served => {
                // PeakLowered: some peak of the device fell.
                if let Some(d) = device.index(after.devices.len().min(before.devices.len())) {
                    let (b, a) = (&before.devices[d].stats, &after.devices[d].stats);
                    let fell = Family::ALL.iter().any(|&f| a.all(f).peak < b.all(f).peak);
                    self.mark_if(Milestone::PeakLowered, fell);
                }
            }
            // StreamWaited: the other stream, of the same device, had not finished.
            Op::WaitStream { device, stream, on } if served => {
                let view = device.index(before.devices.len()).map(|d| &before.devices[d]);
                self.mark_if(Milestone::StreamWaited, stream != on && view.is_some_and(|v| !v.is_idle(on)));
            }
            Op::CycleEnd => {
                // CycleRepeated: a second round ended.
                self.cycles = self.cycles.saturating_add(1);
                self.mark_if(Milestone::CycleRepeated, self.cycles >= 2);
            }
            // PoolDied: the pool has no user left.
            Op::PoolDelete { pool } if served => {
                self.mark_if(Milestone::PoolDied, !model.pools().is_alive(PoolSource::Pool(pool)));
            }
            Op::GraphReset { graph } if served => {
                let died = model.pools().pool_of(graph).is_some_and(|pool| !model.pools().is_alive(pool));
                self.mark_if(Milestone::PoolDied, died);
            }
            // GraphCaptured: a request was served on the capturing stream.
            Op::CaptureEnd { graph } if served => {
                self.mark_if(Milestone::GraphCaptured, model.pools().is_captured(graph));
            }
            _ => {}
        }
    }

    fn note_served(&mut self, pair: Pair<'_>, device: usize, model: &Model) {
        // SuccessAfterOom: a request was refused for lack of memory on this device before.
        self.mark_if(Milestone::SuccessAfterOom, model.device(device).is_some_and(|d| d.had_oom));
        // SegmentReserved / CacheHit: a device allocation was counted, or reserved bytes rose; or neither.
        let grew = pair.grew();
        // RetrySucceeded: a retry after a flush was counted, or memory went back and memory was got.
        self.mark_if(Milestone::RetrySucceeded, pair.exchanged() || pair.retried());
        self.mark_if(Milestone::SegmentReserved, grew);
        self.mark_if(Milestone::CacheHit, !grew);
        // Split: the parts of split segments moved.
        self.mark_if(Milestone::Split, pair.split());
        // TwoDevicesLive / TwoStreamsLive: read off the live blocks.
        self.mark_if(Milestone::TwoDevicesLive, model.devices().iter().filter(|d| d.live > 0).count() >= 2);
        self.mark_if(Milestone::TwoStreamsLive, model.device(device).is_some_and(|d| d.streams_live >= 2));
        // BothPools: each pool's count of allocations is above 0.
        let live = |row| pair.after.stats.get(Family::Allocation, row).current > 0;
        self.mark_if(Milestone::BothPools, live(Row::SmallPool) && live(Row::LargePool));
        if let Some(route) = model.route() {
            // ServedFromPool / NestedPools: a redirection accepted the request, or more than one.
            self.mark(Milestone::ServedFromPool);
            self.mark_if(Milestone::NestedPools, route.nested);
        }
        // HelpedOnOom: memory freed in a pool that helps out went to a request from outside.
        let helped = model.claimed_range().is_some_and(|i| matches!(i.claim, Claim::Helper(_)));
        self.mark_if(Milestone::HelpedOnOom, helped);
    }

    /// Split / Merge, where parts of segments are not counted: with nothing got from the device, memory that was one block
    /// or none serves a smaller one, or what were two blocks one that reaches over both.
    fn note_place(&mut self, pair: Pair<'_>, live: &Live) {
        if self.counts_parts {
            return;
        }
        let (device, start, end) = (live.device, live.address, live.address.saturating_add(live.bytes));
        let (over, rest) = std::mem::take(&mut self.former)
            .into_iter()
            .partition::<Vec<_>, _>(|&(d, from, to)| d == device && from < end && start < to);
        self.former = rest;
        if pair.grew() {
            return;
        }
        let larger = |from: u64, to: u64| to.saturating_sub(from) > live.bytes.saturating_add(1024); // more than rounding
        let part = over.iter().any(|&(_, from, to)| from <= start && end <= to && larger(from, to));
        self.cut = part || over.is_empty() && !self.gave_back && live.bytes > 0;
        self.mark_if(Milestone::Split, self.cut);
        self.mark_if(Milestone::Merge, over.len() >= 2);
    }

    fn note_freed(&mut self, pair: Pair<'_>) {
        // PendingFree: the block is no longer allocated but still active.
        self.mark_if(Milestone::PendingFree, pair.waits());
        // PendingResolved, in a free: more blocks became free than were given back.
        self.mark_if(Milestone::PendingResolved, pair.freed(Family::Active) > pair.freed(Family::Allocation));
        // Merge: the parts of split segments moved.
        self.mark_if(Milestone::Merge, pair.merged());
    }

    fn note_refused(&mut self, pair: Pair<'_>, device: usize, bytes: u64, model: &Model) {
        // Oom: the refusal itself.
        self.mark(Milestone::Oom);
        // FlushOnOom: the refused request gave memory back to the device.
        self.mark_if(Milestone::FlushOnOom, pair.shrank());
        if model.is_unroundable(bytes) || pair.fired() {
            return;
        }
        let (most, allowed) = (model.owed_from(bytes), is_allowed(pair, device, bytes, model));
        // LimitRefusal: the device had room for all that the request may cost, the limit had not.
        self.mark_if(Milestone::LimitRefusal, pair.after.free_bytes >= most && !allowed);
        // DeviceRefusal: the limit had room for all that the request may cost.
        self.mark_if(Milestone::DeviceRefusal, allowed);
        // Crowded: it would have had room with what another process holds.
        let others = model.held_by_others(device);
        self.mark_if(Milestone::Crowded, allowed && others > 0 && pair.after.free_bytes.saturating_add(others) >= most);
    }
}

/// Whether the limit had room for all that a refused request may cost.
pub(super) fn is_allowed(pair: Pair<'_>, device: usize, bytes: u64, model: &Model) -> bool {
    let reserved = u64::try_from(pair.after.stats.all(Family::ReservedBytes).current).unwrap_or(0);
    let limit = limit_bytes(pair.after.fraction, model.total_bytes(device));
    limit.is_none_or(|limit| reserved.saturating_add(model.owed_from(bytes)) <= limit)
}
