//! Mistakes in what a user reads: dictionary, table, snapshot, the device's own figures.

use super::{OWN, theme};

theme! {
    DictionaryOfCurrent, "dictionary-of-current", OWN, [Summ 1, Iso 3],
        "The dictionary shows the current device instead of the one named.";
    DictionaryEmptyEarly, "dictionary-empty-early", "pytorch/pytorch #117130", [Summ 1],
        "The dictionary is empty before the first allocation.";
    DictionaryLacksPool, "dictionary-lacks-pool", OWN, [Summ 1],
        "The dictionary leaves out the rows of a pool that was never used.";
    DictionaryUnsorted, "dictionary-unsorted", OWN, [Summ 1],
        "The dictionary is in the order of the tables instead of sorted.";
    ReservedMinusOne, "reserved-minus-one", "cupy/cupy #4881", [Summ 1],
        "The dictionary shows -1 reserved bytes where memory is only cached.";
    DictionaryResetsPeaks, "dictionary-resets-peaks", OWN, [Summ 1, Peak 1],
        "Reading the dictionary resets the peaks.";
    MemoryInfoOfCurrent, "memory-info-of-current", OWN, [Tele 2, Iso 3],
        "memory_info answers for the current device instead of the one named.";
    FreeIsUnallocated, "free-is-unallocated", OWN, [Tele 2],
        "memory_info counts cached memory as free.";
    FreeAndTotalSwapped, "free-and-total-swapped", "gpuopenanalytics/pynvml #50", [Tele 2],
        "memory_info answers the free figure as the total and the total as the free one.";
    TotalIsLimit, "total-is-limit", OWN, [Tele 2],
        "memory_info answers the limit as the device's total.";
    SummaryDeviceZero, "summary-device-zero", OWN, [Summ 2],
        "The head of the table names device 0, whichever it is about.";
    SummaryStale, "summary-stale", OWN, [Summ 2],
        "The table of a device is made once and shown again.";
    SummaryColumnsSwapped, "summary-columns-swapped", "llnl/Umpire #831", [Summ 2],
        "The table shows what was freed as allocated and what was allocated as freed.";
    SnapshotOmitsWaiting, "snapshot-omits-waiting", OWN, [Summ 3],
        "The snapshot shows a block that waits for a stream as inactive.";
    SnapshotRoundsRequests, "snapshot-rounds-requests", OWN, [Summ 3],
        "The snapshot shows the size of a block as what was requested.";
    SnapshotJoinsSegments, "snapshot-joins-segments", OWN, [Summ 3],
        "The snapshot shows two segments as one where their addresses touch.";
    SnapshotAsksEvents, "snapshot-asks-events", OWN, [Summ 3],
        "Taking a snapshot frees blocks whose streams are done.";
    FreeFromTotal, "free-from-total", OWN, [Tele 2, Tele 4],
        "memory_info answers the total less what is reserved, as if nobody else held any.";
}
