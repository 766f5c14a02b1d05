//! A second allocator with PyTorch's semantics, for tests and fuzzing: lists and full scans, no index, nothing kept
//! twice. Slow on purpose; each rule stands once, where a reader looks for it.
//!
//! Decides what it computes independently of the rest of `reference`, of which it uses the words alone
//! (`Settings`, `OutOfMemory`). Settings do not change while it runs. Device calls that fail for other
//! reasons than memory are passed on, and what state they leave is not its subject.

mod bytes;
mod counts;
mod expandable;
mod pair;
mod reserve;
mod search;
mod sizes;
#[cfg(test)]
mod tests;
mod view;

pub use bytes::differ;

use std::collections::VecDeque;

use super::{OutOfMemory, Settings};
use crate::device::{Device, DeviceError, Event, StreamHandle};
use crate::op::stats::Oversize;
use crate::op::{Counter, Family, PoolKind, Stats};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// A caller holds it.
    Live,
    /// Freed, and waiting for events.
    Pending,
    Free,
    /// Addresses of an expandable segment with no memory behind them.
    Unmapped,
}

#[derive(Debug, Clone)]
struct Block {
    /// The number of its segment. Only blocks of one segment are neighbours.
    segment: u64,
    address: u64,
    size: u64,
    requested: u64,
    stream: StreamHandle,
    pool: PoolKind,
    state: State,
    /// Streams other than its own that use it.
    recorded: Vec<StreamHandle>,
    /// Events that have not passed.
    awaited: usize,
    /// The pool's count of searches when it became free.
    freed_at: u64,
}

#[derive(Debug, Clone, Copy)]
struct Segment {
    number: u64,
    address: u64,
    bytes: u64,
    stream: StreamHandle,
    pool: PoolKind,
    /// The page of an expandable segment.
    page: Option<u64>,
}

#[derive(Debug, Clone, Copy)]
struct Request {
    bytes: u64,
    size: u64,
    segment: u64,
    stream: StreamHandle,
    pool: PoolKind,
}

/// Why something was refused.
#[derive(Debug, PartialEq)]
pub(super) enum Refusal {
    OutOfMemory(Box<OutOfMemory>),
    Unrepresentable,
    InvalidPointer,
    Device(DeviceError),
}

impl From<DeviceError> for Refusal {
    fn from(error: DeviceError) -> Self {
        Refusal::Device(error)
    }
}

/// The allocator of one device.
#[derive(Debug)]
pub(super) struct Naive<D> {
    index: usize,
    pub(super) device: D,
    settings: Settings,
    limit: Option<u64>,
    pub(super) stats: Stats,
    /// Every block, by address.
    blocks: Vec<Block>,
    segments: Vec<Segment>,
    segments_ever: u64,
    /// Searches of the small and of the large pool.
    searches: [u64; 2],
    /// Events that have not passed, by stream in the order in which the streams came.
    queues: Vec<(StreamHandle, VecDeque<(Event, u64)>)>,
}

impl<D: Device> Naive<D> {
    pub(super) fn new(index: usize, device: D, settings: Settings) -> Self {
        let mut stats = Stats::default();
        let unlimited = settings.max_split == u64::MAX;
        *stats.counter_mut(Counter::MaxSplitSize) = if unlimited { -1 } else { settings.max_split.cast_signed() };
        let (blocks, segments, queues) = (Vec::new(), Vec::new(), Vec::new());
        let mut naive = Naive {
            index,
            device,
            settings,
            limit: None,
            stats,
            blocks,
            segments,
            segments_ever: 0,
            searches: [0; 2],
            queues,
        };
        naive.set_fraction(settings.fraction);
        naive
    }

