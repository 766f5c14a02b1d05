//! A memory snapshot's history, lived again by the reference.
//!
//! Decides whether the reference agrees with a snapshot: the address of every request, every event of every
//! device, the segments that stand at the end, and the statistics where the recorder added them. Streams
//! that blocks wait for are not in a trace, so a stand-in is recorded on each block that waits.

mod course;
mod life;
pub(super) mod moment;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use super::divergence::{Divergence, DivergenceKind, Place};
use super::onlooker::{Nobody, Onlooker};
use super::{Lived, ReplayError, ReplayReport, closing, driver, episode};
use crate::device::recorded::RecordedDevice;
use crate::op::snapshot::SegmentView;
use crate::op::stats::Key;
use crate::op::trace::{Action, TraceEvent};
use crate::op::{Counter, Stats};
use crate::recording::{MemorySnapshot, PlacedEvent, StatsChange};
use crate::reference::{Reference, Settings, Sound};
use life::Life;
use moment::Survey;

/// Where nothing tells how large a device is: large enough to bound no address range.
const UNBOUNDED: u64 = 1 << 40;

/// Lives a snapshot again and compares all it tells.
///
/// # Errors
/// No history, a history that began in the middle, settings that are refused or contradict themselves, or
/// private pools, whose requests a trace does not tell apart.
pub(super) fn exact(snapshot: &MemorySnapshot, keep: bool) -> Result<(ReplayReport, Lived), ReplayError> {
    shown(snapshot, keep, &mut Nobody)
}

/// As [`exact`], with somebody looking on.
pub(super) fn shown(
    snapshot: &MemorySnapshot,
    keep: bool,
    onlooker: &mut dyn Onlooker,
) -> Result<(ReplayReport, Lived), ReplayError> {
    let mut settings = settings(snapshot)?;
    // How much memory a device has is not in a snapshot, nor a fraction set at run time. The driver's
    // refusals are, and stand for the limit; garbage collection, which goes by it, is not replayed.
    settings.fraction = 1.0;
    let surveys = surveys(snapshot)?;
    let devices = snapshot.traces.iter().zip(&surveys).map(|(trace, survey)| {
        let stand_ins: Vec<u64> = (0..survey.most_waiting).map(|slot| life::stand_in(slot).0).collect();
        RecordedDevice::new(total_bytes(trace), &stand_ins, driver::acts(trace.iter().map(|e| e.event), &[]))
    });
    let mut reference = Reference::new(devices.collect(), &settings, Sound);
    reference.record_trace();
    let unknown_fraction = settings.gc_threshold > 0.0;
    let mut report = ReplayReport { unknown_keys: snapshot.unknown, unknown_fraction, ..ReplayReport::default() };
    let mut lived = Lived { config: snapshot.config.clone(), settings, ..Lived::default() };
    for (device, (trace, survey)) in snapshot.traces.iter().zip(surveys).enumerate() {
        let change = snapshot.stats.get(&device);
        let mut life = Life::new(device, reference.device_mut(device), &settings, trace, survey);
        life.counted = change.map(counted);
        life.kept = keep.then(Vec::new);
        let divergence = life.live(&mut report, onlooker);
        let hash_order = life.hash_order;
        lived.traces.push(life.kept.unwrap_or_default());
        if let Some(divergence) = divergence {
            report.diverged(divergence);
            continue;
        }
        let kinds = at_the_end(&reference, device, snapshot, hash_order, &mut report);
        if !kinds.is_empty() {
            report.diverged(Divergence { place: Place::End { device }, at: "what stands".to_owned(), kinds });
        }
    }
    lived.segments = reference.snapshot().segments;
    Ok((report, lived))
}

/// The settings of the recorded run.
pub(super) fn settings(snapshot: &MemorySnapshot) -> Result<Settings, ReplayError> {
    let (file, config) = (snapshot.file.clone(), snapshot.config.clone());
    let settings: Settings = config.parse().map_err(|source| ReplayError::Settings {
        file: file.clone(),
        config: config.clone(),
        source,
    })?;
    let max_split = i64::try_from(settings.max_split).unwrap_or(-1);
    let in_force = snapshot.in_force;
    let contradicted = [
        ("expandable_segments", in_force.expandable_segments.is_some_and(|is| is != settings.expandable_segments)),
        ("max_split_size", in_force.max_split_size.is_some_and(|is| is != max_split)),
        (
            "garbage_collection_threshold",
            in_force.gc_threshold.is_some_and(|is| (is - settings.gc_threshold).abs() > 1e-9),
        ),
    ];
    match contradicted.into_iter().find(|&(_, differs)| differs) {
        Some((key, _)) => Err(ReplayError::Contradiction { file, config, key }),
        None => Ok(settings),
    }
}

