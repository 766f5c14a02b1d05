//! The calls of a snapshot, apart from what was answered; and what was answered, in figures.
//!
//! Decides what the recorded run came to: by its events and segments where they tell it, and by the reference where it
//! followed them exactly.

use std::collections::{BTreeMap, VecDeque};

use super::ask::{Ask, RecordedUsage, Towards};
use super::{CardSize, Row, SizeFrom, Start, Workload, limit};
use crate::device::StreamHandle;
use crate::device::card::Given;
use crate::op::trace::Action;
use crate::op::{Counter, Family};
use crate::recording::{MemorySnapshot, PlacedEvent};
use crate::replay::history::call_events::Call;
use crate::replay::history::hypothesis::Flush;
use crate::replay::history::told::Told;
use crate::replay::history::{self, Guess, Outcome, Refusal};
use crate::replay::{Note, Progress, ReplayError, release};

/// The memory of a card where nothing tells it.
pub const ASSUMED: u64 = 80 << 30;

/// Reads the calls of a snapshot.
pub(in crate::replay) fn workload(
    snapshot: &MemorySnapshot,
    progress: &dyn Progress,
) -> Result<(Workload, Guess), ReplayError> {
    let (mut outcome, guess) = history::told(snapshot, progress)?;
    let mut workload = Workload {
        config: snapshot.config.clone(),
        settings: outcome.lived.settings,
        at_the_end: history::settings(snapshot).0,
        notes: outcome.report.notes.clone(),
        diverged: outcome.report.first.clone(),
        uncut: outcome.uncut.clone(),
        rules: release::of_snapshot(guess.release),
        ..Workload::default()
    };
    workload.notes.push(Note::Rules { minor: guess.release, from: release::from(snapshot) });
    let none = Vec::new();
    let mut blocks = 0;
    for device in 0..outcome.devices.len() {
        let trace = snapshot.traces.get(device).unwrap_or(&none);
        let recorded = recorded(snapshot, &outcome, device, trace);
        workload.cards.push(card(
            &outcome.refusals[device],
            recorded.peak_reserved,
            outcome.devices[device].past.total_bytes(),
        ));
        workload.recorded.push(recorded);
        workload.given.push(given(trace, &outcome, device));
        let past = &outcome.devices[device].past;
        if !past.is_empty() {
            let standing = past.standing(&workload.settings);
            let (start, end) = (outcome.devices[device].start, outcome.told[device].1);
            let cut = || trace[..start].iter().chain(&trace[end..]).map(|e| e.event.action);
            let outside = cut().filter(|action| action.concerns_segments()).count() as u64;
            let refused = cut().filter(|&action| action == Action::Oom).count() as u64;
            let numbered = past.blocks().zip(blocks..);
            let held: Vec<_> = numbered
                .map(|((address, bytes, stream, pool), block)| (block, address, bytes, StreamHandle(stream), pool))
                .collect();
            blocks += held.len() as u64;
            let waiting = past.waiting().collect();
            let most = peak_outside(trace, past.reserved(), start, end);
            workload.starts.insert(device, Start { standing, blocks: held, waiting, outside, refused, most });
        }
    }
    workload.standing = blocks;
    workload.limits = limit::fit(&workload, &outcome);
    for (device, (told, _)) in std::mem::take(&mut outcome.told).into_iter().enumerate() {
        let at_start = workload.starts.get(&device);
        let asks = std::mem::take(&mut workload.asks);
        let mut calls = Calls::new(asks, device, at_start, blocks + ((device as u64) << 40));
        for part in told {
            part.iter().for_each(|told| calls.follow(told));
        }
        workload.asks = calls.asks;
    }
    Ok((workload, guess))
}

/// Memory held before an event, by what the events after it say.
fn reserved_over(trace: &[PlacedEvent], mut reserved: u64) -> impl Iterator<Item = u64> + '_ {
    trace.iter().map(move |placed| {
        match placed.event.action {
            Action::SegmentAlloc | Action::SegmentMap => reserved = reserved.saturating_add(placed.event.bytes),
            Action::SegmentFree | Action::SegmentUnmap => reserved = reserved.saturating_sub(placed.event.bytes),
            _ => {}
        }
        reserved
    })
}

/// What stood before the first event, given what stood before the one at `start`.
fn before_all(trace: &[PlacedEvent], reserved: u64, start: usize) -> u64 {
    let (mut got, mut gone) = (0_u64, 0_u64);
    for placed in &trace[..start] {
        match placed.event.action {
            Action::SegmentAlloc | Action::SegmentMap => got = got.saturating_add(placed.event.bytes),
            Action::SegmentFree | Action::SegmentUnmap => gone = gone.saturating_add(placed.event.bytes),
            _ => {}
        }
    }
    reserved.saturating_add(gone).saturating_sub(got)
}

/// The most that was held in the calls that the history has cut.
fn peak_outside(trace: &[PlacedEvent], reserved: u64, start: usize, end: usize) -> u64 {
    let first = before_all(trace, reserved, start);
    let held = reserved_over(trace, first).enumerate().filter(|(at, _)| *at < start || *at >= end);
    held.map(|(_, held)| held).chain((start > 0).then_some(first)).max().unwrap_or(0)
}

