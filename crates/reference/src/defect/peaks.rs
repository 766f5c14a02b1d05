//! Mistakes with peaks and with what is reset.

use super::{OWN, theme};

theme! {
    RequestedPeakNotReset, "requested-peak-not-reset", "pytorch/pytorch #88575", [Peak 2],
        "Resetting the peaks leaves out requested_bytes.";
    PeakResetWholeOnly, "peak-reset-whole-only", OWN, [Peak 2],
        "Resetting the peaks leaves out the rows of the pools.";
    PeakResetToZero, "peak-reset-to-zero", OWN, [Peak 2],
        "Resetting the peaks sets them to 0 instead of the current value.";
    PeakOfRefused, "peak-of-refused", OWN, [Peak 3],
        "A refused request raises the peak of allocated_bytes as if it had been served.";
    PoolPeaksFollowWhole, "pool-peaks-follow-whole", OWN, [Peak 1],
        "The peak of the small pool is raised to what both pools hold together.";
    PeakAtFreeOnly, "peak-at-free-only", OWN, [Peak 1],
        "The peak of active_bytes is brought up to date when a block is freed, not when it is handed out.";
    OversizePeakNotReset, "oversize-peak-not-reset", OWN, [Peak 2],
        "Resetting the peaks leaves out the oversize counts.";
    PeakFallsWithFree, "peak-falls-with-free", OWN, [Peak 1],
        "Freeing a block lowers the peak of allocation to the current value.";
    AccumulatedResetClearsPeaks, "accumulated-reset-clears-peaks", OWN, [Stat 6],
        "Resetting the accumulated figures resets the peaks too.";
    AccumulatedResetKeepsCounters, "accumulated-reset-keeps-counters", OWN, [Stat 6],
        "Resetting the accumulated figures leaves num_ooms and num_device_alloc as they were.";
    AccumulatedResetClearsSetting, "accumulated-reset-clears-setting", OWN, [Stat 6],
        "Resetting the accumulated figures sets max_split_size to 0, which is no accumulated figure.";
}
