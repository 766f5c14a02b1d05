//! When cached memory goes back to the device, when more is got than asked, and when events are asked for, under a variation.
//!
//! Decides nothing of which block is taken. What a device will not take back stays cached.

use super::Variation;
use crate::allocator::{DeviceAllocator, LARGE, Request, SMALL};
use crate::block::{Slot, State};
use crate::defect::Planting;
use crate::device::{Device, DeviceError};
use crate::op::{Counter, PoolKind};
use crate::private::{Catch, PoolId};
use crate::rounding::MIB;

/// So many bytes of whole segments stay cached where a variation bounds them.
const MOST_CACHED: u64 = 32 * MIB;
/// A segment is forgotten once so many blocks were freed after it.
const LONG_UNUSED: u32 = 32;

impl<D: Device, P: Planting> DeviceAllocator<D, P> {
    /// What a variation gives back to the device when a block is freed.
    #[inline]
    pub(crate) fn trim_eagerly(&mut self, slot: Slot) {
        let planted = self.planted;
        let settled = !self.private.is_redirecting();
        let whole = !self.arena[slot].is_split() && self.arena[slot].state == State::Free;
        let alone = settled
            && planted.varies(Variation::UncachedLarge)
            && self.kind(slot) == PoolKind::Large
            && !self.varied.captured.contains(&self.pool_id(slot));
        if whole && (planted.varies(Variation::EagerTrimming) || planted.varies(Variation::NeverCaches) || alone) {
            self.give_back(slot);
        } else if settled && planted.varies(Variation::BoundedCache) {
            self.bound_cache();
        } else if settled && planted.varies(Variation::UnusedForgotten) {
            for pool in [SMALL, LARGE] {
                let now = self.pools[usize::from(pool)].searches;
                for slot in self.whole(pool) {
                    if now.wrapping_sub(self.arena[slot].searches_at_free) >= LONG_UNUSED {
                        self.give_back(slot);
                    }
                }
            }
        }
    }

    /// Gives a whole segment back, once its stream has finished; whether it went.
    fn give_back(&mut self, slot: Slot) -> bool {
        let wait = self.device.wait_stream(self.arena[slot].stream);
        wait.and_then(|()| self.release_block(slot)).is_ok()
    }

    /// The segments of a pool that nobody uses any part of, the longest unused first.
    fn whole(&self, pool: u16) -> Vec<Slot> {
        let free = self.pools[usize::from(pool)].free.slots(&self.arena);
        let mut whole: Vec<Slot> = free.filter(|&s| !self.arena[s].is_split() && !self.arena[s].expandable).collect();
        whole.sort_by_key(|&s| self.arena[s].searches_at_free);
        whole
    }

    fn bound_cache(&mut self) {
        let cached: Vec<Slot> = [SMALL, LARGE].into_iter().flat_map(|pool| self.whole(pool)).collect();
        let mut held: u64 = cached.iter().map(|&s| self.arena[s].size).sum();
        for slot in cached {
            let size = self.arena[slot].size;
            if held > MOST_CACHED && self.give_back(slot) {
                held -= size;
            }
        }
    }

    /// The segment that is got ahead of need.
    pub(crate) fn get_spare(&mut self, request: &Request) {
        let shared = self.segment_for(request) <= self.settings.large_segment;
        if !self.planted.varies(Variation::SpareSegment) || !shared || self.private.is_redirecting() {
            return;
        }
        if let Ok(Some(spare)) = self.grow(request) {
            self.insert_free(spare);
        }
    }

    /// For lack of memory: gives back part of the cache, as a variation has it, and tries again.
    ///
    /// # Errors
    /// A device call that failed.
    pub(crate) fn give_back_part(&mut self, request: &Request) -> Result<Option<Slot>, DeviceError> {
        let own = self.planted.varies(Variation::PoolsByStream);
        if !own && !self.planted.varies(Variation::GivesBackPart) {
            return Ok(None);
        }
        let cached: Vec<Slot> = [LARGE, SMALL].into_iter().flat_map(|pool| self.whole(pool)).collect();
        for slot in cached {
            if own && self.arena[slot].stream != request.stream || !self.give_back(slot) {
                continue;
            }
            if !own && let Some(slot) = self.grow(request)? {
                *self.stats.counter_mut(Counter::NumAllocRetries) += 1;
                return Ok(Some(slot));
            }
        }
        let found = if own { self.grow(request)? } else { None };
        *self.stats.counter_mut(Counter::NumAllocRetries) += i64::from(found.is_some());
        Ok(found)
    }

    /// Asks for events where a variation does so beside requests. One that cannot be asked for waits on.
    pub(crate) fn poll(&mut self, when: Variation) {
        if self.planted.varies(when) && !self.private.is_redirecting() {
            let _: Result<(), DeviceError> = self.process_events();
        }
    }

    /// The figures are about to be read.
    pub fn before_reading(&mut self) {
        self.poll(Variation::PollsAtReading);
    }

    /// Requests go to a pool from now on.
    pub(crate) fn note_redirection(&mut self, id: PoolId, catch: Catch) {
        if self.planted.varies(Variation::UncachedLarge) && matches!(catch, Catch::Stream(_)) {
            self.varied.captured.insert(id);
        }
    }
}
