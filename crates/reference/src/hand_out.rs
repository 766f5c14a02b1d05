//! The last step of a request that is served: cut the block, count it, give its address.

use super::allocator::{DeviceAllocator, Request, kind_of};
use super::block::{Block, Slot, State};
use super::counted;
use super::defect::{Defect, Planting};
use super::variation::Variation;
use crate::device::Device;
use crate::op::stats::Oversize;
use crate::op::trace::Action;
use crate::op::{Counter, Family, PoolKind};

impl<D: Device, P: Planting> DeviceAllocator<D, P> {
    /// Takes a free block that is in no set any more and hands out its front, or what a variation cuts off it.
    pub(super) fn hand_out(&mut self, slot: Slot, request: &Request) -> u64 {
        let block = &self.arena[slot];
        let was_split = block.is_split();
        let whole = block.size;
        let slot = if self.splits(block, request.size) { self.cut(slot, request.size) } else { slot };
        let block = &mut self.arena[slot];
        block.state = State::Allocated;
        block.requested = request.bytes;
        let Block { size, address, expandable, pool, .. } = *block;
        let kind = kind_of(pool);
        if !expandable {
            self.count_split(kind, was_split, size, whole - size);
        }
        if !(self.planted.has(Defect::SideStreamNotRegistered) && request.stream.0 != 0) {
            self.live.insert(&self.arena, address, slot);
        }
        self.note(Action::Alloc, address, request.bytes, request.stream, pool);
        if self.planted.has(Defect::StatsSkippedAfterRetry) && self.stats.counter(Counter::NumAllocRetries) > 0 {
            return address;
        }
        self.stats.increase(Family::Allocation, kind, 1);
        self.stats.increase(Family::AllocatedBytes, kind, counted(size));
        self.stats.increase(Family::Active, kind, 1);
        self.stats.increase(Family::ActiveBytes, kind, counted(size));
        self.stats.increase(Family::RequestedBytes, kind, counted(request.bytes));
        if size >= self.settings.max_split {
            self.stats.oversize_mut(Oversize::Allocations).increase(1);
        }
        self.miscount(slot, request, kind);
        if self.planted.varies(Variation::NextFit) {
            self.varied.last_address = address;
        }
        address
    }

    /// Leaves `size` bytes in the block and makes the rest a free right neighbour, which keeps the stale
    /// request: in PyTorch the tail is the old object.
    pub(super) fn cut_tail(&mut self, slot: Slot, size: u64) {
        let tail = self.arena.duplicate(slot);
        let rest = &mut self.arena[tail];
        let overlap = if self.planted.has(Defect::TailOverlapsFront) { 512 } else { 0 };
        rest.address += size - overlap;
        rest.size -= size - overlap;
        rest.prev = Some(slot);
        rest.state = State::Free;
        if let Some(next) = rest.next {
            self.arena[next].prev = Some(tail);
        }
        let block = &mut self.arena[slot];
        block.next = Some(tail);
        block.size = size;
        if self.planted.has(Defect::TailLost) {
            self.arena[tail].state = State::Pending;
            return;
        }
        self.insert_free(tail);
    }

    /// What the hand-out changed among free blocks of segments that hold several.
    fn count_split(&mut self, kind: PoolKind, was_split: bool, size: u64, tail: u64) {
        if self.planted.has(Defect::SplitNotCounted) && !was_split {
            return;
        }
        let size = counted(size);
        match (was_split, tail > 0) {
            (false, true) => {
                self.stats.increase(Family::InactiveSplit, kind, 1);
                self.stats.increase(Family::InactiveSplitBytes, kind, counted(tail));
            }
            (true, true) => self.stats.decrease(Family::InactiveSplitBytes, kind, size),
            (true, false) => {
                self.stats.decrease(Family::InactiveSplit, kind, 1);
                self.stats.decrease(Family::InactiveSplitBytes, kind, size);
            }
            (false, false) => {}
        }
    }
}
