//! What a recorded trace tells of the driver: its acts, each with the request it was done for.

use std::collections::BTreeMap;

use super::divergence::DivergenceKind;
use crate::device::StreamHandle;
use crate::device::recorded::{DriverAct, RecordedAct};
use crate::op::stats::Key;
use crate::op::trace::{Action, TraceEvent};
use crate::op::{Counter, Stats};
use crate::recording::{RecordedOp, StatsChange};
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

/// What differs between the answer to a request and the one that was recorded.
///
/// # Errors
/// The field that the recording lacks.
pub(super) fn unlike(op: &RecordedOp, here: Result<u64, String>) -> Result<Option<DivergenceKind>, &'static str> {
    Ok(match (&op.error, op.address, here) {
        (None, Some(recorded), Ok(predicted)) => {
            (recorded != predicted).then_some(DivergenceKind::Address { recorded, predicted })
        }
        (Some(error), _, Ok(predicted)) => {
            Some(DivergenceKind::ServedInstead { recorded: error.message.clone(), predicted })
        }
        (None, Some(recorded), Err(predicted)) => Some(DivergenceKind::RefusedInstead { recorded, predicted }),
        (Some(error), _, Err(predicted)) => {
            // A failed call of the driver is told in CUDA's words, and in those of the device here.
            if error.message.starts_with("CUDA error: invalid argument") && predicted.starts_with(DEVICE_FAILED) {
                return Ok(None);
            }
            let (recorded, predicted) = (comparable(&error.message), comparable(&predicted));
            (recorded != predicted).then_some(DivergenceKind::Refusal { recorded, predicted })
        }
        (None, None, _) => return Err("address"),
    })
}

/// What the recording says has changed, by device.
pub(super) fn take_over(changes: &BTreeMap<usize, StatsChange>, recorded: &mut [Stats]) {
    for (&device, change) in changes {
        if let Some(stats) = recorded.get_mut(device) {
            change.apply(stats);
        }
    }
}

/// How the reference tells of a call of the device that failed.
const DEVICE_FAILED: &str = "the device failed: ";

/// The part of a refusal's message that does not depend on the process or the driver.
fn comparable(message: &str) -> String {
    message.split(" of which ").next().unwrap_or_default().to_owned()
}
