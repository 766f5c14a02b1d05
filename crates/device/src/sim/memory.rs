//! Addresses, the physical memory behind them, and what it holds.
//!
//! Decides which addresses are handed out, which of them have memory, and what an access finds there.
//! Does not know streams: accesses come here when they run.

use std::collections::BTreeMap;

use super::contents::Contents;
use super::physical::Owned;
use super::space::Space;
use super::streams::Write;
use crate::DeviceError;
use crate::gaps::Gaps;
use crate::op::{ContentsReport, DeviceCall, GRANULE, PROCESS_ADDRESSES};

/// From the first address of a device to that of the next, where nothing else is asked for.
pub(super) const SPACING: u64 = 1 << 52;
const FIRST: u64 = 0x7f00_0000_0000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Got with its memory.
    Segment,
    /// Addresses alone; memory is mapped into them.
    Reserved,
}

#[derive(Debug, Clone, Copy)]
struct Range {
    bytes: u64,
    kind: Kind,
}

#[derive(Debug, Clone, Copy)]
struct Mapping {
    bytes: u64,
    physical: u64,
    accessible: bool,
    /// Not an alias: the memory is counted here and given back with this mapping.
    owner: bool,
}

/// The part of an access that one mapping serves; `physical` is `None` where there is no usable memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Extent {
    offset: u64,
    bytes: u64,
    physical: Option<u64>,
}

#[derive(Debug)]
pub(super) struct Memory {
    base: u64,
    total: u64,
    used: u64,
    /// What another process holds.
    neighbour: u64,
    space: Space,
    gaps: Gaps,
    ranges: BTreeMap<u64, Range>,
    mappings: BTreeMap<u64, Mapping>,
    /// Physical positions are never used twice, so that stale contents cannot look fresh.
    next_physical: u64,
    contents: Contents,
    illegal_access: Option<u64>,
    /// Memory that was got without addresses, by its position.
    pub(super) handles: BTreeMap<u64, Owned>,
}

fn granules(bytes: u64) -> u64 {
    bytes.div_ceil(GRANULE)
}

fn invalid<T>(call: DeviceCall) -> Result<T, DeviceError> {
    Err(DeviceError::InvalidValue { call })
}

impl Memory {
    /// The device's addresses begin `spacing` behind those of the one before it.
    pub(super) fn new(device: u32, total: u64, spacing: u64, space: Space) -> Self {
        Memory {
            base: FIRST.wrapping_add(u64::from(device).wrapping_mul(spacing)),
            total,
            used: 0,
            neighbour: 0,
            space,
            gaps: Gaps::new(PROCESS_ADDRESSES.min(spacing) / GRANULE),
            ranges: BTreeMap::new(),
            mappings: BTreeMap::new(),
            next_physical: 0,
            contents: Contents::default(),
            illegal_access: None,
            handles: BTreeMap::new(),
        }
    }

    pub(super) fn total(&self) -> u64 {
        self.total
    }

    pub(super) fn free(&self) -> u64 {
        self.total - self.used - self.neighbour
    }

    pub(super) fn used(&self) -> u64 {
        self.used
    }

    pub(super) fn neighbour(&self) -> u64 {
        self.neighbour
    }

    /// Another process holds so much from now on, in whole granules, or what is left.
    pub(super) fn set_neighbour(&mut self, bytes: u64) {
        self.neighbour = 0;
        self.neighbour = granules(bytes).min(self.free() / GRANULE) * GRANULE;
    }

    pub(super) fn take_illegal_access(&mut self) -> Option<u64> {
        self.illegal_access.take()
    }

    pub(super) fn reserve(&mut self, bytes: u64) -> Result<u64, DeviceError> {
        if bytes == 0 {
            return invalid(DeviceCall::Reserve);
        }
        self.can_take(bytes)?;
        let address = self.addresses(bytes, Kind::Segment)?;
        let physical = self.take(bytes);
        self.mappings.insert(address, Mapping { bytes, physical, accessible: true, owner: true });
        Ok(address)
    }

