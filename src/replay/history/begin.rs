//! The reference at the start of each device's history.
//!
//! Decides from which event on a trace is lived, and primes the reference with what stood then.

use std::borrow::Cow;

use super::call_events::{CallEvents, Left, Survey};
use super::device_replay::{self, DeviceReplay};
use super::guess::Guess;
use super::past::{Past, Undone};
use super::{Prepared, driver};
use crate::device::recorded::RecordedDevice;
use crate::op::snapshot::SegmentView;
use crate::op::trace::Action;
use crate::recording::{MemorySnapshot, PlacedEvent};
use crate::reference::{PoolFlags, PoolId, Reference, Settings, Sound};
use crate::replay::divergence::FilePosition;
use crate::replay::note::Note;
use crate::replay::{ReplayError, ReplayReport, release};

/// A device that has segments has a trace, if an empty one.
pub(super) fn with_every_device(snapshot: &MemorySnapshot) -> Cow<'_, MemorySnapshot> {
    let most = snapshot.segments.iter().map(|s| s.device as usize + 1).max().unwrap_or(0);
    if snapshot.traces.len() >= most {
        return Cow::Borrowed(snapshot);
    }
    let mut snapshot = snapshot.clone();
    snapshot.traces.resize(most, Vec::new());
    Cow::Owned(snapshot)
}

/// The reference, primed at the first call of each device that can be explained.
pub(super) fn begun(
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
            starts[device] = CallEvents::at(&snapshot.traces[device], 0, one.left).map_or(0, |m| m.end);
        }
    }
    ready(snapshot, settings, &starts, guess)
}

/// The reference, primed with what stood at each device's start.
pub(super) fn ready(
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
        let stand_ins: Vec<u64> = (0..survey.most_waiting).map(|slot| device_replay::stand_in(slot).0).collect();
        let acts = driver::acts(events.iter().map(|e| e.event), &owners);
        devices.push(RecordedDevice::new(past.total_bytes(), &stand_ins, acts));
        prepared.push(Prepared { left, past, start });
    }
    // How much memory a device has is not in a snapshot, nor a fraction set at run time. The driver's
    // refusals are, and stand for the limit.
    let unlimited = Settings { fraction: 1.0, ..*settings };
    let mut reference = Reference::new(devices, &unlimited, Sound).by(release::of_snapshot(guess.release));
    for (device, one) in prepared.iter().enumerate() {
        let standing = one.past.standing(settings);
        let allocator = reference.device_mut(device);
        for range in standing.iter().filter(|segment| segment.page.is_some()) {
            allocator.device_mut().stand(range.address, range.bytes);
        }
        for &id in one.past.uncut.iter().filter(|id| guess.uncut.contains(id)) {
            allocator.retain_pool(id, PoolFlags { no_split: true, ..PoolFlags::default() });
        }
        if settings.gc_threshold > 0.0 {
            allocator.limit_to(u64::MAX); // for the ages of what is cached
        }
        let primed = allocator.prime(&standing);
        primed.map_err(|source| ReplayError::Primed { file: snapshot.file.clone(), device, source })?;
    }
    reference.record_trace();
    Ok((prepared, reference))
}

fn survey(trace: &[PlacedEvent], start: usize, left: Left, past: &Past) -> Survey {
    Survey::of(&trace[start..], left, past.reserved(), past.waiting())
}

pub(super) fn life_of<'r>(
    snapshot: &'r MemorySnapshot,
    device: usize,
    one: &'r Prepared,
    reference: &'r mut Reference<RecordedDevice>,
) -> DeviceReplay<'r> {
    let trace = &snapshot.traces[device];
    let pools = one.past.pools.get(one.start..).unwrap_or_default();
    let survey = survey(trace, one.start, one.left, &one.past);
    let mut life = DeviceReplay::new(device, reference.device_mut(device), &trace[one.start..], pools, survey);
    life.left = one.left;
    life.wait(one.past.waiting());
    life
}

pub(super) fn contradiction(snapshot: &MemorySnapshot, device: usize, Undone { at, trouble }: Undone) -> ReplayError {
    let file = snapshot.file.clone();
    match at.and_then(|at| snapshot.traces.get(device)?.get(at)) {
        Some(placed) => ReplayError::Contradicted {
            file,
            place: FilePosition::Event { device, index: placed.index },
            action: placed.event.action.name(),
            trouble,
        },
        None => ReplayError::Nonsense { file, device, trouble },
    }
}

pub(super) fn note_past(device: usize, one: &Prepared, settings: &Settings, report: &mut ReplayReport) {
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
pub(super) fn by_address(snapshot: &MemorySnapshot, prepared: &[Prepared]) -> bool {
    let private = |one: &Prepared| one.past.pools.iter().any(|&pool| pool != PoolId::default());
    snapshot.pools_by_address
        || prepared.iter().any(private) && snapshot.traces.iter().flatten().all(|e| e.pool.is_none())
}

pub(super) fn segments_of(snapshot: &MemorySnapshot, device: usize) -> Vec<&SegmentView> {
    let mut own: Vec<&SegmentView> = snapshot.segments.iter().filter(|s| s.device as usize == device).collect();
    own.sort_by_key(|s| s.address);
    own
}
