//! Planted defects: a catalogue of real mistakes, compiled always and off unless named.
//!
//! Decides which mistakes exist and what each copies. The mistake itself is one `if` at its place in
//! the allocator. The sound allocator carries [`Sound`], for which every such `if` is a constant.

/// What an allocator carries: nothing, or one defect.
pub trait Planting: Copy + std::fmt::Debug {
    /// Whether this defect is planted.
    fn has(self, defect: Defect) -> bool;
}

/// No defect: the allocator that predicts PyTorch.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sound;

impl Planting for Sound {
    #[inline(always)]
    fn has(self, _: Defect) -> bool {
        false
    }
}

/// One defect, for showing that somebody would notice.
#[derive(Debug, Clone, Copy)]
pub struct Planted(pub Defect);

impl Planting for Planted {
    #[inline]
    fn has(self, defect: Defect) -> bool {
        self.0 == defect
    }
}

macro_rules! catalogue {
    ($($variant:ident, $name:literal, $copies:literal, $what:literal;)+) => {
        /// A real mistake that can be planted.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Defect { $(#[doc = $what] $variant),+ }

        impl Defect {
            /// Every defect, in the order of the catalogue.
            pub const ALL: &'static [Defect] = &[$(Defect::$variant),+];

            /// The name in target options: `reference@sim?defect=NAME`.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Defect::$variant => $name),+ }
            }

            /// The public report that describes the mistake in a real allocator.
            #[must_use]
            pub fn copies(self) -> &'static str {
                match self { $(Defect::$variant => $copies),+ }
            }

            /// What the allocator does wrong.
            #[must_use]
            pub fn what(self) -> &'static str {
                match self { $(Defect::$variant => $what),+ }
            }
        }
    };
}