    pub(super) fn starts_segment(&self, address: u64) -> bool {
        self.ranges.get(&address).is_some_and(|r| r.kind == Kind::Segment)
    }

    pub(super) fn release(&mut self, address: u64) -> Result<(), DeviceError> {
        if !self.starts_segment(address) {
            return invalid(DeviceCall::Release);
        }
        if let Some(range) = self.ranges.remove(&address) {
            self.give_addresses(address, range.bytes);
        }
        if let Some(mapping) = self.mappings.remove(&address) {
            self.give(mapping);
        }
        Ok(())
    }

    pub(super) fn reserve_addresses(&mut self, bytes: u64) -> Result<u64, DeviceError> {
        if bytes == 0 || !bytes.is_multiple_of(GRANULE) {
            return invalid(DeviceCall::ReserveAddresses);
        }
        self.addresses(bytes, Kind::Reserved)
    }

    pub(super) fn free_addresses(&mut self, address: u64, bytes: u64) -> Result<(), DeviceError> {
        let known = self.ranges.get(&address).is_some_and(|r| r.kind == Kind::Reserved && r.bytes == bytes);
        if !known || self.mappings.range(address..address + bytes).next().is_some() {
            return invalid(DeviceCall::ReserveAddresses);
        }
        self.ranges.remove(&address);
        self.give_addresses(address, bytes);
        Ok(())
    }

    pub(super) fn map(&mut self, address: u64, bytes: u64) -> Result<(), DeviceError> {
        self.can_map(address, bytes)?;
        self.can_take(bytes)?;
        let physical = self.take(bytes);
        self.mappings.insert(address, Mapping { bytes, physical, accessible: false, owner: true });
        Ok(())
    }

    /// Puts the memory behind `of` behind `address` too.
    pub(super) fn alias(&mut self, address: u64, of: u64, bytes: u64) -> Result<(), DeviceError> {
        self.can_map(address, bytes)?;
        let behind = self.mappings.range(..=of).next_back().filter(|&(&s, m)| of.saturating_add(bytes) <= s + m.bytes);
        let Some((start, mapping)) = behind else { return invalid(DeviceCall::Map) };
        let physical = mapping.physical + (of - start);
        self.mappings.insert(address, Mapping { bytes, physical, accessible: true, owner: false });
        Ok(())
    }

    pub(super) fn set_access(&mut self, address: u64, bytes: u64) -> Result<(), DeviceError> {
        if !self.in_reserved(address, bytes) || !self.is_mapped(address, bytes) {
            return invalid(DeviceCall::SetAccess);
        }
        self.cut(address);
        self.cut(address + bytes);
        self.mappings.range_mut(address..address + bytes).for_each(|(_, m)| m.accessible = true);
        Ok(())
    }

    pub(super) fn unmap(&mut self, address: u64, bytes: u64) -> Result<(), DeviceError> {
        if !self.in_reserved(address, bytes) || !self.is_mapped(address, bytes) {
            return invalid(DeviceCall::Unmap);
        }
        self.cut(address);
        self.cut(address + bytes);
        while let Some((&at, &mapping)) = self.mappings.range(address..address + bytes).next() {
            self.mappings.remove(&at);
            self.give(mapping);
        }
        Ok(())
    }

    /// A write runs. The first address without memory ends it and is remembered.
    pub(super) fn write(&mut self, write: Write) {
        let Write { address, bytes, tag } = write;
        if let Some(physical) = self.behind(address, bytes) {
            return self.contents.write(physical, physical + bytes, tag);
        }
        for extent in extents(&self.mappings, address, bytes) {
            let Some(physical) = extent.physical else {
                self.illegal_access.get_or_insert(address.saturating_add(extent.offset));
                return;
            };
            self.contents.write(physical, physical + extent.bytes, tag);
        }
    }

