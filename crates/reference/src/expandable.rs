//! Expandable segments: a long range of addresses that gets memory page by page.

use super::allocator::{DeviceAllocator, Request, kind_of};
use super::block::{Block, Slot, State};
use super::defect::{Defect, Planting};
use super::rounding::SMALL_SEGMENT;
use super::signed;
use crate::device::{Device, DeviceError, StreamHandle};
use crate::op::trace::Action;
use crate::op::{Counter, Family, PoolKind};

/// A reserved range of addresses.
#[derive(Debug, Clone, Copy)]
pub(super) struct ExpandableSegment {
    pub address: u64,
    pub bytes: u64,
    /// Memory comes in pages of this size.
    pub page: u64,
}

impl<D: Device, P: Planting> DeviceAllocator<D, P> {
    /// Among expandable candidates the one that could grow least; with the setting off, the first that is not expandable.
    pub(super) fn choose_expandable(&self, request: &Request, slot: Slot) -> Option<Slot> {
        let pool = &self.pools[usize::from(request.pool)];
        let first = &self.arena[slot];
        let mut following = pool.free.from(&self.arena, request.stream, (first.size, self.arena.rank(slot) + 1));
        if !self.settings.expandable_segments {
            return following.find(|&s| !self.arena[s].expandable);
        }
        let reach = |slot: Slot| {
            let block = &self.arena[slot];
            let beyond = block.next.map(|n| &self.arena[n]).filter(|n| !n.mapped).map_or(0, |n| n.size);
            block.size + beyond
        };
        let mut slot = slot;
        for next in following {
            if !self.arena[slot].expandable || reach(next) >= reach(slot) {
                break;
            }
            slot = next;
        }
        Some(slot)
    }

    /// Maps memory until a run of free blocks holds the request. `None` for lack of memory: what was
    /// mapped before the failing call stays cached.
    pub(super) fn grow_expandable(&mut self, request: &Request) -> Result<Option<Slot>, DeviceError> {
        self.unmap_strays()?;
        let Some(mut slot) = self.find_run(request)? else { return Ok(None) };
        if !self.arena[slot].mapped {
            let size = self.arena[slot].size.min(request.size);
            if !self.map_block(slot, size)? {
                return Ok(None);
            }
        }
        while self.arena[slot].size < request.size {
            let missing = request.size - self.arena[slot].size;
            let Some(next) = self.arena[slot].next else { return Ok(None) };
            let size = self.arena[next].size.min(missing);
            if !self.map_block(next, size)? {
                return Ok(None);
            }
            slot = next;
        }
        self.pools[usize::from(request.pool)].free.remove(&mut self.arena, slot);
        Ok(Some(slot))
    }

    /// The first run of free or unmapped neighbours that is long enough; a new segment if there is none.
    fn find_run(&mut self, request: &Request) -> Result<Option<Slot>, DeviceError> {
        let pool = &self.pools[usize::from(request.pool)];
        let free = |slot: Slot| self.arena[slot].state == State::Free;
        for &(stream, _, slot) in pool.unmapped.range((request.stream, 0, Slot::FIRST)..) {
            if stream != request.stream {
                break;
            }
            let start = self.arena[slot].prev.filter(|&p| free(p)).unwrap_or(slot);
            let mut bytes = 0;
            let mut cursor = Some(start);
            while let Some(at) = cursor.filter(|&c| free(c) && bytes < request.size) {
                bytes += self.arena[at].size;
                cursor = self.arena[at].next;
            }
            if bytes >= request.size {
                return Ok(Some(start));
            }
        }
        self.new_segment(request)
    }

