//! Whether a worker that is asked the same twice answers alike, so that two runs of it can be compared.
//!
//! Decides from a few requests and frees in a world of its own, before the first sequence. What goes wrong in it only
//! means that runs are not compared: the sequences that follow will meet it again and convict it.

use super::super::Target;
use super::protocol::About;
use super::shown::MemoryKind;
use super::target::{Context, WorkerTarget};
use crate::op::{BlockId, Capability, DeviceId, Op, RefusalClass, Reply, StreamId, Via};

/// Sizes that allocators cut, round and keep apart differently.
const SIZES: [u64; 12] = [1, 700, 4096, 100_000, 1 << 20, 513, 3 << 20, 64, 700, 2 << 20, 1, 9_000_000];

/// Asks the target a few things, and `again` for the same target anew to ask it the same. Real addresses may agree by
/// chance, so that a worker with real memory, or that sees to contents itself, is only taken to repeat where it says so.
pub(super) fn repeats(target: WorkerTarget, again: impl FnOnce() -> Option<WorkerTarget>) -> bool {
    let (info, described) = (&target.told.info, &target.told.described);
    if info.can(Capability::Repeatable) {
        return true;
    }
    if info.can(Capability::Contents) || described.memory != MemoryKind::Addresses || info.devices.is_empty() {
        return false;
    }
    let devices = info.devices.len();
    let first = ask(target, devices);
    let second = again().map(|target| ask(target, devices));
    first.is_some() && second == Some(first)
}

/// The answers; `None` if it was lost.
fn ask(mut target: WorkerTarget, devices: usize) -> Option<Vec<Reply>> {
    let mut replies = Vec::new();
    let mut held = Vec::new();
    for (at, &bytes) in SIZES.iter().enumerate() {
        let block = BlockId(u32::try_from(at).unwrap_or(0));
        let index = at % devices;
        let device = Some(DeviceId(i32::try_from(index).unwrap_or(0)));
        let op = Op::Alloc { block, device, stream: StreamId(0), bytes, via: Via::Raw };
        let unstated = Some(RefusalClass::OutOfMemory);
        let reply = target.apply_in(&op, &Context { unstated, ..Context::default() });
        if let Reply::Allocated { address } = reply {
            held.push((block, About { address, bytes, device: index, stream: 0 }));
        }
        replies.push(reply);
        if at % 3 == 2 && !held.is_empty() {
            let (block, about) = held.remove(held.len() / 2);
            let context = Context { about: Some(about), unstated, ..Context::default() };
            replies.push(target.apply_in(&Op::Free { block }, &context));
        }
    }
    for (block, about) in held {
        let context =
            Context { about: Some(about), unstated: Some(RefusalClass::InvalidPointer), ..Context::default() };
        replies.push(target.apply_in(&Op::Free { block }, &context));
    }
    target.close();
    target.lost().is_none().then_some(replies)
}
