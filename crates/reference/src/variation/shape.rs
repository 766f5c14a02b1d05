//! Sizes, segments and cuts under a variation.
//!
//! Decides how large blocks and segments are and where a block is cut. Nothing of which block is taken.

use super::Variation;
use crate::allocator::{DeviceAllocator, Request, kind_of};
use crate::block::{Block, Slot, State};
use crate::defect::Planting;
use crate::device::Device;
use crate::op::{Family, PoolKind};
use crate::{counted, rounding};

impl<D: Device, P: Planting> DeviceAllocator<D, P> {
    /// A request as a variation sees it.
    #[inline]
    pub(crate) fn vary(&self, request: &mut Request) {
        let size = self.varied_size(request).filter(|&s| s <= rounding::LARGEST);
        if let Some(size) = size.filter(|&s| s != request.size) {
            request.size = size;
            request.pool = self.pool_for(rounding::pool_kind(size), request.stream);
        }
        if self.planted.varies(Variation::NoSmallPool) || self.planted.varies(Variation::ArenaByStream) {
            request.pool = self.pool_for(PoolKind::Large, request.stream);
        }
    }

    /// The size of a block for a request, where that is not PyTorch's; `None` where it cannot be represented.
    #[inline]
    fn varied_size(&self, request: &Request) -> Option<u64> {
        let varies = |v| self.planted.varies(v);
        let mut size = request.size;
        if varies(Variation::FineRounding) {
            size = request.bytes.checked_next_multiple_of(256)?;
        }
        if varies(Variation::Padding) {
            size = size.checked_add(512)?;
        }
        if varies(Variation::CoarseRounding) {
            size = size.checked_next_multiple_of(4096)?;
        }
        let halves = varies(Variation::PowersOfTwo) || varies(Variation::Buddies);
        if halves || varies(Variation::Slabs) && size <= rounding::SMALL_LIMIT {
            size = size.checked_next_power_of_two()?;
        }
        Some(size)
    }

    /// What is asked of the device where that is not PyTorch's.
    pub(crate) fn varied_segment(&self, request: &Request, segment: u64) -> u64 {
        let varies = |v| self.planted.varies(v);
        let large = kind_of(request.pool) == PoolKind::Large;
        let alone = varies(Variation::UncachedLarge) && large;
        if varies(Variation::ExactSegments) || varies(Variation::NeverCaches) || alone {
            return request.size.next_multiple_of(rounding::SEGMENT_ROUND);
        }
        if varies(Variation::SmallerSegments) {
            return request.size.checked_next_multiple_of(4 * rounding::MIB).unwrap_or(segment);
        }
        let shared = self.settings.large_segment;
        if varies(Variation::ArenaByStream) || varies(Variation::Buddies) && large {
            return segment.max(shared).max(request.size);
        }
        if varies(Variation::NoSmallPool) && request.size <= rounding::SMALL_LIMIT { shared } else { segment }
    }

    /// Whether a variation hands a block out whole.
    pub(crate) fn hands_out_whole(&self, block: &Block) -> bool {
        let large = kind_of(block.pool) == PoolKind::Large;
        self.planted.varies(Variation::NoSplitting)
            || self.planted.varies(Variation::NeverCaches)
            || large && self.planted.varies(Variation::WholeLargeBlocks)
            || large && self.planted.varies(Variation::UncachedLarge)
    }

    /// Cuts a block that is in no set; answers the part that has `size` bytes, the rest is free.
    #[inline(always)]
    pub(crate) fn cut(&mut self, slot: Slot, size: u64) -> Slot {
        if self.planted.varies(Variation::Buddies) {
            self.halve(slot, size)
        } else if self.planted.varies(Variation::TailFirst) {
            self.cut_front(slot, size)
        } else {
            self.cut_tail(slot, size);
            slot
        }
    }

    /// Leaves all but `size` bytes in the block, which stays free, and answers the tail.
    fn cut_front(&mut self, slot: Slot, size: u64) -> Slot {
        let tail = self.arena.duplicate(slot);
        let front = &mut self.arena[slot];
        let rest = front.size - size;
        front.size = rest;
        front.next = Some(tail);
        front.state = State::Free;
        let block = &mut self.arena[tail];
        block.address += rest;
        block.size = size;
        block.prev = Some(slot);
        if let Some(next) = block.next {
            self.arena[next].prev = Some(tail);
        }
        self.insert_free(slot);
        tail
    }

    /// Halves the block until a half would be too small. The halves beyond one are counted here.
    fn halve(&mut self, slot: Slot, size: u64) -> Slot {
        let mut more = -1;
        while self.arena[slot].size / 2 >= size {
            let half = self.arena[slot].size / 2;
            self.cut_tail(slot, half);
            more += 1;
        }
        let kind = self.kind(slot);
        self.apply_net(Family::InactiveSplit, kind, more.max(0));
        slot
    }

    /// Merges a block with its buddy as long as that is free and whole; answers how many there were, and their bytes.
    pub(crate) fn merge_buddies(&mut self, slot: Slot) -> (i64, i64) {
        let (mut blocks, mut bytes) = (0, 0);
        loop {
            let Block { size, address, prev, next, .. } = self.arena[slot];
            let offset = address - self.arena[self.head(slot)].address;
            let buddy = if offset.is_multiple_of(2 * size) { next } else { prev };
            let Some(buddy) = buddy.filter(|&b| self.arena[b].size == size) else { break };
            let absorbed = self.merge(slot, buddy);
            if absorbed == 0 {
                break;
            }
            blocks += 1;
            bytes += counted(absorbed);
        }
        (blocks, bytes)
    }

    /// The first block of a block's segment.
    fn head(&self, slot: Slot) -> Slot {
        std::iter::successors(Some(slot), |&s| self.arena[s].prev).last().unwrap_or(slot)
    }

    /// A segment was got for a request.
    pub(crate) fn note_segment(&mut self, request: &Request, address: u64) {
        if self.planted.varies(Variation::Slabs) && kind_of(request.pool) == PoolKind::Small {
            self.varied.slabs.insert(address, request.size);
        }
    }
}
