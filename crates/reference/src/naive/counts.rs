//! The statistics of handing out and taking back.
//!
//! Inactive-split counts what is cached in segments of several blocks; expandable segments never count there.

use super::{Block, Naive};
use crate::device::Device;
use crate::op::stats::Oversize;
use crate::op::{Family, PoolKind};

impl<D: Device> Naive<D> {
    /// The block at `i` was handed out; `tail` is the size of what was cut off it.
    pub(super) fn count_hand_out(&mut self, i: usize, was_split: bool, tail: Option<u64>) {
        let block = self.blocks[i].clone();
        let (pool, size) = (block.pool, block.size.cast_signed());
        self.stats.increase(Family::Allocation, pool, 1);
        self.stats.increase(Family::AllocatedBytes, pool, size);
        self.stats.increase(Family::Active, pool, 1);
        self.stats.increase(Family::ActiveBytes, pool, size);
        self.stats.increase(Family::RequestedBytes, pool, block.requested.cast_signed());
        if block.size >= self.settings.max_split {
            self.stats.oversize_mut(Oversize::Allocations).increase(1);
        }
        if self.is_expandable(&block) {
            return;
        }
        match (was_split, tail) {
            (false, None) => {}
            (false, Some(tail)) => {
                self.stats.increase(Family::InactiveSplit, pool, 1);
                self.stats.increase(Family::InactiveSplitBytes, pool, tail.cast_signed());
            }
            (true, None) => {
                self.stats.decrease(Family::InactiveSplit, pool, 1);
                self.stats.decrease(Family::InactiveSplitBytes, pool, size);
            }
            (true, Some(_)) => self.stats.decrease(Family::InactiveSplitBytes, pool, size),
        }
    }

    /// `block` became free, absorbed those sizes, and is at `i` now.
    pub(super) fn count_freed(&mut self, i: usize, block: &Block, absorbed: &[u64]) {
        self.stats.decrease(Family::Active, block.pool, 1);
        self.stats.decrease(Family::ActiveBytes, block.pool, block.size.cast_signed());
        self.stats.decrease(Family::RequestedBytes, block.pool, block.requested.cast_signed());
        if self.is_expandable(block) {
            return;
        }
        let mut blocks = 0;
        let mut bytes = 0;
        for size in absorbed {
            blocks -= 1;
            bytes -= size.cast_signed();
        }
        if self.has_neighbour(i) {
            blocks += 1;
            bytes += self.blocks[i].size.cast_signed();
        }
        self.change(Family::InactiveSplit, block.pool, blocks);
        self.change(Family::InactiveSplitBytes, block.pool, bytes);
    }

    /// A net change: up counts as allocated, down as freed.
    fn change(&mut self, family: Family, pool: PoolKind, by: i64) {
        if by >= 0 {
            self.stats.increase(family, pool, by);
        } else {
            self.stats.decrease(family, pool, -by);
        }
    }
}
