//! What one thread asks of a shared allocator, and its own record of it.
//!
//! Decides the calls, from a seed, and how each is timed. Judges nothing.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::device::sim::SimDevice;
use crate::op::{Stats, StreamId};
use crate::reference::Planting;
use crate::reference::shared::{Act, Guarded, Locks, Shared};
use crate::workload::scatter;

/// Sizes that threads ask for: few, so that they meet in the cache, in both pools.
const SIZES: [u64; 10] = [100, 512, 4096, 100 << 10, 900 << 10, 2 << 20, 3 << 20, 12 << 20, (1 << 20) + 1, 40 << 20];

/// A block as its holder knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) id: u64,
    pub(super) device: usize,
    pub(super) address: u64,
    pub(super) bytes: u64,
}

/// What threads share.
pub(super) struct World<P: Planting + Send, L: Locks> {
    pub(super) shared: Shared<SimDevice, P, L>,
    /// Blocks that one thread leaves for another to free.
    pub(super) left: L::Mutex<Vec<Held>>,
    clock: AtomicU64,
    ids: AtomicU64,
}

impl<P: Planting + Send, L: Locks> World<P, L> {
    pub(super) fn new(shared: Shared<SimDevice, P, L>) -> Self {
        let left = Guarded::new(Vec::new());
        World { shared, left, clock: AtomicU64::new(0), ids: AtomicU64::new(0) }
    }

    /// A moment that no other event of the history has.
    fn now(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }
}

/// One call of a thread's script. Positions count over what the thread holds, modulo its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    Alloc {
        device: usize,
        stream: u8,
        bytes: u64,
    },
    Free(usize),
    /// Leaves a block for another thread.
    Leave(usize),
    /// Frees a block that another thread left.
    FreeLeft,
    Record(usize, u8),
    Read(usize),
    EmptyCache,
    ResetPeak(usize),
    Occupy(usize, u8),
    Finish(usize, u8),
}

/// The calls of one thread.
pub(super) fn script(seed: u64, thread: usize, length: usize, devices: usize, streams: u8) -> Vec<Call> {
    let mut state = scatter(seed ^ scatter(thread as u64 + 1));
    let mut draw = |below: usize| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        usize::try_from((u128::from(scatter(state)) * below as u128) >> 64).unwrap_or(0)
    };
    let mut calls = Vec::with_capacity(length);
    for _ in 0..length {
        let (kind, device, any) = (draw(100), draw(devices), draw(1 << 16));
        let stream = u8::try_from(draw(usize::from(streams))).unwrap_or(0);
        calls.push(match kind {
            0..42 => Call::Alloc { device, stream, bytes: SIZES[any % SIZES.len()] },
            42..72 => Call::Free(any),
            72..76 => Call::Leave(any),
            76..80 => Call::FreeLeft,
            80..85 => Call::Record(any, stream),
            85..92 => Call::Read(device),
            92..94 => Call::EmptyCache,
            94..96 => Call::ResetPeak(device),
            96..98 => Call::Occupy(device, stream),
            _ => Call::Finish(device, stream),
        });
    }
    calls
}

/// What a call came to, between two moments.
#[derive(Debug, Clone)]
pub(super) struct Event {
    /// Before it was asked, and after it was answered.
    pub(super) from: u64,
    pub(super) to: u64,
    pub(super) what: What,
}

#[derive(Debug, Clone)]
pub(super) enum What {
    Got(Held),
    Refused,
    GaveBack(Held),
    /// A block that its holder gave back was not taken.
    NotTaken(Held, String),
    Read(usize, Box<Stats>),
    Other,
}

/// A thread's own record: its events and what it holds at the end.
#[derive(Debug, Default)]
pub(super) struct Record {
    pub(super) events: Vec<Event>,
    pub(super) held: Vec<Held>,
}

/// Makes the calls of a script.
pub(super) fn work<P: Planting + Send, L: Locks>(world: &World<P, L>, script: &[Call]) -> Record {
    let mut record = Record::default();
    for &call in script {
        let from = world.now();
        let what = make(world, call, &mut record.held);
        record.events.push(Event { from, to: world.now(), what });
    }
    record
}

fn make<P: Planting + Send, L: Locks>(world: &World<P, L>, call: Call, held: &mut Vec<Held>) -> What {
    let shared = &world.shared;
    let nth = |held: &Vec<Held>, n: usize| n.checked_rem(held.len());
    match call {
        Call::Alloc { device, stream, bytes } => {
            let handle = shared.device(device, |d| d.stream_handle(StreamId(stream)));
            match shared.alloc(device, bytes, handle) {
                Ok(address) => {
                    let id = world.ids.fetch_add(1, Ordering::Relaxed);
                    let block = Held { id, device, address, bytes };
                    held.push(block);
                    What::Got(block)
                }
                Err(_) => What::Refused,
            }
        }
        Call::Free(n) => nth(held, n).map_or(What::Other, |i| give_back(world, held.swap_remove(i))),
        Call::Leave(n) => {
            if let Some(i) = nth(held, n) {
                let block = held.swap_remove(i);
                world.left.with(|left| left.push(block));
            }
            What::Other
        }
        Call::FreeLeft => world.left.with(Vec::pop).map_or(What::Other, |block| give_back(world, block)),
        Call::Record(n, stream) => {
            if let Some(i) = nth(held, n) {
                let handle = shared.device(held[i].device, |d| d.stream_handle(StreamId(stream)));
                shared.record_stream(held[i].address, handle);
            }
            What::Other
        }
        Call::Read(device) => What::Read(device, Box::new(shared.stats(device))),
        Call::EmptyCache => {
            // A simulated device without planned faults refuses nothing; what stays shows at the end.
            drop(shared.empty_cache());
            What::Other
        }
        Call::ResetPeak(device) => {
            shared.reset_peak(device);
            What::Other
        }
        Call::Occupy(device, with) => {
            shared.act(device, Act::Device { what: |d, stream| drop(d.occupy(StreamId(stream))), with });
            What::Other
        }
        Call::Finish(device, with) => {
            shared.act(device, Act::Device { what: |d, stream| drop(d.finish(StreamId(stream))), with });
            What::Other
        }
    }
}

/// Frees a block; its holder is the only one who may.
pub(super) fn give_back<P: Planting + Send, L: Locks>(world: &World<P, L>, block: Held) -> What {
    match world.shared.free(block.address) {
        Ok(()) => What::GaveBack(block),
        Err(error) => What::NotTaken(block, error.to_string()),
    }
}
