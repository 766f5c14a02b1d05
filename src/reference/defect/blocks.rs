//! Mistakes with blocks: rounding, searching, splitting, merging, and the segments they come from.

use super::{OWN, theme};

theme! {
    SegmentIndexWraps, "segment-index-wraps", "tracel-ai/cubecl #1617",
        "The index of a segment is kept in eight bits, so that the 257th segment is the first again.";
    MergeAcrossSegments, "merge-across-segments", "rapidsai/rmm #397",
        "A freed block merges with the free block at the next address, even one of another segment.";
    BlockTooSmall, "block-too-small", "pytorch/pytorch #192722",
        "The search takes a cached block that may be up to a quarter smaller than the request.";
    SegmentTooSmall, "segment-too-small", "rapidsai/rmm #2002",
        "The size asked of the device for a big segment is 2 MiB short.";
    LargeFreeLost, "large-free-lost", "cupy/cupy #1165",
        "A freed block above 16 MiB never returns to the free set.";
    HugeSizeWraps, "huge-size-wraps", "pytorch/pytorch #57571",
        "Rounding a size near 2^64 wraps round to a small one.";
    GrowthDoubles, "growth-doubles", "rapidsai/rmm #496",
        "A new segment is at least as large as all that is reserved, with no second try at the exact size.";
    PreviousNeighbourNotMerged, "previous-neighbour-not-merged", "rapidsai/rmm #1421",
        "A freed block does not merge with the free block before it.";
    FreedWithRequestSize, "freed-with-request-size", "zhongkaifu/TensorSharp #104",
        "A freed block that fills its segment is cached with the size of the request instead of its own.";
    RoundsDown, "rounds-down", OWN,
        "A request of more than 512 B is rounded down to a multiple of 512 B instead of up.";
    BoundaryInLargePool, "boundary-in-large-pool", OWN,
        "A block of exactly 1 MiB goes to the large pool: `<` where `<=` is meant.";
    LargeRequestsDoubled, "large-requests-doubled", "pytorch/pytorch #95823",
        "Requests above 16 MiB are rounded up to a power of two, so that one byte more costs twice the memory.";
    SegmentNotRounded, "segment-not-rounded", OWN,
        "A big segment is asked of the device, and counted, without rounding it to 2 MiB.";
    TenMibSharesSegment, "ten-mib-shares-segment", OWN,
        "A request of exactly 10 MiB gets a segment of 20 MiB: `<=` where `<` is meant.";
    ExactSizeOnly, "exact-size-only", OWN,
        "A cached block serves only requests of exactly its size.";
    HandedOutStaysFree, "handed-out-stays-free", OWN,
        "A cached block that is handed out whole stays in the free set.";
    TailOverlapsFront, "tail-overlaps-front", OWN,
        "The rest that is cut off a block begins 512 B before the block's end.";
    TailLost, "tail-lost", OWN,
        "The rest that is cut off a block is not put into the free set.";
    SliverCutOff, "sliver-cut-off", OWN,
        "A block of the large pool is cut even where less than 1 MiB is left over.";
    LastGranuleKept, "last-granule-kept", OWN,
        "A block of the small pool is not cut where exactly 512 B are left over: `>` where `>=` is meant.";
    NextNeighbourNotMerged, "next-neighbour-not-merged", OWN,
        "A freed block does not merge with the free block after it.";
    MergedAtOwnAddress, "merged-at-own-address", OWN,
        "A block that takes in the one before it keeps its own address.";
    MergedSizeForgotten, "merged-size-forgotten", OWN,
        "A block that takes in a neighbour does not grow by its size.";
    FreeLostNowAndThen, "free-lost-now-and-then", "pytorch/pytorch #104095",
        "Every eighth freed block is still held by somebody and never comes back.";
    AddressAfterHeader, "address-after-header", OWN,
        "The address handed out lies 8 B into the block, behind a header.";
}