fn recorded(snapshot: &MemorySnapshot, outcome: &Outcome, device: usize, trace: &[PlacedEvent]) -> Row {
    let (past, start) = (&outcome.devices[device].past, outcome.devices[device].start);
    let first = before_all(trace, past.reserved(), start);
    let mut row = Row::new(&snapshot.config, device);
    row.peak_reserved = reserved_over(trace, first).fold(first, u64::max);
    row.device_calls = trace.iter().filter(|e| e.event.action.concerns_segments()).count() as u64;
    let mut requests = 0;
    for event in trace.iter().map(|e| e.event) {
        requests += u64::from(matches!(event.action, Action::Alloc | Action::Oom));
        if event.action == Action::Oom {
            row.refusals += 1;
            row.first_refusal.get_or_insert((requests, event.bytes));
        }
    }
    let stats = &outcome.stats[device];
    let unsigned = |value: i64| u64::try_from(value).unwrap_or(0);
    row.peak_allocated = unsigned(stats.all(Family::AllocatedBytes).peak);
    row.retries = unsigned(stats.counter(Counter::NumAllocRetries));
    let (held, waiting) = (past.held().1, past.waiting_bytes());
    row.at_most_reserved(past.reserved(), held.saturating_sub(waiting));
    for told in outcome.told[device].0.iter().flatten() {
        row.at_most_reserved(told.reserved, told.allocated);
    }
    row
}

/// How much memory there was, as refusals tell it: what was held and what was free, or between what was held and what
/// was refused.
fn card(refusals: &[Refusal], peak: u64, total: u64) -> CardSize {
    let least = refusals.iter().map(|r| r.reserved.saturating_add(r.asked)).min();
    let told = |r: &&Refusal| r.free.is_some_and(|free| free < r.asked);
    let sizes = refusals.iter().filter(told).map(|r| (r.reserved.saturating_add(r.free.unwrap_or(0)), r.index));
    let fits = |(bytes, _): &(u64, u32)| *bytes >= peak && least.is_none_or(|least| *bytes < least);
    let (bytes, from) = match (sizes.filter(fits).max(), least) {
        (Some((bytes, index)), _) => (bytes, SizeFrom::Refusal { index }),
        (None, Some(least)) if least > peak => (peak, SizeFrom::Between { least: peak, below: least }),
        (None, Some(_)) => (peak, SizeFrom::Changing),
        (None, None) => (ASSUMED.max(peak.next_multiple_of(1 << 30)), SizeFrom::Nothing),
    };
    CardSize { total, bytes, from }
}

fn given(trace: &[PlacedEvent], outcome: &Outcome, device: usize) -> Given {
    let lived = trace.get(outcome.devices[device].start..).unwrap_or_default();
    let mut segments: BTreeMap<u64, VecDeque<u64>> = BTreeMap::new();
    for event in lived.iter().map(|e| e.event).filter(|e| e.action == Action::SegmentAlloc) {
        segments.entry(event.bytes).or_default().push_back(event.address);
    }
    Given { segments, ranges: outcome.ranges[device].iter().copied().collect() }
}

/// A trace on its way to calls.
struct Calls {
    asks: Vec<(usize, Ask)>,
    device: usize,
    live: BTreeMap<u64, u64>,
    waiting: BTreeMap<u64, StreamHandle>,
    blocks: u64,
    stand_ins: u64,
}

impl Calls {
    fn new(asks: Vec<(usize, Ask)>, device: usize, start: Option<&Start>, blocks: u64) -> Self {
        let (live, waiting) = (BTreeMap::new(), BTreeMap::new());
        let mut calls = Calls { asks, device, live, waiting, blocks, stand_ins: 0 };
        for &(block, address, ..) in start.iter().flat_map(|start| &start.blocks) {
            calls.live.insert(address, block);
        }
        for &address in start.iter().flat_map(|start| &start.waiting) {
            calls.free(address, true);
        }
        calls
    }

    fn ask(&mut self, ask: Ask) {
        self.asks.push((self.device, ask));
    }

    fn follow(&mut self, told: &Told) {
        let before = told.before.as_deref();
        if let Some(settings) = before.and_then(|before| before.settings) {
            self.ask(Ask::Settings(Box::new(settings)));
        }
        if told.hypothesis.finished {
            before.iter().flat_map(|before| &before.lead.early).for_each(|address| self.complete(*address));
        }
        let whole = told.hypothesis.flush == Flush::Whole;
        if let Some(before) = before.filter(|before| !before.dead.is_empty()) {
            self.ask(Ask::FlushDead { dead: before.dead.clone(), whole });
        } else if whole {
            self.ask(Ask::Flush);
        }
        match told.call {
            Call::Alloc { bytes, stream, address } => {
                let (block, refused) = (self.blocks, address.is_none());
                self.blocks += 1;
                self.live.extend(address.map(|address| (address, block)));
                let to = Some(Towards { pool: told.pool, redirected: told.hypothesis.redirected });
                self.ask(Ask::Alloc { block, bytes, stream: StreamHandle(stream), refused, to });
            }
            Call::Free { address, waits } => self.free(address, waits),
            Call::End => {}
        }
        // What a flush inside the call waited for had finished when it was over.
        let freed = before.iter().flat_map(|before| before.lead.early.iter().chain(&before.lead.late));
        freed.for_each(|address| self.complete(*address));
        let &Told { index, reserved, allocated, .. } = told;
        self.ask(Ask::RecordedUsage(RecordedUsage { at: u64::from(index), reserved, allocated }));
    }

    fn free(&mut self, address: u64, waits: bool) {
        let Some(block) = self.live.remove(&address) else { return };
        if waits {
            let stream = StreamHandle(u64::MAX - self.stand_ins);
            self.stand_ins += 1;
            self.ask(Ask::Occupy { stream });
            self.ask(Ask::Record { block, stream });
            self.waiting.insert(address, stream);
        }
        self.ask(Ask::Free { block });
    }

    fn complete(&mut self, address: u64) {
        if let Some(stream) = self.waiting.remove(&address) {
            self.ask(Ask::Finish { stream });
        }
    }
}
