//! What stands when a device's trace is over, held against what the snapshot shows.
//!
//! Decides what can be compared: of a history that began late, and of one that ends within a call, not all.

use std::collections::BTreeMap;

use super::begin::{contradiction, segments_of};
use super::call_events::{CallEvents, Left};
use super::guess::Guess;
use super::past::Past;
use super::{Prepared, closing, episode};
use crate::device::recorded::RecordedDevice;
use crate::op::snapshot::SegmentView;
use crate::op::stats::{Column, Family, Key};
use crate::op::trace::Action;
use crate::op::{Counter, Stats};
use crate::recording::{MemorySnapshot, StatsChange};
use crate::reference::Reference;
use crate::replay::divergence::DivergenceKind;
use crate::replay::note::Note;
use crate::replay::{ReplayError, ReplayReport};

pub(super) fn counted(change: &StatsChange) -> Stats {
    let mut stats = Stats::default();
    change.apply(&mut stats);
    stats
}

/// The sizes of the blocks that stand, by address.
pub(super) fn sizes<'s>(segments: impl Iterator<Item = &'s SegmentView>) -> BTreeMap<u64, u64> {
    segments.flat_map(|s| &s.blocks).map(|b| (b.address, b.size)).collect()
}

/// The end of a device whose trace showed no divergence.
pub(super) struct Ending<'a> {
    pub snapshot: &'a MemorySnapshot,
    pub device: usize,
    pub one: &'a Prepared,
    pub guess: &'a Guess,
    /// The position past the last event that was lived, and past those that were to be.
    pub end: usize,
    pub limit: usize,
    pub hash_order: bool,
}

impl Ending<'_> {
    /// The position past the call that comes next.
    pub fn next_call(&self) -> usize {
        let trace = &self.snapshot.traces[self.device];
        let trace = &trace[..self.limit.min(trace.len())];
        CallEvents::at(trace, self.end, self.one.left).map_or(trace.len(), |moment| moment.end)
    }

    /// Segments and statistics.
    pub fn compare(
        &self,
        reference: &Reference<RecordedDevice>,
        report: &mut ReplayReport,
    ) -> Result<Vec<DivergenceKind>, ReplayError> {
        let &Ending { snapshot, device, one, end, .. } = self;
        let allocator = reference.device(device);
        let trace = &snapshot.traces[device];
        let own = segments_of(snapshot, device);
        let cut = trace.len() - end;
        let predicted = allocator.segments();
        let recorded = if cut == 0 {
            own.into_iter().cloned().collect()
        } else {
            let unfinished = self.limit.min(trace.len()).saturating_sub(end);
            let note = Note::Cut { device, events: unfinished, first: false };
            report.notes.extend((unfinished > 0).then_some(note));
            let past = Past::before(trace, &own, allocator.settings(), (one.left, self.guess, device), end);
            let past = past.map_err(|undone| contradiction(snapshot, device, undone))?;
            past.views(device, &sizes(predicted.iter()))
        };
        let mut kinds: Vec<DivergenceKind> = closing::first_segment(&recorded, &predicted).into_iter().collect();
        if cut == 0 {
            kinds.extend(self.figures(allocator.stats(), report));
        }
        Ok(kinds)
    }

    /// Of a history that began late only what is the case now can be predicted, not what was counted before.
    fn figures(&self, predicted: &Stats, report: &mut ReplayReport) -> Vec<DivergenceKind> {
        let Some(change) = self.snapshot.stats.get(&self.device) else { return Vec::new() };
        report.unknown_keys += u64::from(change.unknown);
        let earlier = self.one.past.is_empty() && self.began_late(&counted(change));
        report.notes.extend(earlier.then_some(Note::Earlier { device: self.device }));
        let late = earlier || !self.one.past.is_empty();
        let left_out = self.one.left != Left::default();
        let mut kinds = Vec::new();
        for &(key, recorded) in &change.changes {
            let now = matches!(key, Key::Family(_, _, Column::Current) | Key::Oversize(_, Column::Current));
            let value = predicted.value(key);
            if recorded == value || (late || left_out) && !now || self.hash_order && episode::depends_on_hash_order(key)
            {
                continue;
            }
            if key == Key::Counter(Counter::NumSyncAllStreams) && recorded > value {
                // Flushes that found nothing to give back leave no event, and move nothing else.
                report.silent_flushes += u64::try_from(recorded - value).unwrap_or(0);
                continue;
            }
            kinds.push(DivergenceKind::Stat { device: self.device, key: key.to_string(), recorded, predicted: value });
        }
        kinds
    }

    /// Nothing stood when the history began, and yet more was allocated, or got, than it shows.
    fn began_late(&self, counted: &Stats) -> bool {
        let trace = &self.snapshot.traces[self.device];
        let shown = |wanted: &[Action]| trace.iter().filter(|e| wanted.contains(&e.event.action)).count();
        let got = [Action::SegmentAlloc, Action::SegmentMap];
        let more = |counted: i64, shown: usize| u64::try_from(counted).is_ok_and(|counted| counted > shown as u64);
        more(counted.all(Family::Allocation).allocated, shown(&[Action::Alloc]))
            || more(counted.counter(Counter::NumDeviceAlloc), shown(&got))
    }
}
