//! A card as a recorded program had it: so much memory, and addresses as the driver gave them where they are known.
//!
//! Decides whether a request for memory fits. Has no contents and no clock; streams are busy and idle as it is told.

use std::collections::{BTreeMap, VecDeque};

use super::stream_activity::{Streams, events_by_streams};
use super::{Device, DeviceError, Event, StreamHandle};
use crate::op::DeviceCall;

/// Where addresses begin that nobody recorded: above those that drivers give.
const FIRST: u64 = 1 << 56;

/// Addresses that the driver gave, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Given {
    /// Of segments, by size.
    pub segments: BTreeMap<u64, VecDeque<u64>>,
    /// Of ranges.
    pub ranges: VecDeque<u64>,
}

/// One card.
#[derive(Debug, Clone)]
pub struct Card {
    total: u64,
    available: u64,
    used: u64,
    given: Given,
    /// Addresses in use: segments and ranges, and the memory mapped into ranges.
    segments: BTreeMap<u64, u64>,
    ranges: BTreeMap<u64, u64>,
    mapped: BTreeMap<u64, u64>,
    /// Addresses given back, by size.
    spare: BTreeMap<u64, Vec<u64>>,
    next: u64,
    streams: Streams,
}

impl Card {
    /// A card of `total` bytes, of which this process can have `available`.
    #[must_use]
    pub fn new(total: u64, available: u64, given: Given) -> Self {
        Card {
            total,
            available,
            used: 0,
            given,
            segments: BTreeMap::new(),
            ranges: BTreeMap::new(),
            mapped: BTreeMap::new(),
            spare: BTreeMap::new(),
            next: FIRST,
            streams: Streams::default(),
        }
    }

    /// So much can be had from now on; what is held stays.
    pub fn make_available(&mut self, bytes: u64) {
        self.available = bytes;
    }

    /// A segment was got before.
    pub fn hold(&mut self, address: u64, bytes: u64) {
        self.segments.insert(address, bytes);
        self.used = self.used.saturating_add(bytes);
    }

    /// A range of addresses was reserved before.
    pub fn hold_range(&mut self, address: u64, bytes: u64) {
        self.ranges.insert(address, bytes);
    }

    /// Memory was mapped into a range before.
    pub fn hold_mapped(&mut self, address: u64, bytes: u64) {
        self.mapped.insert(address, bytes);
        self.used = self.used.saturating_add(bytes);
    }

    /// Work was put on a stream that keeps it busy.
    pub fn occupy(&mut self, stream: StreamHandle) {
        self.streams.occupy(stream);
    }

    /// What is put on a stream from now on waits for what is on another one now.
    pub fn hold_for(&mut self, stream: StreamHandle, on: StreamHandle) {
        self.streams.hold_for(stream, on);
    }

    /// The stream is idle.
    pub fn finish(&mut self, stream: StreamHandle) {
        self.streams.finish(stream);
    }

    /// Everything on the card has finished.
    pub fn synchronize(&mut self) {
        self.streams.synchronize();
    }

    fn take(&mut self, bytes: u64) -> Result<(), DeviceError> {
        let used = self.used.checked_add(bytes).filter(|&used| used <= self.available);
        self.used = used.ok_or(DeviceError::OutOfMemory)?;
        Ok(())
    }

    fn is_unused(&self, address: u64, bytes: u64) -> bool {
        let end = address.saturating_add(bytes);
        let clear = |map: &BTreeMap<u64, u64>| {
            map.range(..end).next_back().is_none_or(|(start, length)| start.saturating_add(*length) <= address)
        };
        clear(&self.segments) && clear(&self.ranges)
    }

    /// An address of its own; the last ones that fit no more are an end of all addresses.
    fn fresh(&mut self, bytes: u64) -> Result<u64, DeviceError> {
        if let Some(address) = self.spare.get_mut(&bytes).and_then(Vec::pop) {
            return Ok(address);
        }
        let next = self.next.checked_add(bytes).ok_or(DeviceError::OutOfMemory)?;
        Ok(std::mem::replace(&mut self.next, next))
    }
}

impl Device for Card {
    fn total_bytes(&self) -> u64 {
        self.total
    }

    fn free_bytes(&mut self) -> Result<u64, DeviceError> {
        Ok(self.available.saturating_sub(self.used))
    }

