//! Giving memory back to the device: all of the cache, the oversize part of it, or its oldest part.

use super::allocator::{DeviceAllocator, LARGE, Request, SMALL};
use super::block::Slot;
use super::defect::{Defect, Planting};
use super::signed;
use crate::device::{Device, DeviceError, StreamHandle};
use crate::op::stats::Oversize;
use crate::op::trace::Action;
use crate::op::{Counter, DeviceCall, Family};

/// Whether a call failed because a stream captures.
fn is_of_capture(error: &DeviceError) -> bool {
    const STREAM_CAPTURE_UNSUPPORTED: i32 = 900;
    matches!(error, DeviceError::Failed { code: STREAM_CAPTURE_UNSUPPORTED, .. })
}

impl<D: Device, P: Planting> DeviceAllocator<D, P> {
    /// Waits for every event and gives back all that no live block lies in.
    ///
    /// # Errors
    /// The first device call that failed; what could be given back was.
    pub fn release_cached(&mut self) -> Result<(), DeviceError> {
        self.passed_together = 0;
        if self.private.is_redirecting() {
            return self.release_dead(None);
        }
        if !self.planted.has(Defect::SyncNotCounted) {
            *self.stats.counter_mut(Counter::NumSyncAllStreams) += 1;
        }
        let waited = if self.planted.has(Defect::FlushDoesNotWait) { Ok(()) } else { self.wait_for_events(|_| true) };
        self.merge_left_apart();
        let strays = self.unmap_strays();
        let large = self.release_pool(LARGE);
        if self.is_thrown(&large) {
            return large;
        }
        let small = if self.planted.has(Defect::SmallPoolNotTrimmed) { Ok(()) } else { self.release_pool(SMALL) };
        if self.is_thrown(&small) {
            return small;
        }
        waited.and(strays).and(large).and(small).and(self.release_dead(None))
    }

    /// Whether PyTorch goes no further after that: a capture forbids to give memory back, or what was given back is no segment,
    /// and the first call that fails for it throws.
    fn is_thrown(&self, released: &Result<(), DeviceError>) -> bool {
        released.as_ref().is_err_and(|error| self.is_raised(error))
    }

    /// Whether PyTorch raises what the driver answers. After `max_split_size_mb` was changed it takes a part of a segment for an
    /// oversize block, which is never split, and the driver knows no segment there.
    fn is_raised(&self, error: &DeviceError) -> bool {
        self.library_alone && is_of_capture(error)
            || self.raises_for_parts && matches!(error, DeviceError::InvalidValue { call: DeviceCall::Release })
    }

    pub(super) fn release_pool(&mut self, pool: u16) -> Result<(), DeviceError> {
        let mut cached: Vec<Slot> = self.pools[usize::from(pool)].free.slots(&self.arena).collect();
        if self.planted.has(Defect::TrimStopsEarly) {
            cached.truncate(1);
        }
        if self.planted.has(Defect::TrimDefaultStreamOnly) {
            cached.retain(|&slot| self.arena[slot].stream == StreamHandle(0));
        }
        let mut first_error = Ok(());
        let mut expandable = Vec::new();
        for slot in cached {
            let block = &self.arena[slot];
            if block.expandable && self.is_left_out() {
                continue;
            }
            if block.expandable {
                expandable.push(slot);
            } else if !block.is_split() || self.tears_off(slot) {
                let released = self.release_block(slot);
                if self.is_thrown(&released) {
                    return released;
                }
                first_error = first_error.and(released);
            }
        }
        for slot in expandable {
            first_error = first_error.and(self.unmap_block(slot));
        }
        first_error
    }

    /// Gives one whole segment back. On failure it stays cached.
    pub(super) fn release_block(&mut self, slot: Slot) -> Result<(), DeviceError> {
        let block = self.arena[slot];
        let kind = self.kind(slot);
        if self.planted.has(Defect::ReleaseErrorCounted) {
            self.stats.decrease(Family::ReservedBytes, kind, signed(block.size));
        }
        if let Err(error) = self.device.release(block.address) {
            if self.is_raised(&error) {
                // PyTorch counts and notes it before it asks (`release_block`).
                *self.stats.counter_mut(Counter::NumDeviceFree) += 1;
                self.note(Action::SegmentFree, block.address, block.size, block.stream, block.pool);
            }
            if self.planted.has(Defect::ErrorSticks) {
                self.stuck = Some(error.clone());
            }
            if !self.planted.has(Defect::ReleaseFailureForgotten) {
                return Err(error);
            }
        }
        self.pools[usize::from(block.pool)].free.remove(&mut self.arena, slot);
        self.arena.remove(slot);
        if !self.planted.has(Defect::DeviceFreeNotCounted) {
            *self.stats.counter_mut(Counter::NumDeviceFree) += 1;
        }
        self.note_growth(block.pool, -1);
        if !self.planted.has(Defect::SegmentCountKept) {
            self.stats.decrease(Family::Segment, kind, 1);
        }
        if !self.planted.has(Defect::ReservedKeptOnTrim) && !self.planted.has(Defect::ReleaseErrorCounted) {
            let wrong = self.planted.has(Defect::ReleasedByRequestSize);
            let size = if wrong { block.requested } else { block.size };
            self.stats.decrease(Family::ReservedBytes, kind, signed(size));
        }
        if block.size >= self.settings.max_split && !self.planted.has(Defect::OversizeCountKept) {
            self.stats.oversize_mut(Oversize::Segments).decrease(1);
        }
        self.note(Action::SegmentFree, block.address, block.size, block.stream, block.pool);
        Ok(())
    }

