//! A memory snapshot's history, lived again by the reference.
//!
//! Decides whether the reference agrees with a snapshot: the address of every request, every event of every
//! device, the segments that stand at the end, and the statistics where the recorder added them. Streams
//! that blocks wait for are not in a trace, so a stand-in is recorded on each block that waits.

mod asking;
pub(super) mod course;
#[cfg(test)]
mod cuts_test;
mod guess;
mod in_force;
pub(super) mod life;
pub(super) mod moment;
pub(super) mod past;
mod ranges;
pub(super) mod shape;
#[cfg(test)]
mod tests;
mod watched;

use std::collections::BTreeMap;

use super::divergence::{Divergence, DivergenceKind, Place};
use super::note::Note;
use super::onlooker::{Nobody, Onlooker};
use super::{Lived, ReplayError, ReplayReport, closing, driver, episode};
use crate::device::recorded::RecordedDevice;
use crate::op::snapshot::SegmentView;
use crate::op::stats::{Column, Family, Key};
use crate::op::trace::Action;
use crate::op::{Counter, Stats};
use crate::recording::{MemorySnapshot, StatsChange};
use crate::reference::{DeviceAllocator, PoolFlags, PoolId, Reference, Settings, Sound};
pub(super) use asking::Refusal;
pub(super) use guess::Guess;
pub(super) use in_force::settings;
use in_force::{expandable_at_first, others};
use life::Life;
use moment::{Left, Moment, Survey};
use past::{Past, Undone};

/// One device of a snapshot, ready to be lived again.
#[derive(Debug)]
pub(super) struct Prepared {
    pub left: Left,
    pub past: Past,
    /// The position of the first event that is lived: those before it finish a call that began before.
    pub start: usize,
}

/// What a snapshot came to, by device.
#[derive(Debug)]
pub(super) struct Outcome {
    pub report: ReplayReport,
    pub lived: Lived,
    pub devices: Vec<Prepared>,
    pub refusals: Vec<Vec<Refusal>>,
    /// What was asked, by device, and where the trace ends that was lived.
    pub told: Vec<(Vec<life::Told>, usize)>,
    /// The statistics of the reference at the end, and where it reserved ranges of addresses.
    pub stats: Vec<Stats>,
    pub ranges: Vec<Vec<u64>>,
    /// Private pools whose blocks were taken never to be split.
    pub uncut: Vec<PoolId>,
    /// Of the others those at which something diverged, and of which nothing shows that they split theirs.
    parted: Vec<PoolId>,
}

/// Lives a snapshot again and compares all it tells.
///
/// # Errors
/// No history, or events and segments that contradict each other.
pub(super) fn exact(snapshot: &MemorySnapshot, keep: bool) -> Result<(ReplayReport, Lived), ReplayError> {
    live(snapshot, keep).map(|outcome| (outcome.report, outcome.lived))
}

/// As [`exact`], with all that came of it.
pub(super) fn live(snapshot: &MemorySnapshot, keep: bool) -> Result<Outcome, ReplayError> {
    if !snapshot.has_history() {
        return Err(ReplayError::NoHistory { file: snapshot.file.clone() });
    }
    found(&with_every_device(snapshot), keep).map(|(outcome, _)| outcome)
}

/// What has to be guessed so that the reference follows a snapshot.
pub(super) fn way(snapshot: &MemorySnapshot) -> Result<Guess, ReplayError> {
    found(&with_every_device(snapshot), false).map(|(_, guess)| guess)
}

/// Once more, on the [`way`] that was found, with somebody looking on.
pub(super) fn shown(snapshot: &MemorySnapshot, guess: &Guess, onlooker: &mut dyn Onlooker) -> Result<(), ReplayError> {
    lived(&with_every_device(snapshot), false, guess, onlooker).map(|_| ())
}

