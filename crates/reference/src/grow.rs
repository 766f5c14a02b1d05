//! Getting memory from the device.

use super::allocator::{DeviceAllocator, Request, kind_of};
use super::block::{Block, Slot};
use super::defect::{Defect, Planting};
use super::signed;
use crate::device::{Device, DeviceError};
use crate::op::stats::Oversize;
use crate::op::trace::Action;
use crate::op::{Counter, Family, PoolKind};

impl<D: Device, P: Planting> DeviceAllocator<D, P> {
    /// One attempt to get memory for a request: a block that is in no set, or `None` for lack of memory.
    pub(super) fn grow(&mut self, request: &Request) -> Result<Option<Slot>, DeviceError> {
        if self.planted.has(Defect::RetryAlwaysCounted) {
            *self.stats.counter_mut(Counter::NumAllocRetries) += 1;
        }
        let gave_up = self.planted.has(Defect::OomSticky) && self.stats.counter(Counter::NumOoms) > 0;
        if self.planted.has(Defect::OthersChargedToLimit) {
            self.habits.free = self.device.free_bytes().ok();
        }
        if gave_up || self.remembers_refusal(request) || !self.within_limit(request) {
            return Ok(None);
        }
        if self.settings.expandable_segments {
            let grown = self.grow_expandable(request)?;
            if grown.is_some() {
                self.note_growth(request.pool, 1);
            }
            return Ok(grown);
        }
        let segment = self.uneven_segment(request).unwrap_or_else(|| self.segment_for(request));
        let mut asked = segment;
        if self.planted.has(Defect::GrowthDoubles) {
            asked = asked.max(u64::try_from(self.stats.all(Family::ReservedBytes).current).unwrap_or(0));
        }
        if self.planted.has(Defect::SegmentTooSmall) && asked > 20 << 20 {
            asked -= 2 << 20;
        }
        let address = match self.device.reserve(asked) {
            Ok(address) => address,
            Err(DeviceError::OutOfMemory) => {
                self.miscount_refused(request);
                return Ok(None);
            }
            Err(other) => {
                if self.planted.has(Defect::ReserveErrorCounted) {
                    self.count_segment(request, 0, asked);
                }
                return Err(other);
            }
        };
        let size = asked.max(segment);
        let address = self.base_of(address);
        self.count_segment(request, address, size);
        self.misgrow();
        self.note_growth(request.pool, 1);
        self.note_segment(request, address);
        let block = Block::whole(address, size, request.stream, request.pool);
        Ok(Some(self.arena.insert(block)))
    }

    fn within_limit(&self, request: &Request) -> bool {
        let Some(limit) = self.limit else { return true };
        let family =
            if self.planted.has(Defect::LimitChecksAllocated) { Family::AllocatedBytes } else { Family::ReservedBytes };
        let held = self.stats.all(family).current;
        let (asked, held) = self.mischarge(request, signed(self.segment_for(request)), held);
        asked.checked_add(held).is_some_and(|sum| sum <= signed(limit))
    }

    fn count_segment(&mut self, request: &Request, address: u64, size: u64) {
        let wrong = self.planted.has(Defect::SegmentInLargePool);
        let kind = if wrong { PoolKind::Large } else { kind_of(request.pool) };
        self.stats.increase(Family::Segment, kind, 1);
        self.stats.increase(Family::ReservedBytes, kind, signed(size));
        *self.stats.counter_mut(Counter::NumDeviceAlloc) += 1;
        if size >= self.settings.max_split {
            self.stats.oversize_mut(Oversize::Segments).increase(1);
        }
        self.note(Action::SegmentAlloc, address, size, request.stream, request.pool);
    }

    /// The segment's address; the defect that keeps its index in eight bits takes it from a table.
    fn base_of(&mut self, address: u64) -> u64 {
        if !self.planted.has(Defect::SegmentIndexWraps) {
            return address;
        }
        let index = self.bases.len() & 0xff;
        self.bases.push(address);
        self.bases[index]
    }
}
