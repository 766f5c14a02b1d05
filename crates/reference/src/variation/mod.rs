//! Legal variations of policy: other allocators that keep every promise, and that nobody may convict.
//!
//! Decides which there are and how they are named; their bodies are in the files beside, by what varies. Judges that
//! hold PyTorch's policy against a target must not be let loose on these: their targets do not claim it.

mod cache;
mod choice;
mod shape;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use super::defect::Planting;
use super::private::PoolId;
use super::rounding;
use super::settings::Settings;

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
    OldestFirst, "oldest-first", "Of the free blocks that fit, the one freed first is taken.";
    WorstFit, "worst-fit", "Of the free blocks that fit, the largest is taken.";
    HighestFit, "highest-fit", "Of the free blocks that fit, the one at the highest address is taken.";
    ScatteredFit, "scattered-fit", "Of the free blocks that fit, one is taken by a hash of its address.";
    BorrowsIdle, "borrows-idle", "Where a stream has no block that fits, one of an idle stream is taken, in the order of handles.";
    BorrowsWaiting, "borrows-waiting", "Where a stream has no block that fits, another stream is waited for and one of its blocks is taken.";
    FollowsWaits, "follows-waits", "Where a stream has no block that fits, one of a stream that it was told to wait for since is taken.";
    CoarseRounding, "coarse-rounding", "Sizes are rounded to 4 KiB.";
    FineRounding, "fine-rounding", "Sizes are rounded to 256 B, and addresses are multiples of it.";
    PowersOfTwo, "powers-of-two", "Sizes are rounded to powers of two.";
    Padding, "padding", "Behind every block 512 B are left alone.";
    Buddies, "buddies", "Sizes are powers of two; a block is halved until it fits, and only its two halves merge.";
    Slabs, "slabs", "Small sizes are powers of two, and a segment holds small blocks of one size.";
    TailFirst, "tail-first", "The tail of a block is handed out, and its front stays free.";
    NoSplitting, "no-splitting", "A block is handed out whole, however large it is.";
    WholeLargeBlocks, "whole-large-blocks", "A large block is handed out whole; small ones are cut.";
    LazyMerging, "lazy-merging", "Free neighbours merge only when a request finds nothing or the cache is emptied.";
    NoSmallPool, "no-small-pool", "Small requests are served from the segments of large ones.";
    ArenaByStream, "arena-by-stream", "A stream has arenas of 64 MiB for requests of every size.";
    PoolsByStream, "pools-by-stream", "For lack of memory a stream's own cache is given back first, and that of others if it was not enough.";
    LargerSegments, "larger-segments", "A shared segment has 32 MiB.";
    HugeSegments, "huge-segments", "A shared segment has 64 MiB.";
    SmallerSegments, "smaller-segments", "Every segment is a multiple of 4 MiB, and one of 4 MiB is shared.";
    ExactSegments, "exact-segments", "A segment is as large as the request, rounded to 2 MiB.";
    SpareSegment, "spare-segment", "With every new segment that requests share, a second one is got ahead.";
    EagerTrimming, "eager-trimming", "A segment without a live block is given back at once.";
    NeverCaches, "never-caches", "Every block is a segment of its own, given back when it is freed.";
    UncachedLarge, "uncached-large", "A large block is a segment of its own, given back when it is freed; small ones are cached.";
    BoundedCache, "bounded-cache", "Beyond 32 MiB of cached segments, the oldest are given back at once.";
    UnusedForgotten, "unused-forgotten", "A cached segment goes back to the device once 32 blocks were freed after it.";
    FlushesFirst, "flushes-first", "The cache is emptied before memory is asked of the device.";
    GivesBackPart, "gives-back-part", "For lack of memory no more of the cache is given back than a request needs.";
    WaitsFirst, "waits-first", "Blocks that wait for streams are waited for before memory is asked of the device.";
    WaitsAtFree, "waits-at-free", "Freeing a block waits for the streams recorded on it.";
    PollsAtFree, "polls-at-free", "Events are asked for at every free, too.";
    PollsAtReading, "polls-at-reading", "Events are asked for whenever the figures are read, too.";
    PollsLate, "polls-late", "Events are asked for only when a request finds nothing.";
}

