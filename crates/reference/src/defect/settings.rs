//! Mistakes with settings: ignored ones, oversize blocks, garbage collection, expandable segments.

use super::{OWN, theme};

theme! {
    DivisionsIgnored, "divisions-ignored", "pytorch/pytorch #160666", [Conf 1],
        "roundup_power2_divisions is read and not passed on.";
    ExpandableIgnored, "expandable-ignored", "pytorch/pytorch #183387", [Conf 1],
        "expandable_segments is accepted and has no effect.";
    LargeSegmentIgnored, "large-segment-ignored", OWN, [Conf 1],
        "large_segment_size_mb is accepted and has no effect.";
    FractionSettingIgnored, "fraction-setting-ignored", "pytorch/pytorch #166802", [Conf 1],
        "per_process_memory_fraction is accepted and has no effect.";
    MaxSplitIgnored, "max-split-ignored", "pytorch/pytorch #35901", [Conf 1],
        "Blocks of max_split_size and more are split like any other.";
    OversizeServesSmall, "oversize-serves-small", OWN, [Conf 1],
        "A block of max_split_size or more is handed out whole to a smaller request.";
    NonSplitRoundingIgnored, "non-split-rounding-ignored", OWN, [Conf 1],
        "An oversize request takes any larger cached block, however much is wasted.";
    OversizeFlushesAll, "oversize-flushes-all", OWN, [Conf 1],
        "Lack of memory flushes the whole cache where giving oversize blocks back would do.";
    OversizeCountKept, "oversize-count-kept", OWN, [Conf 1],
        "oversize_segments does not fall when an oversize segment is given back.";
    GcNeverRuns, "gc-never-runs", "pytorch/pytorch #106660", [Conf 1],
        "The threshold of garbage collection is multiplied by a limit that nobody set, and is never reached.";
    GcTakesYoungest, "gc-takes-youngest", OWN, [Conf 1],
        "Garbage collection gives back the segments freed last instead of the oldest.";
    GcTakesAll, "gc-takes-all", OWN, [Conf 1],
        "Garbage collection does not stop when enough has been given back.";
    AccessNotSet, "access-not-set", "JuliaGPU/CUDA.jl #3112", [Conf 2, Mem 1],
        "Mapped pages are not made accessible.";
    AccessFailureIgnored, "access-failure-ignored", OWN, [Mem 1, Oom 6],
        "Pages are used although making them accessible failed.";
    MapFailureKeepsPages, "map-failure-keeps-pages", "invergent-ai/surogate #117", [Leak 2, Tele 1, Conf 2],
        "Where a later page cannot be mapped, the earlier ones stay mapped and are forgotten.";
    UnmapTakesPartialPages, "unmap-takes-partial-pages", OWN, [Mem 1, Conf 2],
        "Emptying the cache unmaps the whole page that a free block begins in, live bytes included.";
    UnmapDoesNotWait, "unmap-does-not-wait", "pytorch/pytorch #196257", [Strm 2, Conf 2, Mem 1],
        "Pages are unmapped while work on them is still queued.";
    UnmapFailureForgotten, "unmap-failure-forgotten", OWN, [Leak 2, Oom 6, Tele 1],
        "Pages that the device will not unmap are dropped from the books.";
    AddressesLeak, "addresses-leak", "ggml-org/llama.cpp #4680", [Conf 2],
        "The addresses of an expandable segment are never given back.";
    ExpandableCountsRequest, "expandable-counts-request", OWN, [Conf 2, Tele 1, Conf 1],
        "Growing an expandable segment raises reserved_bytes by the request instead of whole pages.";
    MergesUnmapped, "merges-unmapped", OWN, [Mem 1, Conf 2],
        "A mapped free block merges with unmapped addresses beside it.";
}
