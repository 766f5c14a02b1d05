//! Giving a block back: at once, or after the streams recorded on it.

use super::allocator::DeviceAllocator;
use super::block::{Slot, State};
use super::defect::{Defect, Planting};
use super::pool::free_key;
use super::signed;
use super::variation::Variation;
use crate::device::{Device, DeviceError, StreamHandle};
use crate::op::stats::{Oversize, Row};
use crate::op::trace::Action;
use crate::op::{Family, PoolKind};

/// Why a pointer was not taken back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
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
        self.live.contains_key(&address)
    }

    /// Takes a block back.
    ///
    /// # Errors
    /// The address is not the start of a live block; or the device can neither record an event nor wait,
    /// in which case the block stays pending until the cache is flushed.
    pub fn free(&mut self, address: u64) -> Result<(), FreeError> {
        let Some(slot) = self.live.remove(&address) else {
            return self.free_unknown(address);
        };
        let block = self.arena[slot];
        let kind = if self.planted.has(Defect::FreedInSmallPool) { PoolKind::Small } else { self.kind(slot) };
        self.note(Action::FreeRequested, address, block.requested, block.stream);
        self.stats.decrease(Family::Allocation, kind, 1);
        self.stats.decrease(Family::AllocatedBytes, kind, signed(block.size));
        if block.size >= self.settings.max_split {
            self.stats.oversize_mut(Oversize::Allocations).decrease(1);
        }
        if self.planted.has(Defect::PeakFallsWithFree) {
            self.stats.get_mut(Family::Allocation, Row::All).reset_peak();
        }
        if block.recorded && self.planted.has(Defect::ActiveFallsEarly) {
            self.stats.decrease(Family::Active, kind, 1);
            self.stats.decrease(Family::ActiveBytes, kind, signed(block.size));
        }
        if block.recorded && self.private.is_redirecting() {
            self.arena[slot].state = State::Pending;
            self.private.put_off.push(slot);
        } else if block.recorded {
            self.arena[slot].state = State::Pending;
            self.private.captured.retain(|(block, _)| *block != slot);
            self.await_streams(slot)?;
        } else if self.loses(&block) {
            self.arena[slot].state = State::Pending;
        } else {
            self.become_free(slot);
        }
        Ok(())
    }

    /// Records that a stream uses a live block. Ignored for the block's own stream and unknown addresses.
    pub fn record_stream(&mut self, address: u64, stream: StreamHandle) {
        let Some(&slot) = self.live.get(&address) else { return };
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
        let own = self.arena[slot];
        let kind = self.kind(slot);
        self.note(Action::FreeCompleted, own.address, own.requested, own.stream);
        let mut blocks = 0;
        let mut bytes = 0;
        let lazy = self.planted.varies(Variation::LazyMerging);
        let skips_previous = lazy || self.planted.has(Defect::PreviousNeighbourNotMerged);
        let skips_next = lazy || self.planted.has(Defect::NextNeighbourNotMerged);
        let neighbours = [own.prev.filter(|_| !skips_previous), own.next.filter(|_| !skips_next)];
        for neighbour in neighbours.into_iter().flatten() {
            let absorbed = self.merge(slot, neighbour);
            if absorbed > 0 {
                blocks -= 1;
                bytes -= signed(absorbed);
            }
        }
        if self.planted.has(Defect::MergeAcrossSegments) {
            self.merge_by_address(slot);
        }
        let merged = self.arena[slot];
        if merged.is_split() || blocks < 0 && self.planted.has(Defect::WholeCountedAsSplit) {
            blocks += 1;
            bytes += signed(merged.size);
        }
        let block = &mut self.arena[slot];
        block.state = State::Free;
        if self.planted.has(Defect::FreedWithRequestSize) && !merged.is_split() {
            block.size = block.requested.next_multiple_of(512).min(block.size);
        }
        self.insert_free(slot);
        let size = if self.planted.has(Defect::ActiveLosesMergedSize) { merged.size } else { own.size };
        let kept = self.planted.has(Defect::ActiveKeptWithoutEvents) && !own.recorded
            || self.planted.has(Defect::ActiveFallsEarly) && own.recorded;
        if !kept {
            self.stats.decrease(Family::Active, kind, 1);
            self.stats.decrease(Family::ActiveBytes, kind, signed(size));
        }
        self.stats.decrease(Family::RequestedBytes, kind, signed(own.requested));
        if !own.expandable {
            self.apply_net(Family::InactiveSplit, kind, blocks);
            self.apply_net(Family::InactiveSplitBytes, kind, bytes);
        }
        self.trim_eagerly(slot);
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
    pub(super) fn merge(&mut self, slot: Slot, neighbour: Slot) -> u64 {
        let other = self.arena[neighbour];
        let waits = other.state == State::Pending && self.planted.has(Defect::MergesWithWaiting);
        let apart = other.mapped != self.arena[slot].mapped && !self.planted.has(Defect::MergesUnmapped);
        if (other.state != State::Free && !waits) || apart {
            return 0;
        }
        if waits {
            self.events.forget(neighbour);
            self.recorded.remove(&neighbour);
        }
        let pool = &mut self.pools[usize::from(other.pool)];
        if other.mapped {
            pool.free.remove(&free_key(&other));
        } else {
            pool.unmapped.remove(&(other.stream, other.address, neighbour));
        }
        let block = &mut self.arena[slot];
        if !self.planted.has(Defect::MergedSizeForgotten) {
            block.size += other.size;
        }
        if block.prev == Some(neighbour) {
            if !self.planted.has(Defect::MergedAtOwnAddress) {
                block.address = other.address;
            }
            block.prev = other.prev;
            if let Some(previous) = other.prev {
                self.arena[previous].next = Some(slot);
            }
        } else {
            block.next = other.next;
            if let Some(next) = other.next {
                self.arena[next].prev = Some(slot);
            }
        }
        self.arena.remove(neighbour);
        other.size
    }

    /// The defect that forgets where a segment ends.
    fn merge_by_address(&mut self, slot: Slot) {
        let block = self.arena[slot];
        let pool = &self.pools[usize::from(block.pool)];
        let end = block.address + block.size;
        let adjacent = pool.free.iter().find(|(key, _)| key.2 == end && key.0 == block.stream);
        let Some((key, next)) = adjacent else { return };
        if block.next.is_none() && self.arena[next].prev.is_none() {
            let other = self.arena[next];
            self.pools[usize::from(block.pool)].free.remove(&key);
            self.arena[slot].size += other.size;
            self.arena[slot].next = other.next;
            if let Some(after) = other.next {
                self.arena[after].prev = Some(slot);
            }
            self.arena.remove(next);
        }
    }
}
