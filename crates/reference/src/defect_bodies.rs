//! The bodies of planted defects that are longer than a line at their place.
//!
//! Decides nothing that is right. For the sound allocator every function here is empty.

use super::allocator::{DeviceAllocator, LARGE, Request, SMALL, kind_of};
use super::block::{Block, Slot, State};
use super::defect::{Defect, Planting};
use super::free::FreeError;
use super::rounding::{MIB, MIN_LARGE, SEGMENT_ROUND, SMALL_LIMIT};
use super::settings::Settings;
use super::signed;
use crate::device::{Device, DeviceError, ProcessMemory};
use crate::op::snapshot::SegmentView;
use crate::op::stats::{Oversize, Row};
use crate::op::{Counter, Family, PoolKind, Stats};

/// Settings as a mistaken reader passes them on.
pub(super) fn settings(mut settings: Settings, planted: impl Planting) -> Settings {
    let plain = Settings::default();
    if planted.has(Defect::DivisionsIgnored) {
        settings.roundup_divisions = plain.roundup_divisions;
    }
    if planted.has(Defect::ExpandableIgnored) {
        settings.expandable_segments = plain.expandable_segments;
    }
    if planted.has(Defect::LargeSegmentIgnored) {
        settings.large_segment = plain.large_segment;
    }
    if planted.has(Defect::FractionSettingIgnored) {
        settings.fraction = plain.fraction;
    }
    settings
}

impl<D: Device, P: Planting> DeviceAllocator<D, P> {
    /// What changing the settings does besides.
    pub(super) fn mischange(&mut self) {
        if self.planted.has(Defect::SettingsEmptyCache) {
            // What the device would not take back stays cached.
            let _: Result<(), DeviceError> = self.release_cached();
        }
    }

    /// Whether pages stay as they are in a flush.
    pub(super) fn is_left_out(&self) -> bool {
        self.planted.has(Defect::PagesForgottenOnceOff) && !self.settings.expandable_segments
    }

    fn reserved(&self) -> u64 {
        u64::try_from(self.stats.all(Family::ReservedBytes).current).unwrap_or(0)
    }

    /// A request as a mistaken allocator rounds it.
    #[inline]
    pub(super) fn misround(&self, request: &mut Request) {
        let planted = self.planted;
        if planted.has(Defect::RoundsDown) {
            request.size = (request.bytes / 512 * 512).max(512);
        }
        if planted.has(Defect::BoundaryInLargePool) && request.size == SMALL_LIMIT {
            request.pool = LARGE;
        }
        if planted.has(Defect::LargeRequestsDoubled) && request.bytes > 16 * MIB {
            request.size = request.bytes.checked_next_power_of_two().unwrap_or(request.size);
        }
    }

    /// What is asked of the device for a request.
    pub(super) fn segment_for(&self, request: &Request) -> u64 {
        let (planted, size) = (self.planted, request.size);
        let mut segment = request.segment(&self.settings);
        if planted.has(Defect::BoundaryInLargePool) && size == SMALL_LIMIT {
            segment = self.settings.large_segment;
        }
        if planted.has(Defect::SegmentNotRounded) && size >= MIN_LARGE {
            segment = size;
        }
        if planted.has(Defect::TenMibSharesSegment) && size == MIN_LARGE {
            segment = self.settings.large_segment;
        }
        if planted.has(Defect::Preallocates) && self.reserved() == 0 {
            segment = segment.max(self.device.total_bytes() / 4 * 3 / SEGMENT_ROUND * SEGMENT_ROUND);
        }
        self.varied_segment(request, segment)
    }

