//! How a file is read: which part of it, and who is told how far it is.
//!
//! Decides when whoever waits hears of it, and how a part of a snapshot is made and written. Replays nothing.

use std::io::Read;
use std::path::Path;

use rustc_hash::FxHashMap;

use super::history::{self, How, part};
use super::{Range, RangeError, ReplayError, ReplayReport};
use crate::recording::snapshot::told::Told;
use crate::recording::snapshot::{Kept, Opened};
use crate::recording::{MemorySnapshot, PlacedEvent};

/// Whoever waits is told how far it is, and may stop what can be left out.
pub trait Progress {
    /// So many of something are to be done; 0 where nothing tells how many.
    fn begin(&self, total: u64, what: &'static str);
    /// One of them is done.
    fn done(&self);
    /// So many operations were replayed.
    fn ran(&self, operations: u64);
    /// The rest is not wanted any more.
    fn is_stopped(&self) -> bool;
}

/// Nobody waits.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn begin(&self, _: u64, _: &'static str) {}

    fn done(&self) {}

    fn ran(&self, _: u64) {}

    fn is_stopped(&self) -> bool {
        false
    }
}

/// How a file is read.
#[derive(Clone, Copy)]
pub struct Reading<'r> {
    /// Of a snapshot, only this part.
    pub range: Range,
    /// Who waits.
    pub progress: &'r dyn Progress,
}

impl Default for Reading<'_> {
    fn default() -> Self {
        Reading { range: Range::default(), progress: &Silent }
    }
}

/// Whoever waits hears of a file only if it is as large as this.
const TOLD_FROM: u64 = 16 << 20;

impl Reading<'_> {
    fn opened(self, path: &Path) -> Result<Opened, ReplayError> {
        let bytes = std::fs::metadata(path).map_or(0, |meta| meta.len());
        let is_told = bytes >= TOLD_FROM;
        if is_told {
            let packed = is_packed(path);
            let what = if packed { "MiB read, unpacked" } else { "MiB read" };
            self.progress.begin(if packed { 0 } else { bytes >> 20 }, what);
        }
        let mut said = 0;
        let mut told = |read: u64| {
            while is_told && said < read >> 20 {
                said += 1;
                self.progress.done();
            }
        };
        Ok(Opened::read(path, &mut told)?)
    }

    /// A snapshot, or the part of it that is wanted.
    pub(super) fn snapshot(self, path: &Path) -> Result<MemorySnapshot, ReplayError> {
        let opened = self.opened(path)?;
        if self.range.is_whole() {
            return Ok(opened.snapshot()?);
        }
        self.with_told(&opened).map(|(snapshot, _)| snapshot)
    }

    /// The same, with what the file tells beside it.
    pub(super) fn snapshot_and_told(self, path: &Path) -> Result<(MemorySnapshot, Told), ReplayError> {
        let opened = self.opened(path)?;
        let mut told = opened.told()?;
        if self.range.is_whole() {
            told.forget_times();
            return Ok((opened.snapshot()?, told));
        }
        let snapshot = opened.snapshot()?;
        drop(opened);
        let ranges = self.ranges(&snapshot, &told)?;
        told.forget_times();
        Ok((self.cut(snapshot, &ranges)?, told))
    }

    fn with_told(self, opened: &Opened) -> Result<(MemorySnapshot, Events), ReplayError> {
        let snapshot = opened.snapshot()?;
        let ranges = self.ranges(&snapshot, &opened.told()?)?;
        Ok((self.cut(snapshot, &ranges)?, ranges))
    }

    fn ranges(self, snapshot: &MemorySnapshot, told: &Told) -> Result<Events, ReplayError> {
        Ok(self.range.events(snapshot, told)?)
    }

    fn cut(self, snapshot: MemorySnapshot, ranges: &Events) -> Result<MemorySnapshot, ReplayError> {
        if self.range.is_whole() {
            return Ok(snapshot);
        }
        let before = |trace: &[PlacedEvent], number: u32| trace.partition_point(|placed| placed.index < number);
        let span = |(trace, range): (&Vec<PlacedEvent>, &std::ops::Range<u32>)| {
            before(trace, range.start)..before(trace, range.end)
        };
        let spans: Vec<_> = snapshot.traces.iter().zip(ranges).map(span).collect();
        part::between(snapshot, &spans, self.progress)
    }

    /// A recording is lived whole.
    ///
    /// # Errors
    /// A part was asked for.
    pub fn refuse_recording(self, path: &Path) -> Result<(), RangeError> {
        if self.range.is_whole() { Ok(()) } else { Err(RangeError::Recording { file: path.display().to_string() }) }
    }
}

/// Numbers of events, by device.
type Events = Vec<std::ops::Range<u32>>;

fn is_packed(path: &Path) -> bool {
    let mut magic = [0; 2];
    std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut magic)).is_ok() && magic == [0x1f, 0x8b]
}

/// Replays a snapshot, or a part of it, and answers it as a pickle too, with all that its events tell; of a recording
/// what the reference came to.
///
/// # Errors
/// As [`super::lived`].
pub fn copied(path: &Path, how: Reading<'_>) -> Result<(ReplayReport, Vec<u8>), ReplayError> {
    if !super::is_pickle(path)? {
        let (report, lived) = super::lived(path, true, how)?;
        return Ok((report, super::pickled(&lived)));
    }
    let opened = how.opened(path)?;
    let whole = opened.snapshot()?.in_force;
    let (snapshot, events) = how.with_told(&opened)?;
    let outcome = history::live(&snapshot, How { keep: false, tell: false, ends: None, progress: how.progress })?;
    let mut pools = FxHashMap::default();
    for (device, trace) in snapshot.traces.iter().enumerate() {
        let of = outcome.devices.get(device).map_or(&[][..], |one| one.past.pools.as_slice());
        for (at, placed) in trace.iter().enumerate() {
            let pool = placed.pool().or(of.get(at).copied());
            pools.extend(pool.map(|pool| ((device, placed.index), pool)));
        }
    }
    if pools.values().all(|&pool| pool == (0, 0)) {
        pools.clear();
    }
    let stats: Vec<usize> = snapshot.stats.keys().copied().collect();
    let in_force = (snapshot.in_force != whole).then_some(snapshot.in_force);
    // With the pools that were found out it looks like one of a later release.
    let release = snapshot.release.or((snapshot.since == 0 && !pools.is_empty()).then_some(super::release::USUAL));
    let kept = Kept { events: &events, segments: &snapshot.segments, pools: &pools, in_force, stats: &stats, release };
    Ok((outcome.report, opened.copied(kept)?))
}