/// Looks over every trace, and refuses what cannot be lived again exactly.
fn surveys(snapshot: &MemorySnapshot) -> Result<Vec<Survey>, ReplayError> {
    let file = || snapshot.file.clone();
    if !snapshot.has_history() {
        return Err(ReplayError::NoHistory { file: file() });
    }
    if let Some(private) = snapshot.segments.iter().find(|s| s.segment_pool_id != (0, 0)) {
        return Err(ReplayError::PrivatePool { file: file(), id: private.segment_pool_id });
    }
    let strange = |s: &&SegmentView| s.device as usize >= snapshot.traces.len();
    if let Some(SegmentView { device, total_size: bytes, .. }) = snapshot.segments.iter().find(strange) {
        let (device, bytes) = (*device as usize, *bytes);
        return Err(ReplayError::HistoryStartsLate { file: file(), device, blocks: 0, bytes });
    }
    let mut surveys = Vec::new();
    for (device, trace) in snapshot.traces.iter().enumerate() {
        let survey = Survey::of(trace, &segments_of(snapshot, device));
        if !survey.is_whole() {
            let (blocks, bytes) = (survey.strange_blocks, survey.strange_bytes);
            return Err(ReplayError::HistoryStartsLate { file: file(), device, blocks, bytes });
        }
        surveys.push(survey);
    }
    Ok(surveys)
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

/// A size of the device for which the ranges of expandable segments do not overlap: PyTorch makes each an
/// eighth longer than the device, and begins to map it at its start.
fn total_bytes(trace: &[PlacedEvent]) -> u64 {
    const LARGEST_PAGE: u64 = 64 << 20;
    // By start: the stream, whether of the small pool, and the bytes mapped.
    let mut ranges: BTreeMap<u64, (u64, bool, u64)> = BTreeMap::new();
    let mut shortest = UNBOUNDED;
    for TraceEvent { action, address, bytes, stream } in trace.iter().map(|e| e.event) {
        let small = bytes == 2 << 20;
        let mut own = ranges.range_mut(..=address).rev();
        match action {
            Action::SegmentMap => {
                if let Some((_, (_, _, mapped))) = own.find(|(_, r)| (r.0, r.1) == (stream, small)) {
                    *mapped = mapped.saturating_add(bytes);
                    continue;
                }
                let before = ranges.range(..address).next_back().map(|(start, _)| address - start);
                let after = ranges.range(address + 1..).next().map(|(start, _)| start - address);
                shortest = [before, after].into_iter().flatten().fold(shortest, u64::min);
                ranges.insert(address, (stream, small, bytes));
            }
            Action::SegmentUnmap => {
                let Some((&start, (_, _, mapped))) = own.next() else { continue };
                *mapped = mapped.saturating_sub(bytes);
                if *mapped == 0 {
                    ranges.remove(&start); // with its last page the range goes too
                }
            }
            _ => {}
        }
    }
    (shortest.saturating_sub(LARGEST_PAGE) / 9 * 8).max(LARGEST_PAGE)
}

/// Segments and statistics of a device whose trace showed no divergence.
fn at_the_end(
    reference: &Reference<RecordedDevice>,
    device: usize,
    snapshot: &MemorySnapshot,
    hash_order: bool,
    report: &mut ReplayReport,
) -> Vec<DivergenceKind> {
    let allocator = reference.device(device);
    let recorded: Vec<SegmentView> = segments_of(snapshot, device).into_iter().cloned().collect();
    let mut kinds: Vec<DivergenceKind> = closing::first_segment(&recorded, &allocator.segments()).into_iter().collect();
    let Some(change) = snapshot.stats.get(&device) else { return kinds };
    report.unknown_keys += u64::from(change.unknown);
    for &(key, recorded) in &change.changes {
        let predicted = allocator.stats().value(key);
        if recorded == predicted || hash_order && episode::depends_on_hash_order(key) {
            continue;
        }
        if key == Key::Counter(Counter::NumSyncAllStreams) && recorded > predicted {
            // Flushes that found nothing to give back leave no event, and move nothing else.
            report.silent_flushes += u64::try_from(recorded - predicted).unwrap_or(0);
            continue;
        }
        kinds.push(DivergenceKind::Stat { device, key: key.to_string(), recorded, predicted });
    }
    kinds
}