/// A device that has segments has a trace, if an empty one.
fn with_every_device(snapshot: &MemorySnapshot) -> MemorySnapshot {
    let mut snapshot = snapshot.clone();
    let most = snapshot.segments.iter().map(|s| s.device as usize + 1).max().unwrap_or(0);
    snapshot.traces.resize(snapshot.traces.len().max(most), Vec::new());
    snapshot
}

/// The first way without a divergence, else the one without guesses.
fn found(snapshot: &MemorySnapshot, keep: bool) -> Result<(Outcome, Guess), ReplayError> {
    let mut guess = Guess::default();
    let first = lived(snapshot, keep, &guess, &mut Nobody)?;
    let mut goes_on = first.report.divergences > 0 && guess.goes_on_after(&first, snapshot);
    while goes_on {
        let outcome = lived(snapshot, keep, &guess, &mut Nobody)?;
        if outcome.report.divergences == 0 {
            return Ok((outcome, guess));
        }
        goes_on = guess.goes_on_after(&outcome, snapshot);
    }
    Ok((first, Guess::default()))
}

/// One way to live it.
fn lived(
    snapshot: &MemorySnapshot,
    keep: bool,
    guess: &Guess,
    onlooker: &mut dyn Onlooker,
) -> Result<Outcome, ReplayError> {
    let (settings, mut notes) = settings(snapshot);
    let settings = Settings { expandable_segments: expandable_at_first(snapshot, &settings), ..settings };
    let (prepared, mut reference) = begun(snapshot, &settings, guess)?;
    let mut report = ReplayReport { unknown_keys: snapshot.unknown, ..ReplayReport::default() };
    report.notes.append(&mut notes);
    report.notes.extend(by_address(snapshot, &prepared).then_some(Note::PoolsByAddress));
    let mut lived = Lived { config: snapshot.config.clone(), settings, ..Lived::default() };
    let (mut refusals, mut told, mut parted) = (Vec::new(), Vec::new(), Vec::new());
    for (device, one) in prepared.iter().enumerate() {
        note_past(device, one, &settings, &mut report);
        let mut life = life_of(snapshot, device, one, &mut reference);
        life.counted = snapshot.stats.get(&device).map(counted);
        life.others = others(snapshot, &settings);
        let prefix = snapshot.traces[device][..one.start].iter();
        let prefix = prefix.enumerate().map(|(at, e)| (e.event, one.past.pools.get(at).copied().unwrap_or_default()));
        life.kept = keep.then(|| prefix.unzip());
        life.told = Some(Vec::new());
        let (end, divergence) = life.live(!one.past.is_empty(), &mut report, onlooker);
        let (hash_order, times) = (life.hash_order, life.collections);
        report.notes.extend((times > 0).then_some(Note::Collected { device, times }));
        let (events, pools) = life.kept.unwrap_or_default();
        lived.traces.push(events);
        lived.pools.push(pools);
        refusals.push(life.refusals);
        told.push((life.told.unwrap_or_default(), one.start + end));
        let end = one.start + end;
        let at_the_end = Ending { snapshot, device, one, guess, end, hash_order };
        if let Some(divergence) = divergence {
            let calls = one.past.pools.iter().take(at_the_end.next_call()).skip(end).next_back();
            parted.extend(calls.filter(|pool| one.past.uncut.contains(pool)));
            report.diverged(divergence);
            continue;
        }
        let kinds = at_the_end.compare(&reference, &mut report)?;
        if !kinds.is_empty() {
            parted.extend(one.past.uncut.iter().find(|pool| !guess.uncut.contains(pool)));
            report.diverged(Divergence { place: Place::End { device }, at: "what stands".to_owned(), kinds });
        }
    }
    lived.segments = reference.snapshot().segments;
    let stats = reference.devices().map(|device| *device.stats()).collect();
    let uncut = guess.uncut.iter().copied().collect();
    let ranges = reference.devices().map(|device| device.device().reserved().to_vec()).collect();
    Ok(Outcome { report, lived, devices: prepared, refusals, told, stats, ranges, uncut, parted })
}

