//! Private pools of a recording: made, entered, left and dropped on the reference; captures and their graphs.
//!
//! Decides which calls of the reference a recorded operation stands for. Compares nothing but refusals:
//! what the calls did shows in the statistics, the events and the segments.

use std::collections::BTreeMap;

use super::divergence::DivergenceKind;
use crate::device::StreamHandle;
use crate::device::recorded::RecordedDevice;
use crate::recording::{PoolName, RecordedOp, Verb};
use crate::reference::{Catch, PoolFlags, PoolId, Reference};

/// The one thread a recording is made from.
const CALLER: u64 = 0;

type Answer = Result<Option<DivergenceKind>, &'static str>;

/// The pools that a recording's numbers stand for.
#[derive(Debug, Default)]
pub(super) struct Pools {
    /// Where a `MemPool` was made, and its id.
    made: BTreeMap<u64, (usize, PoolId)>,
    /// The pool of each graph's captured memory.
    graphs: BTreeMap<u64, PoolId>,
}

/// What was recorded as done, and the reference refuses.
fn answer<E: std::fmt::Display>(done: Result<(), E>) -> Answer {
    let refused = |error: E| DivergenceKind::Refusal { recorded: "served".to_owned(), predicted: error.to_string() };
    Ok(done.err().map(refused))
}

fn number_of(op: &RecordedOp) -> Result<u64, &'static str> {
    match op.pool {
        Some(PoolName::Made(number)) => Ok(number),
        Some(PoolName::Of(_)) | None => Err("pool"),
    }
}

impl Pools {
    /// `pool_create`, `pool_enter` and `pool_exit`.
    pub fn of_pool(&mut self, reference: &mut Reference<RecordedDevice>, op: &RecordedOp, device: usize) -> Answer {
        let number = number_of(op)?;
        let allocator = reference.device_mut(device);
        if op.op == Verb::PoolCreate {
            let id = op.id.ok_or("id")?;
            self.made.insert(number, (device, id));
            allocator.retain_pool(id, PoolFlags { use_on_oom: op.use_on_oom, no_split: op.no_split });
            return Ok(None);
        }
        let &(_, id) = self.made.get(&number).ok_or("pool")?;
        if op.op == Verb::PoolEnter {
            allocator.begin_redirection(id, Catch::Caller(CALLER));
            return Ok(None);
        }
        answer(allocator.end_redirection(id).and_then(|()| allocator.release_pool_user(id)))
    }

    /// `pool_delete`.
    pub fn delete(&mut self, reference: &mut Reference<RecordedDevice>, op: &RecordedOp) -> Answer {
        let (home, id) = self.made.remove(&number_of(op)?).ok_or("pool")?;
        match reference.drop_pool(home, id) {
            Ok(flushed) => answer(flushed),
            Err(error) => answer(Err(error)),
        }
    }

    /// `capture_begin`.
    pub fn capture(
        &mut self,
        reference: &mut Reference<RecordedDevice>,
        op: &RecordedOp,
        device: usize,
        stream: StreamHandle,
    ) -> Answer {
        let id = op.id.ok_or("id")?;
        self.graphs.insert(op.graph.ok_or("graph")?, id);
        reference.device_mut(device).begin_redirection(id, Catch::Stream(stream));
        Ok(None)
    }

    /// `capture_end` and `graph_reset`.
    pub fn of_graph(&mut self, reference: &mut Reference<RecordedDevice>, op: &RecordedOp, device: usize) -> Answer {
        let &id = self.graphs.get(&op.graph.ok_or("graph")?).ok_or("graph")?;
        let allocator = reference.device_mut(device);
        answer(if op.op == Verb::CaptureEnd { allocator.end_redirection(id) } else { allocator.release_pool_user(id) })
    }
}