    /// Figures of a block just handed out, counted wrongly.
    #[inline]
    pub(super) fn miscount(&mut self, slot: Slot, request: &Request, kind: PoolKind) {
        let planted = self.planted;
        let size = signed(self.arena[slot].size);
        let slack = size - signed(request.bytes);
        if planted.has(Defect::RequestedIsRounded) {
            self.stats.increase(Family::RequestedBytes, kind, slack);
        }
        if planted.has(Defect::AllocatedByRequest) {
            for row in [Row::All, kind.row()] {
                let stat = self.stats.get_mut(Family::AllocatedBytes, row);
                stat.current -= slack;
                stat.allocated -= slack;
            }
        }
        if planted.has(Defect::PoolPeaksFollowWhole) {
            for &family in Family::ALL {
                let whole = self.stats.all(family).current;
                let pool = self.stats.get_mut(family, Row::SmallPool);
                pool.peak = pool.peak.max(whole);
            }
        }
        if planted.has(Defect::PeakAtFreeOnly) {
            for row in [Row::All, kind.row()] {
                let stat = self.stats.get_mut(Family::ActiveBytes, row);
                stat.peak = stat.peak.min(stat.current - size).max(0);
            }
        }
        if planted.has(Defect::HandedOutStaysFree) && !self.arena[slot].is_split() {
            let still_there = self.arena.duplicate(slot);
            self.arena[still_there].state = State::Free;
            self.insert_free(still_there);
        }
    }

