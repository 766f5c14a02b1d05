//! Mistakes with settings: ignored ones, oversize blocks, garbage collection, expandable segments.

use super::{OWN, theme};

theme! {
    DivisionsIgnored, "divisions-ignored", "pytorch/pytorch #160666",
        "roundup_power2_divisions is read and not passed on.";
    ExpandableIgnored, "expandable-ignored", "pytorch/pytorch #183387",
        "expandable_segments is accepted and has no effect.";
    LargeSegmentIgnored, "large-segment-ignored", OWN,
        "large_segment_size_mb is accepted and has no effect.";
    FractionSettingIgnored, "fraction-setting-ignored", "pytorch/pytorch #166802",
        "per_process_memory_fraction is accepted and has no effect.";
    MaxSplitIgnored, "max-split-ignored", "pytorch/pytorch #35901",
        "Blocks of max_split_size and more are split like any other.";
    OversizeServesSmall, "oversize-serves-small", OWN,
        "A block of max_split_size or more is handed out whole to a smaller request.";
    NonSplitRoundingIgnored, "non-split-rounding-ignored", OWN,
        "An oversize request takes any larger cached block, however much is wasted.";
    OversizeFlushesAll, "oversize-flushes-all", OWN,
        "Lack of memory flushes the whole cache where giving oversize blocks back would do.";
    OversizeCountKept, "oversize-count-kept", OWN,
        "oversize_segments does not fall when an oversize segment is given back.";
    GcNeverRuns, "gc-never-runs", "pytorch/pytorch #106660",
        "The threshold of garbage collection is multiplied by a limit that nobody set, and is never reached.";
    GcTakesYoungest, "gc-takes-youngest", OWN,
        "Garbage collection gives back the segments freed last instead of the oldest.";
    GcTakesAll, "gc-takes-all", OWN,
        "Garbage collection does not stop when enough has been given back.";
    AccessNotSet, "access-not-set", "JuliaGPU/CUDA.jl #3112",
        "Mapped pages are not made accessible.";
    AccessFailureIgnored, "access-failure-ignored", OWN,
        "Pages are used although making them accessible failed.";
    MapFailureKeepsPages, "map-failure-keeps-pages", "invergent-ai/surogate #117",
        "Where a later page cannot be mapped, the earlier ones stay mapped and are forgotten.";
    UnmapTakesPartialPages, "unmap-takes-partial-pages", OWN,
        "Emptying the cache unmaps the whole page that a free block begins in, live bytes included.";
    UnmapDoesNotWait, "unmap-does-not-wait", "pytorch/pytorch #196257",
        "Pages are unmapped while work on them is still queued.";
    UnmapFailureForgotten, "unmap-failure-forgotten", OWN,
        "Pages that the device will not unmap are dropped from the books.";
    AddressesLeak, "addresses-leak", "ggml-org/llama.cpp #4680",
        "The addresses of an expandable segment are never given back.";
    ExpandableCountsRequest, "expandable-counts-request", OWN,
        "Growing an expandable segment raises reserved_bytes by the request instead of whole pages.";
    MergesUnmapped, "merges-unmapped", OWN,
        "A mapped free block merges with unmapped addresses beside it.";
}
