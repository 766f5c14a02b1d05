//! A memory snapshot's history, lived again by the reference.
//!
//! Decides whether the reference agrees with a snapshot: the address of every request, every event of every
//! device, the segments that stand at the end, and the statistics where the recorder added them. Streams
//! that blocks wait for are not in a trace, so a stand-in is recorded on each block that waits.

mod asking;
mod begin;
pub(super) mod call_events;
pub(super) mod collections;
#[cfg(test)]
mod cuts_test;
mod device_replay;
mod ending;
mod guess;
pub(super) mod hypothesis;
mod in_force;
pub(super) mod part;
pub(super) mod past;
mod ranges;
pub(super) mod shape;
#[cfg(test)]
mod tests;
pub(super) mod told;
mod watched;

use super::divergence::{Divergence, FilePosition};
use super::note::Note;
use super::onlooker::{Nobody, Onlooker, Ticking};
use super::{Lived, Progress, ReplayError, ReplayReport, closing, driver, episode, release};
use crate::op::Stats;
use crate::recording::MemorySnapshot;
use crate::reference::{PoolId, Settings};
pub(super) use asking::Refusal;
use begin::{begun, by_address, life_of, note_past, with_every_device};
use call_events::Left;
pub(super) use collections::Thresholds;
use ending::{Ending, counted};
pub(super) use guess::Guess;
pub(super) use in_force::settings;
use in_force::{expandable_at_first, others};
use past::Past;

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
    /// What garbage collections tell of the limit that they went by, by device.
    pub thresholds: Vec<Thresholds>,
    /// What was asked, by device and in parts, and where the trace ends that was lived.
    pub told: Vec<(Vec<Vec<told::Told>>, usize)>,
    /// The settings in force at the end, by device.
    pub settings: Vec<Settings>,
    /// The statistics of the reference at the end, and where it reserved ranges of addresses.
    pub stats: Vec<Stats>,
    pub ranges: Vec<Vec<u64>>,
    /// Private pools whose blocks were taken never to be split.
    pub uncut: Vec<PoolId>,
    /// Of the others those at which something diverged, and of which nothing shows that they split theirs.
    parted: Vec<PoolId>,
}

/// How a snapshot is lived again.
#[derive(Clone, Copy)]
pub(super) struct How<'h> {
    /// What the reference does is kept.
    pub keep: bool,
    /// What was asked is kept.
    pub tell: bool,
    /// Positions past which nothing is lived, by device; all is where there are none.
    pub ends: Option<&'h [usize]>,
    pub progress: &'h dyn Progress,
}

impl How<'_> {
    fn end(&self, device: usize, trace: usize) -> usize {
        self.ends.and_then(|ends| ends.get(device).copied()).map_or(trace, |end| end.min(trace))
    }
}

/// Lives a snapshot again and compares all it tells.
///
/// # Errors
/// No history, or events and segments that contradict each other.
pub(super) fn exact(
    snapshot: &MemorySnapshot,
    keep: bool,
    progress: &dyn Progress,
) -> Result<(ReplayReport, Lived), ReplayError> {
    let how = How { keep, tell: false, ends: None, progress };
    live(snapshot, how).map(|outcome| (outcome.report, outcome.lived))
}

/// As [`exact`], with all that came of it.
pub(super) fn live(snapshot: &MemorySnapshot, how: How<'_>) -> Result<Outcome, ReplayError> {
    if !snapshot.has_history() {
        return Err(ReplayError::NoHistory { file: snapshot.file.clone() });
    }
    found(&with_every_device(snapshot), how).map(|(outcome, _)| outcome)
}

/// The calls of a snapshot, and what has to be guessed so that the reference follows it.
pub(super) fn told(snapshot: &MemorySnapshot, progress: &dyn Progress) -> Result<(Outcome, Guess), ReplayError> {
    if !snapshot.has_history() {
        return Err(ReplayError::NoHistory { file: snapshot.file.clone() });
    }
    found(&with_every_device(snapshot), How { keep: false, tell: true, ends: None, progress })
}

/// Once more, on the way that was found, with somebody looking on.
pub(super) fn shown(
    snapshot: &MemorySnapshot,
    guess: &Guess,
    onlooker: &mut dyn Onlooker,
    progress: &dyn Progress,
) -> Result<(), ReplayError> {
    let how = How { keep: false, tell: false, ends: None, progress };
    lived(&with_every_device(snapshot), how, guess, onlooker).map(|_| ())
}

/// The first way without a divergence, else the one without guesses.
fn found(snapshot: &MemorySnapshot, how: How<'_>) -> Result<(Outcome, Guess), ReplayError> {
    found_from(snapshot, how, Guess::default())
}