    /// A new limit in bytes, or none, as a mistaken allocator works it out from a fraction.
    pub(super) fn mislimit(&mut self, fraction: f64) -> Option<Option<u64>> {
        let planted = self.planted;
        let mut total = self.device.total_bytes();
        if planted.has(Defect::FractionLostEarly) && self.stats.counter(Counter::NumDeviceAlloc) == 0 {
            return Some(self.limit);
        }
        if planted.has(Defect::FractionTrims) {
            // A failure to give memory back is none to set a limit.
            let _: Result<(), DeviceError> = self.release_cached();
        }
        if planted.has(Defect::FractionOfFree) {
            total = self.device.free_bytes().unwrap_or(total);
        } else if !(planted.has(Defect::LimitRoundedUp) || planted.has(Defect::ZeroFractionUnlimited)) {
            return None;
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "as the sound allocator computes its limit"
        )]
        let mut limit = (fraction * total as f64) as u64;
        if planted.has(Defect::LimitRoundedUp) {
            limit = limit.next_multiple_of(SEGMENT_ROUND);
        }
        let unlimited = fraction >= 1.0 || planted.has(Defect::ZeroFractionUnlimited) && limit == 0;
        Some((!unlimited).then_some(limit))
    }

    /// What the limit is held against: bytes asked for and bytes held.
    pub(super) fn mischarge(&self, request: &Request, asked: i64, held: i64) -> (i64, i64) {
        let planted = self.planted;
        if planted.has(Defect::OthersChargedToLimit) {
            let others = self.habits.free.map_or(0, |free| signed(self.device.total_bytes() - free) - held);
            (asked, held + others.max(0))
        } else if planted.has(Defect::LimitForgetsRequest) {
            (0, held)
        } else if planted.has(Defect::LimitForgetsSegment) {
            (signed(request.size), held)
        } else if planted.has(Defect::LimitChargedOnce) && held > 0 {
            (0, 0)
        } else if planted.has(Defect::LimitSlack) {
            (asked, held + signed(32 * MIB))
        } else {
            (asked, held)
        }
    }

    /// What goes wrong when the device has no memory for a segment.
    pub(super) fn miscount_refused(&mut self, request: &Request) {
        let kind = kind_of(request.pool);
        self.habits.refused_since = Some((self.stats.counter(Counter::NumDeviceFree), self.segment_for(request)));
        if self.planted.has(Defect::DeviceAllocCountedEarly) {
            *self.stats.counter_mut(Counter::NumDeviceAlloc) += 1;
        }
        if self.planted.has(Defect::ReservedThoughRefused) {
            self.stats.increase(Family::ReservedBytes, kind, signed(self.segment_for(request)));
        }
    }

    /// Whether the device need not be asked: it refused before, and nothing went back to it since.
    pub(super) fn remembers_refusal(&self, request: &Request) -> bool {
        let returned = self.stats.counter(Counter::NumDeviceFree);
        let as_much = |(since, asked): (i64, u64)| since == returned && self.segment_for(request) >= asked;
        self.planted.has(Defect::RefusalRemembered) && self.habits.refused_since.is_some_and(as_much)
    }

    /// What each process holds, as a refusal tells it.
    pub(super) fn processes(&mut self) -> Vec<ProcessMemory> {
        let mut all = self.device.processes();
        if self.planted.has(Defect::MessageOthersAsOwn) {
            all.iter_mut().for_each(|process| process.process = None);
        }
        all
    }

    /// What goes wrong with the figures of a request that is refused.
    pub(super) fn miscount_oom(&mut self, request: &Request) {
        let kind = kind_of(request.pool);
        if self.planted.has(Defect::PeakOfRefused) {
            let stat = self.stats.get_mut(Family::AllocatedBytes, Row::All);
            stat.peak = stat.peak.max(stat.current.saturating_add(signed(request.size)));
        }
        if self.planted.has(Defect::NullCountedAsBlock) {
            self.stats.increase(Family::Allocation, kind, 1);
            self.stats.increase(Family::AllocatedBytes, kind, 512);
        }
    }

    /// What goes wrong when a segment was had.
    pub(super) fn misgrow(&mut self) {
        let calls = self.stats.counter(Counter::NumDeviceAlloc);
        if self.planted.has(Defect::HiddenDriverBlock) && calls % 4 == 0 {
            // Where there is none, there is nothing to hide.
            let _: Result<u64, DeviceError> = self.device.reserve(SEGMENT_ROUND);
        }
        if self.planted.has(Defect::DeviceAllocWraps) {
            *self.stats.counter_mut(Counter::NumDeviceAlloc) = calls & 0xff;
        }
    }

    /// The flush before the last attempt.
    pub(super) fn flush_for(&mut self, request: &Request) -> Result<(), DeviceError> {
        if self.planted.has(Defect::FlushBySumOfRequests) {
            let asked = u64::try_from(self.stats.all(Family::RequestedBytes).current).unwrap_or(0);
            if asked.saturating_add(request.bytes) <= self.device.total_bytes() {
                return Ok(());
            }
        }
        if self.planted.has(Defect::FlushKeepsBest) {
            let free = self.pools[usize::from(LARGE)].free.slots(&self.arena);
            let whole = free.filter(|&s| !self.arena[s].is_split() && !self.arena[s].expandable);
            if let Some(best) = whole.max_by_key(|&s| (self.arena[s].size, self.arena[s].address)) {
                self.pools[usize::from(LARGE)].free.remove(&mut self.arena, best);
                let flushed = self.release_cached();
                self.insert_free(best);
                return flushed;
            }
        }
        if self.planted.has(Defect::FlushOwnStream) {
            return self.release_where(|block| block.stream == request.stream);
        }
        if self.planted.has(Defect::FlushOwnPool) {
            return self.release_where(|block| block.pool == request.pool);
        }
        self.release_cached()
    }

    fn release_where(&mut self, goes: impl Fn(&Block) -> bool) -> Result<(), DeviceError> {
        *self.stats.counter_mut(Counter::NumSyncAllStreams) += 1;
        let mut result = self.wait_for_events(|_| true);
        for pool in [LARGE, SMALL] {
            let slots: Vec<Slot> = self.pools[usize::from(pool)].free.slots(&self.arena).collect();
            for slot in slots {
                let block = self.arena[slot];
                if goes(&block) && !block.expandable && !block.is_split() {
                    result = result.and(self.release_block(slot));
                }
            }
        }
        result
    }

    /// What is made of a pointer that no live block starts at.
    pub(super) fn free_unknown(&mut self, address: u64) -> Result<(), FreeError> {
        if self.planted.has(Defect::UnknownFreeCounted) {
            self.stats.decrease(Family::AllocatedBytes, PoolKind::Small, 512);
        }
        if self.planted.has(Defect::DoubleFreeReleases) {
            self.device.release(address)?;
        }
        if self.planted.has(Defect::InteriorFreesBlock) {
            let holds = |b: &Block| (b.address..b.address + b.size).contains(&address);
            let around = self.live.slots().map(|slot| self.arena[slot]).find(holds).map(|b| b.address);
            if let Some(start) = around {
                return self.free(start);
            }
        }
        if self.planted.has(Defect::UnknownFreeIgnored) {
            return Ok(());
        }
        Err(FreeError::InvalidPointer { address })
    }

    /// Whether a freed block never comes back.
    pub(super) fn loses(&self, size: u64) -> bool {
        self.planted.has(Defect::LargeFreeLost) && size > 16 << 20
            || self.planted.has(Defect::FreeLostNowAndThen) && self.stats.all(Family::Allocation).freed % 8 == 0
    }

    /// Figures of a block just freed, counted wrongly.
    #[inline]
    pub(super) fn misfree(&mut self, slot: Slot) {
        if self.planted.has(Defect::PeakFallsWithFree) {
            self.stats.get_mut(Family::Allocation, Row::All).reset_peak();
        }
        if self.planted.has(Defect::ActiveFallsEarly) && self.arena[slot].recorded {
            let (kind, size) = (self.kind(slot), signed(self.arena[slot].size));
            self.stats.decrease(Family::Active, kind, 1);
            self.stats.decrease(Family::ActiveBytes, kind, size);
        }
    }

    /// A waiting block is free before its time.
    pub(super) fn stop_waiting(&mut self, slot: Slot) {
        self.events.forget(slot);
        self.recorded.remove(&slot);
        self.arena[slot].state = State::Free;
        self.insert_free(slot);
    }

    /// Peaks as a mistaken reset leaves them.
    pub(super) fn misreset_peaks(&mut self, before: &Stats) {
        if self.planted.has(Defect::RequestedPeakNotReset) {
            let kept = before.all(Family::RequestedBytes).peak;
            self.stats.get_mut(Family::RequestedBytes, Row::All).peak = kept;
        }
        for &family in Family::ALL {
            for row in [Row::SmallPool, Row::LargePool] {
                if self.planted.has(Defect::PeakResetWholeOnly) {
                    self.stats.get_mut(family, row).peak = before.get(family, row).peak;
                }
            }
        }
        if self.planted.has(Defect::PeakResetToZero) {
            self.stats.tracked_mut().for_each(|stat| stat.peak = 0);
        }
        for &which in Oversize::ALL {
            if self.planted.has(Defect::OversizePeakNotReset) {
                self.stats.oversize_mut(which).peak = before.oversize(which).peak;
            }
        }
    }

    /// Accumulated figures as a mistaken reset leaves them.
    pub(super) fn misreset_accumulated(&mut self, before: &Stats) {
        if self.planted.has(Defect::AccumulatedResetClearsPeaks) {
            self.stats.tracked_mut().for_each(crate::op::Stat::reset_peak);
        }
        if self.planted.has(Defect::AccumulatedResetKeepsCounters) {
            for which in [Counter::NumOoms, Counter::NumDeviceAlloc] {
                *self.stats.counter_mut(which) = before.counter(which);
            }
        }
        if self.planted.has(Defect::AccumulatedResetClearsSetting) {
            *self.stats.counter_mut(Counter::MaxSplitSize) = 0;
        }
    }

    /// Whether a cut segment is given back with its first block. What follows it is left without a front: a link to a
    /// block that is gone would lead in circles.
    pub(super) fn tears_off(&mut self, slot: Slot) -> bool {
        let Block { prev, next, .. } = self.arena[slot];
        if !self.planted.has(Defect::TrimTakesSplit) || prev.is_some() {
            return false;
        }
        if let Some(next) = next {
            self.arena[next].prev = None;
        }
        true
    }

    /// Segments whose addresses touch, shown as one.
    pub(super) fn join(&self, views: Vec<SegmentView>) -> Vec<SegmentView> {
        if !self.planted.has(Defect::SnapshotJoinsSegments) {
            return views;
        }
        let mut joined: Vec<SegmentView> = Vec::new();
        for view in views {
            match joined.last_mut().filter(|l| l.address + l.total_size == view.address) {
                Some(last) => {
                    last.total_size += view.total_size;
                    last.allocated_size += view.allocated_size;
                    last.active_size += view.active_size;
                    last.requested_size += view.requested_size;
                    last.blocks.extend(view.blocks);
                }
                None => joined.push(view),
            }
        }
        joined
    }
}
