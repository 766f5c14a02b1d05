//! What a garbage collection would come to, for whoever has a recorded one and wants to know what it went by.
//!
//! Decides what the passes of a collection would give back, without giving anything back. How much of that a collection
//! does is said in `release`.

use super::allocator::{DeviceAllocator, LARGE};
use super::block::Slot;
use super::defect::Planting;
use crate::device::Device;

/// A cached segment: where it begins, and its bytes.
pub type Cached = (u64, u64);

impl<D: Device, P: Planting> DeviceAllocator<D, P> {
    /// No growth beyond so many bytes from now on, whatever the fraction says; with `u64::MAX` nothing is refused and nothing
    /// collected, but the ages of cached blocks are counted.
    pub fn limit_to(&mut self, bytes: u64) {
        self.limit = Some(bytes);
    }

    /// What each pass of a garbage collection would give back, in order, if it went on until nothing is left to it. `searched`: the
    /// large pool will have been searched once more by then.
    #[must_use]
    pub fn collection_passes(&self, searched: bool) -> Vec<Vec<Cached>> {
        let pool = &self.pools[usize::from(LARGE)];
        let now = pool.searches.wrapping_add(u32::from(searched));
        let unsplit = pool.free.slots(&self.arena).filter(|&slot| !self.arena[slot].is_split());
        let aged = |slot: Slot| (slot, u64::from(now.wrapping_sub(self.arena[slot].searches_at_free)));
        let mut left: Vec<(Slot, u64)> = unsplit.map(aged).collect();
        let mut passes = Vec::new();
        while !left.is_empty() {
            let total: u64 = left.iter().map(|(_, age)| age).sum();
            #[expect(clippy::cast_precision_loss, reason = "a mean of ages, as PyTorch computes it")]
            let cut = total as f64 / left.len() as f64;
            #[expect(clippy::cast_precision_loss, reason = "compared with a mean, as PyTorch does")]
            let goes = |&(slot, age): &(Slot, u64)| !self.arena[slot].expandable && age as f64 >= cut;
            let gone = left.extract_if(.., |entry| goes(entry)).map(|(slot, _)| slot);
            let pass: Vec<Cached> = gone.map(|slot| (self.arena[slot].address, self.arena[slot].size)).collect();
            if pass.is_empty() {
                break;
            }
            passes.push(pass);
        }
        passes
    }
}

#[cfg(test)]
mod tests {
    use crate::device::StreamHandle;
    use crate::device::sim::SimDevice;
    use crate::op::{Counter, Family};
    use crate::{DeviceAllocator, Settings, Sound};

    const MIB: u64 = 1 << 20;

    /// Ten cached segments of growing age and 20 to 29 MiB; more is refused by nobody.
    fn cached() -> DeviceAllocator<SimDevice, Sound> {
        let settings: Settings = "garbage_collection_threshold:0.5".parse().expect("it is well formed");
        let mut allocator = DeviceAllocator::new(0, SimDevice::new(0, 4 << 30, 2), settings, Sound);
        allocator.limit_to(u64::MAX);
        let ask =
            |a: &mut DeviceAllocator<SimDevice, Sound>, mib| a.alloc(mib * MIB, StreamHandle(0)).expect("it fits");
        let blocks: Vec<u64> = (20..30).map(|mib| ask(&mut allocator, mib)).collect();
        for (at, block) in blocks.into_iter().enumerate() {
            allocator.free(block).expect("it is live");
            // The large pool is searched, and nothing of it is used.
            for _ in 0..at {
                let other = ask(&mut allocator, 100);
                allocator.free(other).expect("it is live");
            }
        }
        allocator
    }

    #[test]
    fn a_collection_gives_back_the_passes_that_its_threshold_takes() {
        let unlimited = cached();
        let reserved = u64::try_from(unlimited.stats().all(Family::ReservedBytes).current).expect("is not negative");
        let passes = unlimited.collection_passes(true);
        assert!(passes.len() > 2, "{passes:?}");
        let mut taken = 0;
        for pass in &passes {
            // One byte less than what the passes so far leave is still above the threshold.
            for (limit, more) in [(2 * (reserved - taken), false), (2 * (reserved - taken) - 2, true)] {
                let mut allocator = cached();
                allocator.limit_to(limit);
                let bytes = if more { pass.iter().map(|(_, bytes)| bytes).sum() } else { 0 };
                let asked = allocator.alloc(200 * MIB, StreamHandle(0));
                let left = reserved - taken - bytes;
                let got = if left + 200 * MIB <= limit { 200 * MIB } else { 0 };
                if got > 0 {
                    assert!(asked.is_ok());
                    let now = u64::try_from(allocator.stats().all(Family::ReservedBytes).current);
                    assert_eq!(now, Ok(left + got), "{limit}");
                    assert_eq!(allocator.stats().counter(Counter::NumAllocRetries), 0);
                }
            }
            taken += pass.iter().map(|(_, bytes)| bytes).sum::<u64>();
        }
        let count: usize = passes.iter().map(Vec::len).sum();
        assert_eq!(count, 11, "every cached segment in the end");
    }

    #[test]
    fn ages_are_counted_though_nothing_is_refused() {
        let allocator = cached();
        assert_eq!(allocator.stats().counter(Counter::NumDeviceFree), 0);
        let first = &allocator.collection_passes(true)[0];
        assert!(first.len() < 11, "the young stay");
    }
}
