//! Mistakes that show only after a device call failed.

use super::{OWN, theme};

theme! {
    ReserveErrorCounted, "reserve-error-counted", "tensorflow/tensorflow #59176", [Oom 6],
        "A segment is counted before it is got, and uncounted only if memory lacked, not after another error.";
    ReleaseErrorCounted, "release-error-counted", OWN, [Oom 6, Tele 1],
        "reserved_bytes falls before a segment is given back, and stays so if the device refuses.";
    ErrorSticks, "error-sticks", "NVIDIA/cub #328", [Oom 6],
        "After a segment could not be given back, the device is as if locked: every request on it fails.";
    AccessErrorLeaks, "access-error-leaks", OWN, [Leak 2, Tele 1, Conf 2],
        "If mapped pages cannot be made usable, they stay mapped and are forgotten.";
    AddressesErrorKept, "addresses-error-kept", OWN, [Oom 6, Conf 2],
        "If no range of addresses can be got, one that begins at 0 is entered, and every later growth fails there.";
    QueryErrorPasses, "query-error-passes", OWN, [Strm 2],
        "An event that cannot be queried counts as passed.";
}
