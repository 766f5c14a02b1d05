//! Private pools and captures of a recording, asked again under other settings.
//!
//! Decides which calls of the reference they are. A call that the reference refuses here was made possible by the
//! recorded run alone, and is left out.

use std::collections::BTreeMap;

use super::ask::Ask;
use crate::device::StreamHandle;
use crate::device::card::Card;
use crate::op::trace::Action;
use crate::recording::{PoolName, RecordedOp, Verb};
use crate::reference::{Catch, PoolFlags, PoolId, Reference, Sound};

/// The one thread a recording is made from.
const CALLER: u64 = 0;

/// A call about a private pool.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::replay) enum PoolAsk {
    Make { id: PoolId, flags: PoolFlags },
    Enter { id: PoolId },
    Exit { id: PoolId },
    Delete { id: PoolId },
    Capture { id: PoolId, stream: StreamHandle },
    EndCapture { id: PoolId },
    Reset { id: PoolId },
}

impl PoolAsk {
    pub(super) fn ask(self, reference: &mut Reference<Card, Sound>, device: usize) {
        let allocator = reference.device_mut(device);
        match self {
            PoolAsk::Make { id, flags } => allocator.retain_pool(id, flags),
            PoolAsk::Enter { id } => allocator.begin_redirection(id, Catch::Caller(CALLER)),
            PoolAsk::Capture { id, stream } => allocator.begin_redirection(id, Catch::Stream(stream)),
            PoolAsk::Exit { id } => drop(allocator.end_redirection(id).and_then(|()| allocator.release_pool_user(id))),
            PoolAsk::EndCapture { id } => drop(allocator.end_redirection(id)),
            PoolAsk::Reset { id } => drop(allocator.release_pool_user(id)),
            PoolAsk::Delete { id } => drop(reference.drop_pool(device, id)),
        }
    }
}

/// The ids that a recording's numbers stand for, and where each pool was made.
#[derive(Debug, Default)]
pub(super) struct Names {
    pools: BTreeMap<u64, (usize, PoolId)>,
    graphs: BTreeMap<u64, PoolId>,
}

impl Names {
    /// As [`Names::asked`], of a device that there is.
    pub(super) fn asks(&mut self, op: &RecordedOp, streams: &Streams, devices: usize) -> Option<(usize, Ask)> {
        let (device, asked) = self.asked(op, streams).filter(|&(device, _)| device < devices)?;
        Some((device, Ask::Pool(asked)))
    }

    /// What an operation asks of which device, if it is about pools.
    fn asked(&mut self, op: &RecordedOp, streams: &Streams) -> Option<(usize, PoolAsk)> {
        let number = if let Some(PoolName::Made(number)) = op.pool { Some(number) } else { None };
        let made = |names: &Self| number.and_then(|n| names.pools.get(&n).copied());
        Some(match op.op {
            Verb::PoolCreate => {
                let (device, id) = (op.device?, op.id?);
                self.pools.insert(number?, (device, id));
                (device, PoolAsk::Make { id, flags: PoolFlags { use_on_oom: op.use_on_oom, no_split: op.no_split } })
            }
            Verb::PoolEnter => (op.device?, PoolAsk::Enter { id: made(self)?.1 }),
            Verb::PoolExit => (op.device?, PoolAsk::Exit { id: made(self)?.1 }),
            Verb::PoolDelete => {
                let (home, id) = made(self)?;
                (home, PoolAsk::Delete { id })
            }
            Verb::CaptureBegin => {
                let id = op.id?;
                self.graphs.insert(op.graph?, id);
                let device = op.device?;
                (device, PoolAsk::Capture { id, stream: handle_of(streams, device, op.stream)? })
            }
            Verb::CaptureEnd => (op.device?, PoolAsk::EndCapture { id: *self.graphs.get(&op.graph?)? }),
            Verb::GraphReset => (op.device?, PoolAsk::Reset { id: *self.graphs.get(&op.graph?)? }),
            _ => return None,
        })
    }
}

/// The raw handles of streams, by device and position.
pub(super) type Streams = BTreeMap<usize, Vec<u64>>;

pub(super) fn handle_of(streams: &Streams, device: usize, position: Option<usize>) -> Option<StreamHandle> {
    streams.get(&device)?.get(position?).map(|&handle| StreamHandle(handle))
}

/// Blocks that PyTorch got on its own account inside an operation, before what it asked; or gave back, after it.
pub(super) fn on_its_own_account(
    op: &RecordedOp,
    devices: usize,
    wanted: Action,
) -> impl Iterator<Item = (usize, Ask)> + '_ {
    // no recorded block has so high a number
    let block = |address: u64| address | 1 << 63;
    let events = op.internal.iter().filter(move |event| event.1 < devices && event.0 == wanted);
    events.filter_map(move |&(action, device, address, bytes, stream)| {
        let (block, stream) = (block(address), StreamHandle(stream));
        let ask = match action {
            Action::Alloc => Ask::Alloc { block, bytes, stream, refused: false, to: None },
            Action::FreeRequested => Ask::Free { block },
            _ => return None,
        };
        Some((device, ask))
    })
}
