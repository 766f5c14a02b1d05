//! Which free block serves a request under a variation, and when blocks of other streams may.
//!
//! Decides nothing of sizes, and nothing of when memory goes back to the device.

use super::Variation;
use crate::allocator::{DeviceAllocator, Request, kind_of};
use crate::block::{Slot, State};
use crate::defect::{Defect, Planting};
use crate::device::{Device, DeviceError, StreamHandle};
use crate::op::{Counter, PoolKind};

impl<D: Device, P: Planting> DeviceAllocator<D, P> {
    /// The free block that is taken where best fit on the request's own stream does not decide.
    pub(crate) fn choose(&mut self, request: &Request, size: u64) -> Option<Slot> {
        let planted = self.planted;
        let free = &self.pools[usize::from(request.pool)].free;
        let first = || free.first_fit(&self.arena, request.stream, size);
        let of = |slot: Slot| &self.arena[slot];
        if planted.has(Defect::ExactSizeOnly) {
            return first().filter(|&s| of(s).size == request.size);
        } else if planted.has(Defect::StreamIgnored) {
            let fits = free.slots(&self.arena).filter(|&s| of(s).size >= size);
            return fits.min_by_key(|&s| (of(s).size, of(s).address));
        } else if planted.has(Defect::StealsWithoutWaiting) {
            return first().or_else(|| free.slots(&self.arena).find(|&s| of(s).size >= size));
        }
        if planted.has(Defect::WaitOrdersBothWays) || planted.has(Defect::OldWaitStillCounts) {
            let found = first().or_else(|| self.borrow_ordered(request, size).filter(|&s| !of(s).is_split()));
            return found.map(|slot| self.move_over(slot, request.stream));
        }
        let found = self.choose_of(request, request.stream, size).or_else(|| {
            let borrows = planted.varies(Variation::BorrowsIdle) && !self.private.is_redirecting();
            if borrows { self.borrow_idle(request, size) } else { None }
        });
        let ordered = || self.borrow_ordered(request, size).filter(|_| planted.varies(Variation::FollowsWaits));
        found.or_else(ordered).map(|slot| self.move_over(slot, request.stream))
    }

    /// The block on that stream, moved there if it is another's.
    fn move_over(&mut self, slot: Slot, stream: StreamHandle) -> Slot {
        if self.arena[slot].stream == stream { slot } else { self.move_to(slot, stream) }
    }

    /// The free block of a stream that a variation takes.
    fn choose_of(&self, request: &Request, stream: StreamHandle, size: u64) -> Option<Slot> {
        let planted = self.planted;
        let of = |slot: Slot| &self.arena[slot];
        let free = &self.pools[usize::from(request.pool)].free;
        let max_split = self.settings.max_split;
        // What the search would pass over must not hide what it would take.
        let own = free.from(&self.arena, stream, (size, 0));
        let mut own =
            own.filter(|&s| (request.size >= max_split || of(s).size < max_split) && self.is_of_slab(request, s));
        let last = self.varied.last_address;
        if planted.varies(Variation::FirstFit) {
            own.min_by_key(|&s| of(s).address)
        } else if planted.varies(Variation::NextFit) {
            own.min_by_key(|&s| (of(s).address < last, of(s).address))
        } else if planted.varies(Variation::NewestFirst) {
            own.max_by_key(|&s| of(s).searches_at_free)
        } else if planted.varies(Variation::OldestFirst) {
            own.min_by_key(|&s| of(s).searches_at_free)
        } else if planted.varies(Variation::WorstFit) {
            own.min_by_key(|&s| (std::cmp::Reverse(of(s).size), of(s).address))
        } else if planted.varies(Variation::HighestFit) {
            own.max_by_key(|&s| of(s).address)
        } else if planted.varies(Variation::ScatteredFit) {
            own.min_by_key(|&s| of(s).address.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(17))
        } else {
            own.next()
        }
    }

    /// Whether a small block lies in a segment of its size, where segments hold blocks of one.
    fn is_of_slab(&self, request: &Request, slot: Slot) -> bool {
        if !self.planted.varies(Variation::Slabs) || kind_of(request.pool) == PoolKind::Large {
            return true;
        }
        let slab = self.varied.slabs.range(..=self.arena[slot].address).next_back();
        slab.is_some_and(|(_, &size)| size == request.size)
    }

    /// Streams beside the request's own that have a free block in its pool, by handle.
    fn lenders(&self, request: &Request) -> Vec<StreamHandle> {
        let free = &self.pools[usize::from(request.pool)].free;
        let mut streams: Vec<StreamHandle> = free.slots(&self.arena).map(|s| self.arena[s].stream).collect();
        streams.dedup();
        streams.retain(|&s| s != request.stream);
        streams
    }

    /// Whether all work of a stream has finished; one that cannot be asked may have some left.
    fn is_idle(&mut self, stream: StreamHandle) -> bool {
        self.device.record_event(stream).and_then(|event| self.device.query_event(event)).unwrap_or(false)
    }

