//! Getting segments from the device, and giving them back: at once, when oversize, when old.

use super::{Block, Naive, Request, Segment, State};
use crate::device::{Device, DeviceError};
use crate::op::stats::Oversize;
use crate::op::{Counter, Family, PoolKind};

impl<D: Device> Naive<D> {
    /// New memory for a request: the address of a cached block that is large enough.
    pub(super) fn grow(&mut self, request: &Request) -> Result<Option<u64>, DeviceError> {
        if self.limit.is_some_and(|limit| u128::from(self.reserved()) + u128::from(request.segment) > u128::from(limit))
        {
            return Ok(None);
        }
        if self.settings.expandable_segments {
            return self.grow_expandable(request);
        }
        let address = match self.device.reserve(request.segment) {
            Err(DeviceError::OutOfMemory) => return Ok(None),
            answer => answer?,
        };
        self.add_segment(request, address, request.segment, None);
        self.stats.increase(Family::Segment, request.pool, 1);
        self.stats.increase(Family::ReservedBytes, request.pool, request.segment.cast_signed());
        *self.stats.counter_mut(Counter::NumDeviceAlloc) += 1;
        if request.segment >= self.settings.max_split {
            self.stats.oversize_mut(Oversize::Segments).increase(1);
        }
        Ok(Some(address))
    }

    /// A segment and the one block in it: cached, or without memory where there are pages.
    pub(super) fn add_segment(&mut self, request: &Request, address: u64, bytes: u64, page: Option<u64>) {
        self.segments_ever += 1;
        let Request { stream, pool, .. } = *request;
        self.segments.push(Segment { number: self.segments_ever, address, bytes, stream, pool, page });
        self.insert(Block {
            segment: self.segments_ever,
            address,
            size: bytes,
            requested: 0,
            stream,
            pool,
            state: if page.is_some() { State::Unmapped } else { State::Free },
            recorded: Vec::new(),
            awaited: 0,
            freed_at: self.searches_of(pool),
        });
    }

    /// Gives the segment back that consists of the cached block at the address.
    fn release(&mut self, address: u64) -> Result<(), DeviceError> {
        self.device.release(address)?;
        let i = self.at(address);
        let block = self.blocks.remove(i);
        self.segments.retain(|s| s.number != block.segment);
        self.stats.decrease(Family::Segment, block.pool, 1);
        self.stats.decrease(Family::ReservedBytes, block.pool, block.size.cast_signed());
        *self.stats.counter_mut(Counter::NumDeviceFree) += 1;
        if block.size >= self.settings.max_split {
            self.stats.oversize_mut(Oversize::Segments).decrease(1);
        }
        Ok(())
    }

    /// Whether the cached block is a whole segment that the device gave.
    fn is_whole_segment(&self, block: &Block) -> bool {
        !self.is_expandable(block) && !self.has_neighbour(self.at(block.address))
    }

    /// Gives back everything cached in a pool that can be.
    pub(super) fn release_all(&mut self, pool: PoolKind) -> Result<(), DeviceError> {
        let free: Vec<Block> = self.free_blocks(pool).into_iter().cloned().collect();
        for block in free {
            if self.is_expandable(&block) {
                self.unmap(block.address)?;
            } else if self.is_whole_segment(&block) {
                self.release(block.address)?;
            }
        }
        Ok(())
    }

    /// Gives back one large enough oversize segment, or several from the largest down; whether that was enough.
    pub(super) fn release_oversize(&mut self, request: &Request) -> Result<bool, DeviceError> {
        let target = request.size.max(self.settings.max_split);
        let mut ours: Vec<Block> = self.free_blocks(request.pool).into_iter().cloned().collect();
        ours.retain(|b| b.stream == request.stream);
        if let Some(enough) = ours.iter().find(|b| b.size >= target)
            && !self.is_expandable(enough)
        {
            self.release(enough.address)?;
            return Ok(true);
        }
        ours.retain(|b| b.size < target && b.size >= self.settings.max_split);
        let mut released = 0;
        for block in ours.iter().rev() {
            if released < target && !self.is_expandable(block) {
                self.release(block.address)?;
                released += block.size;
            }
        }
        Ok(released >= target)
    }

    /// Above the threshold, gives back what has been cached for longer than the average, until the excess is gone.
    pub(super) fn collect_garbage(&mut self) -> Result<(), DeviceError> {
        let Some(limit) = self.limit.filter(|_| self.settings.gc_threshold > 0.0) else { return Ok(()) };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "rounded down, as PyTorch does"
        )]
        let threshold = (self.settings.gc_threshold * limit as f64).floor() as u64;
        if self.reserved() <= threshold {
            return Ok(());
        }
        let excess = self.reserved() - threshold;
        let now = self.searches_of(PoolKind::Large);
        let whole = self.free_blocks(PoolKind::Large).into_iter().filter(|b| !self.has_neighbour(self.at(b.address)));
        let mut left: Vec<Block> = whole.cloned().collect();
        let mut reclaimed = 0;
        while reclaimed < excess && !left.is_empty() {
            let total: u64 = left.iter().map(|b| now - b.freed_at).sum();
            #[expect(clippy::cast_precision_loss, reason = "compared with a mean, as PyTorch does")]
            let old = |age: u64| age as f64 >= total as f64 / left.len() as f64;
            let is_due = |b: &Block| !self.is_expandable(b) && old(now - b.freed_at);
            let (due, kept): (Vec<Block>, Vec<Block>) = left.iter().cloned().partition(is_due);
            if due.is_empty() {
                break;
            }
            for block in due {
                self.release(block.address)?;
                reclaimed += block.size;
            }
            left = kept;
        }
        Ok(())
    }
}
