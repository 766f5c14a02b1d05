//! Mistakes with figures: what is counted too often, too rarely, too early or in the wrong row.

use super::{OWN, theme};

theme! {
    ActiveLosesMergedSize, "active-loses-merged-size", "pytorch/pytorch #135726", [Stat 3, Stat 1],
        "active_bytes falls by the size after merging instead of the block's own.";
    ActiveKeptWithoutEvents, "active-kept-without-events", "pytorch/pytorch #182404", [Stat 3, Stat 5],
        "active does not fall when a block without recorded streams is freed.";
    SegmentCountKept, "segment-count-kept", "NVIDIA/cub #328", [Stat 5, Leak 1],
        "Giving a segment back lowers the bytes but not the number of segments.";
    UnknownFreeCounted, "unknown-free-counted", "rapidsai/rmm #2404", [Arg 3, Arg 2],
        "Freeing an unknown pointer is refused, yet lowers allocated_bytes.";
    ReservedKeptOnTrim, "reserved-kept-on-trim", "cupy/cupy #3008", [Stat 5, Leak 1, Tele 1],
        "Giving a segment back does not lower reserved_bytes.";
    StatsSkippedAfterRetry, "stats-skipped-after-retry", "PaddlePaddle/Paddle #78195", [Stat 4],
        "After the first retry, blocks are handed out without being counted.";
    OomCountedEarly, "oom-counted-early", "pytorch/pytorch #193195", [Stat 7],
        "num_ooms rises at the first failed attempt, even if the retry succeeds.";
    ActiveFallsEarly, "active-falls-early", OWN, [Stat 3, Stat 4],
        "active falls when a block is freed, though it still waits for a stream.";
    RequestedIsRounded, "requested-is-rounded", OWN, [Stat 4],
        "requested_bytes rises by the size of the block and falls by the size of the request.";
    AllocatedByRequest, "allocated-by-request", OWN, [Stat 4, Stat 1],
        "allocated_bytes rises by the size of the request and falls by the size of the block.";
    FreedInSmallPool, "freed-in-small-pool", OWN, [Pool 1, Stat 1],
        "The free of a large block is counted in the row of the small pool.";
    SegmentInLargePool, "segment-in-large-pool", OWN, [Pool 1, Stat 1, Stat 3],
        "Every new segment is counted in the row of the large pool.";
    SplitNotCounted, "split-not-counted", OWN, [Pool 6, Stat 1],
        "inactive_split does not rise when a whole segment is cut.";
    WholeCountedAsSplit, "whole-counted-as-split", OWN, [Pool 6, Summ 3],
        "A block that has become whole again by merging still counts as split.";
    SyncNotCounted, "sync-not-counted", OWN, [Stat 7],
        "num_sync_all_streams does not rise when the cache is emptied.";
    DeviceAllocCountedEarly, "device-alloc-counted-early", OWN, [Stat 7],
        "num_device_alloc rises before the device is asked, and stays when it refuses.";
    DeviceFreeNotCounted, "device-free-not-counted", OWN, [Stat 7],
        "num_device_free does not rise when a segment is given back.";
    RetryNotCounted, "retry-not-counted", OWN, [Stat 7],
        "num_alloc_retries does not rise when the cache is flushed for a request.";
    RetryAlwaysCounted, "retry-always-counted", OWN, [Stat 7],
        "num_alloc_retries rises whenever the device is asked for memory.";
    LimitOomNotCounted, "limit-oom-not-counted", OWN, [Stat 7],
        "num_ooms does not rise when it is the memory fraction that stands in the way.";
    DeviceAllocWraps, "device-alloc-wraps", OWN, [Stat 7],
        "num_device_alloc is kept in eight bits.";
    ReleasedByRequestSize, "released-by-request-size", "pytorch/pytorch #153109", [Stat 5, Leak 1, Tele 1],
        "Giving a segment back lowers reserved_bytes by the size of the last request in it.";
    ReservedThoughRefused, "reserved-though-refused", OWN, [Oom 2, Tele 1],
        "reserved_bytes rises before the device is asked, and stays when it refuses.";
    NullCountedAsBlock, "null-counted-as-block", "tensorflow/tensorflow #12074", [Oom 2, Stat 4],
        "A request that got no memory is recorded as an allocation at address 0.";
    HiddenDriverBlock, "hidden-driver-block", "pytorch/pytorch #37250", [Tele 1],
        "Every fourth segment takes 2 MiB more from the device than anybody counts.";
}