    /// A block of the first idle stream that has one, moved to the request's stream.
    fn borrow_idle(&mut self, request: &Request, size: u64) -> Option<Slot> {
        for lender in self.lenders(request) {
            if let Some(slot) = self.choose_of(request, lender, size)
                && self.is_idle(lender)
            {
                return Some(self.move_to(slot, request.stream));
            }
        }
        None
    }

    /// A block of the first stream that has one and can be waited for, taken out of the free set.
    pub(super) fn borrow_waiting(&mut self, request: &Request) -> Option<Slot> {
        for lender in self.lenders(request) {
            if let Some(slot) = self.choose_of(request, lender, request.size)
                && self.device.wait_stream(lender).is_ok()
            {
                self.move_to(slot, request.stream);
                return self.find_free(request);
            }
        }
        None
    }

    fn move_to(&mut self, slot: Slot, stream: StreamHandle) -> Slot {
        let pool = usize::from(self.arena[slot].pool);
        self.pools[pool].free.remove(&mut self.arena, slot);
        self.arena[slot].stream = stream;
        self.insert_free(slot); // as if it were freed on that stream now
        slot
    }

    fn lends(&self) -> bool {
        [Variation::BorrowsIdle, Variation::BorrowsWaiting, Variation::FollowsWaits]
            .into_iter()
            .any(|v| self.planted.varies(v))
    }

    /// Whether two free neighbours must stay apart: they are of two streams, and the other one still works.
    #[inline]
    pub(crate) fn keeps_apart(&mut self, slot: Slot, neighbour: Slot) -> bool {
        let (own, other) = (self.arena[slot].stream, self.arena[neighbour].stream);
        self.lends() && own != other && (self.private.is_redirecting() || !self.is_idle(other))
    }

    /// Before memory goes back: free neighbours that were left apart merge, once nobody works in them.
    pub(crate) fn merge_left_apart(&mut self) {
        if self.lends() {
            let free = self.pools.iter().flat_map(|p| p.free.slots(&self.arena));
            let mut streams: Vec<StreamHandle> = free.map(|s| self.arena[s].stream).collect();
            streams.sort_unstable();
            streams.dedup();
            if streams.into_iter().any(|stream| self.device.wait_stream(stream).is_err()) {
                return;
            }
        }
        if self.lends() || self.planted.varies(Variation::LazyMerging) {
            self.merge_all();
        }
    }

    /// Merges whatever free neighbours there are, with the figures of it.
    pub(super) fn merge_all(&mut self) {
        for pool in 0..self.pools.len() {
            while let Some(slot) = self.mergeable(pool) {
                let Some(next) = self.arena[slot].next else { break };
                let kind = self.kind(slot);
                self.pools[pool].free.remove(&mut self.arena, slot);
                self.absorb(slot, next);
                let whole = !self.arena[slot].is_split();
                let size = crate::signed(self.arena[slot].size);
                self.insert_free(slot);
                self.apply_net(crate::op::Family::InactiveSplit, kind, if whole { -2 } else { -1 });
                self.apply_net(crate::op::Family::InactiveSplitBytes, kind, if whole { -size } else { 0 });
            }
        }
    }

    /// A free block whose right neighbour is free too.
    fn mergeable(&self, pool: usize) -> Option<Slot> {
        let is_free = |slot: &Slot| self.arena[*slot].state == State::Free && self.arena[*slot].mapped;
        self.pools[pool].free.slots(&self.arena).find(|&s| self.arena[s].next.as_ref().is_some_and(is_free))
    }

    /// What a variation finds once the cache was flushed: streams were waited for, and their blocks may be borrowed now.
    pub(crate) fn search_after_flush(&mut self, request: &Request) -> Option<Slot> {
        if self.planted.varies(Variation::BorrowsWaiting) {
            return self.find_free(request).or_else(|| self.borrow_waiting(request));
        }
        if self.planted.varies(Variation::BorrowsIdle) { self.find_free(request) } else { None }
    }

    /// What a variation tries before memory is asked of the device.
    ///
    /// # Errors
    /// A device call that failed.
    pub(crate) fn search_otherwise(&mut self, request: &Request) -> Result<Option<Slot>, DeviceError> {
        let planted = self.planted;
        let redirecting = self.private.is_redirecting();
        if planted.varies(Variation::LazyMerging) {
            self.merge_all();
        }
        if planted.varies(Variation::PollsLate) && !redirecting {
            self.process_events()?;
        }
        if planted.varies(Variation::WaitsFirst) && !redirecting {
            *self.stats.counter_mut(Counter::NumSyncAllStreams) += 1;
            self.wait_for_events(|_| true)?;
        }
        if planted.varies(Variation::FlushesFirst) && !redirecting {
            self.release_cached()?;
        }
        if planted.varies(Variation::BorrowsWaiting)
            && !redirecting
            && let Some(slot) = self.borrow_waiting(request)
        {
            return Ok(Some(slot));
        }
        let again = [Variation::LazyMerging, Variation::PollsLate, Variation::WaitsFirst, Variation::FlushesFirst];
        let searches = again.into_iter().any(|v| planted.varies(v));
        Ok(if searches { self.find_free(request) } else { None })
    }
}
