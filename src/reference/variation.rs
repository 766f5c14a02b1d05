//! Legal variations of policy: other allocators that keep every promise, and that nobody may convict.
//!
//! Decides what varies, and holds the bodies. Judges that hold PyTorch's policy against a target must not
//! be let loose on these: their targets do not claim it.

use super::allocator::{DeviceAllocator, Request};
use super::block::{Slot, State};
use super::defect::{Defect, Planting};
use super::free_index::FreeKey;
use super::pool::free_key;
use super::rounding;
use super::settings::Settings;
use crate::device::{Device, DeviceError};

macro_rules! catalogue {
    ($($variant:ident, $name:literal, $what:literal;)+) => {
        /// A policy other than PyTorch's, within the law.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Variation { $(#[doc = $what] $variant),+ }

        impl Variation {
            /// Every variation, in the order of the catalogue.
            pub const ALL: &'static [Variation] = &[$(Variation::$variant),+];

            /// The name in target options: `reference@sim?variation=NAME`.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Variation::$variant => $name),+ }
            }

            /// What is done otherwise.
            #[must_use]
            pub fn what(self) -> &'static str {
                match self { $(Variation::$variant => $what),+ }
            }
        }
    };
}

catalogue! {
    FirstFit, "first-fit", "Of the free blocks that fit, the one at the lowest address is taken.";
    WorstFit, "worst-fit", "Of the free blocks that fit, the largest is taken.";
    NextFit, "next-fit", "Of the free blocks that fit, the next one after the last address handed out is taken.";
    NewestFirst, "newest-first", "Of the free blocks that fit, the one freed last is taken.";
    CoarseRounding, "coarse-rounding", "Sizes are rounded to 4 KiB.";
    NoSplitting, "no-splitting", "A block is handed out whole, however large it is.";
    LazyMerging, "lazy-merging", "Free neighbours merge only when a request finds nothing or the cache is emptied.";
    EagerTrimming, "eager-trimming", "A segment without a live block is given back at once.";
    NeverCaches, "never-caches", "Every block is a segment of its own, given back when it is freed.";
    NoSmallPool, "no-small-pool", "Small requests are served from the segments of large ones.";
    LargerSegments, "larger-segments", "A shared segment has 32 MiB.";
    ExactSegments, "exact-segments", "A segment is as large as the request, rounded to 2 MiB.";
    WaitsAtFree, "waits-at-free", "Freeing a block waits for the streams recorded on it.";
}

impl std::str::FromStr for Variation {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        Variation::ALL.iter().copied().find(|v| v.name() == name).ok_or(())
    }
}

/// One variation, for showing that nobody is convicted of a policy.
#[derive(Debug, Clone, Copy)]
pub struct Varied(pub Variation);

impl Planting for Varied {
    #[inline]
    fn has(self, _: Defect) -> bool {
        false
    }

    fn varies(self, variation: Variation) -> bool {
        self.0 == variation
    }

    fn chooses(self) -> bool {
        use Variation::{FirstFit, NewestFirst, NextFit, WorstFit};
        matches!(self.0, FirstFit | WorstFit | NextFit | NewestFirst)
    }
}

/// Settings under a variation.
pub(super) fn settings(mut settings: Settings, planted: impl Planting) -> Settings {
    if planted.varies(Variation::LargerSegments) {
        settings.large_segment = 32 * rounding::MIB;
    }
    settings
}

