//! Segments and blocks as a user can look at them.

use super::allocator::DeviceAllocator;
use super::block::{Slot, State};
use super::defect::{Defect, Planting};
use crate::device::Device;
use crate::op::snapshot::{BlockState, BlockView, SegmentView};

impl<D: Device, P: Planting> DeviceAllocator<D, P> {
    /// The segments of this device by address. An expandable segment shows one for each mapped run.
    #[must_use]
    pub fn segments(&self) -> Vec<SegmentView> {
        let mut heads = self.heads();
        heads.sort_by_key(|&slot| self.arena[slot].address);
        let mut views = Vec::new();
        for head in heads {
            let mut cursor = Some(head);
            while let Some(start) = cursor {
                let (view, rest) = self.run(start);
                views.extend(view);
                cursor = rest;
            }
        }
        views.sort_by_key(|v| v.address);
        self.join(views)
    }

    /// The first block of every segment.
    fn heads(&self) -> Vec<Slot> {
        let mut heads: Vec<Slot> = Vec::new();
        let free = self.pools.iter().flat_map(|p| p.free.slots(&self.arena));
        let pending = self.events.slots().chain(self.recorded.keys().copied());
        for slot in free.chain(self.live.slots()).chain(pending) {
            let mut head = slot;
            // A free block's left neighbour is in these sets itself, unless it has no memory.
            let covered = self.arena[head].prev.is_some_and(|prev| self.arena[prev].mapped);
            if covered && self.arena[head].state == State::Free {
                continue;
            }
            while let Some(prev) = self.arena[head].prev {
                head = prev;
            }
            heads.push(head);
        }
        heads.sort_unstable();
        heads.dedup();
        heads
    }

    /// One run of mapped blocks from `start`, and where the next one may begin.
    fn run(&self, start: Slot) -> (Option<SegmentView>, Option<Slot>) {
        let mut cursor = Some(start);
        while let Some(slot) = cursor.filter(|&s| !self.arena[s].mapped) {
            cursor = self.arena[slot].next;
        }
        let Some(first) = cursor else { return (None, None) };
        let block = &self.arena[first];
        let mut view = SegmentView {
            device: u32::try_from(self.index).unwrap_or(u32::MAX),
            address: block.address,
            total_size: 0,
            allocated_size: 0,
            active_size: 0,
            requested_size: 0,
            stream: block.stream.0,
            segment_type: self.kind(first),
            segment_pool_id: self.pool_id(first),
            is_expandable: block.expandable,
            blocks: Vec::new(),
        };
        while let Some(slot) = cursor.filter(|&s| self.arena[s].mapped) {
            let block = &self.arena[slot];
            view.total_size += block.size;
            let mut state = match block.state {
                State::Allocated => BlockState::ActiveAllocated,
                State::Pending => BlockState::ActivePendingFree,
                State::Free => BlockState::Inactive,
            };
            let mut requested_size = block.requested;
            if self.planted.has(Defect::SnapshotRoundsRequests) {
                requested_size = block.size;
            }
            let mut active = block.state != State::Free;
            if self.planted.has(Defect::SnapshotOmitsWaiting) && block.state == State::Pending {
                (state, active) = (BlockState::Inactive, false);
            }
            if block.state == State::Allocated {
                view.allocated_size += block.size;
            }
            if active {
                view.active_size += block.size;
                view.requested_size += requested_size;
            }
            view.blocks.push(BlockView { address: block.address, size: block.size, requested_size, state });
            cursor = block.next;
        }
        (Some(view), cursor)
    }
}