catalogue! {
    SegmentIndexWraps, "segment-index-wraps", "tracel-ai/cubecl #1617",
        "The index of a segment is kept in eight bits, so that the 257th segment is the first again.";
    MergeAcrossSegments, "merge-across-segments", "rapidsai/rmm #397",
        "A freed block merges with the free block at the next address, even one of another segment.";
    BlockTooSmall, "block-too-small", "pytorch/pytorch #192722",
        "The search takes a cached block that may be up to a quarter smaller than the request.";
    SegmentTooSmall, "segment-too-small", "rapidsai/rmm #2002",
        "The size asked of the device for a big segment is 2 MiB short.";
    RecordNeedsSegmentStart, "record-needs-segment-start", "pytorch/pytorch #27366",
        "record_stream is lost for a block that does not start its segment.";
    EventOnDefaultStream, "event-on-default-stream", "tensorflow/tensorflow #49173",
        "The event of a freed block is recorded on the default stream instead of the recorded one.";
    ActiveLosesMergedSize, "active-loses-merged-size", "pytorch/pytorch #135726",
        "active_bytes falls by the size after merging instead of the block's own.";
    ActiveKeptWithoutEvents, "active-kept-without-events", "pytorch/pytorch #182404",
        "active does not fall when a block without recorded streams is freed.";
    SegmentCountKept, "segment-count-kept", "NVIDIA/cub #328",
        "Giving a segment back lowers the bytes but not the number of segments.";
    UnknownFreeCounted, "unknown-free-counted", "rapidsai/rmm #2404",
        "Freeing an unknown pointer is refused, yet lowers allocated_bytes.";
    ReservedKeptOnTrim, "reserved-kept-on-trim", "cupy/cupy #3008",
        "Giving a segment back does not lower reserved_bytes.";
    StatsSkippedAfterRetry, "stats-skipped-after-retry", "PaddlePaddle/Paddle #78195",
        "After the first retry, blocks are handed out without being counted.";
    RequestedPeakNotReset, "requested-peak-not-reset", "pytorch/pytorch #88575",
        "Resetting the peaks leaves out requested_bytes.";
    LargeFreeLost, "large-free-lost", "cupy/cupy #1165",
        "A freed block above 16 MiB never returns to the free set.";
    EventsBlockEachOther, "events-block-each-other", "pytorch/pytorch #183501",
        "All streams share one queue of events: the first unfinished one holds up all later ones.";
    SideStreamNotRegistered, "side-stream-not-registered", "Project-HAMi/HAMi-core #217",
        "A block of another than the default stream is not registered, so that freeing it is refused.";
    SmallPoolNotTrimmed, "small-pool-not-trimmed", "pytorch/pytorch #181485",
        "empty_cache leaves the small pool alone.";
    LimitOnCurrentDevice, "limit-on-current-device", "NVIDIA/raft #3077",
        "set_fraction applies to the current device instead of the one named.";
    DefaultDeviceZero, "default-device-zero", "rapidsai/rmm #628",
        "A request that names no device goes to device 0 instead of the current one.";
    HugeSizeWraps, "huge-size-wraps", "pytorch/pytorch #57571",
        "Rounding a size near 2^64 wraps round to a small one.";
    DoubleFreeReleases, "double-free-releases", "NVIDIA/cub #329",
        "Freeing a pointer that is not live gives the memory there back to the device.";
    OomCountedEarly, "oom-counted-early", "pytorch/pytorch #193195",
        "num_ooms rises at the first failed attempt, even if the retry succeeds.";
    NoFlushBeforeOom, "no-flush-before-oom", "tensorflow/tensorflow #30827",
        "A request is refused without giving cached segments back first.";
    GrowthDoubles, "growth-doubles", "rapidsai/rmm #496",
        "A new segment is at least as large as all that is reserved, with no second try at the exact size.";
    LimitChecksAllocated, "limit-checks-allocated", "pytorch/pytorch #58466",
        "The limit is held against allocated instead of reserved bytes.";
    LimitOnlyShrinks, "limit-only-shrinks", "ovg-project/kvcached #498",
        "A new limit never raises the one in force.";
    PreviousNeighbourNotMerged, "previous-neighbour-not-merged", "rapidsai/rmm #1421",
        "A freed block does not merge with the free block before it.";
    FreedWithRequestSize, "freed-with-request-size", "zhongkaifu/TensorSharp #104",
        "A freed block that fills its segment is cached with the size of the request instead of its own.";

    // private pools and graph capture
    PrivateServesOthers, "private-serves-others", "pytorch/pytorch #51075",
        "What is cached in a private pool serves any request that finds nothing of its own.";
    GraphMemoryFlushed, "graph-memory-flushed", "pytorch/pytorch #159594",
        "A flush gives back cached memory of private pools that graphs or their owners still use.";
    DeferredFreeForgotten, "deferred-free-forgotten", "pytorch/pytorch #175817",
        "Frees that were put off during a capture are not taken up when it ends.";
    DeferredFreeTakenUp, "deferred-free-taken-up", "pytorch/pytorch #158352",
        "A free during a capture is not put off: streams with captured work look as if they had finished.";
    GraphPoolKept, "graph-pool-kept", "pytorch/pytorch #190348",
        "Resetting a graph does not take its use of the pool away, so that the pool never dies.";
    NoSplitIgnored, "no-split-ignored", "pytorch/pytorch #169739",
        "Blocks of a pool made with no_split are split like any others.";

    // Seen only by comparing runs
    StreamHandleSizes, "stream-handle-sizes", "none: a mechanism of poolproof's own",
        "A stream whose handle has bit 6 set gets segments of just the size asked for, other streams whole ones.";
    OddDeviceSizes, "odd-device-sizes", "none: a mechanism of poolproof's own",
        "Every second device gets segments of just the size asked for, the others whole ones.";
    ReleaseChangesSizes, "release-changes-sizes", "none: a mechanism of poolproof's own",
        "Once a segment was given back, new ones are of just the size asked for.";
    TrimsCounted, "trims-counted", "none: a mechanism of poolproof's own",
        "After an odd number of calls of empty_cache with nothing reserved, segments are of just the size asked for.";
    LastDeviceSizes, "last-device-sizes", "none: a mechanism of poolproof's own",
        "A request right after one to another device gets a segment of just its size.";
    OddBytesSizes, "odd-bytes-sizes", "none: a mechanism of poolproof's own",
        "A request of an odd number of bytes gets a segment of just its size.";
}

impl std::str::FromStr for Defect {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        Defect::ALL.iter().copied().find(|d| d.name() == name).ok_or(())
    }
}
