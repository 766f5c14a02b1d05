//! Mistakes with blocks: rounding, searching, splitting, merging, and the segments they come from.

use super::{OWN, theme};

theme! {
    SegmentIndexWraps, "segment-index-wraps", "tracel-ai/cubecl #1617", [Mem 1],
        "The index of a segment is kept in eight bits, so that the 257th segment is the first again.";
    MergeAcrossSegments, "merge-across-segments", "rapidsai/rmm #397", [Mem 1, Summ 3, Stat 5],
        "A freed block merges with the free block at the next address, even one of another segment.";
    BlockTooSmall, "block-too-small", "pytorch/pytorch #192722", [Mem 1, Mem 3, Stat 4],
        "The search takes a cached block that may be up to a quarter smaller than the request.";
    SegmentTooSmall, "segment-too-small", "rapidsai/rmm #2002", [Mem 1, Tele 1],
        "The size asked of the device for a big segment is 2 MiB short.";
    LargeFreeLost, "large-free-lost", "cupy/cupy #1165", [Pool 3, Leak 1],
        "A freed block above 16 MiB never returns to the free set.";
    HugeSizeWraps, "huge-size-wraps", "pytorch/pytorch #57571", [Huge 2],
        "Rounding a size near 2^64 wraps round to a small one.";
    GrowthDoubles, "growth-doubles", "rapidsai/rmm #496", [Grow 2, Oom 1],
        "A new segment is at least as large as all that is reserved, with no second try at the exact size.";
    PreviousNeighbourNotMerged, "previous-neighbour-not-merged", "rapidsai/rmm #1421", [Pool 4, Trim 1, Leak 1],
        "A freed block does not merge with the free block before it.";
    FreedWithRequestSize, "freed-with-request-size", "zhongkaifu/TensorSharp #104", [Pool 3, Grow 1, Leak 1],
        "A freed block that fills its segment is cached with the size of the request instead of its own.";
    RoundsDown, "rounds-down", OWN, [Mem 1, Mem 3, Stat 4],
        "A request of more than 512 B is rounded down to a multiple of 512 B instead of up.";
    BoundaryInLargePool, "boundary-in-large-pool", OWN, [Pool 1],
        "A block of exactly 1 MiB goes to the large pool: `<` where `<=` is meant.";
    LargeRequestsDoubled, "large-requests-doubled", "pytorch/pytorch #95823", [Grow 2, Pool 6],
        "Requests above 16 MiB are rounded up to a power of two, so that one byte more costs twice the memory.";
    SegmentNotRounded, "segment-not-rounded", OWN, [Pool 6, Tele 1],
        "A big segment is asked of the device, and counted, without rounding it to 2 MiB.";
    TenMibSharesSegment, "ten-mib-shares-segment", OWN, [Pool 6],
        "A request of exactly 10 MiB gets a segment of 20 MiB: `<=` where `<` is meant.";
    ExactSizeOnly, "exact-size-only", OWN, [Pool 3],
        "A cached block serves only requests of exactly its size.";
    HandedOutStaysFree, "handed-out-stays-free", OWN, [Mem 1],
        "A cached block that is handed out whole stays in the free set.";
    TailOverlapsFront, "tail-overlaps-front", OWN, [Mem 1, Mem 3],
        "The rest that is cut off a block begins 512 B before the block's end.";
    TailLost, "tail-lost", OWN, [Pool 3, Leak 1],
        "The rest that is cut off a block is not put into the free set.";
    SliverCutOff, "sliver-cut-off", OWN, [Pool 6],
        "A block of the large pool is cut even where less than 1 MiB is left over.";
    LastGranuleKept, "last-granule-kept", OWN, [Pool 6],
        "A block of the small pool is not cut where exactly 512 B are left over: `>` where `>=` is meant.";
    NextNeighbourNotMerged, "next-neighbour-not-merged", OWN, [Pool 4, Trim 1, Leak 1],
        "A freed block does not merge with the free block after it.";
    MergedAtOwnAddress, "merged-at-own-address", OWN, [Mem 1, Summ 3],
        "A block that takes in the one before it keeps its own address.";
    MergedSizeForgotten, "merged-size-forgotten", OWN, [Pool 4, Leak 1, Stat 5],
        "A block that takes in a neighbour does not grow by its size.";
    FreeLostNowAndThen, "free-lost-now-and-then", "pytorch/pytorch #104095", [Leak 1, Grow 1],
        "Every eighth freed block is still held by somebody and never comes back.";
    AddressAfterHeader, "address-after-header", OWN, [Mem 2],
        "The address handed out lies 8 B into the block, behind a header.";
}
