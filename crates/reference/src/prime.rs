//! Putting an allocator into a state that it did not come to by itself: what stood when a recording began.
//!
//! Decides how segments and blocks seen from outside become an allocator's own. Does not decide what cannot be seen:
//! ages of cached blocks count from now, peaks are what stands, and nothing has been got or given back so far. A block
//! that waits for streams is primed as live; who primes records the streams and frees it.

use super::allocator::DeviceAllocator;
use super::block::{Block, State};
use super::counted;
use super::defect::Planting;
use super::expandable::ExpandableSegment;
use super::private::{PoolFlags, PoolId};
use crate::device::{Device, StreamHandle};
use crate::op::stats::Oversize;
use crate::op::{Family, PoolKind};

/// How many growths a private pool is taken to have had: so many that it is never forgotten while a block lives.
const GROWTHS: i64 = 1 << 32;

/// A segment that stood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Where it starts; of an expandable one the range of addresses, mapped or not.
    pub address: u64,
    /// Its length: of an expandable one the range's.
    pub bytes: u64,
    /// Of all its blocks.
    pub stream: StreamHandle,
    /// The pool it belongs to.
    pub kind: PoolKind,
    /// The private pool, (0, 0) for none.
    pub pool: PoolId,
    /// The size of its pages, if it is expandable.
    pub page: Option<u64>,
    /// By address, without gaps.
    pub parts: Vec<Part>,
}

/// A part of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Its length.
    pub bytes: u64,
    /// What is there.
    pub holds: Holds,
}

/// What is in a part of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// Addresses without memory.
    Nothing,
    /// Memory that nobody has.
    Free,
    /// A block that was given for a request of so many bytes.
    Block {
        /// As it was asked, not rounded.
        requested: u64,
    },
}

/// Why an allocator could not be primed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the message of each says what happened")]
pub enum PrimeError {
    #[error("an allocator that has memory already cannot be primed")]
    InUse,
    #[error("the parts of the segment at {address:#x} do not come to its {bytes} B")]
    Parts { address: u64, bytes: u64 },
    #[error("the segment at {address:#x} begins before the one below it ends, or beyond all addresses")]
    Overlap { address: u64 },
    #[error("the segment at {address:#x} has addresses without memory, and is not expandable")]
    Unmapped { address: u64 },
}

/// What is wrong with segments that are to be primed, which come by address.
fn check(standing: &[Standing]) -> Result<(), PrimeError> {
    let mut end = 0;
    for segment in standing {
        let (address, bytes) = (segment.address, segment.bytes);
        let sum = segment.parts.iter().try_fold(0_u64, |sum, part| sum.checked_add(part.bytes));
        if sum != Some(bytes) || segment.parts.iter().any(|part| part.bytes == 0) {
            return Err(PrimeError::Parts { address, bytes });
        }
        if segment.page.is_none() && segment.parts.iter().any(|part| part.holds == Holds::Nothing) {
            return Err(PrimeError::Unmapped { address });
        }
        let beyond = address.checked_add(bytes).filter(|_| address >= end);
        end = beyond.ok_or(PrimeError::Overlap { address })?;
    }
    Ok(())
}

impl<D: Device, P: Planting> DeviceAllocator<D, P> {
    /// Takes over what stood, by address, as if it had come to it. The device below is to hold the same.
    ///
    /// # Errors
    /// Segments that cannot have stood, or an allocator that is not new; then nothing has changed.
    pub fn prime(&mut self, standing: &[Standing]) -> Result<(), PrimeError> {
        if self.stats.all(Family::ReservedBytes).current != 0 {
            return Err(PrimeError::InUse);
        }
        check(standing)?;
        for segment in standing {
            self.put(segment);
        }
        self.stats.tracked_mut().for_each(|stat| {
            stat.reset_peak();
            stat.reset_accumulated();
        });
        Ok(())
    }

