//! Mistakes at the front: which device, whose current device, which pointer.

use super::{OWN, theme};

theme! {
    LimitOnCurrentDevice, "limit-on-current-device", "NVIDIA/raft #3077", [Iso 3, Iso 2],
        "set_fraction applies to the current device instead of the one named.";
    DefaultDeviceZero, "default-device-zero", "rapidsai/rmm #628", [Iso 3],
        "A request that names no device goes to device 0 instead of the current one.";
    FreeOnCurrentDevice, "free-on-current-device", "torch/cutorch #549", [Iso 3, Conc 2, Live 4],
        "A block is looked for on the current device only when it is freed.";
    CallersShareCurrent, "callers-share-current", OWN, [Conc 1],
        "All threads have one current device.";
    BadDeviceClamped, "bad-device-clamped", OWN, [Arg 1],
        "A device that does not exist is taken as the nearest one that does.";
    NegativeIsCurrent, "negative-is-current", OWN, [Arg 1],
        "Device -1 is taken as the current device.";
    ContextOnDeviceZero, "context-on-device-zero", "pytorch/pytorch #10832", [Iso 1, Iso 3, Tele 1],
        "The first request on another device takes memory of device 0.";
    TrimWakesDeviceZero, "trim-wakes-device-zero", "pytorch/pytorch #25752", [Iso 1, Tele 1, Leak 1],
        "empty_cache takes memory of device 0 where only other devices were used.";
    TrimCurrentDeviceOnly, "trim-current-device-only", "NVIDIA-Genomics-Research/GenomeWorks #306", [Trim 1, Leak 1],
        "empty_cache gives back what the current device has cached, and nothing of the others.";
    OomFlushesAllDevices, "oom-flushes-all-devices", OWN, [Iso 4, Iso 1],
        "Lack of memory on one device flushes the caches of all.";
    FractionOnAllDevices, "fraction-on-all-devices", OWN, [Iso 2, Iso 1],
        "set_fraction applies to every device.";
    FractionReadOnCurrent, "fraction-read-on-current", OWN, [Iso 3, Frac 5],
        "get_fraction answers the current device's fraction.";
    PeakResetOnCurrent, "peak-reset-on-current", OWN, [Iso 3, Peak 2],
        "reset_peak applies to the current device instead of the one named.";
    AccumulatedResetOnAll, "accumulated-reset-on-all", OWN, [Iso 1, Iso 2],
        "reset_accumulated applies to every device.";
    NamedBecomesCurrent, "named-becomes-current", OWN, [Iso 3],
        "A request that names a device makes it the caller's current one.";
    InteriorFreesBlock, "interior-frees-block", OWN, [Arg 3],
        "Freeing a pointer into a block frees the block.";
    UnknownFreeIgnored, "unknown-free-ignored", OWN, [Arg 3, Arg 2],
        "Freeing a pointer that no block starts at succeeds and does nothing.";
    NullFreeRefused, "null-free-refused", OWN, [Zero 2],
        "Freeing the null pointer is refused.";
    ZeroSizeTakesBlock, "zero-size-takes-block", "pytorch/pytorch #159892", [Zero 1, Stat 4],
        "A request of 0 bytes reaches the allocator and takes a block.";
    ZeroSizeRefused, "zero-size-refused", OWN, [Zero 1],
        "A request of 0 bytes is refused.";
    ZeroSizeSharesPointer, "zero-size-shares-pointer", "rapidsai/rmm #2313", [Zero 2],
        "All requests of 0 bytes get one pointer, which can be freed once.";
}
