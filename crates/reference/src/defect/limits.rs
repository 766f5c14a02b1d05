//! Mistakes with limits and refusals: the memory fraction, the last attempts before a refusal, and its message.

use super::{OWN, theme};

theme! {
    NoFlushBeforeOom, "no-flush-before-oom", "tensorflow/tensorflow #30827", [Oom 4],
        "A request is refused without giving cached segments back first.";
    LimitChecksAllocated, "limit-checks-allocated", "pytorch/pytorch #58466", [Frac 1],
        "The limit is held against allocated instead of reserved bytes.";
    LimitOnlyShrinks, "limit-only-shrinks", "ovg-project/kvcached #498", [Frac 6, Frac 5],
        "A new limit never raises the one in force.";
    LimitForgetsRequest, "limit-forgets-request", OWN, [Frac 1],
        "The limit is held against what is reserved already, without the segment that is asked for.";
    LimitForgetsSegment, "limit-forgets-segment", OWN, [Frac 1],
        "The limit is held against the size of the block instead of the segment that holds it.";
    LimitRoundedUp, "limit-rounded-up", OWN, [Frac 1, Frac 5],
        "The limit is rounded up to the next 2 MiB.";
    LimitChargedOnce, "limit-charged-once", "Project-HAMi/HAMi-core #96", [Frac 1],
        "Only the first segment is held against the limit.";
    LimitSlack, "limit-slack", "ROCm/hip #3775", [Frac 1, Oom 1],
        "The limit is held against 32 MiB more than what is reserved.";
    ZeroFractionUnlimited, "zero-fraction-unlimited", OWN, [Frac 3, Frac 5],
        "A limit of 0 counts as no limit.";
    FractionClamped, "fraction-clamped", OWN, [Frac 2],
        "A fraction outside [0, 1] is taken as the nearest one inside.";
    FractionNanAccepted, "fraction-nan-accepted", OWN, [Frac 2],
        "A fraction that is not a number passes the check, and lifts the limit.";
    FractionActsThoughRefused, "fraction-acts-though-refused", OWN, [Frac 2, Frac 5],
        "A fraction is put into force before its range is checked.";
    FractionTrims, "fraction-trims", OWN, [Frac 6],
        "Setting a fraction gives the cache back.";
    FractionOfFree, "fraction-of-free", OWN, [Frac 1, Frac 5, Oom 1],
        "The limit is a fraction of the memory that is free when it is set.";
    FractionLostEarly, "fraction-lost-early", "ROCm/rocm-systems #11690", [Frac 5, Frac 1],
        "A fraction that is set before the first segment is accepted and forgotten.";
    FlushKeepsBest, "flush-keeps-best", "cupy/cupy #1256", [Oom 4],
        "The largest cached segment is still referred to while the cache is flushed for a request, and stays.";
    FlushOwnStream, "flush-own-stream", "rapidsai/rmm #2039", [Oom 4],
        "Before a refusal only the cache of the request's own stream is given back.";
    FlushOwnPool, "flush-own-pool", OWN, [Oom 4],
        "Before a refusal only the cache of the request's own pool is given back.";
    FlushBySumOfRequests, "flush-by-sum-of-requests", "tinygrad/tinygrad #2175", [Oom 4],
        "The cache is flushed only if what was requested, not what is reserved, exceeds the device.";
    NoSecondTry, "no-second-try", "ml-explore/mlx #2869", [Oom 4, Oom 1],
        "After the flush the request is refused without asking the device again.";
    OomSticky, "oom-sticky", OWN, [Oom 3, Oom 1],
        "After one refusal the device is never asked for memory again.";
    OomAsDeviceError, "oom-as-device-error", OWN, [Oom 1],
        "Lack of memory is reported as a failure of the device.";
    HugeMisreported, "huge-misreported", "pytorch/pytorch #182277", [Huge 1, Huge 2],
        "A size of 2^63 or more becomes -1, and the call fails with an error that is about something else.";
    ExabyteReachesAllocator, "exabyte-reaches-allocator", OWN, [Huge 1],
        "A tensor of 1 EB or more is asked of the allocator, which counts a refusal.";
    Preallocates, "preallocates", "jax-ml/jax #19213", [Grow 2],
        "The first segment takes three quarters of the device, whatever is asked.";
    MessageDeviceZero, "message-device-zero", OWN, [Oom 5],
        "The refusal names device 0, whichever it is about.";
    MessageLimitUnset, "message-limit-unset", "pytorch/pytorch #110194", [Oom 5],
        "The refusal names a limit of 17179869184 GiB where none is set.";
    MessageReservedAsAllocated, "message-reserved-as-allocated", OWN, [Oom 5],
        "The refusal counts cached memory as allocated.";
    MessageNamesBlock, "message-names-block", OWN, [Oom 5],
        "The refusal names the rounded request instead of the segment that could not be had.";
    MessageEmpty, "message-empty", OWN, [Oom 5],
        "Lack of memory is reported without a word.";
    OthersChargedToLimit, "others-charged-to-limit", OWN, [Frac 1, Oom 7],
        "What other processes hold is charged to the memory fraction.";
    RefusalRemembered, "refusal-remembered", OWN, [Oom 7, Oom 1],
        "Once the device refused memory it is not asked for as much until some goes back to it: what others give back is missed.";
    MessageOthersAsOwn, "message-others-as-own", OWN, [Oom 5],
        "The message says of what another process holds that this one does.";
}
