//! The last step of a request that is served: cut the block, count it, give its address.

use super::allocator::{DeviceAllocator, Request};
use super::block::{Block, Slot, State};
use super::defect::{Defect, Planting};
use super::signed;
use super::variation::Variation;
use crate::device::Device;
use crate::op::stats::Oversize;
use crate::op::trace::Action;
use crate::op::{Counter, Family};

impl<D: Device, P: Planting> DeviceAllocator<D, P> {
    /// Takes a free block that is in no set any more and hands out its front.
    pub(super) fn hand_out(&mut self, slot: Slot, request: &Request) -> u64 {
        let was_split = self.arena[slot].is_split();
        let cut = self.splits(&self.arena[slot], request.size);
        if cut {
            self.cut_tail(slot, request.size);
        }
        let block = &mut self.arena[slot];
        block.state = State::Allocated;
        block.requested = request.bytes;
        let (size, address, expandable) = (block.size, block.address, block.expandable);
        let kind = self.kind(slot);
        if !expandable {
            self.count_split(slot, was_split, cut);
        }
        if !(self.planted.has(Defect::SideStreamNotRegistered) && request.stream.0 != 0) {
            self.live.insert(address, slot);
        }
        self.note(Action::Alloc, address, request.bytes, request.stream);
        if self.planted.has(Defect::StatsSkippedAfterRetry) && self.stats.counter(Counter::NumAllocRetries) > 0 {
            return address;
        }
        self.stats.increase(Family::Allocation, kind, 1);
        self.stats.increase(Family::AllocatedBytes, kind, signed(size));
        self.stats.increase(Family::Active, kind, 1);
        self.stats.increase(Family::ActiveBytes, kind, signed(size));
        self.stats.increase(Family::RequestedBytes, kind, signed(request.bytes));
        if size >= self.settings.max_split {
            self.stats.oversize_mut(Oversize::Allocations).increase(1);
        }
        self.miscount(slot, request, kind);
        if self.planted.varies(Variation::NextFit) {
            self.last_address = address;
        }
        address
    }

    /// Leaves `size` bytes in the block and makes the rest a free right neighbour, which keeps the stale
    /// request: in PyTorch the tail is the old object.
    fn cut_tail(&mut self, slot: Slot, size: u64) {
        let front = self.arena[slot];
        let overlap = if self.planted.has(Defect::TailOverlapsFront) { 512 } else { 0 };
        let tail = self.arena.insert(Block {
            address: front.address + size - overlap,
            size: front.size - size + overlap,
            prev: Some(slot),
            next: front.next,
            state: State::Free,
            ..front
        });
        if let Some(next) = front.next {
            self.arena[next].prev = Some(tail);
        }
        let block = &mut self.arena[slot];
        block.next = Some(tail);
        block.size = size;
        if !self.planted.has(Defect::TailLost) {
            self.insert_free(tail);
        }
    }

    /// What the hand-out changed among free blocks of segments that hold several.
    fn count_split(&mut self, slot: Slot, was_split: bool, cut: bool) {
        if self.planted.has(Defect::SplitNotCounted) && !was_split {
            return;
        }
        let kind = self.kind(slot);
        let size = signed(self.arena[slot].size);
        match (was_split, cut) {
            (false, true) => {
                let tail = self.arena[slot].next.map_or(0, |next| self.arena[next].size);
                self.stats.increase(Family::InactiveSplit, kind, 1);
                self.stats.increase(Family::InactiveSplitBytes, kind, signed(tail));
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
