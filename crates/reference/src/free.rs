//! Giving a block back: at once, or after the streams recorded on it.

use super::allocator::{DeviceAllocator, SMALL, kind_of};
use super::block::{Block, Slot, State};
use super::counted;
use super::defect::{Defect, Planting};
use super::variation::Variation;
use crate::device::{Device, DeviceError, StreamHandle};
use crate::op::Family;
use crate::op::stats::Oversize;
use crate::op::trace::Action;

/// Why a pointer was not taken back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the message of each says what happened")]
pub enum FreeError {
    #[error("invalid device pointer: {address:#x}")]
    InvalidPointer { address: u64 },
    #[error("the device failed: {0}")]
    Device(#[from] DeviceError),
}

impl<D: Device, P: Planting> DeviceAllocator<D, P> {
    /// Whether a live block starts at the address.
    #[must_use]
    pub fn owns(&self, address: u64) -> bool {
        self.live.get(&self.arena, address).is_some()
    }

    /// The size of the live block at the address, rounding included.
    #[must_use]
    pub fn size_of(&self, address: u64) -> Option<u64> {
        self.live.get(&self.arena, address).map(|slot| self.arena[slot].size)
    }

    /// Takes a block back.
    ///
    /// # Errors
    /// The address is not the start of a live block; or the device can neither record an event nor wait,
    /// in which case the block stays pending until the cache is flushed.
    pub fn free(&mut self, address: u64) -> Result<(), FreeError> {
        let Some(slot) = self.live.remove(&self.arena, address) else {
            return self.free_unknown(address);
        };
        let Block { size, requested, stream, mut pool, recorded, .. } = self.arena[slot];
        if self.planted.has(Defect::FreedInSmallPool) {
            pool = SMALL;
        }
        self.note(Action::FreeRequested, address, requested, stream, pool);
        self.stats.decrease(Family::Allocation, kind_of(pool), 1);
        self.stats.decrease(Family::AllocatedBytes, kind_of(pool), counted(size));
        if size >= self.settings.max_split {
            self.stats.oversize_mut(Oversize::Allocations).decrease(1);
        }
        self.misfree(slot);
        if recorded && self.private.is_redirecting() && self.planted.has(Defect::DeferredFreeTakenUp) {
            self.recorded.remove(&slot);
            self.arena[slot].recorded = false;
            self.become_free(slot);
        } else if recorded && self.private.is_redirecting() {
            self.arena[slot].state = State::Pending;
            self.private.put_off.push(slot);
        } else if recorded {
            self.arena[slot].state = State::Pending;
            let before = self.private.captured.len();
            self.private.captured.retain(|(block, _)| *block != slot);
            self.private.kept_by_object |= self.private.captured.len() < before;
            self.await_streams(slot)?;
        } else if self.loses(size) {
            self.arena[slot].state = State::Pending;
        } else {
            self.become_free(slot);
        }
        self.poll(Variation::PollsAtFree);
        Ok(())
    }

    /// Records that a stream uses a live block. Ignored for the block's own stream and unknown addresses.
    pub fn record_stream(&mut self, address: u64, stream: StreamHandle) {
        let Some(slot) = self.live.get(&self.arena, address) else { return };
        let block = &mut self.arena[slot];
        if block.stream == stream {
            return;
        }
        let lost = self.planted.has(Defect::RecordNeedsSegmentStart) && block.prev.is_some();
        if lost || self.planted.has(Defect::RecordIgnored) {
            return;
        }
        block.recorded = true;
        let streams = self.recorded.entry(slot).or_default();
        if self.planted.has(Defect::LastRecordOnly) {
            streams.clear();
        }
        let full = self.planted.has(Defect::FirstRecordOnly) && !streams.is_empty();
        if !full && !streams.contains(&stream) {
            streams.push(stream);
        }
        if self.private.is_redirecting() {
            self.private.captured.push((slot, stream));
        }
    }

    /// The block joins the free set, together with its free neighbours.
    pub(super) fn become_free(&mut self, slot: Slot) {
        let block = &mut self.arena[slot];
        block.state = State::Free;
        let Block { address, size: own_size, requested, stream, pool, recorded, expandable, .. } = *block;
        let kind = kind_of(pool);
        self.note(Action::FreeCompleted, address, requested, stream, pool);
        self.stats.decrease(Family::RequestedBytes, kind, counted(requested));
        let lazy = self.planted.varies(Variation::LazyMerging);
        let (blocks, bytes) = if lazy { (0, 0) } else { self.merge_neighbours(slot) };
        let block = &mut self.arena[slot];
        let (merged_size, mut split) = (block.size, block.is_split());
        if self.planted.has(Defect::FreedWithRequestSize) && !split {
            block.size = block.requested.next_multiple_of(512).min(block.size);
        }
        split |= blocks > 0 && self.planted.has(Defect::WholeCountedAsSplit);
        self.insert_free(slot);
        let size = if self.planted.has(Defect::ActiveLosesMergedSize) { merged_size } else { own_size };
        let kept = self.planted.has(Defect::ActiveKeptWithoutEvents) && !recorded
            || self.planted.has(Defect::ActiveFallsEarly) && recorded;
        if !kept {
            self.stats.decrease(Family::Active, kind, 1);
            self.stats.decrease(Family::ActiveBytes, kind, counted(size));
        }
        if !expandable {
            self.apply_net(Family::InactiveSplit, kind, i64::from(split) - blocks);
            self.apply_net(Family::InactiveSplitBytes, kind, if split { counted(merged_size) } else { 0 } - bytes);
        }
        self.trim_eagerly(slot);
    }