/// The reference, primed at the first call of each device that can be explained.
fn begun(
    snapshot: &MemorySnapshot,
    settings: &Settings,
    guess: &Guess,
) -> Result<(Vec<Prepared>, Reference<RecordedDevice>), ReplayError> {
    let mut starts = vec![0; snapshot.traces.len()];
    let (prepared, mut reference) = ready(snapshot, settings, &starts, guess)?;
    if prepared.iter().all(|one| one.past.is_empty()) {
        return Ok((prepared, reference));
    }
    for (device, one) in prepared.iter().enumerate().filter(|(_, one)| !one.past.is_empty()) {
        if !life_of(snapshot, device, one, &mut reference).begins_well() {
            starts[device] = Moment::at(&snapshot.traces[device], 0, one.left).map_or(0, |m| m.end);
        }
    }
    ready(snapshot, settings, &starts, guess)
}

/// The reference, primed with what stood at each device's start.
fn ready(
    snapshot: &MemorySnapshot,
    settings: &Settings,
    starts: &[usize],
    guess: &Guess,
) -> Result<(Vec<Prepared>, Reference<RecordedDevice>), ReplayError> {
    let mut prepared = Vec::new();
    let mut devices = Vec::new();
    for (device, (trace, &start)) in snapshot.traces.iter().zip(starts).enumerate() {
        let segments = segments_of(snapshot, device);
        let left = Left::out_of(trace, &segments);
        let past = Past::before(trace, &segments, settings, (left, guess, device), start);
        let past = past.map_err(|undone| contradiction(snapshot, device, undone))?;
        let events = &trace[start..];
        let own_pools = past.pools.get(start..).unwrap_or_default();
        let requests = events.iter().enumerate().filter(|(_, e)| matches!(e.event.action, Action::Alloc | Action::Oom));
        let owners = requests.map(|(at, _)| own_pools.get(at).map_or(0, |&pool| driver::owner_of(pool)));
        let owners: Vec<u64> = if own_pools.is_empty() { Vec::new() } else { owners.collect() };
        let survey = survey(trace, start, left, &past);
        let stand_ins: Vec<u64> = (0..survey.most_waiting).map(|slot| life::stand_in(slot).0).collect();
        let acts = driver::acts(events.iter().map(|e| e.event), &owners);
        devices.push(RecordedDevice::new(past.total_bytes(), &stand_ins, acts));
        prepared.push(Prepared { left, past, start });
    }
    // How much memory a device has is not in a snapshot, nor a fraction set at run time. The driver's
    // refusals are, and stand for the limit.
    let unlimited = Settings { fraction: 1.0, ..*settings };
    let mut reference = Reference::new(devices, &unlimited, Sound);
    for (device, one) in prepared.iter().enumerate() {
        let standing = one.past.standing(settings);
        let allocator = reference.device_mut(device);
        for range in standing.iter().filter(|segment| segment.page.is_some()) {
            allocator.device_mut().stand(range.address, range.bytes);
        }
        for &id in one.past.uncut.iter().filter(|id| guess.uncut.contains(id)) {
            allocator.retain_pool(id, PoolFlags { no_split: true, ..PoolFlags::default() });
        }
        let primed = allocator.prime(&standing);
        primed.map_err(|source| ReplayError::Primed { file: snapshot.file.clone(), device, source })?;
    }
    reference.record_trace();
    Ok((prepared, reference))
}

fn survey(trace: &[crate::recording::PlacedEvent], start: usize, left: Left, past: &Past) -> Survey {
    Survey::of(&trace[start..], left, past.reserved(), past.waiting())
}

fn life_of<'r>(
    snapshot: &'r MemorySnapshot,
    device: usize,
    one: &'r Prepared,
    reference: &'r mut Reference<RecordedDevice>,
) -> Life<'r> {
    let trace = &snapshot.traces[device];
    let pools = one.past.pools.get(one.start..).unwrap_or_default();
    let survey = survey(trace, one.start, one.left, &one.past);
    let mut life = Life::new(device, reference.device_mut(device), &trace[one.start..], pools, survey);
    life.left = one.left;
    life.wait(one.past.waiting());
    life
}

