//! The memory as a snapshot shows it: a segment for each contiguous run of blocks with memory.

use super::{Naive, State};
use crate::device::Device;
use crate::op::snapshot::{BlockState, BlockView, SegmentView};

impl<D: Device> Naive<D> {
    pub(crate) fn view(&self) -> Vec<SegmentView> {
        let mut views: Vec<SegmentView> = Vec::new();
        let mut last: Option<(u64, u64)> = None;
        for block in self.blocks.iter().filter(|b| b.state != State::Unmapped) {
            if last != Some((block.segment, block.address)) {
                views.push(SegmentView {
                    device: u32::try_from(self.index).expect("few devices"),
                    address: block.address,
                    total_size: 0,
                    allocated_size: 0,
                    active_size: 0,
                    requested_size: 0,
                    stream: block.stream.0,
                    segment_type: block.pool,
                    segment_pool_id: (0, 0),
                    is_expandable: self.is_expandable(block),
                    blocks: Vec::new(),
                });
            }
            last = Some((block.segment, block.address + block.size));
            let view = views.last_mut().expect("one was just put there");
            let state = match block.state {
                State::Live => BlockState::ActiveAllocated,
                State::Pending => BlockState::ActivePendingFree,
                State::Free | State::Unmapped => BlockState::Inactive,
            };
            view.total_size += block.size;
            if state == BlockState::ActiveAllocated {
                view.allocated_size += block.size;
            }
            if state != BlockState::Inactive {
                view.active_size += block.size;
                view.requested_size += block.requested;
            }
            let (address, size, requested_size) = (block.address, block.size, block.requested);
            view.blocks.push(BlockView { address, size, requested_size, state });
        }
        views
    }
}
