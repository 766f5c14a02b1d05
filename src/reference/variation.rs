//! Legal variations of policy: other allocators that keep every promise, and that nobody may convict.
//!
//! Decides what varies, and holds the bodies. Worst fit is not among them: in a steady cycle it still reserves new
//! segments after a dozen rounds, which GROW-01 rules out. Judges that hold PyTorch's policy against a target must not
//! be let loose on these: their targets do not claim it.

use super::allocator::{DeviceAllocator, Request};
use super::block::{Slot, State};
use super::defect::{Defect, Planting};
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
        if self.planted.varies(Variation::CoarseRounding)
            && let Some(size) = request.size.checked_next_multiple_of(4096).filter(|&s| s <= rounding::LARGEST)
        {
            request.size = size;
            request.pool = self.pool_for(rounding::pool_kind(size), request.stream);
        }
        if self.planted.varies(Variation::NoSmallPool) {
            request.pool = self.pool_for(crate::op::PoolKind::Large, request.stream);
        }
    }

    /// What is asked of the device where that is not PyTorch's.
    pub(super) fn varied_segment(&self, request: &Request, segment: u64) -> u64 {
        let exact = self.planted.varies(Variation::ExactSegments) || self.planted.varies(Variation::NeverCaches);
        if exact {
            return request.size.next_multiple_of(rounding::SEGMENT_ROUND);
        }
        let shared = self.planted.varies(Variation::NoSmallPool) && request.size <= rounding::SMALL_LIMIT;
        if shared { self.settings.large_segment } else { segment }
    }

    /// The free block that is taken where best fit on the request's own stream does not decide.
    pub(super) fn choose(&self, request: &Request, size: u64) -> Option<Slot> {
        let free = &self.pools[usize::from(request.pool)].free;
        let own = free.from(&self.arena, request.stream, (size, 0));
        let first = || free.first_fit(&self.arena, request.stream, size);
        let of = |slot: Slot| &self.arena[slot];
        let planted = self.planted;
        if planted.varies(Variation::FirstFit) {
            own.min_by_key(|&s| of(s).address)
        } else if planted.varies(Variation::NextFit) {
            own.min_by_key(|&s| (of(s).address < self.last_address, of(s).address))
        } else if planted.varies(Variation::NewestFirst) {
            own.max_by_key(|&s| of(s).searches_at_free)
        } else if planted.has(Defect::ExactSizeOnly) {
            first().filter(|&s| of(s).size == request.size)
        } else if planted.has(Defect::StreamIgnored) {
            free.slots(&self.arena).filter(|&s| of(s).size >= size).min_by_key(|&s| (of(s).size, of(s).address))
        } else {
            first().or_else(|| free.slots(&self.arena).find(|&s| of(s).size >= size))
        }
    }

    /// Merges whatever free neighbours there are, with the figures of it.
    pub(super) fn merge_all(&mut self) {
        for pool in 0..self.pools.len() {
            while let Some(slot) = self.mergeable(pool) {
                let Some(next) = self.arena[slot].next else { break };
                let kind = self.kind(slot);
                self.pools[pool].free.remove(&mut self.arena, slot);
                self.merge(slot, next);
                let whole = !self.arena[slot].is_split();
                let size = super::signed(self.arena[slot].size);
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
