//! A part of a history as a snapshot of its own: the one that would have been taken, had the recording gone from one
//! event to another.
//!
//! Decides what stood after the part: the final segments walked back, and the sizes of blocks as the reference came to
//! them where nothing else tells. Does not decide which part.

use std::ops::Range;

use super::begin::{contradiction, segments_of, with_every_device};
use super::ending::sizes;
use super::past::Past;
use super::{Guess, How, found, found_from};
use crate::recording::snapshot::InForce;
use crate::recording::{MemorySnapshot, PlacedEvent};
use crate::reference::Settings;
use crate::replay::{Progress, ReplayError};

/// Cuts a snapshot to the events at these positions, by device. Events keep their numbers.
pub(in crate::replay) fn between(
    snapshot: MemorySnapshot,
    spans: &[Range<usize>],
    progress: &dyn Progress,
) -> Result<MemorySnapshot, ReplayError> {
    let mut part = with_every_device(&snapshot).into_owned();
    let is_cut =
        |(device, trace): (usize, &Vec<PlacedEvent>)| spans.get(device).is_some_and(|s| *s != (0..trace.len()));
    if !part.traces.iter().enumerate().any(is_cut) {
        return Ok(part);
    }
    drop(snapshot);
    // Whether a private pool splits its blocks shows in the whole history, if anywhere.
    let mut known = Guess::default();
    if has_private(&part) {
        let how = How { keep: false, tell: false, ends: None, progress };
        known.uncut = found(&part, how)?.1.uncut;
    }
    let mut ends = Vec::new();
    for (device, trace) in part.traces.iter_mut().enumerate() {
        let all = trace.len()..trace.len();
        let Range { start, end } = spans.get(device).cloned().unwrap_or(all);
        trace.drain(..start.min(trace.len()));
        ends.push(end.saturating_sub(start).min(trace.len()));
    }
    if part.traces.iter().zip(&ends).all(|(trace, &end)| trace.len() == end) {
        return Ok(part);
    }
    let how = How { keep: false, tell: false, ends: Some(&ends), progress };
    let (outcome, guess) = found_from(&part, how, known)?;
    let mut segments = Vec::new();
    for (device, &end) in ends.iter().enumerate() {
        let own = segments_of(&part, device);
        let trace = &part.traces[device];
        if end == trace.len() {
            segments.extend(own.into_iter().cloned());
            continue;
        }
        let left = outcome.devices[device].left;
        let past = Past::before(trace, &own, &outcome.settings[device], (left, &guess, device), end);
        let past = past.map_err(|undone| contradiction(&part, device, undone))?;
        let known = outcome.lived.segments.iter().filter(|segment| segment.device as usize == device);
        segments.extend(past.views(device, &sizes(known)));
    }
    let before = super::settings(&part).0;
    let lived = outcome.devices.iter().zip(&outcome.settings).zip(&ends);
    let other = lived.filter(|((one, _), end)| **end > one.start).map(|((_, settings), _)| *settings);
    if let Some(settings) = other.into_iter().find(|settings| differ(settings, &before)) {
        part.in_force = in_force(&settings);
    }
    for (device, (trace, &end)) in part.traces.iter_mut().zip(&ends).enumerate() {
        let pools = &outcome.devices[device].past.pools;
        for (placed, &pool) in trace.iter_mut().zip(pools).filter(|(placed, _)| placed.pool.is_none()) {
            placed.pool = u32::try_from(pool.0).ok().zip(u32::try_from(pool.1).ok());
            part.pools_by_address |= pool != (0, 0);
        }
        if end < trace.len() {
            part.stats.remove(&device);
        }
        trace.truncate(end);
        trace.shrink_to_fit();
    }
    part.segments = segments;
    Ok(part)
}

/// Something went to private pools.
fn has_private(snapshot: &MemorySnapshot) -> bool {
    let told = |placed: &PlacedEvent| placed.pool.is_some_and(|pool| pool != (0, 0));
    snapshot.segments.iter().any(|segment| segment.segment_pool_id != (0, 0))
        || snapshot.traces.iter().flatten().any(told)
}

/// In something that a snapshot tells beside its settings string.
fn differ(a: &Settings, b: &Settings) -> bool {
    in_force(a) != in_force(b)
}

fn in_force(settings: &Settings) -> InForce {
    InForce {
        expandable_segments: Some(settings.expandable_segments),
        max_split_size: Some(i64::try_from(settings.max_split).unwrap_or(-1)),
        gc_threshold: Some(settings.gc_threshold),
        roundup_divisions: Some(settings.roundup_divisions),
    }
}
