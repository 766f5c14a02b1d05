//! Planted races: mistakes in what a lock covers, which no single thread can show.
//!
//! Decides what each does wrong. In a course of calls one after the other each of them is right.

use super::super::allocator::SMALL;
use super::super::block::{Slot, State};
use crate::device::{Device, StreamHandle};
use crate::op::stats::{Column, Row};
use crate::op::{Counter, Family, Stats};
use crate::{AllocError, DeviceAllocator, Planting};

/// A mistake in what a lock covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Race {
    /// The statistics after an allocation are written back under a lock of their own.
    StatsOutsideLock,
    /// A cached block is looked for under the lock and taken under it again, without another look.
    CacheCheckedFirst,
    /// A pointer leaves the table only after its block was given back, and may be out again by then.
    TableErasedLate,
    /// Peaks are set to values that were read before under the lock.
    PeakResetTorn,
    /// `empty_cache` lists the cached segments under the lock and gives them back under it one by one.
    TrimListsFirst,
}

impl Race {
    /// Every race.
    pub const ALL: [Race; 5] = [
        Race::StatsOutsideLock,
        Race::CacheCheckedFirst,
        Race::TableErasedLate,
        Race::PeakResetTorn,
        Race::TrimListsFirst,
    ];

    /// Its name in the list of defects.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Race::StatsOutsideLock => "stats-outside-lock",
            Race::CacheCheckedFirst => "cache-checked-first",
            Race::TableErasedLate => "table-erased-late",
            Race::PeakResetTorn => "peak-reset-torn",
            Race::TrimListsFirst => "trim-lists-first",
        }
    }

    /// The public report of such a mistake in a real allocator.
    #[must_use]
    pub fn copies(self) -> &'static str {
        match self {
            Race::StatsOutsideLock => "tensorflow/tensorflow #59176",
            Race::CacheCheckedFirst => "cupy/cupy #317",
            Race::TableErasedLate => "rapidsai/rmm #2304",
            Race::PeakResetTorn => "own",
            Race::TrimListsFirst => "cupy/cupy #105",
        }
    }
}

impl std::str::FromStr for Race {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let names = || Race::ALL.map(Race::name).join(", ");
        Race::ALL.into_iter().find(|r| r.name() == name).ok_or_else(|| format!("the planted races are {}", names()))
    }
}

impl<D: Device, P: Planting> DeviceAllocator<D, P> {
    /// The block that a request would get from the cache.
    pub(super) fn peek(&mut self, bytes: u64, stream: StreamHandle) -> Option<Slot> {
        let request = self.request(bytes, stream)?;
        let slot = self.find_free(&request)?;
        self.insert_free(slot);
        Some(slot)
    }

    /// Serves a request with the block that was seen: if somebody has it by now, they both have.
    pub(super) fn take_seen(&mut self, slot: Slot, bytes: u64, stream: StreamHandle) -> Result<u64, AllocError> {
        let block = self.arena[slot];
        let fits = block.requested == bytes && block.stream == stream;
        if block.state != State::Allocated || !fits {
            return self.alloc(bytes, stream);
        }
        let kind = self.kind(slot);
        self.stats.increase(Family::Allocation, kind, 1);
        self.stats.increase(Family::RequestedBytes, kind, super::super::counted(bytes));
        Ok(block.address)
    }

    /// Cached segments in which nothing is in use.
    pub(super) fn list_cached(&mut self) -> Vec<(Slot, u64)> {
        *self.stats.counter_mut(Counter::NumSyncAllStreams) += 1;
        drop(self.wait_for_events(|_| true)); // what the device cannot wait for stays
        let cached = self.pools[usize::from(SMALL)..].iter().flat_map(|pool| pool.free.slots(&self.arena));
        cached
            .filter(|&s| !self.arena[s].is_split() && !self.arena[s].expandable)
            .map(|s| (s, self.arena[s].address))
            .collect()
    }

    /// Gives a segment back that was listed: if somebody has a block in it by now, it goes all the same.
    pub(super) fn release_listed(&mut self, slot: Slot, address: u64) {
        let block = self.arena[slot];
        if block.address != address {
            return;
        }
        let result = match block.state {
            State::Free if !block.is_split() => self.release_block(slot),
            State::Allocated => self.device.release(address),
            _ => Ok(()),
        };
        // A segment that the device keeps stays cached.
        drop(result);
    }

    /// Lowers every peak to the value that was read before.
    pub(super) fn lower_peaks(&mut self, seen: &Stats) {
        for &family in Family::ALL {
            for &row in Row::ALL {
                self.stats.get_mut(family, row).peak = seen.get(family, row).column(Column::Current);
            }
        }
    }
}