    fn put(&mut self, segment: &Standing) {
        let &Standing { address, bytes, stream, kind, pool: id, page, .. } = segment;
        if id != (0, 0) && !self.has_pool(id) {
            self.retain_pool(id, PoolFlags::default());
        }
        let pool = self.index_of(id, kind);
        self.note_growth(pool, GROWTHS);
        match page {
            Some(page) => self.segments.push(ExpandableSegment { address, bytes, page }),
            None => {
                self.stats.increase(Family::Segment, kind, 1);
                if bytes >= self.settings.max_split {
                    self.stats.oversize_mut(Oversize::Segments).increase(1);
                }
            }
        }
        let is_split = segment.parts.len() > 1;
        let (mut at, mut before) = (address, None);
        for part in &segment.parts {
            let block =
                Block { expandable: page.is_some(), prev: before, ..Block::whole(at, part.bytes, stream, pool) };
            let slot = self.arena.insert(block);
            if let Some(before) = before {
                self.arena[before].next = Some(slot);
            }
            (at, before) = (at + part.bytes, Some(slot));
        }
        let mut cursor = before;
        // From the right, so that the neighbours of each are in place.
        for part in segment.parts.iter().rev() {
            let Some(slot) = cursor else { return };
            let block = &mut self.arena[slot];
            cursor = block.prev;
            if part.holds != Holds::Nothing {
                self.stats.increase(Family::ReservedBytes, kind, counted(part.bytes));
            }
            match part.holds {
                Holds::Nothing => {
                    block.mapped = false;
                    let address = block.address;
                    self.pools[usize::from(pool)].unmapped.insert((stream, address, slot));
                }
                Holds::Free => {
                    self.insert_free(slot);
                    if page.is_none() && is_split {
                        self.stats.increase(Family::InactiveSplit, kind, 1);
                        self.stats.increase(Family::InactiveSplitBytes, kind, counted(part.bytes));
                    }
                }
                Holds::Block { requested } => {
                    (block.state, block.requested) = (State::Allocated, requested);
                    let address = block.address;
                    self.live.insert(&self.arena, address, slot);
                    self.count_live(kind, part.bytes, requested);
                }
            }
        }
    }

