//! Histories cut where nobody would cut them: late, ended early, wrapped in the middle of a call.
//!
//! Every recording and snapshot of the repository is cut at several points in each way, and lived again from there. With
//! `POOLPROOF_CUTS` naming folders (joined by `:`), what is in these is cut as well.

use std::path::{Path, PathBuf};

use std::collections::BTreeMap;

use super::begin::{ready, segments_of};
use super::ending::sizes;
use super::*;
use crate::op::snapshot::SegmentView;
use crate::op::trace::Action;
use crate::recording::PlacedEvent;
use crate::replay::{self, Reading, Silent, what_if};

/// How a history is cut, with the events that each device keeps.
#[derive(Debug, Clone, Copy)]
enum Cut {
    First(usize),
    Both(usize),
    Ring(usize),
}

/// Points that each recording is cut at: few of those that are here, which costs the most of all tests; more of those that are named.
fn points() -> usize {
    if std::env::var_os("POOLPROOF_CUTS").is_some() { 20 } else { 7 }
}

const HOW: How<'static> = How { keep: false, tell: false, ends: None, progress: &Silent };

/// The snapshot that would have been taken, had the recording gone from one point to another.
fn between(snapshot: &MemorySnapshot, ranges: &[std::ops::Range<usize>]) -> MemorySnapshot {
    let mut cut = snapshot.clone();
    let (settings, _) = settings(snapshot);
    let uncut = live(snapshot, HOW).expect("it is whole").uncut.into_iter().collect();
    let guess = Guess { uncut, ..Guess::default() };
    cut.segments.clear();
    for (device, range) in ranges.iter().enumerate() {
        let trace = &snapshot.traces[device];
        let segments = segments_of(snapshot, device);
        if range.end == trace.len() {
            cut.segments.extend(segments.into_iter().cloned());
        } else {
            let past = Past::before(trace, &segments, &settings, (Left::default(), &guess, device), range.end)
                .expect("it is whole");
            cut.segments.extend(past.views(device, &sizes_at(snapshot, device, range.end)));
            cut.stats.clear();
        }
        let renumbered = (0..).zip(&trace[range.clone()]);
        cut.traces[device] = renumbered.map(|(index, e)| PlacedEvent { index, ..*e }).collect();
    }
    cut
}

/// How large blocks were when that many events had happened, before the call that these may end in.
fn sizes_at(snapshot: &MemorySnapshot, device: usize, end: usize) -> BTreeMap<u64, u64> {
    let (settings, _) = settings(snapshot);
    let uncut = live(snapshot, HOW).expect("it is whole").uncut.into_iter().collect();
    let guess = Guess { uncut, ..Guess::default() };
    let starts = vec![0; snapshot.traces.len()];
    let (prepared, mut reference) = ready(snapshot, &settings, &starts, &guess).expect("it is whole");
    let mut life = life_of(snapshot, device, &prepared[device], &mut reference);
    life.events = &life.events[..end];
    life.live(true, &mut ReplayReport::default(), &mut Nobody);
    sizes(reference.device(device).segments().iter())
}

fn ranges_of(snapshot: &MemorySnapshot, how: Cut) -> Vec<std::ops::Range<usize>> {
    let range = |trace: &Vec<PlacedEvent>| {
        let n = trace.len();
        match how {
            Cut::First(point) => n * point / points()..n,
            Cut::Both(point) => n * point / (2 * points())..n - n * point / (2 * points()),
            Cut::Ring(point) => n.saturating_sub(1 + point * 97 % n.max(1))..n,
        }
    };
    snapshot.traces.iter().map(range).collect()
}

/// The most that was reserved from one event to another, by the events of the whole history.
fn peak(trace: &[PlacedEvent], range: &std::ops::Range<usize>) -> u64 {
    let (mut reserved, mut peak) = (0_u64, 0);
    for (at, placed) in trace.iter().enumerate() {
        peak = if at <= range.start { reserved } else { peak };
        match placed.event.action {
            Action::SegmentAlloc | Action::SegmentMap => reserved += placed.event.bytes,
            Action::SegmentFree | Action::SegmentUnmap => reserved -= placed.event.bytes,
            _ => {}
        }
        if (range.start..range.end).contains(&at) {
            peak = peak.max(reserved);
        }
    }
    if range.start == trace.len() { reserved } else { peak }
}

/// What came of all cuts of a snapshot.
#[derive(Debug, Default)]
struct Tried {
    cuts: usize,
    /// Cuts of which there is a table, and of which there is a reason instead.
    tables: usize,
    /// Of these, with a limit of garbage collections that was fitted to them.
    fitted: usize,
    reasons: usize,
    wrong: Vec<String>,
}

