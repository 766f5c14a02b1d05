//! What a recorded trace tells of the driver: its acts, each with the request it was done for.

use crate::device::StreamHandle;
use crate::device::recorded::{DriverAct, RecordedAct};
use crate::op::Counter;
use crate::op::stats::Key;
use crate::op::trace::{Action, TraceEvent};
use crate::recording::RecordedOp;
use crate::reference::{PoolId, Settings, rounding};

/// The driver's acts in the events of one device. A request is over with its `alloc` or `oom` event.
/// `owners` says which private pool each request went to; where it ends, to none.
pub(super) fn acts(events: impl Iterator<Item = TraceEvent>, owners: &[u64]) -> Vec<RecordedAct> {
    let mut acts = Vec::new();
    let mut request = 0;
    for TraceEvent { action, address, bytes, stream } in events {
        let act = match action {
            Action::SegmentAlloc => DriverAct::Reserved,
            Action::SegmentMap => DriverAct::Mapped,
            Action::SegmentFree => DriverAct::Released,
            Action::SegmentUnmap => DriverAct::Unmapped,
            Action::Alloc => {
                request += 1;
                continue;
            }
            Action::Oom => DriverAct::Asked,
            Action::FreeRequested | Action::FreeCompleted | Action::Snapshot => continue,
        };
        let owner = owner(owners, request);
        acts.push(RecordedAct { act, address, bytes, stream: StreamHandle(stream), request, owner });
        request += u64::from(act == DriverAct::Asked);
    }
    acts
}

/// The private pool that a request went to; 0 for none.
pub(super) fn owner(owners: &[u64], request: u64) -> u64 {
    usize::try_from(request).ok().and_then(|i| owners.get(i)).copied().unwrap_or(0)
}

/// A number for a private pool; 0 for the default ones.
pub(super) fn owner_of((first, second): PoolId) -> u64 {
    first << 32 | second
}

/// Whether a request is served from the small pool.
pub(super) fn is_small(bytes: u64, settings: &Settings) -> bool {
    rounding::block_size(bytes, settings).is_some_and(|size| size <= rounding::SMALL_LIMIT)
}

/// Whether a request was served that PyTorch counts a retry for: the driver refused its first attempt.
pub(super) fn was_refused_first(op: &RecordedOp, device: usize) -> bool {
    let is_retry = |(key, _): &(Key, i64)| *key == Key::Counter(Counter::NumAllocRetries);
    op.error.is_none() && op.stats.get(&device).is_some_and(|change| change.changes.iter().any(is_retry))
}