    fn new_segment(&mut self, request: &Request) -> Result<Option<Slot>, DeviceError> {
        let page = match kind_of(request.pool) {
            PoolKind::Small => SMALL_SEGMENT,
            PoolKind::Large => self.settings.large_segment,
        };
        let total = self.device.total_bytes();
        let bytes = total.saturating_add(total / 8).div_ceil(page).saturating_mul(page);
        if self.ranges_hold_requests && request.size > bytes {
            return Ok(None);
        }
        let address = match self.device.reserve_addresses(bytes) {
            Ok(address) => address,
            Err(_) if self.planted.has(Defect::AddressesErrorKept) => 0,
            Err(DeviceError::OutOfMemory) => return Ok(None),
            Err(other) => return Err(other),
        };
        self.segments.push(ExpandableSegment { address, bytes, page });
        let whole = Block::whole(address, bytes, request.stream, request.pool);
        let slot = self.arena.insert(Block { mapped: false, expandable: true, ..whole });
        self.pools[usize::from(request.pool)].unmapped.insert((request.stream, address, slot));
        Ok(Some(slot))
    }

    fn segment_of(&self, address: u64) -> Option<ExpandableSegment> {
        self.segments.iter().copied().find(|s| (s.address..s.address + s.bytes).contains(&address))
    }

    /// Puts whole pages behind the front of an unmapped block. `false` for lack of memory, with nothing changed.
    fn map_block(&mut self, slot: Slot, size: u64) -> Result<bool, DeviceError> {
        let block = self.arena[slot];
        let Some(segment) = self.segment_of(block.address) else { return Ok(false) };
        let mapped = size.next_multiple_of(segment.page).min(block.size);
        if !self.map_pages(block.address, mapped, segment.page)? {
            return Ok(false);
        }
        let pool = usize::from(block.pool);
        self.pools[pool].unmapped.remove(&(block.stream, block.address, slot));
        if mapped < block.size {
            let rest = self.splice(slot, Block { address: block.address + mapped, size: block.size - mapped, ..block });
            self.pools[pool].unmapped.insert((block.stream, block.address + mapped, rest));
            self.arena[slot].size = mapped;
        }
        self.arena[slot].mapped = true;
        let neighbours = [self.arena[slot].prev, self.arena[slot].next];
        for neighbour in neighbours.into_iter().flatten() {
            self.merge(slot, neighbour);
        }
        self.insert_free(slot);
        let kind = kind_of(block.pool);
        let counted = if self.planted.has(Defect::ExpandableCountsRequest) { size } else { mapped };
        self.stats.increase(Family::ReservedBytes, kind, signed(counted));
        *self.stats.counter_mut(Counter::NumDeviceAlloc) += 1;
        self.note(Action::SegmentMap, block.address, mapped, block.stream, block.pool);
        Ok(true)
    }

    /// Maps page by page; gives back the pages of this call if one of them fails.
    fn map_pages(&mut self, address: u64, bytes: u64, page: u64) -> Result<bool, DeviceError> {
        let mut done = 0;
        let mut failure = None;
        while done < bytes && failure.is_none() {
            match self.device.map(address + done, page) {
                Ok(()) => done += page,
                Err(error) => failure = Some(error),
            }
        }
        if failure.is_none() && !self.planted.has(Defect::AccessNotSet) {
            let ignored = self.planted.has(Defect::AccessFailureIgnored);
            failure = self.device.set_access(address, bytes).err().filter(|_| !ignored);
        }
        let Some(error) = failure else { return Ok(true) };
        let leaks = if done < bytes { Defect::MapFailureKeepsPages } else { Defect::AccessErrorLeaks };
        if done > 0 && !self.planted.has(leaks) {
            self.strays.push((address, done));
            self.unmap_strays()?;
        }
        if error == DeviceError::OutOfMemory { Ok(false) } else { Err(error) }
    }

    /// Gives pages back that are mapped and in no block. Those that the device keeps are tried again before
    /// the next growth and with the next flush.
    pub(super) fn unmap_strays(&mut self) -> Result<(), DeviceError> {
        while let Some(&(address, bytes)) = self.strays.last() {
            self.device.unmap(address, bytes)?;
            self.strays.pop();
        }
        Ok(())
    }

