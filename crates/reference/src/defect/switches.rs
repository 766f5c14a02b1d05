//! Mistakes with what is switched while the allocator runs.

use super::{OWN, theme};

theme! {
    SettingsReadOnce, "settings-read-once", OWN, [Conf 4],
        "Settings are read when the allocator is made; a change at run time is accepted and has no effect.";
    SettingsOnFirstDevice, "settings-on-first-device", OWN, [Conf 4, Iso 3],
        "A change of settings at run time reaches the first device alone.";
    SettingsEmptyCache, "settings-empty-cache", OWN, [Conf 4],
        "A change of settings at run time gives the cache back.";
    PagesForgottenOnceOff, "pages-forgotten-once-off", OWN, [Trim 1, Leak 1, Oom 4],
        "Once expandable_segments is switched off, a flush looks for segments alone, and what was mapped page by page stays.";
    FreedBySwitch, "freed-by-switch", OWN, [Conf 7, Leak 1, Stat 4],
        "A block goes back to the cache or to the device as caching is on or off by then, wherever it came from.";
    DirectFreeLost, "direct-free-lost", OWN, [Conf 6, Leak 1],
        "A block that came from the device while caching was off is forgotten when it is freed.";
    SmallAlwaysCached, "small-always-cached", OWN, [Conf 6],
        "Requests of up to 4 KiB are cached and counted although caching is off.";
}