    fn count_live(&mut self, kind: PoolKind, bytes: u64, requested: u64) {
        for family in [Family::Allocation, Family::Active] {
            self.stats.increase(family, kind, 1);
        }
        for family in [Family::AllocatedBytes, Family::ActiveBytes] {
            self.stats.increase(family, kind, counted(bytes));
        }
        self.stats.increase(Family::RequestedBytes, kind, counted(requested));
        if bytes >= self.settings.max_split {
            self.stats.oversize_mut(Oversize::Allocations).increase(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::sim::SimDevice;
    use crate::op::StreamId;
    use crate::op::snapshot::{BlockState, SegmentView};
    use crate::op::stats::{Column, Key};
    use crate::{Settings, Sound};

    /// What a snapshot shows, as what stands.
    fn standing(views: &[SegmentView]) -> Vec<Standing> {
        let parts = |view: &SegmentView| {
            let holds =
                |state, requested| if state == BlockState::Inactive { Holds::Free } else { Holds::Block { requested } };
            view.blocks.iter().map(|b| Part { bytes: b.size, holds: holds(b.state, b.requested_size) }).collect()
        };
        let of = |view: &SegmentView| Standing {
            address: view.address,
            bytes: view.total_size,
            stream: StreamHandle(view.stream),
            kind: view.segment_type,
            pool: view.segment_pool_id,
            page: None,
            parts: parts(view),
        };
        views.iter().map(of).collect()
    }

    /// Segments, less what a free block was last asked for: it means nothing.
    fn shown(allocator: &DeviceAllocator<SimDevice, Sound>) -> Vec<SegmentView> {
        let mut views = allocator.segments();
        for block in views.iter_mut().flat_map(|v| &mut v.blocks).filter(|b| b.state == BlockState::Inactive) {
            block.requested_size = 0;
        }
        views
    }

    fn allocator(settings: &str) -> DeviceAllocator<SimDevice, Sound> {
        DeviceAllocator::new(0, SimDevice::new(0, 1 << 30, 2), settings.parse().unwrap_or_default(), Sound)
    }

    /// Blocks of every kind and size, some of them freed.
    fn lived(allocator: &mut DeviceAllocator<SimDevice, Sound>) -> Vec<u64> {
        let side = allocator.device().stream_handle(StreamId(1));
        let sizes = [100, 5 << 20, 700, 30 << 20, 3 << 20, 12 << 20, 600 << 10, 512];
        let ask = |(at, &bytes): (usize, &u64)| {
            let stream = if at % 3 == 2 { side } else { StreamHandle(0) };
            allocator.alloc(bytes, stream).expect("it fits")
        };
        let mut blocks: Vec<u64> = sizes.iter().enumerate().map(ask).collect();
        for at in [4, 2, 0] {
            allocator.free(blocks.remove(at)).expect("it is live");
        }
        blocks
    }

    #[test]
    fn a_primed_allocator_stands_and_goes_on_as_the_one_that_came_to_it() {
        for config in ["", "max_split_size_mb:20"] {
            let mut one = allocator(config);
            let mut blocks = lived(&mut one);
            let mut two = allocator(config);
            for segment in one.segments() {
                let address = two.device_mut().reserve(segment.total_size).expect("it fits");
                assert_eq!(address, segment.address, "both devices give the same addresses");
            }
            two.prime(&standing(&one.segments())).expect("it is new");
            assert_eq!(shown(&one), shown(&two), "{config}");
            let current = |a: &DeviceAllocator<SimDevice, Sound>| -> Vec<i64> {
                let keys = Key::all()
                    .filter(|k| matches!(k, Key::Family(_, _, Column::Current) | Key::Oversize(_, Column::Current)));
                keys.map(|k| a.stats().value(k)).collect()
            };
            assert_eq!(current(&one), current(&two), "{config}");
            for bytes in [4 << 20, 100, 9 << 20, 26 << 20] {
                let given = one.alloc(bytes, StreamHandle(0)).expect("it fits");
                assert_eq!(two.alloc(bytes, StreamHandle(0)), Ok(given), "{config}: {bytes}");
                blocks.push(given);
            }
            for block in blocks {
                assert_eq!((one.free(block), two.free(block)), (Ok(()), Ok(())));
            }
            assert_eq!((one.release_cached(), two.release_cached()), (Ok(()), Ok(())));
            assert_eq!((current(&one), shown(&one)), (current(&two), shown(&two)), "{config}");
            assert_eq!(two.stats().all(Family::ReservedBytes).current, 0);
        }
    }

    #[test]
    fn expandable_ranges_are_primed_with_their_addresses_without_memory() {
        let settings: Settings = "expandable_segments:True".parse().expect("it is well formed");
        let mut one = DeviceAllocator::new(0, SimDevice::new(0, 1 << 30, 2), settings, Sound);
        let block = one.alloc(30 << 20, StreamHandle(0)).expect("it fits");
        let range = one.segments[0];
        let mut two = DeviceAllocator::new(0, SimDevice::new(0, 1 << 30, 2), settings, Sound);
        assert_eq!(two.device_mut().reserve_addresses(range.bytes), Ok(range.address));
        for page in 0..2 {
            two.device_mut().map(range.address + page * range.page, range.page).expect("it fits");
        }
        two.device_mut().set_access(range.address, 2 * range.page).expect("it is mapped");
        let part = |bytes, holds| Part { bytes, holds };
        let held = Holds::Block { requested: 30 << 20 };
        let parts =
            vec![part(30 << 20, held), part(10 << 20, Holds::Free), part(range.bytes - (40 << 20), Holds::Nothing)];
        let (kind, page) = (PoolKind::Large, Some(range.page));
        let segment =
            Standing { address: block, bytes: range.bytes, stream: StreamHandle(0), kind, pool: (0, 0), page, parts };
        two.prime(std::slice::from_ref(&segment)).expect("it is new");
        assert_eq!(shown(&one), shown(&two));
        for bytes in [15 << 20, 4 << 20] {
            assert_eq!(one.alloc(bytes, StreamHandle(0)), two.alloc(bytes, StreamHandle(0)));
        }
        assert_eq!(shown(&one), shown(&two));
        assert_eq!(two.prime(&[segment]), Err(PrimeError::InUse));
    }

    #[test]
    fn what_cannot_have_stood_is_refused() {
        let part = |bytes, holds| Part { bytes, holds };
        let segment = |address, bytes, parts| Standing {
            address,
            bytes,
            stream: StreamHandle(0),
            kind: PoolKind::Large,
            pool: (0, 0),
            page: None,
            parts,
        };
        let whole = |address, bytes| segment(address, bytes, vec![part(bytes, Holds::Free)]);
        let refused = |standing: &[Standing]| allocator("").prime(standing).expect_err("it is refused");
        let short = segment(512, 1024, vec![part(512, Holds::Free)]);
        assert_eq!(refused(&[short]), PrimeError::Parts { address: 512, bytes: 1024 });
        assert_eq!(refused(&[whole(0, 1024), whole(512, 512)]), PrimeError::Overlap { address: 512 });
        assert_eq!(refused(&[whole(u64::MAX, 2)]), PrimeError::Overlap { address: u64::MAX });
        let hole = segment(0, 512, vec![part(512, Holds::Nothing)]);
        assert_eq!(refused(&[hole]), PrimeError::Unmapped { address: 0 });
    }
}