    /// The limit is the product truncated; at 1 there is none.
    pub(super) fn set_fraction(&mut self, fraction: f64) {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "truncated, as PyTorch does"
        )]
        let product = (fraction * self.device.total_bytes() as f64).trunc() as u64;
        self.limit = if fraction == 1.0 { None } else { Some(product) };
    }

    pub(super) fn alloc(&mut self, bytes: u64, stream: StreamHandle) -> Result<u64, Refusal> {
        if bytes == 0 {
            return Ok(0);
        }
        let request = self.request(bytes, stream).ok_or(Refusal::Unrepresentable)?;
        self.process_events()?;
        let found = self.climb(&request)?;
        Ok(self.hand_out(found, &request))
    }

    fn request(&self, bytes: u64, stream: StreamHandle) -> Option<Request> {
        let size = sizes::rounded(bytes, &self.settings)?;
        let segment = sizes::segment(size, &self.settings)?;
        let pool = if size <= sizes::SMALL { PoolKind::Small } else { PoolKind::Large };
        Some(Request { bytes, size, segment, stream, pool })
    }

    /// The ladder: search, collect garbage, grow, release oversize blocks and grow, release all and grow.
    fn climb(&mut self, request: &Request) -> Result<u64, Refusal> {
        if let Some(found) = self.search(request) {
            return Ok(found);
        }
        self.collect_garbage()?;
        if let Some(grown) = self.grow(request)? {
            return Ok(grown);
        }
        if self.settings.max_split != u64::MAX
            && self.release_oversize(request)?
            && let Some(grown) = self.grow(request)?
        {
            return Ok(grown);
        }
        self.empty_cache()?;
        *self.stats.counter_mut(Counter::NumAllocRetries) += 1;
        if let Some(grown) = self.grow(request)? {
            return Ok(grown);
        }
        *self.stats.counter_mut(Counter::NumOoms) += 1;
        let allocated = self.stats.all(Family::AllocatedBytes).current.cast_unsigned();
        Err(Refusal::OutOfMemory(Box::new(OutOfMemory {
            advice: crate::oom::Advice::Expandable,
            device: self.index,
            segment: request.segment,
            total: self.device.total_bytes(),
            free: self.device.free_bytes()?,
            processes: self.device.processes(),
            limit: self.limit,
            allocated,
            unallocated: self.reserved() - allocated,
            private: 0,
        })))
    }

    pub(super) fn holds(&self, address: u64) -> bool {
        self.blocks.iter().any(|b| b.address == address && b.state == State::Live)
    }

    pub(super) fn free(&mut self, address: u64) -> Result<(), Refusal> {
        if address == 0 {
            return Ok(());
        }
        if !self.holds(address) {
            return Err(Refusal::InvalidPointer);
        }
        let i = self.at(address);
        let block = self.blocks[i].clone();
        self.stats.decrease(Family::Allocation, block.pool, 1);
        self.stats.decrease(Family::AllocatedBytes, block.pool, block.size.cast_signed());
        if block.size >= self.settings.max_split {
            self.stats.oversize_mut(Oversize::Allocations).decrease(1);
        }
        if block.recorded.is_empty() {
            self.become_free(address);
            return Ok(());
        }
        self.blocks[i].state = State::Pending;
        for stream in std::mem::take(&mut self.blocks[i].recorded) {
            let event = self.device.record_event(stream)?;
            self.blocks[i].awaited += 1;
            match self.queues.iter_mut().find(|(s, _)| *s == stream) {
                Some((_, queue)) => queue.push_back((event, address)),
                None => self.queues.push((stream, VecDeque::from([(event, address)]))),
            }
        }
        Ok(())
    }

    pub(super) fn record_stream(&mut self, address: u64, stream: StreamHandle) {
        let block = self.blocks.iter_mut().find(|b| b.address == address && b.state == State::Live);
        if let Some(block) = block.filter(|b| b.stream != stream && !b.recorded.contains(&stream)) {
            block.recorded.push(stream);
        }
    }

    /// Frees what waited for events that have finished; an unfinished one stops its stream's queue.
    fn process_events(&mut self) -> Result<(), DeviceError> {
        for queue in 0..self.queues.len() {
            while let Some(&(event, address)) = self.queues[queue].1.front() {
                if !self.device.query_event(event)? {
                    break;
                }
                self.passed(queue, address);
            }
        }
        Ok(())
    }

    /// Waits for every event, then gives every free block back that can be.
    pub(super) fn empty_cache(&mut self) -> Result<(), DeviceError> {
        *self.stats.counter_mut(Counter::NumSyncAllStreams) += 1;
        for queue in 0..self.queues.len() {
            while let Some(&(event, address)) = self.queues[queue].1.front() {
                self.device.wait_event(event)?;
                self.passed(queue, address);
            }
        }
        self.release_all(PoolKind::Large)?;
        self.release_all(PoolKind::Small)
    }

    fn passed(&mut self, queue: usize, address: u64) {
        self.queues[queue].1.pop_front();
        let i = self.at(address);
        self.blocks[i].awaited -= 1;
        if self.blocks[i].awaited == 0 {
            self.become_free(address);
        }
    }

    pub(super) fn reset_peak(&mut self) {
        for stat in self.stats.tracked_mut() {
            stat.peak = stat.current;
        }
    }

    pub(super) fn reset_accumulated(&mut self) {
        for stat in self.stats.tracked_mut() {
            (stat.allocated, stat.freed) = (0, 0);
        }
        for &counter in Counter::ALL {
            if counter != Counter::MaxSplitSize {
                *self.stats.counter_mut(counter) = 0;
            }
        }
    }

    /// Where the block is in the list. Every caller has its address from the list.
    fn at(&self, address: u64) -> usize {
        self.blocks.iter().position(|b| b.address == address).expect("an address of a block")
    }

    fn segment(&self, number: u64) -> &Segment {
        self.segments.iter().find(|s| s.number == number).expect("the number of a segment")
    }

    fn is_expandable(&self, block: &Block) -> bool {
        self.segment(block.segment).page.is_some()
    }

    /// The positions of the neighbours to the left and to the right.
    fn neighbours(&self, i: usize) -> (Option<usize>, Option<usize>) {
        let same = |k: &usize| self.blocks.get(*k).is_some_and(|b| b.segment == self.blocks[i].segment);
        (i.checked_sub(1).filter(same), Some(i + 1).filter(same))
    }

    fn has_neighbour(&self, i: usize) -> bool {
        self.neighbours(i) != (None, None)
    }

    fn insert(&mut self, block: Block) {
        let i = self.blocks.iter().position(|b| b.address > block.address).unwrap_or(self.blocks.len());
        self.blocks.insert(i, block);
    }

    fn searches_of(&self, pool: PoolKind) -> u64 {
        self.searches[pool as usize]
    }

    fn reserved(&self) -> u64 {
        self.stats.all(Family::ReservedBytes).current.cast_unsigned()
    }
}
