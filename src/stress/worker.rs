//! What one thread asks of a shared allocator, and its own record of it.
//!
//! Decides the calls, from a seed, and the moments between which each took effect; what may be concluded from
//! moments stands in `history`. Judges nothing.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::device::sim::SimDevice;
use crate::engine::Stop;
use crate::op::{Stats, StreamId};
use crate::reference::Planting;
use crate::reference::shared::{Act, Guarded, Locks, Shared};
use crate::workload::scatter;

/// Sizes that threads ask for: few, so that they meet in the cache, in both pools.
const SIZES: [u64; 10] = [100, 512, 4096, 100 << 10, 900 << 10, 2 << 20, 3 << 20, 12 << 20, (1 << 20) + 1, 40 << 20];

/// A block as its holder knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct HeldBlock {
    /// The moment after the answer that gave it, which no other block has.
    pub(super) got: u64,
    pub(super) device: usize,
    pub(super) stream: u8,
    pub(super) address: u64,
    pub(super) bytes: u64,
}

/// What threads share.
pub(super) struct World<P: Planting + Send, L: Locks> {
    pub(super) shared: Shared<SimDevice, P, L>,
    /// Blocks that one thread leaves for another to free.
    pub(super) left: L::Mutex<Vec<HeldBlock>>,
    clock: AtomicU64,
}

/// The moments around a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) from: u64,
    pub(super) to: u64,
}

impl<P: Planting + Send, L: Locks> World<P, L> {
    pub(super) fn new(shared: Shared<SimDevice, P, L>) -> Self {
        let left = Guarded::new(Vec::new());
        World { shared, left, clock: AtomicU64::new(0) }
    }

    /// A moment of a clock without time, which nobody else gets. All moments are in one order, and one sees all that
    /// any thread did before it got an earlier one: that takes the release and the acquire of every step.
    pub(super) fn now(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::AcqRel)
    }

    /// Asks the allocator one thing, and between which moments. Whatever the call is about (above all a block that
    /// another thread left) is in hand before: the first moment is later than how it came there.
    fn during<R>(&self, ask: impl FnOnce(&Shared<SimDevice, P, L>) -> R) -> (R, Span) {
        let from = self.now();
        let answer = ask(&self.shared);
        (answer, Span { from, to: self.now() })
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

/// What a call came to, and when it took effect: at some moment of its span.
#[derive(Debug, Clone)]
pub(super) struct Event {
    pub(super) span: Span,
    pub(super) what: What,
}

#[derive(Debug, Clone)]
pub(super) enum What {
    Got(HeldBlock),
    Refused,
    GaveBack(HeldBlock),
    /// A block that its holder gave back was not taken.
    NotTaken(HeldBlock, String),
    Read(usize, Box<Stats>),
}

/// A thread's own record: its events and what it holds at the end.
#[derive(Debug, Default)]
pub(super) struct Record {
    pub(super) events: Vec<Event>,
    pub(super) held: Vec<HeldBlock>,
    /// Calls that were made: one on a block that is not there is none.
    pub(super) asked: u64,
}

/// Makes the calls of a script, up to a request to stop.
pub(super) fn work<P: Planting + Send, L: Locks>(world: &World<P, L>, script: &[Call], stop: &Stop) -> Record {
    let mut record = Record::default();
    for &call in script {
        if stop.is_asked() {
            break;
        }
        record.asked += u64::from(make(world, call, &mut record));
    }
    record
}

/// Makes one call, unless it is about a block that is not there: whether the allocator was asked anything. Calls
/// without an event claim nothing about their moments.
pub(super) fn make<P: Planting + Send, L: Locks>(world: &World<P, L>, call: Call, record: &mut Record) -> bool {
    let shared = &world.shared;
    let Record { events, held, .. } = record;
    let nth = |held: &Vec<HeldBlock>, n: usize| n.checked_rem(held.len());
    match call {
        Call::Alloc { device, stream, bytes } => {
            let handle = shared.device(device, |d| d.stream_handle(StreamId(stream)));
            let (answer, span) = world.during(|shared| shared.alloc(device, bytes, handle));
            let got = |address| HeldBlock { got: span.to, device, stream, address, bytes };
            held.extend(answer.as_ref().map(|&address| got(address)));
            events.push(Event { span, what: answer.map_or(What::Refused, |address| What::Got(got(address))) });
        }
        Call::Free(n) => {
            let Some(i) = nth(held, n) else { return false };
            events.push(give_back(world, held.swap_remove(i)));
        }
        Call::Leave(n) => {
            if let Some(i) = nth(held, n) {
                let block = held.swap_remove(i);
                world.left.with(|left| left.push(block));
            }
            return false;
        }
        Call::FreeLeft => {
            let Some(block) = world.left.with(Vec::pop) else { return false };
            events.push(give_back(world, block));
        }
        Call::Record(n, stream) => {
            let Some(i) = nth(held, n) else { return false };
            let handle = shared.device(held[i].device, |d| d.stream_handle(StreamId(stream)));
            shared.record_stream(held[i].address, handle);
        }
        Call::Read(device) => {
            let (stats, span) = world.during(|shared| shared.stats(device));
            events.push(Event { span, what: What::Read(device, Box::new(stats)) });
        }
        // A simulated device without planned faults refuses nothing; what stays shows at the end.
        Call::EmptyCache => drop(shared.empty_cache()),
        Call::ResetPeak(device) => shared.reset_peak(device),
        Call::Occupy(device, with) => {
            shared.act(device, Act::Device { what: |d, stream| drop(d.occupy(StreamId(stream))), with });
        }
        Call::Finish(device, with) => {
            shared.act(device, Act::Device { what: |d, stream| drop(d.finish(StreamId(stream))), with });
        }
    }
    true
}

/// Frees a block; its holder is the only one who may.
pub(super) fn give_back<P: Planting + Send, L: Locks>(world: &World<P, L>, block: HeldBlock) -> Event {
    let (answer, span) = world.during(|shared| shared.free(block.address));
    let what = answer.map_or_else(|error| What::NotTaken(block, error.to_string()), |()| What::GaveBack(block));
    Event { span, what }
}