    /// Takes the memory from behind the whole pages inside a free block.
    pub(super) fn unmap_block(&mut self, slot: Slot) -> Result<(), DeviceError> {
        let block = self.arena[slot];
        let Some(segment) = self.segment_of(block.address) else { return Ok(()) };
        let offset = block.address - segment.address;
        let first = segment.address + offset.next_multiple_of(segment.page);
        let end = segment.address + (offset + block.size) / segment.page * segment.page;
        if first >= end {
            return Ok(());
        }
        if !self.planted.has(Defect::UnmapDoesNotWait) {
            // `ExpandableSegment::unmapHandles` sets no device: handle 0 is the default stream of the one that is current.
            if self.elsewhere && self.library_alone && self.waits_elsewhere && block.stream == StreamHandle(0) {
                self.wait_due = true;
            } else {
                self.device.wait_stream(block.stream)?;
            }
        }
        let partial = self.planted.has(Defect::UnmapTakesPartialPages) && first > block.address;
        let from = if partial { first - segment.page } else { first };
        let unmapped = self.device.unmap(from, end - from);
        if !self.planted.has(Defect::UnmapFailureForgotten) {
            unmapped?;
        }
        let pool = usize::from(block.pool);
        self.pools[pool].free.remove(&mut self.arena, slot);
        let (before, after) = (first - block.address, block.address + block.size - end);
        if before > 0 {
            let rest = self.splice_before(slot, Block { size: before, requested: 0, ..block });
            self.insert_free(rest);
        }
        if after > 0 {
            let rest = self.splice(slot, Block { address: end, size: after, requested: 0, ..block });
            self.insert_free(rest);
        }
        let middle = &mut self.arena[slot];
        middle.address = first;
        middle.size = end - first;
        middle.mapped = false;
        let neighbours = [self.arena[slot].prev, self.arena[slot].next];
        for neighbour in neighbours.into_iter().flatten() {
            self.merge(slot, neighbour);
        }
        let kind = kind_of(block.pool);
        self.stats.decrease(Family::ReservedBytes, kind, signed(end - first));
        *self.stats.counter_mut(Counter::NumDeviceFree) += 1;
        self.note_growth(block.pool, -1);
        self.note(Action::SegmentUnmap, first, end - first, block.stream, block.pool);
        self.retire_or_keep(slot, segment)
    }

    /// An unmapped block that is all there is of its segment takes the segment with it; if the device does
    /// not take the addresses back, both stay to be mapped again.
    fn retire_or_keep(&mut self, slot: Slot, segment: ExpandableSegment) -> Result<(), DeviceError> {
        let block = self.arena[slot];
        let mut result = Ok(());
        if !block.is_split() {
            // The device takes no addresses back behind which there still is memory.
            let inside =
                |&(address, _): &(u64, u64)| (segment.address..segment.address + segment.bytes).contains(&address);
            if self.strays.iter().any(inside) {
                result = self.unmap_strays();
            }
            if result.is_ok() && !self.planted.has(Defect::AddressesLeak) {
                result = self.device.free_addresses(segment.address, segment.bytes);
            }
            if result.is_ok() {
                self.segments.retain(|s| s.address != segment.address);
                self.arena.remove(slot);
                return Ok(());
            }
        }
        self.pools[usize::from(block.pool)].unmapped.insert((block.stream, block.address, slot));
        result
    }

    /// Puts a new block right after `slot`.
    fn splice(&mut self, slot: Slot, block: Block) -> Slot {
        let next = self.arena[slot].next;
        let new = self.arena.insert(Block { prev: Some(slot), next, ..block });
        self.arena[slot].next = Some(new);
        if let Some(next) = next {
            self.arena[next].prev = Some(new);
        }
        new
    }

    /// Puts a new block right before `slot`.
    fn splice_before(&mut self, slot: Slot, block: Block) -> Slot {
        let prev = self.arena[slot].prev;
        let new = self.arena.insert(Block { prev, next: Some(slot), ..block });
        self.arena[slot].prev = Some(new);
        if let Some(prev) = prev {
            self.arena[prev].next = Some(new);
        }
        new
    }
}