impl FromStr for Variation {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        Variation::ALL.iter().copied().find(|v| v.name() == name).ok_or(())
    }
}

/// One or more variations in force together, written `worst-fit+polls-late`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Variations(u64);

const _: () = assert!(Variation::ALL.len() <= 64, "a bit each");

impl Variations {
    /// Whether this one is among them.
    #[inline]
    #[must_use]
    pub fn have(self, variation: Variation) -> bool {
        self.0 >> variation as u32 & 1 == 1
    }

    /// Those that are in force, in the order of the catalogue.
    pub fn iter(self) -> impl Iterator<Item = Variation> {
        Variation::ALL.iter().copied().filter(move |&v| self.have(v))
    }

    #[cfg(any(test, feature = "planted-defects"))]
    /// Whether free blocks are chosen otherwise than by best fit on the request's own stream.
    pub(super) fn choose(self) -> bool {
        use Variation::{
            BorrowsIdle, FirstFit, FollowsWaits, HighestFit, NewestFirst, NextFit, OldestFirst, ScatteredFit, Slabs,
            WorstFit,
        };
        let all = [FirstFit, NextFit, NewestFirst, OldestFirst, WorstFit, HighestFit, ScatteredFit, Slabs, BorrowsIdle];
        all.into_iter().chain([FollowsWaits]).any(|v| self.have(v))
    }
}

impl Variations {
    #[cfg(any(test, feature = "planted-defects"))]
    /// Whether the age of free blocks counts.
    pub(super) fn count_frees(self) -> bool {
        use Variation::{
            BoundedCache, FollowsWaits, GivesBackPart, NewestFirst, OldestFirst, PoolsByStream, UnusedForgotten,
        };
        [NewestFirst, OldestFirst, BoundedCache, UnusedForgotten, GivesBackPart, PoolsByStream, FollowsWaits]
            .into_iter()
            .any(|v| self.have(v))
    }
}

impl From<Variation> for Variations {
    fn from(variation: Variation) -> Self {
        Variations(1 << variation as u32)
    }
}

impl FromStr for Variations {
    /// The name that is none.
    type Err = String;

    fn from_str(names: &str) -> Result<Self, String> {
        let mut all = Variations::default();
        for name in names.split('+') {
            all.0 |= Variations::from(name.parse::<Variation>().map_err(|()| name.to_owned())?).0;
        }
        Ok(all)
    }
}

impl fmt::Display for Variations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.iter().map(Variation::name).collect();
        f.write_str(&names.join("+"))
    }
}

/// What variations go by, beside what the allocator keeps anyway. The sound allocator never reads it.
#[derive(Debug, Clone, Default)]
pub(super) struct Memory {
    /// The address handed out last.
    pub last_address: u64,
    /// The size of the blocks of each small segment, by where the segment begins.
    pub slabs: BTreeMap<u64, u64>,
    /// Pools that a capture had memory from: it stays theirs.
    pub captured: BTreeSet<PoolId>,
}

/// Settings under a variation.
pub(super) fn settings(mut settings: Settings, planted: impl Planting) -> Settings {
    let segments = [
        (Variation::LargerSegments, 32),
        (Variation::Buddies, 32),
        (Variation::ArenaByStream, 64),
        (Variation::HugeSegments, 64),
    ];
    for (variation, mebibytes) in segments {
        if planted.varies(variation) {
            settings.large_segment = settings.large_segment.max(mebibytes * rounding::MIB);
        }
    }
    settings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_alone_and_together() {
        for &variation in Variation::ALL {
            assert_eq!(variation.name().parse(), Ok(variation));
            assert_eq!(Variations::from(variation).iter().collect::<Vec<_>>(), [variation]);
        }
        let both: Variations = "polls-late+worst-fit".parse().expect("both are there");
        assert_eq!(both.to_string(), "worst-fit+polls-late");
        assert_eq!("worst-fit+best".parse::<Variations>(), Err("best".to_owned()));
        assert_eq!("".parse::<Variations>(), Err(String::new()));
    }
}