    /// Makes the free neighbours of a block part of it; answers how many there were and their bytes.
    #[inline]
    fn merge_neighbours(&mut self, slot: Slot) -> (i64, i64) {
        if self.planted.varies(Variation::Buddies) {
            return self.merge_buddies(slot);
        }
        let Block { prev, next, .. } = self.arena[slot];
        let (mut blocks, mut bytes) = (0, 0);
        if let Some(prev) = prev.filter(|_| !self.planted.has(Defect::PreviousNeighbourNotMerged)) {
            let absorbed = self.merge(slot, prev);
            blocks += i64::from(absorbed > 0);
            bytes += counted(absorbed);
        }
        if let Some(next) = next.filter(|_| !self.planted.has(Defect::NextNeighbourNotMerged)) {
            let absorbed = self.merge(slot, next);
            blocks += i64::from(absorbed > 0);
            bytes += counted(absorbed);
        }
        if self.planted.has(Defect::MergeAcrossSegments) {
            self.merge_by_address(slot);
        }
        (blocks, bytes)
    }

    /// One net movement: up counts as allocated, down as freed, nothing as nothing.
    pub(super) fn apply_net(&mut self, family: Family, kind: crate::op::PoolKind, net: i64) {
        match net {
            0 => {}
            up if up > 0 => self.stats.increase(family, kind, up),
            down => self.stats.decrease(family, kind, -down),
        }
    }

    /// Makes `neighbour` part of `slot` if it may be; answers the bytes absorbed.
    #[inline(always)]
    pub(super) fn merge(&mut self, slot: Slot, neighbour: Slot) -> u64 {
        let other = &self.arena[neighbour];
        let waits = other.state == State::Pending && self.planted.has(Defect::MergesWithWaiting);
        let apart = other.mapped != self.arena[slot].mapped && !self.planted.has(Defect::MergesUnmapped);
        if (other.state != State::Free && !waits) || apart || self.keeps_apart(slot, neighbour) {
            return 0;
        }
        if waits {
            self.stop_waiting(neighbour);
        }
        self.absorb(slot, neighbour)
    }

    #[inline(never)]
    pub(super) fn absorb(&mut self, slot: Slot, neighbour: Slot) -> u64 {
        let Block { mapped, pool, stream, address, size, prev, next, .. } = self.arena[neighbour];
        let pool = &mut self.pools[usize::from(pool)];
        if mapped {
            pool.free.remove(&mut self.arena, neighbour);
        } else {
            pool.unmapped.remove(&(stream, address, neighbour));
        }
        let block = &mut self.arena[slot];
        if !self.planted.has(Defect::MergedSizeForgotten) {
            block.size += size;
        }
        if block.prev == Some(neighbour) {
            if !self.planted.has(Defect::MergedAtOwnAddress) {
                block.address = address;
            }
            block.prev = prev;
            if let Some(previous) = prev {
                self.arena[previous].next = Some(slot);
            }
        } else {
            block.next = next;
            if let Some(next) = next {
                self.arena[next].prev = Some(slot);
            }
        }
        self.arena.remove(neighbour);
        size
    }

    /// The defect that forgets where a segment ends.
    fn merge_by_address(&mut self, slot: Slot) {
        let block = self.arena[slot];
        let pool = &self.pools[usize::from(block.pool)];
        let end = block.address + block.size;
        let follows = |b: &Block| b.address == end && b.stream == block.stream;
        let Some(next) = pool.free.slots(&self.arena).find(|&s| follows(&self.arena[s])) else { return };
        if block.next.is_none() && self.arena[next].prev.is_none() {
            let other = self.arena[next];
            self.pools[usize::from(block.pool)].free.remove(&mut self.arena, next);
            self.arena[slot].size += other.size;
            self.arena[slot].next = other.next;
            if let Some(after) = other.next {
                self.arena[after].prev = Some(slot);
            }
            self.arena.remove(next);
        }
    }
}