impl<D: Device, P: Planting> DeviceAllocator<D, P> {
    /// A request as a variation sees it.
    #[inline]
    pub(super) fn vary(&self, request: &mut Request) {
        let planted = self.planted;
        if planted.varies(Variation::CoarseRounding)
            && let Some(size) = request.size.checked_next_multiple_of(4096)
            && let Some(segment) = rounding::segment_size(size, &self.settings)
        {
            (request.size, request.segment) = (size, segment);
            request.pool = self.pool_for(rounding::pool_kind(size), request.stream);
        }
        if planted.varies(Variation::NoSmallPool) && request.size <= rounding::SMALL_LIMIT {
            request.segment = self.settings.large_segment;
            request.pool = self.pool_for(crate::op::PoolKind::Large, request.stream);
        }
        if (planted.varies(Variation::ExactSegments) || planted.varies(Variation::NeverCaches))
            && let Some(segment) = request.size.checked_next_multiple_of(rounding::SEGMENT_ROUND)
        {
            request.segment = segment;
        }
    }

    /// The free block that is taken where best fit on the request's own stream does not decide.
    pub(super) fn choose(&self, request: &Request, size: u64) -> Option<(FreeKey, Slot)> {
        let free = &self.pools[usize::from(request.pool)].free;
        let own = free.from((request.stream, size, 0));
        let planted = self.planted;
        if planted.varies(Variation::FirstFit) {
            own.min_by_key(|(key, _)| key.2)
        } else if planted.varies(Variation::WorstFit) {
            own.max_by_key(|(key, _)| (key.1, std::cmp::Reverse(key.2)))
        } else if planted.varies(Variation::NextFit) {
            own.min_by_key(|(key, _)| (key.2 < self.last_address, key.2))
        } else if planted.varies(Variation::NewestFirst) {
            own.max_by_key(|&(_, slot)| self.arena[slot].searches_at_free)
        } else if planted.has(Defect::ExactSizeOnly) {
            free.first_fit(request.stream, size).filter(|(key, _)| key.1 == request.size)
        } else if planted.has(Defect::StreamIgnored) {
            free.iter().filter(|(key, _)| key.1 >= size).min_by_key(|(key, _)| (key.1, key.2))
        } else {
            let any = || free.iter().find(|(key, _)| key.1 >= size);
            free.first_fit(request.stream, size).or_else(any)
        }
    }

    /// Merges whatever free neighbours there are.
    pub(super) fn merge_all(&mut self) {
        for pool in 0..self.pools.len() {
            let free: Vec<(FreeKey, Slot)> = self.pools[pool].free.iter().collect();
            for (key, slot) in free {
                // One that a neighbour took in is in the set no more.
                let is_there = self.pools[pool].free.from(key).next().is_some_and(|(_, s)| s == slot);
                if is_there && free_key(&self.arena[slot]) == key {
                    self.pools[pool].free.remove(&key);
                    self.merge_around(slot);
                    self.insert_free(slot);
                }
            }
        }
    }

    /// What `become_free` would have done, with the figures of it.
    fn merge_around(&mut self, slot: Slot) {
        let own = self.arena[slot];
        let kind = self.kind(slot);
        let (mut blocks, mut bytes) = if own.is_split() { (-1, -super::signed(own.size)) } else { (0, 0) };
        for neighbour in [own.prev, own.next].into_iter().flatten() {
            let absorbed = self.merge(slot, neighbour);
            if absorbed > 0 {
                blocks -= 1;
                bytes -= super::signed(absorbed);
            }
        }
        let merged = self.arena[slot];
        if merged.is_split() {
            blocks += 1;
            bytes += super::signed(merged.size);
        }
        self.apply_net(crate::op::Family::InactiveSplit, kind, blocks);
        self.apply_net(crate::op::Family::InactiveSplitBytes, kind, bytes);
    }

    /// A freed block that fills its segment goes back to the device at once, under a variation that says so.
    /// If the device will not have it, it stays cached.
    pub(super) fn trim_eagerly(&mut self, slot: Slot) {
        let eager = self.planted.varies(Variation::EagerTrimming) || self.planted.varies(Variation::NeverCaches);
        if eager && !self.arena[slot].is_split() && self.arena[slot].state == State::Free {
            let wait = self.device.wait_stream(self.arena[slot].stream);
            let _: Result<(), DeviceError> = wait.and_then(|()| self.release_block(slot));
        }
    }
}