    fn reserve(&mut self, bytes: u64) -> Result<u64, DeviceError> {
        self.take(bytes)?;
        let given = self.given.segments.get_mut(&bytes).and_then(VecDeque::pop_front);
        let address = match given.filter(|&address| self.is_unused(address, bytes)) {
            Some(address) => address,
            None => self.fresh(bytes).inspect_err(|_| self.used -= bytes)?,
        };
        self.segments.insert(address, bytes);
        Ok(address)
    }

    fn release(&mut self, address: u64) -> Result<(), DeviceError> {
        let bytes = self.segments.remove(&address).ok_or(DeviceError::InvalidValue { call: DeviceCall::Release })?;
        self.used = self.used.saturating_sub(bytes);
        if address >= FIRST {
            self.spare.entry(bytes).or_default().push(address);
        }
        Ok(())
    }

    fn reserve_addresses(&mut self, bytes: u64) -> Result<u64, DeviceError> {
        let given = self.given.ranges.pop_front().filter(|&address| self.is_unused(address, bytes));
        let address = given.map_or_else(|| self.fresh(bytes), Ok)?;
        self.ranges.insert(address, bytes);
        Ok(address)
    }

    fn free_addresses(&mut self, address: u64, bytes: u64) -> Result<(), DeviceError> {
        self.ranges.remove(&address);
        if address >= FIRST {
            self.spare.entry(bytes).or_default().push(address);
        }
        Ok(())
    }

    fn map(&mut self, address: u64, bytes: u64) -> Result<(), DeviceError> {
        self.take(bytes)?;
        self.mapped.insert(address, bytes);
        Ok(())
    }

    fn set_access(&mut self, _address: u64, _bytes: u64) -> Result<(), DeviceError> {
        Ok(())
    }

    fn unmap(&mut self, address: u64, bytes: u64) -> Result<(), DeviceError> {
        let end = address.saturating_add(bytes);
        // What was mapped at once before may go in parts.
        let first = self.mapped.range(..address).next_back().map(|(&at, &length)| (at, length));
        let touched: Vec<(u64, u64)> =
            first.into_iter().chain(self.mapped.range(address..end).map(|(&at, &length)| (at, length))).collect();
        for (at, length) in touched.into_iter().filter(|(at, length)| at.saturating_add(*length) > address) {
            self.mapped.remove(&at);
            if at < address {
                self.mapped.insert(at, address - at);
            }
            let past = at.saturating_add(length);
            if past > end {
                self.mapped.insert(end, past - end);
            }
            self.used = self.used.saturating_sub(past.min(end) - at.max(address));
        }
        Ok(())
    }

    events_by_streams!();
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn memory_is_counted_and_recorded_addresses_come_first() {
        let given =
            Given { segments: BTreeMap::from([(2 * MIB, VecDeque::from([4096, 4096]))]), ranges: VecDeque::new() };
        let mut card = Card::new(100 * MIB, 5 * MIB, given);
        assert_eq!((card.reserve(2 * MIB), card.total_bytes()), (Ok(4096), 100 * MIB));
        assert_eq!(card.reserve(2 * MIB), Ok(FIRST), "the recorded address is in use");
        assert_eq!((card.reserve(2 * MIB), card.free_bytes()), (Err(DeviceError::OutOfMemory), Ok(MIB)));
        assert_eq!((card.release(FIRST), card.reserve(2 * MIB)), (Ok(()), Ok(FIRST)));
        card.make_available(7 * MIB);
        assert_eq!((card.reserve(2 * MIB), card.free_bytes()), (Ok(FIRST + 2 * MIB), Ok(MIB)));
        assert!(card.release(7).is_err());
    }

    #[test]
    fn what_is_unmapped_in_parts_is_free_in_parts() {
        let mut card = Card::new(64 * MIB, 8 * MIB, Given { ranges: VecDeque::from([4096]), ..Given::default() });
        assert_eq!(card.reserve_addresses(64 * MIB), Ok(4096));
        card.hold_mapped(4096, 6 * MIB);
        assert_eq!(
            (card.map(4096 + 6 * MIB, 2 * MIB), card.map(4096 + 8 * MIB, 2 * MIB)),
            (Ok(()), Err(DeviceError::OutOfMemory))
        );
        assert_eq!((card.unmap(4096 + 2 * MIB, 2 * MIB), card.free_bytes()), (Ok(()), Ok(2 * MIB)));
        assert_eq!((card.unmap(4096, 8 * MIB), card.free_bytes()), (Ok(()), Ok(8 * MIB)));
        assert_eq!(card.free_addresses(4096, 64 * MIB), Ok(()));
    }
}