    /// What a read of the whole range finds, up to the first stretch that is not as it should be.
    pub(super) fn check(&self, address: u64, bytes: u64, tag: u32) -> ContentsReport {
        if self.behind(address, bytes).is_some_and(|physical| self.contents.holds(physical, physical + bytes, tag)) {
            return ContentsReport::Intact;
        }
        let mut changed: Option<(u64, u64, Option<u32>)> = None;
        for extent in extents(&self.mappings, address, bytes) {
            let Some(physical) = extent.physical else {
                return changed.map_or(ContentsReport::Unmapped { offset: extent.offset }, report);
            };
            for piece in self.contents.pieces(physical, physical + extent.bytes) {
                match &mut changed {
                    None if piece.tag == Some(tag) => {}
                    None => {
                        let offset = extent.offset + (piece.start - physical);
                        changed = Some((offset, piece.end - piece.start, piece.tag));
                    }
                    Some((_, length, found)) if *found == piece.tag => *length += piece.end - piece.start,
                    Some(done) => return report(*done),
                }
            }
        }
        changed.map_or(ContentsReport::Intact, report)
    }

    /// Where the memory of a range is, if a single mapping serves all of it: nearly always.
    fn behind(&self, address: u64, bytes: u64) -> Option<u64> {
        let (&start, mapping) = self.mappings.range(..=address).next_back()?;
        let offset = address - start;
        let inside = mapping.bytes.checked_sub(offset).is_some_and(|rest| bytes <= rest);
        (inside && mapping.accessible).then(|| mapping.physical + offset)
    }

    fn addresses(&mut self, bytes: u64, kind: Kind) -> Result<u64, DeviceError> {
        let whole = granules(bytes).checked_mul(GRANULE).filter(|&whole| self.space.take(whole));
        let Some(whole) = whole else { return Err(DeviceError::OutOfMemory) };
        let Some(position) = self.gaps.take(whole / GRANULE) else {
            self.space.give(whole);
            return Err(DeviceError::OutOfMemory);
        };
        let address = self.base + position * GRANULE;
        self.ranges.insert(address, Range { bytes, kind });
        Ok(address)
    }

    fn give_addresses(&mut self, address: u64, bytes: u64) {
        self.gaps.give((address - self.base) / GRANULE, granules(bytes));
        self.space.give(granules(bytes) * GRANULE);
    }

    /// Whether so many addresses are not to be had for the memory behind them, not for ranges of this device without any.
    pub(super) fn exhausts_addresses(&self, bytes: u64) -> bool {
        if bytes > PROCESS_ADDRESSES || !self.space.lacks(bytes) {
            return false;
        }
        let end = |start: u64, range: &Range| start.saturating_add(range.bytes);
        let is_empty = |(at, range): &(&u64, &Range)| self.mappings.range(**at..end(**at, range)).next().is_none();
        let kept: u64 = self.ranges.iter().filter(is_empty).map(|(_, range)| granules(range.bytes) * GRANULE).sum();
        self.space.lacks(bytes.saturating_sub(kept))
    }

    fn can_take(&self, bytes: u64) -> Result<(), DeviceError> {
        if granules(bytes) > self.free() / GRANULE { Err(DeviceError::OutOfMemory) } else { Ok(()) }
    }

    /// Whether memory can be got without addresses.
    pub(super) fn can_create(&self, bytes: u64) -> Result<(), DeviceError> {
        if bytes == 0 || !bytes.is_multiple_of(GRANULE) { invalid(DeviceCall::Map) } else { self.can_take(bytes) }
    }

    /// Puts memory of a handle behind addresses that `can_map` allows.
    pub(super) fn map_physical(&mut self, address: u64, bytes: u64, physical: u64) {
        self.mappings.insert(address, Mapping { bytes, physical, accessible: false, owner: false });
    }

    /// The memory that is mapped to exactly these addresses.
    pub(super) fn physical_behind(&self, address: u64, bytes: u64) -> Option<u64> {
        self.mappings.get(&address).filter(|m| m.bytes == bytes && !m.owner).map(|m| m.physical)
    }

