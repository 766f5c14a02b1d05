//! Mistakes at the front: which device, whose current device, which pointer.

use super::{OWN, theme};

theme! {
    LimitOnCurrentDevice, "limit-on-current-device", "NVIDIA/raft #3077",
        "set_fraction applies to the current device instead of the one named.";
    DefaultDeviceZero, "default-device-zero", "rapidsai/rmm #628",
        "A request that names no device goes to device 0 instead of the current one.";
    FreeOnCurrentDevice, "free-on-current-device", "torch/cutorch #549",
        "A block is looked for on the current device only when it is freed.";
    CallersShareCurrent, "callers-share-current", OWN,
        "All threads have one current device.";
    BadDeviceClamped, "bad-device-clamped", OWN,
        "A device that does not exist is taken as the nearest one that does.";
    NegativeIsCurrent, "negative-is-current", OWN,
        "Device -1 is taken as the current device.";
    ContextOnDeviceZero, "context-on-device-zero", "pytorch/pytorch #10832",
        "The first request on another device takes memory of device 0.";
    TrimWakesDeviceZero, "trim-wakes-device-zero", "pytorch/pytorch #25752",
        "empty_cache takes memory of device 0 where only other devices were used.";
    TrimCurrentDeviceOnly, "trim-current-device-only", "NVIDIA-Genomics-Research/GenomeWorks #306",
        "empty_cache gives back what the current device has cached, and nothing of the others.";
    OomFlushesAllDevices, "oom-flushes-all-devices", OWN,
        "Lack of memory on one device flushes the caches of all.";
    FractionOnAllDevices, "fraction-on-all-devices", OWN,
        "set_fraction applies to every device.";
    FractionReadOnCurrent, "fraction-read-on-current", OWN,
        "get_fraction answers the current device's fraction.";
    PeakResetOnCurrent, "peak-reset-on-current", OWN,
        "reset_peak applies to the current device instead of the one named.";
    AccumulatedResetOnAll, "accumulated-reset-on-all", OWN,
        "reset_accumulated applies to every device.";
    NamedBecomesCurrent, "named-becomes-current", OWN,
        "A request that names a device makes it the caller's current one.";
    InteriorFreesBlock, "interior-frees-block", OWN,
        "Freeing a pointer into a block frees the block.";
    UnknownFreeIgnored, "unknown-free-ignored", OWN,
        "Freeing a pointer that no block starts at succeeds and does nothing.";
    NullFreeRefused, "null-free-refused", OWN,
        "Freeing the null pointer is refused.";
    ZeroSizeTakesBlock, "zero-size-takes-block", "pytorch/pytorch #159892",
        "A request of 0 bytes reaches the allocator and takes a block.";
    ZeroSizeRefused, "zero-size-refused", OWN,
        "A request of 0 bytes is refused.";
    ZeroSizeSharesPointer, "zero-size-shares-pointer", "rapidsai/rmm #2313",
        "All requests of 0 bytes get one pointer, which can be freed once.";
}
