//! How far the allocator's state got, in cells that a fuzzer can follow: the ladder a request climbed, how full
//! the pools are, how fragmented, and how much waits for streams.
//!
//! Decides which states count as different. Reads observations alone, so that it holds for any target.

use std::sync::{Arc, Mutex, PoisonError};

use poolproof::op::stats::Row;
use poolproof::op::{Counter, DeviceView, Family, Milestone, Observation, Op, Reply, Stats, TargetInfo};
use poolproof::target::Target;

/// How many cells there are.
pub const CELLS: usize = 2048;

const LADDER: usize = 0;
const ANSWERS: usize = 256;
const SMALL: usize = 512;
const LARGE: usize = 528;
const DEVICE: usize = 544;
const WAITING: usize = 560;
const PIECES: usize = 576;
const TOGETHER: usize = 704;
const REACHED: usize = 1728;

/// What a count of a cell stands for is the fuzzer's to decide; here it is how often the state was seen, up to 255.
#[derive(Debug, Clone)]
pub struct Cells {
    counts: [u8; CELLS],
    asked: u64,
}

impl Default for Cells {
    fn default() -> Self {
        Cells { counts: [0; CELLS], asked: 0 }
    }
}

impl Cells {
    pub fn counts(&self) -> &[u8] {
        &self.counts
    }

    /// Operations that targets were asked, those of the harness's own included.
    pub fn asked(&self) -> u64 {
        self.asked
    }

    /// How many cells were ever marked.
    pub fn marked(&self) -> usize {
        self.counts.iter().filter(|&&c| c > 0).count()
    }

    pub fn mark(&mut self, cell: usize) {
        if let Some(count) = self.counts.get_mut(cell) {
            *count = count.saturating_add(1);
        }
    }

    /// The situations that a sequence came through.
    pub fn reached(&mut self, milestone: Milestone) {
        self.mark(REACHED + milestone as usize);
    }

    /// One device's figures after an operation and before it.
    pub fn state(&mut self, before: &Stats, after: &Stats, answer: usize) {
        const STEPS: [Counter; 5] = [
            Counter::NumAllocRetries,
            Counter::NumOoms,
            Counter::NumSyncAllStreams,
            Counter::NumDeviceAlloc,
            Counter::NumDeviceFree,
        ];
        let climbed =
            (0..).zip(STEPS).map(|(bit, c)| usize::from(after.counter(c) > before.counter(c)) << bit).sum::<usize>();
        if climbed > 0 {
            self.mark(LADDER + climbed * 4 + answer);
        }
        let current = |family, row| after.get(family, row).current;
        for (base, row) in [(SMALL, Row::SmallPool), (LARGE, Row::LargePool)] {
            self.mark(base + eighths(current(Family::AllocatedBytes, row), current(Family::ReservedBytes, row)));
        }
        let all = |family| current(family, Row::All);
        let occupied = eighths(all(Family::AllocatedBytes), all(Family::ReservedBytes));
        let split = eighths(all(Family::InactiveSplitBytes), all(Family::ReservedBytes));
        let waiting = magnitude(all(Family::Active) - all(Family::Allocation));
        self.mark(WAITING + waiting);
        self.mark(PIECES + magnitude(all(Family::InactiveSplit)) * 9 + split);
        self.mark(TOGETHER + (occupied * 9 + split) * 8 + waiting);
    }

    fn device(&mut self, view: &DeviceView) {
        let reserved = view.stats.all(Family::ReservedBytes).current;
        self.mark(DEVICE + eighths(reserved, i64::try_from(view.total_bytes).unwrap_or(i64::MAX)));
    }
}

/// 0 for nothing, 8 for all of it.
fn eighths(part: i64, whole: i64) -> usize {
    let share = i128::from(part.max(0)) * 8 / i128::from(whole.max(1));
    usize::try_from(share.clamp(0, 7)).unwrap_or(7) + usize::from(part >= whole && whole > 0)
}

/// 0, 1, 2 to 3, 4 to 7, …, 64 and more.
fn magnitude(count: i64) -> usize {
    usize::try_from(count.max(0)).map_or(7, |n| (n.checked_ilog2().map_or(0, |l| l as usize + 1)).min(7))
}

/// A target whose states are marked as it is observed.
pub struct Watched {
    pub inner: Box<dyn Target>,
    pub cells: Arc<Mutex<Cells>>,
    before: Observation,
    answer: usize,
}

impl Watched {
    pub fn new(inner: Box<dyn Target>, cells: Arc<Mutex<Cells>>) -> Self {
        Watched { inner, cells, before: Observation::default(), answer: 0 }
    }
}

impl Target for Watched {
    fn info(&self) -> &TargetInfo {
        self.inner.info()
    }

    fn apply(&mut self, op: &Op) -> Reply {
        let reply = self.inner.apply(op);
        self.answer = match &reply {
            Reply::Dropped(_) => 3,
            Reply::Refused(_) if reply.is_out_of_memory() => 2,
            Reply::Refused(_) => 1,
            _ => 0,
        };
        let kind = op.name().bytes().fold(0_usize, |h, b| (h * 31 + usize::from(b)) % 61);
        let mut cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
        cells.asked += 1;
        cells.mark(ANSWERS + kind * 4 + self.answer);
        drop(cells);
        reply
    }

    fn observe(&mut self, into: &mut Observation) {
        self.inner.observe(into);
        let mut cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
        for (before, after) in self.before.devices.iter().zip(&into.devices) {
            if before.stats != after.stats {
                cells.state(&before.stats, &after.stats, self.answer);
                cells.device(after);
            }
        }
        self.before.clone_from(into);
    }
}
