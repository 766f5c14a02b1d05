//! Expandable segments: ranges of addresses that memory is put behind and taken from page by page.

use super::{Block, Naive, Request, State, sizes};
use crate::device::{Device, DeviceError};
use crate::op::{Counter, Family, PoolKind};

impl<D: Device> Naive<D> {
    /// Maps memory until a cached block is as large as the request: its address. Nothing if the device has
    /// no more; what was mapped on the way stays cached.
    pub(super) fn grow_expandable(&mut self, request: &Request) -> Result<Option<u64>, DeviceError> {
        let start = match self.room(request) {
            Some(start) => start,
            None => match self.reserve_range(request) {
                Err(DeviceError::OutOfMemory) => return Ok(None),
                answer => answer?,
            },
        };
        let first = &self.blocks[self.at(start)];
        if first.state == State::Unmapped && !self.map(start, first.size.min(request.size))? {
            return Ok(None);
        }
        loop {
            let i = self.at(start);
            let Some(missing) = request.size.checked_sub(self.blocks[i].size).filter(|&m| m > 0) else {
                return Ok(Some(start));
            };
            let next = &self.blocks[i + 1];
            if !self.map(next.address, next.size.min(missing))? {
                return Ok(None);
            }
        }
    }

    /// Where the first stretch of cached and unmapped blocks begins that is long enough and has an unmapped one.
    fn room(&self, request: &Request) -> Option<u64> {
        let usable = |k: usize| matches!(self.blocks[k].state, State::Free | State::Unmapped);
        let unmapped = (0..self.blocks.len()).filter(|&i| {
            let b = &self.blocks[i];
            b.state == State::Unmapped && b.pool == request.pool && b.stream == request.stream
        });
        for i in unmapped {
            let start = self.neighbours(i).0.filter(|&left| usable(left)).unwrap_or(i);
            let (mut sum, mut at) = (0, Some(start));
            while let Some(k) = at.filter(|&k| usable(k)) {
                sum += self.blocks[k].size;
                at = self.neighbours(k).1;
            }
            if sum >= request.size {
                return Some(self.blocks[start].address);
            }
        }
        None
    }

    /// Addresses for an eighth more than the device has.
    fn reserve_range(&mut self, request: &Request) -> Result<u64, DeviceError> {
        let page = if request.pool == PoolKind::Small { sizes::SMALL_SEGMENT } else { self.settings.large_segment };
        let total = self.device.total_bytes();
        let bytes = (total + total / 8).div_ceil(page) * page;
        let address = self.device.reserve_addresses(bytes)?;
        self.add_segment(request, address, bytes, Some(page));
        Ok(address)
    }

    /// Maps at least so many bytes at the front of an unmapped block; whether the device had the memory.
    fn map(&mut self, address: u64, bytes: u64) -> Result<bool, DeviceError> {
        let i = self.at(address);
        let block = self.blocks[i].clone();
        let page = self.segment(block.segment).page.expect("an unmapped block is in an expandable segment");
        let bytes = bytes.div_ceil(page) * page;
        match self.device.map(address, bytes) {
            Err(DeviceError::OutOfMemory) => return Ok(false),
            answer => answer?,
        }
        self.device.set_access(address, bytes)?;
        if block.size > bytes {
            let rest = Block { address: address + bytes, size: block.size - bytes, ..block.clone() };
            self.insert(rest);
        }
        self.blocks[i].size = bytes;
        self.blocks[i].state = State::Free;
        let (i, _) = self.merge(i);
        self.blocks[i].freed_at = self.searches_of(block.pool);
        self.stats.increase(Family::ReservedBytes, block.pool, bytes.cast_signed());
        *self.stats.counter_mut(Counter::NumDeviceAlloc) += 1;
        Ok(true)
    }

    /// Takes the memory from the whole pages inside a cached block; a range left without any goes.
    pub(super) fn unmap(&mut self, address: u64) -> Result<(), DeviceError> {
        let i = self.at(address);
        let block = self.blocks[i].clone();
        let segment = *self.segment(block.segment);
        let page = segment.page.expect("only blocks of expandable segments are unmapped");
        let first = (block.address - segment.address).div_ceil(page) * page + segment.address;
        let last = (block.address + block.size - segment.address) / page * page + segment.address;
        if first >= last {
            return Ok(());
        }
        self.device.wait_stream(segment.stream)?;
        self.device.unmap(first, last - first)?;
        let freed_at = self.searches_of(segment.pool);
        let piece =
            |from: u64, to: u64, state| Block { address: from, size: to - from, state, freed_at, ..block.clone() };
        let end = block.address + block.size;
        self.blocks.remove(i);
        let pieces = [
            piece(block.address, first, State::Free),
            piece(first, last, State::Unmapped),
            piece(last, end, State::Free),
        ];
        for piece in pieces.into_iter().filter(|p| p.size > 0) {
            self.insert(piece);
        }
        self.stats.decrease(Family::ReservedBytes, segment.pool, (last - first).cast_signed());
        *self.stats.counter_mut(Counter::NumDeviceFree) += 1;
        let (i, _) = self.merge(self.at(first));
        if self.blocks[i].size == segment.bytes {
            self.device.free_addresses(segment.address, segment.bytes)?;
            self.blocks.remove(i);
            self.segments.retain(|s| s.number != segment.number);
        }
        Ok(())
    }
}