/// The same, with what is known already: by the rules of one release after the other, as far as it does not tell its own.
fn found_from(snapshot: &MemorySnapshot, how: How<'_>, known: Guess) -> Result<(Outcome, Guess), ReplayError> {
    let own = [known.release];
    let releases = if known.release > 0 { &own } else { release::candidates(snapshot) };
    let mut first = None;
    for &release in releases {
        let (outcome, guess) = found_by(snapshot, how, Guess { release, ..known.clone() })?;
        if outcome.report.divergences == 0 {
            return Ok((outcome, guess));
        }
        first.get_or_insert((outcome, guess));
    }
    match first {
        Some(first) => Ok(first),
        None => found_by(snapshot, how, known),
    }
}

fn found_by(snapshot: &MemorySnapshot, how: How<'_>, known: Guess) -> Result<(Outcome, Guess), ReplayError> {
    let mut guess = known.clone();
    let first = lived(snapshot, how, &guess, &mut Nobody)?;
    let mut goes_on = first.report.divergences > 0 && guess.goes_on_after(&first, snapshot);
    while goes_on {
        let outcome = lived(snapshot, how, &guess, &mut Nobody)?;
        if outcome.report.divergences == 0 {
            return Ok((outcome, guess));
        }
        goes_on = guess.goes_on_after(&outcome, snapshot);
    }
    Ok((first, known))
}

/// One way to live it.
fn lived(
    snapshot: &MemorySnapshot,
    how: How<'_>,
    guess: &Guess,
    onlooker: &mut dyn Onlooker,
) -> Result<Outcome, ReplayError> {
    let (settings, mut notes) = settings(snapshot);
    let settings = Settings { expandable_segments: expandable_at_first(snapshot, &settings), ..settings };
    let (prepared, mut reference) = begun(snapshot, &settings, guess)?;
    let mut report = ReplayReport { unknown_keys: snapshot.unknown, ..ReplayReport::default() };
    report.notes.append(&mut notes);
    report.notes.extend(by_address(snapshot, &prepared).then_some(Note::PoolsByAddress));
    let release = Some(guess.release).filter(|&minor| minor > 0);
    let mut lived = Lived { config: snapshot.config.clone(), settings, release, ..Lived::default() };
    let (mut refusals, mut told, mut parted, mut thresholds) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut onlooker = Ticking::new(onlooker, how.progress);
    for (device, one) in prepared.iter().enumerate() {
        note_past(device, one, &settings, &mut report);
        let limit = how.end(device, snapshot.traces[device].len()).max(one.start);
        let mut life = life_of(snapshot, device, one, &mut reference);
        life.events = &life.events[..limit - one.start];
        life.counted = snapshot.stats.get(&device).map(counted);
        life.others = others(snapshot, &settings);
        let prefix = snapshot.traces[device][..one.start].iter();
        let prefix = prefix.enumerate().map(|(at, e)| (e.event, one.past.pools.get(at).copied().unwrap_or_default()));
        life.kept = how.keep.then(|| prefix.unzip());
        life.told = how.tell.then(Vec::new);
        let may_be_cut = !one.past.is_empty() || limit < snapshot.traces[device].len();
        let (end, divergence) = life.live(may_be_cut, &mut report, &mut onlooker);
        let (hash_order, times) = (life.hash_order, life.collections);
        report.notes.extend((times > 0).then_some(Note::Collected { device, times }));
        let (events, pools) = life.kept.unwrap_or_default();
        lived.traces.push(events);
        lived.pools.push(pools);
        refusals.push(life.refusals);
        thresholds.push(life.thresholds);
        told.push((life.told.unwrap_or_default(), one.start + end));
        let end = one.start + end;
        let at_the_end = Ending { snapshot, device, one, guess, end, limit, hash_order };
        if let Some(divergence) = divergence {
            let calls = one.past.pools.iter().take(at_the_end.next_call()).skip(end).next_back();
            parted.extend(calls.filter(|pool| one.past.uncut.contains(pool)));
            report.diverged(divergence);
            continue;
        }
        let kinds = at_the_end.compare(&reference, &mut report)?;
        if !kinds.is_empty() {
            parted.extend(one.past.uncut.iter().find(|pool| !guess.uncut.contains(pool)));
            report.diverged(Divergence { place: FilePosition::End { device }, at: "what stands".to_owned(), kinds });
        }
    }
    lived.segments = reference.snapshot().segments;
    let stats = reference.devices().map(|device| *device.stats()).collect();
    let at_the_end = reference.devices().map(|device| *device.settings()).collect();
    let uncut = guess.uncut.iter().copied().collect();
    let ranges = reference.devices().map(|device| device.device().reserved().to_vec()).collect();
    let (devices, settings) = (prepared, at_the_end);
    Ok(Outcome { report, lived, devices, refusals, thresholds, told, settings, stats, ranges, uncut, parted })
}
