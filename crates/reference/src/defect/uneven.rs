//! Mistakes that only a comparison of two runs shows: each run alone keeps every promise.

use super::{OWN, theme};

theme! {
    StreamHandleSizes, "stream-handle-sizes", OWN, [Same 1],
        "A stream whose handle has bit 6 set gets segments of just the size asked for, other streams whole ones.";
    OddDeviceSizes, "odd-device-sizes", OWN, [Same 2],
        "Every second device gets segments of just the size asked for, the others whole ones.";
    ReleaseChangesSizes, "release-changes-sizes", OWN, [Same 3],
        "Once a segment was given back, new ones are of just the size asked for.";
    TrimsCounted, "trims-counted", OWN, [Same 4],
        "After an odd number of calls of empty_cache with nothing reserved, segments are of just the size asked for.";
    LastDeviceSizes, "last-device-sizes", OWN, [Same 5],
        "A request right after one to another device gets a segment of just its size.";
    OddBytesSizes, "odd-bytes-sizes", OWN, [Same 6],
        "A request of an odd number of bytes gets a segment of just its size.";
    RefusedFreeSizes, "refused-free-sizes", OWN, [Same 7],
        "Once a pointer that is no live block's was offered for freeing, segments are of just the size asked for.";
}