fn tried(snapshot: &MemorySnapshot) -> Tried {
    let mut tried = Tried::default();
    for point in 0..points() {
        for how in [Cut::First(point), Cut::Both(point), Cut::Ring(point)] {
            let ranges = ranges_of(snapshot, how);
            let cut = between(snapshot, &ranges);
            tried.wrong.extend(unlike(snapshot, &ranges, &cut).map(|what| format!("{how:?}: {what}")));
            if !cut.has_history() {
                continue;
            }
            tried.cuts += 1;
            match exact(&cut, false, &Silent) {
                Ok((report, _)) => {
                    let first = report.first.map(|first| first.to_string().chars().take(700).collect::<String>());
                    tried.wrong.extend(first.map(|first| format!("{how:?}: {first}")));
                }
                Err(error) => tried.wrong.push(format!("{how:?}: {error}")),
            }
            let Ok(table) = what_if::of_snapshot(cut, &[], None, &Silent) else { continue };
            tried.tables += usize::from(table.disagreement.is_none());
            tried.fitted += usize::from(table.notes.iter().any(|note| matches!(note, Note::Fitted { .. })));
            tried.reasons += usize::from(table.disagreement.is_some());
            if let Some(why) = table.disagreement.filter(|_| std::env::var_os("POOLPROOF_REASONS").is_some()) {
                println!("{how:?}: {why}");
            }
            for row in &table.recorded {
                let truth = peak(&snapshot.traces[row.device], &ranges[row.device]);
                if row.peak_reserved != truth {
                    tried.wrong.push(format!("{how:?}: recorded {} for a peak of {truth}", row.peak_reserved));
                }
            }
        }
    }
    tried
}

/// What is cut out of a snapshot with `--from` and `--to` is what the recording would have shown.
fn unlike(snapshot: &MemorySnapshot, ranges: &[std::ops::Range<usize>], cut: &MemorySnapshot) -> Option<String> {
    let part = match part::between(snapshot.clone(), ranges, &Silent) {
        Ok(part) => part,
        Err(error) => return Some(format!("no part: {error}")),
    };
    let sorted = |segments: &[SegmentView]| {
        let mut segments = segments.to_vec();
        segments.sort_by_key(|segment| (segment.device, segment.address));
        segments
    };
    let (own, other) = (sorted(&part.segments), sorted(&cut.segments));
    let differs = (0..own.len().max(other.len())).find(|&at| own.get(at) != other.get(at));
    let segments = differs.map(|at| format!("segment {at} of the part: {:?} for {:?}", own.get(at), other.get(at)));
    let events = |snapshot: &MemorySnapshot| -> Vec<_> { snapshot.traces.iter().flatten().map(|e| e.event).collect() };
    segments.or((events(&part) != events(cut)).then(|| "other events".to_owned()))
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let listed = std::fs::read_dir(folder).expect("it can be listed");
    let mut files: Vec<PathBuf> = listed.map(|entry| entry.expect("is listed").path()).collect();
    files.retain(|path| [".pickle", ".pickle.gz", ".jsonl.gz"].iter().any(|end| path.to_string_lossy().ends_with(end)));
    files.sort();
    files
}

/// A snapshot, or the export of a recording; `None` for a backend that has no reference.
fn exported(path: &Path) -> Option<MemorySnapshot> {
    if path.to_string_lossy().contains(".pickle") {
        return MemorySnapshot::read(path).ok();
    }
    let (_, lived) = replay::lived(path, true, Reading::default()).ok()?;
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), replay::pickled(&lived)).expect("is written");
    Some(MemorySnapshot::read(file.path()).expect("is read"))
}

#[test]
fn a_history_cut_anywhere_is_lived_again_exactly() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let mut folders = vec![root.join("tests/recordings"), root.join("tests/snapshots")];
    if let Ok(more) = std::env::var("POOLPROOF_CUTS") {
        folders = more.split(':').map(PathBuf::from).collect();
    }
    let mut wrong = Vec::new();
    let mut all = Tried::default();
    for path in folders.iter().flat_map(|folder| files(folder)) {
        let Some(snapshot) = exported(&path) else { continue };
        let mut tried = tried(&snapshot);
        let name = path.display();
        println!(
            "{name}: {} cuts, {} tables ({} fitted), {} reasons, {} wrong",
            tried.cuts,
            tried.tables,
            tried.fitted,
            tried.reasons,
            tried.wrong.len()
        );
        all.cuts += tried.cuts;
        all.tables += tried.tables;
        all.fitted += tried.fitted;
        all.reasons += tried.reasons;
        tried.wrong.truncate(3);
        wrong.extend(tried.wrong.into_iter().map(|d| format!("{name}: {d}")));
    }
    println!("{} cuts, {} tables ({} fitted), {} reasons", all.cuts, all.tables, all.fitted, all.reasons);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(all.tables > all.reasons, "most have a table: {} of {}", all.tables, all.cuts);
}
