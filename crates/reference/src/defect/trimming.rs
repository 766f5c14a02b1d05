//! Mistakes with giving memory back, and with device calls that fail on the way.

use super::{OWN, theme};

theme! {
    SmallPoolNotTrimmed, "small-pool-not-trimmed", "pytorch/pytorch #181485", [Trim 1, Leak 1],
        "empty_cache leaves the small pool alone.";
    DoubleFreeReleases, "double-free-releases", "NVIDIA/cub #329", [Arg 2, Mem 1],
        "Freeing a pointer that is not live gives the memory there back to the device.";
    TrimStopsEarly, "trim-stops-early", OWN, [Trim 1, Leak 1],
        "empty_cache gives back one segment of each pool.";
    TrimDefaultStreamOnly, "trim-default-stream-only", OWN, [Trim 1, Leak 1],
        "empty_cache gives back only what the default stream has cached.";
    TrimTakesSplit, "trim-takes-split", OWN, [Trim 2, Mem 1],
        "empty_cache gives a segment back whose first block is free, though later ones live.";
    ReleaseFailureForgotten, "release-failure-forgotten", OWN, [Leak 2, Oom 6],
        "A segment that the device will not take back is dropped from the books.";
}