    pub(super) fn forget_mapping(&mut self, address: u64) {
        self.mappings.remove(&address);
    }

    pub(super) fn take(&mut self, bytes: u64) -> u64 {
        let whole = granules(bytes) * GRANULE;
        let physical = self.next_physical;
        self.used += whole;
        self.next_physical += whole;
        physical
    }

    fn give(&mut self, mapping: Mapping) {
        if mapping.owner {
            self.lose(mapping.physical, mapping.bytes);
        }
    }

    /// That much memory is nobody's any more, and holds nothing.
    pub(super) fn lose(&mut self, physical: u64, bytes: u64) {
        self.used -= granules(bytes) * GRANULE;
        self.contents.clear(physical, physical + bytes);
    }

    fn in_reserved(&self, address: u64, bytes: u64) -> bool {
        let aligned = bytes != 0 && bytes.is_multiple_of(GRANULE) && address.is_multiple_of(GRANULE);
        let range = self.ranges.range(..=address).next_back();
        let inside = |(&s, r): (&u64, &Range)| {
            r.kind == Kind::Reserved && address.checked_add(bytes).is_some_and(|end| end <= s + r.bytes)
        };
        aligned && range.is_some_and(inside)
    }

    pub(super) fn can_map(&self, address: u64, bytes: u64) -> Result<(), DeviceError> {
        let clear = |end| self.mappings.range(..end).next_back().is_none_or(|(&s, m)| s + m.bytes <= address);
        if self.in_reserved(address, bytes) && clear(address + bytes) { Ok(()) } else { invalid(DeviceCall::Map) }
    }

    /// Whether every byte is mapped, accessible or not.
    fn is_mapped(&self, address: u64, bytes: u64) -> bool {
        let Some(end) = address.checked_add(bytes).filter(|_| bytes != 0) else { return false };
        let mut at = address;
        while at < end {
            match self.mappings.range(..=at).next_back() {
                Some((&s, m)) if s + m.bytes > at => at = s + m.bytes,
                _ => return false,
            }
        }
        true
    }

    /// Makes a mapping boundary here, if a mapping spans the address. For reserved ranges alone: a segment
    /// is one mapping.
    fn cut(&mut self, address: u64) {
        let Some((&start, mapping)) = self.mappings.range_mut(..address).next_back() else { return };
        let kept = address - start;
        if mapping.bytes > kept {
            let tail = Mapping { bytes: mapping.bytes - kept, physical: mapping.physical + kept, ..*mapping };
            mapping.bytes = kept;
            self.mappings.insert(address, tail);
        }
    }

    #[cfg(test)]
    pub(super) fn intervals(&self) -> usize {
        self.contents.intervals()
    }
}

/// An access in parts, in order and without holes.
fn extents(mappings: &BTreeMap<u64, Mapping>, address: u64, bytes: u64) -> impl Iterator<Item = Extent> + '_ {
    let end = address.saturating_add(bytes);
    let first = mappings.range(..=address).next_back().map_or(address, |(&s, _)| s);
    let mut rest = mappings.range(first..end).peekable();
    let mut at = address;
    std::iter::from_fn(move || {
        if at >= end {
            return None;
        }
        while rest.peek().is_some_and(|&(&s, m)| s + m.bytes <= at) {
            rest.next();
        }
        let (stop, physical) = match rest.peek() {
            Some(&(&s, m)) if s <= at => ((s + m.bytes).min(end), m.accessible.then(|| m.physical + (at - s))),
            Some(&(&s, _)) => (s, None),
            None => (end, None),
        };
        let extent = Extent { offset: at - address, bytes: stop - at, physical };
        at = stop;
        Some(extent)
    })
}

fn report((offset, bytes, tag): (u64, u64, Option<u32>)) -> ContentsReport {
    let found = tag.map_or_else(|| "nothing written".to_owned(), |t| format!("the pattern of b{t}"));
    ContentsReport::Changed { offset, bytes, found }
}
