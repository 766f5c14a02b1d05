//! Private pools of a recording: made, entered, left and dropped on the reference; captures and their graphs.
//!
//! Decides which calls of the reference a recorded operation stands for. Compares nothing but refusals:
//! what the calls did shows in the statistics, the events and the segments.

use std::collections::BTreeMap;
use std::path::Path;

use super::divergence::DivergenceKind;
use crate::device::StreamHandle;
use crate::device::recorded::RecordedDevice;
use crate::op::Via;
use crate::op::trace::Action;
use crate::recording::{Line, PoolName, Reader, RecordedOp, RecordingError, Verb};
use crate::reference::{Catch, PoolFlags, PoolId, Reference, TENSOR_LIMIT};

/// The one thread a recording is made from.
const CALLER: u64 = 0;

type PoolResult = Result<Option<DivergenceKind>, &'static str>;

/// The pools that a recording's numbers stand for.
#[derive(Debug, Default)]
pub(super) struct Pools {
    /// Where a `MemPool` was made, and its id.
    made: BTreeMap<u64, (usize, PoolId)>,
    /// The pool of each graph's captured memory.
    graphs: BTreeMap<u64, PoolId>,
}

/// What was recorded as done, and the reference refuses.
fn answer<E: std::fmt::Display>(done: Result<(), E>) -> PoolResult {
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
    pub fn of_pool(&mut self, reference: &mut Reference<RecordedDevice>, op: &RecordedOp, device: usize) -> PoolResult {
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
    pub fn delete(&mut self, reference: &mut Reference<RecordedDevice>, op: &RecordedOp) -> PoolResult {
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
    ) -> PoolResult {
        let id = op.id.ok_or("id")?;
        self.graphs.insert(op.graph.ok_or("graph")?, id);
        reference.device_mut(device).begin_redirection(id, Catch::Stream(stream));
        Ok(None)
    }

    /// `capture_end` and `graph_reset`.
    pub fn of_graph(
        &mut self,
        reference: &mut Reference<RecordedDevice>,
        op: &RecordedOp,
        device: usize,
    ) -> PoolResult {
        let &id = self.graphs.get(&op.graph.ok_or("graph")?).ok_or("graph")?;
        let allocator = reference.device_mut(device);
        answer(if op.op == Verb::CaptureEnd { allocator.end_redirection(id) } else { allocator.release_pool_user(id) })
    }
}

/// Which pool a request goes to, as far as the operations alone tell: ids, and who catches what where.
#[derive(Default)]
struct Redirections {
    ids: BTreeMap<u64, PoolId>,
    /// Oldest first: device, pool, the position of the stream it catches (`None` for all).
    stack: Vec<(usize, PoolId, Option<usize>)>,
}

impl Redirections {
    fn follow(&mut self, op: &RecordedOp) {
        let (Some(device), number) = (op.device, number_of(op).ok()) else { return };
        let known = number.and_then(|n| self.ids.get(&n).copied());
        match (op.op, op.id.or(known)) {
            (Verb::PoolCreate, Some(id)) => drop(number.map(|n| self.ids.insert(n, id))),
            (Verb::PoolEnter, Some(id)) => self.stack.push((device, id, None)),
            (Verb::PoolExit, Some(id)) => {
                let place = self.stack.iter().rposition(|&(d, i, stream)| (d, i, stream) == (device, id, None));
                place.map(|place| self.stack.remove(place));
            }
            (Verb::CaptureBegin, Some(id)) => self.stack.push((device, id, op.stream)),
            (Verb::CaptureEnd, _) => self.stack.retain(|&(d, _, stream)| d != device || stream.is_none()),
            _ => {}
        }
    }

    /// A number for the pool, 0 for the default ones.
    fn owner(&self, device: usize, stream: Option<usize>) -> u64 {
        let catches =
            |&&(d, _, caught): &&(usize, PoolId, Option<usize>)| d == device && (caught.is_none() || caught == stream);
        self.stack.iter().rev().find(catches).map_or(0, |&(_, id, _)| super::driver::owner_of(id))
    }
}

/// For each episode and device, which private pool each request went to, read ahead: address ranges are
/// reserved for a pool, by attempts too that get no memory. Empty if there are no private pools.
pub(super) fn owners(path: &Path) -> Result<Vec<Vec<Vec<u64>>>, RecordingError> {
    let mut reader = Reader::open(path)?;
    let mut redirects = false;
    while let Some(text) = reader.next_text()?.filter(|_| !redirects) {
        redirects = text.starts_with("{\"op\":\"pool_enter\"") || text.starts_with("{\"op\":\"capture_begin\"");
    }
    if !redirects {
        return Ok(Vec::new());
    }
    let mut reader = Reader::open(path)?;
    let devices = reader.header()?.devices.len();
    let mut episodes: Vec<Vec<Vec<u64>>> = Vec::new();
    let mut redirections = Redirections::default();
    while let Some(line) = reader.next_line()? {
        let op = match line {
            Line::Op(op) => op,
            Line::Episode(_) => {
                episodes.push(vec![Vec::new(); devices]);
                redirections = Redirections::default();
                continue;
            }
            Line::End(_) => continue,
        };
        let Some(episode) = episodes.last_mut() else { continue };
        for (_, device, ..) in op.internal.iter().filter(|e| e.0 == Action::Alloc) {
            episode.get_mut(*device).into_iter().for_each(|requests| requests.push(0));
        }
        let bytes = op.bytes.unwrap_or(0);
        let asked = bytes > 0 && !op.direct && (op.via != Some(Via::Tensor) || bytes < TENSOR_LIMIT);
        if let (Verb::Alloc, true, Some(device)) = (op.op, asked, op.device) {
            let owner = redirections.owner(device, op.stream);
            episode.get_mut(device).into_iter().for_each(|requests| requests.push(owner));
        }
        redirections.follow(&op);
    }
    Ok(episodes)
}
