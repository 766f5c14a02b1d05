//! What a pulse notes of the call under way, as numbers: enough to say afterwards which operation a process died in.
//!
//! Decides which operations of the harness's own can be told. What the numbers mean for the verdict is `forked`'s.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use crate::op::{BlockId, DeviceId, GraphName, Op, PoolName, Step, StreamId};

/// How many numbers there are.
pub(super) const PLACES: usize = 8;

/// Calls of the target that have begun.
pub(super) const CALLS: usize = 0;
/// 1 while one of them has not returned.
pub(super) const INSIDE: usize = 1;
/// Operations asked.
pub(super) const ASKED: usize = 2;
/// The given step that the call belongs to.
pub(super) const STEP: usize = 3;
/// Which call it is.
pub(super) const KIND: usize = 4;
/// What it is about.
pub(super) const WHICH: usize = 5;

/// The step's own operation.
pub(super) const GIVEN: u64 = 0;
/// What ends a sequence.
pub(super) const CLOSING: u64 = 1;
/// One that cannot be told.
const OTHER: u64 = 2;
const RETRY: u64 = 3;
const FREE: u64 = 4;
const FILL: u64 = 5;
const VERIFY: u64 = 6;
const SNAPSHOT: u64 = 7;
const EMPTY_CACHE: u64 = 8;
const SYNCHRONIZE: u64 = 9;
const FINISH: u64 = 10;
const POOL_EXIT: u64 = 11;
const POOL_DELETE: u64 = 12;
const CAPTURE_END: u64 = 13;
const GRAPH_RESET: u64 = 14;

/// An operation that the harness added, in two numbers: all that `probes` adds can be read back.
#[inline]
pub(super) fn packed(op: &Op) -> (u64, u64) {
    let two = |high: u32, low: i32| u64::from(high) << 32 | u64::from(low.cast_unsigned());
    match *op {
        Op::Alloc { block, .. } => (RETRY, block.0.into()),
        Op::Free { block } => (FREE, block.0.into()),
        Op::Fill { block } => (FILL, block.0.into()),
        Op::Verify { block } => (VERIFY, block.0.into()),
        Op::Snapshot => (SNAPSHOT, 0),
        Op::EmptyCache => (EMPTY_CACHE, 0),
        Op::Synchronize { device } => (SYNCHRONIZE, two(0, device.0)),
        Op::Finish { device, stream } => (FINISH, two(stream.0.into(), device.0)),
        Op::PoolExit { pool, device } => (POOL_EXIT, two(pool.0, device.0)),
        Op::PoolDelete { pool } => (POOL_DELETE, pool.0.into()),
        Op::CaptureEnd { graph } => (CAPTURE_END, graph.0.into()),
        Op::GraphReset { graph } => (GRAPH_RESET, graph.0.into()),
        _ => (OTHER, 0),
    }
}

/// What is noted of a process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Marks {
    /// Calls of the target that have begun.
    pub(super) calls: u64,
    /// The last of them has not returned.
    pub(super) is_inside: bool,
    /// Operations asked.
    pub(super) asked: u64,
    pub(super) step: u64,
    pub(super) kind: u64,
    pub(super) which: u64,
}

impl Marks {
    #[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "only Linux has processes that are forked"))]
    pub(super) fn of(numbers: &[AtomicU64; PLACES]) -> Self {
        let get = |place: usize| numbers[place].load(Ordering::Relaxed);
        let is_inside = get(INSIDE) != 0;
        Marks { calls: get(CALLS), is_inside, asked: get(ASKED), step: get(STEP), kind: get(KIND), which: get(WHICH) }
    }

    /// The given step under way; the number of steps where the sequence was closed.
    pub(super) fn step(&self, steps: &[Step]) -> usize {
        usize::try_from(self.step).map_or(steps.len(), |step| step.min(steps.len()))
    }

    /// The harness added the call.
    pub(super) fn is_added(&self) -> bool {
        self.kind != GIVEN
    }

    /// The operation under way; `None` where the sequence was closed, or nobody can tell.
    pub(super) fn op(&self, steps: &[Step]) -> Option<Op> {
        let given = || steps.get(self.step(steps))?.op.clone();
        let low = u32::try_from(self.which & u64::from(u32::MAX)).ok()?;
        let high = u32::try_from(self.which >> 32).ok()?;
        let (block, device) = (BlockId(low), DeviceId(low.cast_signed()));
        Some(match self.kind {
            GIVEN => given()?,
            RETRY => match given()? {
                Op::Alloc { device, stream, bytes, via, .. } => Op::Alloc { block, device, stream, bytes, via },
                _ => return None,
            },
            FREE => Op::Free { block },
            FILL => Op::Fill { block },
            VERIFY => Op::Verify { block },
            SNAPSHOT => Op::Snapshot,
            EMPTY_CACHE => Op::EmptyCache,
            SYNCHRONIZE => Op::Synchronize { device },
            FINISH => Op::Finish { device, stream: StreamId(u8::try_from(high).ok()?) },
            POOL_EXIT => Op::PoolExit { pool: PoolName(high), device },
            POOL_DELETE => Op::PoolDelete { pool: PoolName(low) },
            CAPTURE_END => Op::CaptureEnd { graph: GraphName(low) },
            GRAPH_RESET => Op::GraphReset { graph: GraphName(low) },
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::Via;

    #[test]
    fn what_the_harness_adds_reads_back() {
        let (block, device, graph, pool) = (BlockId(u32::MAX), DeviceId(-1), GraphName(7), PoolName(u32::MAX));
        let alloc = |block| Op::Alloc { block, device: None, stream: StreamId(2), bytes: 5, via: Via::Tensor };
        let steps = [Step::from(alloc(BlockId(1)))];
        let added = [
            alloc(BlockId(0xF000_0000)),
            Op::Free { block },
            Op::Fill { block },
            Op::Verify { block },
            Op::Snapshot,
            Op::EmptyCache,
            Op::Synchronize { device },
            Op::Finish { device, stream: StreamId(63) },
            Op::PoolExit { pool, device },
            Op::PoolDelete { pool },
            Op::CaptureEnd { graph },
            Op::GraphReset { graph },
        ];
        for op in added {
            let (kind, which) = packed(&op);
            let marks = Marks { kind, which, ..Marks::default() };
            assert_eq!(marks.op(&steps), Some(op));
        }
        assert_eq!(Marks::default().op(&steps), steps[0].op);
        let (kind, which) = packed(&Op::CycleEnd);
        assert_eq!(Marks { kind, which, ..Marks::default() }.op(&steps), None);
        assert_eq!(Marks { kind: CLOSING, step: 1, ..Marks::default() }.op(&steps), None);
    }
}