fn contradiction(snapshot: &MemorySnapshot, device: usize, Undone { at, trouble }: Undone) -> ReplayError {
    let file = snapshot.file.clone();
    match at.and_then(|at| snapshot.traces.get(device)?.get(at)) {
        Some(placed) => ReplayError::Contradicted {
            file,
            place: Place::Event { device, index: placed.index },
            action: placed.event.action.name(),
            trouble,
        },
        None => ReplayError::Nonsense { file, device, trouble },
    }
}

fn note_past(device: usize, one: &Prepared, settings: &Settings, report: &mut ReplayReport) {
    for action in [Action::FreeRequested, Action::FreeCompleted] {
        report.notes.extend(one.left.has(action).then_some(Note::LeftOut { device, action }));
    }
    if one.past.is_empty() {
        return;
    }
    let (blocks, bytes) = one.past.held();
    report.notes.push(Note::Late {
        device,
        reserved: one.past.reserved(),
        blocks,
        bytes,
        waiting: one.past.waiting().count() as u64,
        guessed: one.past.guessed,
        ages: settings.gc_threshold > 0.0,
    });
    report.notes.extend((one.start > 0).then_some(Note::Cut { device, events: one.start, first: true }));
}

/// Requests went to private pools, and only addresses tell which.
fn by_address(snapshot: &MemorySnapshot, prepared: &[Prepared]) -> bool {
    let private = |one: &Prepared| one.past.pools.iter().any(|&pool| pool != PoolId::default());
    prepared.iter().any(private) && snapshot.traces.iter().flatten().all(|e| e.pool.is_none())
}

fn segments_of(snapshot: &MemorySnapshot, device: usize) -> Vec<&SegmentView> {
    let mut own: Vec<&SegmentView> = snapshot.segments.iter().filter(|s| s.device as usize == device).collect();
    own.sort_by_key(|s| s.address);
    own
}

fn counted(change: &StatsChange) -> Stats {
    let mut stats = Stats::default();
    change.apply(&mut stats);
    stats
}

/// The sizes of the blocks that stand, by address.
fn sizes(allocator: &DeviceAllocator<RecordedDevice, Sound>) -> BTreeMap<u64, u64> {
    let blocks = allocator.segments().into_iter().flat_map(|s| s.blocks);
    blocks.map(|b| (b.address, b.size)).collect()
}

/// The end of a device whose trace showed no divergence.
struct Ending<'a> {
    snapshot: &'a MemorySnapshot,
    device: usize,
    one: &'a Prepared,
    guess: &'a Guess,
    /// The position past the last event that was lived.
    end: usize,
    hash_order: bool,
}

impl Ending<'_> {
    /// The position past the call that comes next.
    fn next_call(&self) -> usize {
        let trace = &self.snapshot.traces[self.device];
        Moment::at(trace, self.end, self.one.left).map_or(trace.len(), |moment| moment.end)
    }

    /// Segments and statistics.
    fn compare(
        &self,
        reference: &Reference<RecordedDevice>,
        report: &mut ReplayReport,
    ) -> Result<Vec<DivergenceKind>, ReplayError> {
        let &Ending { snapshot, device, one, end, .. } = self;
        let allocator = reference.device(device);
        let trace = &snapshot.traces[device];
        let own = segments_of(snapshot, device);
        let cut = trace.len() - end;
        let recorded = if cut == 0 {
            own.into_iter().cloned().collect()
        } else {
            report.notes.push(Note::Cut { device, events: cut, first: false });
            let past = Past::before(trace, &own, allocator.settings(), (one.left, self.guess, device), end);
            let past = past.map_err(|undone| contradiction(snapshot, device, undone))?;
            past.views(device, &sizes(allocator))
        };
        let predicted = allocator.segments();
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
