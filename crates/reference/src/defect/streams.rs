//! Mistakes with streams: records, events, and who may have a block when.

use super::{OWN, theme};

theme! {
    RecordNeedsSegmentStart, "record-needs-segment-start", "pytorch/pytorch #27366", [Strm 2],
        "record_stream is lost for a block that does not start its segment.";
    EventOnDefaultStream, "event-on-default-stream", "tensorflow/tensorflow #49173", [Strm 2],
        "The event of a freed block is recorded on the default stream instead of the recorded one.";
    EventsBlockEachOther, "events-block-each-other", "pytorch/pytorch #183501", [Strm 3],
        "All streams share one queue of events: the first unfinished one holds up all later ones.";
    SideStreamNotRegistered, "side-stream-not-registered", "Project-HAMi/HAMi-core #217", [Live 4, Leak 1],
        "A block of another than the default stream is not registered, so that freeing it is refused.";
    RecordIgnored, "record-ignored", "pytorch/pytorch #58384", [Strm 2],
        "A block is free as soon as it is freed, whatever streams are recorded on it.";
    FirstRecordOnly, "first-record-only", OWN, [Strm 2],
        "Of several recorded streams only the first is kept.";
    LastRecordOnly, "last-record-only", OWN, [Strm 2],
        "A recorded stream replaces the one recorded before it.";
    OneEventIsEnough, "one-event-is-enough", OWN, [Strm 2],
        "A block that waits for several streams is free when the first of them is done.";
    EventsTakenAsPassed, "events-taken-as-passed", OWN, [Strm 2],
        "An event that was recorded counts as passed at the next request.";
    EventsAskedOnlyInFlush, "events-asked-only-in-flush", "rapidsai/rmm #1245", [Strm 3],
        "Waiting blocks come back only when the cache is flushed, not when their streams are done.";
    FlushDoesNotWait, "flush-does-not-wait", OWN, [Leak 1, Trim 1, Oom 4],
        "Emptying the cache leaves blocks alone that wait for a stream.";
    WaitedBlockDropped, "waited-block-dropped", "pytorch/pytorch #175817", [Leak 1, Strm 3],
        "A flush waits for the events and forgets the blocks that were waiting for them.";
    StreamIgnored, "stream-ignored", "NVIDIA/cub #373", [Strm 1],
        "The search does not look at the stream that a cached block belongs to.";
    StealsWithoutWaiting, "steals-without-waiting", "rapidsai/rmm #510", [Strm 1],
        "A stream without a fitting block takes one of another stream, without waiting for that stream.";
    EventFailureFreesAtOnce, "event-failure-frees-at-once", OWN, [Strm 2],
        "A block whose event cannot be recorded is free at once.";
    QueryFailureLosesBlock, "query-failure-loses-block", OWN, [Leak 2, Oom 6],
        "An event that cannot be asked for is forgotten together with its block.";
    MergesWithWaiting, "merges-with-waiting", OWN, [Strm 2],
        "A freed block merges with a neighbour that still waits for a stream.";
    RecordOnFirstDevice, "record-on-first-device", OWN, [Strm 2],
        "record_stream looks for the block on device 0 only.";
    WaitTakenAsIdle, "wait-taken-as-idle", OWN, [Strm 5, Strm 2],
        "No event is recorded on a stream that was told to wait for another: it is taken to have nothing to do.";
    WaitOrdersBothWays, "wait-orders-both-ways", OWN, [Strm 5, Strm 1],
        "A stream without a fitting block takes one of a stream that it waited for, or that waited for it.";
    OldWaitStillCounts, "old-wait-still-counts", OWN, [Strm 5, Strm 1],
        "A stream without a fitting block takes one of a stream that it once waited for, whenever that was freed.";
}