    /// Gives back oversize cached blocks until one request's worth is free: whether enough was.
    ///
    /// # Errors
    /// The device call that failed.
    pub(super) fn release_oversize(&mut self, request: &Request) -> Result<bool, DeviceError> {
        if self.planted.has(Defect::OversizeFlushesAll) {
            return Ok(false);
        }
        let max_split = self.settings.max_split;
        let wanted = request.size.max(max_split);
        let pool = &self.pools[usize::from(request.pool)];
        let fitting = pool.free.first_fit(&self.arena, request.stream, wanted);
        if let Some(slot) = fitting
            && !self.arena[slot].expandable
        {
            let released = self.release_block(slot);
            return if self.is_thrown(&released) { released.map(|()| false) } else { Ok(released.is_ok()) };
        }
        let below = pool.free.below_in_reverse(&self.arena, request.stream, (wanted, 0));
        let candidates: Vec<Slot> = below.take_while(|&slot| self.arena[slot].size >= max_split).collect();
        let mut released = 0;
        for slot in candidates {
            if released >= wanted {
                break;
            }
            let block = self.arena[slot];
            if block.expandable {
                continue;
            }
            let given_back = self.release_block(slot);
            if self.is_thrown(&given_back) {
                return given_back.map(|()| false);
            }
            released += given_back.map_or(0, |()| block.size);
        }
        Ok(released >= wanted)
    }

    /// Gives back those of the large pool's cached segments that begin at these addresses, in that order: a garbage
    /// collection by ages or a limit that nobody knows any more.
    ///
    /// # Errors
    /// The device call that failed.
    pub fn collect_at(&mut self, addresses: &[u64]) -> Result<(), DeviceError> {
        for &address in addresses {
            let whole = |&slot: &Slot| {
                let block = &self.arena[slot];
                block.address == address && !block.is_split() && !block.expandable
            };
            let found = self.pools[usize::from(LARGE)].free.slots(&self.arena).find(whole);
            found.map_or(Ok(()), |slot| self.release_block(slot))?;
        }
        Ok(())
    }

    /// Gives back the oldest unsplit segments of the large pool until the cache is below its threshold.
    ///
    /// # Errors
    /// A stream captures, and the device gives nothing back meanwhile.
    pub(super) fn collect_garbage(&mut self) -> Result<(), DeviceError> {
        let Some(limit) = self.limit else { return Ok(()) };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "truncated, as PyTorch does"
        )]
        let threshold = (self.settings.gc_threshold * limit as f64) as u64; // truncated, as PyTorch does
        let reserved = u64::try_from(self.stats.all(Family::ReservedBytes).current).unwrap_or(0);
        if reserved <= threshold || self.planted.has(Defect::GcNeverRuns) {
            return Ok(());
        }
        let target = if self.planted.has(Defect::GcTakesAll) { u64::MAX } else { reserved - threshold };
        let pool = &self.pools[usize::from(LARGE)];
        let age = |slot: Slot| u64::from(pool.searches - self.arena[slot].searches_at_free);
        let unsplit: Vec<Slot> = pool.free.slots(&self.arena).filter(|&s| !self.arena[s].is_split()).collect();
        let ages: Vec<u64> = unsplit.iter().map(|&s| age(s)).collect();
        let mut candidates: Vec<(Slot, u64)> = unsplit.into_iter().zip(ages).collect();
        let mut total_age: u64 = candidates.iter().map(|(_, age)| age).sum();
        let mut count = candidates.len() as u64;
        let mut reclaimed = 0;
        let mut progress = true;
        while reclaimed < target && progress && count > 0 {
            progress = false;
            #[expect(clippy::cast_precision_loss, reason = "a mean of ages, as PyTorch computes it")]
            let cut = total_age as f64 / count as f64;
            let mut failed = None;
            candidates.retain(|&(slot, age)| {
                let block = self.arena[slot];
                #[expect(clippy::cast_precision_loss, reason = "compared with a mean, as PyTorch does")]
                let (age_now, youngest) = (age as f64, self.planted.has(Defect::GcTakesYoungest));
                let old = if youngest { age_now <= cut } else { age_now >= cut };
                if block.expandable || !old || failed.is_some() {
                    return true;
                }
                if let Err(error) = self.release_block(slot) {
                    failed = Some(error).filter(|error| self.library_alone && is_of_capture(error));
                    return true;
                }
                progress = true;
                reclaimed += block.size;
                total_age -= age;
                count -= 1;
                false
            });
            if let Some(error) = failed {
                return Err(error);
            }
        }
        Ok(())
    }
}
