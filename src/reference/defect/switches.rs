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
}
